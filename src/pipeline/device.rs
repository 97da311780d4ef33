//! `fratc verify --on-device`: running firmware asked for what the program says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::data::{Case, Samples};
use crate::diag::{Diag, Result};
use crate::firmware::{self, VALIDATE};
use crate::pipeline::Progress;
use crate::pipeline::emit::random_inputs;
use crate::pipeline::firmware::{folder, open, read, regions as write_regions};
use crate::qir::Program;
use crate::report::SCHEMA;
use crate::verify::device::{self, DeviceRun, Port};
use crate::verify::{self, RegionUse};

/// What the user wants of a device.
#[derive(Debug, Clone)]
pub struct DeviceVerifyOptions {
    /// Case whose test samples are the inputs; random ones without.
    pub case: Option<PathBuf>,
    /// Samples to run.
    pub samples: usize,
    /// Another board than the crate was emitted for.
    pub target: Option<String>,
    /// The way to the device; QEMU if `None` and the target has a machine there.
    pub port: Option<String>,
    /// Of a serial port.
    pub baud: u32,
    /// Compare every layer.
    pub trace: bool,
    /// Longest time without an answer.
    pub silence: Duration,
}

/// Share of right answers.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceAccuracy {
    /// Samples with a label.
    pub samples: usize,
    /// Fraction of them that the device classified right.
    pub device: f64,
}

/// One layer on the device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceLayer {
    /// Name.
    pub name: String,
    /// Ticks of the device's clock, on the first sample.
    pub ticks: u32,
}

/// What `verify --on-device --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceSummary {
    /// Layout version.
    pub schema: u32,
    /// The crate's folder.
    pub path: String,
    /// Board.
    pub target: String,
    /// The way to it.
    pub device: String,
    /// Compared.
    pub samples: usize,
    /// Of which something differs.
    pub mismatches: usize,
    /// Whether layers were compared.
    pub traced: bool,
    /// Layers that were not, since the device never has all of their output, or shows it as part of another one.
    pub hidden_layers: usize,
    /// Against the labels of the case's test samples; `null` without a case.
    pub accuracy: Option<DeviceAccuracy>,
    /// Mean ticks of one inference: cycles on a board, of the machine's clock in QEMU.
    pub ticks_per_inference: u64,
    /// Frequency of the ticks in Hz, if it is known: it is for QEMU.
    pub tick_hz: Option<u32>,
    /// Each layer.
    pub layers: Vec<DeviceLayer>,
    /// Most bytes of stack that one inference takes, from painted memory.
    pub stack_bytes: u32,
    /// Bytes that the validating firmware leaves for the stack.
    pub stack_room_bytes: u32,
    /// Requests that were sent again.
    pub resent: u64,
    /// Frames that came damaged.
    pub damaged: u64,
    /// Every memory of the board with the validating firmware; empty if it was not built here.
    pub regions: Vec<RegionUse>,
}

/// Compares what the device says with the program; a difference is the answer no.
pub fn verify_device(dir: &Path, options: &DeviceVerifyOptions, progress: &dyn Progress) -> Result<DeviceSummary> {
    let (target, program) = open(dir, options.target.as_ref())?;
    let (inputs, labels) = inputs(&program, options)?;
    let mut regions = Vec::new();
    let port = match &options.port {
        Some(port) => Port::open(port, options.baud)?,
        None if target.qemu.is_some() => {
            progress.stage("build");
            let elf = verify::build_firmware(&folder(dir)?, VALIDATE, &target)?;
            regions = verify::region_table(&read(&elf)?, &target)?;
            Port::qemu(&target, &elf)?
        }
        None => {
            return Diag::new("device/no-port", format!("no way to the {} is given", target.name))
                .help(
                    "flash the validating firmware (`fratc flash DIR --validate`), then give --port: it talks over RTT, so                      an RTT server that passes raw bytes on, such as OpenOCD's (`rtt server start 9090 0`): --port                      tcp:localhost:9090; docs/device.md has the commands",
                )
                .err();
        }
    };
    progress.stage("device");
    let wanted = device::DeviceOptions { samples: options.samples, trace: options.trace, silence: options.silence };
    let run = device::validate(port, &program, &firmware::fingerprint(&program)?, &inputs, &wanted)?;
    run.check()?;
    Ok(DeviceSummary {
        schema: SCHEMA,
        path: dir.display().to_string(),
        target: target.name.clone(),
        device: run.device.clone(),
        samples: run.samples,
        mismatches: run.mismatches,
        traced: options.trace,
        hidden_layers: run.hidden,
        accuracy: labels.map(|labels| accuracy(&run, &labels)),
        ticks_per_inference: run.ticks,
        tick_hz: target.qemu.is_some().then_some(target.clock_hz),
        layers: program
            .layers
            .iter()
            .zip(&run.layer_ticks)
            .map(|(layer, &ticks)| DeviceLayer { name: layer.name.clone(), ticks })
            .collect(),
        stack_bytes: run.stack_bytes,
        stack_room_bytes: run.stack_room,
        resent: run.resent,
        damaged: run.damaged,
        regions,
    })
}

fn accuracy(run: &DeviceRun, labels: &[usize]) -> DeviceAccuracy {
    let samples = run.classes.len();
    let right = run.classes.iter().zip(labels).filter(|(class, label)| class == label).count();
    DeviceAccuracy { samples, device: right as f64 / samples.max(1) as f64 }
}

/// The case's test samples of the crate's classes, in the order that meets every class early, and their classes.
fn inputs(program: &Program, options: &DeviceVerifyOptions) -> Result<(Samples, Option<Vec<usize>>)> {
    let random = random_inputs(program, options.samples);
    let Some(path) = &options.case else {
        return Ok((random, None));
    };
    let case = Case::load(path)?;
    let test = case.test()?;
    let class = |index: usize| {
        let name = case.label_names.get(*test.labels.get(index)? as usize)?;
        program.classes.iter().position(|class| class == name)
    };
    // As many of each class as there is room for, not the first class alone.
    let mut ranks = vec![0; program.classes.len()];
    let mut chosen: Vec<(usize, usize, usize)> = Vec::new();
    for index in 0..test.len() {
        if let Some(class) = class(index) {
            chosen.push((ranks[class], index, class));
            ranks[class] += 1;
        }
    }
    chosen.sort_unstable();
    let indices: Vec<usize> = chosen.iter().map(|(_, index, _)| *index).collect();
    if indices.is_empty() {
        return Diag::new("verify/input", "the case has no test samples of this crate's classes")
            .at(path.display())
            .err();
    }
    Ok((test.select(&indices), Some(chosen.into_iter().map(|(.., class)| class).collect())))
}

impl fmt::Display for DeviceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.traced, self.hidden_layers) {
            (true, 0) => "every layer".to_string(),
            (true, hidden) => format!("every layer but {hidden} whose output is never whole or is part of another"),
            (false, _) => "every score".to_string(),
        };
        writeln!(f, "device  {}: {} samples, {what}, {} mismatches", self.device, self.samples, self.mismatches)?;
        if let Some(accuracy) = &self.accuracy {
            writeln!(f, "accuracy  {:.2} % of {} samples", 100.0 * accuracy.device, accuracy.samples)?;
        }
        let unit = self.tick_hz.map_or_else(|| "cycles".into(), |hz| format!("ticks of {hz} Hz"));
        writeln!(f, "time  {} {unit} per inference", self.ticks_per_inference)?;
        for layer in &self.layers {
            writeln!(f, "  {:<24} {:>12}", layer.name, layer.ticks)?;
        }
        writeln!(f, "stack  {} bytes of {}, from painted memory", self.stack_bytes, self.stack_room_bytes)?;
        write_regions(f, &self.regions)?;
        writeln!(f, "line  {} requests sent again, {} frames damaged", self.resent, self.damaged)
    }
}
