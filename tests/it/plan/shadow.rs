//! Who owns each byte of the arena, layer by layer, band by band and turn by turn.

use std::ops::Range;

use fratc::plan::{Home, Plan, Step, Strip};
use fratc::qir::{Op, Program, TensorId, Window};

/// An arena whose bytes remember which byte of which tensor they hold.
pub struct Shadow<'a> {
    program: &'a Program,
    plan: &'a Plan,
    owner: Vec<Option<(TensorId, usize)>>,
}

impl<'a> Shadow<'a> {
    /// Runs the plan; fails on any read of a byte that holds something else by then.
    pub fn run(program: &'a Program, plan: &'a Plan) {
        let mut shadow = Self { program, plan, owner: vec![None; plan.arena_bytes] };
        for (index, step) in plan.steps.iter().enumerate() {
            match (step.strip.map(|strip| &plan.strips[strip]), step.bands) {
                (Some(strip), _) if strip.first == index => shadow.strip(strip),
                (Some(_), _) => {}
                (None, Some(bands)) => {
                    let height = program.tensor(step.writes).shape.h;
                    bands.ranges(height).into_iter().for_each(|rows| shadow.rows(step, &rows, |_| 0));
                }
                (None, None) => {
                    let copied: Vec<TensorId> = plan.copied(step).collect();
                    for (input, id) in step.reads.iter().enumerate().filter(|(_, id)| copied.contains(id)) {
                        shadow.read(step, *id, 0..shadow.len(*id), 0);
                        shadow.apart(step, *id, step.in_place != Some(input));
                    }
                    shadow.scribble(step);
                    if copied.len() == step.reads.len() {
                        shadow.write(step, 0..shadow.len(step.writes), 0);
                    } else {
                        shadow.write_others(step);
                    }
                }
            }
            // The observer, and whoever reads it later.
            let shown = plan.part(step.writes).is_none()
                && step.strip.is_none_or(|strip| {
                    let strip = &plan.strips[strip];
                    strip.last == index && strip.rolls(step.writes).is_none()
                });
            if shown {
                shadow.read(step, step.writes, 0..shadow.len(step.writes), 0);
            }
        }
    }

    fn len(&self, id: TensorId) -> usize {
        self.program.tensor(id).shape.len()
    }

    fn row(&self, id: TensorId) -> usize {
        self.program.tensor(id).shape.w * self.program.tensor(id).shape.c
    }

    /// Bytes `bytes` of a tensor of which memory starts with byte `first`.
    fn read(&self, step: &Step, id: TensorId, bytes: Range<usize>, first: usize) {
        let Home::Arena(offset) = self.plan.home(self.program, id) else { return };
        for at in bytes {
            assert_eq!(self.owner[offset + at - first], Some((id, at)), "byte {at} of {id:?} is gone: {step:?}");
        }
    }

    fn apart(&self, step: &Step, id: TensorId, apart: bool) {
        let to = match (self.plan.home(self.program, step.writes), self.plan.part(step.writes)) {
            (Home::Part { offset, .. }, Some(part)) => offset..offset + part.span(self.program),
            (Home::Arena(offset), _) => offset..offset + self.len(step.writes),
            _ => return,
        };
        let (Home::Arena(offset), true) = (self.plan.home(self.program, id), apart) else { return };
        let meet = to.start < offset + self.len(id) && offset < to.end;
        assert!(!meet, "{step:?} writes what it reads");
    }

    fn write(&mut self, step: &Step, bytes: Range<usize>, first: usize) {
        let offset = match (self.plan.home(self.program, step.writes), self.plan.part(step.writes)) {
            (Home::Arena(offset), _) => offset,
            (Home::Part { offset, pitch }, Some(part)) => {
                let channels = self.program.tensor(part.tensor).shape.c;
                for at in bytes {
                    let at = at / channels * pitch + at % channels;
                    self.owner[offset + at] = Some((part.whole, part.channel + at));
                }
                return;
            }
            _ => return,
        };
        for at in bytes {
            self.owner[offset + at - first] = Some((step.writes, at));
        }
    }

    /// What a concatenation writes beside the parts that lie in it.
    fn write_others(&mut self, step: &Step) {
        let Home::Arena(offset) = self.plan.home(self.program, step.writes) else { unreachable!() };
        let (total, mut channel) = (self.program.tensor(step.writes).shape.c, 0);
        for id in &step.reads {
            let own = channel..channel + self.program.tensor(*id).shape.c;
            channel = own.end;
            if self.plan.part(*id).is_none() {
                for at in (0..self.len(step.writes)).filter(|at| own.contains(&(at % total))) {
                    self.owner[offset + at] = Some((step.writes, at));
                }
            }
        }
    }

    /// What a kernel leaves in its scratch memory is nobody's.
    fn scribble(&mut self, step: &Step) {
        if let Some(scratch) = step.scratch {
            self.owner[scratch.offset..scratch.offset + scratch.bytes].fill(None);
        }
    }

    /// Output rows `rows`; a kernel may read and write them in any order. `first` says with which row a tensor's memory starts.
    fn rows(&mut self, step: &Step, rows: &Range<usize>, first: impl Fn(TensorId) -> usize) {
        let read = |shadow: &Self| {
            for id in &step.reads {
                let row = shadow.row(*id);
                for y in read_rows(shadow.program, step, rows) {
                    shadow.read(step, *id, y * row..(y + 1) * row, first(*id) * row);
                }
            }
        };
        read(self);
        self.scribble(step);
        let row = self.row(step.writes);
        self.write(step, rows.start * row..rows.end * row, first(step.writes) * row);
        read(self);
    }

    fn strip(&mut self, strip: &Strip) {
        for (index, turn) in strip.turns.iter().enumerate() {
            for (at, rolling) in strip.rolling.iter().enumerate() {
                let Home::Arena(offset) = self.plan.home(self.program, rolling.tensor) else { unreachable!() };
                let before = index.checked_sub(1).map_or(0, |before| strip.turns[before].held[at]);
                let end = turn.rows[rolling.layer].start;
                let [from, to] = [turn.held[at], end].map(|y| offset + (y - before) * rolling.row_bytes);
                self.owner.copy_within(from..to, offset);
                let kept = offset + to - from..offset + rolling.bytes();
                self.owner[kept].fill(None);
            }
            for (step, rows) in self.plan.steps[strip.first..=strip.last].iter().zip(&turn.rows) {
                if !rows.is_empty() {
                    self.rows(step, rows, |id| strip.rolls(id).map_or(0, |at| turn.held[at]));
                }
            }
        }
    }
}

/// Input rows under the taps of output rows, tap by tap.
fn read_rows(program: &Program, step: &Step, rows: &Range<usize>) -> Vec<usize> {
    let each = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
    let window: &Window = match &program.layers[step.layer].op {
        Op::Concat | Op::Add(_) | Op::Lookup(_) => &each,
        Op::Conv(conv) | Op::Depthwise(conv) => &conv.window,
        Op::MaxPool(window) => window,
        Op::AvgPool(pool) => &pool.window,
        other => unreachable!("{} has no rows", other.name()),
    };
    let height = program.tensor(step.reads[0]).shape.h;
    let taps = rows.clone().flat_map(|y| {
        (0..window.kernel[0])
            .filter_map(move |k| (y * window.stride[0] + k * window.dilation[0]).checked_sub(window.pad[0]))
    });
    taps.filter(|y| *y < height).collect()
}
