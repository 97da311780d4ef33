//! One request after the other: each is repeated until its reply comes whole, for a limited time.

use std::time::{Duration, Instant};

use super::frame::{self, Decoder, Received};
use super::message::{Mode, Numbered, Reply, Request};
use super::port::{Port, Wait};
use crate::diag::{Diag, Result};

/// How long a reply may take before the request is sent again.
const AGAIN: Duration = Duration::from_millis(700);
/// The same for a run that sends its layers, which the device would do all over.
const AGAIN_TRACE: Duration = Duration::from_secs(4);
/// Times that a request is repeated because its reply was damaged.
const DAMAGED: u32 = 12;

/// A conversation.
pub struct Session {
    port: Port,
    decoder: Decoder,
    sequence: u16,
    /// Longest time without any progress.
    silence: Duration,
    /// Requests that were sent again.
    pub resent: u64,
    /// Frames that came damaged.
    pub damaged: u64,
}

/// What one inference gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// Index of the largest score.
    pub class: u32,
    /// Of the device's clock.
    pub ticks: u32,
    /// Bytes.
    pub stack: u32,
    /// CRC-32 of the input.
    pub input_crc: u32,
    /// Scores.
    pub scores: Vec<u8>,
    /// Output of each layer, if asked for; empty where the device never has all of it.
    pub layers: Vec<Vec<u8>>,
    /// Ticks of each layer, if asked for.
    pub layer_ticks: Vec<Option<u32>>,
}

/// A layer's output as it comes in pieces, from one run or several.
struct Tensor {
    bytes: Vec<u8>,
    here: Vec<bool>,
    missing: usize,
}

impl Tensor {
    fn new(length: usize) -> Self {
        Self { bytes: vec![0; length], here: vec![false; length], missing: length }
    }

    /// Takes a piece; what lies outside is left out, and so stays missing. An empty one says that the device never has all of
    /// the output at once, and so shows none of it.
    fn put(&mut self, offset: usize, piece: &[u8]) {
        if piece.is_empty() {
            *self = Self::new(0);
        }
        let Some(end) = offset.checked_add(piece.len()).filter(|&end| end <= self.bytes.len()) else { return };
        self.bytes[offset..end].copy_from_slice(piece);
        self.missing -= self.here[offset..end].iter().filter(|here| !**here).count();
        self.here[offset..end].fill(true);
    }
}

/// What a reply means to the request that waits.
enum Step {
    /// The end.
    Done,
    /// More will come; the clock starts again.
    Progress,
    /// Something is missing: ask again.
    Again,
}

impl Session {
    /// Over `port`; more than `silence` without progress is an error.
    pub fn new(port: Port, silence: Duration) -> Self {
        Self { port, decoder: Decoder::default(), sequence: 0, silence, resent: 0, damaged: 0 }
    }

    /// What the other side is called.
    pub fn name(&self) -> &str {
        &self.port.name
    }

    /// Asks who is there.
    ///
    /// # Errors
    /// `device/gone`, `device/silent`, `device/damaged`.
    pub fn hello(&mut self) -> Result<Reply> {
        let mut answer = None;
        self.ask(&Request::Hello, AGAIN, &mut |reply| {
            let done = matches!(reply, Reply::Hello { .. });
            answer = Some(reply);
            if done { Step::Done } else { Step::Again }
        })?;
        answer.map_or_else(|| Err(self.error("device/silent", "no answer")), Ok)
    }

    /// Sends a piece of the input.
    ///
    /// # Errors
    /// As [`Self::hello`]; `device/refused`.
    pub fn piece(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let mut refused = false;
        self.ask(&Request::Piece { offset: offset as u32, bytes: bytes.to_vec() }, AGAIN, &mut |reply| {
            refused = reply == Reply::Refused;
            if refused || reply == Reply::Taken { Step::Done } else { Step::Again }
        })?;
        if refused { Err(self.error("device/refused", "it does not take inputs of this size")) } else { Ok(()) }
    }

    /// Runs the input; `lengths` are those of the layers' outputs and, last, of the scores.
    ///
    /// # Errors
    /// As [`Self::hello`].
    pub fn run(&mut self, mode: Mode, lengths: &[usize]) -> Result<Ran> {
        let (layers, classes) = (lengths.len() - 1, lengths[lengths.len() - 1]);
        // What is missing of one run the next one brings: the input and so the outputs are the same.
        let mut tensors: Vec<Tensor> = lengths.iter().map(|&length| Tensor::new(length)).collect();
        let mut ran = Ran { layer_ticks: vec![None; layers], ..Ran::default() };
        let again = if mode == Mode::Scores { AGAIN } else { AGAIN_TRACE };
        self.ask(&Request::Run(mode), again, &mut |reply| match reply {
            Reply::Taken => Step::Progress,
            Reply::Layer { layer, offset, bytes } => {
                if let Some(tensor) = tensors.get_mut(layer as usize) {
                    tensor.put(offset as usize, &bytes);
                }
                Step::Progress
            }
            Reply::Ticks { layer, ticks } => {
                if let Some(slot) = ran.layer_ticks.get_mut(layer as usize) {
                    *slot = Some(ticks);
                }
                Step::Progress
            }
            Reply::Done { class, ticks, stack, input_crc, scores } => {
                (ran.class, ran.ticks, ran.stack, ran.input_crc, ran.scores) = (class, ticks, stack, input_crc, scores);
                if let Some(many) = tensors.last().filter(|tensor| ran.scores.is_empty() && tensor.missing == 0) {
                    ran.scores.clone_from(&many.bytes);
                }
                let whole = match mode {
                    Mode::Scores => true,
                    Mode::Ticks => ran.layer_ticks.iter().all(Option::is_some),
                    Mode::Trace => tensors.iter().take(layers).all(|tensor| tensor.missing == 0),
                };
                if whole && ran.scores.len() == classes { Step::Done } else { Step::Again }
            }
            Reply::Hello { .. } | Reply::Refused => Step::Again,
        })?;
        tensors.truncate(layers);
        if mode == Mode::Trace {
            ran.layers = tensors.into_iter().map(|tensor| tensor.bytes).collect();
        }
        Ok(ran)
    }

    /// Sends `request` until `on` has what it wants.
    fn ask(&mut self, request: &Request, again: Duration, on: &mut dyn FnMut(Reply) -> Step) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = Numbered { sequence: self.sequence, message: request };
        let bytes = postcard::to_stdvec(&message)
            .map_err(|error| self.error("device/message", &format!("a message cannot be written: {error}")))?;
        let frame = frame::encode(&bytes);
        let mut failures = 0;
        self.port.send(frame.clone());
        let (mut deadline, mut resend) = (Instant::now() + self.silence, Instant::now() + again);
        loop {
            let now = Instant::now();
            if now >= deadline {
                let what = format!("no answer for {} s", self.silence.as_secs_f64());
                return Err(self.error(if failures > 0 { "device/damaged" } else { "device/silent" }, &what));
            }
            let incoming = match self.port.wait(resend.min(deadline).saturating_duration_since(now)) {
                Wait::Bytes(incoming) => incoming,
                Wait::End => return Err(self.error("device/gone", "the connection ended")),
                Wait::Silence => {
                    if Instant::now() >= resend {
                        self.resent += 1;
                        self.port.send(frame.clone());
                        resend = Instant::now() + again;
                    }
                    continue;
                }
            };
            for byte in incoming {
                let reply = match self.decoder.take(byte) {
                    None => continue,
                    Some(Received::Damaged) => None,
                    Some(Received::Message(message)) => postcard::from_bytes::<Numbered<Reply>>(&message).ok(),
                };
                let step = match reply {
                    // Late, or the second of two: the request that it answers is done with.
                    Some(reply) if reply.sequence != self.sequence => continue,
                    Some(reply) => on(reply.message),
                    None => {
                        self.damaged += 1;
                        if again == AGAIN_TRACE {
                            // The run goes on; what is missing shows at its end.
                            continue;
                        }
                        Step::Again
                    }
                };
                match step {
                    Step::Done => return Ok(()),
                    Step::Progress => {
                        (deadline, resend) = (Instant::now() + self.silence, Instant::now() + again);
                    }
                    Step::Again => {
                        failures += 1;
                        if failures > DAMAGED {
                            let what = format!("{failures} answers in a row came damaged");
                            return Err(self.error("device/damaged", &what));
                        }
                        self.resent += 1;
                        self.port.send(frame.clone());
                        resend = Instant::now() + again;
                    }
                }
            }
        }
    }

    /// An error at this device.
    pub fn error(&self, code: &'static str, what: &str) -> Box<Diag> {
        let help = "nothing was verified; check the connection, reset the device and run it again \
                    (it must run the `validate` program: `fratc flash DIR --validate`)";
        Box::new(Diag::new(code, what).at(&self.port.name).help(help))
    }
}
