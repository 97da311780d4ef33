//! Validation of running firmware: samples go to the device, what it says is compared bit for bit.
//!
//! In: a [`Port`] to a device that runs the firmware's `validate` program, the [`Program`] and raw samples. Out: a
//! [`DeviceRun`]. Guaranteed: a sample counts as compared only if every frame of it came whole and the device
//! ran on exactly its bytes; a device that is cut off, silent or garbled ends in an error within the silence limit,
//! never in a result.
//!
//! - `frame`: COBS and CRC-32
//! - `message`: requests and replies
//! - `port`: serial ports, sockets, QEMU
//! - `session`: repeats what was lost
//!
//! `docs/device.md` describes the protocol.

pub mod frame;
pub mod message;
mod port;
mod session;

use std::time::Duration;

pub use message::Mode;
pub use port::{Port, Wait};
pub use session::{Ran, Session};

use super::check_samples;
use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::qir::Program;
use crate::sim;
use message::{PIECE, Reply, VERSION};

/// How a device is asked.
#[derive(Debug, Clone, Copy)]
pub struct DeviceOptions {
    /// Samples, the first ones.
    pub samples: usize,
    /// Compare every layer's output, not only the scores.
    pub trace: bool,
    /// Longest time without an answer.
    pub silence: Duration,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        // Ten seconds are promised; a request is repeated well before.
        Self { samples: 64, trace: false, silence: Duration::from_secs(9) }
    }
}

/// What a device said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRun {
    /// The device.
    pub device: String,
    /// Compared.
    pub samples: usize,
    /// Of which a score, or with a trace a byte of a layer, differs.
    pub mismatches: usize,
    /// Layers of a trace that were not shown, since the device never has all of their output, or shows it as part of another one.
    pub hidden: usize,
    /// Class of every sample, as the device said.
    pub classes: Vec<usize>,
    /// Mean ticks of one inference.
    pub ticks: u64,
    /// Ticks of each layer, on the first sample.
    pub layer_ticks: Vec<u32>,
    /// Most bytes of stack of one inference, from painted memory.
    pub stack_bytes: u32,
    /// Bytes that the firmware leaves for the stack.
    pub stack_room: u32,
    /// Requests that were sent again.
    pub resent: u64,
    /// Frames that came damaged.
    pub damaged: u64,
    /// Where the first difference is.
    pub first: Option<String>,
}

impl DeviceRun {
    /// `Ok` if nothing differs.
    ///
    /// # Errors
    /// `device/mismatch`, the answer no (exit code 1).
    pub fn check(&self) -> Result<()> {
        let Some(first) = &self.first else { return Ok(()) };
        let what = format!("the device differs from the program for {} of {} samples", self.mismatches, self.samples);
        Diag::no("device/mismatch", format!("{what}: {first}"))
            .at(&self.device)
            .help("flash the firmware of this crate again; `--trace` names the first layer that differs")
            .err()
    }
}

/// Runs `samples` on the device behind `port`; `fingerprint` is that of the program's firmware.
///
/// # Errors
/// `device/gone`, `device/silent`, `device/damaged` (see [`Session`]); `device/other-firmware`;
/// those of samples that are not the program's.
pub fn validate(
    port: Port,
    program: &Program,
    fingerprint: &[u8],
    samples: &Samples,
    options: &DeviceOptions,
) -> Result<DeviceRun> {
    check_samples(program, samples)?;
    let mut session = Session::new(port, options.silence);
    let stack_room = greet(&mut session, program, fingerprint)?;
    let mut lengths: Vec<usize> = program.layers.iter().map(|l| program.tensor(l.output).shape.len()).collect();
    lengths.push(program.tensor(program.output).shape.len());
    let mut run = DeviceRun {
        device: session.name().to_string(),
        samples: 0,
        mismatches: 0,
        hidden: 0,
        classes: Vec::new(),
        ticks: 0,
        layer_ticks: Vec::new(),
        stack_bytes: 0,
        stack_room,
        resent: 0,
        damaged: 0,
        first: None,
    };
    let mut ticks = 0;
    let mode = if options.trace { Mode::Trace } else { Mode::Scores };
    for index in 0..samples.len().min(options.samples) {
        let input = samples.sample(index);
        let ran = inference(&mut session, input, mode, &lengths)?;
        if let Some(difference) = difference(program, input, &ran, options.trace) {
            run.mismatches += 1;
            run.first.get_or_insert(format!("sample {index}, {difference}"));
        }
        run.samples += 1;
        run.hidden = run.hidden.max(ran.layers.iter().filter(|layer| layer.is_empty()).count());
        run.classes.push(ran.class as usize);
        run.stack_bytes = run.stack_bytes.max(ran.stack);
        ticks += u64::from(ran.ticks);
        if index == 0 {
            let ran = inference(&mut session, input, Mode::Ticks, &lengths)?;
            run.layer_ticks = ran.layer_ticks.into_iter().flatten().collect();
        }
    }
    run.ticks = ticks / run.samples.max(1) as u64;
    (run.resent, run.damaged) = (session.resent, session.damaged);
    Ok(run)
}

/// Asks who is there; bytes that it leaves for the stack.
fn greet(session: &mut Session, program: &Program, expected: &[u8]) -> Result<u32> {
    let Reply::Hello { version, fingerprint, input, classes, layers, stack_room } = session.hello()? else {
        return Err(session.error("device/silent", "no answer to the first question"));
    };
    let shape = [
        u64::from(input) == program.tensor(program.input()).shape.len() as u64,
        u64::from(classes) == program.classes.len() as u64,
        u64::from(layers) == program.layers.len() as u64,
    ];
    if version != VERSION {
        return Diag::new("device/version", "the device speaks another version of the protocol")
            .at(session.name())
            .expected(VERSION, version)
            .help("write the firmware anew with this fratc, and flash it")
            .err();
    }
    if fingerprint != expected || shape.contains(&false) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        return Diag::new("device/other-firmware", "the device runs another network than this crate's")
            .at(session.name())
            .expected(hex(expected), hex(&fingerprint))
            .help("flash this crate's firmware: `fratc flash DIR --validate`")
            .err();
    }
    Ok(stack_room)
}

/// Sends one input and runs it; again if the device ran on other bytes than were meant.
fn inference(session: &mut Session, input: &[u8], mode: Mode, lengths: &[usize]) -> Result<Ran> {
    for _ in 0..3 {
        for (index, piece) in input.chunks(PIECE).enumerate() {
            session.piece(index * PIECE, piece)?;
        }
        let ran = session.run(mode, lengths)?;
        if ran.input_crc == frame::crc32(input) {
            return Ok(ran);
        }
    }
    Err(session.error("device/damaged", "the device does not hold the input that was sent"))
}

/// What differs from the program, if anything.
fn difference(program: &Program, input: &[u8], ran: &Ran, trace: bool) -> Option<String> {
    let place = |name: &str, expected: &[i8], found: &[u8]| {
        let at = expected.iter().zip(found).position(|(&e, &f)| e as u8 != f)?;
        Some(format!("{name}, byte {at}: expected {}, found {}", expected[at], found[at] as i8))
    };
    if trace {
        let tensors = sim::trace(program, input);
        for (layer, found) in program.layers.iter().zip(&ran.layers) {
            let difference = place(&format!("layer `{}`", layer.name), &tensors[layer.output.index()], found);
            if difference.is_some() {
                return difference;
            }
        }
    }
    let scores = sim::run(program, input);
    let class = scores.iter().enumerate().rev().max_by_key(|(_, score)| **score).map_or(0, |(class, _)| class);
    place("the scores", &scores, &ran.scores).or_else(|| {
        let right = ran.class as usize == class;
        (!right).then(|| format!("the class: expected {class}, found {}", ran.class))
    })
}
