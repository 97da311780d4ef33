//! `fratc demo`: the build of the built-in example.

use std::path::PathBuf;

use crate::data::{self, Case};
use crate::demo;
use crate::diag::Result;
use crate::output;
use crate::pipeline::build::{Outcome, build_source};
use crate::pipeline::{BuildOptions, Progress, RouteOptions, Source};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Class tokens; empty for the example's default set.
    pub classes: Vec<String>,
    /// Board.
    pub target: String,
    /// Folder of the crate.
    pub out: PathBuf,
}

/// Builds the example.
pub fn demo(options: &DemoOptions, progress: &dyn Progress) -> Result<Outcome> {
    output::check_folder(&options.out)?;
    progress.stage("draw samples");
    let demo = demo::case();
    progress.stage("load");
    let name = PathBuf::from("markers.onnx");
    let case = Case {
        path: name.clone(),
        model: name,
        model_sha256: None,
        input: demo.input,
        label_names: demo.label_names,
        calibration: None,
        test: None,
        train: None,
        classes: None,
        target: None,
        options: data::BuildOptions::default(),
    };
    let source = Source::in_memory(case, demo::model_bytes(), demo.calibration, demo.test)?;
    let classes = if options.classes.is_empty() {
        demo::default_classes().map(String::from).to_vec()
    } else {
        options.classes.clone()
    };
    let route = RouteOptions { classes, ..RouteOptions::default() };
    let build = BuildOptions {
        route,
        target: Some(options.target.clone()),
        out: Some(options.out.clone()),
        qemu_samples: None,
        random_calibration: None,
        reject: None,
        simplify: true,
        firmware: None,
        plan: crate::plan::Options::default(),
    };
    build_source(&source, &build, progress)
}
