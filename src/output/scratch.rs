//! Folders that last only while fratc works in them.

use std::io;
use std::path::{Path, PathBuf};

use super::{pending, remove};

/// A new folder in the system's place for temporary files. It disappears with everything in it when this is
/// dropped, or when the run is abandoned.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a folder whose name starts with `prefix`.
    pub fn new(prefix: &str) -> io::Result<Self> {
        let mut pending = pending();
        let path = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
        pending.push(path.clone());
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one file, and the folders above it; `path` is relative to the folder.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let to = self.path.join(path);
        let _held = pending();
        std::fs::create_dir_all(to.parent().unwrap_or(&self.path))?;
        std::fs::write(&to, bytes)?;
        Ok(to)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut pending = pending();
        remove(&self.path);
        pending.retain(|path| path != &self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let scratch = Scratch::new("fratc-test-").expect("made");
        let file = scratch.write("a/b/c.txt", b"here").expect("written");
        assert_eq!(std::fs::read(&file).expect("read"), b"here");
        let path = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!path.exists());
    }
}
