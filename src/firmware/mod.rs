//! Firmware for a board, beside an emitted crate: everything but the sensor.
//!
//! In: a verified [`Program`], its [`Target`] and one golden sample. Out: the files of a binary crate that depends on
//! the emitted one by path and has two programs: the firmware itself (class, score and cycles over
//! defmt and RTT on a board, as text through semihosting in QEMU) and `validate`, which answers
//! `fratc verify --on-device`. Guaranteed: the same arguments give the same bytes; text is as `rustfmt` leaves it
//! and free of warnings. For an emulated machine it has no dependencies, for a board cortex-m-rt starts it; an async one
//! ([`Style::Embassy`]) has embassy's executor on either.
//!
//! - `manifest`: `Cargo.toml`, `build.rs`, `.cargo/config.toml`
//! - `memory`: `memory.x`
//! - `boot`: what the chip's boot ROM wants to find
//!
//! What runs on the device is under `templates/`: `link.rs` and `serve.rs` are the protocol, the same everywhere.

mod boot;
mod manifest;
mod memory;

use sha2::{Digest, Sha256};

use crate::diag::{Diag, Result};
use crate::emit::{EmittedFile, Sample, bare_metal};
use crate::qir::{self, Program};
use crate::target::{Core, Target};

/// How the firmware runs inferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One after the other.
    Plain,
    /// As an async task of embassy's executor, which lets other tasks run after every layer.
    Embassy,
}

/// Name of the program that answers `fratc verify --on-device`.
pub const VALIDATE: &str = "validate";

/// Name of the firmware crate, of its folder and of its program, for the emitted crate called `name`.
pub fn name(name: &str) -> String {
    format!("{name}-firmware")
}

/// First bytes of the SHA-256 of `program`'s file: the validating firmware says them, so that no other is taken for it.
///
/// # Errors
/// Those of [`qir::to_bytes`].
pub fn fingerprint(program: &Program) -> Result<[u8; 8]> {
    let digest = Sha256::digest(qir::to_bytes(program)?);
    Ok(std::array::from_fn(|i| digest[i]))
}

/// Writes the firmware of `program` for `target`, to stand beside `folder`, the emitted crate's; `golden` is the record
/// that it classifies over and over, in `style`. Sorted by path.
///
/// # Errors
/// `firmware/uart` for an emulated machine whose UART the target does not name.
pub fn firmware(
    program: &Program,
    folder: &str,
    target: &Target,
    golden: &Sample,
    style: Style,
) -> Result<Vec<EmittedFile>> {
    let ident = program.name.replace('-', "_");
    let fill = |text: &str| text.replace("network_library", &ident).replace("{name}", &program.name);
    let file = |path: &str, text: String| EmittedFile { path: path.into(), bytes: text.into_bytes() };
    let print = fingerprint(program)?.map(|byte| format!("0x{byte:02x}")).join(", ");
    let mut files = vec![
        file("Cargo.toml", manifest::cargo_toml(&program.name, folder, target, style)),
        file(".cargo/config.toml", manifest::cargo_config(target)),
        file("README.md", manifest::readme(&program.name, folder, target, style)),
        file("src/link.rs", include_str!("templates/link.rs").into()),
        file("src/serve.rs", fill(include_str!("templates/serve.rs"))),
        file(
            "src/bin/validate.rs",
            fill(include_str!("templates/validate.rs")).replace("{fingerprint}", &format!("[{print}]")),
        ),
        EmittedFile { path: "golden/input.bin".into(), bytes: golden.input.clone() },
    ];
    if style == Style::Embassy {
        files.push(file("src/inference.rs", include_str!("templates/inference.rs").into()));
    }
    let stack = include_str!("templates/stack.rs").trim_end();
    if let Some(qemu) = &target.qemu {
        let Some(uart) = qemu.uart else {
            return Diag::new("firmware/uart", format!("the target {} does not name its machine's UART", target.name))
                .help("add `uart` to [qemu], see targets/README.md")
                .err();
        };
        let uart = format!("0x{:04x}_{:04x}", uart >> 16, uart & 0xffff);
        let chip = fill(&bare_metal::with_start_up(include_str!("templates/machine.rs")));
        let main = match style {
            Style::Plain => include_str!("templates/main_machine.rs"),
            Style::Embassy => include_str!("templates/embassy_machine.rs"),
        };
        files.extend([
            file("memory.x", bare_metal::memory_x(target)),
            file("src/chip.rs", chip.replace("{stack}", stack)),
            file("src/line.rs", include_str!("templates/line.rs").into()),
            file("src/port.rs", include_str!("templates/uart.rs").replace("{uart}", &uart)),
            file("src/main.rs", fill(main)),
            EmittedFile {
                path: "golden/scores.bin".into(),
                bytes: golden.scores.iter().map(|&score| score as u8).collect(),
            },
        ]);
    } else {
        let clock = match target.core {
            Core::M0 | Core::M0Plus => include_str!("templates/clock_systick.rs"),
            Core::M3 | Core::M4 | Core::M7 | Core::M33 | Core::M55 => include_str!("templates/clock_dwt.rs"),
        };
        let chip = fill(include_str!("templates/board.rs"))
            .replace("{boot}", &format!("{}\n", boot::block(target)))
            .replace("{clock}", clock)
            .replace("{arena_section}", memory::arena_section(target))
            .replace("{stack}", stack);
        let main = match style {
            Style::Plain => include_str!("templates/main_board.rs"),
            Style::Embassy => include_str!("templates/embassy_board.rs"),
        };
        let main = fill(main).replace("{pause}", &target.clock_hz.to_string());
        files.extend([
            file("memory.x", memory::memory_x(target)),
            file("build.rs", fill(include_str!("templates/build.rs"))),
            file("src/chip.rs", chip),
            file("src/port.rs", include_str!("templates/rtt.rs").into()),
            file("src/main.rs", main),
        ]);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
