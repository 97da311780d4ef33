//! A source network with everything that belongs to it, as the commands start from it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::{Case, Samples};
use crate::diag::{Diag, Result};
use crate::ir::groups::{Groups, channel_groups};
use crate::ir::{Graph, pass};
use crate::load;
use crate::pipeline::{HeadScale, Part, Place, assembly};

/// A case file, its network and its samples.
#[derive(Debug, Clone)]
pub struct Source {
    /// The case.
    pub case: Case,
    /// The model's path as the case gives it.
    pub model_path: String,
    /// The model's file name without its folder.
    pub model_name: String,
    /// SHA-256 of the model's bytes, hexadecimal.
    pub sha256: String,
    /// The network, batch norm folded.
    pub graph: Graph,
    /// Its channel groups.
    pub groups: Groups,
    /// The calibration split, if the case has one.
    pub calibration: Option<Samples>,
    /// The test split, if the case has one.
    pub test: Option<Samples>,
    /// The components, if the network was joined from several; else empty.
    pub parts: Vec<Part>,
    /// How the components' scores come to one scale.
    pub head_scale: HeadScale,
    /// Names of layers that stay as they are, to the bit.
    pub fixed: BTreeSet<String>,
    /// What runs the network and those made of it.
    pub device: Place,
}

impl Source {
    /// Reads the case file, the model and both splits, and checks them against each other; or a saved assembly.
    pub fn open(path: &Path) -> Result<Self> {
        if assembly::is_assembly(path) {
            return assembly::open(path);
        }
        let mut source = Self::open_model(path)?;
        let case = &source.case;
        source.calibration = case.calibration.is_some().then(|| case.calibration()).transpose()?;
        source.test = case.test.is_some().then(|| case.test()).transpose()?;
        Ok(source)
    }

    /// Reads the case file and the model, and no samples.
    pub fn open_model(path: &Path) -> Result<Self> {
        let case = Case::load(path)?;
        let (bytes, _) = case.model_bytes()?;
        Self::without_data(case, &bytes)
    }

    /// A source whose samples are in memory already.
    pub fn in_memory(case: Case, model: &[u8], calibration: Samples, test: Samples) -> Result<Self> {
        Ok(Self { calibration: Some(calibration), test: Some(test), ..Self::without_data(case, model)? })
    }

    /// The network, checked against what the case says of it before any sample is read.
    fn without_data(case: Case, model: &[u8]) -> Result<Self> {
        let model_path = case.model.display().to_string();
        let model_name = case.model.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let loaded = load::load_bytes(model, &model_path)?;
        let graph = pass::simplify(loaded.graph)?;
        let input = graph.shape(graph.input());
        case.input.check_model([input.h, input.w, input.c]).map_err(|d| Box::new(d.at(case.path.display())))?;
        case.check_classes(graph.classes())?;
        let groups = channel_groups(&graph);
        Ok(Self {
            case,
            model_path,
            model_name,
            sha256: loaded.sha256,
            graph,
            groups,
            calibration: None,
            test: None,
            parts: Vec::new(),
            head_scale: HeadScale::default(),
            fixed: BTreeSet::new(),
            device: Place::default(),
        })
    }

    /// The calibration split, or why there is none.
    pub fn calibration(&self) -> Result<&Samples> {
        self.calibration.as_ref().ok_or_else(|| {
            Box::new(
                Diag::new("case/no-calibration", "this needs calibration samples and the case has none")
                    .at(&self.model_path)
                    .help("add [data] calibration to the case file; to compile a whole network without data: --random-calibration N"),
            )
        })
    }

    /// The wanted classes as indices, in the order given; all classes for no tokens.
    pub fn classes(&self, tokens: &[String]) -> Result<Vec<usize>> {
        let classes = self.any_classes(tokens)?;
        if classes.len() < 2 {
            return Diag::new("classes/one", "one class makes no classifier")
                .expected("at least two classes", classes.len())
                .help("name a second class, or build a detector for this one with --reject")
                .err();
        }
        Ok(classes)
    }

    /// The same, where one class will do.
    pub(super) fn any_classes(&self, tokens: &[String]) -> Result<Vec<usize>> {
        if !tokens.is_empty() && !self.parts.is_empty() {
            return Diag::new("classes/assembly", "an assembly is built with all its classes")
                .at(self.case.path.display())
                .help("leave --classes out, or assemble the classes you want")
                .err();
        }
        let tokens = if tokens.is_empty() { self.case.classes.clone().unwrap_or_default() } else { tokens.to_vec() };
        if tokens.is_empty() {
            return Ok((0..self.graph.classes()).collect());
        }
        crate::data::resolve_classes(&self.case.label_names, &tokens)
    }

    /// File name and hash of every model behind the network.
    pub fn models(&self) -> Vec<(String, String)> {
        let mut models: Vec<(String, String)> = Vec::new();
        for part in &self.parts {
            let model = (part.model_name.clone(), part.sha256.clone());
            if !models.contains(&model) {
                models.push(model);
            }
        }
        if models.is_empty() { vec![(self.model_name.clone(), self.sha256.clone())] } else { models }
    }

    /// Names of `classes`.
    pub fn names(&self, classes: &[usize]) -> Vec<String> {
        classes.iter().map(|&c| self.case.label_names[c].clone()).collect()
    }
}
