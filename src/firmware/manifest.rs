//! `Cargo.toml`, `.cargo/config.toml` and `README.md` of the firmware.

use std::fmt::Write as _;

use super::{Style, VALIDATE, boot, name};
use crate::emit::bare_metal;
use crate::target::{Core, Target};

const CORTEX_M: &str = "cortex-m = { version = \"0.7\", features = [\"critical-section-single-core\"] }\n";

const EMBASSY: &str = "embassy-executor = { version = \"0.10\", features = [\"executor-thread\", \"platform-cortex-m\"] }\nembassy-futures = \"0.1\"\n";

/// `Cargo.toml`.
pub(super) fn cargo_toml(library: &str, folder: &str, target: &Target, style: Style) -> String {
    let mut text = format!(
        "# Written by fratc {}.\n\n[package]\nname = \"{}\"\nversion = \"0.1.0\"\nedition = \"2021\"\nrust-version = \"{}\"\ndefault-run = \"{}\"\ndescription = \"Firmware of {} around the classifier {library}\"\npublish = false\n\n[dependencies]\n{library} = {{ path = \"../{folder}\" }}\n",
        env!("CARGO_PKG_VERSION"),
        name(library),
        if target.qemu.is_some() && style == Style::Plain { "1.82" } else { "1.85" },
        name(library),
        target.name,
    );
    if target.qemu.is_none() {
        // Where the vector table is not at the start of flash, somebody must tell the core.
        let moved = target.flash[0].offset > 0 && !matches!(target.core, Core::M0 | Core::M0Plus);
        let features = if moved { "version = \"0.7\", features = [\"set-vtor\"]" } else { "version = \"0.7\"" };
        text.push_str(CORTEX_M);
        let _ = writeln!(text, "cortex-m-rt = {{ {features} }}");
        text.push_str(
            "defmt = \"1\"\ndefmt-rtt = \"1\"\npanic-probe = { version = \"1\", features = [\"print-defmt\"] }\n",
        );
        text.push_str(target.boot_block.map_or("", boot::dependency));
    }
    if style == Style::Embassy {
        // Of an emulated machine nothing else brings the executor's critical sections.
        text.push_str(if target.qemu.is_some() { CORTEX_M } else { "" });
        text.push_str(EMBASSY);
    }
    text.push_str(
        "\n[profile.release]\ncodegen-units = 1\ndebug = 2\nlto = true\nopt-level = 3\n\n# Stands alone, even below another workspace.\n[workspace]\n",
    );
    text
}

/// `.cargo/config.toml`: the target, the core, and what `cargo run` starts.
pub(super) fn cargo_config(target: &Target) -> String {
    let triple = target.rust_target;
    let mut text = format!("[build]\ntarget = \"{triple}\"\n\n[target.{triple}]\n");
    let mut flags = Vec::new();
    if target.qemu.is_some() {
        flags.extend(["-C".to_string(), "link-arg=-Tmemory.x".to_string()]);
    }
    if let Some(cpu) = &target.target_cpu {
        flags.extend(["-C".to_string(), format!("target-cpu={cpu}")]);
    }
    if !flags.is_empty() {
        let _ = writeln!(text, "rustflags = {flags:?}");
    }
    let runner = match (bare_metal::qemu_command(target), &target.probe_rs) {
        (Some(mut command), _) => {
            command.push("-kernel".to_string());
            command
        }
        (None, Some(chip)) => ["probe-rs", "run", "--chip", chip].map(str::to_string).to_vec(),
        (None, None) => Vec::new(),
    };
    if !runner.is_empty() {
        let _ = writeln!(text, "runner = {runner:?}");
    }
    if target.qemu.is_none() {
        text.push_str("\n[env]\nDEFMT_LOG = \"info\"\n");
    }
    text
}

/// `README.md`.
pub(super) fn readme(library: &str, folder: &str, target: &Target, style: Style) -> String {
    let crate_name = name(library);
    let run = match (&target.qemu, &target.probe_rs, target.image) {
        (Some(qemu), _, _) => format!("`cargo run --release` runs it on QEMU's {}.", qemu.machine),
        (None, Some(_), None) => "`cargo run --release` flashes it through probe-rs and shows what it says.".into(),
        (None, Some(_), Some(image)) => format!(
            "`cargo run --release` flashes it through probe-rs and shows what it says. Without a probe:\n`fratc flash {folder} --image {crate_name}.{}`, and copy the file onto the board.",
            image.extension()
        ),
        (None, None, _) => format!(
            "`fratc flash {folder} --image {crate_name}.{}` writes the file for the board's loader.",
            target.image.map_or("hex", crate::target::Image::extension)
        ),
    };
    let style = match style {
        Style::Plain => "",
        Style::Embassy => {
            "Inference is a task of embassy's executor (`src/inference.rs`): after every layer other tasks have their turn.\n\n"
        }
    };
    format!(
        "# {crate_name}\n\nFirmware for {} ({}) around the classifier `{library}`, {}.\n\n{style}{run}\n\nThe program `{VALIDATE}` answers `fratc verify {folder} --on-device`: it takes test samples, runs them and sends\nback scores, layers, cycles and stack.\n\nThe chip runs at the clock that it has after reset; put your clocks and your sensor into `src/main.rs`.\nOnce you have, fratc replaces nothing here: `fratc build` without `--firmware` writes the network's crate alone.\n",
        target.name, target.description, target.tested
    )
}
