//! The text of a case file. Every error names line and column.
//!
//! ```toml
//! classes = ["cat", "dog", 7]     # optional: names or indices; here or in [build]
//! target = "qemu-m4"              # optional: here or in [build]
//!
//! [model]
//! path = "net.onnx"               # relative to this file, like every path
//! sha256 = "…"                    # optional: 64 hex digits
//!
//! [input]                         # x = ((p − zero_point)·scale − mean) / std, per channel
//! kind = "image"                  # raw u8; "features" is raw i8
//! shape = [32, 32, 3]             # height, width, channels, whatever the model's own layout
//! scale = 0.00392156862745098     # default 1
//! zero_point = 0                  # default 0
//! mean = [0.5, 0.5, 0.5]          # default 0
//! std = [0.5, 0.5, 0.5]           # default 1
//!
//! [data]
//! labels = "labels.txt"           # one name a line, or: label_names = ["cat", …]
//! calibration = { format = "records", path = "a.bin.gz", label_bytes = 1, dtype = "u8", shape = [3, 32, 32], layout = "chw" }
//! test = { format = "idx", images = "i.gz", labels = "l.gz" }
//! train = { format = "folder", path = "train" }
//! # { format = "npy", images = "x.npy", labels = "y.npy", layout = "hwc" }
//! # { format = "npz", path = "a.npz", images = "x_test", labels = "y_test" }   names default to x, y or images, labels
//!
//! [build]                         # optional: the options of `fratc build`; its flags override them
//! keep = 0.5
//! max_flash = "64k"               # or max_ram, max_macs ("30%"), max_drop: a number, or text with a unit
//! finetune = 1                    # epochs; distill = true for the source's scores as teacher
//! ```
//! `records` may also have `label_byte`: which of several label bytes counts, the last one by default.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::data::case_options::{BuildOptions, Token};
use crate::data::{Case, DataSource, InputContract, InputKind, Layout, Placeless, Record, labels};
use crate::diag::{Diag, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    classes: Option<Vec<Token>>,
    target: Option<String>,
    model: RawModel,
    input: RawInput,
    data: Spanned<RawData>,
    build: Option<Spanned<BuildOptions>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    path: PathBuf,
    sha256: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    kind: RawKind,
    shape: Spanned<[usize; 3]>,
    scale: Option<Spanned<f64>>,
    zero_point: Option<Spanned<f64>>,
    mean: Option<Spanned<Vec<f64>>>,
    std: Option<Spanned<Vec<f64>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Image,
    Features,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    labels: Option<Spanned<PathBuf>>,
    label_names: Option<Spanned<Vec<String>>>,
    calibration: Option<Spanned<RawSource>>,
    test: Option<Spanned<RawSource>>,
    train: Option<Spanned<RawSource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Records,
    Idx,
    Folder,
    Npy,
    Npz,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    format: Format,
    path: Option<PathBuf>,
    images: Option<String>,
    labels: Option<String>,
    label_bytes: Option<usize>,
    label_byte: Option<usize>,
    dtype: Option<InputKind>,
    shape: Option<[usize; 3]>,
    layout: Option<Layout>,
}

/// Reads `text`, which stands in the file `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Case> {
    let at = |offset: usize| format!("{}, {}", path.display(), position(text, offset));
    let raw: RawCase = toml::from_str(text).map_err(|e| {
        let message = e.message().trim_end().replace('\n', "; ");
        Box::new(
            Diag::new("data/case-file", format!("case file is not valid: {message}"))
                .at(e.span().map_or_else(|| path.display().to_string(), |span| at(span.start))),
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let input = contract(&raw.input).map_err(|(offset, d)| Box::new(d.at(at(offset))))?;
    let data_at = at(raw.data.span().start);
    let data = raw.data.into_inner();
    let label_names = match (data.labels, data.label_names) {
        (Some(file), None) => labels::read(&folder.join(file.into_inner()))?,
        (None, Some(names)) => {
            let place = at(names.span().start);
            let names = names.into_inner();
            labels::check(&names).map_err(|d| Box::new(d.at(place)))?;
            names
        }
        (None, None) => {
            return Diag::new("data/case-file", "[data] has no label names")
                .at(data_at)
                .help("add labels = \"FILE\" (one name a line) or label_names = [\"…\"]")
                .err();
        }
        (Some(_), Some(names)) => {
            return Diag::new("data/case-file", "[data] has both `labels` and `label_names`")
                .at(at(names.span().start))
                .help("keep one of them")
                .err();
        }
    };
    let source = |raw: Option<Spanned<RawSource>>| match raw {
        None => Ok(None),
        Some(raw) => {
            let place = at(raw.span().start);
            raw.into_inner().resolve(folder).map(Some).map_err(|d| Box::new(d.at(place)))
        }
    };
    let build_at = raw.build.as_ref().map(|build| at(build.span().start));
    let options = raw.build.map_or_else(BuildOptions::default, Spanned::into_inner);
    if let (Some(place), Some(problem)) = (build_at, options.problem(raw.classes.is_some(), raw.target.is_some())) {
        return problem.at(place).err();
    }
    let classes = raw.classes.or_else(|| options.classes.clone());
    Ok(Case {
        path: path.to_owned(),
        model: folder.join(raw.model.path),
        model_sha256: raw
            .model
            .sha256
            .map(|hash| digest(&hash).map_err(|d| Box::new(d.at(at(hash.span().start)))))
            .transpose()?,
        input,
        label_names,
        calibration: source(data.calibration)?,
        test: source(data.test)?,
        train: source(data.train)?,
        classes: classes.map(|tokens| tokens.into_iter().map(Token::text).collect()),
        target: raw.target.or_else(|| options.target.clone()),
        options,
    })
}

impl RawSource {
    /// The source of this format; every key that the format needs must be there, and no other.
    fn resolve(self, folder: &Path) -> Placeless<DataSource> {
        let Self { format, path, images, labels, label_bytes, label_byte, dtype, shape, layout } = self;
        let given = [
            ("path", path.is_some()),
            ("images", images.is_some()),
            ("labels", labels.is_some()),
            ("label_bytes", label_bytes.is_some()),
            ("label_byte", label_byte.is_some()),
            ("dtype", dtype.is_some()),
            ("shape", shape.is_some()),
            ("layout", layout.is_some()),
        ];
        let (name, needed, optional): (_, &[&str], &[&str]) = match format {
            Format::Records => ("records", &["path", "label_bytes", "dtype", "shape", "layout"], &["label_byte"]),
            Format::Idx => ("idx", &["images", "labels"], &[]),
            Format::Folder => ("folder", &["path"], &[]),
            Format::Npy => ("npy", &["images", "labels"], &["layout"]),
            Format::Npz => ("npz", &["path"], &["images", "labels", "layout"]),
        };
        let bad = |what: String| Diag::new("data/case-file", what);
        for (key, there) in given {
            if there && !needed.contains(&key) && !optional.contains(&key) {
                return Err(bad(format!("format \"{name}\" has no key `{key}`"))
                    .expected([needed, optional].concat().join(", "), key));
            }
            if !there && needed.contains(&key) {
                return Err(bad(format!("format \"{name}\" needs the key `{key}`")));
            }
        }
        let layout = layout.unwrap_or(Layout::Hwc);
        let missing = || bad(format!("format \"{name}\" lacks a key"));
        let join = |name: Option<String>| name.map(|name| folder.join(name)).ok_or_else(missing);
        Ok(match format {
            Format::Records => {
                let label_bytes = label_bytes.ok_or_else(missing)?;
                let label_byte = label_byte.unwrap_or(label_bytes.saturating_sub(1));
                if label_byte >= label_bytes || label_bytes > 16 {
                    return Err(bad("`label_bytes` or `label_byte` is out of range".into()).expected(
                        "1 to 16 label bytes, and the label among them",
                        format!("{label_bytes} bytes, label at {label_byte}"),
                    ));
                }
                let path = folder.join(path.ok_or_else(missing)?);
                let (dtype, shape) = (dtype.ok_or_else(missing)?, shape.ok_or_else(missing)?);
                DataSource::Records { path, record: Record { label_bytes, label_byte, dtype, shape, layout } }
            }
            Format::Idx => DataSource::Idx { images: join(images)?, labels: join(labels)? },
            Format::Folder => DataSource::Folder { path: folder.join(path.ok_or_else(missing)?), part: None },
            Format::Npy => DataSource::Npy { images: join(images)?, labels: join(labels)?, layout },
            Format::Npz => {
                let arrays = match (images, labels) {
                    (Some(images), Some(labels)) => Some((images, labels)),
                    (None, None) => None,
                    _ => return Err(bad("name both arrays, `images` and `labels`, or none".into())),
                };
                DataSource::Npz { path: folder.join(path.ok_or_else(missing)?), arrays, layout }
            }
        })
    }
}

/// The contract of `[input]`, or the offset of the wrong value and what is wrong.
fn contract(raw: &RawInput) -> std::result::Result<InputContract, (usize, Diag)> {
    let shape = *raw.shape.get_ref();
    let kind = match raw.kind {
        RawKind::Image => InputKind::U8,
        RawKind::Features => InputKind::I8,
    };
    // Without a bound on the channels the defaults of mean and std could be of any length.
    let channels = shape[2].min(1 << 12);
    let number = |value: &Option<Spanned<f64>>, default| value.as_ref().map_or(default, |v| *v.get_ref());
    let list = |value: &Option<Spanned<Vec<f64>>>, default| {
        value.as_ref().map_or_else(|| vec![default; channels], |v| v.get_ref().clone())
    };
    let contract = InputContract {
        kind,
        shape,
        scale: number(&raw.scale, 1.0),
        zero_point: number(&raw.zero_point, 0.0),
        mean: list(&raw.mean, 0.0),
        std: list(&raw.std, 1.0),
    };
    let Some((key, diag)) = contract.problem() else { return Ok(contract) };
    let start = |v: &Spanned<f64>| v.span().start;
    let start_list = |v: &Spanned<Vec<f64>>| v.span().start;
    let offset = match key {
        "scale" => raw.scale.as_ref().map(start),
        "zero_point" => raw.zero_point.as_ref().map(start),
        "mean" => raw.mean.as_ref().map(start_list),
        "std" => raw.std.as_ref().map(start_list),
        _ => None,
    };
    Err((offset.unwrap_or(raw.shape.span().start), diag))
}

/// A SHA-256 in lower-case hex.
fn digest(hash: &Spanned<String>) -> Placeless<String> {
    let text = hash.get_ref().to_lowercase();
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(Diag::new("data/case-file", "`sha256` is not a SHA-256")
        .expected("64 hex digits", format!("{} characters", text.chars().count())))
}

/// `line L, column C` of a byte offset, both from 1.
fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    format!("line {line}, column {column}")
}
