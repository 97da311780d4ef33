//! Runs the network on a Cortex-M without an operating system: start-up, semihosting, measurements.
//!
//! Needs a debugger or QEMU: text and files go through semihosting, and a `bkpt` without either is a fault.
//! Records are read from the file that the semihosting command line names (`samples=FILE`); without one
//! (on a board) the built-in golden record runs and its scores are compared, exit code 1 on a difference.
//!
//! Printed: one line a record (label, colon, `i8` scores), then
//! - `# ticks T inferences N`: SysTick ticks of the core's clock spent in all N calls of `infer`. On a board
//!   these are cycles. Under QEMU's `-icount shift=0` an instruction takes 1 ns, so a tick is
//!   1e9 / clock instructions (25 MHz: 40), the same on every run; each call is known to about one tick.
//! - `# stack B`: bytes of stack that `infer` used at most, from a painted stack, on the first record.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::ptr::{addr_of, read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

use super::network::{self, Arena, Input, Prediction};

{start_up}

/// Memory that `fratc_main` takes once.
struct Taken<T>(UnsafeCell<T>);

// SAFETY: one core, and only `fratc_main`, which runs once, touches the content.
unsafe impl<T> Sync for Taken<T> {}

// SAFETY: memory.x places `.bss.arena` in RAM, and reset zeroes it: the value of `Arena::new()`.
#[unsafe(link_section = ".bss.arena")]
static ARENA: Taken<Arena> = Taken(UnsafeCell::new(Arena::new()));
static INPUT: Taken<Input> = Taken(UnsafeCell::new([0; network::INPUT_LEN]));

#[unsafe(no_mangle)]
extern "C" fn fratc_main() -> ! {
    CONSOLE.store(open(b":tt\0", 4).unwrap_or(u32::MAX), Ordering::Relaxed);
    // SAFETY: reset calls this function once and nothing else names these two.
    let (arena, input) = unsafe { (&mut *ARENA.0.get(), &mut *INPUT.0.get()) };
    exit(run(arena, input))
}

/// Runs every record; the exit code.
fn run(arena: &mut Arena, input: &mut Input) -> u32 {
    let mut command = [0; 256];
    let Some(file) = samples_file(&mut command) else {
        for (to, from) in input.iter_mut().zip(&super::GOLDEN_INPUT) {
            *to = *from as _;
        }
        let stack = stack_of_infer(arena, input);
        let before = start_clock();
        let prediction = classify(arena, input);
        let ticks = clock().wrapping_sub(before);
        print_record(&prediction);
        print_summary(ticks, 1, stack);
        let right = prediction.scores.map(|score| score as u8) == super::GOLDEN_SCORES;
        return u32::from(!right);
    };
    let Some(handle) = open(file, 1) else {
        print(b"cannot open the file of samples\n");
        return 2;
    };
    let (mut ticks, mut inferences, mut stack) = (0_u32, 0_u32, 0);
    while read(handle, input) {
        if inferences == 0 {
            stack = stack_of_infer(arena, input);
            start_clock();
        }
        let before = clock();
        let prediction = classify(arena, input);
        ticks = ticks.saturating_add(clock().wrapping_sub(before));
        inferences += 1;
        print_record(&prediction);
    }
    print_summary(ticks, inferences, stack);
    0
}

/// A function of its own, so that `stack_of_infer` sees all that it pushes.
#[inline(never)]
fn classify(arena: &mut Arena, input: &Input) -> Prediction {
    network::infer(arena, input)
}

// Measurements.

const SYST_CSR: *mut u32 = 0xE000_E010 as *mut u32;
const SYST_RVR: *mut u32 = 0xE000_E014 as *mut u32;
const SYST_CVR: *mut u32 = 0xE000_E018 as *mut u32;

/// Times that the 24-bit counter ran out.
static WRAPS: AtomicU32 = AtomicU32::new(0);

extern "C" fn sys_tick() {
    WRAPS.store(
        WRAPS.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// Starts SysTick on the core's clock, with its interrupt; the time.
fn start_clock() -> u32 {
    // SAFETY: the three registers exist on every core this example is built for; nothing else uses them.
    unsafe {
        write_volatile(SYST_RVR, 0x00FF_FFFF);
        write_volatile(SYST_CVR, 0);
        write_volatile(SYST_CSR, 7);
        while read_volatile(SYST_CVR) == 0 {}
    }
    clock()
}

/// Ticks since some moment, modulo 2^32.
fn clock() -> u32 {
    loop {
        let wraps = WRAPS.load(Ordering::Relaxed);
        // SAFETY: as in `start_clock`; reading has no side effect.
        let left = unsafe { read_volatile(SYST_CVR) };
        if WRAPS.load(Ordering::Relaxed) == wraps {
            return (wraps << 24).wrapping_add(0x00FF_FFFF - left);
        }
    }
}

const PAINT: u32 = 0xA5C3_5A3C;

/// Bytes of stack below this call that one inference uses; at most 64 KiB are looked at.
#[inline(never)]
fn stack_of_infer(arena: &mut Arena, input: &Input) -> u32 {
    let stack: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    let low = (addr_of!(__stack_low) as u32).max(stack.saturating_sub(64 * 1024));
    let mut at = low;
    while at < stack {
        // SAFETY: between the end of .bss and the stack pointer lies RAM that no object occupies.
        unsafe { write_volatile(at as *mut u32, PAINT) };
        at += 4;
    }
    classify(arena, input);
    at = low;
    // SAFETY: as above.
    while at < stack && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    stack - at
}

// Semihosting: Arm's interface for a core that borrows its debugger's files and console.

fn semihosting(operation: u32, block: *const u32) -> u32 {
    let result;
    // SAFETY: `block` points to the words that the operation takes; the debugger writes only to buffers
    // named there. Operations that write are called with buffers borrowed as `&mut`.
    unsafe {
        asm!("bkpt #0xab", inout("r0") operation => result, in("r1") block, options(nostack));
    }
    result
}

/// The path after `samples=` on the command line, with a zero byte at its end.
fn samples_file(command: &mut [u8; 256]) -> Option<&[u8]> {
    let block = [command.as_mut_ptr() as u32, command.len() as u32 - 1];
    if semihosting(0x15, block.as_ptr()) != 0 {
        return None;
    }
    let key = b"samples=";
    let start = command
        .windows(key.len())
        .position(|window| window == key)?
        + key.len();
    let path = command.get(start..)?;
    let length = path.iter().position(|&byte| byte == 0)?;
    path.get(..=length)
}

/// Opens the file whose path ends with a zero byte; mode 1 is `rb`, 4 is `w`.
fn open(path: &[u8], mode: u32) -> Option<u32> {
    let block = [path.as_ptr() as u32, mode, path.len() as u32 - 1];
    let handle = semihosting(0x01, block.as_ptr());
    (handle != u32::MAX).then_some(handle)
}

/// Whether a whole record was read, right into the input: a copy might be more than the stack.
fn read(handle: u32, input: &mut Input) -> bool {
    let block = [handle, input.as_mut_ptr() as u32, input.len() as u32];
    semihosting(0x06, block.as_ptr()) == 0
}

/// The debugger's console.
static CONSOLE: AtomicU32 = AtomicU32::new(u32::MAX);

fn print(text: &[u8]) {
    let block = [
        CONSOLE.load(Ordering::Relaxed),
        text.as_ptr() as u32,
        text.len() as u32,
    ];
    semihosting(0x05, block.as_ptr());
}

fn exit(code: u32) -> ! {
    let block = [0x0002_0026, code];
    semihosting(0x20, block.as_ptr());
    loop {
        core::hint::spin_loop();
    }
}

extern "C" fn fault() -> ! {
    print(b"fault\n");
    exit(3)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print(b"panic\n");
    exit(4)
}

// Text. Nothing here can panic, so that the measured firmware holds no panic code but the network's.

/// A line that prints itself in pieces.
pub struct Line {
    text: [u8; 64],
    length: usize,
}

impl Line {
    pub fn new() -> Self {
        Line {
            text: [0; 64],
            length: 0,
        }
    }

    #[inline(never)]
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.length == self.text.len() {
                self.flush();
            }
            if let Some(slot) = self.text.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
    }

    #[inline(never)]
    pub fn number(&mut self, number: u32) {
        let mut power = 1_000_000_000;
        let mut started = false;
        while power > 0 {
            let digit = (number / power % 10) as u8;
            started |= digit > 0 || power == 1;
            if started {
                self.push(&[b'0' + digit]);
            }
            power /= 10;
        }
    }

    pub fn flush(&mut self) {
        if let Some(text) = self.text.get(..self.length) {
            print(text);
        }
        self.length = 0;
    }
}

fn print_record(prediction: &Prediction) {
    let mut line = Line::new();
    line.push(prediction.label().as_bytes());
    line.push(b":");
    for score in prediction.scores {
        line.push(if score < 0 { b" -" } else { b" " });
        line.number(u32::from(score.unsigned_abs()));
    }
    line.push(b"\n");
    line.flush();
}

fn print_summary(ticks: u32, inferences: u32, stack: u32) {
    let mut line = Line::new();
    line.push(b"# ticks ");
    line.number(ticks);
    line.push(b" inferences ");
    line.number(inferences);
    line.push(b"\n# stack ");
    line.number(stack);
    line.push(b"\n");
    line.flush();
}
