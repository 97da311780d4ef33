//! What the plugin prints: `code ID ADDRESS BYTES`, `span ID RUNS THROUGH`, `region UNALIGNED`.

use std::collections::BTreeMap;

use super::Counts;
use super::cycles::{self, Cost};
use crate::diag::{Diag, Result};

/// Cost of each region, in order.
pub(super) fn read(text: &str) -> Result<Vec<Counts>> {
    let mut codes: BTreeMap<u32, Cost> = BTreeMap::new();
    let mut regions = Vec::new();
    let (mut instructions, mut cycles) = (0, 0);
    for line in text.lines() {
        let understood = line_of(line, &mut codes, &mut instructions, &mut cycles);
        let Some(ended) = understood else {
            let line: String = line.chars().take(80).collect();
            return Diag::new("bench/plugin", format!("the plugin wrote a line that means nothing: '{line}'")).err();
        };
        if ended {
            regions.push(Counts { instructions, cycles: Some(cycles) });
            (instructions, cycles) = (0, 0);
        }
    }
    Ok(regions)
}

/// Whether a region has ended; `None` for a line of no known form.
fn line_of(line: &str, codes: &mut BTreeMap<u32, Cost>, instructions: &mut u64, cycles: &mut u64) -> Option<bool> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["code", id, _address, bytes] => {
            codes.insert(id.parse().ok()?, cycles::cost(&from_hex(bytes)?));
            Some(false)
        }
        ["span", id, runs, through] => {
            let cost = codes.get(&id.parse().ok()?)?;
            let (runs, through): (u64, u64) = (runs.parse().ok()?, through.parse().ok()?);
            *instructions += runs * cost.instructions;
            *cycles += runs * cost.cycles;
            if cost.branches {
                *cycles += runs.checked_sub(through)? * cycles::REFILL;
            }
            Some(false)
        }
        ["region", unaligned] => {
            *cycles += unaligned.parse::<u64>().ok()?;
            Some(true)
        }
        _ => None,
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::read;

    /// A loop of `subs r0, #1; bne`, run five times: the branch is taken four times.
    #[test]
    fn a_loop() {
        let text = "code 7 100 0138fdd1\nspan 7 5 1\nregion 3\nspan 7 2 1\nregion 0\n";
        let found: Vec<_> =
            read(text).expect("well-formed").iter().map(|counts| (counts.instructions, counts.cycles)).collect();
        assert_eq!(found, [(10, Some(10 + 4 * 2 + 3)), (4, Some(4 + 2))]);
    }

    #[test]
    fn garbage_is_an_error() {
        for text in
            ["span 1 2 3", "code x 0 00", "code 1 0 0", "region", "region x", "hello", "code 1 0 00bf\nspan 1 1"]
        {
            let error = read(text).expect_err(text);
            assert_eq!(error.code, "bench/plugin");
        }
        // More falls through than runs.
        assert!(read("code 1 0 fde7\nspan 1 1 2\nregion 0").is_err());
    }
}
