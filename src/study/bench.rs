//! One class set of one source: its samples, its base, and measurements of it.

use std::collections::BTreeMap;

use crate::attribute;
use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::library::Relevance;
use crate::pipeline::cutter::Cutter;
use crate::pipeline::{
    Cut, FinetuneOptions, MacLimit, Progress, RouteOptions, Silent, Source, calibration, finetune, lesson, quantize,
    score, scratch, widths,
};
use crate::study::contender::Contender;
use crate::study::rows::{Folder, Key, Row};
use crate::study::{Budget, Split, StudyOptions, Weights};
use crate::{plan, report, sim};

/// Samples of the training split that are judged on at most.
const TRAIN_JUDGED: usize = 4_000;

/// A class set of a source.
pub(super) struct Bench<'a> {
    /// The source, whose calibration samples are those attributed on and fitted to.
    source: Source,
    classes: &'a [usize],
    options: &'a StudyOptions,
    case: String,
    data_sha256: [String; 2],
    /// Judged on.
    judge: Samples,
    /// For each judged sample, its class's place in the set.
    truth: Vec<usize>,
    source_right: usize,
    masked_right: usize,
    /// The last attribution: methods that differ only in how scores become a route share it.
    last: Option<(attribute::Options, Relevance)>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(source: &Source, classes: &'a [usize], options: &'a StudyOptions) -> Result<Self> {
        let all = source.calibration()?;
        all.require_classes(classes, &source.case.label_names)?;
        let (fit, judge) = match options.split {
            Split::HeldOut => {
                let split = calibration::split(all, classes);
                (all.select(&split.fit), all.select(&split.held_out))
            }
            Split::Train => {
                let fit = all.select(&calibration::of_classes(all, classes));
                let wanted =
                    FinetuneOptions { epochs: Some(1), train: options.train.clone(), ..FinetuneOptions::default() };
                let Some(judge) = lesson::more(source, classes, &wanted.resolve(source, 0)?, TRAIN_JUDGED, &fit)?
                else {
                    return Diag::new("study/no-train", "the case has no training samples")
                        .at(source.case.path.display())
                        .help("add `train` to [data] or give --train, or judge on calibration samples with --split held-out")
                        .err();
                };
                (fit, judge)
            }
            Split::Test => {
                let Some(test) = &source.test else {
                    return Diag::new("study/no-test", "the case has no test samples")
                        .at(source.case.path.display())
                        .help("add `test` to [data], or judge on calibration samples with --split held-out")
                        .err();
                };
                let of = |samples: &Samples| samples.select(&calibration::of_classes(samples, classes));
                (of(all), of(test))
            }
        };
        if judge.is_empty() {
            return Diag::new("study/too-few", "there are no samples to judge on")
                .at(source.case.path.display())
                .expected("at least 4 calibration samples of a class, or test samples", judge.len())
                .err();
        }
        let everything: Vec<usize> = (0..judge.len()).collect();
        let truth = score::wanted(&judge, &everything, classes);
        let rows = score::scores(&source.graph, source, &judge, &everything)?;
        let over_all = rows.iter().zip(&truth).filter(|(row, t)| score::argmax(row.iter().copied()) == classes[**t]);
        let mut own = Source { calibration: Some(fit.clone()), test: None, ..source.clone() };
        // Sizes and training are the study's own, not the case file's.
        own.case.options = crate::data::BuildOptions::default();
        Ok(Self {
            case: source.case.path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            data_sha256: [fit.sha256(), judge.sha256()],
            source_right: over_all.count(),
            masked_right: right(&score::masked(&rows, classes), &truth),
            source: own,
            classes,
            options,
            judge,
            truth,
            last: None,
        })
    }

    /// Measures what is not yet in the folder: one method, every budget, every treatment of the weights. Every row is
    /// written at once.
    pub(super) fn measure(
        &mut self,
        contender: &Contender,
        seed: u64,
        folder: &mut Folder,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut missing: Vec<(Budget, Vec<Weights>)> = Vec::new();
        for &budget in &self.options.budgets {
            let unknown = |weights: &Weights| {
                let known = folder.find(&self.key(contender, budget, *weights, seed));
                !known.is_some_and(|row| row.int8_right.is_some() || !self.options.int8)
            };
            let first = self.options.methods.first() == Some(contender);
            let asked = self.options.weights.iter().copied().filter(|w| first || *w != Weights::Scratch);
            let weights: Vec<Weights> = asked.filter(unknown).collect();
            if !weights.is_empty() {
                missing.push((budget, weights));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let wanted = contender.options(self.classes, self.options.samples, seed);
        let relevance = match self.last.take() {
            Some((options, relevance)) if options == wanted => relevance,
            _ => self.attribute(&wanted)?,
        };
        let cutter = Cutter::new(&self.source, self.classes, &relevance, true, seed)?;
        let cutter = cutter.ranked_by(contender.route);
        let cutter = if contender.cover { cutter.covering()? } else { cutter };
        let cutter = if contender.together { cutter } else { cutter.layer_by_layer() };
        let cutter = if contender.views { cutter.with_views()? } else { cutter };
        let more = contender.more.then(|| self.more(seed)).transpose()?.flatten();
        let cutter = cutter.with_more(more);
        for (budget, weights) in missing {
            let Some(widths) = self.widths(&cutter, contender, budget, seed)? else {
                progress.note(&format!("no network of {} is within {budget}: left out", self.case));
                continue;
            };
            let mut graphs = Graphs { bench: self, cutter: &cutter, widths: &widths, seed, refitted: None };
            for weights in weights {
                let (graph, training_kept) = graphs.of(weights)?;
                let row = Row {
                    training_kept,
                    widths: widths.clone(),
                    ..self.judge(self.key(contender, budget, weights, seed), &graph)?
                };
                folder.rows.retain(|old| old.key != row.key);
                folder.rows.push(row);
                folder.save()?;
            }
        }
        self.last = Some((wanted, relevance));
        Ok(())
    }

    /// Training samples for the last refit: none that is judged on or fitted to already.
    fn more(&self, seed: u64) -> Result<Option<Samples>> {
        let mut known = self.source.calibration()?.clone();
        known.raw.extend_from_slice(&self.judge.raw);
        known.labels.extend_from_slice(&self.judge.labels);
        let train = self.options.train.clone();
        let wanted = FinetuneOptions { epochs: Some(1), train, ..FinetuneOptions::default() };
        lesson::more(&self.source, self.classes, &wanted.resolve(&self.source, seed)?, lesson::FITTED, &known)
    }

    /// Channels of every group; `None` if no network is that small.
    fn widths(
        &self,
        cutter: &Cutter<'_>,
        contender: &Contender,
        budget: Budget,
        seed: u64,
    ) -> Result<Option<Vec<usize>>> {
        let share = match budget {
            Budget::Keep(ratio) if !contender.search => return Ok(Some(cutter.uniform(ratio))),
            Budget::Keep(_) => {
                return Diag::new("study/search", "widths are searched for a share of the multiply-accumulates")
                    .expected("--macs", budget)
                    .err();
            }
            Budget::Macs(share) => MacLimit::Share(share),
        };
        if !contender.search {
            let limit = share.count(self.source.graph.macs());
            return cutter.widest_uniform(|widths| Ok(cutter.sliced(widths)?.macs() <= limit));
        }
        let wanted = RouteOptions { max_macs: Some(share), seed: Some(seed), ..RouteOptions::default() };
        match widths::search(cutter, &wanted.resolve(&self.source)?, &Silent) {
            Ok((widths, _)) => Ok(Some(widths)),
            Err(diag) if diag.code == "search/infeasible" => Ok(None),
            Err(diag) => Err(diag),
        }
    }

    fn attribute(&self, options: &attribute::Options) -> Result<Relevance> {
        let samples = attribute::Source {
            model: &self.source.model_name,
            model_sha256: &self.source.sha256,
            classes: &self.source.case.label_names,
            input: &self.source.case.input,
            samples: self.source.calibration()?,
        };
        attribute::attribute(&self.source.graph, &self.source.groups, &samples, options)
    }

    fn key(&self, contender: &Contender, budget: Budget, weights: Weights, seed: u64) -> Key {
        Key {
            case: self.case.clone(),
            model_sha256: self.source.sha256.clone(),
            data_sha256: self.data_sha256.clone(),
            classes: self.classes.to_vec(),
            budget,
            method: contender.to_string(),
            weights,
            epochs: if weights.trained() { self.options.epochs } else { 0 },
            split: self.options.split.name().into(),
            samples: self.options.samples,
            seed,
        }
    }

    fn judge(&self, key: Key, graph: &Graph) -> Result<Row> {
        let everything: Vec<usize> = (0..self.judge.len()).collect();
        let rows = score::scores(graph, &self.source, &self.judge, &everything)?;
        let predicted: Vec<usize> = rows.into_iter().map(score::argmax).collect();
        let int8 = self.options.int8.then(|| self.int8(graph)).transpose()?;
        Ok(Row {
            key,
            macs: graph.macs(),
            source_macs: self.source.graph.macs(),
            params: graph.params(),
            judged: self.judge.len(),
            source_right: self.source_right,
            masked_right: self.masked_right,
            right: right(&predicted, &self.truth),
            int8_right: int8.map(|(right, _)| right),
            int8_bytes: int8.map(|(_, bytes)| bytes),
            widths: Vec::new(),
            training_kept: None,
        })
    }

    /// Right answers of the int8 network, and the bytes of its constants.
    fn int8(&self, graph: &Graph) -> Result<(usize, u64)> {
        let samples = self.source.calibration()?;
        let program = quantize::lower(&self.source, graph, self.classes, samples, "study", Vec::new())?;
        let sizes = plan::plan(&program)?.sizes;
        let raw: Vec<&[u8]> = (0..self.judge.len()).map(|i| self.judge.sample(i)).collect();
        let predicted: Vec<usize> = sim::run_many(&program, &raw).into_iter().map(score::argmax).collect();
        Ok((right(&predicted, &self.truth), (sizes.weights_bytes + sizes.tables_bytes) as u64))
    }
}

/// Networks of one size that differ in what is done to their weights.
struct Graphs<'a> {
    bench: &'a Bench<'a>,
    cutter: &'a Cutter<'a>,
    widths: &'a [usize],
    seed: u64,
    refitted: Option<Graph>,
}

impl Graphs<'_> {
    /// The network, and whether its training was kept if there was any.
    fn of(&mut self, weights: Weights) -> Result<(Graph, Option<bool>)> {
        let route = self.cutter.route(self.widths)?;
        let Bench { source, classes, options, .. } = self.bench;
        let seed = self.seed;
        let training = |distill: bool| {
            let wanted = FinetuneOptions {
                epochs: Some(options.epochs),
                train: options.train.clone(),
                distill: Some(distill),
                ..FinetuneOptions::default()
            };
            wanted.resolve(source, seed)
        };
        match weights {
            Weights::Sliced => Ok((self.cutter.assembled(&route)?.graph, None)),
            Weights::Scratch => {
                let small = self.cutter.assembled(&route)?.graph;
                Ok((scratch::from_scratch(source, classes, &small, &training(false)?)?, None))
            }
            Weights::Refit => Ok((self.refitted()?, None)),
            Weights::Epoch | Weights::Distill => {
                let wanted = training(weights == Weights::Distill)?;
                let start = lesson::start(self.cutter, &route, &wanted)?;
                let mut cut = Cut {
                    graph: if start.saw_more() { start.graph.clone() } else { self.refitted()? },
                    start: Some(start),
                    route: report::Route::of(self.cutter.share(self.widths), "study"),
                    channels: BTreeMap::new(),
                    method: None,
                };
                let tuned = finetune::finetune(source, classes, &mut cut, &wanted, &Silent)?;
                Ok((cut.graph, tuned.map(|t| t.kept)))
            }
        }
    }

    fn refitted(&mut self) -> Result<Graph> {
        if let Some(graph) = &self.refitted {
            return Ok(graph.clone());
        }
        let Bench { source, classes, .. } = self.bench;
        let all = calibration::of_classes(source.calibration()?, classes);
        let graph = self.cutter.finished(&self.cutter.route(self.widths)?, &all)?;
        self.refitted = Some(graph.clone());
        Ok(graph)
    }
}

fn right(predicted: &[usize], truth: &[usize]) -> usize {
    predicted.iter().zip(truth).filter(|(p, t)| p == t).count()
}
