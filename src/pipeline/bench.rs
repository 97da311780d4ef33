//! `fratc bench`: what each layer costs on an emulated core.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::bench::{self, Counts};
use crate::diag::{Diag, Result};
use crate::emit::{self, EmittedFile, bare_metal};
use crate::output;
use crate::pipeline::emit::{golden, random_inputs};
use crate::pipeline::inputs::spare;
use crate::pipeline::subject::Subject;
use crate::pipeline::{Progress, SubjectOptions};
use crate::plan::{self, Plan};
use crate::qir::{Hwc, Layer, Op, Program, Window};
use crate::report::{Bench, BenchCompared, BenchLayer, Change, SCHEMA};

/// The rise of instructions over a baseline that is still called equal.
const RISE: f64 = 0.01;

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// Network and board.
    pub subject: SubjectOptions,
    /// Kernels, for what is not emitted yet.
    pub plan: plan::Options,
    /// C compiler that builds the plugin.
    pub compiler: Option<String>,
    /// File to write the figures to.
    pub save: Option<PathBuf>,
    /// File of older figures to compare with.
    pub compare: Option<PathBuf>,
}

/// Figures, and the reason why the answer is no, if it is.
#[derive(Debug)]
pub struct Benched {
    /// The figures.
    pub bench: Bench,
    /// What changed, if that was asked for.
    pub compared: Option<BenchCompared>,
    /// Why the answer is no.
    pub refused: Option<Box<Diag>>,
}

/// Measures one inference of what `path` names: a case file, an int8 program, or the folder of an emitted crate.
pub fn bench(path: &Path, options: &BenchOptions, progress: &dyn Progress) -> Result<Benched> {
    if let Some(save) = &options.save {
        spare(save, [path])?;
    }
    let baseline = options.compare.as_deref().map(read).transpose()?;
    let subject = Subject::open(path, &options.subject, options.plan.optimize, progress)?;
    let Subject { program, target, name, emitted, plan: wanted_plan, .. } = &subject;
    if let Some(baseline) = baseline.as_ref().filter(|baseline| baseline.target != target.name) {
        return Diag::new("bench/other-target", "the baseline is of another target")
            .expected(&target.name, &baseline.target)
            .help(format!("give --target {}, or a baseline of {}", baseline.target, target.name))
            .err();
    }
    let inputs = random_inputs(program, 1);
    let made_for = emitted.as_ref().map_or(target, |emitted| &emitted.target);
    let plan = plan::plan_as(program, made_for, wanted_plan)?;
    let samples = golden(program, &inputs);
    let options_emit = emit::Options { samples, ..emit::Options::default() };
    let mut files = emit::emit(program, &plan, target, &options_emit)?;
    // An emitted crate is measured as it is; only if it is what would be emitted now, its kernels are known.
    let known = emitted.as_ref().is_none_or(|emitted| schedule(&emitted.files) == schedule(&files));
    if let Some(emitted) = emitted {
        files.clone_from(&emitted.files);
        for file in &mut files {
            match file.path.as_str() {
                "memory.x" => file.bytes = bare_metal::memory_x(target).into_bytes(),
                ".cargo/config.toml" => file.bytes = bare_metal::cargo_config(target).into_bytes(),
                _ => {}
            }
        }
    }
    progress.stage("measure");
    let defaults = bench::Options::default();
    let wanted =
        bench::Options { compiler: options.compiler.clone().unwrap_or_else(|| defaults.compiler.clone()), ..defaults };
    let measured = bench::measure(&files, program, inputs.sample(0), target, &wanted)?;
    let layers = program.layers.iter().zip(&measured.layers).enumerate();
    let layers = layers.map(|(index, (layer, counts))| row(program, known.then_some(&plan), index, layer, counts));
    let macs = program.macs();
    let strips = plan.strips.iter().filter(|_| known).map(|strip| {
        format!("layers {} to {} advance together: their instructions stand with the last one", strip.first, strip.last)
    });
    let notes = measured.notes.iter().cloned().chain(strips).collect();
    let bench = Bench {
        schema: SCHEMA,
        name: name.clone(),
        target: target.name.clone(),
        machine: measured.machine.clone(),
        macs,
        instructions: measured.whole.instructions,
        est_cycles: measured.whole.cycles,
        instructions_per_mac: per_mac(measured.whole.instructions, macs),
        exact: measured.exact,
        flash_bytes: measured.footprint.total_bytes,
        weights_bytes: measured.footprint.weights_bytes,
        tables_bytes: measured.footprint.tables_bytes,
        code_bytes: measured.footprint.code_bytes,
        arena_bytes: plan.arena_bytes as u64,
        stack_bytes: measured.stack_bytes,
        layers: layers.collect(),
        notes,
    };
    if let Some(path) = &options.save {
        let mut json = serde_json::to_vec_pretty(&bench)
            .map_err(|e| Diag::new("bench/save", format!("cannot write the figures: {e}")))?;
        json.push(b'\n');
        output::write_file(path, &json)?;
    }
    let change = options.compare.as_ref().zip(baseline);
    let change = change.map(|(path, old)| Change::new(path.display().to_string(), &old, &bench));
    let refused = change.as_ref().and_then(|change| slower(change, &bench).err());
    let compared = change.map(|compared| BenchCompared { bench: bench.clone(), compared });
    Ok(Benched { bench, compared, refused })
}

fn slower(change: &Change, bench: &Bench) -> Result<()> {
    if change.rise <= RISE {
        return Ok(());
    }
    let rise = change.rise * 100.0;
    Diag::no("bench/slower", format!("one inference takes {rise:.2} % more instructions than the baseline"))
        .at(&change.baseline)
        .expected(format!("at most {} % more than {}", RISE * 100.0, change.instructions), bench.instructions)
        .help("the table names the layers; if the rise is meant, write a new baseline with --save")
        .err()
}

/// Figures that `--save` wrote.
fn read(path: &Path) -> Result<Bench> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Diag::new("bench/baseline", format!("cannot read the baseline: {e}")).at(path.display()))?;
    let bench = serde_json::from_str(&text).map_err(|e| {
        Diag::new("bench/baseline", format!("this is no baseline: {e}"))
            .at(path.display())
            .help("write one with `fratc bench --save FILE`")
    })?;
    Ok(bench)
}

fn schedule(files: &[EmittedFile]) -> Option<&[u8]> {
    files.iter().find(|file| file.path == "src/layers.rs").map(|file| &file.bytes[..])
}

fn row(program: &Program, plan: Option<&Plan>, index: usize, layer: &Layer, counts: &Counts) -> BenchLayer {
    let shape = |Hwc { h, w, c }: Hwc| [h, w, c];
    let macs = program.layer_macs(layer);
    let in_strip = plan.is_some_and(|plan| plan.steps[index].strip.is_some());
    BenchLayer {
        name: layer.name.clone(),
        op: words(&layer.op),
        input: shape(program.tensor(layer.inputs[0]).shape),
        output: shape(program.tensor(layer.output).shape),
        kernel: plan.map(|plan| plan.steps[index].kernel.name().to_string()),
        macs,
        instructions: counts.instructions,
        est_cycles: counts.cycles,
        instructions_per_mac: per_mac(counts.instructions, macs).filter(|_| !in_strip),
        weights_bytes: plan.map(|plan| plan.sizes.layers[index].weights as u64),
    }
}

fn per_mac(instructions: u64, macs: u64) -> Option<f64> {
    (macs > 0).then(|| instructions as f64 / macs as f64)
}

/// `conv 3x3 s2`.
pub(super) fn words(op: &Op) -> String {
    let windowed = |name: &str, window: &Window| {
        let [kh, kw] = window.kernel;
        let mut words = format!("{name} {kh}x{kw}");
        for (letter, [v, h]) in [("s", window.stride), ("d", window.dilation)] {
            if v != h {
                let _ = write!(words, " {letter}{v}x{h}");
            } else if v != 1 {
                let _ = write!(words, " {letter}{v}");
            }
        }
        words
    };
    match op {
        Op::Conv(conv) => windowed("conv", &conv.window),
        Op::Depthwise(conv) => windowed("depthwise", &conv.window),
        Op::Dense(_) => "dense".into(),
        Op::Add(_) => "add".into(),
        Op::MaxPool(window) => windowed("max pool", window),
        Op::AvgPool(pool) => windowed("mean pool", &pool.window),
        Op::Concat => "concat".into(),
        Op::Lookup(_) => "lookup".into(),
        Op::Grouped(grouped) => windowed("grouped", &grouped.conv.window),
        Op::Gate(_) => "gate".into(),
        Op::Flatten => "flatten".into(),
        Op::Adapt(_) => "adapt".into(),
    }
}
