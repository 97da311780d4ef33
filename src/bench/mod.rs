//! What each layer of an emitted crate costs on an emulated core.
//!
//! In: the files of an emitted crate, its [`Program`], one input and a [`Target`] with a QEMU machine. Two firmwares are
//! built beside the one of `verify`: one marks the whole inference, one each layer. Out: a [`Measured`]: instructions of
//! both, and on a Cortex-M4 estimated cycles. Guaranteed: counts repeat exactly; the scores were compared with the
//! simulation; what could not be measured is `None`, with a reason in the notes.
//!
//! A QEMU plugin (`plugin/spans.c`, compiled when needed with the machine's C compiler) says which code ran how often;
//! what it costs is decided here, in `cycles`. Without a compiler, or with a QEMU that takes no plugins, instructions
//! come from `SysTick` under `-icount`, to about one tick of the target's clock a layer, and there are no cycles.
//!
//! - `plugin`: building the plugin
//! - `spans`: what it prints
//! - `decode`: what one Thumb instruction does
//! - `cycles`: the Cortex-M4 model

mod cycles;
mod decode;
mod plugin;
mod spans;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diag::{Diag, Result};
use crate::emit::EmittedFile;
use crate::qir::Program;
use crate::sim;
use crate::target::{Core, Target};
use crate::verify::{self, Copy, Footprint, Printed};

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// C compiler that builds the plugin.
    pub compiler: String,
    /// The program to start as QEMU in place of `qemu-system-arm`.
    pub qemu_program: Option<String>,
    /// Limit of one build.
    pub build_limit: Duration,
    /// Limit of one run.
    pub run_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let verify::Options { build_limit, run_limit, .. } = verify::Options::default();
        Self { compiler: "cc".into(), qemu_program: None, build_limit, run_limit }
    }
}

/// Cost of some code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed.
    pub instructions: u64,
    /// Estimated cycles of a Cortex-M4 without wait states, see `cycles`.
    pub cycles: Option<u64>,
}

/// Cost of one inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// QEMU's name of the machine.
    pub machine: String,
    /// All of `infer`.
    pub whole: Counts,
    /// Each layer, in program order, in a firmware that looks at every layer's output.
    pub layers: Vec<Counts>,
    /// Most bytes of stack below the call of `infer`.
    pub stack_bytes: u64,
    /// What the crate adds to a firmware.
    pub footprint: Footprint,
    /// Whether the plugin counted: then counts are exact.
    pub exact: bool,
    /// Why something is missing.
    pub notes: Vec<String>,
}

/// A firmware with marks.
#[derive(Debug, Clone, Copy)]
enum Marked {
    Whole,
    Layers,
}

impl Marked {
    /// Name of its example, and what stands for the network there.
    fn example(self) -> (&'static str, &'static str) {
        match self {
            Self::Whole => ("fratc_whole", include_str!("templates/whole.rs")),
            Self::Layers => ("fratc_layers", include_str!("templates/layers.rs")),
        }
    }
}

/// What one firmware did: its regions, and what it printed.
struct Run {
    regions: Vec<Counts>,
    printed: Printed,
}

/// An emitted crate that is being measured.
struct Bench<'a> {
    copy: Copy,
    program: &'a Program,
    input: &'a [u8],
    target: &'a Target,
    machine: &'a str,
    options: &'a Options,
}

/// Measures one inference of the crate made of `files` on `input`, raw bytes `[H, W, C]`.
///
/// # Errors
/// `bench/no-machine` if QEMU has no machine for the target, `bench/no-qemu` if it is not installed, the build and run
/// errors of `verify`, `bench/mismatch` (the answer no) if the scores are not those of the simulation.
pub fn measure(
    files: &[EmittedFile],
    program: &Program,
    input: &[u8],
    target: &Target,
    options: &Options,
) -> Result<Measured> {
    let bench = Bench::new(files, program, input, target, options)?;
    let footprint = verify::device_footprint(&bench.copy, target)?;
    let (runs, note) = bench.runs(&[Marked::Whole, Marked::Layers])?;
    let [whole, layers] = &runs[..] else { return marks(2, runs.len()) };
    let exact = note.is_none();
    let mut notes: Vec<String> = note.into_iter().collect();
    if exact && target.core != Core::M4 {
        notes.push("cycles are estimated for Cortex-M4 only".into());
    }
    Ok(Measured {
        machine: bench.machine.into(),
        whole: bench.whole(whole, exact)?,
        layers: bench.layers(layers, exact)?,
        stack_bytes: whole.printed.stack.unwrap_or(0),
        footprint,
        exact,
        notes,
    })
}

/// The same of the whole inference only, in a quarter of the time.
///
/// # Errors
/// Those of [`measure`].
pub fn measure_whole(
    files: &[EmittedFile],
    program: &Program,
    input: &[u8],
    target: &Target,
    options: &Options,
) -> Result<Counts> {
    let bench = Bench::new(files, program, input, target, options)?;
    let (runs, note) = bench.runs(&[Marked::Whole])?;
    let [whole] = &runs[..] else { return marks(1, runs.len()) };
    bench.whole(whole, note.is_none())
}

/// The layers only, and what the crate adds to a firmware.
///
/// # Errors
/// Those of [`measure`].
pub fn measure_layers(
    files: &[EmittedFile],
    program: &Program,
    input: &[u8],
    target: &Target,
    options: &Options,
) -> Result<(Vec<Counts>, Footprint)> {
    let bench = Bench::new(files, program, input, target, options)?;
    let footprint = verify::device_footprint(&bench.copy, target)?;
    let (runs, note) = bench.runs(&[Marked::Layers])?;
    let [layers] = &runs[..] else { return marks(1, runs.len()) };
    Ok((bench.layers(layers, note.is_none())?, footprint))
}

impl<'a> Bench<'a> {
    fn new(
        files: &[EmittedFile],
        program: &'a Program,
        input: &'a [u8],
        target: &'a Target,
        options: &'a Options,
    ) -> Result<Self> {
        let Some(qemu) = &target.qemu else {
            return Diag::new("bench/no-machine", format!("QEMU has no machine for {}", target.name))
                .help("choose a board of the same core that it has: `fratc targets`")
                .err();
        };
        let copy = Copy::new(files, &program.name, options.build_limit)?;
        Ok(Self { copy, program, input, target, machine: &qemu.machine, options })
    }

    /// Builds the firmwares and runs each, with the plugin if that works; else with the reason why not.
    fn runs(&self, firmwares: &[Marked]) -> Result<(Vec<Run>, Option<String>)> {
        let ident = self.program.name.replace('-', "_");
        let build = |marked: &Marked| {
            let (name, network) = marked.example();
            self.copy.add_example(name, &network.replace("network_library", &ident))?;
            self.copy.build_example(name, Some(self.target.rust_target))
        };
        let elves: Vec<PathBuf> = firmwares.iter().map(build).collect::<Result<_>>()?;
        let (runs, note) = plugin::with_plugin(&self.copy, &self.options.compiler, |plugin| {
            elves.iter().map(|elf| self.run(elf, plugin)).collect::<Result<Vec<Run>>>()
        })?;
        let expected = sim::run(self.program, self.input);
        for run in &runs {
            let found = run.printed.records.first().map(|record| &record.scores);
            if found != Some(&expected) {
                return Diag::no("bench/mismatch", "the crate's scores are not those of the simulation")
                    .expected(format!("{expected:?}"), format!("{:?}", found.unwrap_or(&Vec::new())))
                    .help("`fratc verify` names the layer")
                    .err();
            }
        }
        Ok((runs, note))
    }

    fn run(&self, elf: &Path, plugin: Option<&Path>) -> Result<Run> {
        let options = verify::Options {
            qemu_program: self.options.qemu_program.clone(),
            run_limit: self.options.run_limit,
            ..verify::Options::default()
        };
        let out = self.copy.path().join("spans.txt");
        let extra = plugin.map_or_else(Vec::new, |plugin| {
            vec!["-plugin".to_string(), format!("file={},out={}", plugin.display(), out.display())]
        });
        let printed =
            verify::run_qemu(&self.copy, elf, "bench-sample.bin", &[self.input], self.target, &extra, &options)?;
        let Some(printed) = printed else {
            return Diag::new("bench/no-qemu", "QEMU is not installed")
                .help("`apt-get install qemu-system-arm` (Debian, Ubuntu) or `brew install qemu` (macOS)")
                .err();
        };
        if plugin.is_none() {
            return Ok(Run { regions: Vec::new(), printed });
        }
        let text = std::fs::read_to_string(&out)
            .map_err(|e| Diag::new("bench/plugin", format!("the plugin wrote no counts: {e}")))?;
        Ok(Run { regions: spans::read(&text)?, printed })
    }

    /// The last inference: the first one is that on the painted stack.
    fn whole(&self, run: &Run, exact: bool) -> Result<Counts> {
        if exact {
            let [.., last] = run.regions[..] else { return marks(1, 0) };
            return Ok(self.known(last));
        }
        let Some((ticks, inferences @ 1..)) = run.printed.ticks else {
            return Diag::new("verify/output", "no summary of ticks at the end").err();
        };
        Ok(Counts { instructions: verify::instructions(ticks, self.target) / inferences, cycles: None })
    }

    fn layers(&self, run: &Run, exact: bool) -> Result<Vec<Counts>> {
        let layers = self.program.layers.len();
        if exact {
            // After the last layer a region of its own is opened, up to the end of the inference.
            if run.regions.len() != 2 * (layers + 1) {
                return marks(2 * (layers + 1), run.regions.len());
            }
            return Ok(run.regions[layers + 1..][..layers].iter().map(|&counts| self.known(counts)).collect());
        }
        let ticks = &run.printed.layer_ticks;
        if ticks.len() != layers {
            return marks(layers, ticks.len());
        }
        let counts = |&ticks| Counts { instructions: verify::instructions(ticks, self.target), cycles: None };
        Ok(ticks.values().map(counts).collect())
    }

    /// The model of cycles is that of one core.
    fn known(&self, counts: Counts) -> Counts {
        Counts { cycles: counts.cycles.filter(|_| self.target.core == Core::M4), ..counts }
    }
}

fn marks<T>(expected: usize, found: usize) -> Result<T> {
    Diag::new("bench/plugin", "the firmware's marks were not all met")
        .expected(format!("{expected} regions"), format!("{found} regions"))
        .err()
}
