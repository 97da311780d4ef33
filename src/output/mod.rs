//! Files and folders that appear whole or not at all.
//!
//! Everything fratc writes goes to a temporary sibling first and is renamed into place. [`abandon`] removes
//! what is half written; the interrupt handler calls it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::diag::{Diag, Result};

/// Temporary paths that exist right now.
static PENDING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes every half-written file and folder.
pub fn abandon() {
    for path in PENDING.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        remove(&path);
    }
}

/// Writes one file whole, replacing an older one.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let pending = Pending::beside(path)?;
    write_and_sync(&pending.path, bytes).map_err(|e| failed(path, &e))?;
    pending.rename_to(path)
}

/// The name of the file that says that fratc made a folder, and so may replace it.
pub const MARKER: &str = "fratc/report.json";

/// Writes a folder of files whole. An existing folder is replaced if it is empty or made by fratc (holds
/// [`MARKER`]); any other is refused.
pub fn write_folder(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    check_folder(dir)?;
    let pending = Pending::beside(dir)?;
    for (name, bytes) in files {
        let path = pending.path.join(name);
        let parent = path.parent().unwrap_or(&pending.path);
        fs::create_dir_all(parent).and_then(|()| write_and_sync(&path, bytes)).map_err(|e| failed(dir, &e))?;
    }
    if dir.exists() {
        let old = Pending::beside(dir)?;
        fs::rename(dir, &old.path).map_err(|e| failed(dir, &e))?;
        if let Err(e) = pending.rename_to(dir) {
            // The former folder goes back to its place: nothing is lost.
            let _ = fs::rename(&old.path, dir);
            return Err(e);
        }
        return Ok(());
    }
    pending.rename_to(dir)
}

/// Fails early where [`write_folder`] would refuse: a file in the way, or a folder that fratc did not make.
pub fn check_folder(dir: &Path) -> Result<()> {
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty())
        && !parent.is_dir()
    {
        return Diag::new("output/no-parent", "the folder to write into does not exist")
            .at(parent.display())
            .help("create it, or choose another --out")
            .err();
    }
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() && !dir.join(MARKER).is_file() {
                return Diag::new("output/not-ours", "the output folder holds files that fratc did not write")
                    .at(dir.display())
                    .help("choose an empty or new folder for --out")
                    .err();
            }
            let meta = fs::metadata(dir).map_err(|e| failed(dir, &e))?;
            if meta.permissions().readonly() {
                return Diag::new("output/read-only", "the output folder is read-only")
                    .at(dir.display())
                    .help("choose another --out")
                    .err();
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) if dir.exists() => {
            Diag::new("output/not-a-folder", format!("the output path is no folder that can be read ({e})"))
                .at(dir.display())
                .help("choose another --out")
                .err()
        }
        Err(e) => Err(failed(dir, &e)),
    }
}

/// A temporary sibling that is removed unless it was renamed into place.
struct Pending {
    path: PathBuf,
}

impl Pending {
    fn beside(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| {
            Box::new(Diag::new("output/no-name", "the output path has no last component").at(target.display()))
        })?;
        for attempt in 0..1000_u32 {
            let path =
                target.with_file_name(format!(".{}.fratc-{}-{attempt}", name.to_string_lossy(), std::process::id()));
            let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
            if !path.exists() && !pending.contains(&path) {
                pending.push(path.clone());
                return Ok(Self { path });
            }
        }
        Diag::new("output/no-name", "no free temporary name beside the output").at(target.display()).err()
    }

    fn rename_to(self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).map_err(|e| failed(target, &e))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        remove(&self.path);
        PENDING.lock().unwrap_or_else(PoisonError::into_inner).retain(|p| p != &self.path);
    }
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove(path: &Path) {
    // Best effort: the path may never have been created, or already be in its place.
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

fn failed(path: &Path, error: &std::io::Error) -> Box<Diag> {
    Box::new(
        Diag::new("output/write", format!("cannot write: {error}"))
            .at(path.display())
            .help("nothing was left behind; check the disk's free space and permissions, or choose another path"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<(String, Vec<u8>)> {
        vec![(MARKER.into(), b"{}".to_vec()), ("src/lib.rs".into(), text.as_bytes().to_vec())]
    }

    #[test]
    fn folder_is_replaced_only_if_ours() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let out = dir.path().join("crate");
        write_folder(&out, &files("one")).expect("new folder");
        write_folder(&out, &files("two")).expect("our folder");
        assert_eq!(fs::read_to_string(out.join("src/lib.rs")).expect("written"), "two");
        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).expect("folder");
        write_folder(&foreign, &files("empty is fine")).expect("empty folder");
        fs::remove_file(foreign.join(MARKER)).expect("marker");
        let error = write_folder(&foreign, &files("no")).expect_err("not ours");
        assert_eq!(error.code, "output/not-ours");
        assert_eq!(fs::read_dir(dir.path()).expect("listing").count(), 2, "no temporary left");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let out = dir.path().join("crate");
        let clash = vec![("a".to_string(), vec![1]), ("a/b".to_string(), vec![2])];
        assert_eq!(write_folder(&out, &clash).expect_err("a file as a folder").code, "output/write");
        assert_eq!(fs::read_dir(dir.path()).expect("listing").count(), 0);
    }
}
