//! `fratc flash`: firmware onto a board, or into a file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::diag::Result;
use crate::firmware::{self, VALIDATE};
use crate::flash::{self, Job};
use crate::output;
use crate::pipeline::Progress;
use crate::pipeline::firmware::{folder, open, read, regions};
use crate::report::SCHEMA;
use crate::verify::{self, RegionUse};

/// What the user wants flashed.
#[derive(Debug, Clone, Default)]
pub struct FlashOptions {
    /// The validating firmware in place of the plain one.
    pub validate: bool,
    /// Which probe, as `probe-rs list` names it.
    pub probe: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Another board than the crate was emitted for, or the path of its target file.
    pub target: Option<String>,
    /// Write this UF2 or hex file, and use no probe.
    pub image: Option<PathBuf>,
}

/// A stretch of flash.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    /// First address.
    pub address: u32,
    /// Bytes.
    pub bytes: usize,
}

/// What `flash --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct FlashSummary {
    /// Layout version.
    pub schema: u32,
    /// Board.
    pub target: String,
    /// probe-rs's name of the chip; `null` if it cannot flash it.
    pub chip: Option<String>,
    /// Linked program.
    pub program: String,
    /// What is written; the sectors around it are erased.
    pub writes: Vec<Written>,
    /// Every memory of the board.
    pub regions: Vec<RegionUse>,
    /// The file written in place of flashing.
    pub image: Option<String>,
    /// The commands that flash it; empty with an image.
    pub commands: Vec<String>,
    /// Whether anything was written to a board or a file.
    pub done: bool,
}

/// Builds the firmware beside the crate in `dir` and writes it to a board or a file.
pub fn flash(dir: &Path, options: &FlashOptions, progress: &dyn Progress) -> Result<FlashSummary> {
    let (target, program) = open(dir, options.target.as_ref())?;
    let name = firmware::name(&program.name);
    let binary = if options.validate { VALIDATE } else { name.as_str() };
    progress.stage("build");
    let elf = verify::build_firmware(&folder(dir)?, binary, &target)?;
    let bytes = read(&elf)?;
    let segments = verify::segments(&bytes)?;
    let program = elf.display().to_string();
    let mut summary = FlashSummary {
        schema: SCHEMA,
        target: target.name.clone(),
        chip: target.probe_rs.clone(),
        writes: segments.iter().map(|s| Written { address: s.address, bytes: s.bytes.len() }).collect(),
        regions: verify::region_table(&bytes, &target)?,
        image: options.image.as_ref().map(|path| path.display().to_string()),
        commands: Vec::new(),
        done: !options.dry_run,
        program,
    };
    if let Some(path) = &options.image {
        let image = flash::image(&target, &segments)?;
        if !options.dry_run {
            output::write_file(path, &image)?;
        }
        return Ok(summary);
    }
    let job = Job::new(&target, &segments, options.probe.clone())?;
    summary.commands = job.commands(&summary.program).iter().map(|words| words.join(" ")).collect();
    if !options.dry_run {
        progress.stage("flash");
        flash::flash(&job, &summary.program)?;
    }
    Ok(summary)
}

impl fmt::Display for FlashSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        regions(f, &self.regions)?;
        for written in &self.writes {
            let last = u64::from(written.address) + written.bytes.max(1) as u64 - 1;
            writeln!(f, "writes       {:#010x}..={last:#010x}, {} bytes", written.address, written.bytes)?;
        }
        match (&self.image, self.done) {
            (Some(path), true) => writeln!(f, "wrote        {path}"),
            (Some(path), false) => writeln!(f, "would write  {path}"),
            (None, true) => writeln!(f, "flashed      {} on {}", self.program, self.target),
            (None, false) => {
                writeln!(f, "erases       the flash sectors around it, nothing else")?;
                for command in &self.commands {
                    writeln!(f, "would run    {command}")?;
                }
                Ok(())
            }
        }
    }
}
