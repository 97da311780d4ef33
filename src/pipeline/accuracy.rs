//! How often source, small network and int8 program are right on the test split.

use crate::data::Samples;
use crate::diag::Result;
use crate::pipeline::{Source, calibration, route, score, together};
use crate::qir::Program;
use crate::report::{self, Accuracy, ClassAccuracy};
use crate::sim;

/// On the samples of the first `asked` classes, whatever the scores of others; nothing for one class.
pub(super) fn accuracy(
    source: &Source,
    classes: &[usize],
    asked: usize,
    cut: &route::Cut,
    program: &Program,
    inputs: &Samples,
) -> Result<Option<(Accuracy, Option<report::Joint>)>> {
    if source.test.is_none() || inputs.is_empty() || asked < 2 {
        return Ok(None);
    }
    let classes = &classes[..asked];
    let inputs = &inputs.select(&calibration::of_classes(inputs, classes));
    let indices: Vec<usize> = (0..inputs.len()).collect();
    let truth = score::wanted(inputs, &indices, classes);
    let own: Vec<usize> = (0..classes.len()).collect();
    let source_rows = score::scores(&source.graph, source, inputs, &indices)?;
    let small_rows = score::scores(&cut.graph, source, inputs, &indices)?;
    let raw: Vec<&[u8]> = (0..inputs.len()).map(|i| inputs.sample(i)).collect();
    let int8_rows = sim::run_many(program, &raw);
    let int8: Vec<usize> = int8_rows.iter().map(|row| score::argmax(row[..asked].iter().copied())).collect();
    let masked = score::masked(&source_rows, classes);
    let over_all: Vec<usize> = source_rows
        .iter()
        .map(|row| {
            let winner = score::argmax(row.iter().copied());
            classes.iter().position(|&c| c == winner).unwrap_or(usize::MAX)
        })
        .collect();
    let of_class = |predicted: &[usize], class: usize| {
        let pairs = predicted.iter().zip(&truth).filter(|(_, t)| **t == class);
        let (hits, n) = pairs.fold((0, 0), |(hits, n), (p, t)| (hits + usize::from(p == t), n + 1));
        (n, hits as f64 / n.max(1) as f64)
    };
    let per_class = program.classes[..asked].iter().enumerate().map(|(k, name)| {
        let (samples, source_masked) = of_class(&masked, k);
        (name.clone(), ClassAccuracy { samples, source_masked, int8: of_class(&int8, k).1 })
    });
    let rows = together::Rows { source: &source_rows, small: &small_rows, int8: &int8_rows };
    let joint = together::report(source, &cut.graph, &rows, &truth)?;
    let accuracy = Accuracy {
        samples: inputs.len(),
        source_all: score::accuracy(&over_all, &truth),
        source_masked: score::accuracy(&masked, &truth),
        assembled_f32: score::accuracy(&score::masked(&small_rows, &own), &truth),
        int8: score::accuracy(&int8, &truth),
        per_class: per_class.collect(),
    };
    Ok(Some((accuracy, joint)))
}
