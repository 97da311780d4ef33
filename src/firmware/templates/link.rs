//! Frames and messages between the host and the validating firmware.
//!
//! A frame is a message with a sequence number in postcard's encoding, then its CRC-32 (IEEE, little endian), all in
//! COBS, then a zero byte. What is damaged or unknown is dropped: whoever waits asks again.

/// Version of the protocol; the host refuses any other.
pub const VERSION: u8 = 1;

/// Most bytes of one piece of an input or of a layer's output.
pub const PIECE: usize = 192;

/// Most bytes of one message with its checksum, before COBS.
pub const MOST: usize = PIECE + 32;

/// What the host asks; the numbers are postcard's.
pub enum Request {
    /// 0: who is there?
    Hello,
    /// 1: the frame's bytes after these fields go into the input from `offset` on.
    Piece {
        /// First byte in the input.
        offset: usize,
        /// Where the bytes start in the frame, and how many there are.
        at: usize,
        count: usize,
    },
    /// 2: one inference.
    Run(Mode),
}

/// What is sent besides the scores.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 0: nothing.
    Scores,
    /// 1: ticks of every layer.
    Ticks,
    /// 2: every layer's output.
    Trace,
}

/// CRC-32 of IEEE 802.3, continued from `crc`; start with 0.
pub fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = !crc;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}

/// Takes bytes as they come and gives whole, undamaged messages.
pub struct Receiver {
    bytes: [u8; MOST],
    length: usize,
    /// Bytes left of the current COBS block.
    left: u8,
    /// Whether a zero follows the current block.
    zero: bool,
    /// Whether this frame is too long or broken, and skipped to its end.
    skip: bool,
}

impl Receiver {
    /// Waits for the first frame.
    pub const fn new() -> Self {
        Receiver {
            bytes: [0; MOST],
            length: 0,
            left: 0,
            zero: false,
            skip: false,
        }
    }

    /// The message (without its checksum) if `byte` ends one.
    pub fn take(&mut self, byte: u8) -> Option<&[u8]> {
        if byte == 0 {
            let whole = !self.skip && self.left == 0;
            let length = self.length;
            (self.length, self.left, self.zero, self.skip) = (0, 0, false, false);
            let (message, crc) = self.bytes.get(..length)?.split_last_chunk::<4>()?;
            let right = whole && crc32(0, message) == u32::from_le_bytes(*crc);
            return if right { Some(message) } else { None };
        }
        if self.left > 0 {
            self.left -= 1;
            self.push(byte);
        } else {
            if self.zero {
                self.push(0);
            }
            self.left = byte - 1;
            self.zero = byte != 0xFF;
        }
        None
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(slot) => {
                *slot = byte;
                self.length += 1;
            }
            None => self.skip = true,
        }
    }
}

/// Reads a request and its sequence number.
pub fn request(message: &[u8]) -> Option<(u16, Request)> {
    let mut reader = Reader { message, at: 0 };
    let sequence = u16::try_from(reader.varint()?).ok()?;
    let request = match reader.varint()? {
        0 => Request::Hello,
        1 => {
            let offset = reader.varint()? as usize;
            let count = reader.varint()? as usize;
            let at = reader.at;
            reader.at = at.checked_add(count)?;
            Request::Piece { offset, at, count }
        }
        2 => Request::Run(match reader.varint()? {
            0 => Mode::Scores,
            1 => Mode::Ticks,
            2 => Mode::Trace,
            _ => return None,
        }),
        _ => return None,
    };
    (reader.at == message.len()).then_some((sequence, request))
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.message.get(self.at)?;
            self.at += 1;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// A message being written; what does not fit is cut, and then no frame is sent.
pub struct Message {
    bytes: [u8; MOST],
    length: usize,
    cut: bool,
}

impl Message {
    /// A reply to `sequence`; `kind` is its number in the host's `Reply`.
    pub fn new(sequence: u16, kind: u32) -> Self {
        let mut message = Message {
            bytes: [0; MOST],
            length: 0,
            cut: false,
        };
        message.number(u32::from(sequence)).number(kind);
        message
    }

    /// Adds an unsigned number.
    pub fn number(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
        self
    }

    /// Adds a byte string.
    pub fn bytes(&mut self, bytes: impl ExactSizeIterator<Item = u8>) -> &mut Self {
        self.number(bytes.len() as u32);
        for byte in bytes {
            self.push(byte);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(slot) => {
                *slot = byte;
                self.length += 1;
            }
            None => self.cut = true,
        }
    }

    /// Sends the frame byte by byte.
    pub fn send(&mut self, mut put: impl FnMut(u8)) {
        let crc = crc32(0, self.bytes.get(..self.length).unwrap_or_default());
        for byte in crc.to_le_bytes() {
            self.push(byte);
        }
        if self.cut {
            return;
        }
        let mut rest = self.bytes.get(..self.length).unwrap_or_default();
        // A zero before the frame ends whatever noise came first.
        put(0);
        loop {
            let run = rest.iter().take(254).take_while(|&&byte| byte != 0).count();
            put(run as u8 + 1);
            rest.iter().take(run).for_each(|&byte| put(byte));
            if run == rest.len() {
                break;
            }
            rest = rest.get(run + usize::from(run < 254)..).unwrap_or_default();
        }
        put(0);
    }
}
