//! A target file as it is written, before anything is checked.

use std::ops::Range;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{BootBlock, Core, Fpu, Qemu};

/// A board's file, or a chip's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the field is called so in the file")]
pub(super) struct File {
    pub name: Option<Spanned<String>>,
    pub description: Option<Spanned<String>>,
    pub chip: Option<Spanned<String>>,
    pub chip_file: Option<Spanned<String>>,
    pub core: Option<Core>,
    pub rust_target: Option<Spanned<String>>,
    pub target_cpu: Option<Spanned<String>>,
    pub clock_hz: Option<Spanned<u32>>,
    pub fpu: Option<Fpu>,
    pub probe_rs: Option<ProbeRs>,
    pub boot_block: Option<BootBlock>,
    pub image: Option<Spanned<ImageKind>>,
    pub uf2_family: Option<u32>,
    pub qemu: Option<Qemu>,
    pub tested: Option<Spanned<String>>,
    #[serde(default)]
    pub flash: Vec<Flash>,
    #[serde(default)]
    pub ram: Vec<Ram>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ImageKind {
    Uf2,
    Hex,
}

impl File {
    /// Takes from `chip` what is not given here; `place` is where its problems are reported.
    pub fn complete(&mut self, chip: Self, place: &Range<usize>) {
        let Self { name: _, description: _, chip_file: _, tested: _, .. } = &chip;
        self.chip = self.chip.take().or(chip.chip.map(|v| moved(v, place)));
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
pub(super) struct Flash {
    pub name: Spanned<String>,
    pub start: Spanned<u32>,
    pub size: Spanned<Bytes>,
    pub banks: Option<Spanned<u32>>,
    pub offset: Option<Spanned<Bytes>>,
    pub code: Option<Spanned<bool>>,
    #[serde(default)]
    pub after_vectors: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ram {
    pub name: Spanned<String>,
    pub start: Spanned<u32>,
    pub size: Spanned<Bytes>,
    pub banks: Option<Spanned<u32>>,
    pub offset: Option<Spanned<Bytes>>,
    pub arena: Option<Spanned<bool>>,
}

impl Flash {
    fn moved(self, place: &Range<usize>) -> Self {
        Self {
            name: moved(self.name, place),
            start: moved(self.start, place),
            size: moved(self.size, place),
            banks: self.banks.map(|v| moved(v, place)),
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
            banks: self.banks.map(|v| moved(v, place)),
            offset: self.offset.map(|v| moved(v, place)),
            arena: self.arena.map(|v| moved(v, place)),
        }
    }
}

/// A number of bytes: an integer, or text like `"512K"` or `"2M"` (K = 1024).
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub u32);

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
pub(super) struct ProbeRs(pub Option<String>);

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
