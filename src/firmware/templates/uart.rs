//! The emulated machine's first CMSDK UART.

use core::ptr::{read_volatile, write_volatile};

const UART: u32 = {uart};

/// The machine's first UART.
pub struct Port(());

impl Port {
    /// Switches it on.
    pub fn open() -> Self {
        // SAFETY: the registers of the machine's UART: divider, then both directions on.
        unsafe {
            write_volatile((UART + 0x10) as *mut u32, 16);
            write_volatile((UART + 0x08) as *mut u32, 3);
        }
        Port(())
    }

    /// The next byte, if one has come.
    pub fn get(&mut self) -> Option<u8> {
        // SAFETY: reading the state has no side effect; reading the data takes the byte, which is there.
        unsafe {
            let full = read_volatile((UART + 4) as *const u32) & 2 != 0;
            full.then(|| read_volatile(UART as *const u32) as u8)
        }
    }

    /// Sends a byte once there is room.
    pub fn put(&mut self, byte: u8) {
        // SAFETY: as above; the data register takes a byte while the transmitter is not full.
        unsafe {
            while read_volatile((UART + 4) as *const u32) & 1 != 0 {}
            write_volatile(UART as *mut u32, u32::from(byte));
        }
    }
}
