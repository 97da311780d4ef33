//! Runs a program under a time limit, with bounded output.
//!
//! A program and all that it starts (cargo its compilers) are one process group, which is killed as a whole: at the
//! limit, and by [`stop_all`] when the user interrupts.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a program ended.
pub(crate) struct Finished {
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
pub(crate) enum Stopped {
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

/// Programs that run right now.
static RUNNING: Mutex<Running> = Mutex::new(Running { ids: Vec::new(), stopped: false });

struct Running {
    /// Their process ids, which are those of their groups too.
    ids: Vec<u32>,
    /// Whether [`stop_all`] was called.
    stopped: bool,
}

/// The running programs. Never returns once they were stopped: the process is about to end, and nothing that they
/// left undone shall be reported.
fn running() -> MutexGuard<'static, Running> {
    loop {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.stopped {
            return running;
        }
        drop(running);
        std::thread::park();
    }
}

/// Kills every program that runs, right before the process ends; whoever waits for one or starts another waits for
/// that end.
pub fn stop_all() {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.stopped = true;
    let ids = std::mem::take(&mut running.ids);
    drop(running);
    for &id in &ids {
        kill_group(id);
    }
    for id in ids {
        await_group(id);
    }
}

/// Makes the child the leader of a group of its own.
#[cfg(unix)]
fn lead_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn lead_group(_: &mut Command) {}

/// Kills the group that `id` leads. Through the shell, which every Unix has: the standard library kills only
/// children, not what they started.
fn kill_group(id: u32) {
    shell("kill -s KILL -- \"-$0\"", id);
}

/// Waits until nobody of the group that `id` leads is left, two seconds at most.
fn await_group(id: u32) {
    shell("n=0; while [ $n -lt 100 ] && kill -s 0 -- \"-$0\"; do n=$((n + 1)); sleep 0.02; done", id);
}

fn shell(script: &str, id: u32) {
    if cfg!(unix) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, &id.to_string()]);
        // Nobody left to kill is what is wanted, not a failure.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Starts `command`, known to [`stop_all`] from the first moment.
pub(super) fn start(command: &mut Command) -> std::io::Result<Child> {
    lead_group(command);
    let mut running = running();
    let child = command.spawn()?;
    running.ids.push(child.id());
    Ok(child)
}

/// Kills a program that [`start`] started, and whatever it started.
pub(super) fn end(child: &mut Child) {
    kill_group(child.id());
    // It may have ended by itself in between: both results are then ones to ignore.
    let _ = child.kill();
    let _ = child.wait();
    running().ids.retain(|&id| id != child.id());
}

/// Runs `command` for at most `limit`, reading at most `most` bytes from each of its outputs.
pub(crate) fn run(command: &mut Command, limit: Duration, most: usize) -> Result<Finished, Stopped> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command).map_err(|error| match error.kind() {
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
    if ended.is_err() {
        kill_group(child.id());
        // The program may have ended by itself in between: both results are then ones to ignore.
        let _ = child.kill();
        let _ = child.wait();
        await_group(child.id());
    }
    running().ids.retain(|&id| id != child.id());
    let status = ended?;
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
