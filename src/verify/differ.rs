//! Comparing with the simulation, and finding the first layer that differs.

use super::Options;
use super::copy::{Copy, Variant};
use super::lines::{Printed, Record};
use super::runs;
use crate::diag::{Diag, Result};
use crate::qir::Program;
use crate::sim;
use crate::target::Target;

/// The first difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where it was run: `host`, or QEMU's name of the machine.
    pub machine: String,
    /// Index of the sample.
    pub sample: usize,
    /// Index and name of the first layer whose output differs; `None` if no layer of that sample, run alone, does.
    pub layer: Option<(usize, String)>,
    /// Machine, sample, layer and byte in words.
    pub place: String,
    /// The simulation's bytes there.
    pub expected: String,
    /// The crate's bytes there.
    pub found: String,
}

/// Indices of the samples whose label or scores are not the expected ones.
pub(super) fn differing(program: &Program, expected: &[Vec<i8>], found: &[Record]) -> Result<Vec<usize>> {
    if expected.len() != found.len() {
        return Diag::new("verify/output", "not one line per sample").expected(expected.len(), found.len()).err();
    }
    let same = |expected: &[i8], found: &Record| found.scores == expected && program.label(expected) == found.label;
    Ok((0..expected.len()).filter(|&i| !same(&expected[i], &found[i])).collect())
}

/// Finds the difference of `sample` on the host.
pub(super) fn on_host(
    copy: &Copy,
    program: &Program,
    sample: usize,
    input: &[u8],
    found: &Record,
    options: &Options,
) -> Result<Mismatch> {
    let executable = copy.build(Variant::Trace, None)?;
    let printed = runs::host_part(copy, &executable, "trace.bin", &[input], options)?;
    Ok(mismatch(program, "host", sample, input, found, &printed))
}

/// Finds the difference of `sample` in QEMU.
pub(super) fn in_qemu(
    copy: &Copy,
    program: &Program,
    sample: usize,
    input: &[u8],
    found: &Record,
    target: &Target,
    options: &Options,
) -> Result<Mismatch> {
    let elf = copy.build(Variant::Trace, Some(target.rust_target))?;
    let printed = runs::qemu_part(copy, &elf, "trace.bin", &[input], target, options)?.unwrap_or_default();
    let machine = target.qemu.as_ref().map_or("QEMU", |qemu| &qemu.machine);
    Ok(mismatch(program, machine, sample, input, found, &printed))
}

fn mismatch(
    program: &Program,
    machine: &str,
    sample: usize,
    input: &[u8],
    found: &Record,
    printed: &Printed,
) -> Mismatch {
    let tensors = sim::trace(program, input);
    let nothing = Vec::new();
    for (index, layer) in program.layers.iter().enumerate() {
        let expected = &tensors[layer.output.index()];
        let traced = printed.layers.get(&index);
        // Of a layer in a strip the crate has no whole output to show.
        if traced.is_some_and(|traced| traced == expected || traced.is_empty()) {
            continue;
        }
        let traced = traced.unwrap_or(&nothing);
        let at = expected.iter().zip(traced).position(|(a, b)| a != b).unwrap_or(expected.len().min(traced.len()));
        return Mismatch {
            machine: machine.into(),
            sample,
            layer: Some((index, layer.name.clone())),
            place: format!("{machine}, sample {sample}, layer {index} `{}`, from byte {at}", layer.name),
            expected: window(expected, at),
            found: window(traced, at),
        };
    }
    let scores = &tensors[program.output.index()];
    Mismatch {
        machine: machine.into(),
        sample,
        layer: None,
        place: format!("{machine}, sample {sample}, scores, though no layer differs when the sample runs alone"),
        expected: window(scores, 0),
        found: format!("{}: {}", found.label, window(&found.scores, 0)),
    }
}

/// Up to eight values from `at` on.
fn window(values: &[i8], at: usize) -> String {
    let shown: Vec<String> = values.iter().skip(at).take(8).map(ToString::to_string).collect();
    let more = if values.len() > at + 8 { " …" } else { "" };
    if shown.is_empty() { "nothing".into() } else { format!("{}{more}", shown.join(" ")) }
}
