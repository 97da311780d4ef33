//! The int8 program that `bench` and `plan` look at: of a case, of a program file, or of an emitted crate.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::Case;
use crate::diag::{Diag, Result};
use crate::emit::EmittedFile;
use crate::output;
use crate::pipeline::emit::PROGRAM_FILE;
use crate::pipeline::route::{self, Wanted};
use crate::pipeline::simplify::simplify;
use crate::pipeline::{ByteLimit, Place, Progress, RouteOptions, Source, assembly, finetune, memory, quantize};
use crate::plan::{self, Optimize};
use crate::qir::{self, Program};
use crate::target::Target;
use crate::verify;

/// Name of a program that is made here; crates of it are never kept.
const NAME: &str = "network";

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct SubjectOptions {
    /// Classes and size, for a case.
    pub route: RouteOptions,
    /// Board; the case's or the crate's if not given.
    pub target: Option<String>,
    /// Calibrate on this many random inputs, for a case.
    pub random_calibration: Option<usize>,
    /// Whether what changes no score leaves the program; a crate is taken as it is.
    pub simplify: bool,
}

/// A program with its board.
#[derive(Debug)]
pub(super) struct Subject {
    pub program: Program,
    pub target: Target,
    /// What it is called in reports.
    pub name: String,
    /// The crate it came in.
    pub emitted: Option<Crate>,
    /// How kernels are to be chosen.
    pub plan: plan::Options,
    /// The case it was made from.
    origin: Option<Box<Origin>>,
}

/// Where a program was cut out.
#[derive(Debug)]
struct Origin {
    source: Source,
    classes: Vec<usize>,
    wanted: Wanted,
}

/// An emitted crate.
#[derive(Debug)]
pub(super) struct Crate {
    pub files: Vec<EmittedFile>,
    /// The board it was emitted for.
    pub target: Target,
}

/// What the crate's folder says of itself.
#[derive(Debug, Deserialize)]
struct Kept {
    target: String,
}

impl Subject {
    /// Opens what `path` names: a folder that fratc wrote, an int8 program, or a case file.
    pub fn open(path: &Path, options: &SubjectOptions, optimize: Optimize, progress: &dyn Progress) -> Result<Self> {
        let bytes = |limit: Option<ByteLimit>| limit.map(|limit| limit.0);
        let RouteOptions { max_flash, max_ram, .. } = &options.route;
        let plan = plan::Options { optimize, max_flash: bytes(*max_flash), max_ram: bytes(*max_ram) };
        if path.is_dir() {
            only_for_cases(options)?;
            return Self::of_crate(path, options, plan);
        }
        if path.extension().is_some_and(|extension| extension == "toml") || assembly::is_assembly(path) {
            return Self::of_case(path, options, optimize, progress);
        }
        progress.stage("load");
        let program = qir::load(path).map_err(|mut error| {
            if error.code == "qir/not-a-program" {
                error.help =
                    Some("give a case file (.toml), an int8 program, or the folder of an emitted crate".into());
            }
            error
        })?;
        only_for_cases(options)?;
        let target = Target::load(options.target.as_ref().ok_or_else(no_target)?)?;
        let (program, _) = simplify(program, &target, options.simplify)?;
        Ok(Self { name: stem(path), program, target, emitted: None, plan, origin: None })
    }

    fn of_crate(dir: &Path, options: &SubjectOptions, plan: plan::Options) -> Result<Self> {
        let kept = std::fs::read_to_string(dir.join(output::REPORT)).map_err(|e| {
            Diag::new("bench/not-a-crate", format!("this is no crate that fratc wrote ({e})"))
                .at(dir.display())
                .help("give the --out folder of `fratc build` or `fratc emit`, a case file or an int8 program")
        })?;
        let kept: Kept = serde_json::from_str(&kept)
            .map_err(|e| Diag::new("bench/report", format!("the crate's report is damaged: {e}")).at(dir.display()))?;
        let emitted_for = Target::load(&kept.target)?;
        let target = options.target.as_ref().map_or_else(|| Ok(emitted_for.clone()), |name| Target::load(name))?;
        let program = qir::load(&dir.join(PROGRAM_FILE))?;
        // It was built with its own goal, which the default leaves unsaid.
        let goals = [Optimize::Speed, Optimize::Size, Optimize::Ram];
        let told = |goal: &Optimize| program.provenance.options.contains(&format!("--optimize {}", goal.name()));
        let plan = plan::Options { optimize: goals.into_iter().find(told).unwrap_or_default(), ..plan };
        let mut files = verify::read_crate(dir)?;
        files.retain(|file| !file.path.starts_with("fratc/"));
        Ok(Self {
            name: stem(dir),
            program,
            target,
            emitted: Some(Crate { files, target: emitted_for }),
            plan,
            origin: None,
        })
    }

    fn of_case(path: &Path, options: &SubjectOptions, optimize: Optimize, progress: &dyn Progress) -> Result<Self> {
        let case = if assembly::is_assembly(path) { None } else { Case::load(path)?.target };
        // Before anything slow.
        let target = Target::load(options.target.as_ref().or(case.as_ref()).ok_or_else(no_target)?)?;
        progress.stage("load");
        let source = Source { device: options.route.device, ..Source::open(path)? };
        let mut wanted = options.route.resolve(&source)?;
        (wanted.target, wanted.optimize) = (Some(target.clone()), optimize);
        let classes = source.classes(&options.route.classes)?;
        let random = options.random_calibration.or(source.case.options.random_calibration);
        let mut cut = route::cut(&source, &classes, &wanted, progress)?;
        finetune::finetune(&source, &classes, &mut cut, &wanted.finetune, progress)?;
        progress.stage("quantize");
        let samples = quantize::samples(&source, &classes, random, wanted.seed)?;
        let program = quantize::lower(&source, &cut.graph, &classes, &samples, NAME, Vec::new())?;
        let (program, _) = simplify(program, &target, options.simplify)?;
        let plan = wanted.plan();
        let origin = Some(Box::new(Origin { source, classes, wanted }));
        Ok(Self { name: stem(path), program, target, emitted: None, plan, origin })
    }

    /// What limits of the board's sizes would choose; `None` for what is no case.
    pub fn advice(&self, progress: &dyn Progress) -> Option<String> {
        let Origin { source, classes, wanted } = self.origin.as_deref()?;
        memory::advice(source, classes, wanted, &self.target, progress)
    }
}

/// Refuses options that say how a network is made, for what is made already.
fn only_for_cases(options: &SubjectOptions) -> Result<()> {
    let RouteOptions { classes, keep, max_drop, max_macs, method, libraries, refit, finetune, seed, device, .. } =
        &options.route;
    let given = [
        ("--classes", !classes.is_empty()),
        ("--keep", keep.is_some()),
        ("--max-drop", max_drop.is_some()),
        ("--max-macs", max_macs.is_some()),
        ("--method", method.is_some()),
        ("--library", !libraries.is_empty()),
        ("--no-refit", refit.is_some()),
        ("--finetune", finetune.epochs.is_some()),
        ("--train", finetune.train.is_some()),
        ("--distill", finetune.distill.is_some()),
        ("--seed", seed.is_some()),
        ("--device", *device != Place::default()),
        ("--random-calibration", options.random_calibration.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Diag::new("bench/only-for-cases", format!("{flag} says how a network is made"))
            .expected("a case file", "a program or crate, which is made already")
            .help(format!("leave {flag} out, or give the case file"))
            .err(),
    }
}

fn stem(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    path.file_stem().map_or_else(|| NAME.into(), |stem| stem.to_string_lossy().into_owned())
}

fn no_target() -> Box<Diag> {
    Box::new(
        Diag::new("bench/no-target", "no target is given")
            .help("add --target BOARD (`fratc targets` lists them), or `target` to the case file"),
    )
}
