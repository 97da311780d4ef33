//! Which kernel runs each layer: the best for what the user wants, within the flash and RAM there is.
//!
//! Every layer's choice counts towards three sums: estimated instructions (`cost`), flash (constants exactly, code as
//! estimated, once for each form of kernel in use) and RAM (the largest step: tensors alive, scratch memory, the input).
//! Starting from the fastest, the smallest and the leanest choice, and from each kernel wherever it can run, single layers
//! are changed until the limits are met, and then as long as that makes the whole better; of all ends the best is taken. The same program and options give the same choice everywhere.

use super::cost::{self, Candidate};
use super::{ALIGN, Kernel, code};
use crate::qir::{Layer, Op, Program};
use crate::target::Target;

/// What is wanted most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Optimize {
    /// Fewest instructions.
    Speed,
    /// Least flash in at most twice the instructions of the fastest kernels; for far fewer up to a hundredth more.
    Size,
    /// Least RAM.
    Ram,
    /// Fewest instructions, or a thousandth more for less flash, with at most a seventh more flash than `size` takes and a seventh
    /// more RAM than the least there is.
    #[default]
    Balanced,
}

impl Optimize {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Size => "size",
            Self::Ram => "ram",
            Self::Balanced => "balanced",
        }
    }
}

/// What the user may choose about a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// What is wanted most.
    pub optimize: Optimize,
    /// Bytes of flash at most, code included; the target's if not given.
    pub max_flash: Option<u64>,
    /// Bytes of RAM at most, arena and input; the target's if not given.
    pub max_ram: Option<u64>,
}

/// The part of the least flash and of the least RAM that speed may cost on top, where memory matters as much.
const MORE: u64 = 7;

/// Where little flash is wanted, a part of so many of it is worth all instructions that the least flash takes.
const NEARLY: u128 = 100;

/// Where little flash is wanted, instructions may be so many times those of the fastest kernels.
const SLOWER: u64 = 2;

/// Where memory matters as much as speed, one part in so many of the instructions may go for less flash.
const WORTH: u64 = 1000;

/// What a kernel counts for that was never measured on the core, where no other was either: more than any network that was.
const UNKNOWN: u64 = 1 << 40;

/// Sums over the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Instructions of one inference.
    pub instructions: u64,
    /// Bytes of code.
    pub code: u64,
    /// Bytes of flash, code included.
    pub flash: u64,
    /// Bytes of arena and input.
    pub ram: u64,
}

/// A program whose kernels are being chosen.
pub(super) struct Choice {
    class: &'static str,
    candidates: Vec<Vec<Candidate>>,
    /// The form of each candidate, as far as it decides which functions there are.
    forms: Vec<Vec<String>>,
    /// Bytes of tensors alive at each step, and of the input.
    alive: Vec<u64>,
    input: u64,
    limits: [u64; 2],
    optimize: Optimize,
    /// What a byte of flash and an instruction weigh, where little flash is wanted.
    scale: [u128; 2],
    /// Fewer instructions than these are worth nothing, where little flash is wanted as well.
    most: u64,
    /// A choice to start from besides others.
    start: Option<Vec<usize>>,
}

impl Choice {
    pub(super) fn new(program: &Program, target: &Target, options: &Options) -> Self {
        let candidates: Vec<Vec<Candidate>> = cost::candidates(program, target).into_iter().map(completed).collect();
        let of_layer = |(layer, all): (&Layer, &Vec<Candidate>)| {
            all.iter().map(|candidate| code::form(program, layer, candidate.kernel, None)).collect()
        };
        let mut choice = Self {
            class: cost::class(target),
            forms: program.layers.iter().zip(&candidates).map(of_layer).collect(),
            candidates,
            alive: alive(program),
            input: program.tensor(program.input()).shape.len() as u64,
            limits: [
                options.max_flash.unwrap_or(u64::MAX).min(target.flash_bytes()),
                options.max_ram.unwrap_or(u64::MAX).min(target.room_bytes()),
            ],
            optimize: options.optimize,
            scale: [1, 0],
            most: u64::MAX,
            start: None,
        };
        if matches!(options.optimize, Optimize::Size | Optimize::Balanced) {
            choice.optimize = Optimize::Speed;
            choice.most = with_share(choice.estimate(&choice.best()).instructions, |least| least * (SLOWER - 1));
            choice.optimize = options.optimize;
        }
        if options.optimize == Optimize::Balanced {
            choice.optimize = Optimize::Size;
            let flash = choice.estimate(&choice.best()).flash;
            choice.optimize = Optimize::Ram;
            let ram = choice.estimate(&choice.best()).ram;
            choice.optimize = Optimize::Balanced;
            let limits = [flash, ram].map(|least| least + least / MORE);
            choice.limits = [choice.limits[0].min(limits[0]), choice.limits[1].min(limits[1])];
            choice.most = 0;
            let fastest = choice.best();
            choice.most = with_share(choice.estimate(&fastest).instructions, |least| least / WORTH);
            choice.start = Some(fastest);
        }
        if options.optimize == Optimize::Size {
            let least = choice.estimate(&choice.best());
            choice.scale = [u128::from(least.instructions % UNKNOWN), u128::from(least.flash)];
        }
        choice
    }

    /// The kernel of each layer.
    pub(super) fn kernels(&self) -> Vec<Kernel> {
        self.best().iter().zip(&self.candidates).map(|(&i, all)| all[i].kernel).collect()
    }

    /// Bytes of arena within the limit on RAM.
    pub(super) fn arena_room(&self) -> usize {
        usize::try_from(self.limits[1].saturating_sub(self.input)).unwrap_or(usize::MAX)
    }

    /// Which candidate each layer takes.
    fn best(&self) -> Vec<usize> {
        let by = |key: &dyn Fn(&Candidate) -> [u64; 2]| -> Vec<usize> {
            let least = |all: &Vec<Candidate>| (0..all.len()).min_by_key(|&i| key(&all[i])).unwrap_or(0);
            self.candidates.iter().map(least).collect()
        };
        let instructions = |c: &Candidate| c.instructions.unwrap_or(UNKNOWN);
        let mut starts = vec![
            by(&|c| [instructions(c), (c.weights + c.tables) as u64]),
            by(&|c| [(c.weights + c.tables) as u64, instructions(c)]),
            by(&|c| [c.scratch as u64, instructions(c)]),
        ];
        // One kernel wherever it can run: its code is paid for once, which no change of a single layer finds out.
        let mut all: Vec<Kernel> = Vec::new();
        for candidate in self.candidates.iter().flatten() {
            if !all.contains(&candidate.kernel) {
                all.push(candidate.kernel);
            }
        }
        starts.extend(self.start.clone());
        starts.extend(all.into_iter().map(|kernel| by(&|c| [u64::from(c.kernel != kernel), instructions(c)])));
        let best =
            starts.into_iter().map(|start| self.improved(self.within(start))).min_by_key(|chosen| self.key(chosen));
        best.unwrap_or_default()
    }

    /// Changes layers until the limits are met, each time the one that costs the fewest instructions for a byte less.
    fn within(&self, mut chosen: Vec<usize>) -> Vec<usize> {
        loop {
            let now = self.estimate(&chosen);
            let over = self.over(now);
            let mut best: Option<(u128, usize, usize)> = None;
            for layer in 0..chosen.len() {
                for candidate in 0..self.candidates[layer].len() {
                    let old = std::mem::replace(&mut chosen[layer], candidate);
                    let new = self.estimate(&chosen);
                    chosen[layer] = old;
                    let less = over.saturating_sub(self.over(new));
                    if less > 0 {
                        let more = new.instructions.saturating_sub(now.instructions);
                        let each = (u128::from(more) << 20) / u128::from(less);
                        let found = (each, layer, candidate);
                        best = Some(best.map_or(found, |best| best.min(found)));
                    }
                }
            }
            let Some((_, layer, candidate)) = best else { return chosen };
            chosen[layer] = candidate;
        }
    }

    /// Bytes above the limits.
    fn over(&self, estimate: Estimate) -> u64 {
        estimate.flash.saturating_sub(self.limits[0]) + estimate.ram.saturating_sub(self.limits[1])
    }

    /// Changes one layer at a time for as long as that is better.
    fn improved(&self, mut chosen: Vec<usize>) -> Vec<usize> {
        let mut key = self.key(&chosen);
        loop {
            let before = key;
            for layer in 0..chosen.len() {
                for candidate in 0..self.candidates[layer].len() {
                    let old = std::mem::replace(&mut chosen[layer], candidate);
                    let new = self.key(&chosen);
                    if new < key {
                        key = new;
                    } else {
                        chosen[layer] = old;
                    }
                }
            }
            if key == before {
                return chosen;
            }
        }
    }

    /// Smaller is better: first what is above the limits, then what is wanted.
    fn key(&self, chosen: &[usize]) -> [u128; 5] {
        let estimate = self.estimate(chosen);
        let over = self.over(estimate);
        let Estimate { instructions, code: _, flash, ram } = estimate;
        let [instructions, flash, ram] = [instructions, flash, ram].map(u128::from);
        let slow = instructions.saturating_sub(self.most.into());
        let wanted = match self.optimize {
            Optimize::Speed => [instructions, flash, ram, 0],
            Optimize::Balanced => [slow, flash, instructions, ram],
            Optimize::Size => [slow, NEARLY * flash * self.scale[0] + instructions * self.scale[1], ram, 0],
            Optimize::Ram => [ram, instructions, flash, 0],
        };
        [u128::from(over), wanted[0], wanted[1], wanted[2], wanted[3]]
    }

    fn estimate(&self, chosen: &[usize]) -> Estimate {
        let (mut instructions, mut constants, mut most) = (0, 0, 0);
        let mut forms = Vec::with_capacity(chosen.len());
        for (step, &i) in chosen.iter().enumerate() {
            let candidate = &self.candidates[step][i];
            instructions += candidate.instructions.unwrap_or(UNKNOWN);
            constants += (candidate.weights + candidate.tables) as u64;
            most = most.max(self.alive[step] + candidate.scratch.next_multiple_of(ALIGN) as u64);
            forms.push(self.forms[step][i].as_str());
        }
        let code = cost::code(self.class, &forms);
        Estimate { instructions, code, flash: constants + code, ram: most + self.input }
    }

    /// The sums of `kernels`.
    pub(super) fn estimate_of(&self, kernels: &[Kernel]) -> Estimate {
        self.estimate(&self.indices(kernels))
    }

    /// The instructions of each layer with `kernels`.
    pub(super) fn instructions_of(&self, kernels: &[Kernel]) -> Vec<u64> {
        let chosen = self.indices(kernels);
        let of_layer = |(all, &i): (&Vec<Candidate>, &usize)| all[i].instructions.unwrap_or(UNKNOWN);
        self.candidates.iter().zip(&chosen).map(of_layer).collect()
    }

    fn indices(&self, kernels: &[Kernel]) -> Vec<usize> {
        let index = |(all, kernel): (&Vec<Candidate>, &Kernel)| all.iter().position(|c| c.kernel == *kernel);
        self.candidates.iter().zip(kernels).map(|pair| index(pair).unwrap_or(0)).collect()
    }
}

/// `instructions` and a share of those that were measured.
fn with_share(instructions: u64, share: impl Fn(u64) -> u64) -> u64 {
    instructions.saturating_add(share(instructions % UNKNOWN))
}

/// Gives a kernel that was never measured a cost: just under the best before it, which it was made to beat.
fn completed(mut all: Vec<Candidate>) -> Vec<Candidate> {
    let mut best: Option<u64> = None;
    for candidate in &mut all {
        let cost = candidate.instructions.unwrap_or(best.map_or(UNKNOWN, |best| best.saturating_sub(1)));
        candidate.instructions = Some(cost);
        best = Some(best.map_or(cost, |best| best.min(cost)));
    }
    all
}

/// Bytes of arena tensors alive at each step; an output that may replace an input is not counted beside it.
fn alive(program: &Program) -> Vec<u64> {
    let steps = program.layers.len();
    let mut last_read = vec![0; program.tensors.len()];
    for (step, layer) in program.layers.iter().enumerate() {
        for id in &layer.inputs {
            last_read[id.index()] = step;
        }
    }
    let mut alive = vec![0; steps];
    for (step, layer) in program.layers.iter().enumerate() {
        let id = layer.output;
        if id == program.output {
            continue;
        }
        let bytes = program.tensor(id).shape.len();
        let replaces = matches!(layer.op, Op::Add(_) | Op::Lookup(_))
            && layer.inputs.iter().any(|input| {
                *input != program.input()
                    && last_read[input.index()] == step
                    && program.tensor(*input).shape.len() == bytes
            });
        let first = step + usize::from(replaces);
        for at in alive.iter_mut().take(last_read[id.index()].max(step) + 1).skip(first) {
            *at += bytes.next_multiple_of(ALIGN) as u64;
        }
    }
    alive
}
