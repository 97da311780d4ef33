//! Firmware beside a crate: where it is, writing it, what it is made of.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::diag::{Diag, Result};
use crate::emit::Sample;
use crate::firmware;
use crate::output;
use crate::pipeline::emit::PROGRAM_FILE;
use crate::qir::{self, Program};
use crate::target::Target;
use crate::verify::RegionUse;

/// What the crate's folder says of itself.
#[derive(Debug, Deserialize)]
struct Kept {
    target: String,
    /// Only in the firmware's folder.
    firmware_of: Option<String>,
}

/// The folder of the firmware beside the crate in `out`.
pub(super) fn folder(out: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    match whole.file_name() {
        Some(name) => Ok(whole.with_file_name(firmware::name(&name.to_string_lossy()))),
        None => Diag::new("firmware/folder", "there is no place beside this folder").at(out.display()).err(),
    }
}

/// Writes the firmware of `program` beside its crate in `out`; the folder.
pub(super) fn write(
    program: &Program,
    target: &Target,
    golden: &Sample,
    out: &Path,
    style: firmware::Style,
) -> Result<PathBuf> {
    let beside = folder(out)?;
    let own = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    let own = own.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let files = firmware::firmware(program, &own, target, golden, style)?;
    let mut files: Vec<(String, Vec<u8>)> = files.into_iter().map(|file| (file.path, file.bytes)).collect();
    let json = format!("{{\n  \"firmware_of\": {own:?},\n  \"target\": {:?}\n}}\n", target.name);
    files.push((output::REPORT.into(), json.into_bytes()));
    output::write_folder(&beside, &files)?;
    Ok(beside)
}

/// The crate in `dir`: its board and its program.
pub(super) fn open(dir: &Path, target: Option<&String>) -> Result<(Target, Program)> {
    let kept = std::fs::read_to_string(dir.join(output::REPORT)).ok();
    let kept = kept.and_then(|text| serde_json::from_str::<Kept>(&text).ok());
    let Some(kept) = kept.filter(|kept| kept.firmware_of.is_none()) else {
        return Diag::new("verify/not-a-crate", "this is no crate that fratc wrote")
            .at(dir.display())
            .help("give the --out folder of `fratc build` or `fratc emit`, not the firmware's beside it")
            .err();
    };
    Ok((Target::load(target.unwrap_or(&kept.target))?, qir::load(&dir.join(PROGRAM_FILE))?))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|e| Box::new(Diag::new("verify/elf", format!("cannot read what was built: {e}")).at(path.display())))
}

/// A line for each memory.
pub(super) fn regions(f: &mut fmt::Formatter<'_>, regions: &[RegionUse]) -> fmt::Result {
    for region in regions {
        writeln!(
            f,
            "{:<12} {:>9} of {:>9} bytes used, {:>9} left",
            region.name, region.used_bytes, region.size_bytes, region.left_bytes
        )?;
    }
    Ok(())
}
