//! Symbols of an ELF file by the path of the Rust item they stand for, and which functions call which.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// An item with bytes of its own.
pub(super) struct Item {
    /// Its path, generic arguments left out: `my_crate::layers::conv1::WEIGHTS`; of other languages the symbol itself.
    pub path: Vec<String>,
    /// Whether it is a function.
    pub code: bool,
    /// Bytes.
    pub bytes: u64,
    /// First address.
    pub address: u64,
    /// Addresses of functions that it calls or jumps to; of constants, that it points to.
    pub calls: BTreeSet<u64>,
}

/// All items by address, each once: of several names of one address the first counts.
pub(super) fn items(file: &object::File<'_>) -> Vec<Item> {
    let mut found: BTreeMap<(u64, bool), (&str, u64)> = BTreeMap::new();
    for symbol in file.symbols() {
        let code = symbol.kind() == SymbolKind::Text;
        let known = code || symbol.kind() == SymbolKind::Data;
        if let (true, 1.., Ok(name)) = (known && symbol.is_definition(), symbol.size(), symbol.name()) {
            // The lowest bit of a function's address says that it is Thumb code.
            let entry = found.entry((symbol.address() & !u64::from(code), code)).or_insert((name, symbol.size()));
            *entry = (*entry).min((name, symbol.size()));
        }
    }
    let functions: BTreeSet<u64> = found.keys().filter(|(_, code)| *code).map(|(address, _)| *address).collect();
    let item = |((address, code), (name, bytes)): ((u64, bool), (&str, u64))| Item {
        path: path(name),
        code,
        bytes,
        address,
        calls: {
            let content = content(file, address, bytes).unwrap_or(&[]);
            if code { calls(content, address, &functions) } else { pointers(content, &functions) }
        },
    };
    found.into_iter().map(item).collect()
}

/// The `bytes` bytes at `address`, if a section holds them.
fn content<'a>(file: &object::File<'a>, address: u64, bytes: u64) -> Option<&'a [u8]> {
    let holds = |section: &object::Section<'a, '_>| {
        section.address() <= address && address + bytes <= section.address() + section.size()
    };
    file.sections().find(holds)?.data_range(address, bytes).ok()?
}

/// The functions whose addresses are words of a constant; the lowest bit says that they are Thumb code.
fn pointers(constant: &[u8], functions: &BTreeSet<u64>) -> BTreeSet<u64> {
    let words = constant.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    words.filter(|word| word & 1 == 1).map(|word| u64::from(word - 1)).filter(|to| functions.contains(to)).collect()
}

/// The functions that the Thumb code at `address` branches to, itself left out. Constants between the instructions are
/// read too; hardly one of them looks like a branch to the start of a function.
fn calls(code: &[u8], address: u64, functions: &BTreeSet<u64>) -> BTreeSet<u64> {
    let halves: Vec<i64> = code.chunks_exact(2).map(|two| i64::from(u16::from_le_bytes([two[0], two[1]]))).collect();
    let target = |at: usize| -> Option<u64> {
        let (first, second) = (halves[at], halves.get(at + 1).copied().unwrap_or(0));
        let offset = if first >> 11 == 0b11110 && second >> 15 == 1 && second & 0x1000 != 0 {
            // BL, B.W: S:I1:I2:imm10:imm11:0.
            let sign = first >> 10 & 1;
            let [one, two] = [second >> 13 & 1, second >> 11 & 1].map(|j| 1 ^ j ^ sign);
            let low = (one << 23) | (two << 22) | ((first & 0x3ff) << 12) | ((second & 0x7ff) << 1);
            low - (sign << 24)
        } else {
            return None;
        };
        Some((address as i64 + 2 * at as i64 + 4 + offset) as u64)
    };
    let found = (0..halves.len()).filter_map(target).filter(|to| *to != address && functions.contains(to));
    found.collect()
}

/// The identifiers that a mangled name holds, each after its length, in either of Rust's manglings; of a name that is
/// not mangled, itself.
fn path(symbol: &str) -> Vec<String> {
    if !symbol.starts_with("_ZN") && !symbol.starts_with("_R") {
        return vec![symbol.to_string()];
    }
    let mut parts = Vec::new();
    let mut rest = symbol;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit() && c != '0') {
        rest = &rest[at..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let len: usize = rest[..digits].parse().unwrap_or(usize::MAX);
        rest = &rest[digits..];
        let name = rest.strip_prefix('_').filter(|name| name.starts_with(|c: char| c == '_' || c.is_ascii_digit()));
        let name = name.unwrap_or(rest);
        let Some(ident) = name.get(..len) else { continue };
        let hash = len == 17 && ident.starts_with('h') && ident[1..].bytes().all(|b| b.is_ascii_hexdigit());
        if !hash {
            parts.push(ident.to_string());
        }
        rest = &name[len..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_manglings_give_the_path() {
        let legacy = "_ZN8pets_net6layers5conv17WEIGHTS17hd766bda134ac1ce6E";
        assert_eq!(path(legacy), ["pets_net", "layers", "conv1", "WEIGHTS"]);
        let new = "_RNvNvNtCs1234abcd_8pets_net6layers5conv17WEIGHTS";
        assert_eq!(path(new), ["pets_net", "layers", "conv1", "WEIGHTS"]);
        assert_eq!(path("__aeabi_lmul"), ["__aeabi_lmul"]);
    }
}
