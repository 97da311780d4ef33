//! A copy of an emitted crate in a temporary folder of its own, and building it there.
//!
//! Nothing of the user's settings reaches the build: no cargo configuration above the folder applies except
//! those of the crate itself, compiler flags and wrappers of the environment are removed, the network is off.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Stopped};
use crate::diag::{Diag, Result};
use crate::emit::{EmittedFile, bare_metal};
use crate::output::Scratch;
use crate::target::RustTarget;

/// Most bytes that are read of a build's messages.
const BUILD_OUTPUT: usize = 16 << 20;

/// Which example is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The crate's own.
    Infer,
    /// The same firmware without the network.
    Baseline,
    /// Prints every layer's output.
    Trace,
}

impl Variant {
    fn example(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Baseline => "fratc_baseline",
            Self::Trace => "fratc_trace",
        }
    }
}

/// The copy; it is removed when this is dropped.
pub(crate) struct Copy {
    folder: Scratch,
    limit: Duration,
}

impl Copy {
    /// Writes `files` into a new temporary folder, with the two examples that only verification needs.
    /// `limit` is the time one build may take.
    pub fn new(files: &[EmittedFile], crate_name: &str, limit: Duration) -> Result<Self> {
        let folder = Scratch::new("fratc-verify-").map_err(|error| failed(&error))?;
        let copy = Self { folder, limit };
        for file in files {
            copy.write(&file.path, &file.bytes)?;
        }
        let Some(manifest) = files.iter().find(|file| file.path == "Cargo.toml") else {
            return Diag::new("verify/not-a-crate", "there is no Cargo.toml among the files of the crate").err();
        };
        // Stands alone wherever temporary folders are.
        if !String::from_utf8_lossy(&manifest.bytes).lines().any(|line| line.trim() == "[workspace]") {
            copy.write("Cargo.toml", &[&manifest.bytes[..], b"\n[workspace]\n"].concat())?;
        }
        let ident = crate_name.replace('-', "_");
        let parts = [
            (Variant::Baseline, include_str!("templates/baseline.rs")),
            (Variant::Trace, include_str!("templates/trace.rs")),
        ];
        for (variant, network) in parts {
            copy.add_example(variant.example(), &network.replace("network_library", &ident))?;
        }
        Ok(copy)
    }

    /// Adds the example `name`: the crate's own with the Rust item `network` as its network.
    pub fn add_example(&self, name: &str, network: &str) -> Result<()> {
        let text = bare_metal::infer_rs_with(network);
        self.write(&format!("examples/{name}.rs"), text.as_bytes())?;
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes one file, its path relative to the folder and with `/`.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<PathBuf> {
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'));
        if !inside {
            return Diag::new("verify/path", "a file of the crate lies outside of it").at(path).err();
        }
        self.folder.write(path, bytes).map_err(|error| failed(&error))
    }

    /// Builds one of the crate's examples, see [`Self::build_example`].
    pub fn build(&self, variant: Variant, target: Option<RustTarget>) -> Result<PathBuf> {
        self.build_example(variant.example(), target)
    }

    /// Builds the example `name` for the host (`None`) or a device; the executable's path.
    ///
    /// # Errors
    /// `verify/no-cargo`, `verify/no-rust-target` (with the command that installs it), `verify/build` (with the
    /// compiler's last lines), `verify/build-time`.
    pub fn build_example(&self, name: &str, target: Option<RustTarget>) -> Result<PathBuf> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        let ours = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUSTDOCFLAGS"];
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if ours.contains(&&*text) || text.starts_with("CARGO_") || text.starts_with("RUSTC_") {
                command.env_remove(&variable);
            }
        }
        command.current_dir(self.path());
        command.env("CARGO_HOME", self.path().join(".cargo-home"));
        command.env("CARGO_TARGET_DIR", self.path().join("target"));
        // A linker that is killed leaves its temporary files behind: here they go with the copy.
        for variable in ["TMPDIR", "TMP", "TEMP"] {
            command.env(variable, self.path());
        }
        command.args(["build", "--offline", "--quiet", "--release", "--color", "never", "--example", name]);
        let mut folder = self.path().join("target");
        if let Some(target) = target {
            command.args(["--target", target.triple()]);
            folder.push(target.triple());
            let kernels = |family: &str| self.path().join("src/kernels").join(family).is_dir();
            if matches!(target, RustTarget::V6m | RustTarget::V7m) && (kernels("dsp") || kernels("mve")) {
                // A crate emitted for a core with DSP or vector instructions runs on one without: by portable twins.
                command.arg("--no-default-features");
            }
        }
        let place = format!("the {} build of the emitted crate", target.map_or("host", RustTarget::triple));
        let finished = match process::run(&mut command, self.limit, BUILD_OUTPUT) {
            Ok(finished) => finished,
            Err(Stopped::Missing) => {
                return Diag::new("verify/no-cargo", "cargo is not installed")
                    .help(
                        "install Rust from https://rustup.rs: an emitted crate is verified by building and running it",
                    )
                    .err();
            }
            Err(Stopped::TimeOut) => {
                return Diag::new("verify/build-time", format!("no end after {} s", self.limit.as_secs()))
                    .at(place)
                    .err();
            }
            Err(Stopped::TooMuchOutput) => {
                return Diag::new("verify/build", "endless messages of the compiler").at(place).err();
            }
            Err(Stopped::Io(error)) => return Diag::new("verify/build", error.to_string()).at(place).err(),
        };
        if finished.status.success() {
            let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
            let suffix = if target.is_some() { name } else { &file };
            return Ok(folder.join("release").join("examples").join(suffix));
        }
        let messages = String::from_utf8_lossy(&finished.stderr);
        if let Some(target) = target
            && messages.contains("can't find crate for `core`")
        {
            return Diag::new("verify/no-rust-target", format!("the Rust target {target} is not installed"))
                .help(format!("`rustup target add {target}`"))
                .err();
        }
        Diag::no("verify/build", format!("the compiler refuses: {}", finished.tail(12))).at(place).err()
    }
}

fn failed(error: &std::io::Error) -> Box<Diag> {
    Box::new(
        Diag::new("verify/copy", format!("cannot write the copy that is built: {error}"))
            .at(std::env::temp_dir().display())
            .help("free some space there, or set TMPDIR to another folder"),
    )
}
