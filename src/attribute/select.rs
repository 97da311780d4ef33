//! Which calibration samples speak for a class.
//!
//! Every class gets equally many, of those that the model classifies right: a seeded draw, or for
//! `contribution` the most confident. A class with too few right ones is filled up with those of its samples
//! in which the model is most confident of it; how many is reported.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::attribute::{Method, Options, Source};
use crate::diag::{Diag, Result};
use crate::exec::{Network, for_chunks};

/// The chosen samples.
pub(super) struct Selection {
    /// Samples of each attributed class.
    pub per_class: usize,
    /// Per class of the model, ascending; empty for classes that are not attributed.
    pub indices: Vec<Vec<usize>>,
    /// Per class, how many of them the model gets wrong.
    pub wrong: Vec<u32>,
}

/// What the network says of one sample.
struct Verdict {
    index: usize,
    right: bool,
    /// Probability of the sample's own class.
    confidence: f64,
}

pub(super) fn select(
    network: &Network<f32>,
    source: &Source<'_>,
    wanted: &[usize],
    options: &Options,
) -> Result<Selection> {
    let classes = source.classes.len();
    let mut indices = vec![Vec::new(); classes];
    let mut wrong = vec![0; classes];
    let of_class: Vec<Vec<usize>> = wanted.iter().map(|&class| source.samples.of_class(class)).collect();
    let missing: Vec<&str> =
        wanted.iter().zip(&of_class).filter(|(_, s)| s.is_empty()).map(|(&c, _)| source.classes[c].as_str()).collect();
    if !missing.is_empty() {
        return Diag::new("attribute/class-without-samples", "classes have no calibration samples")
            .at(missing.join(", "))
            .help("add samples of them to the calibration split, or attribute other classes")
            .err();
    }
    let available = of_class.iter().map(Vec::len).min().unwrap_or(0);
    let confident = options.method == Method::Contribution;
    // The published form takes the most confident hundredth; ten samples keep a small split from being noise.
    let most = if confident { available.div_ceil(100).max(10) } else { options.samples_per_class };
    let per_class = available.min(most).min(options.samples_per_class).max(1);
    for (&class, samples) in wanted.iter().zip(&of_class) {
        let mut verdicts = judge(network, source, class, samples)?;
        if confident {
            verdicts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.index.cmp(&b.index)));
        } else {
            shuffle(&mut verdicts, options.seed ^ (class as u64) << 32);
        }
        let (right, mut others): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(|v| v.right);
        others.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.index.cmp(&b.index)));
        let chosen = || right.iter().chain(&others).take(per_class);
        wrong[class] = chosen().filter(|v| !v.right).count() as u32;
        indices[class] = chosen().map(|v| v.index).collect();
        indices[class].sort_unstable();
    }
    Ok(Selection { per_class, indices, wrong })
}

fn judge(network: &Network<f32>, source: &Source<'_>, class: usize, samples: &[usize]) -> Result<Vec<Verdict>> {
    let graph = network.graph();
    let softmax = graph.logits() != graph.output;
    let chunks = for_chunks(samples.len(), |range| {
        let scores = network.scores(&source.batch(graph, &samples[range.clone()])?)?;
        let verdict = |n: usize| {
            let own = f64::from(scores.plane(class, n)[0]);
            let sum: f64 = (0..scores.shape.c).map(|c| (f64::from(scores.plane(c, n)[0]) - own).exp()).sum();
            let confidence = if softmax { own } else { 1.0 / sum };
            Verdict { index: samples[range.start + n], right: scores.argmax(n) == class, confidence }
        };
        Ok((0..range.len()).map(verdict).collect::<Vec<_>>())
    })?;
    Ok(chunks.into_iter().flatten().collect())
}

/// Fisher-Yates with a seeded generator.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..items.len()).rev() {
        let j = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        items.swap(i, j as usize);
    }
}
