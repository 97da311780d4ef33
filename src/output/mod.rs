//! Files and folders that appear whole or not at all.
//!
//! Everything fratc writes goes to a temporary sibling first and is renamed into place; what is only needed while
//! it runs goes to a [`Scratch`] folder. [`abandon`] removes what is half written and every scratch folder; the
//! interrupt handler calls it. The one exception is a [`Journal`], which is made to be cut off and taken up again.

mod journal;
mod scratch;
mod written;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use journal::Journal;
pub use scratch::Scratch;

use crate::diag::{Diag, Result};

/// Temporary paths that exist right now.
static PENDING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes every half-written file and folder and all scratch folders, right before the process ends: whoever
/// wants to write after this waits for that end.
pub fn abandon() {
    let mut pending = pending();
    for path in pending.drain(..) {
        remove(&path);
    }
    // Never unlocked: nobody brings a removed folder back.
    std::mem::forget(pending);
}

/// The temporary paths; while this is held, nobody else writes or removes one.
fn pending() -> MutexGuard<'static, Vec<PathBuf>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one file whole, replacing an older one. A link is followed.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = &followed(path)?;
    let pending = Pending::beside(path)?;
    let held = self::pending();
    write(&pending.path, bytes).map_err(|e| failed(path, &e))?;
    drop(held);
    sync(&pending.path).map_err(|e| failed(path, &e))?;
    pending.rename_to(path)
}

/// Where a folder of fratc's keeps its report.
pub const REPORT: &str = "fratc/report.json";

/// Writes a folder of files whole, and with them a list of their hashes. An existing folder is replaced if it is
/// empty, or as fratc left it but for what cargo built there; any other is refused. A link is followed.
pub fn write_folder(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    check_folder(dir)?;
    let dir = &followed(dir)?;
    let pending = Pending::beside(dir)?;
    let list = (written::LIST.to_string(), written::list(files).into_bytes());
    for (name, bytes) in files.iter().chain([&list]) {
        let path = pending.path.join(name);
        let parent = path.parent().unwrap_or(&pending.path);
        let held = self::pending();
        fs::create_dir_all(parent).and_then(|()| write(&path, bytes)).map_err(|e| failed(dir, &e))?;
        drop(held);
        sync(&path).map_err(|e| failed(dir, &e))?;
    }
    if dir.exists() {
        let old = Pending::beside(dir)?;
        // Both renames or none: an interrupt in between would remove both folders.
        let held = self::pending();
        fs::rename(dir, &old.path).map_err(|e| failed(dir, &e))?;
        let placed = fs::rename(&pending.path, dir);
        if placed.is_err() {
            // The former folder goes back to its place: nothing is lost.
            let _ = fs::rename(&old.path, dir);
        }
        drop(held);
        return placed.map_err(|e| failed(dir, &e));
    }
    pending.rename_to(dir)
}

/// Where `path` leads if it is a link, else itself.
fn followed(path: &Path) -> Result<PathBuf> {
    if path.is_symlink() { fs::canonicalize(path).map_err(|e| failed(path, &e)) } else { Ok(path.to_owned()) }
}

/// Fails early where [`write_folder`] would refuse: a file in the way, a folder that fratc did not make, or one in
/// which somebody else has worked since.
pub fn check_folder(dir: &Path) -> Result<()> {
    let dir = &followed(dir)?;
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
            if entries.next().is_some() {
                check_ours(dir)?;
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

/// Refuses a folder whose files are not all as fratc wrote them.
fn check_ours(dir: &Path) -> Result<()> {
    let Some(mut foreign) = written::foreign(dir).map_err(|e| failed(dir, &e))? else {
        return Diag::new("output/not-ours", "the output folder holds files that fratc did not write")
            .at(dir.display())
            .help("choose an empty or new folder for --out")
            .err();
    };
    if foreign.is_empty() {
        return Ok(());
    }
    let more = foreign.len().saturating_sub(5);
    foreign.truncate(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Diag::new("output/changed", "the output folder holds files that were changed or added since fratc wrote it")
        .at(dir.display())
        .expected("only what fratc wrote, which it may replace", format!("{}{more}", foreign.join(", ")))
        .help("choose another --out; or, to have them replaced, move the folder or these files away first")
        .err()
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
            let mut pending = pending();
            if !path.exists() && !pending.contains(&path) {
                pending.push(path.clone());
                return Ok(Self { path });
            }
        }
        Diag::new("output/no-name", "no free temporary name beside the output").at(target.display()).err()
    }

    fn rename_to(self, target: &Path) -> Result<()> {
        let _held = pending();
        fs::rename(&self.path, target).map_err(|e| failed(target, &e))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut pending = pending();
        remove(&self.path);
        pending.retain(|p| p != &self.path);
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::File::create(path)?.write_all(bytes)
}

fn sync(path: &Path) -> std::io::Result<()> {
    // Opened for writing: some systems sync nothing else.
    fs::OpenOptions::new().append(true).open(path)?.sync_all()
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
        vec![(REPORT.into(), b"{}".to_vec()), ("src/lib.rs".into(), text.as_bytes().to_vec())]
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
        fs::remove_file(foreign.join(written::LIST)).expect("the list");
        let error = write_folder(&foreign, &files("no")).expect_err("not ours");
        assert_eq!(error.code, "output/not-ours");
        assert_eq!(fs::read_dir(dir.path()).expect("listing").count(), 2, "no temporary left");
    }

    #[test]
    fn work_of_others_in_our_folder_is_never_lost() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let out = dir.path().join("crate");
        for (path, text) in [("src/lib.rs", "edited"), ("src/sensor.rs", ""), ("NOTES.md", ""), (".git/HEAD", "")] {
            write_folder(&out, &files("ours")).expect("nothing of others there");
            let theirs = out.join(path);
            fs::create_dir_all(theirs.parent().expect("a folder")).expect("folder");
            fs::write(&theirs, text).expect("written");
            let error = write_folder(&out, &files("new")).expect_err("theirs");
            assert_eq!(error.code, "output/changed", "{path}");
            let named = path.strip_suffix("HEAD").unwrap_or(path);
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(fs::read_to_string(&theirs).expect("still there"), text);
            fs::remove_dir_all(&out).expect("removed");
        }
        // What cargo built there is nobody's work, and what is gone is not missed.
        write_folder(&out, &files("ours")).expect("new folder");
        fs::create_dir(out.join("target")).expect("folder");
        fs::write(out.join("target/x"), "").expect("written");
        fs::write(out.join("Cargo.lock"), "").expect("written");
        fs::remove_file(out.join("src/lib.rs")).expect("removed");
        write_folder(&out, &files("again")).expect("as fratc left it");
        assert_eq!(fs::read_to_string(out.join("src/lib.rs")).expect("written"), "again");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_stay() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (real, link, lost) = (dir.path().join("real"), dir.path().join("link"), dir.path().join("lost"));
        fs::create_dir(&real).expect("folder");
        std::os::unix::fs::symlink("real", &link).expect("link");
        write_folder(&link, &files("through")).expect("an empty folder");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(real.join("src/lib.rs")).expect("written"), "through");
        std::os::unix::fs::symlink("nowhere", &lost).expect("link");
        assert_eq!(write_folder(&lost, &files("no")).expect_err("leads nowhere").code, "output/write");
        assert_eq!(write_file(&lost, b"no").expect_err("leads nowhere").code, "output/write");
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
