//! TOML → [`Target`], with named checks.
//!
//! | code | what it finds |
//! |---|---|
//! | `target/syntax` | not TOML, unknown, missing or doubled field, wrong type |
//! | `target/name` | a region's name that a linker script cannot take, or two alike; a board's name of other signs than `A-Za-z0-9-_.` |
//! | `target/text` | text with line breaks or other control characters, or with `*/` |
//! | `target/no-region` | no flash or no RAM |
//! | `target/region-empty` | a size or a number of banks of zero, or all of it taken by the offset |
//! | `target/region-wraps` | a region past 4 GiB |
//! | `target/region-overlap` | two regions that share addresses |
//! | `target/region-misaligned` | a start, size or offset that is no multiple of 4 |
//! | `target/preferred-twice` | two code regions or two arena regions |
//! | `target/unknown-rust-target` | a triple that fratc does not emit for |
//! | `target/core-mismatch` | a Rust target that the core cannot run, or another core's `target_cpu` |
//! | `target/fpu-mismatch` | a hard-float Rust target without an FPU |
//! | `target/clock` | a clock of 0 Hz |
//! | `target/chip-file` | a chip that is not shipped |
//! | `target/missing` | a field that neither the board's file nor its chip's gives |
//! | `target/image` | a UF2 image without `uf2_family`, or the other way round |
//!
//! `chip_file` names a chip of `targets/chips/`: what the board's file leaves out comes from there, `flash` and `ram`
//! each as a whole. Problems with such a value are reported at `chip_file`.

use std::ops::Range;

use toml::Spanned;

use super::file::{File, ImageKind};
use super::regions::check_regions;
use super::{Fpu, Image, Region, RustTarget, Target, shipped};
use crate::diag::{Diag, Result};

/// Independent problems, each with its place in the text.
pub(super) struct Problems<'a> {
    text: &'a str,
    list: Vec<(&'static str, String)>,
}

impl Problems<'_> {
    pub fn add(&mut self, code: &'static str, span: Range<usize>, what: impl std::fmt::Display) {
        let (line, column) = line_column(self.text, span.start);
        self.list.push((code, format!("line {line}, column {column}: {what}")));
    }
}

fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

fn syntax(text: &str, file: &str) -> Result<File> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(
            || file.to_string(),
            |span| {
                let (line, column) = line_column(text, span.start);
                format!("{file}, line {line}, column {column}")
            },
        );
        let what = error.message().replace('\n', ", ");
        Box::new(Diag::new("target/syntax", what).at(place).help(HELP))
    })
}

const HELP: &str = "targets/README.md describes every field";

/// Reads and checks one target file.
pub(super) fn read(text: &str, file: &str) -> Result<Target> {
    let mut raw = syntax(text, file)?;
    if let Some(name) = raw.chip_file.take() {
        let Some((chip_file, chip)) = shipped::chip(name.get_ref()) else {
            let (line, column) = line_column(text, name.span().start);
            let what = format!("line {line}, column {column}: no chip is called '{}'", name.get_ref());
            let known = format!("expected one of {}", shipped::chips().join(", "));
            return Diag::new("target/chip-file", format!("{what}: {known}")).at(file).help(HELP).err();
        };
        raw.complete(syntax(chip, chip_file)?, &name.span());
    }
    let mut problems = Problems { text, list: Vec::new() };
    let (flash, ram) = check_regions(&raw, &mut problems);
    let image = check_image(&raw, &mut problems);
    let target = board(raw, flash, ram, image, &mut problems);
    match (problems.list.first(), target) {
        (None, Some(target)) => Ok(target),
        (first, _) => {
            let code = first.map_or("target/missing", |(code, _)| code);
            let what: Vec<&str> = problems.list.iter().map(|(_, what)| what.as_str()).collect();
            Diag::new(code, what.join("; ")).at(file).help(HELP).err()
        }
    }
}

/// The target, if nothing is missing and the triple is known.
fn board(
    raw: File,
    flash: Vec<Region>,
    ram: Vec<Region>,
    image: Option<Image>,
    problems: &mut Problems<'_>,
) -> Option<Target> {
    let missing: Vec<&str> = [
        ("name", raw.name.is_none()),
        ("description", raw.description.is_none()),
        ("chip", raw.chip.is_none()),
        ("core", raw.core.is_none()),
        ("rust_target", raw.rust_target.is_none()),
        ("clock_hz", raw.clock_hz.is_none()),
        ("fpu", raw.fpu.is_none()),
        ("probe_rs", raw.probe_rs.is_none()),
        ("tested", raw.tested.is_none()),
    ]
    .into_iter()
    .filter_map(|(field, missing)| missing.then_some(field))
    .collect();
    if !missing.is_empty() {
        problems.add("target/missing", 0..0, format!("missing {}", missing.join(", ")));
    }
    if let Some(clock) = raw.clock_hz.as_ref().filter(|clock| *clock.get_ref() == 0) {
        problems.add("target/clock", clock.span(), "clock_hz is 0");
    }
    check_texts(&raw, problems);
    let rust_target = check_rust_target(&raw, problems);
    Some(Target {
        name: raw.name?.into_inner(),
        description: raw.description?.into_inner(),
        chip: raw.chip?.into_inner(),
        core: raw.core?,
        rust_target: rust_target?,
        target_cpu: raw.target_cpu.map(Spanned::into_inner),
        clock_hz: raw.clock_hz?.into_inner(),
        fpu: raw.fpu?,
        flash,
        ram,
        probe_rs: raw.probe_rs?.0,
        boot_block: raw.boot_block,
        image,
        qemu: raw.qemu,
        tested: raw.tested?.into_inner(),
    })
}

/// Names and words that go into comments of what is emitted.
fn check_texts(raw: &File, problems: &mut Problems<'_>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(name) = raw.name.as_ref().filter(|name| name.get_ref().is_empty() || !name.get_ref().chars().all(plain))
    {
        let what = format!("name {:?} is not of letters, digits, '-', '_' and '.'", name.get_ref());
        problems.add("target/name", name.span(), what);
    }
    for (field, text) in [("description", &raw.description), ("chip", &raw.chip), ("tested", &raw.tested)] {
        let closes = |text: &str| text.contains(char::is_control) || text.contains("*/");
        if let Some(text) = text.as_ref().filter(|text| closes(text.get_ref())) {
            let what = format!("{field} {:?} is not one line of text without \"*/\"", text.get_ref());
            problems.add("target/text", text.span(), what);
        }
    }
}

fn check_image(raw: &File, problems: &mut Problems<'_>) -> Option<Image> {
    match (raw.image.as_ref().map(|kind| (*kind.get_ref(), kind.span())), raw.uf2_family) {
        (None, None) => None,
        (Some((ImageKind::Hex, _)), None) => Some(Image::Hex),
        (Some((ImageKind::Uf2, _)), Some(family)) => Some(Image::Uf2(family)),
        (Some((ImageKind::Uf2, span)), None) => {
            problems.add("target/image", span, "a UF2 image needs uf2_family, the number that its boot loader expects");
            None
        }
        (kind, Some(_)) => {
            let span = kind.map_or(0..0, |(_, span)| span);
            problems.add("target/image", span, "uf2_family is given, but image is not \"uf2\"");
            None
        }
    }
}

fn check_rust_target(raw: &File, problems: &mut Problems<'_>) -> Option<RustTarget> {
    let (core, given) = (raw.core?, raw.rust_target.as_ref()?);
    let (triple, span) = (given.get_ref(), given.span());
    if let Some(cpu) = raw.target_cpu.as_ref().filter(|cpu| cpu.get_ref() != core.cpu()) {
        let what = format!("target_cpu is '{}', but the core is '{core}'", cpu.get_ref());
        problems.add("target/core-mismatch", cpu.span(), what);
    }
    let Some(target) = RustTarget::ALL.into_iter().find(|t| t.triple() == triple) else {
        let known: Vec<&str> = RustTarget::ALL.iter().map(|t| t.triple()).collect();
        let what = format!("unknown rust_target '{triple}': expected one of {}", known.join(", "));
        problems.add("target/unknown-rust-target", span, what);
        return None;
    };
    if !core.runs(target) {
        problems.add("target/core-mismatch", span.clone(), format!("{core} cannot run code for {triple}"));
    }
    if target.hard_float() && raw.fpu == Some(Fpu::None) {
        problems.add("target/fpu-mismatch", span, format!("{triple} needs an FPU, but fpu is \"none\""));
    }
    Some(target)
}
