//! The demo network as a case on disk, for tests of the commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use fratc::data::Samples;
use fratc::demo::{self, DemoCase};

/// The demo's samples, drawn once for all fixtures.
pub fn drawn() -> &'static DemoCase {
    static CASE: OnceLock<DemoCase> = OnceLock::new();
    CASE.get_or_init(demo::case)
}

/// Label byte and raw bytes of every sample.
pub fn records(samples: &Samples) -> Vec<u8> {
    (0..samples.len()).flat_map(|i| [&[samples.labels[i] as u8], samples.sample(i)].concat()).collect()
}

/// The first `per_class` samples of every class.
pub fn first(samples: &Samples, per_class: usize) -> Samples {
    let mut seen = BTreeMap::new();
    let mut of_few = |i: &usize| {
        let n = seen.entry(samples.labels[*i]).or_insert(0);
        *n += 1;
        *n <= per_class
    };
    samples.select(&(0..samples.len()).filter(|i| of_few(i)).collect::<Vec<_>>())
}

/// The text of a case file over `net.onnx` and `labels.txt` with these splits: key and file of records.
pub fn text(splits: &[(&str, &str)]) -> String {
    let input = &drawn().input;
    let mut text = format!(
        "[model]\npath = \"net.onnx\"\n\n[input]\nkind = \"image\"\nshape = {:?}\nscale = {}\nmean = {:?}\nstd = {:?}\n\n\
         [data]\nlabels = \"labels.txt\"\n",
        input.shape, input.scale, input.mean, input.std
    );
    for (key, file) in splits {
        writeln!(
            text,
            "{key} = {{ format = \"records\", path = \"{file}\", label_bytes = 1, dtype = \"u8\", shape = {:?}, layout = \"hwc\" }}",
            input.shape
        )
        .expect("text");
    }
    text
}

/// Writes `name`, the model, its labels and the splits (key of the case file, samples) into `dir`.
pub fn write(dir: &Path, name: &str, splits: &[(&str, &Samples)]) {
    fs::write(dir.join("net.onnx"), demo::model_bytes()).expect("written");
    fs::write(dir.join("labels.txt"), drawn().label_names.join("\n")).expect("written");
    let files: Vec<String> = splits.iter().map(|(key, _)| format!("{key}.bin")).collect();
    for ((_, samples), file) in splits.iter().zip(&files) {
        fs::write(dir.join(file), records(samples)).expect("written");
    }
    let keys: Vec<(&str, &str)> = splits.iter().zip(&files).map(|((key, _), file)| (*key, file.as_str())).collect();
    fs::write(dir.join(name), text(&keys)).expect("written");
}
