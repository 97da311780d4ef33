//! What a linked firmware grows by when the network is in it, read from two ELF files.

use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};

use crate::diag::{Diag, Result};

/// Bytes, each the difference between the firmware with and without the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// int8 weights: the sizes of all symbols called `WEIGHTS`.
    pub weights_bytes: u64,
    /// Other constants: biases, multipliers, lookup tables, class names, and what alignment adds.
    pub tables_bytes: u64,
    /// Machine code with its literal pools.
    pub code_bytes: u64,
    /// Flash in all: every allocated section with content.
    pub total_bytes: u64,
    /// RAM that is always taken: sections that the firmware may write (the arena above all), stack left aside.
    pub static_ram_bytes: u64,
}

/// Sums over the sections of one ELF file.
#[derive(Default)]
struct Sizes {
    flash: u64,
    code: u64,
    ram: u64,
    weights: u64,
}

/// Measures what `with` has more than `without`, both ELF files of the same firmware for a device.
///
/// # Errors
/// `verify/elf` if one of them is no ELF file, or if the network made the firmware smaller.
pub fn measure(with: &[u8], without: &[u8]) -> Result<Footprint> {
    let (with, without) = (sizes(with)?, sizes(without)?);
    let more = |what: &str, with: u64, without: u64| {
        with.checked_sub(without).ok_or_else(|| {
            Box::new(
                Diag::new("verify/elf", format!("{what} of the firmware with the network is the smaller one"))
                    .expected(format!("at least {without} bytes"), format!("{with} bytes")),
            )
        })
    };
    let total_bytes = more("the flash", with.flash, without.flash)?;
    let code_bytes = with.code.saturating_sub(without.code);
    let weights_bytes = with.weights.saturating_sub(without.weights);
    Ok(Footprint {
        weights_bytes,
        tables_bytes: total_bytes.saturating_sub(code_bytes + weights_bytes),
        code_bytes,
        total_bytes,
        static_ram_bytes: more("the RAM", with.ram, without.ram)?,
    })
}

fn sizes(elf: &[u8]) -> Result<Sizes> {
    let file = match object::File::parse(elf) {
        Ok(file) => file,
        Err(error) => return Diag::new("verify/elf", format!("this is no ELF file: {error}")).err(),
    };
    let mut sizes = Sizes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if sh_flags & u64::from(SHF_ALLOC) == 0 {
            continue;
        }
        let bytes = section.size();
        let empty = matches!(section.kind(), SectionKind::UninitializedData);
        if !empty {
            sizes.flash += bytes;
        }
        if sh_flags & u64::from(SHF_EXECINSTR) != 0 {
            sizes.code += bytes;
        }
        if sh_flags & u64::from(SHF_WRITE) != 0 {
            sizes.ram += bytes;
        }
    }
    sizes.weights = file
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|name| name.contains("7WEIGHTS")))
        .map(|symbol| symbol.size())
        .sum();
    Ok(sizes)
}
