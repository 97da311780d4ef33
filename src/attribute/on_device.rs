//! The sums of chunks from a network on a device, several chunks to a batch.

use std::ops::Range;
use std::sync::OnceLock;

use crate::attribute::links::LinkSums;
use crate::attribute::{Chunk, Manifest, Method, Options, Source, seed, source};
use crate::data::Samples;
use crate::device::{Contributions, Measure, Network};
use crate::diag::Result;
use crate::exec::{Batch, CHUNK};
use crate::ir::{Graph, NodeId};

/// A network on a device, and how its layers' links are measured there, once that was asked for.
pub(super) struct OnDevice {
    network: Network,
    links: OnceLock<Vec<Contributions>>,
}

impl OnDevice {
    pub(super) fn new(network: Network) -> Self {
        Self { network, links: OnceLock::new() }
    }

    /// The logits of `samples` samples, a row each.
    pub(super) fn logits(
        &self,
        samples: usize,
        input: impl Fn(Range<usize>) -> Result<Batch<f32>>,
    ) -> Result<Vec<Vec<f32>>> {
        self.network.rows(samples, true, input)
    }

    /// The sums of the chunks `numbers`, in that order, handed to `take`. Where a batch does not fit the device's
    /// memory, it and those after it are halved, down to parts of a chunk whose sums are added.
    pub(super) fn run(
        &self,
        work: &Work<'_>,
        numbers: &[usize],
        take: &mut dyn FnMut(usize, &[f64]) -> Result<()>,
    ) -> Result<()> {
        let mut rest = numbers;
        while !rest.is_empty() {
            let count = (self.network.batch() / CHUNK).clamp(1, rest.len()).min(work.at_once);
            let samples = rest[..count].iter().map(|&number| work.samples(number)).collect::<Result<Vec<_>>>()?;
            let parts = if self.network.batch() < CHUNK {
                vec![self.in_pieces(work, rest[0], &samples[0])?]
            } else {
                let pieces: Vec<(usize, &Samples)> = rest.iter().copied().zip(&samples).collect();
                match self.parts(work, &pieces) {
                    Ok(parts) => parts,
                    Err(error) => {
                        self.network.halve(samples.iter().map(Samples::len).sum(), error)?;
                        continue;
                    }
                }
            };
            for (&number, part) in rest.iter().zip(&parts) {
                take(number, part)?;
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// The sums of a chunk that does not fit as a whole.
    fn in_pieces(&self, work: &Work<'_>, number: usize, samples: &Samples) -> Result<Vec<f64>> {
        let pieces = self.network.in_batches(samples.len(), |range| {
            let piece = samples.select(&range.collect::<Vec<usize>>());
            Ok(self.parts(work, &[(number, &piece)])?.swap_remove(0))
        })?;
        let mut sums = vec![0.0; pieces.first().map_or(0, Vec::len)];
        for piece in pieces {
            sums.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
        }
        Ok(sums)
    }

    /// The sums of the samples of some chunks, run as one batch.
    fn parts(&self, work: &Work<'_>, pieces: &[(usize, &Samples)]) -> Result<Vec<Vec<f64>>> {
        let mut all = Samples::empty(work.source.input);
        let mut ranges = Vec::with_capacity(pieces.len());
        for (_, samples) in pieces {
            ranges.push(all.len()..all.len() + samples.len());
            all.raw.extend(&samples.raw);
            all.labels.extend(&samples.labels);
        }
        let acts = self.network.forward(source::whole(work.graph, work.source.input, &all)?)?;
        let measure = measure(&work.manifest.options);
        let gradients = match measure {
            Some(measure) if measure.needs_gradient() => {
                let classes: Vec<usize> = pieces.iter().map(|&(number, _)| work.chunks[number].class).collect();
                let seed = work.seed(&self.network.logits(&acts)?, &classes, &ranges)?;
                Some(self.network.backward(&acts, seed)?)
            }
            _ => None,
        };
        let mut parts: Vec<Vec<f64>> = vec![Vec::new(); pieces.len()];
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
        if work.layers.is_empty() {
            return Ok(parts);
        }
        for (layer, contributions) in work.layers.iter().zip(self.contributions(work.layers)?) {
            let sums = contributions.sums(&acts, work.graph.node(layer.node).inputs[0], &ranges)?;
            for (part, sums) in parts.iter_mut().zip(sums) {
                part.extend(layer.by_place(&sums));
            }
        }
        Ok(parts)
    }

    fn contributions(&self, layers: &[LinkSums]) -> Result<&[Contributions]> {
        if let Some(links) = self.links.get() {
            return Ok(links);
        }
        let links = layers.iter().map(|layer| layer.on_device(&self.network)).collect::<Result<Vec<_>>>()?;
        Ok(self.links.get_or_init(|| links))
    }
}

/// What the sums are taken of.
pub(super) struct Work<'a> {
    pub graph: &'a Graph,
    pub source: &'a Source<'a>,
    pub manifest: &'a Manifest,
    pub chunks: &'a [Chunk],
    pub points: &'a [NodeId],
    /// The layers whose links are measured: always the same, or none.
    pub layers: &'a [LinkSums],
    /// Most chunks of one batch.
    pub at_once: usize,
}

impl Work<'_> {
    /// The samples of a chunk.
    fn samples(&self, number: usize) -> Result<Samples> {
        let samples = self.source.samples.fetch(&self.manifest.indices(&self.chunks[number]))?;
        self.manifest.check_samples(number, &samples)?;
        Ok(samples)
    }

    /// The derivative of every sample's score, each range's with its class, with respect to the logits.
    fn seed(&self, logits: &Batch<f32>, classes: &[usize], ranges: &[Range<usize>]) -> Result<Batch<f32>> {
        let options = &self.manifest.options;
        let mut all = Batch::zeros(logits.shape, logits.n);
        for (&class, range) in classes.iter().zip(ranges) {
            let own = |c: usize| logits.data[c * logits.n..][range.clone()].iter().copied();
            let own = Batch::new(logits.shape, range.len(), (0..logits.shape.c).flat_map(own).collect())?;
            let seed = seed::seed(&own, class, options.target, options.within.as_deref());
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
