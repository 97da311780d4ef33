//! Exact simplification of the int8 program, between quantization and planning.

use crate::diag::{Diag, Result};
use crate::pipeline::emit::random_inputs;
use crate::qir::Program;
use crate::qir::pass::{self, Options, Summary};
use crate::report::Simplified;
use crate::target::Target;
use crate::{plan, report, sim};

/// `program` without what changes no score, as suits the kernels of `target`, and what went; as it is if not `wanted`.
pub fn simplify(program: Program, target: &Target, wanted: bool) -> Result<(Program, Option<Simplified>)> {
    if !wanted {
        return Ok((program, None));
    }
    let options = Options { granule: plan::channel_granule(target), ..Options::default() };
    let (simple, summary) = pass::simplify(&program, &options)?;
    same_scores(&program, &simple)?;
    Ok((simple, Some(row(&summary))))
}

/// Holds the simplified program to the scores of the whole one: what is verified later begins with the simplified.
fn same_scores(whole: &Program, simple: &Program) -> Result<()> {
    let inputs = random_inputs(whole, SAMPLES);
    let differs = |&sample: &usize| sim::run(whole, inputs.sample(sample)) != sim::run(simple, inputs.sample(sample));
    match (0..inputs.len()).find(differs) {
        None => Ok(()),
        Some(sample) => Diag::new("simplify/inexact", "simplification changed the scores, which is a defect of fratc")
            .at(format!("program `{}`, random sample {sample}", whole.name))
            .help("please report it; --no-simplify goes on without")
            .err(),
    }
}

/// Random samples on which the two are compared.
const SAMPLES: usize = 4;

fn row(summary: &Summary) -> report::Simplified {
    let changed = summary.changed.iter().filter(|change| change.channels[0] != change.channels[1]);
    Simplified {
        macs: summary.macs,
        weights: summary.weights,
        layers: summary.layers,
        channels: summary.channels,
        changed: changed.map(|change| (change.name.clone(), change.channels)).collect(),
    }
}
