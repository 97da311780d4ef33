//! A case: a model, its input contract, its data, and optionally what to build.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::data::samples::hex;
use crate::data::{
    BuildOptions, DataSource, FolderPart, InputContract, Part, Samples, Stream, class_folders, file, labels,
};
use crate::data::{case_file, resolve_classes};
use crate::diag::{Diag, Result};

/// Everything a case file says, with paths made relative to where the tool runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The case file, or the data folder of the short form.
    pub path: PathBuf,
    /// The ONNX file.
    pub model: PathBuf,
    /// What the model file must hash to, lower-case hex.
    pub model_sha256: Option<String>,
    /// Raw bytes to network inputs.
    pub input: InputContract,
    /// Names of the model's classes, in the order of its outputs.
    pub label_names: Vec<String>,
    /// For selection, calibration and every choice.
    pub calibration: Option<DataSource>,
    /// Only ever scored.
    pub test: Option<DataSource>,
    /// For fine-tuning.
    pub train: Option<DataSource>,
    /// Wanted classes, as the user wrote them.
    pub classes: Option<Vec<String>>,
    /// Board or target file.
    pub target: Option<String>,
    /// Further options; flags of the command line override them.
    pub options: BuildOptions,
}

impl Case {
    /// Reads a case file. Data files are not opened yet, except the labels.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = file::read_plain(path)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Box::new(
                Diag::new("data/case-file", "case file is not UTF-8 text")
                    .at(format!("{}, byte {at}", path.display()))
                    .help("give the case file (fratc.toml); the model is named inside it"),
            )
        })?;
        case_file::parse(&text, path)
    }

    /// The short form without a case file: `folder` holds `calib/<class>/…` and perhaps `test/<class>/…`, or
    /// the class folders themselves, which `seed` then splits four to one. The classes are the sorted names of
    /// the class folders.
    pub fn from_folder(model: &Path, folder: &Path, input: InputContract, seed: u64) -> Result<Self> {
        input.verify()?;
        let source = |path: PathBuf, part| DataSource::Folder { path, part };
        let (calib, test) = (folder.join("calib"), folder.join("test"));
        let (label_names, calibration, test) = if calib.is_dir() {
            let names = class_folders(&calib)?;
            (names, source(calib, None), test.is_dir().then(|| source(test, None)))
        } else {
            let half = |part| source(folder.to_owned(), Some(FolderPart { part, seed }));
            (class_folders(folder)?, half(Part::Calibration), Some(half(Part::Test)))
        };
        labels::check(&label_names).map_err(|d| Box::new(d.at(folder.display())))?;
        Ok(Self {
            path: folder.to_owned(),
            model: model.to_owned(),
            model_sha256: None,
            input,
            label_names,
            calibration: Some(calibration),
            test,
            train: None,
            classes: None,
            target: None,
            options: BuildOptions::default(),
        })
    }

    /// The model file's bytes and their SHA-256, which must be the case file's where it gives one.
    pub fn model_bytes(&self) -> Result<(Vec<u8>, String)> {
        let bytes = file::read_plain(&self.model)?;
        let found = hex(&Sha256::digest(&bytes));
        match &self.model_sha256 {
            Some(want) if *want != found => Diag::new("data/model-hash", "the model is not the one of the case file")
                .at(self.model.display())
                .expected(format!("sha256 {want}"), found)
                .help("fetch the model again, or correct `sha256` in [model] if the model was changed on purpose")
                .err(),
            _ => Ok((bytes, found)),
        }
    }

    /// Fails unless there is one label name for each of the model's outputs.
    pub fn check_classes(&self, outputs: usize) -> Result<()> {
        if self.label_names.len() == outputs {
            return Ok(());
        }
        Diag::new("data/label-count", "the number of label names is not the number of the model's classes")
            .at(self.path.display())
            .expected(format!("{outputs} names, one per output of {}", self.model.display()), self.label_names.len())
            .help("correct the labels file: one name a line, in the order of the outputs")
            .err()
    }

    /// The files that the case is made of: its own, the model and the data, but for folders of images.
    pub fn files(&self) -> Vec<&Path> {
        let data = [&self.calibration, &self.test, &self.train].into_iter().flatten().flat_map(DataSource::files);
        [self.path.as_path(), self.model.as_path()].into_iter().chain(data).collect()
    }

    /// The calibration samples.
    pub fn calibration(&self) -> Result<Samples> {
        self.read(self.calibration.as_ref(), "calibration")
    }

    /// The test samples.
    pub fn test(&self) -> Result<Samples> {
        self.read(self.test.as_ref(), "test")
    }

    /// The training samples.
    pub fn train(&self) -> Result<Samples> {
        self.read(self.train.as_ref(), "train")
    }

    /// Class indices of `tokens`, else of the case's own `classes`, else all of them.
    pub fn class_set(&self, tokens: Option<&[String]>) -> Result<Vec<usize>> {
        match tokens.or(self.classes.as_deref()) {
            Some(tokens) => resolve_classes(&self.label_names, tokens),
            None => Ok((0..self.label_names.len()).collect()),
        }
    }

    /// The calibration samples, fetched when they are wanted.
    pub fn calibration_stream(&self) -> Result<Stream> {
        Stream::open(self.given(self.calibration.as_ref(), "calibration")?, &self.input, &self.label_names)
    }

    fn read(&self, source: Option<&DataSource>, key: &str) -> Result<Samples> {
        self.given(source, key)?.read(&self.input, &self.label_names)
    }

    /// The source of [data] `key`, or why there is none.
    fn given<'a>(&self, source: Option<&'a DataSource>, key: &str) -> Result<&'a DataSource> {
        source.ok_or_else(|| {
            let diag = Diag::new("data/no-data", format!("the case has no {key} data")).at(self.path.display());
            Box::new(match key {
                "calibration" => diag.help("add `calibration` to [data], or use --random-calibration N"),
                _ => diag.help(format!("add `{key}` to [data]")),
            })
        })
    }
}
