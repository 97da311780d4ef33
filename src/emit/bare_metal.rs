//! The example that runs an emitted crate without an operating system, and what its link needs.
//!
//! In: the crate's name and the [`Target`]. Out: `examples/infer.rs` (host and device),
//! `examples/infer/bare_metal.rs` (start-up, semihosting, measurements; the same for every crate), `memory.x`
//! (memory map and sections) and `.cargo/config.toml` (link arguments, core, runner). The last two act only when
//! the crate is built on its own: a dependency's configuration is never read.
//!
//! The example needs of the library `INPUT_LEN`, `CLASSES` (names), `Input`, `Arena`, `Prediction` and `infer`;
//! of the crate the files `tests/golden/inputs.bin` and `tests/golden/scores.bin` with at least one record.

use std::fmt::Write as _;

use crate::target::{Region, Target};

/// From reset to `fratc_main`, and the vectors: for any program that [`memory_x`] links.
const START_UP: &str = include_str!("templates/start_up.rs");

/// `template` with the start-up code in the place of `{start_up}`.
pub fn with_start_up(template: &str) -> String {
    template.replace("{start_up}\n", START_UP)
}

/// `examples/infer/bare_metal.rs`.
pub fn bare_metal_rs() -> String {
    with_start_up(include_str!("templates/bare_metal.rs"))
}

/// `examples/infer.rs` of the crate `crate_name`.
pub fn infer_rs(crate_name: &str) -> String {
    // From the root: the example has modules of its own.
    infer_rs_with(&format!("use ::{} as network;", crate_name.replace('-', "_")))
}

/// The same with another network: `network` is a Rust item that declares it.
pub fn infer_rs_with(network: &str) -> String {
    include_str!("templates/infer.rs").replace("use network_library as network;", network.trim_end())
}

/// QEMU and its arguments for `target`, up to and without the ELF's path; `None` where QEMU has no such machine.
///
/// `-icount shift=0` makes one instruction take 1 ns, so that counts repeat.
pub fn qemu_command(target: &Target) -> Option<Vec<String>> {
    let qemu = target.qemu.as_ref()?;
    let mut command = vec!["qemu-system-arm".to_string(), "-M".to_string(), qemu.machine.clone()];
    if let Some(memory) = &qemu.memory {
        command.extend(["-m".to_string(), memory.clone()]);
    }
    let rest = "-nographic -monitor none -serial null -icount shift=0 -semihosting-config enable=on,target=native";
    command.extend(rest.split(' ').map(str::to_string));
    Some(command)
}

/// `.cargo/config.toml`: link arguments, the core, and what `cargo run` starts.
pub fn cargo_config(target: &Target) -> String {
    let mut text = String::from("# Acts only when this crate is built on its own.\n");
    // Without quotes: cargo looks the triple up part by part at its dots.
    let _ = writeln!(text, "[target.{}]", target.rust_target);
    let mut flags = vec!["-C".to_string(), "link-arg=-Tmemory.x".to_string()];
    if let Some(cpu) = &target.target_cpu {
        flags.extend(["-C".to_string(), format!("target-cpu={cpu}")]);
    }
    let _ = writeln!(text, "rustflags = {flags:?}");
    let runner = match (qemu_command(target), &target.probe_rs) {
        (Some(mut command), _) => {
            command.push("-kernel".to_string());
            command
        }
        (None, Some(chip)) => ["probe-rs", "run", "--chip", chip].map(str::to_string).to_vec(),
        (None, None) => return text,
    };
    let _ = writeln!(text, "runner = {runner:?}");
    text
}

/// `memory.x`: the memory map of `target` and the sections of the example.
pub fn memory_x(target: &Target) -> String {
    let mut text = format!("/* {}: {}. */\nMEMORY\n{{\n", target.name, target.chip);
    for (regions, access) in [(&target.flash, "rx"), (&target.ram, "rwx")] {
        for region in regions {
            let _ = writeln!(
                text,
                "  {} ({access}) : ORIGIN = {:#010x}, LENGTH = {}",
                region.name,
                region.usable_start(),
                size(region.usable_bytes())
            );
        }
    }
    text.push_str("}\n\nENTRY(fratc_reset)\n\nSECTIONS\n{\n");
    let vectors: &Region = &target.flash[0];
    let (code, arena, ram) = (&target.code_region().name, &target.arena_region().name, &target.ram[0].name);
    let _ = writeln!(text, "  .vectors : {{ KEEP(*(.vectors)) }} > {}", vectors.name);
    if !vectors.after_vectors.is_empty() {
        let words: Vec<String> = vectors.after_vectors.iter().map(|w| format!("LONG({w:#010x})")).collect();
        let _ = writeln!(text, "  .after_vectors : {{ {} }} > {}", words.join(" "), vectors.name);
    }
    let _ = write!(
        text,
        "  .text : ALIGN(4) {{ *(.text .text.*) }} > {code}
  .rodata : ALIGN(4) {{ *(.rodata .rodata.*) . = ALIGN(4); }} > {code}
  .data : ALIGN(4) {{ __data_start = .; *(.data .data.*) . = ALIGN(4); __data_end = .; }} > {ram} AT> {code}
  __data_load = LOADADDR(.data);
  .arena (NOLOAD) : ALIGN(8) {{ __arena_start = .; *(.bss.arena) . = ALIGN(4); __arena_end = .; }} > {arena}
  .bss (NOLOAD) : ALIGN(4) {{ __bss_start = .; *(.bss .bss.*) . = ALIGN(4); __bss_end = .; }} > {ram}
  __stack_low = ALIGN(8);
  __stack_top = ORIGIN({ram}) + LENGTH({ram});
  ASSERT(__stack_top - __stack_low >= 2K, \"less than 2 KB of {ram} are left for the stack\")
  /DISCARD/ : {{ *(.ARM.exidx .ARM.exidx.*) *(.ARM.extab .ARM.extab.*) }}
}}
"
    );
    text
}

/// A size as linker scripts write it.
fn size(bytes: u32) -> String {
    if bytes.is_multiple_of(1024) { format!("{}K", bytes / 1024) } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{cargo_config, infer_rs, memory_x};
    use crate::target::Target;

    fn target(name: &str) -> Target {
        Target::load(name).expect("a shipped target")
    }

    #[test]
    fn one_memory_of_each_kind() {
        insta::assert_snapshot!(memory_x(&target("nucleo-f411re")), @r#"
        /* nucleo-f411re: ST STM32F411xE. */
        MEMORY
        {
          FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 512K
          SRAM1 (rwx) : ORIGIN = 0x20000000, LENGTH = 128K
        }

        ENTRY(fratc_reset)

        SECTIONS
        {
          .vectors : { KEEP(*(.vectors)) } > FLASH
          .text : ALIGN(4) { *(.text .text.*) } > FLASH
          .rodata : ALIGN(4) { *(.rodata .rodata.*) . = ALIGN(4); } > FLASH
          .data : ALIGN(4) { __data_start = .; *(.data .data.*) . = ALIGN(4); __data_end = .; } > SRAM1 AT> FLASH
          __data_load = LOADADDR(.data);
          .arena (NOLOAD) : ALIGN(8) { __arena_start = .; *(.bss.arena) . = ALIGN(4); __arena_end = .; } > SRAM1
          .bss (NOLOAD) : ALIGN(4) { __bss_start = .; *(.bss .bss.*) . = ALIGN(4); __bss_end = .; } > SRAM1
          __stack_low = ALIGN(8);
          __stack_top = ORIGIN(SRAM1) + LENGTH(SRAM1);
          ASSERT(__stack_top - __stack_low >= 2K, "less than 2 KB of SRAM1 are left for the stack")
          /DISCARD/ : { *(.ARM.exidx .ARM.exidx.*) *(.ARM.extab .ARM.extab.*) }
        }
        "#);
        insta::assert_snapshot!(cargo_config(&target("nucleo-f411re")), @r#"
        # Acts only when this crate is built on its own.
        [target.thumbv7em-none-eabihf]
        rustflags = ["-C", "link-arg=-Tmemory.x", "-C", "target-cpu=cortex-m4"]
        runner = ["probe-rs", "run", "--chip", "STM32F411RETx"]
        "#);
    }

    #[test]
    fn vectors_code_stack_and_arena_apart() {
        insta::assert_snapshot!(memory_x(&target("qemu-m55")), @r#"
        /* qemu-m55: Arm MPS3, AN547. */
        MEMORY
        {
          ITCM (rx) : ORIGIN = 0x00000000, LENGTH = 512K
          SSRAM1 (rx) : ORIGIN = 0x01000000, LENGTH = 2048K
          DTCM (rwx) : ORIGIN = 0x20000000, LENGTH = 512K
          SSRAM2 (rwx) : ORIGIN = 0x21000000, LENGTH = 4096K
        }

        ENTRY(fratc_reset)

        SECTIONS
        {
          .vectors : { KEEP(*(.vectors)) } > ITCM
          .text : ALIGN(4) { *(.text .text.*) } > SSRAM1
          .rodata : ALIGN(4) { *(.rodata .rodata.*) . = ALIGN(4); } > SSRAM1
          .data : ALIGN(4) { __data_start = .; *(.data .data.*) . = ALIGN(4); __data_end = .; } > DTCM AT> SSRAM1
          __data_load = LOADADDR(.data);
          .arena (NOLOAD) : ALIGN(8) { __arena_start = .; *(.bss.arena) . = ALIGN(4); __arena_end = .; } > SSRAM2
          .bss (NOLOAD) : ALIGN(4) { __bss_start = .; *(.bss .bss.*) . = ALIGN(4); __bss_end = .; } > DTCM
          __stack_low = ALIGN(8);
          __stack_top = ORIGIN(DTCM) + LENGTH(DTCM);
          ASSERT(__stack_top - __stack_low >= 2K, "less than 2 KB of DTCM are left for the stack")
          /DISCARD/ : { *(.ARM.exidx .ARM.exidx.*) *(.ARM.extab .ARM.extab.*) }
        }
        "#);
        insta::assert_snapshot!(cargo_config(&target("qemu-m55")), @r#"
        # Acts only when this crate is built on its own.
        [target.thumbv8m.main-none-eabihf]
        rustflags = ["-C", "link-arg=-Tmemory.x", "-C", "target-cpu=cortex-m55"]
        runner = ["qemu-system-arm", "-M", "mps3-an547", "-nographic", "-monitor", "none", "-serial", "null", "-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel"]
        "#);
    }

    #[test]
    fn boot_loader_first_or_words_after_the_vectors() {
        let pico = memory_x(&target("rp-pico"));
        assert!(pico.contains("FLASH (rx) : ORIGIN = 0x10000100, LENGTH = 2096896"), "{pico}");
        let pico2 = memory_x(&target("rp-pico2"));
        assert!(pico2.contains("  .after_vectors : { LONG(0xffffded3) LONG(0x10210142)"), "{pico2}");
    }

    #[test]
    fn the_crates_name_becomes_an_identifier() {
        assert!(infer_rs("my-pets").contains("use ::my_pets as network;"));
    }
}
