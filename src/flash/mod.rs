//! Firmware onto a board: through the installed probe-rs, or as a file that the board takes by itself.
//!
//! In: a linked firmware and its [`Target`]. Out: a [`Job`] that says what will be erased and written, and
//! [`flash`], which does it; or the bytes of a UF2 or hex file. Guaranteed: a locked chip is never unlocked, since
//! that erases it; what probe-rs says is passed on, with the next step.
//!
//! - `image`: UF2 and Intel hex

mod image;

use std::process::Command;
use std::time::Duration;

pub use image::{hex, uf2};

use crate::diag::{Diag, Result};
use crate::target::{Image, Target};
use crate::verify::{Finished, Segment, Stopped, run_program};

/// Longest time that flashing may take.
const LIMIT: Duration = Duration::from_mins(5);
/// Most bytes of messages.
const OUTPUT: usize = 1 << 20;

/// What is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// probe-rs's name of the chip.
    pub chip: String,
    /// The probe, as `probe-rs list` names it.
    pub probe: Option<String>,
    /// First address and bytes of every stretch that is written; the flash sectors around it are erased.
    pub writes: Vec<(u32, usize)>,
}

impl Job {
    /// The job of writing `segments` to a board.
    ///
    /// # Errors
    /// `flash/no-chip` for a target that probe-rs cannot flash.
    pub fn new(target: &Target, segments: &[Segment], probe: Option<String>) -> Result<Self> {
        let Some(chip) = target.probe_rs.clone() else {
            let help = match (&target.qemu, target.image) {
                (Some(_), _) => "it is emulated: `cargo run --release` in the firmware's folder starts it".to_string(),
                (None, Some(image)) => {
                    format!("write a file for the board's loader: --image FILE.{}", image.extension())
                }
                (None, None) => "give the chip's name as `probe_rs` in the target file".to_string(),
            };
            return Diag::new("flash/no-chip", format!("probe-rs cannot flash {}", target.name)).help(help).err();
        };
        let writes = segments.iter().map(|segment| (segment.address, segment.bytes.len())).collect();
        Ok(Self { chip, probe, writes })
    }

    /// The commands that do it.
    pub fn commands(&self, elf: &str) -> Vec<Vec<String>> {
        let words = |first: &[&str], last: &[&str]| {
            let mut words: Vec<String> = first.iter().map(ToString::to_string).collect();
            words.extend(["--non-interactive".into(), "--chip".into(), self.chip.clone()]);
            if let Some(probe) = &self.probe {
                words.extend(["--probe".into(), probe.clone()]);
            }
            words.extend(last.iter().map(ToString::to_string));
            words
        };
        vec![words(&["probe-rs", "download"], &["--verify", elf]), words(&["probe-rs", "reset"], &[])]
    }
}

/// Writes `elf` and starts it.
///
/// # Errors
/// `flash/no-probe-rs`, `flash/no-probe`, `flash/probe-access`, `flash/several-probes`, `flash/unknown-chip`, `flash/locked`,
/// `flash/connect`, `flash/verify`, `flash/failed`, `flash/time`.
pub fn flash(job: &Job, elf: &str) -> Result<()> {
    for words in job.commands(elf) {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        match run_program(&mut command, LIMIT, OUTPUT) {
            Ok(finished) if finished.status.success() => {}
            Ok(finished) => return Err(refused(job, &finished)),
            Err(Stopped::Missing) => {
                return Diag::new("flash/no-probe-rs", "probe-rs is not installed")
                    .help("`cargo install probe-rs-tools --locked`, or https://probe.rs/docs/getting-started/installation")
                    .err();
            }
            Err(Stopped::TimeOut) => {
                return Diag::new("flash/time", format!("probe-rs did not end within {} s", LIMIT.as_secs()))
                    .help("reset the board and the probe, and try again")
                    .err();
            }
            Err(Stopped::TooMuchOutput) => return Diag::new("flash/failed", "endless messages of probe-rs").err(),
            Err(Stopped::Io(error)) => return Diag::new("flash/failed", format!("cannot run probe-rs: {error}")).err(),
        }
    }
    Ok(())
}

/// What probe-rs's messages mean.
fn refused(job: &Job, finished: &Finished) -> Box<Diag> {
    let said = [&finished.stderr[..], &finished.stdout[..]].concat();
    let said = String::from_utf8_lossy(&said).to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let tail = finished.tail(6);
    let chip = &job.chip;
    let diag = if let Some(probe) = &job.probe
        && has(&["probe was not found", "probe could not be found"])
    {
        Diag::new("flash/no-probe", format!("the probe {probe} is not connected"))
            .help("`probe-rs list` shows what is there; without --probe the only one is taken")
    } else if has(&["could not be opened", "permission denied", "access denied"]) {
        Diag::new("flash/probe-access", format!("the probe cannot be opened: {tail}"))
            .help("does another program hold it, a debugger or `probe-rs run`? without rights on Linux: https://probe.rs/docs/getting-started/probe-setup")
    } else if has(&[
        "no connected probes",
        "no probes were found",
        "probe was not found",
        "probe could not be found",
        "no debug probes",
    ]) {
        Diag::new("flash/no-probe", "no debug probe is connected")
            .help("plug the board or its probe in; `probe-rs list` shows what is there (on Linux without rights: https://probe.rs/docs/getting-started/probe-setup)")
    } else if has(&["probes were found"]) {
        Diag::new("flash/several-probes", format!("several probes are connected: {tail}"))
            .help("choose one: --probe VID:PID:SERIAL, as `probe-rs list` names it")
    } else if has(&[
        "erase_all",
        "allow-erase-all",
        "lacked the permission",
        "core is locked",
        "device is locked",
        "readout protection",
    ]) {
        Diag::new("flash/locked", format!("the chip is locked, and unlocking erases everything on it: {tail}"))
            .help(format!("if nothing on it is needed, unlock it yourself: `probe-rs erase --chip {chip} --allow-erase-all`; fratc never does"))
    } else if has(&["not found in the database", "was not found in the registry"]) {
        Diag::new("flash/unknown-chip", format!("this probe-rs does not know {chip}: {tail}"))
            .help("update probe-rs, or correct `probe_rs` in the target file; `probe-rs chip list` shows the names")
    } else if has(&["verification failed", "verify failed", "contents do not match", "flash verification"]) {
        Diag::no("flash/verify", format!("the flash does not hold what was written: {tail}"))
            .help("try again; if it stays, the flash is worn out or part of it is protected")
    } else if has(&[
        "connecting to the chip was unsuccessful",
        "wrong chip",
        "unexpected chip",
        "no core",
        "target voltage",
    ]) {
        Diag::new("flash/connect", format!("no connection to a {chip}: {tail}"))
            .help("is this the board that the firmware is for (`fratc targets`)? check power and wiring; a chip with readout protection refuses too")
    } else {
        Diag::new("flash/failed", format!("probe-rs failed: {tail}")).help("`probe-rs info` tests probe and wiring")
    };
    Box::new(diag)
}

/// The bytes of the file that `target` takes without a probe.
///
/// # Errors
/// `flash/no-image` for a board that takes none.
pub fn image(target: &Target, segments: &[Segment]) -> Result<Vec<u8>> {
    match target.image {
        Some(Image::Uf2(family)) => Ok(uf2(segments, family)),
        Some(Image::Hex) => Ok(hex(segments).into_bytes()),
        None => Diag::new("flash/no-image", format!("{} takes no file: it is flashed through a probe", target.name))
            .help("leave --image out; a board with a UF2 or hex loader says so as `image` in its target file")
            .err(),
    }
}
