//! TOML → [`Target`], with named checks.
//!
//! | code | what it finds |
//! |---|---|
//! | `target/syntax` | not TOML, unknown, missing or doubled field, wrong type |
//! | `target/name` | a region's name that a linker script cannot take, or two alike |
//! | `target/no-region` | no flash or no RAM |
//! | `target/region-empty` | a size of zero, or all of it taken by the offset |
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

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{BootBlock, Core, Fpu, Image, Qemu, Region, RustTarget, Target, shipped};
use crate::diag::{Diag, Result};

/// A board's file, or a chip's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the field is called so in the file")]
struct File {
    name: Option<String>,
    description: Option<String>,
    chip: Option<String>,
    chip_file: Option<Spanned<String>>,
    core: Option<Core>,
    rust_target: Option<Spanned<String>>,
    target_cpu: Option<Spanned<String>>,
    clock_hz: Option<Spanned<u32>>,
    fpu: Option<Fpu>,
    probe_rs: Option<ProbeRs>,
    boot_block: Option<BootBlock>,
    image: Option<Spanned<ImageKind>>,
    uf2_family: Option<u32>,
    qemu: Option<Qemu>,
    tested: Option<String>,
    #[serde(default)]
    flash: Vec<Flash>,
    #[serde(default)]
    ram: Vec<Ram>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ImageKind {
    Uf2,
    Hex,
}

impl File {
    /// Takes from `chip` what is not given here; `place` is where its problems are reported.
    fn complete(&mut self, chip: Self, place: &Range<usize>) {
        let Self { name: _, description: _, chip_file: _, tested: _, .. } = &chip;
        self.chip = self.chip.take().or(chip.chip);
        self.core = self.core.or(chip.core);
        self.rust_target = self.rust_target.take().or(chip.rust_target.map(|v| moved(v, place)));
        self.target_cpu = self.target_cpu.take().or(chip.target_cpu.map(|v| moved(v, place)));
        self.clock_hz = self.clock_hz.take().or(chip.clock_hz.map(|v| moved(v, place)));
        self.fpu = self.fpu.or(chip.fpu);
        self.probe_rs = self.probe_rs.take().or(chip.probe_rs);
        self.boot_block = self.boot_block.or(chip.boot_block);
        self.image = self.image.take().or(chip.image.map(|v| moved(v, place)));
        self.uf2_family = self.uf2_family.or(chip.uf2_family);
        self.qemu = self.qemu.take().or(chip.qemu);
        if self.flash.is_empty() {
            self.flash = chip.flash.into_iter().map(|region| region.moved(place)).collect();
        }
        if self.ram.is_empty() {
            self.ram = chip.ram.into_iter().map(|region| region.moved(place)).collect();
        }
    }
}

/// The value, as if it stood at `place`.
fn moved<T>(value: Spanned<T>, place: &Range<usize>) -> Spanned<T> {
    Spanned::new(place.clone(), value.into_inner())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flash {
    name: Spanned<String>,
    start: Spanned<u32>,
    size: Spanned<Bytes>,
    #[serde(default = "one")]
    banks: u32,
    offset: Option<Spanned<Bytes>>,
    code: Option<Spanned<bool>>,
    #[serde(default)]
    after_vectors: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ram {
    name: Spanned<String>,
    start: Spanned<u32>,
    size: Spanned<Bytes>,
    #[serde(default = "one")]
    banks: u32,
    offset: Option<Spanned<Bytes>>,
    arena: Option<Spanned<bool>>,
}

impl Flash {
    fn moved(self, place: &Range<usize>) -> Self {
        Self {
            name: moved(self.name, place),
            start: moved(self.start, place),
            size: moved(self.size, place),
            banks: self.banks,
            offset: self.offset.map(|v| moved(v, place)),
            code: self.code.map(|v| moved(v, place)),
            after_vectors: self.after_vectors,
        }
    }
}

impl Ram {
    fn moved(self, place: &Range<usize>) -> Self {
        Self {
            name: moved(self.name, place),
            start: moved(self.start, place),
            size: moved(self.size, place),
            banks: self.banks,
            offset: self.offset.map(|v| moved(v, place)),
            arena: self.arena.map(|v| moved(v, place)),
        }
    }
}

fn one() -> u32 {
    1
}

/// A number of bytes: an integer, or text like `"512K"` or `"2M"` (K = 1024).
#[derive(Clone, Copy)]
struct Bytes(u32);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of bytes below 4 GiB, such as 256, \"512K\" or \"2M\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Bytes, E> {
                u32::try_from(value).map(Bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Bytes, E> {
                let (digits, unit) = match text.as_bytes().last() {
                    Some(b'K') => (&text[..text.len() - 1], 1024),
                    Some(b'M') => (&text[..text.len() - 1], 1024 * 1024),
                    _ => (text, 1),
                };
                let value: Option<u32> = digits.parse().ok();
                value
                    .and_then(|v| v.checked_mul(unit))
                    .map(Bytes)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The chip's name, or `false`.
struct ProbeRs(Option<String>);

impl<'de> Deserialize<'de> for ProbeRs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ProbeRs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the chip's name for probe-rs, or false")
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> std::result::Result<ProbeRs, E> {
                if value {
                    return Err(E::invalid_value(de::Unexpected::Bool(true), &self));
                }
                Ok(ProbeRs(None))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<ProbeRs, E> {
                Ok(ProbeRs(Some(text.to_string())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Independent problems, each with its place in the text.
struct Problems<'a> {
    text: &'a str,
    list: Vec<(&'static str, String)>,
}

impl Problems<'_> {
    fn add(&mut self, code: &'static str, span: Range<usize>, what: impl std::fmt::Display) {
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
    let rust_target = check_rust_target(&raw, problems);
    Some(Target {
        name: raw.name?,
        description: raw.description?,
        chip: raw.chip?,
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
        tested: raw.tested?,
    })
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

fn check_regions(raw: &File, problems: &mut Problems<'_>) -> (Vec<Region>, Vec<Region>) {
    for (what, empty) in [("flash", raw.flash.is_empty()), ("ram", raw.ram.is_empty())] {
        if empty {
            problems.add("target/no-region", 0..0, format!("no [[{what}]] region"));
        }
    }
    let mut seen: Vec<Region> = Vec::new();
    let mut check = |name: &Spanned<String>, start: &Spanned<u32>, size: &Spanned<Bytes>, mut region: Region| {
        region.name.clone_from(name.get_ref());
        (region.start, region.size) = (*start.get_ref(), size.get_ref().0);
        let called = &region.name;
        let letters = called.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !letters || !called.starts_with(|c: char| c.is_ascii_uppercase()) {
            problems.add("target/name", name.span(), format!("region '{called}' is not of the form [A-Z][A-Z0-9_]*"));
        }
        if seen.iter().any(|r| r.name == *called) {
            problems.add("target/name", name.span(), format!("two regions are called '{called}'"));
        }
        if region.size == 0 {
            problems.add("target/region-empty", size.span(), format!("region {called} has 0 bytes"));
        } else if region.offset >= region.size {
            let what = format!("region {called} of {} bytes is all offset ({} bytes)", region.size, region.offset);
            problems.add("target/region-empty", size.span(), what);
        }
        if !(region.start | region.size | region.offset).is_multiple_of(4) {
            let what = format!("start, size and offset of region {called} must be multiples of 4 bytes");
            problems.add("target/region-misaligned", start.span(), what);
        }
        let end = |r: &Region| u64::from(r.start) + u64::from(r.size);
        if end(&region) > 1 << 32 {
            problems.add("target/region-wraps", start.span(), format!("region {called} ends past 4 GiB"));
        }
        for other in &seen {
            if u64::from(region.start) < end(other) && u64::from(other.start) < end(&region) {
                let what = format!(
                    "region {called} ({:#010x}..{:#010x}) overlaps {} ({:#010x}..{:#010x})",
                    region.start,
                    end(&region),
                    other.name,
                    other.start,
                    end(other)
                );
                problems.add("target/region-overlap", start.span(), what);
            }
        }
        seen.push(region.clone());
        region
    };
    let blank = |banks, offset, preferred, after_vectors| Region {
        name: String::new(),
        start: 0,
        size: 0,
        banks,
        offset,
        preferred,
        after_vectors,
    };
    let on = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|f| *f.get_ref());
    let mut flash: Vec<Region> = Vec::new();
    for r in &raw.flash {
        let offset = r.offset.as_ref().map_or(0, |o| o.get_ref().0);
        let region = blank(r.banks, offset, on(&r.code), r.after_vectors.clone());
        flash.push(check(&r.name, &r.start, &r.size, region));
    }
    let mut ram: Vec<Region> = Vec::new();
    for r in &raw.ram {
        let offset = r.offset.as_ref().map_or(0, |o| o.get_ref().0);
        ram.push(check(&r.name, &r.start, &r.size, blank(r.banks, offset, on(&r.arena), Vec::new())));
    }
    let code: Vec<_> = raw.flash.iter().filter_map(|r| r.code.as_ref().filter(|f| *f.get_ref())).collect();
    let arena: Vec<_> = raw.ram.iter().filter_map(|r| r.arena.as_ref().filter(|f| *f.get_ref())).collect();
    for (key, flags) in [("code", code), ("arena", arena)] {
        if let Some(second) = flags.get(1) {
            problems.add("target/preferred-twice", second.span(), format!("two regions have {key} = true"));
        }
    }
    for list in [&mut flash, &mut ram] {
        // Without a mark the first region is the one, so that exactly one is.
        if list.iter().all(|r| !r.preferred)
            && let Some(first) = list.first_mut()
        {
            first.preferred = true;
        }
    }
    (flash, ram)
}
