//! `fratc verify`: an emitted crate against the program it was made from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::{Case, Samples};
use crate::diag::{Diag, Result};
use crate::emit::bare_metal;
use crate::output;
use crate::pipeline::Progress;
use crate::pipeline::emit::{PROGRAM_FILE, random_inputs};
use crate::qir::{self, Program};
use crate::report::{HostRun, QemuRun, SCHEMA};
use crate::target::Target;
use crate::verify;

/// Random inputs where no case is given.
const RANDOM_INPUTS: usize = 64;

/// What the user wants.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Case whose test samples are the inputs.
    pub case: Option<PathBuf>,
    /// Inputs to use, the first ones; all if `None`.
    pub samples: Option<usize>,
    /// Inputs to run in QEMU.
    pub qemu_samples: usize,
    /// Another board than the crate was emitted for.
    pub target: Option<String>,
}

/// What `verify --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The crate's folder.
    pub path: String,
    /// Board.
    pub target: String,
    /// The crate on this machine.
    pub host: HostRun,
    /// The crate in QEMU; `null` if it did not run there.
    pub qemu: Option<QemuRun>,
    /// What was skipped.
    pub notes: Vec<String>,
}

/// What the crate's folder says of itself.
#[derive(Debug, Deserialize)]
struct Kept {
    target: String,
}

/// Verifies the crate in `dir`. The reason why the answer is no, if bytes differ, comes with the numbers.
pub fn verify(dir: &Path, options: &VerifyOptions, progress: &dyn Progress) -> Result<(Summary, Option<Box<Diag>>)> {
    let kept = std::fs::read_to_string(dir.join(output::REPORT)).map_err(|e| {
        Box::new(
            Diag::new("verify/not-a-crate", format!("this is no crate that fratc wrote ({e})"))
                .at(dir.display())
                .help("give the --out folder of `fratc build` or `fratc emit`"),
        )
    })?;
    let kept: Kept = serde_json::from_str(&kept).map_err(|e| {
        Box::new(Diag::new("verify/report", format!("the crate's report is damaged: {e}")).at(dir.display()))
    })?;
    let target = Target::load(options.target.as_ref().unwrap_or(&kept.target))?;
    let program = qir::load(&dir.join(PROGRAM_FILE))?;
    let mut inputs = inputs(&program, options)?;
    if let Some(most) = options.samples {
        let first: Vec<usize> = (0..inputs.len().min(most)).collect();
        inputs = inputs.select(&first);
    }
    progress.stage("verify");
    let mut files = verify::read_crate(dir)?;
    files.retain(|file| !file.path.starts_with("fratc/"));
    if target.name != kept.target {
        // How it is linked and started is the board's; everything else is the crate as it is.
        for file in &mut files {
            match file.path.as_str() {
                "memory.x" => file.bytes = bare_metal::memory_x(&target).into_bytes(),
                ".cargo/config.toml" => file.bytes = bare_metal::cargo_config(&target).into_bytes(),
                _ => {}
            }
        }
    }
    let wanted = verify::Options { qemu_samples: options.qemu_samples, ..verify::Options::default() };
    let found = verify::verify(&files, &program, &inputs, &target, &wanted)?;
    let refused = found.check().err();
    let summary = Summary {
        schema: SCHEMA,
        path: dir.display().to_string(),
        target: target.name.clone(),
        host: HostRun { samples: found.host.samples, mismatches: found.host.mismatches },
        qemu: found.qemu.as_ref().map(|q| QemuRun {
            machine: q.machine.clone(),
            samples: q.samples,
            mismatches: q.mismatches,
            instructions_per_inference: Some(q.instructions_per_inference),
        }),
        notes: found.no_qemu.into_iter().chain(found.no_footprint).collect(),
    };
    Ok((summary, refused))
}

fn inputs(program: &Program, options: &VerifyOptions) -> Result<Samples> {
    let random = random_inputs(program, RANDOM_INPUTS);
    let Some(path) = &options.case else {
        return Ok(random);
    };
    let test = Case::load(path)?.test()?;
    if test.shape != random.shape || test.kind != random.kind {
        return Diag::new("verify/input", "the case's samples are not this crate's inputs")
            .at(path.display())
            .expected(
                format!("{} {:?}", random.kind.name(), random.shape),
                format!("{} {:?}", test.kind.name(), test.shape),
            )
            .err();
    }
    Ok(test)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "host  {} samples, {} mismatches", self.host.samples, self.host.mismatches)?;
        match &self.qemu {
            Some(run) => {
                write!(f, "qemu  {}: {} samples, {} mismatches", run.machine, run.samples, run.mismatches)?;
                match run.instructions_per_inference {
                    Some(n) => writeln!(f, ", {n} instructions per inference")?,
                    None => writeln!(f)?,
                }
            }
            None => writeln!(f, "qemu  not run")?,
        }
        for note in &self.notes {
            writeln!(f, "note  {note}")?;
        }
        Ok(())
    }
}
