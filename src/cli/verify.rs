//! `fratc verify`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, DeviceVerifyOptions, VerifyOptions};

/// Build an emitted crate, run it on the host and in QEMU, and compare every output byte
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc verify stop-sign --case signs.toml\nExit code 1 on any difference, naming the first differing layer."
)]
pub struct Cmd {
    /// Folder of the crate, as `fratc build` or `fratc emit` wrote it
    dir: PathBuf,
    /// Case file whose test samples are the inputs [default: random inputs]
    #[arg(long, value_name = "CASE.toml")]
    case: Option<PathBuf>,
    /// Use only the first N inputs [default: all]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Inputs to run in QEMU; the host runs all
    #[arg(long, default_value_t = 64, value_name = "N")]
    verify_samples: usize,
    /// Another board or machine than the crate was emitted for
    #[arg(long)]
    target: Option<String>,
    /// Ask the crate's running firmware, written with --firmware: in QEMU where the target has a machine, else at --port
    #[arg(long)]
    on_device: bool,
    /// Way to the device: a serial port, tcp:HOST:PORT or unix:PATH
    #[arg(long, requires = "on_device")]
    port: Option<String>,
    /// Bits per second of the serial port
    #[arg(long, default_value_t = 115_200, requires = "on_device")]
    baud: u32,
    /// Compare the output of every layer on the device, not only the scores
    #[arg(long, requires = "on_device")]
    trace: bool,
    /// Longest time without an answer of the device, for slow networks
    #[arg(long, default_value_t = 9, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..3600), requires = "on_device")]
    silence: u64,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        if self.on_device {
            let options = DeviceVerifyOptions {
                case: self.case.clone(),
                samples: self.samples.unwrap_or(self.verify_samples),
                target: self.target.clone(),
                port: self.port.clone(),
                baud: self.baud,
                trace: self.trace,
                silence: Duration::from_secs(self.silence),
            };
            let summary = pipeline::verify_device(&self.dir, &options, shell)?;
            return shell.print(&summary, ToString::to_string);
        }
        let options = VerifyOptions {
            case: self.case.clone(),
            samples: self.samples,
            qemu_samples: self.verify_samples,
            target: self.target.clone(),
        };
        let (summary, refused) = pipeline::verify(&self.dir, &options, shell)?;
        shell.print(&summary, ToString::to_string)?;
        refused.map_or(Ok(()), Err)
    }
}
