//! Validation over a serial line: the protocol's two halves, whole runs in QEMU, and every way a line can fail.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fratc::diag::{Answer, Diag};
use fratc::firmware;
use fratc::plan::{Optimize, plan_as};
use fratc::qir::Program;
use fratc::target::Target;
use fratc::verify::device::frame::{self, Decoder, Received};
use fratc::verify::device::message::{Mode, Numbered, Reply, Request};
use fratc::verify::device::{DeviceOptions, DeviceRun, Port, validate};
use fratc::verify::{build_firmware, region_table};
use object::{Object, ObjectSection, SectionFlags};
use proptest::prelude::*;

use crate::firmware::{qemu, samples, written, written_as};
use crate::programs;

/// The device's half, as emitted firmware carries it.
#[allow(dead_code, clippy::pedantic, reason = "device code under test on the host")]
#[rustfmt::skip]
#[path = "../../src/firmware/templates/link.rs"]
mod link;

fn decoded(bytes: &[u8]) -> Vec<Received> {
    let mut decoder = Decoder::default();
    bytes.iter().filter_map(|&byte| decoder.take(byte)).collect()
}

fn request(sequence: u16, message: Request) -> Vec<u8> {
    frame::encode(&postcard::to_stdvec(&Numbered { sequence, message }).expect("memory"))
}

proptest! {
    #[test]
    fn the_device_reads_what_the_host_writes(sequence in any::<u16>(), offset in any::<u32>(), bytes in proptest::collection::vec(any::<u8>(), 0..=192)) {
        let mut receiver = link::Receiver::new();
        let mut seen = 0;
        for byte in request(sequence, Request::Piece { offset, bytes: bytes.clone() }) {
            if let Some(message) = receiver.take(byte) {
                let Some((number, link::Request::Piece { offset: from, at, count })) = link::request(message) else {
                    return Err(TestCaseError::fail("not a piece"));
                };
                prop_assert_eq!((number, from, &message[at..at + count]), (sequence, offset as usize, &bytes[..]));
                seen += 1;
            }
        }
        prop_assert_eq!(seen, 1);
    }

    #[test]
    fn the_host_reads_what_the_device_writes(sequence in any::<u16>(), layer in any::<u32>(), offset in any::<u32>(), bytes in proptest::collection::vec(any::<u8>(), 0..=192)) {
        let mut sent = Vec::new();
        let mut message = link::Message::new(sequence, 2);
        message.number(layer).number(offset).bytes(bytes.iter().copied());
        message.send(|byte| sent.push(byte));
        let [Received::Message(message)] = &decoded(&sent)[..] else { return Err(TestCaseError::fail("not one message")) };
        let reply: Numbered<Reply> = postcard::from_bytes(message).expect("postcard");
        prop_assert_eq!(reply, Numbered { sequence, message: Reply::Layer { layer, offset, bytes } });
    }

    /// Whatever a flipped bit, a lost or a doubled byte make of two frames, no message comes out that was not sent.
    #[test]
    fn a_damaged_frame_is_never_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), bit in 0..8_u32, kind in 0..3) {
        let first = request(7, Request::Piece { offset: 1, bytes });
        let second = request(8, Request::Run(Mode::Trace));
        let mut line = [&first[..], &second].concat();
        let at = at.index(line.len());
        match kind {
            0 => line[at] ^= 1 << bit,
            1 => { line.remove(at); }
            _ => line.insert(at, line[at]),
        }
        let sent: Vec<Received> = decoded(&[first, second].concat());
        let mut receiver = link::Receiver::new();
        for received in decoded(&line) {
            prop_assert!(received == Received::Damaged || sent.contains(&received));
        }
        for &byte in &line {
            if let Some(message) = receiver.take(byte) {
                prop_assert!(sent.contains(&Received::Message(message.to_vec())));
            }
        }
    }

    #[test]
    fn noise_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut receiver = link::Receiver::new();
        for &byte in &bytes {
            if let Some(message) = receiver.take(byte) {
                link::request(message);
            }
        }
        link::request(&bytes);
        decoded(&bytes);
    }
}

#[test]
fn the_checksum_is_that_of_ieee() {
    assert_eq!(frame::crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(link::crc32(0, b"123456789"), 0xCBF4_3926);
}

pub fn target(name: &str) -> Target {
    Target::load(name).expect("a shipped target")
}

fn options(samples: usize) -> DeviceOptions {
    DeviceOptions { samples, ..DeviceOptions::default() }
}

/// Runs `samples` of `program` on the machine that `elf` is for.
fn run(
    program: &Program,
    name: &str,
    elf: &std::path::Path,
    options: &DeviceOptions,
) -> fratc::diag::Result<DeviceRun> {
    let print = firmware::fingerprint(program)?;
    validate(Port::qemu(&target(name), elf)?, program, &print, &samples(program, options.samples), options)
}

#[test]
fn three_cores_give_every_byte_of_256_samples_over_the_line() {
    if !qemu() {
        return;
    }
    let program = programs::branches();
    for name in ["qemu-m0", "qemu-m4", "qemu-m33"] {
        let folder = written(&program, name);
        let elf = build_firmware(&folder.path().join("net-firmware"), firmware::VALIDATE, &target(name)).expect(name);
        let run = run(&program, name, &elf, &options(256)).expect(name);
        run.check().expect(name);
        assert_eq!((run.samples, run.mismatches, run.damaged), (256, 0, 0), "{name}: {run:?}");
        assert!((16..16 * 1024).contains(&run.stack_bytes) && run.stack_bytes < run.stack_room, "{name}: {run:?}");
        assert_eq!(run.layer_ticks.len(), program.layers.len(), "{name}");
        let layers: u64 = run.layer_ticks.iter().map(|&ticks| u64::from(ticks)).sum();
        // Watching the layers costs a little, and a tick is dozens of instructions.
        let room = run.ticks / 5 + 2 * program.layers.len() as u64;
        assert!(layers.abs_diff(run.ticks) <= room, "{name}: {layers} in all layers, {} together", run.ticks);

        let bytes = std::fs::read(&elf).expect("built");
        let table = region_table(&bytes, &target(name)).expect(name);
        let [flash, ram] = sums(&bytes);
        let used = |from: usize, to: usize| table[from..to].iter().map(|region| region.used_bytes).sum::<u64>();
        let split = target(name).flash.len();
        assert_eq!((used(0, split), used(split, table.len())), (flash, ram), "{name}: {table:?}");
        assert!(table.iter().all(|region| region.used_bytes + region.left_bytes == region.size_bytes));
        assert_eq!(table[split].left_bytes & !7, u64::from(run.stack_room) & !7, "{name}: the stack has what is left");
    }
}

/// Of layers that advance together only the last is shown, what is part of a concatenation only with that, and all others are.
#[test]
fn what_is_not_shown_alone_is_counted_over_the_line() {
    if !qemu() {
        return;
    }
    let name = "qemu-m4";
    for (program, optimize) in [(programs::resnet8(), Optimize::Ram), (crate::parts::joined(), Optimize::Speed)] {
        let folder = written_as(&program, name, firmware::Style::Plain, optimize);
        let options_plan = fratc::plan::Options { optimize, ..fratc::plan::Options::default() };
        let plan = plan_as(&program, &target(name), &options_plan).expect("plans");
        let hidden = plan.strips.iter().map(|strip| strip.last - strip.first).sum::<usize>() + plan.parts.len();
        assert!(hidden > 0, "{plan:?}");
        let elf = build_firmware(&folder.path().join("net-firmware"), firmware::VALIDATE, &target(name)).expect(name);
        let run = run(&program, name, &elf, &DeviceOptions { trace: true, ..options(2) }).expect(name);
        run.check().expect(name);
        assert_eq!((run.samples, run.mismatches, run.damaged, run.hidden), (2, 0, 0, hidden), "{run:?}");
        assert_eq!(run.layer_ticks.len(), program.layers.len());
    }
}

/// What `size` adds up: bytes of sections with content or code, and of those that may be written.
pub fn sums(elf: &[u8]) -> [u64; 2] {
    let file = object::File::parse(elf).expect("ELF");
    let mut sums = [0, 0];
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let (alloc, write) = (sh_flags & 2 != 0, sh_flags & 1 != 0);
        let empty = section.kind() == object::SectionKind::UninitializedData;
        sums[0] += if alloc && !empty { section.size() } else { 0 };
        sums[1] += if alloc && write { section.size() } else { 0 };
    }
    sums
}

#[test]
fn a_network_that_computes_something_else_is_found_and_so_is_its_layer() {
    if !qemu() {
        return;
    }
    let program = programs::branches();
    let folder = written(&program, "qemu-m4");
    let weights = std::fs::read_dir(folder.path().join("net/weights")).expect("weights");
    let mut files: Vec<PathBuf> = weights.map(|file| file.expect("file").path()).collect();
    files.sort();
    let first = files.iter().find(|file| file.to_string_lossy().contains("weights")).unwrap_or(&files[0]);
    let mut bytes = std::fs::read(first).expect("weights");
    for byte in &mut bytes {
        *byte ^= 0x55;
    }
    std::fs::write(first, bytes).expect("weights");
    let beside = folder.path().join("net-firmware");
    let elf = build_firmware(&beside, firmware::VALIDATE, &target("qemu-m4")).expect("builds");
    let traced = DeviceOptions { trace: true, ..options(3) };
    let found = run(&program, "qemu-m4", &elf, &traced).expect("runs");
    assert!(found.mismatches > 0, "{found:?}");
    let error = found.check().expect_err("it differs");
    assert_eq!((error.code, error.answer), ("device/mismatch", Answer::No));
    assert!(error.what.contains("layer `"), "{error}");
    let other = programs::border();
    let print = firmware::fingerprint(&other).expect("a program");
    let port = Port::qemu(&target("qemu-m4"), &elf).expect("starts");
    let error = validate(port, &other, &print, &samples(&other, 1), &options(1)).expect_err("another network");
    assert_eq!(error.code, "device/other-firmware", "{error}");
}

/// Firmware of `programs::branches` for qemu-m4, built once.
fn built() -> &'static (Program, tempfile::TempDir, PathBuf) {
    static BUILT: OnceLock<(Program, tempfile::TempDir, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = programs::branches();
        let folder = written(&program, "qemu-m4");
        let beside = folder.path().join("net-firmware");
        let elf = build_firmware(&beside, firmware::VALIDATE, &target("qemu-m4")).expect("builds");
        (program, folder, elf)
    })
}

/// What happens to the bytes of a line.
#[derive(Clone, Copy)]
struct Fault {
    /// Every how many bytes a bit is flipped; 0 for never.
    flip: usize,
    /// Every how many bytes one is lost; 0 for never.
    lose: usize,
    /// After how many bytes the line ends.
    end: usize,
    /// After how many bytes nothing comes any more, though the line is open.
    stall: usize,
}

const FINE: Fault = Fault { flip: 0, lose: 0, end: usize::MAX, stall: usize::MAX };

struct Faulty<T> {
    inner: T,
    fault: Fault,
    seen: usize,
}

impl<T> Faulty<T> {
    fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Fault { flip, lose, .. } = self.fault;
        let mut out = Vec::new();
        for &byte in bytes {
            self.seen += 1;
            if lose == 0 || !self.seen.is_multiple_of(lose) {
                out.push(if flip > 0 && self.seen.is_multiple_of(flip) { byte ^ 0x10 } else { byte });
            }
        }
        out
    }
}

impl<T: Read> Read for Faulty<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.seen >= self.fault.stall {
                std::thread::sleep(Duration::from_mins(1));
            }
            let count = self.inner.read(buffer)?;
            if count == 0 || self.seen >= self.fault.end {
                return Ok(0);
            }
            let spoiled = self.spoil(&buffer[..count]);
            if !spoiled.is_empty() {
                buffer[..spoiled.len()].copy_from_slice(&spoiled);
                return Ok(spoiled.len());
            }
        }
    }
}

impl<T: Write> Write for Faulty<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let spoiled = self.spoil(buffer);
        self.inner.write_all(&spoiled)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Runs 24 samples over a line with faults from and to the machine; `kill` ends it after that time.
fn over(from: Fault, to: Fault, kill: Option<Duration>) -> (fratc::diag::Result<DeviceRun>, Duration) {
    let (program, _, elf) = built();
    let words = fratc::emit::bare_metal::qemu_command(&target("qemu-m4")).expect("a machine");
    let mut command = Command::new(&words[0]);
    command.args(words[1..].iter().map(|word| if word == "null" { "stdio" } else { word })).arg("-kernel").arg(elf);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("QEMU starts");
    let reader = Faulty { inner: child.stdout.take().expect("piped"), fault: from, seen: 0 };
    let writer = Faulty { inner: child.stdin.take().expect("piped"), fault: to, seen: 0 };
    let port = Port::over("a line with faults", reader, writer);
    let wanted = DeviceOptions { trace: true, silence: Duration::from_secs(5), ..options(24) };
    let print = firmware::fingerprint(program).expect("a program");
    let start = Instant::now();
    let (result, mut child) = std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            if let Some(time) = kill {
                std::thread::sleep(time);
                child.kill().expect("killed");
            }
            child
        });
        let result = validate(port, program, &print, &samples(program, 24), &wanted);
        (result, killer.join().expect("no panic"))
    });
    let took = start.elapsed();
    let _ = child.kill();
    let _ = child.wait();
    (result, took)
}

#[test]
fn lost_and_damaged_frames_are_sent_again() {
    if !qemu() {
        return;
    }
    let from = Fault { flip: 7919, lose: 12_007, ..FINE };
    let to = Fault { flip: 1201, lose: 1709, ..FINE };
    let (result, _) = over(from, to, None);
    let run = result.expect("the line is good enough");
    run.check().expect("and nothing differs");
    assert_eq!((run.samples, run.mismatches), (24, 0), "{run:?}");
    assert!(run.resent > 0, "the faults were there: {run:?}");
}

/// Each must end in this error, within ten seconds, and never in a result. Other tests may take the processor away
/// for longer than that, so the time counts of the fastest of three tries.
fn fails(what: &str, from: Fault, to: Fault, kill: Option<Duration>, codes: &[&str]) {
    let fast = (0..3).any(|_| {
        let (result, took) = over(from, to, kill);
        let error: Box<Diag> = match result {
            Ok(run) => unreachable!("{what}: {run:?}"),
            Err(error) => error,
        };
        assert!(codes.contains(&error.code), "{what}: {error}");
        assert_eq!(error.answer, Answer::Failure, "{what}");
        assert!(error.to_string().contains("nothing was verified"), "{what}: {error}");
        took < Duration::from_secs(10)
    });
    assert!(fast, "{what}: three times over ten seconds");
}

#[test]
fn a_line_that_is_cut_ends_in_an_error() {
    if !qemu() {
        return;
    }
    fails("cut", Fault { end: 20_000, ..FINE }, FINE, None, &["device/gone"]);
    fails("killed", FINE, FINE, Some(Duration::from_millis(300)), &["device/gone"]);
    fails("stalled", Fault { stall: 20_000, ..FINE }, FINE, None, &["device/silent"]);
    fails("deaf", FINE, Fault { lose: 1, ..FINE }, None, &["device/silent"]);
    fails("garbled", Fault { flip: 5, ..FINE }, FINE, None, &["device/damaged", "device/silent"]);
}
