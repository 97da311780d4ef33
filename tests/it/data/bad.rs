//! Bad inputs: one snapshot holds every message.

use std::fmt::Write;
use std::path::Path;

use fratc::data::{Case, DataSource, InputContract, InputKind, Layout, Record, Samples};
use image::ImageFormat;
use tempfile::tempdir;

use super::make;

const MODEL: &str = "[model]\npath = \"m.onnx\"\n";
const INPUT: &str = "[input]\nkind = \"image\"\nshape = [2, 2, 1]\n";
const DATA: &str = "[data]\nlabel_names = [\"ant\", \"bee\", \"cow\"]\n";

/// Messages of all bad inputs, one a paragraph.
struct Table<'a> {
    dir: &'a Path,
    text: String,
}

impl Table<'_> {
    fn add<T: std::fmt::Debug>(&mut self, name: &str, result: fratc::diag::Result<T>) {
        let message = result.expect_err(name).to_string().replace(&self.dir.display().to_string(), "DIR");
        writeln!(self.text, "{name}\n    {message}\n").expect("memory");
    }

    fn case(&mut self, name: &str, text: &str) {
        let path = self.dir.join("fratc.toml");
        std::fs::write(&path, text).expect("writable");
        self.add(name, Case::load(&path));
    }

    /// Reads a 2×2 grey source, or one of `contract`.
    fn source(&mut self, name: &str, source: &DataSource, contract: Option<&InputContract>) {
        let grey = InputContract::new(InputKind::U8, [2, 2, 1], 1.0);
        self.add(name, source.read(contract.unwrap_or(&grey), &make::names()));
    }
}

#[test]
fn bad_case_files() {
    let dir = tempdir().expect("temporary folder");
    let mut table = Table { dir: dir.path(), text: String::new() };
    table.add("no case file", Case::load(&dir.path().join("none.toml")));
    table.case("empty", "");
    table.case("not toml", "model = = 3");
    std::fs::write(dir.path().join("model.onnx"), [8, 1, 0xff, 0xfe]).expect("writable");
    table.add("a model instead of a case", Case::load(&dir.path().join("model.onnx")));
    table.case("unknown key", &format!("{MODEL}{INPUT}sclae = 2.0\n{DATA}"));
    table.case("missing key", &format!("[model]\n{INPUT}{DATA}"));
    table.case("missing section", &format!("{MODEL}{DATA}"));
    table.case("bad kind", &format!("{MODEL}[input]\nkind = \"video\"\nshape = [2, 2, 1]\n{DATA}"));
    table.case("negative shape", &format!("{MODEL}[input]\nkind = \"image\"\nshape = [2, -2, 1]\n{DATA}"));
    table.case("zero shape", &format!("{MODEL}[input]\nkind = \"image\"\nshape = [2, 0, 1]\n{DATA}"));
    table.case("huge shape", &format!("{MODEL}[input]\nkind = \"image\"\nshape = [2, 2, 9000000000000000000]\n{DATA}"));
    table.case("zero scale", &format!("{MODEL}{INPUT}scale = 0.0\n{DATA}"));
    table.case("nan zero point", &format!("{MODEL}{INPUT}zero_point = nan\n{DATA}"));
    table.case("mean too long", &format!("{MODEL}{INPUT}mean = [0.5, 0.5]\n{DATA}"));
    table.case("std zero", &format!("{MODEL}{INPUT}  std = [0.0]\n{DATA}"));
    table.case("bad hash", &format!("{MODEL}sha256 = \"abc\"\n{INPUT}{DATA}"));
    table.case("no labels", &format!("{MODEL}{INPUT}[data]\n"));
    table.case("both labels", &format!("{MODEL}{INPUT}[data]\nlabels = \"l.txt\"\nlabel_names = [\"a\"]\n"));
    table.case("labels file missing", &format!("{MODEL}{INPUT}[data]\nlabels = \"l.txt\"\n"));
    table.case("a name twice", &format!("{MODEL}{INPUT}[data]\nlabel_names = [\"a\", \"b\", \"a\"]\n"));
    table.case("unknown format", &format!("{MODEL}{INPUT}{DATA}test = {{ format = \"csv\", path = \"a\" }}\n"));
    table.case(
        "key of another format",
        &format!("{MODEL}{INPUT}{DATA}test = {{ format = \"folder\", path = \"a\", dtype = \"u8\" }}\n"),
    );
    table.case("key not there", &format!("{MODEL}{INPUT}{DATA}test = {{ format = \"idx\", images = \"a\" }}\n"));
    table.case("label byte", &format!("{MODEL}{INPUT}{DATA}test = {{ format = \"records\", path = \"a\", label_bytes = 0, dtype = \"u8\", shape = [1, 2, 2], layout = \"chw\" }}\n"));
    table.case(
        "one array name",
        &format!("{MODEL}{INPUT}{DATA}test = {{ format = \"npz\", path = \"a\", images = \"x\" }}\n"),
    );
    table.case("classes twice", &format!("classes = [\"ant\"]\n{MODEL}{INPUT}{DATA}[build]\nclasses = [\"bee\"]\n"));
    table.case("keep out of range", &format!("{MODEL}{INPUT}{DATA}[build]\nkeep = 1.5\n"));
    table.case("negative limit", &format!("{MODEL}{INPUT}{DATA}[build]\nmax_flash = -1\n"));
    table.case("limit of another type", &format!("{MODEL}{INPUT}{DATA}[build]\nmax_macs = 0.5\n"));

    std::fs::write(dir.path().join("fratc.toml"), format!("{MODEL}sha256 = \"{}\"\n{INPUT}{DATA}", "0".repeat(64)))
        .expect("writable");
    let case = Case::load(&dir.path().join("fratc.toml")).expect("good case");
    table.add("no model", case.model_bytes());
    std::fs::write(dir.path().join("m.onnx"), "").expect("writable");
    table.add("empty model", case.model_bytes());
    std::fs::write(dir.path().join("m.onnx"), "other").expect("writable");
    table.add("another model", case.model_bytes());
    table.add("label names for another model", case.check_classes(10));
    table.add("shape of another model", case.input.check_model([32, 32, 3]));
    table.add("no calibration data", case.calibration());
    table.add("no test data", case.test());
    table.add("unknown class", case.class_set(Some(&["cwo".to_owned()])));
    let none = Samples { raw: vec![0; 4], labels: vec![1], ..Samples::empty(&case.input) };
    table.add("classes without samples", none.require_classes(&[0, 1, 2], &case.label_names));
    insta::with_settings!({snapshot_path => "../../snapshots", omit_expression => true}, {
        insta::assert_snapshot!("data_bad_case_files", table.text);
    });
}

#[test]
fn bad_data_files() {
    let dir = tempdir().expect("temporary folder");
    let mut table = Table { dir: dir.path(), text: String::new() };
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str, bytes: &[u8]| {
        make::write(&path(name), bytes, false);
        path(name)
    };
    let records = |bytes: &[u8]| DataSource::Records {
        path: file("r.bin", bytes),
        record: Record { label_bytes: 1, label_byte: 0, dtype: InputKind::U8, shape: [2, 2, 1], layout: Layout::Hwc },
    };
    let good = [1, 10, 11, 12, 13];
    table.source("records: empty", &records(&[]), None);
    table.source("records: cut off", &records(&[&good[..], &good[..3]].concat()), None);
    table.source("records: label without a name", &records(&[3, 10, 11, 12, 13]), None);
    let packed = make::gz(&good.repeat(50));
    table.source("records: gzip cut off", &records(&packed[..packed.len() - 9]), None);
    let mut flipped = packed.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    table.source("records: gzip damaged", &records(&flipped), None);
    let rgb = InputContract::new(InputKind::U8, [2, 2, 3], 1.0);
    let signed = InputContract::new(InputKind::I8, [2, 2, 1], 1.0);
    table.source("records: wrong size", &records(&good), Some(&rgb));
    table.source("records: wrong type", &records(&good), Some(&signed));

    let idx =
        |images: &[u8], labels: &[u8]| DataSource::Idx { images: file("i.idx", images), labels: file("l.idx", labels) };
    let (images, labels) = (make::idx(&[2, 2, 2], &[7; 8]), make::idx(&[2], &[0, 1]));
    table.source("idx: swapped", &idx(&labels, &images), None);
    table.source("idx: labels too few", &idx(&images, &make::idx(&[1], &[0])), None);
    table.source("idx: label without a name", &idx(&images, &make::idx(&[2], &[0, 9])), None);
    table.source("idx: wrong size", &idx(&make::idx(&[2, 3, 2], &[7; 12]), &labels), None);
    table.source("idx: cut off", &idx(&images[..images.len() - 1], &labels), None);
    table.source("idx: header cut off", &idx(&images[..9], &labels), None);
    table.source("idx: absurd header", &idx(&make::idx(&[u32::MAX as usize; 3], &[7; 8]), &labels), None);
    table.source("idx: no samples", &idx(&make::idx(&[0, 2, 2], &[]), &labels), None);
    table.source("idx: floats", &idx(&[0, 0, 0x0d, 1, 0, 0, 0, 0], &labels), None);
    table.source("idx: something else", &idx(b"PK\x03\x04", &labels), None);
    table.source("idx: no file", &DataSource::Idx { images: path("none"), labels: path("none") }, None);
    table.source("idx: a folder", &DataSource::Idx { images: path(""), labels: path("") }, None);

    let npy = |x: &[u8], y: &[u8]| DataSource::Npy {
        images: file("x.npy", x),
        labels: file("y.npy", y),
        layout: Layout::Hwc,
    };
    let (x, y) = (make::npy(&[2, 2, 2], &[7u8; 8]), make::npy(&[2], &[0i64, 1]));
    table.source("npy: floats", &npy(&make::npy(&[2, 2, 2], &[7f32; 8]), &y), None);
    table.source("npy: wide integers", &npy(&make::npy(&[2, 2, 2], &[7i32; 8]), &y), None);
    table.source("npy: negative label", &npy(&x, &make::npy(&[2], &[0i64, -1])), None);
    table.source("npy: labels too many", &npy(&x, &make::npy(&[3], &[0i64, 1, 2])), None);
    table.source("npy: not labels", &npy(&x, &x), None);
    table.source("npy: cut off", &npy(&x[..x.len() - 1], &y), None);
    table.source("npy: not numpy", &npy(b"hello, world", &y), None);
    table.source("npy: wrong size", &npy(&make::npy(&[1, 2, 4], &[7u8; 8]), &y), None);
    let npz = |bytes: &[u8]| DataSource::Npz { path: file("a.npz", bytes), arrays: None, layout: Layout::Hwc };
    let archive = make::npz(&[("x", x.clone()), ("labels", y.clone())]);
    table.source("npz: other arrays", &npz(&archive), None);
    table.source("npz: cut off", &npz(&archive[..archive.len() / 2]), None);
    table.source("npz: an array inside is damaged", &npz(&make::npz(&[("x", x[..20].to_vec()), ("y", y)])), None);

    let folder = DataSource::Folder { path: path("images"), part: None };
    table.source("folder: missing", &folder, None);
    std::fs::create_dir_all(path("images")).expect("writable");
    table.source("folder: no classes", &folder, None);
    std::fs::create_dir_all(path("images/ant")).expect("writable");
    table.source("folder: no images", &folder, None);
    let png = make::image([2, 2, 1], &[1, 2, 3, 4], ImageFormat::Png);
    file("images/ant/a.png", &png[..png.len() - 20]);
    file("images/ant/b.png", b"not an image at all");
    table.source("folder: corrupt images", &folder, None);
    std::fs::remove_file(path("images/ant/b.png")).expect("there");
    file("images/ant/a.png", &make::image([2, 3, 1], &[1; 6], ImageFormat::Png));
    table.source("folder: wrong size", &folder, None);
    file("images/ant/a.png", &make::image([2, 2, 3], &[1; 12], ImageFormat::Png));
    table.source("folder: colour for grey", &folder, None);
    file("images/ant/a.png", &png);
    table.source("folder: grey for colour", &folder, Some(&rgb));
    table.source("folder: features", &folder, Some(&signed));
    std::fs::create_dir_all(path("images/bees")).expect("writable");
    table.source("folder: unknown class", &folder, None);
    insta::with_settings!({snapshot_path => "../../snapshots", omit_expression => true}, {
        insta::assert_snapshot!("data_bad_data_files", table.text);
    });
}
