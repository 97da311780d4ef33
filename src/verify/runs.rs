//! Running the example: on the host with all samples, in QEMU with the first ones.

use std::path::Path;
use std::process::Command;

use rayon::prelude::*;

use super::copy::Copy;
use super::lines::{self, Printed, Record};
use super::process::{self, Finished, Stopped};
use super::{Options, ended_badly};
use crate::diag::{Diag, Result};
use crate::emit::bare_metal;
use crate::target::Target;

/// Most bytes of output that are read of one run.
const OUTPUT: usize = 256 << 20;
/// Fewest samples worth a process of their own.
const SAMPLES_PER_PROCESS: usize = 64;

/// The records that the host's executable prints for `samples`, in their order.
pub(super) fn host(copy: &Copy, executable: &Path, samples: &[&[u8]], options: &Options) -> Result<Vec<Record>> {
    let each = samples.len().div_ceil(rayon::current_num_threads()).max(SAMPLES_PER_PROCESS);
    let parts: Vec<Vec<Record>> = samples
        .par_chunks(each)
        .enumerate()
        .map(|(index, part)| {
            let printed = host_part(copy, executable, &format!("samples-{index}.bin"), part, options)?;
            count("the host", part.len(), printed)
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// One process over `samples`, which are written to `file` in the copy.
pub(super) fn host_part(
    copy: &Copy,
    executable: &Path,
    file: &str,
    samples: &[&[u8]],
    options: &Options,
) -> Result<Printed> {
    let path = copy.write(file, &samples.concat())?;
    let mut command = Command::new(executable);
    command.arg(path).current_dir(copy.path());
    let place = "the emitted crate on the host";
    let finished = process::run(&mut command, options.run_limit, OUTPUT)
        .map_err(|stopped| broken_off(&stopped, place, options))?;
    if !finished.status.success() {
        return Err(ended_badly(place, format!("it ended with {}: {}", finished.status, finished.tail(4))));
    }
    understood(place, &finished)
}

/// What one run in QEMU gave.
pub(super) struct Device {
    pub machine: String,
    pub records: Vec<Record>,
    /// Per inference.
    pub instructions: u64,
    /// Bytes.
    pub stack: u64,
}

/// Runs `elf` in QEMU over `samples`; the inner error says why it could not be run at all.
pub(super) fn qemu(
    copy: &Copy,
    elf: &Path,
    samples: &[&[u8]],
    target: &Target,
    options: &Options,
) -> Result<std::result::Result<Device, String>> {
    let Some(machine) = target.qemu.as_ref().map(|qemu| qemu.machine.clone()) else {
        return Ok(Err(format!("QEMU has no machine for {}", target.name)));
    };
    if !options.qemu || samples.is_empty() {
        return Ok(Err("not asked for".into()));
    }
    let place = format!("QEMU's {machine}");
    let Some(printed) = qemu_part(copy, elf, "qemu-samples.bin", samples, target, options)? else {
        return Ok(Err(missing(options)));
    };
    let (ticks, stack) = (printed.ticks, printed.stack);
    let records = count(&place, samples.len(), printed)?;
    let (Some((ticks, inferences @ 1..)), Some(stack)) = (ticks, stack) else {
        return Diag::new("verify/output", "no summary of ticks and stack at the end").at(place).err();
    };
    let instructions = instructions(ticks, target) / inferences;
    Ok(Ok(Device { machine, records, instructions, stack }))
}

/// Instructions that `ticks` of `SysTick` are under `-icount shift=0`: one takes 1 ns, and the timer counts the
/// machine's clock.
pub(crate) fn instructions(ticks: u64, target: &Target) -> u64 {
    (u128::from(ticks) * 1_000_000_000 / u128::from(target.clock_hz)) as u64
}

/// One QEMU over `samples`, which are written to `file` in the copy; `None` if QEMU is not installed.
pub(super) fn qemu_part(
    copy: &Copy,
    elf: &Path,
    file: &str,
    samples: &[&[u8]],
    target: &Target,
    options: &Options,
) -> Result<Option<Printed>> {
    run_qemu(copy, elf, file, samples, target, &[], options)
}

/// The same with more arguments for QEMU.
pub(crate) fn run_qemu(
    copy: &Copy,
    elf: &Path,
    file: &str,
    samples: &[&[u8]],
    target: &Target,
    extra: &[String],
    options: &Options,
) -> Result<Option<Printed>> {
    let Some(mut words) = bare_metal::qemu_command(target) else { return Ok(None) };
    copy.write(file, &samples.concat())?;
    if let Some(semihosting) = words.last_mut() {
        semihosting.push_str(",arg=infer,arg=samples=");
        semihosting.push_str(file);
    }
    let program = options.qemu_program.as_deref().unwrap_or(&words[0]);
    let mut command = Command::new(program);
    command.args(&words[1..]).args(extra).arg("-kernel").arg(elf).current_dir(copy.path());
    let place = format!("the emitted crate on QEMU's {}", words[2]);
    let finished = match process::run(&mut command, options.run_limit, OUTPUT) {
        Ok(finished) => finished,
        Err(Stopped::Missing) => return Ok(None),
        Err(stopped) => return Err(broken_off(&stopped, &place, options)),
    };
    if !finished.status.success() {
        let done = lines::read(&finished.stdout).records.len();
        let what = format!("it ended with {} after {done} samples: {}", finished.status, finished.tail(4));
        return Err(ended_badly(&place, what));
    }
    understood(&place, &finished).map(Some)
}

fn missing(options: &Options) -> String {
    format!(
        "{} is not installed: `apt-get install qemu-system-arm` (Debian, Ubuntu) or `brew install qemu` (macOS)",
        options.qemu_program.as_deref().unwrap_or("qemu-system-arm")
    )
}

fn understood(place: &str, finished: &Finished) -> Result<Printed> {
    let printed = lines::read(&finished.stdout);
    match printed.other.first() {
        None => Ok(printed),
        Some(line) => {
            let line: String = line.chars().take(80).collect();
            Diag::new("verify/output", format!("a line that means nothing: '{line}'")).at(place).err()
        }
    }
}

fn count(place: &str, samples: usize, printed: Printed) -> Result<Vec<Record>> {
    if printed.records.len() == samples {
        return Ok(printed.records);
    }
    Diag::new("verify/output", "not one line per sample")
        .at(place)
        .expected(format!("{samples} lines"), format!("{} lines", printed.records.len()))
        .err()
}

fn broken_off(stopped: &Stopped, place: &str, options: &Options) -> Box<Diag> {
    let diag = match stopped {
        Stopped::TimeOut => {
            let seconds = options.run_limit.as_secs_f64();
            Diag::new("verify/run-time", format!("no end after {seconds} s, so it was stopped"))
                .help("verify fewer samples (--verify-samples)")
        }
        Stopped::TooMuchOutput => Diag::new("verify/output", "endless output, so it was stopped"),
        Stopped::Missing => Diag::new("verify/run", "the executable is not there"),
        Stopped::Io(error) => Diag::new("verify/run", error.to_string()),
    };
    Box::new(diag.at(place))
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diag::Answer;
    use crate::emit::EmittedFile;

    /// What is said when QEMU is a shell script of this text that may run for `limit`.
    fn with_qemu(text: &str, limit: Duration) -> Result<Option<Printed>> {
        let manifest = EmittedFile { path: "Cargo.toml".into(), bytes: Vec::new() };
        let copy = Copy::new(&[manifest], "pets", Duration::ZERO)?;
        let plain = copy.write("plain", format!("#!/bin/sh\n{text}\n").as_bytes())?;
        let script = plain.with_file_name("qemu");
        // Another program makes the executable: one that this process writes cannot be run while a program that
        // another test is just starting shares the open file.
        let made = Command::new("install").args(["-m", "755"]).args([&plain, &script]).status();
        assert!(made.expect("install runs").success());
        let options =
            Options { qemu_program: script.to_str().map(str::to_string), run_limit: limit, ..Options::default() };
        let target = Target::load("qemu-m4")?;
        qemu_part(&copy, Path::new("elf"), "samples.bin", &[&[1, 2], &[3, 4]], &target, &options)
    }

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(1500);

    fn error(text: &str, limit: Duration) -> Box<Diag> {
        match with_qemu(text, limit) {
            Err(error) => error,
            Ok(_) => Box::new(Diag::new("none", "no error")),
        }
    }

    #[test]
    fn qemu_that_hangs_floods_fails_or_babbles() {
        let hangs = error("sleep 60", SHORT);
        assert_eq!((hangs.code, hangs.answer), ("verify/run-time", Answer::Failure), "{hangs}");
        assert!(hangs.to_string().contains("no end after 1.5 s"), "{hangs}");
        let fails = error("echo 'a: 1 2'; echo 'machine broken' >&2; exit 3", LONG);
        assert_eq!((fails.code, fails.answer), ("verify/run", Answer::No), "{fails}");
        assert!(fails.what.contains("after 1 samples: machine broken"), "{fails}");
        assert_eq!(error("echo what is this", LONG).code, "verify/output");
        // Ends by the limit of output or of time, whichever comes first.
        assert!(["verify/output", "verify/run-time"].contains(&error("yes", SHORT).code));
    }

    #[test]
    fn qemu_gets_the_records_and_the_executable() {
        let printed = with_qemu(
            "wc -c < samples.bin | tr -d ' ' | sed 's/^/a: /'; echo \"$*\" | sed 's/^.*shift/b/; s/ /_/g; s/$/: 5/'",
            LONG,
        );
        let printed = printed.expect("the script works").expect("the script is there");
        assert_eq!(printed.records[0].scores, [4]);
        let line = "b=0_-semihosting-config_enable=on,target=native,arg=infer,arg=samples=samples.bin_-kernel_elf";
        assert_eq!(printed.records[1].label, line);
    }
}
