//! The shipped target files, built into the program.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("targets/", $name, ".toml"), include_str!(concat!("../../targets/", $name, ".toml")))),*]
    };
}

/// Path in this repository and text of every shipped target: QEMU machines by core, then boards by name.
pub(super) const FILES: &[(&str, &str)] = files![
    "qemu-m0",
    "qemu-m3",
    "qemu-m4",
    "qemu-m7",
    "qemu-m33",
    "qemu-m55",
    "arduino-nano-rp2040",
    "arduino-nano33-ble",
    "blackpill-f411",
    "ek-ra6m4",
    "imxrt1060-evk",
    "microbit-v1",
    "microbit-v2",
    "mps3-an547",
    "nrf52840dk",
    "nrf5340dk",
    "nucleo-f072rb",
    "nucleo-f411re",
    "nucleo-g0b1re",
    "nucleo-h743zi",
    "nucleo-l476rg",
    "nucleo-l4r5zi",
    "nucleo-u575zi",
    "rp-pico",
    "rp-pico2",
    "stm32f746g-disco",
    "teensy-4.1",
    "xiao-nrf52840",
];

/// Path in this repository and text of every chip that several boards share.
pub(super) const CHIPS: &[(&str, &str)] =
    files!["chips/imxrt1062", "chips/mps3-an547", "chips/nrf52840", "chips/rp2040", "chips/stm32f411"];

/// The file of the chip called `wanted`.
pub(super) fn chip(wanted: &str) -> Option<(&'static str, &'static str)> {
    CHIPS.iter().copied().find(|(file, _)| chip_name(file) == wanted)
}

/// Names of the chips, in order.
pub(super) fn chips() -> Vec<&'static str> {
    CHIPS.iter().map(|(file, _)| chip_name(file)).collect()
}

fn chip_name(file: &'static str) -> &'static str {
    name(file).trim_start_matches("chips/")
}

/// The target's name: the file's stem.
pub(super) fn name(file: &'static str) -> &'static str {
    file.trim_start_matches("targets/").trim_end_matches(".toml")
}

/// The file of the target called `wanted`.
pub(super) fn find(wanted: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().copied().find(|(file, _)| name(file) == wanted)
}
