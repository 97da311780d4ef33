//! What the example prints: `label: score score …` per record, `@layer hex` per traced layer, `# layer …` per timed
//! one, `# …` at the end.

use std::collections::BTreeMap;

/// One record's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub label: String,
    pub scores: Vec<i8>,
}

/// Everything that was printed and understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    pub records: Vec<Record>,
    /// The last output of each layer, by its index.
    pub layers: BTreeMap<usize, Vec<i8>>,
    /// `SysTick` ticks of the last time each layer ran, by its index.
    pub layer_ticks: BTreeMap<usize, u64>,
    /// `SysTick` ticks and the number of inferences they were spent in.
    pub ticks: Option<(u64, u64)>,
    /// Bytes.
    pub stack: Option<u64>,
    /// Lines of no known form.
    pub other: Vec<String>,
}

/// Reads the output of the example.
pub(super) fn read(output: &[u8]) -> Printed {
    let mut printed = Printed::default();
    for line in String::from_utf8_lossy(output).lines() {
        if read_line(line, &mut printed).is_none() && !line.is_empty() {
            printed.other.push(line.to_string());
        }
    }
    printed
}

fn read_line(line: &str, printed: &mut Printed) -> Option<()> {
    // First: a class may be called as other lines begin, and none of these ends in a colon and scores.
    if let Some(record) = record(line) {
        printed.records.push(record);
    } else if let Some(traced) = line.strip_prefix('@') {
        let (layer, hex) = traced.split_once(' ')?;
        printed.layers.insert(layer.parse().ok()?, from_hex(hex)?);
    } else if let Some(timed) = line.strip_prefix("# layer ") {
        let (layer, ticks) = timed.split_once(" ticks ")?;
        printed.layer_ticks.insert(layer.parse().ok()?, ticks.parse().ok()?);
    } else if let Some(ticks) = line.strip_prefix("# ticks ") {
        let (ticks, inferences) = ticks.split_once(" inferences ")?;
        printed.ticks = Some((ticks.parse().ok()?, inferences.parse().ok()?));
    } else {
        printed.stack = Some(line.strip_prefix("# stack ")?.parse().ok()?);
    }
    Some(())
}

fn record(line: &str) -> Option<Record> {
    let (label, scores) = line.rsplit_once(": ")?;
    let scores = scores.split(' ').map(|score| score.parse().ok()).collect::<Option<Vec<i8>>>()?;
    Some(Record { label: label.to_string(), scores })
}

fn from_hex(hex: &str) -> Option<Vec<i8>> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4 | low).cast_signed()).collect())
}

#[cfg(test)]
mod tests {
    use super::{Record, read};

    #[test]
    fn every_kind_of_line() {
        let text =
            b"big dog: -128 3\na: b: 1 2\n@home: 4\n# stack 9: 5\n@0 7f80\n@0 00ff\n# layer 3 ticks 9\n# ticks 30 inferences 2\n# stack 64\n\nfault\nx: 300\n";
        let printed = read(text);
        let record = |label: &str, scores: &[i8]| Record { label: label.into(), scores: scores.to_vec() };
        assert_eq!(
            printed.records,
            [record("big dog", &[-128, 3]), record("a: b", &[1, 2]), record("@home", &[4]), record("# stack 9", &[5]),]
        );
        assert_eq!(printed.layers.get(&0), Some(&vec![0, -1]), "the later one counts");
        assert_eq!(printed.layer_ticks.get(&3), Some(&9));
        assert_eq!((printed.ticks, printed.stack), (Some((30, 2)), Some(64)));
        assert_eq!(printed.other, ["fault", "x: 300"]);
    }

    #[test]
    fn garbage_is_never_a_record() {
        for text in [
            "@",
            "@1",
            "@x 00",
            "@1 0",
            "@1 zz",
            "# ticks 1",
            "# layer 1",
            "# stack -1",
            "label",
            ": ",
            "a: 1  2",
            "a: 128",
        ] {
            let printed = read(text.as_bytes());
            assert_eq!(printed.other, [text]);
            assert!(printed.records.is_empty() && printed.layers.is_empty());
        }
        read(&[0xFF, 0xFE, b'\n', 0]);
    }
}
