//! Checks of a target file's memories.

use toml::Spanned;

use super::Region;
use super::file::{Bytes, File};
use super::read::Problems;

/// The memories, each with its problems; where none is marked for code or arena, the first is.
pub(super) fn check_regions(raw: &File, problems: &mut Problems<'_>) -> (Vec<Region>, Vec<Region>) {
    for (what, empty) in [("flash", raw.flash.is_empty()), ("ram", raw.ram.is_empty())] {
        if empty {
            problems.add("target/no-region", 0..0, format!("no [[{what}]] region"));
        }
    }
    let mut seen: Vec<Region> = Vec::new();
    let mut check = |name: &Spanned<String>,
                     start: &Spanned<u32>,
                     size: &Spanned<Bytes>,
                     banks: Option<&Spanned<u32>>,
                     mut region: Region| {
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
        if let Some(banks) = banks {
            region.banks = *banks.get_ref();
            if region.banks == 0 {
                problems.add("target/region-empty", banks.span(), format!("region {called} has 0 banks"));
            }
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
    let blank = |offset, preferred, after_vectors| Region {
        name: String::new(),
        start: 0,
        size: 0,
        banks: 1,
        offset,
        preferred,
        after_vectors,
    };
    let on = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|f| *f.get_ref());
    let mut flash: Vec<Region> = Vec::new();
    for r in &raw.flash {
        let offset = r.offset.as_ref().map_or(0, |o| o.get_ref().0);
        let region = blank(offset, on(&r.code), r.after_vectors.clone());
        flash.push(check(&r.name, &r.start, &r.size, r.banks.as_ref(), region));
    }
    let mut ram: Vec<Region> = Vec::new();
    for r in &raw.ram {
        let offset = r.offset.as_ref().map_or(0, |o| o.get_ref().0);
        ram.push(check(&r.name, &r.start, &r.size, r.banks.as_ref(), blank(offset, on(&r.arena), Vec::new())));
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
