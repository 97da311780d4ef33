//! Building firmware in its own folder, as the user would.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Stopped};
use crate::diag::{Diag, Result};
use crate::target::Target;

/// Longest build: dependencies are compiled once.
const LIMIT: Duration = Duration::from_mins(15);
/// Most bytes of messages.
const OUTPUT: usize = 16 << 20;

/// Builds program `binary` of the firmware in `folder`; the executable's path.
///
/// # Errors
/// `firmware/missing` if there is no such folder; `verify/no-cargo`, `verify/no-rust-target`, `verify/build`,
/// `verify/build-time`; `firmware/no-network` if dependencies cannot be downloaded; `firmware/does-not-fit`, the
/// answer no.
pub fn build_firmware(folder: &Path, binary: &str, target: &Target) -> Result<PathBuf> {
    if !folder.join("Cargo.toml").is_file() {
        return Diag::new("firmware/missing", "there is no firmware beside this crate")
            .at(folder.display())
            .help("write it: `fratc build … --firmware` or `fratc emit … --firmware`")
            .err();
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // Where crates come from is the user's; how they are compiled is the firmware's.
        let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"].iter().any(|k| text.starts_with(k));
        let compiler = ["CARGO", "RUSTC", "RUSTFLAGS"].contains(&&*text);
        if !kept && (compiler || text.starts_with("CARGO_") || text.starts_with("RUSTC_")) {
            command.env_remove(&name);
        }
    }
    command.current_dir(folder).args(["build", "--release", "--quiet", "--color", "never", "--bin", binary]);
    let place = folder.display();
    let finished = match process::run(&mut command, LIMIT, OUTPUT) {
        Ok(finished) => finished,
        Err(Stopped::Missing) => {
            return Diag::new("verify/no-cargo", "cargo is not installed")
                .help("install Rust from https://rustup.rs")
                .err();
        }
        Err(Stopped::TimeOut) => {
            return Diag::new("verify/build-time", format!("no end after {} s", LIMIT.as_secs())).at(place).err();
        }
        Err(Stopped::TooMuchOutput) => {
            return Diag::new("verify/build", "endless messages of the compiler").at(place).err();
        }
        Err(Stopped::Io(error)) => return Diag::new("verify/build", error.to_string()).at(place).err(),
    };
    if finished.status.success() {
        return Ok(folder.join("target").join(target.rust_target.triple()).join("release").join(binary));
    }
    let messages = String::from_utf8_lossy(&finished.stderr);
    if messages.contains("can't find crate for `core`") {
        let triple = target.rust_target;
        return Diag::new("verify/no-rust-target", format!("the Rust target {triple} is not installed"))
            .help(format!("`rustup target add {triple}`"))
            .err();
    }
    if let Some(line) = messages.lines().find(|line| line.contains("will not fit in region")) {
        let what = line.split("error: ").last().unwrap_or(line).trim();
        return Diag::no("firmware/does-not-fit", format!("the firmware does not fit: {what}"))
            .at(place)
            .help("keep fewer channels (--keep), fewer classes, or take a larger board (`fratc targets`)")
            .err();
    }
    if ["failed to download", "Could not resolve host", "offline"].iter().any(|text| messages.contains(text)) {
        return Diag::new(
            "firmware/no-network",
            format!("the firmware's dependencies are not here: {}", finished.tail(4)),
        )
        .at(place)
        .help("run `cargo fetch` there once with a network")
        .err();
    }
    Diag::new("verify/build", format!("the compiler refuses: {}", finished.tail(12))).at(place).err()
}
