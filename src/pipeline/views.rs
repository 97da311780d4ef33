//! Which other views of its samples a source does not mind.

use crate::data::Samples;
use crate::diag::Result;
use crate::exec::{Network, for_chunks};
use crate::pipeline::{Source, score};
use crate::refit::{View, Views};

/// The views under which the masked source is as good on the calibration samples `indices` as on these themselves:
/// no more answers lost than won but for one standard error of that difference.
pub(super) fn tolerated(source: &Source, samples: &Samples, indices: &[usize], classes: &[usize]) -> Result<Views> {
    let truth = score::wanted(samples, indices, classes);
    let right = |view: &(dyn Fn(usize) -> View + Sync)| -> Result<Vec<bool>> {
        let network = Network::<f32>::new(&source.graph)?;
        let chunks = for_chunks(indices.len(), |range| {
            let mut batch = score::batch(&source.case.input, samples, &indices[range.clone()]);
            view(range.start).apply(&mut batch);
            let out = network.scores(&batch)?;
            let choice = |s: usize| score::argmax(classes.iter().map(|&c| out.data[c * out.n + s]));
            Ok((0..out.n).map(|s| choice(s) == truth[range.start + s]).collect::<Vec<bool>>())
        })?;
        Ok(chunks.into_iter().flatten().collect())
    };
    let plain = right(&|_| View::default())?;
    let minds_not = |seen: Vec<bool>| {
        let count = |was: bool| plain.iter().zip(&seen).filter(|(p, s)| **p == was && **s != was).count() as f64;
        let (lost, won) = (count(true), count(false));
        lost - won <= (lost + won).sqrt()
    };
    let shape = source.graph.shape(source.graph.input());
    let movable = View::reach(shape.h).max(View::reach(shape.w)) > 0;
    Ok(Views {
        mirror: shape.w > 1 && minds_not(right(&|_| View::MIRRORED)?),
        shift: movable && minds_not(right(&|chunk| View::moved(chunk / crate::exec::CHUNK))?),
    })
}
