//! What a linked firmware takes of each memory of its target, and what of it goes into flash.

use object::elf::{FileHeader32, PT_LOAD, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, elf};
use serde::Serialize;

use crate::diag::{Diag, Result};
use crate::target::{Region, Target};

/// One memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionUse {
    /// The target's name for it.
    pub name: String,
    /// Bytes that firmware may use.
    pub size_bytes: u64,
    /// Bytes of all sections in it; of those that start-up copies to RAM, the copy in flash too.
    pub used_bytes: u64,
    /// What is left; in the memory of the stack this is the stack's room.
    pub left_bytes: u64,
    /// Name and bytes of its sections, by address.
    pub sections: Vec<(String, u64)>,
}

/// Bytes at an address of flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub address: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A section as the linker placed it.
struct Placed {
    name: String,
    run: u64,
    load: Option<u64>,
    bytes: u64,
}

/// What `elf` takes of each memory of `target`: flash first, in the target's order.
///
/// # Errors
/// `verify/elf` if this is no 32-bit ELF file, or a section lies outside of the target's memories.
pub fn region_table(elf: &[u8], target: &Target) -> Result<Vec<RegionUse>> {
    let sections = sections(elf)?;
    let regions: Vec<&Region> = target.flash.iter().chain(&target.ram).collect();
    let mut table: Vec<RegionUse> = regions
        .iter()
        .map(|region| RegionUse {
            name: region.name.clone(),
            size_bytes: u64::from(region.usable_bytes()),
            used_bytes: 0,
            left_bytes: 0,
            sections: Vec::new(),
        })
        .collect();
    for section in &sections {
        for address in [Some(section.run), section.load.filter(|load| *load != section.run)].into_iter().flatten() {
            let inside = |region: &Region| {
                let start = u64::from(region.start);
                (start..start + u64::from(region.size)).contains(&address)
            };
            let Some(index) = regions.iter().position(|region| inside(region)) else {
                return Diag::new(
                    "verify/elf",
                    format!("section {} lies outside of the target's memories", section.name),
                )
                .at(format!("address {address:#010x}"))
                .help("the firmware was linked for another target")
                .err();
            };
            table[index].used_bytes += section.bytes;
            table[index].sections.push((section.name.clone(), section.bytes));
        }
    }
    for region in &mut table {
        region.left_bytes = region.size_bytes.saturating_sub(region.used_bytes);
    }
    Ok(table)
}

fn wrong(error: &object::Error) -> Box<Diag> {
    Box::new(Diag::new("verify/elf", format!("this is no ELF file of a microcontroller: {error}")))
}

fn sections(bytes: &[u8]) -> Result<Vec<Placed>> {
    let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(|e| wrong(&e))?;
    let endian = header.endian().map_err(|e| wrong(&e))?;
    let loads = header.program_headers(endian, bytes).map_err(|e| wrong(&e))?;
    let table = header.sections(endian, bytes).map_err(|e| wrong(&e))?;
    let mut out = Vec::new();
    for section in table.iter() {
        let size = u64::from(section.sh_size(endian));
        if section.sh_flags(endian) & SHF_ALLOC == 0 || size == 0 {
            continue;
        }
        let run = u64::from(section.sh_addr(endian));
        let empty = section.sh_type(endian) == SHT_NOBITS;
        let inside = loads.iter().find(|load: &&elf::ProgramHeader32<LittleEndian>| {
            let start = u64::from(load.p_vaddr(endian));
            load.p_type(endian) == PT_LOAD && (start..start + u64::from(load.p_memsz(endian))).contains(&run)
        });
        let load = inside.map(|load| run - u64::from(load.p_vaddr(endian)) + u64::from(load.p_paddr(endian)));
        let name = table.section_name(endian, section).map_err(|e| wrong(&e))?;
        out.push(Placed {
            name: String::from_utf8_lossy(name).into_owned(),
            run,
            load: if empty { None } else { load },
            bytes: size,
        });
    }
    out.sort_by_key(|section| section.run);
    Ok(out)
}

/// What a flasher writes, by address; stretches that touch are one.
///
/// # Errors
/// `verify/elf`.
pub fn segments(bytes: &[u8]) -> Result<Vec<Segment>> {
    let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(|e| wrong(&e))?;
    let endian = header.endian().map_err(|e| wrong(&e))?;
    let mut found = Vec::new();
    for load in header.program_headers(endian, bytes).map_err(|e| wrong(&e))? {
        if load.p_type(endian) != PT_LOAD || load.p_filesz(endian) == 0 {
            continue;
        }
        let Ok(data) = load.data(endian, bytes) else {
            return Diag::new("verify/elf", "a segment lies outside of the ELF file").err();
        };
        found.push(Segment { address: load.p_paddr(endian), bytes: data.to_vec() });
    }
    found.sort_by_key(|segment| segment.address);
    let mut out: Vec<Segment> = Vec::new();
    for segment in found {
        match out.last_mut() {
            Some(last) if u64::from(last.address) + last.bytes.len() as u64 == u64::from(segment.address) => {
                last.bytes.extend(segment.bytes);
            }
            _ => out.push(segment),
        }
    }
    Ok(out)
}
