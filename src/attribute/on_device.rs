//! The sums of chunks from a network on a device, several chunks to a batch.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::attribute::links::LinkSums;
use crate::attribute::{Chunk, Manifest, Method, Options, Source, seed, source};
use crate::data::Samples;
use crate::device::{Contributions, Measure, Network, OUT_OF_MEMORY};
use crate::diag::Result;
use crate::exec::{Batch, CHUNK};
use crate::ir::{Graph, NodeId};

/// A network and the layers whose links are measured, on a device.
pub(super) struct OnDevice {
    network: Network,
    links: Vec<Contributions>,
    /// Samples of a batch; fewer once memory ran out.
    batch: AtomicUsize,
}

impl OnDevice {
    pub(super) fn new(network: Network, layers: &[LinkSums]) -> Result<Self> {
        let links = layers.iter().map(|layer| layer.on_device(&network)).collect::<Result<_>>()?;
        let batch = AtomicUsize::new(network.batch());
        Ok(Self { network, links, batch })
    }

    /// The logits of a batch.
    pub(super) fn logits(&self, input: Batch<f32>) -> Result<Batch<f32>> {
        self.network.logits(&self.network.forward(input)?)
    }

    /// The sums of the chunks `numbers`, in that order, handed to `take`. Where a batch does not fit the device's
    /// memory, it and those after it are halved.
    pub(super) fn run(
        &self,
        work: &Work<'_>,
        numbers: &[usize],
        take: &mut dyn FnMut(usize, &[f64]) -> Result<()>,
    ) -> Result<()> {
        let mut rest = numbers;
        while !rest.is_empty() {
            let count = (self.batch.load(Ordering::Relaxed) / CHUNK).clamp(1, rest.len());
            let parts = match self.parts(work, &rest[..count]) {
                Err(diag) if diag.code == OUT_OF_MEMORY && count > 1 => {
                    self.batch.store(count / 2 * CHUNK, Ordering::Relaxed);
                    continue;
                }
                parts => parts?,
            };
            for (&number, part) in rest.iter().zip(&parts) {
                take(number, part)?;
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// The sums of a batch of chunks.
    fn parts(&self, work: &Work<'_>, numbers: &[usize]) -> Result<Vec<Vec<f64>>> {
        let (samples, ranges) = work.samples(numbers)?;
        let acts = self.network.forward(source::whole(work.graph, work.source.input, &samples)?)?;
        let measure = measure(&work.manifest.options);
        let gradients = match measure {
            Some(measure) if measure.needs_gradient() => {
                let seed = work.seed(&self.network.logits(&acts)?, numbers, &ranges)?;
                Some(self.network.backward(&acts, seed)?)
            }
            _ => None,
        };
        let mut parts: Vec<Vec<f64>> = vec![Vec::new(); numbers.len()];
        for &point in work.points {
            let channels = work.graph.shape(point).c;
            let rows = measure.map(|m| m.sums(&acts, gradients.as_ref(), point)).transpose()?;
            for (part, range) in parts.iter_mut().zip(&ranges) {
                let mut sums = vec![0.0; channels];
                for row in rows.iter().flat_map(|rows| &rows[range.clone()]) {
                    sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
                }
                part.extend(sums);
            }
        }
        for (layer, contributions) in work.layers.iter().zip(&self.links) {
            let sums = contributions.sums(&acts, work.graph.node(layer.node).inputs[0], &ranges)?;
            for (part, sums) in parts.iter_mut().zip(sums) {
                part.extend(layer.by_place(&sums));
            }
        }
        Ok(parts)
    }
}

/// What the sums are taken of.
pub(super) struct Work<'a> {
    pub graph: &'a Graph,
    pub source: &'a Source<'a>,
    pub manifest: &'a Manifest,
    pub chunks: &'a [Chunk],
    pub points: &'a [NodeId],
    pub layers: &'a [LinkSums],
}

impl Work<'_> {
    /// The samples of some chunks, one chunk after the other, and which of them are whose.
    fn samples(&self, numbers: &[usize]) -> Result<(Samples, Vec<Range<usize>>)> {
        let mut all = Samples::empty(self.source.input);
        let mut ranges = Vec::new();
        for &number in numbers {
            let samples = self.source.samples.fetch(&self.manifest.indices(&self.chunks[number]))?;
            self.manifest.check_samples(number, &samples)?;
            ranges.push(all.len()..all.len() + samples.len());
            all.raw.extend(samples.raw);
            all.labels.extend(samples.labels);
        }
        Ok((all, ranges))
    }

    /// The derivative of every sample's score, each with its chunk's class, with respect to the logits.
    fn seed(&self, logits: &Batch<f32>, numbers: &[usize], ranges: &[Range<usize>]) -> Result<Batch<f32>> {
        let options = &self.manifest.options;
        let mut all = Batch::zeros(logits.shape, logits.n);
        for (&number, range) in numbers.iter().zip(ranges) {
            let own = |c: usize| logits.data[c * logits.n..][range.clone()].iter().copied();
            let own = Batch::new(logits.shape, range.len(), (0..logits.shape.c).flat_map(own).collect())?;
            let seed = seed::seed(&own, self.chunks[number].class, options.target, options.within.as_deref());
            for c in 0..logits.shape.c {
                all.data[c * logits.n..][range.clone()].copy_from_slice(&seed.data[c * seed.n..][..seed.n]);
            }
        }
        Ok(all)
    }
}

/// What the device sums for a method; the others need no sums at route points.
fn measure(options: &Options) -> Option<Measure> {
    match options.method {
        Method::Frat if options.weighted => Some(Measure::WeightedGradient),
        Method::Frat => Some(Measure::PositiveGradient),
        Method::Taylor => Some(Measure::Taylor),
        Method::Activation => Some(Measure::Activation),
        Method::Contribution | Method::L1 | Method::Random => None,
    }
}
