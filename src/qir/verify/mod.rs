//! The invariants of an int8 program. Simulation, planner and emitter rely on them.
//!
//! 1. *names*: the program's name is a crate name (lower-case ASCII letters, digits, `-`, `_`; a letter first;
//!    no Rust keyword); layer names are unique and not empty; there is one distinct class name per score, and
//!    the output is `[1, 1, classes]`; where inputs may be rejected, some but not all classes are wanted and the
//!    threshold is one that scores can reach;
//! 2. *order*: tensor 0 is the input; every other tensor is written by exactly one layer, before it is read;
//!    every id is in range;
//! 3. *sizes*: no dimension and no part of a window is zero; no tensor has more than [`MAX_LEN`] values;
//! 4. *shapes*: outputs are what windows make of inputs: less than one step of the input is left over at the end,
//!    and no window starts further than its own extent and the leading padding after the input's end; every pooling
//!    window holds at least one input position; sums, gates and tables keep the shape, concatenations add channels,
//!    flattening makes a vector; a gate has one value per channel, and groups divide the channels;
//! 5. *lengths*: weights, biases, border classes and tables, multipliers, pad values and lookup tables are as long
//!    as the shapes say;
//! 6. *scales*: finite and positive; zero points and clamps within `−128..=127`, `min ≤ max`; a layer's zero point is
//!    its output tensor's, a mean pool's and a gate's input zero points their input tensors'; max pools, concatenations
//!    and flattening have the scale and
//!    zero point of their inputs (the program's input aside: its own are informative);
//! 7. *requantization*: multipliers are not negative (real factors are quotients of scales);
//! 8. *no overflow*: with `|x| ≤ 128`, `(|bias| + Σ |w| · 128) · 2^shift` fits an `i32` for every output channel and
//!    border class; so do the sums of pools and of `Add` and the products of `Gate`;
//! 9. *raw pixels* (`InputKind::U8`) are never read by `Add`, `Gate`, `Concat` or `Flatten`, whose kernels take `i8`, and are never the output.
//!
//! - `layer`: a layer against its tensors (invariants 4 to 9)
//! - `parts`: what layers are made of

mod layer;
mod parts;

use std::collections::BTreeSet;

use crate::diag::{Diag, Result};
use crate::qir::{Hwc, Program, Quant, Reject};
use parts::check_i8;

/// Values in the largest tensor: more never fits a microcontroller, and offsets stay far from overflow.
pub const MAX_LEN: usize = 1 << 28;

/// Names that no crate or module can have: Rust's keywords.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "std", "struct",
    "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
    "yield",
];

impl Program {
    /// Checks every invariant of the module; the first violation is the error.
    pub fn verify(&self) -> Result<()> {
        verify_name(&self.name)?;
        self.verify_tensors()?;
        self.verify_order()?;
        for layer in &self.layers {
            self.verify_layer(layer).map_err(|mut e| {
                e.place = Some(format!("layer \"{}\"", layer.name));
                e
            })?;
        }
        self.verify_output()
    }

    fn verify_tensors(&self) -> Result<()> {
        if self.tensors.is_empty() {
            return Diag::new("qir/no-input", "the program has no input tensor").err();
        }
        for (i, tensor) in self.tensors.iter().enumerate() {
            let place = || format!("tensor %{i} \"{}\"", tensor.name);
            let Hwc { h, w, c } = tensor.shape;
            let len = h.checked_mul(w).and_then(|hw| hw.checked_mul(c));
            if !len.is_some_and(|len| (1..=MAX_LEN).contains(&len)) {
                return Diag::new("qir/bad-shape", "a tensor is empty or too large")
                    .at(place())
                    .expected(format!("1 to {MAX_LEN} values"), tensor.shape)
                    .err();
            }
            let Quant { scale, zero_point } = tensor.quant;
            if !(scale.is_finite() && scale > 0.0) {
                return Diag::new("qir/bad-scale", "a scale is not usable")
                    .at(place())
                    .expected("a finite number above 0", scale)
                    .err();
            }
            if i > 0 {
                check_i8("the zero point", zero_point).map_err(|e| Box::new(e.at(place())))?;
            }
        }
        Ok(())
    }

    fn verify_order(&self) -> Result<()> {
        let mut written = vec![false; self.tensors.len()];
        written[0] = true;
        let mut names = BTreeSet::new();
        for layer in &self.layers {
            let place = || format!("layer \"{}\"", layer.name);
            if layer.name.is_empty() || !names.insert(layer.name.as_str()) {
                return Diag::new("qir/bad-layer-name", "a layer's name is empty or not unique").at(place()).err();
            }
            for id in &layer.inputs {
                if !written.get(id.index()).copied().unwrap_or(false) {
                    return Diag::new(
                        "qir/read-before-write",
                        format!("tensor %{} is read before it is written", id.0),
                    )
                    .at(place())
                    .err();
                }
            }
            match written.get_mut(layer.output.index()) {
                Some(written @ false) => *written = true,
                Some(true) => {
                    return Diag::new("qir/written-twice", format!("tensor %{} is written twice", layer.output.0))
                        .at(place())
                        .err();
                }
                None => {
                    return Diag::new("qir/no-such-tensor", format!("there is no tensor %{}", layer.output.0))
                        .at(place())
                        .err();
                }
            }
        }
        if let Some(i) = written.iter().position(|w| !w) {
            return Diag::new("qir/never-written", format!("tensor %{i} is never written")).err();
        }
        Ok(())
    }

    fn verify_output(&self) -> Result<()> {
        let Some(output) = self.tensors.get(self.output.index()) else {
            return Diag::new("qir/no-such-tensor", format!("there is no output tensor %{}", self.output.0)).err();
        };
        if self.output == self.input() {
            return Diag::new("qir/no-layers", "the output is the input").err();
        }
        let expected = Hwc { h: 1, w: 1, c: self.classes.len() };
        if output.shape != expected {
            return Diag::new("qir/class-count", "the output is not one score per class")
                .expected(expected, output.shape)
                .err();
        }
        if let Some(Reject { wanted, threshold }) = self.reject {
            let (wanted, most) = (wanted as usize, self.classes.len().saturating_sub(1));
            if !(1..=most).contains(&wanted) || !(-255..=255).contains(&threshold) {
                return Diag::new("qir/reject", "the wanted classes or the threshold to reject by are out of range")
                    .expected(
                        format!("1 to {most} of the classes, and -255 to 255"),
                        format!("{wanted} and {threshold}"),
                    )
                    .err();
            }
        }
        if self.classes.iter().collect::<BTreeSet<_>>().len() != self.classes.len() {
            return Diag::new("qir/class-names", "two classes have the same name").err();
        }
        Ok(())
    }
}

/// Whether `name` can name a crate and, with `-` as `_`, a module.
pub fn is_crate_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && !KEYWORDS.contains(&name)
}

fn verify_name(name: &str) -> Result<()> {
    if is_crate_name(name) {
        return Ok(());
    }
    Diag::new("qir/bad-name", "the program's name is no crate name")
        .expected("lower-case letters, digits, `-` and `_`, a letter first, no Rust keyword", format!("{name:?}"))
        .err()
}
