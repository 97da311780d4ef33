//! UF2 and Intel hex.
//!
//! UF2 (<https://github.com/microsoft/uf2>): blocks of 512 bytes, each with 256 bytes for one aligned address. Intel
//! hex: lines of at most 16 bytes with a checksum, the upper half of the address in lines of type 4.

use std::fmt::Write as _;

use crate::verify::Segment;

/// Bytes of content in one UF2 block.
const PAYLOAD: usize = 256;

/// The UF2 file of `segments`; bytes between them in one block are 0xFF, as erased flash is.
pub fn uf2(segments: &[Segment], family: u32) -> Vec<u8> {
    let mut blocks: Vec<(u32, [u8; PAYLOAD])> = Vec::new();
    for segment in segments {
        for (offset, &byte) in segment.bytes.iter().enumerate() {
            let address = segment.address + offset as u32;
            let (start, at) = (address & !(PAYLOAD as u32 - 1), address as usize % PAYLOAD);
            match blocks.last_mut() {
                Some((last, bytes)) if *last == start => bytes[at] = byte,
                _ => {
                    let mut bytes = [0xFF; PAYLOAD];
                    bytes[at] = byte;
                    blocks.push((start, bytes));
                }
            }
        }
    }
    let count = blocks.len() as u32;
    let mut out = Vec::with_capacity(blocks.len() * 512);
    for (number, (address, bytes)) in blocks.iter().enumerate() {
        // 0x2000: the family id is there.
        let head = [0x0A32_4655, 0x9E5D_5157, 0x2000, *address, PAYLOAD as u32, number as u32, count, family];
        out.extend(head.iter().flat_map(|word: &u32| word.to_le_bytes()));
        out.extend_from_slice(bytes);
        out.resize((number + 1) * 512 - 4, 0);
        out.extend(0x0AB1_6F30_u32.to_le_bytes());
    }
    out
}

/// The Intel hex file of `segments`.
pub fn hex(segments: &[Segment]) -> String {
    let mut out = String::new();
    let mut upper = None;
    for segment in segments {
        let mut at = 0;
        while at < segment.bytes.len() {
            let address = segment.address + at as u32;
            if upper != Some(address >> 16) {
                upper = Some(address >> 16);
                record(&mut out, 0, 4, &((address >> 16) as u16).to_be_bytes());
            }
            // A line stays in its 16 bytes, and so in its 64 KB.
            let count = (16 - address as usize % 16).min(segment.bytes.len() - at);
            record(&mut out, address as u16, 0, &segment.bytes[at..at + count]);
            at += count;
        }
    }
    record(&mut out, 0, 1, &[]);
    out
}

fn record(out: &mut String, address: u16, kind: u8, data: &[u8]) {
    let [high, low] = address.to_be_bytes();
    let bytes = [&[data.len() as u8, high, low, kind], data].concat();
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    out.push(':');
    for byte in bytes.iter().chain([&sum.wrapping_neg()]) {
        let _ = write!(out, "{byte:02X}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{hex, uf2};
    use crate::verify::Segment;

    #[test]
    fn hex_lines_have_checksums_and_upper_addresses() {
        let segments = [Segment { address: 0x0800_FFFE, bytes: vec![1, 2, 3] }];
        // Checksums by hand: two's complement of the sum of the line's bytes.
        assert_eq!(hex(&segments), ":020000040800F2\n:02FFFE000102FE\n:020000040801F1\n:0100000003FC\n:00000001FF\n");
    }

    #[test]
    fn uf2_blocks_are_aligned_and_numbered() {
        let segments =
            [Segment { address: 0x1000_00FF, bytes: vec![7, 8] }, Segment { address: 0x1000_0110, bytes: vec![9] }];
        let file = uf2(&segments, 0xE48B_FF56);
        assert_eq!(file.len(), 1024);
        let word = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
        assert_eq!([word(0), word(4), word(508)], [0x0A32_4655, 0x9E5D_5157, 0x0AB1_6F30]);
        assert_eq!([word(12), word(512 + 12)], [0x1000_0000, 0x1000_0100]);
        assert_eq!([word(20), word(512 + 20), word(24), word(28)], [0, 1, 2, 0xE48B_FF56]);
        assert_eq!((file[32 + 255], file[32 + 254]), (7, 0xFF));
        assert_eq!((file[512 + 32], file[512 + 32 + 16]), (8, 9));
    }
}
