//! A line of text for the debugger's console.

/// At most 127 bytes and a zero byte; what is longer is cut.
pub struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl Line {
    /// An empty one.
    pub fn new() -> Self {
        Line {
            bytes: [0; 128],
            length: 0,
        }
    }

    /// What was written.
    pub fn text(&self) -> &core::ffi::CStr {
        core::ffi::CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // The last byte stays zero.
            let slot = self
                .bytes
                .get_mut(self.length)
                .filter(|_| self.length < 127);
            *slot.ok_or(core::fmt::Error)? = byte;
            self.length += 1;
        }
        Ok(())
    }
}
