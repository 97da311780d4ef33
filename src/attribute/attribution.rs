//! One attribution, taken apart into the pieces that can run on different machines: the choice of samples, the
//! sums of each chunk, and adding them up.

use rayon::prelude::*;

use crate::attribute::links::{self, LinkSums};
use crate::attribute::on_device::{OnDevice, Work};
use crate::attribute::{
    Activation, Chunk, Frat, Manifest, Measure, Method, Options, Source, Taylor, contribution, l1, random,
    route_points, select, source,
};
use crate::device::{self, Place};
use crate::diag::{Diag, Result};
use crate::exec::{Batch, Network};
use crate::ir::groups::Groups;
use crate::ir::{Graph, NodeId};
use crate::library::{GroupScores, Relevance};

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
    /// Scores of a batch, and whether they are probabilities.
    pub(super) fn scores(&self, graph: &Graph, input: Batch<f32>) -> Result<(Batch<f32>, bool)> {
        match self {
            Self::Host(network) => Ok((network.scores(&input)?, graph.logits() != graph.output)),
            Self::Device(device) => Ok((device.logits(input)?, false)),
        }
    }
}

/// What was added up so far.
pub struct Totals {
    /// Per group, per class, per channel.
    scores: Vec<Vec<Vec<f64>>>,
    links: Vec<LinkSums>,
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
        let layers = links::layers(graph, groups, source.classes.len());
        let engine = match device::Network::open(graph, place)? {
            Some(network) => Engine::Device(OnDevice::new(network, &layers)?),
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

    /// Numbers that the sums of one chunk consist of.
    pub fn part_len(&self) -> usize {
        let points: usize = self.points.iter().map(|&id| self.graph.shape(id).c).sum();
        points + self.layers.iter().map(LinkSums::len).sum::<usize>()
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
        let network = match &self.engine {
            Engine::Host(network) => network,
            Engine::Device(device) => {
                let Self { graph, source, points, layers, .. } = self;
                return device.run(&Work { graph, source, manifest, chunks: &chunks, points, layers }, numbers, take);
            }
        };
        let measure = measured(&manifest.options);
        for wave in numbers.chunks(2 * rayon::current_num_threads()) {
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
        let acts = network.forward(&source::whole(self.graph, self.source.input, &samples)?)?;
        let mut part = Vec::with_capacity(self.part_len());
        match measure {
            Some(measure) => {
                part.extend(measure.chunk(network, &acts, chunk.class, &self.points)?.into_iter().flatten());
            }
            None => part.extend(self.points.iter().flat_map(|&id| vec![0.0; self.graph.shape(id).c])),
        }
        for layer in &self.layers {
            part.extend(layer.chunk(self.graph, &acts));
        }
        Ok(part)
    }

    /// Nothing added up yet for the classes of `manifest`.
    pub fn totals(&self, manifest: &Manifest) -> Totals {
        let rows = |channels| vec![vec![0.0; channels]; self.source.classes.len()];
        let mut links = self.layers.clone();
        for class in (0..manifest.selected.len()).filter(|&class| !manifest.selected[class].is_empty()) {
            for layer in &mut links {
                layer.begin(class);
            }
        }
        Totals { scores: self.groups.groups.iter().map(|g| rows(g.channels)).collect(), links }
    }

    /// Adds the sums of one of `manifest`'s chunks. The order of the calls decides how the sums are rounded.
    pub fn add(&self, totals: &mut Totals, manifest: &Manifest, chunk: &Chunk, part: &[f64]) {
        let samples = manifest.selected[chunk.class].len() as f64;
        let mut rest = part.iter();
        for &point in &self.points {
            for (channel, &sum) in self.groups.of(point).iter().zip(&mut rest) {
                totals.scores[channel.group.index()][chunk.class][channel.index as usize] += sum / samples;
            }
        }
        for layer in &mut totals.links {
            layer.add(chunk.class, &mut rest);
        }
    }

    /// The table, once every chunk was added.
    ///
    /// Errors: `attribute/not-finite`.
    pub fn finish(&self, manifest: &Manifest, totals: Totals) -> Result<Relevance> {
        let Totals { mut scores, links } = totals;
        let options = &manifest.options;
        let table: Option<Vec<Vec<f64>>> = match options.method {
            Method::L1 => Some(l1::scores(self.graph, self.groups)),
            Method::Random => Some(random::scores(self.groups, options.seed)),
            Method::Frat | Method::Taylor | Method::Activation | Method::Contribution => None,
        };
        for class in options.wanted(self.source.classes.len())? {
            if options.method == Method::Contribution {
                let rows = contribution::scores(self.graph, self.groups, &links, class);
                scores.iter_mut().zip(rows).for_each(|(rows, row)| rows[class] = row);
            }
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
            links: links.into_iter().map(|layer| layer.finish(self.graph)).collect(),
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
