//! `fratc add-class`: classes of other sources put into an assembly that stays what it is.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::diag::{Diag, Result};
use crate::pipeline::inputs::spare;
use crate::pipeline::{From, Progress, RouteOptions, Source, assembly, finetune, joint, route, score, together};
use crate::report::{Finetune, SCHEMA};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct AddClassOptions {
    /// The classes to add, each with its source.
    pub from: Vec<From>,
    /// Size of what is added, and its training.
    pub route: RouteOptions,
    /// The assembly to write.
    pub out: PathBuf,
}

/// What `add-class --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct AddClassSummary {
    /// Layout version.
    pub schema: u32,
    /// The file written.
    pub path: String,
    /// Class names in output order; the new ones are last.
    pub classes: Vec<String>,
    /// Those that are new.
    pub added: Vec<String>,
    /// Multiply-accumulates per sample, before and after.
    pub macs: [u64; 2],
    /// Weights and biases, before and after.
    pub params: [usize; 2],
    /// Training of what is added; `null` when not run.
    pub finetune: Option<Finetune>,
    /// On the test splits; `null` where a case has none or is not there.
    pub accuracy: Option<AddedAccuracy>,
}

/// Shares of right answers, means over classes, float.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AddedAccuracy {
    /// The former classes among themselves; adding changes nothing about it.
    pub before: f64,
    /// All classes.
    pub all: f64,
    /// The former classes among all.
    pub former: f64,
    /// The new ones among all.
    pub added: f64,
}

/// Adds classes to the assembly at `path`.
pub fn add_class(path: &Path, options: &AddClassOptions, progress: &dyn Progress) -> Result<AddClassSummary> {
    for (file, what) in [(path, "the assembly to add to"), (&options.out, "--out")] {
        if !assembly::is_assembly(file) {
            return Diag::new("assembly/name", format!("{what} is not called as assemblies are"))
                .at(file.display())
                .expected("a name that ends in .assembly", file.display())
                .help("`fratc assemble … --out FILE.assembly` writes one, `fratc build FILE.assembly` makes a crate of it")
                .err();
        }
    }
    spare(&options.out, options.from.iter().map(|from| from.case.as_path()))?;
    progress.stage("load");
    let old = assembly::open(path)?;
    let source = Source { device: options.route.device, ..joint::extend(&old, &options.from)? };
    let classes: Vec<usize> = (0..source.graph.classes()).collect();
    let wanted = options.route.resolve(&source)?;
    let mut cut = route::cut(&source, &classes, &wanted, progress)?;
    let tuned = finetune::finetune(&source, &classes, &mut cut, &wanted.finetune, progress)?;
    progress.stage("write");
    assembly::save(&source, &cut.graph, &options.out)?;
    let names = source.names(&classes);
    Ok(AddClassSummary {
        schema: SCHEMA,
        path: options.out.display().to_string(),
        added: names[old.graph.classes()..].to_vec(),
        classes: names,
        macs: [old.graph.macs(), cut.graph.macs()],
        params: [old.graph.params(), cut.graph.params()],
        finetune: tuned,
        accuracy: accuracy(&source, &cut, old.graph.classes())?,
    })
}

/// On the test split, if there is one; the first `former` classes were there before.
fn accuracy(source: &Source, cut: &route::Cut, former: usize) -> Result<Option<AddedAccuracy>> {
    let Some(test) = source.test.as_ref().filter(|test| !test.is_empty()) else { return Ok(None) };
    let all: Vec<usize> = (0..test.len()).collect();
    let rows = score::scores(&cut.graph, source, test, &all)?;
    let truth: Vec<usize> = test.labels.iter().map(|&label| label as usize).collect();
    let classes = source.graph.classes();
    let mean = |of: std::ops::Range<usize>| together::mean_class_among(&rows, &truth, &of, &(0..classes));
    Ok(Some(AddedAccuracy {
        before: together::mean_class_among(&rows, &truth, &(0..former), &(0..former)),
        all: mean(0..classes),
        former: mean(0..former),
        added: mean(former..classes),
    }))
}
