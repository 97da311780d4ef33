//! Exact simplification of the int8 program, between quantization and planning.

use crate::diag::Result;
use crate::qir::Program;
use crate::qir::pass::{self, Options, Summary};
use crate::report::Simplified;
use crate::target::Target;
use crate::{plan, report};

/// `program` without what changes no score, as suits the kernels of `target`, and what went; as it is if not `wanted`.
pub fn simplify(program: Program, target: &Target, wanted: bool) -> Result<(Program, Option<Simplified>)> {
    if !wanted {
        return Ok((program, None));
    }
    let options = Options { granule: plan::channel_granule(target), ..Options::default() };
    let (program, summary) = pass::simplify(&program, &options)?;
    Ok((program, Some(row(&summary))))
}

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
