//! Frames: a message and its CRC-32 in COBS, ended by a zero byte.
//!
//! The device has its own half of this in `src/firmware/templates/link.rs`; a test feeds each half with the other's
//! frames. Zero bytes between frames mean nothing, so that a frame may start with one to end noise.

/// Longest frame that is read; a longer run of bytes without a zero is noise.
const MOST: usize = 4096;

/// CRC-32 of IEEE 802.3.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// The frame of `message`, zeros at both ends.
pub fn encode(message: &[u8]) -> Vec<u8> {
    let whole = [message, &crc32(message).to_le_bytes()].concat();
    let mut out = vec![0];
    let mut rest = &whole[..];
    loop {
        let run = rest.iter().take(254).take_while(|&&byte| byte != 0).count();
        out.push(run as u8 + 1);
        out.extend_from_slice(&rest[..run]);
        if run == rest.len() {
            break;
        }
        rest = &rest[run + usize::from(run < 254)..];
    }
    out.push(0);
    out
}

/// What a zero byte ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Vec<u8>),
    /// Something that is no frame, or one that was damaged on its way.
    Damaged,
}

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Decoder {
    /// What `byte` ends, if anything.
    pub fn take(&mut self, byte: u8) -> Option<Received> {
        if byte != 0 {
            if self.bytes.len() == MOST {
                self.too_long = true;
            } else {
                self.bytes.push(byte);
            }
            return None;
        }
        let coded = std::mem::take(&mut self.bytes);
        let too_long = std::mem::take(&mut self.too_long);
        if coded.is_empty() {
            return None;
        }
        Some(if too_long { None } else { message(&coded) }.map_or(Received::Damaged, Received::Message))
    }
}

/// The message in a frame without its zero; `None` if it is damaged.
fn message(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = coded;
    while let Some((&code, after)) = rest.split_first() {
        let (run, next) = after.split_at_checked(usize::from(code) - 1)?;
        out.extend_from_slice(run);
        if code != 0xFF && !next.is_empty() {
            out.push(0);
        }
        rest = next;
    }
    let (message, crc) = out.split_last_chunk::<4>()?;
    let right = crc32(message) == u32::from_le_bytes(*crc);
    right.then(|| message.to_vec())
}
