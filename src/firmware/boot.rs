//! What a chip's boot ROM wants to find in flash before it starts a program.

use crate::target::{BootBlock, Target};

/// The crate that holds the block, as a line of `[dependencies]`.
pub(super) fn dependency(block: BootBlock) -> &'static str {
    match block {
        BootBlock::Rp2040Generic | BootBlock::Rp2040W25q080 | BootBlock::Rp2040At25sf128a => "rp2040-boot2 = \"0.3\"\n",
        BootBlock::Imxrt1060Evk => "imxrt1060evk-fcb = \"0.2\"\n",
        BootBlock::Teensy4 => "teensy4-fcb = \"0.5\"\n",
    }
}

/// The items that put it into the firmware, between blank lines.
pub(super) fn block(target: &Target) -> String {
    let mut text = String::new();
    match target.boot_block {
        None => {}
        Some(BootBlock::Rp2040Generic) => text.push_str(&boot2("BOOT_LOADER_GENERIC_03H")),
        Some(BootBlock::Rp2040W25q080) => text.push_str(&boot2("BOOT_LOADER_W25Q080")),
        Some(BootBlock::Rp2040At25sf128a) => text.push_str(&boot2("BOOT_LOADER_AT25SF128A")),
        Some(BootBlock::Imxrt1060Evk) => text.push_str(&image_vector_table(target, "imxrt1060evk_fcb")),
        Some(BootBlock::Teensy4) => text.push_str(&image_vector_table(target, "teensy4_fcb")),
    }
    let words = &target.flash[0].after_vectors;
    if !words.is_empty() {
        let list: Vec<String> = words.iter().map(|word| format!("0x{word:08x}")).collect();
        let line = format!("static IMAGE_DEFINITION: [u32; {}] = [{}];", words.len(), list.join(", "));
        text.push_str("\n// SAFETY: memory.x places the section, and nothing else is in it.\n");
        text.push_str("#[link_section = \".after_vectors\"]\n#[used]\n");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn boot2(name: &str) -> String {
    format!(
        "\n// SAFETY: memory.x places the section, and nothing else is in it.\n#[link_section = \".boot2\"]\n#[used]\nstatic BOOT2: [u8; 256] = rp2040_boot2::{name};\n"
    )
}

fn image_vector_table(target: &Target, fcb: &str) -> String {
    let flash = &target.flash[0];
    include_str!("templates/ivt.rs")
        .replace("{fcb}", fcb)
        .replace("{start}", &format!("0x{:04x}_{:04x}", flash.start >> 16, flash.start & 0xffff))
        .replace("{bytes}", &flash.size.to_string())
}
