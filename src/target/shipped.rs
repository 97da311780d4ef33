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
    "nrf52840dk",
    "nucleo-f411re",
    "nucleo-h743zi",
    "nucleo-l4r5zi",
    "nucleo-u575zi",
    "rp-pico",
    "rp-pico2",
];

/// The target's name: the file's stem.
pub(super) fn name(file: &'static str) -> &'static str {
    file.trim_start_matches("targets/").trim_end_matches(".toml")
}

/// The file of the target called `wanted`.
pub(super) fn find(wanted: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().copied().find(|(file, _)| name(file) == wanted)
}
