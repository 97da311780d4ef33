//! One attribution, taken apart into the pieces that can run on different machines: the choice of samples, the
//! sums of each chunk, and adding them up.

use std::ops::Range;

use rayon::prelude::*;

use crate::attribute::links::{self, LinkSums};
use crate::attribute::measure::{add, samples_at_once};
use crate::attribute::on_device::{OnDevice, Work};
use crate::attribute::{
    Activation, Chunk, Frat, Links, Manifest, Measure, Method, Options, Source, Taylor, contribution, l1, random,
    route_points, select, source,
};
use crate::device::{self, Place};
use crate::diag::{Diag, Result};
use crate::exec::{Batch, Network};
use crate::ir::groups::Groups;
use crate::ir::{Graph, NodeId};
use crate::library::{GroupScores, Relevance};

/// Most bytes of links in a table whose links are bounded: about ten classes of VGG-16, 78 of `MobileNetV2`.
const LINK_BYTES: usize = 1 << 30;

/// Chunks' sums to hold at once, in bytes, as long as every thread has one.
const PART_BYTES: usize = 512 << 20;

/// A network, its samples and what to measure on them.
pub struct Attribution<'a> {
    graph: &'a Graph,
    groups: &'a Groups,
    source: &'a Source<'a>,
    place: Place,
    engine: Engine,
    /// Route points of each group.
    per_group: Vec<Vec<NodeId>>,
    /// All route points, ascending.
    points: Vec<NodeId>,
    /// The layers whose links are measured, without sums.
    layers: Vec<LinkSums>,
}

/// What runs the network.
pub(super) enum Engine {
    /// The host's own engine.
    Host(Network<f32>),
    /// candle's tensors.
    Device(OnDevice),
}

impl Engine {
    /// Scores of `samples` samples, a row each, and whether they are probabilities.
    pub(super) fn rows(
        &self,
        graph: &Graph,
        samples: usize,
        input: impl Fn(Range<usize>) -> Result<Batch<f32>> + Sync,
    ) -> Result<(Vec<Vec<f32>>, bool)> {
        match self {
            Self::Host(network) => {
                Ok((device::host_rows(network, samples, false, input)?, graph.logits() != graph.output))
            }
            Self::Device(device) => Ok((device.logits(samples, input)?, false)),
        }
    }
}

/// What was added up so far. Links are added up for one class at a time and kept as shares, so that what is held beside
/// the table does not grow with the classes.
pub struct Totals {
    /// Per group, per class, per channel.
    scores: Vec<Vec<Vec<f64>>>,
    /// The class whose links are added up.
    class: Option<usize>,
    links: Vec<LinkSums>,
    /// Per layer, per class; empty rows where nothing was measured or nothing is kept.
    shares: Vec<Vec<Vec<f32>>>,
}

impl<'a> Attribution<'a> {
    /// Errors: `attribute/class-count`, `attribute/shape`, those of the engine, and `data/…` where the samples do not
    /// fit the model.
    pub fn new(graph: &'a Graph, groups: &'a Groups, source: &'a Source<'a>, place: Place) -> Result<Self> {
        source.check(graph)?;
        let per_group = route_points(graph, groups);
        let mut points: Vec<NodeId> = per_group.iter().flatten().copied().collect();
        points.sort_unstable();
        points.dedup();
        let layers = links::layers(graph, groups);
        let engine = match device::Network::open(graph, place)? {
            Some(network) => Engine::Device(OnDevice::new(network)),
            None => Engine::Host(Network::new(graph)?),
        };
        Ok(Self { graph, groups, source, place, engine, per_group, points, layers })
    }

    /// Chooses the samples.
    ///
    /// Errors: `attribute/class-without-samples`, `attribute/no-class`, those of reading the samples.
    pub fn select(&self, options: &Options) -> Result<Manifest> {
        let wanted = options.wanted(self.source.classes.len())?;
        select::select(&self.engine, self.graph, self.source, &wanted, options)
    }

    /// What runs the network.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Bytes of the links of `classes` classes in the table.
    pub fn link_bytes(&self, classes: usize) -> usize {
        size_of::<f32>() * classes * self.layers.iter().map(LinkSums::len).sum::<usize>()
    }

    /// Whether the table of `manifest`'s work holds links.
    pub fn keeps_links(&self, manifest: &Manifest) -> bool {
        let classes = manifest.selected.iter().filter(|samples| !samples.is_empty()).count();
        match manifest.options.links {
            Links::Never => false,
            Links::Always => true,
            Links::Bounded => self.link_bytes(classes) <= LINK_BYTES,
        }
    }

    /// The layers whose links are measured.
    fn measured(&self, manifest: &Manifest) -> &[LinkSums] {
        let needed = manifest.options.method == Method::Contribution || self.keeps_links(manifest);
        if needed { &self.layers } else { &[] }
    }

    /// Numbers that the sums of one chunk of `manifest` consist of.
    pub fn part_len(&self, manifest: &Manifest) -> usize {
        let points: usize = self.points.iter().map(|&id| self.graph.shape(id).c).sum();
        points + self.measured(manifest).iter().map(LinkSums::len).sum::<usize>()
    }

    /// Runs the chunks `numbers` of `manifest` on the current rayon pool and hands their sums to `take`, in the order
    /// of `numbers`. Holds the sums of no more than a few chunks at a time.
    ///
    /// Errors: `attribute/other-data`, those of reading, of the engine and of `take`.
    pub fn run(
        &self,
        manifest: &Manifest,
        numbers: &[usize],
        take: &mut dyn FnMut(usize, &[f64]) -> Result<()>,
    ) -> Result<()> {
        let chunks = manifest.chunks();
        let at_once = PART_BYTES / (size_of::<f64>() * self.part_len(manifest)).max(1);
        let network = match &self.engine {
            Engine::Host(network) => network,
            Engine::Device(device) => {
                let Self { graph, source, points, .. } = self;
                let layers = self.measured(manifest);
                let work = Work { graph, source, manifest, chunks: &chunks, points, layers, at_once: at_once.max(1) };
                return device.run(&work, numbers, take);
            }
        };
        let measure = measured(&manifest.options);
        let threads = rayon::current_num_threads();
        for wave in numbers.chunks(at_once.clamp(threads, 2 * threads)) {
            let part = |&number: &usize| self.part(network, manifest, number, &chunks[number], measure.as_deref());
            let parts: Vec<Result<Vec<f64>>> = wave.par_iter().map(part).collect();
            for (&number, part) in wave.iter().zip(parts) {
                take(number, &part?)?;
            }
        }
        Ok(())
    }

    /// The sums of one chunk: of every route point's channels, then of every layer's links.
    fn part(
        &self,
        network: &Network<f32>,
        manifest: &Manifest,
        number: usize,
        chunk: &Chunk,
        measure: Option<&dyn Measure<f32>>,
    ) -> Result<Vec<f64>> {
        let samples = self.source.samples.fetch(&manifest.indices(chunk))?;
        manifest.check_samples(number, &samples)?;
        let mut part = vec![0.0; self.part_len(manifest)];
        let all: Vec<usize> = (0..samples.len()).collect();
        for few in all.chunks(samples_at_once(self.graph)) {
            let acts = network.forward(&source::batch(self.graph, self.source.input, &samples, few)?)?;
            let mut at: usize = self.points.iter().map(|&id| self.graph.shape(id).c).sum();
            if let Some(measure) = measure {
                let sums = measure.chunk(network, &acts, chunk.class, &self.points)?;
                add(&mut part, sums.into_iter().flatten());
            }
            for layer in self.measured(manifest) {
                add(&mut part[at..], layer.chunk(self.graph, &acts));
                at += layer.len();
            }
        }
        Ok(part)
    }

    /// Nothing added up yet for the classes of `manifest`.
    pub fn totals(&self, manifest: &Manifest) -> Totals {
        let classes = self.source.classes.len();
        let rows = |channels| vec![vec![0.0; channels]; classes];
        let links = self.measured(manifest).to_vec();
        Totals {
            scores: self.groups.groups.iter().map(|g| rows(g.channels)).collect(),
            class: None,
            shares: vec![vec![Vec::new(); classes]; links.len()],
            links,
        }
    }

    /// Adds the sums of one of `manifest`'s chunks. The order of the calls, which is that of the chunks, decides how the
    /// sums are rounded.
    pub fn add(&self, totals: &mut Totals, manifest: &Manifest, chunk: &Chunk, part: &[f64]) {
        if totals.class != Some(chunk.class) {
            self.close(totals, manifest);
            totals.class = Some(chunk.class);
            totals.links.iter_mut().for_each(LinkSums::begin);
        }
        let samples = manifest.selected[chunk.class].len() as f64;
        let mut rest = part.iter();
        for &point in &self.points {
            for (channel, &sum) in self.groups.of(point).iter().zip(&mut rest) {
                totals.scores[channel.group.index()][chunk.class][channel.index as usize] += sum / samples;
            }
        }
        for layer in &mut totals.links {
            layer.add(&mut rest);
        }
    }

    /// Turns the links of the class that was added up into what is kept of them.
    fn close(&self, totals: &mut Totals, manifest: &Manifest) {
        let Some(class) = totals.class.take() else { return };
        if manifest.options.method == Method::Contribution {
            let rows = contribution::scores(self.graph, self.groups, &totals.links, class);
            totals.scores.iter_mut().zip(rows).for_each(|(rows, row)| rows[class] = row);
        }
        if self.keeps_links(manifest) {
            for (layer, shares) in totals.links.iter().zip(&mut totals.shares) {
                shares[class] = layer.shares();
            }
        }
    }

    /// The table, once every chunk was added.
    ///
    /// Errors: `attribute/not-finite`.
    pub fn finish(&self, manifest: &Manifest, mut totals: Totals) -> Result<Relevance> {
        self.close(&mut totals, manifest);
        let Totals { mut scores, class: _, links, shares } = totals;
        let options = &manifest.options;
        let table: Option<Vec<Vec<f64>>> = match options.method {
            Method::L1 => Some(l1::scores(self.graph, self.groups)),
            Method::Random => Some(random::scores(self.groups, options.seed)),
            Method::Frat | Method::Taylor | Method::Activation | Method::Contribution => None,
        };
        for class in options.wanted(self.source.classes.len())? {
            for (rows, row) in scores.iter_mut().zip(table.iter().flatten()) {
                rows[class].clone_from(row);
            }
        }
        if scores.iter().flatten().flatten().any(|s| !s.is_finite()) {
            return Diag::new("attribute/not-finite", "a score is not a finite number")
                .help(
                    "the model's activations or gradients overflow on these samples; check the input's scale and mean",
                )
                .err();
        }
        let name = |id: &NodeId| self.graph.node(*id).name.clone();
        let groups = self.groups.groups.iter().zip(&self.per_group).zip(scores);
        let kept = self.keeps_links(manifest);
        Ok(Relevance {
            tool_version: manifest.tool_version.clone(),
            model: self.source.model.into(),
            model_sha256: manifest.model_sha256.clone(),
            data_sha256: manifest.data_sha256.clone(),
            classes: self.source.classes.to_vec(),
            method: options.method.name().into(),
            options: options.text(),
            samples_per_class: manifest.per_class as u32,
            selected: manifest.selected.clone(),
            wrong: manifest.wrong.clone(),
            groups: groups
                .map(|((group, points), scores)| GroupScores {
                    name: group.name.clone(),
                    channels: group.channels as u32,
                    points: points.iter().map(name).collect(),
                    scores,
                })
                .collect(),
            links: links.into_iter().zip(shares).filter(|_| kept).map(|(l, s)| l.finish(self.graph, s)).collect(),
        })
    }
}

/// The methods that are measured at route points.
fn measured(options: &Options) -> Option<Box<dyn Measure<f32>>> {
    let Options { target, weighted, ref within, .. } = *options;
    match options.method {
        Method::Frat => Some(Box::new(Frat { target, weighted, within: within.clone() })),
        Method::Taylor => Some(Box::new(Taylor { target, within: within.clone() })),
        Method::Activation => Some(Box::new(Activation)),
        Method::Contribution | Method::L1 | Method::Random => None,
    }
}
