//! Runs a program under a time limit, with bounded output.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How a program ended.
pub(super) struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The last `lines` lines that it printed to stderr, or to stdout if there are none.
    pub fn tail(&self, lines: usize) -> String {
        let bytes = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(bytes);
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        all[all.len().saturating_sub(lines)..].join(" | ")
    }
}

/// Why a program did not end by itself.
pub(super) enum Stopped {
    /// There is no such program.
    Missing,
    /// It ran longer than the limit and was killed.
    TimeOut,
    /// It printed more than the limit and was killed.
    TooMuchOutput,
    /// It could not be started or waited for.
    Io(std::io::Error),
}

/// Pause between two looks at a running program.
const POLL: Duration = Duration::from_millis(5);
/// How long output is waited for after the end: a grandchild may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs `command` for at most `limit`, reading at most `most` bytes from each of its outputs.
pub(super) fn run(command: &mut Command, limit: Duration, most: usize) -> Result<Finished, Stopped> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Stopped::Missing,
        _ => Stopped::Io(error),
    })?;
    let stdout = child.stdout.take().map(|pipe| collect(pipe, most));
    let stderr = child.stderr.take().map(|pipe| collect(pipe, most));
    let mut outputs = [stdout, stderr].map(|receiver| Output { receiver, bytes: None });
    let start = Instant::now();
    let ended = loop {
        for output in &mut outputs {
            output.wait(Duration::ZERO);
        }
        if outputs.iter().any(|output| output.bytes.as_ref().is_some_and(|bytes| bytes.len() > most)) {
            break Err(Stopped::TooMuchOutput);
        }
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if start.elapsed() > limit => break Err(Stopped::TimeOut),
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => break Err(Stopped::Io(error)),
        }
    };
    let status = match ended {
        Ok(status) => status,
        Err(stopped) => {
            // The program may have ended by itself in between: both results are then ones to ignore.
            let _ = child.kill();
            let _ = child.wait();
            return Err(stopped);
        }
    };
    for output in &mut outputs {
        output.wait(DRAIN);
    }
    let [stdout, stderr] = outputs.map(|output| output.bytes.unwrap_or_default());
    if stdout.len() > most || stderr.len() > most {
        return Err(Stopped::TooMuchOutput);
    }
    Ok(Finished { status, stdout, stderr })
}

/// One of the two outputs: its bytes once it has ended or grown past the limit.
struct Output {
    receiver: Option<Receiver<Vec<u8>>>,
    bytes: Option<Vec<u8>>,
}

impl Output {
    fn wait(&mut self, time: Duration) {
        if let Some(receiver) = &self.receiver
            && self.bytes.is_none()
        {
            match receiver.recv_timeout(time) {
                Ok(bytes) => self.bytes = Some(bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.receiver = None,
            }
        }
    }
}

/// Reads `pipe` to its end, or until one byte more than `most` was read.
fn collect(pipe: impl Read + Send + 'static, most: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // An error of a pipe is its end.
        let _ = pipe.take(most as u64 + 1).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}
