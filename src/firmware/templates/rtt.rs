//! A pair of RTT channels: bytes go through two rings in RAM, which a debug probe reads and fills.
//!
//! Any RTT server that passes raw bytes on will do, such as OpenOCD's `rtt server` or J-Link's.

use core::ptr::addr_of;
use core::sync::atomic::{AtomicU32, Ordering};

const RING: usize = 1024;

#[repr(C)]
struct Channel {
    name: *const u8,
    buffer: *const Ring,
    size: u32,
    write: AtomicU32,
    read: AtomicU32,
    flags: u32,
}

#[repr(C)]
struct Control {
    id: [u8; 16],
    up_count: u32,
    down_count: u32,
    up: Channel,
    down: Channel,
}

struct Ring(core::cell::UnsafeCell<[u8; RING]>);

// SAFETY: the pointers are to statics, and the bytes between `read` and `write` belong to one side at a time.
unsafe impl Sync for Control {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

static UP: Ring = Ring(core::cell::UnsafeCell::new([0; RING]));
static DOWN: Ring = Ring(core::cell::UnsafeCell::new([0; RING]));

// SAFETY: the name is the one that probes look for, and nothing else has it.
#[no_mangle]
static _SEGGER_RTT: Control = Control {
    id: *b"SEGGER RTT\0\0\0\0\0\0",
    up_count: 1,
    down_count: 1,
    up: channel(&UP),
    down: channel(&DOWN),
};

const fn channel(buffer: &'static Ring) -> Channel {
    Channel {
        name: b"fratc\0".as_ptr(),
        buffer: addr_of!(*buffer),
        size: RING as u32,
        write: AtomicU32::new(0),
        read: AtomicU32::new(0),
        flags: 2, // block while full
    }
}

/// Both channels.
pub struct Port(());

impl Port {
    /// There is nothing to switch on.
    pub fn open() -> Self {
        Port(())
    }

    /// The next byte, if one has come.
    pub fn get(&mut self) -> Option<u8> {
        let ring = &_SEGGER_RTT.down;
        let at = ring.read.load(Ordering::Relaxed) as usize % RING;
        if ring.write.load(Ordering::Acquire) as usize % RING == at {
            return None;
        }
        // SAFETY: `at` is inside the ring, and the probe has written this byte before it moved `write`.
        let byte = unsafe { DOWN.0.get().cast::<u8>().add(at).read_volatile() };
        ring.read.store(((at + 1) % RING) as u32, Ordering::Release);
        Some(byte)
    }

    /// Sends a byte once there is room: waits for a probe that reads.
    pub fn put(&mut self, byte: u8) {
        let ring = &_SEGGER_RTT.up;
        let at = ring.write.load(Ordering::Relaxed) as usize % RING;
        let next = (at + 1) % RING;
        while ring.read.load(Ordering::Acquire) as usize == next {}
        // SAFETY: `at` is inside the ring, and the probe does not read it before `write` moves.
        unsafe { UP.0.get().cast::<u8>().add(at).write_volatile(byte) };
        ring.write.store(next as u32, Ordering::Release);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    cortex_m::asm::udf()
}
