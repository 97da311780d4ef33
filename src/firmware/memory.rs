//! `memory.x` of firmware that cortex-m-rt starts.
//!
//! cortex-m-rt places vectors, code and constants in `FLASH`, statics and the stack in `RAM`. An arena in another
//! memory gets a section of its own, which start-up leaves as it is: what an arena holds at first has no meaning.

use std::fmt::Write as _;

use crate::target::{BootBlock, Target};

/// The section that the firmware puts its arena in.
pub(super) fn arena_section(target: &Target) -> &'static str {
    if apart(target) { ".arena" } else { ".bss.arena" }
}

/// Whether the arena lies in another memory than stack and statics.
fn apart(target: &Target) -> bool {
    target.arena_region() != &target.ram[0]
}

/// The linker script.
pub(super) fn memory_x(target: &Target) -> String {
    let mut text = format!("/* {}: {}. */\nMEMORY\n{{\n", target.name, target.chip);
    let (flash, ram) = (&target.flash[0], &target.ram[0]);
    let mut line = |name: &str, start: u32, bytes: u32| {
        let _ = writeln!(text, "  {name} : ORIGIN = {start:#010x}, LENGTH = {bytes}");
    };
    if target.boot_block.is_some() {
        line("BOOT", flash.start, flash.offset);
    }
    line("FLASH", flash.usable_start(), flash.usable_bytes());
    line("RAM", ram.usable_start(), ram.usable_bytes());
    for region in target.flash.iter().chain(&target.ram).filter(|region| *region != flash && *region != ram) {
        line(&region.name, region.usable_start(), region.usable_bytes());
    }
    text.push_str("}\n");
    match target.boot_block {
        Some(BootBlock::Rp2040Generic | BootBlock::Rp2040W25q080 | BootBlock::Rp2040At25sf128a) => {
            text.push_str("\nSECTIONS\n{\n  .boot2 ORIGIN(BOOT) : { KEEP(*(.boot2)) } > BOOT\n} INSERT BEFORE .text;\n");
        }
        Some(BootBlock::Imxrt1060Evk | BootBlock::Teensy4) => text.push_str(
            "\nSECTIONS\n{\n  .fcb ORIGIN(BOOT) : { KEEP(*(.fcb)) } > BOOT\n  .ivt ORIGIN(BOOT) + 0x1000 : { KEEP(*(.ivt)) } > BOOT\n} INSERT BEFORE .text;\n",
        ),
        None => {}
    }
    if !flash.after_vectors.is_empty() {
        text.push_str(
            "\nSECTIONS\n{\n  .after_vectors : ALIGN(4) { KEEP(*(.after_vectors)) } > FLASH\n} INSERT AFTER .vector_table;\n",
        );
        text.push_str("_stext = ADDR(.after_vectors) + SIZEOF(.after_vectors);\n");
    }
    if apart(target) {
        let region = &target.arena_region().name;
        let _ = write!(
            text,
            "\nSECTIONS\n{{\n  .arena (NOLOAD) : ALIGN(8) {{ *(.arena) }} > {region}\n}} INSERT AFTER .rodata;\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::memory_x;
    use crate::target::Target;

    fn of(name: &str) -> String {
        memory_x(&Target::load(name).expect("a shipped target"))
    }

    #[test]
    fn boot_blocks_and_arenas_have_their_sections() {
        insta::assert_snapshot!(of("nrf52840dk"), @"
        /* nrf52840dk: Nordic nRF52840. */
        MEMORY
        {
          FLASH : ORIGIN = 0x00000000, LENGTH = 1048576
          RAM : ORIGIN = 0x20000000, LENGTH = 262144
        }
        ");
        insta::assert_snapshot!(of("imxrt1060-evk"), @"
        /* imxrt1060-evk: NXP i.MX RT1062. */
        MEMORY
        {
          BOOT : ORIGIN = 0x60000000, LENGTH = 8192
          FLASH : ORIGIN = 0x60002000, LENGTH = 8380416
          RAM : ORIGIN = 0x20000000, LENGTH = 131072
          OCRAM : ORIGIN = 0x20200000, LENGTH = 786432
        }

        SECTIONS
        {
          .fcb ORIGIN(BOOT) : { KEEP(*(.fcb)) } > BOOT
          .ivt ORIGIN(BOOT) + 0x1000 : { KEEP(*(.ivt)) } > BOOT
        } INSERT BEFORE .text;

        SECTIONS
        {
          .arena (NOLOAD) : ALIGN(8) { *(.arena) } > OCRAM
        } INSERT AFTER .rodata;
        ");
        assert!(of("rp-pico").contains("BOOT : ORIGIN = 0x10000000, LENGTH = 256\n"));
        assert!(of("rp-pico2").contains("KEEP(*(.after_vectors)) } > FLASH\n} INSERT AFTER .vector_table;"));
    }
}
