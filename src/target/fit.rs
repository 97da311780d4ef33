//! Whether a program fits.

use super::{Region, Target};
use crate::diag::{Diag, Result};

/// What a program needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Code, tables and weights.
    pub flash: u64,
    /// The arena.
    pub arena: u64,
    /// Everything else in RAM: input buffer, stack, statics.
    pub other_ram: u64,
}

/// `Ok` when `needs` fit the regions of `target`: flash in its code region, the arena in its arena region, the
/// rest of RAM in its first one.
///
/// # Errors
/// `target/does-not-fit`, the answer no (exit code 1): needs, has and over by for every region that is short.
pub fn check_fit(target: &Target, needs: Needs) -> Result<()> {
    let mut short = Vec::new();
    let mut check = |what: &str, region: &Region, bytes: u64| {
        let have = u64::from(region.usable_bytes());
        if bytes > have {
            short.push(format!(
                "{what} needs {bytes} bytes, has {have} bytes in {}, over by {} bytes",
                region.name,
                bytes - have
            ));
        }
    };
    check("flash", target.code_region(), needs.flash);
    let (arena, first) = (target.arena_region(), &target.ram[0]);
    if arena == first {
        check("RAM", first, needs.arena + needs.other_ram);
    } else {
        check("RAM (arena)", arena, needs.arena);
        check("RAM (input, stack, statics)", first, needs.other_ram);
    }
    if short.is_empty() {
        return Ok(());
    }
    Diag::no("target/does-not-fit", format!("the program does not fit {}: {}", target.name, short.join("; ")))
        .help("keep fewer channels (--keep), fewer classes, or take a larger board (`fratc targets`)")
        .err()
}
