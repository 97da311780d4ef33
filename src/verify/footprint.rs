//! What a linked firmware grows by when the network is in it, read from two ELF files.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{SHF_ALLOC, SHF_WRITE};
use object::{Object, ObjectSection, SectionFlags, SectionKind};

use super::symbols::{self, Item};
use crate::diag::{Diag, Result};

/// Bytes, each the difference between the firmware with and without the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// int8 weights: the sizes of all symbols called `WEIGHTS`.
    pub weights_bytes: u64,
    /// Other constants of the layers by their symbols: biases, multipliers, lookup tables, and the structs with which
    /// kernels are called.
    pub tables_bytes: u64,
    /// The rest: machine code with its literal pools, and what alignment adds.
    pub code_bytes: u64,
    /// Flash in all: every allocated section with content.
    pub total_bytes: u64,
    /// RAM that is always taken: sections that the firmware may write (the arena above all), stack left aside.
    pub static_ram_bytes: u64,
    /// What belongs to one layer alone, by the name of its function.
    pub layers: BTreeMap<String, LayerFootprint>,
    /// Functions that are there for the network, those of layers left aside: path below the crate (`kernels::dense::dense`)
    /// or symbol, and the bytes of all that are called so.
    pub functions: BTreeMap<String, u64>,
}

/// What belongs to one layer, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerFootprint {
    /// Weights.
    pub weights_bytes: u64,
    /// Other constants.
    pub tables_bytes: u64,
    /// Its function, which calls a kernel that other layers may share.
    pub code_bytes: u64,
    /// What this function or its constants name, and these in turn: named as [`Footprint::functions`], one entry for each.
    pub functions: Vec<(String, u64)>,
}

/// Sums over one ELF file.
struct Sizes {
    flash: u64,
    ram: u64,
    items: Vec<Item>,
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
    let mut layers: BTreeMap<String, LayerFootprint> = BTreeMap::new();
    let mut functions: BTreeMap<String, u64> = BTreeMap::new();
    for item in &with.items {
        match &item.path[..] {
            [_, module, layer, constant @ ..] if module == "layers" => {
                let sizes = layers.entry(layer.clone()).or_default();
                match (item.code, constant) {
                    (true, _) => {
                        sizes.code_bytes += item.bytes;
                        sizes.functions.extend(with.reached(item));
                    }
                    (false, [name, ..]) if name == "WEIGHTS" => sizes.weights_bytes += item.bytes,
                    (false, _) => {
                        sizes.tables_bytes += item.bytes;
                        sizes.functions.extend(with.reached(item));
                    }
                }
            }
            path if item.code => *functions.entry(called(path)).or_default() += item.bytes,
            _ => {}
        }
    }
    for item in without.items.iter().filter(|item| item.code) {
        if let Some(bytes) = functions.get_mut(&called(&item.path)) {
            *bytes = bytes.saturating_sub(item.bytes);
        }
    }
    functions.retain(|_, bytes| *bytes > 0);
    for layer in layers.values_mut() {
        layer.functions.sort();
        layer.functions.dedup();
    }
    let weights_bytes = layers.values().map(|layer| layer.weights_bytes).sum();
    let tables_bytes = layers.values().map(|layer| layer.tables_bytes).sum();
    Ok(Footprint {
        weights_bytes,
        tables_bytes,
        code_bytes: total_bytes.saturating_sub(weights_bytes + tables_bytes),
        total_bytes,
        static_ram_bytes: more("the RAM", with.ram, without.ram)?,
        layers,
        functions,
    })
}

impl Sizes {
    /// Every function that runs when `item` does, other layers' left aside.
    fn reached(&self, item: &Item) -> Vec<(String, u64)> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<u64> = item.calls.iter().copied().collect();
        let mut found = Vec::new();
        while let Some(address) = open.pop() {
            let Ok(index) = self.items.binary_search_by_key(&address, |item| item.address) else { continue };
            let function = &self.items[index];
            let kernel =
                function.path.get(1).is_none_or(|module| !["layers", "bare_metal", "infer"].contains(&&**module));
            if kernel && seen.insert(address) {
                open.extend(&function.calls);
                found.push((called(&function.path), function.bytes));
            }
        }
        found.sort();
        found
    }
}

/// The path below the crate.
fn called(path: &[String]) -> String {
    match path {
        [one] => one.clone(),
        [_, rest @ ..] => rest.join("::"),
        [] => String::new(),
    }
}

fn sizes(elf: &[u8]) -> Result<Sizes> {
    let file = match object::File::parse(elf) {
        Ok(file) => file,
        Err(error) => return Diag::new("verify/elf", format!("this is no ELF file: {error}")).err(),
    };
    let mut sizes = Sizes { flash: 0, ram: 0, items: symbols::items(&file) };
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if sh_flags & u64::from(SHF_ALLOC) == 0 {
            continue;
        }
        if !matches!(section.kind(), SectionKind::UninitializedData) {
            sizes.flash += section.size();
        }
        if sh_flags & u64::from(SHF_WRITE) != 0 {
            sizes.ram += section.size();
        }
    }
    Ok(sizes)
}
