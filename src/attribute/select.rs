//! Which calibration samples speak for a class.
//!
//! Every class gets equally many, of those that the model classifies right: a seeded draw, or for
//! `contribution` the most confident. A class with too few right ones is filled up with those of its samples
//! in which the model is most confident of it; how many is reported. A draw runs the model only until it has
//! enough; a ranking by confidence runs it on every sample.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::attribute::attribution::Engine;
use crate::attribute::{Manifest, Method, Options, Source};
use crate::diag::{Diag, Result};
use crate::exec::CHUNK;
use crate::ir::Graph;

/// Samples that are run before it is asked whether there are enough: many chunks, so that threads are busy.
const BLOCK: usize = 16 * CHUNK;

/// What the network says of one sample.
struct Verdict {
    index: usize,
    right: bool,
    /// Probability of the sample's own class.
    confidence: f64,
}

/// Chooses the samples of the classes `wanted`.
pub(super) fn select(
    engine: &Engine,
    graph: &Graph,
    source: &Source<'_>,
    wanted: &[usize],
    options: &Options,
) -> Result<Manifest> {
    let classes = source.classes.len();
    let mut selected = vec![Vec::new(); classes];
    let mut wrong = vec![0; classes];
    let count = |class: usize| source.samples.labels().iter().filter(|&&label| label as usize == class).count();
    let counts: Vec<usize> = wanted.iter().map(|&class| count(class)).collect();
    let missing: Vec<&str> =
        wanted.iter().zip(&counts).filter(|(_, n)| **n == 0).map(|(&c, _)| source.classes[c].as_str()).collect();
    if !missing.is_empty() {
        return Diag::new("attribute/class-without-samples", "classes have no calibration samples")
            .at(missing.join(", "))
            .help("add samples of them to the calibration split, or attribute other classes")
            .err();
    }
    let available = counts.into_iter().min().unwrap_or(0);
    let confident = options.method == Method::Contribution;
    // The published form takes the most confident hundredth; ten samples keep a small split from being noise.
    let most = if confident { available.div_ceil(100).max(10) } else { options.samples_per_class };
    let per_class = available.min(most).min(options.samples_per_class).max(1);
    for &class in wanted {
        // Of one class at a time: with millions of images these are the largest lists.
        let mut samples = source.samples.of_class(class);
        if !confident {
            shuffle(&mut samples, options.seed ^ (class as u64) << 32);
        }
        let (mut right, mut others) = (Vec::new(), Vec::new());
        for block in samples.chunks(BLOCK) {
            let (good, bad): (Vec<_>, Vec<_>) =
                judge(engine, graph, source, class, block)?.into_iter().partition(|v| v.right);
            right.extend(good);
            others.extend(bad);
            if !confident && right.len() >= per_class {
                break;
            }
        }
        for verdicts in [&mut right, &mut others].into_iter().skip(usize::from(!confident)) {
            verdicts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.index.cmp(&b.index)));
        }
        let chosen = || right.iter().chain(&others).take(per_class);
        wrong[class] = chosen().filter(|v| !v.right).count() as u32;
        selected[class] = chosen().map(|v| v.index as u32).collect();
        selected[class].sort_unstable();
    }
    let mut manifest = Manifest {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: source.model_sha256.into(),
        data_sha256: source.samples.sha256()?,
        options: options.clone(),
        per_class,
        selected,
        wrong,
        chunk_sha256: Vec::new(),
    };
    let hash = |chunk| Ok(source.samples.fetch(&manifest.indices(&chunk))?.sha256());
    manifest.chunk_sha256 = manifest.chunks().into_iter().map(hash).collect::<Result<_>>()?;
    Ok(manifest)
}

fn judge(engine: &Engine, graph: &Graph, source: &Source<'_>, class: usize, samples: &[usize]) -> Result<Vec<Verdict>> {
    let (rows, softmax) = engine.rows(graph, samples.len(), |range| source.batch(graph, &samples[range]))?;
    let verdict = |(&index, row): (&usize, &Vec<f32>)| {
        let own = f64::from(row[class]);
        let sum: f64 = row.iter().map(|&z| (f64::from(z) - own).exp()).sum();
        let confidence = if softmax { own } else { 1.0 / sum };
        let best = (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        Verdict { index, right: best == class, confidence }
    };
    Ok(samples.iter().zip(&rows).map(verdict).collect())
}

/// Fisher-Yates with a seeded generator.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..items.len()).rev() {
        let j = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        items.swap(i, j as usize);
    }
}
