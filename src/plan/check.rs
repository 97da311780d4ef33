//! The invariants of a plan.

use super::bands::Rows;
use super::{ALIGN, Home, Placement, Plan, Scratch, Strip, needs, parts};
use crate::diag::{Diag, Result};
use crate::qir::Program;

impl Plan {
    /// Checks that the plan is right for `program`:
    /// 1. the steps are the program's layers, in order;
    /// 2. every tensor but the input and the scores has a place, aligned, inside the arena and as long as the tensor;
    /// 3. it is alive from the step that writes it to the last that reads it;
    /// 4. two tensors alive at one step share no byte, unless one replaces the other there, at the same offset, or lies
    ///    over it, its layer runs in bands, and no band writes what it or a later one reads;
    /// 5. a step has the scratch memory that its kernel asks for, inside the arena, aligned, and sharing no byte with a
    ///    tensor alive at the step;
    /// 6. a tensor that lies in another one, where its concatenation would copy it, is read by nothing else, and the whole
    ///    is alive from it on;
    /// 7. a strip's turns are those of its layers, which are in no other strip and run neither in place nor in bands; what it
    ///    reads and writes is alive during all of it, and of a tensor that is never whole its rows have their place.
    ///
    /// # Errors
    /// `plan/invalid`, naming the tensors.
    pub fn verify(&self, program: &Program) -> Result<()> {
        let invalid = |what: String| Diag::new("plan/invalid", what).at(format!("program `{}`", program.name)).err();
        let in_order = self.steps.iter().enumerate().all(|(i, step)| {
            step.layer == i && program.layers.get(i).is_some_and(|l| l.inputs == step.reads && l.output == step.writes)
        });
        if !in_order || self.steps.len() != program.layers.len() {
            return invalid("the steps are not the program's layers".into());
        }
        for (index, step) in self.steps.iter().enumerate() {
            let writes_home = self.home(program, step.writes);
            if (writes_home == Home::Scores) != (step.writes == program.output) {
                return invalid(format!("tensor `{}` has no place", program.tensor(step.writes).name));
            }
            for id in step.reads.iter().chain([&step.writes]) {
                let id = &self.part(*id).map_or(*id, |part| part.whole);
                let Some(place) = self.placements.iter().find(|p| p.tensor == *id) else { continue };
                let tensor = program.tensor(*id);
                let rolling = self.strips.iter().flat_map(|strip| &strip.rolling).find(|rolling| rolling.tensor == *id);
                let fits = place.offset % ALIGN == 0
                    && place.bytes == rolling.map_or(tensor.shape.len(), super::Rolling::bytes)
                    && place.offset + place.bytes <= self.arena_bytes;
                if !fits || index < place.first_step || place.last_step < index {
                    return invalid(format!("tensor `{}` is not where or when it should be", tensor.name));
                }
            }
        }
        if let Some(strip) = self.broken_strip(program) {
            return invalid(format!("layers {} to {} do not run in these strips", strip.first, strip.last));
        }
        let may = parts::candidates(program, &self.strips);
        if let Some(part) = self.parts.iter().find(|part| !may.contains(part)) {
            return invalid(format!("tensor `{}` cannot lie in another one", program.tensor(part.tensor).name));
        }
        for (i, a) in self.placements.iter().enumerate() {
            for b in &self.placements[i + 1..] {
                let [ab, ba] =
                    [(a, b), (b, a)].map(|(new, old)| self.replaces(new, old) || self.follows(program, new, old));
                if overlap(a, b) && !ab && !ba {
                    let (a, b) = (&program.tensor(a.tensor).name, &program.tensor(b.tensor).name);
                    return invalid(format!("tensors `{a}` and `{b}` are alive together and share bytes"));
                }
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            let layer = &program.layers[index];
            let needed = needs::scratch_bytes(program, layer, step.kernel);
            let Some(scratch) = step.scratch else {
                if needed > 0 {
                    return invalid(format!("layer `{}` has no scratch memory", layer.name));
                }
                continue;
            };
            let Scratch { offset, bytes } = scratch;
            let met = self.placements.iter().find(|p| {
                (p.first_step..=p.last_step).contains(&index)
                    && p.offset < offset + bytes
                    && offset < p.offset + p.bytes
            });
            if bytes != needed || offset % ALIGN != 0 || offset + bytes > self.arena_bytes || met.is_some() {
                return invalid(format!("the scratch memory of layer `{}` is not where it should be", layer.name));
            }
        }
        Ok(())
    }

    /// Whether `new` is written over `old` at `old`'s last step.
    fn replaces(&self, new: &Placement, old: &Placement) -> bool {
        let step = &self.steps[new.first_step];
        let replaced = step.in_place.map(|input| step.reads[input]);
        replaced == Some(old.tensor) && old.last_step == new.first_step && old.offset == new.offset
    }
}

impl Plan {
    /// Whether `new` is written over `old` at `old`'s last step, band by band.
    fn follows(&self, program: &Program, new: &Placement, old: &Placement) -> bool {
        let step = &self.steps[new.first_step];
        let Some(bands) = step.bands else { return false };
        let Some(rows) = Rows::of(program, &program.layers[step.layer], step.kernel, bands.over) else {
            return false;
        };
        step.reads.get(bands.over) == Some(&old.tensor)
            && old.last_step == new.first_step
            && bands.rows > 0
            && rows.allow(bands, new.offset, old.offset)
    }
}

impl Plan {
    /// A strip that is not as [`Plan::verify`] says.
    fn broken_strip(&self, program: &Program) -> Option<&Strip> {
        let named = self.steps.iter().enumerate().all(|(index, step)| {
            step.strip == self.strips.iter().position(|strip| strip.has(index))
                && (step.strip.is_none() || (step.bands.is_none() && step.in_place.is_none()))
        });
        let apart = self.strips.windows(2).all(|pair| pair[0].last < pair[1].first);
        self.strips.iter().find(|strip| {
            let again = Strip::of(program, strip.first, strip.last, strip.rows);
            let of_steps = self.steps.get(strip.first..=strip.last).unwrap_or(&[]);
            let alive = |step: &super::Step| {
                let all = step.reads.iter().chain([&step.writes]);
                let places = all.filter_map(|id| self.placements.iter().find(|p| p.tensor == *id));
                let during = |place: &Placement| strip.last <= place.last_step && place.first_step <= strip.first;
                places.into_iter().all(during)
            };
            !named || !apart || again.as_ref() != Some(*strip) || !of_steps.iter().all(alive)
        })
    }
}

fn overlap(a: &Placement, b: &Placement) -> bool {
    let in_time = a.first_step <= b.last_step && b.first_step <= a.last_step;
    let in_space = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
    in_time && in_space
}
