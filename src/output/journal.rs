//! A file that grows record by record and survives being cut off anywhere.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `fratjrnl` |
//! | 2 | format version, little-endian |
//! | 8 | length of the head, little-endian |
//! | 8 | length R of each record, little-endian |
//! | 32 | SHA-256 of R as above and the head |
//! | head | whatever the owner wants to find again |
//! | R + 32, repeated | a record and the SHA-256 of its number (8 bytes, little-endian) and its bytes |
//!
//! The head is written whole or not at all. A record that was cut off or damaged ends the journal: it and what
//! follows count as not written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::diag::{Diag, Result};

const MAGIC: [u8; 8] = *b"fratjrnl";
const VERSION: u16 = 1;

/// Bytes before the head.
const PREFIX: usize = MAGIC.len() + 2 + 8 + 8 + 32;

/// Bytes of a checksum.
const CHECK: usize = 32;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    head: Vec<u8>,
    record: usize,
    records: u64,
}

impl Journal {
    /// A new journal whose records have `record` bytes. Refuses to replace a file.
    pub fn create(path: &Path, head: &[u8], record: usize) -> Result<Self> {
        if path.exists() {
            return Diag::new("output/exists", "the file to write is already there")
                .at(path.display())
                .help("go on with it with --resume, delete it, or choose another --out")
                .err();
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((head.len() as u64).to_le_bytes());
        bytes.extend((record as u64).to_le_bytes());
        bytes.extend(head_checksum(record as u64, head));
        bytes.extend(head);
        super::write_file(path, &bytes)?;
        Self::open(path)
    }

    /// Opens the journal `path`, counts its intact records and keeps others from writing to it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| unreadable(path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Diag::new("output/in-use", "another process is writing this file")
                    .at(path.display())
                    .help("wait for it, or give every process a file of its own")
                    .err();
            }
            // Some cluster file systems have no locks: the check is left out there, the work is not.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(unreadable(path, &e)),
        }
        let length = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let mut journal = Self { file, path: path.to_owned(), head: Vec::new(), record: 0, records: 0 };
        let mut prefix = [0; PREFIX];
        if length < PREFIX as u64 {
            return journal.damaged("it is cut short");
        }
        journal.read_exact(&mut prefix)?;
        let (magic, rest) = prefix.split_at(MAGIC.len());
        let (version, rest) = rest.split_at(2);
        let (head_bytes, rest) = rest.split_at(8);
        let (record, checksum) = rest.split_at(8);
        if magic != MAGIC || version != VERSION.to_le_bytes() {
            return journal.damaged("it is no partial result, or one of another version of fratc");
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        let (head_bytes, record) = (number(head_bytes), number(record));
        if head_bytes > length - PREFIX as u64 {
            return journal.damaged("it is cut short");
        }
        journal.head = vec![0; head_bytes as usize];
        let mut head = std::mem::take(&mut journal.head);
        journal.read_exact(&mut head)?;
        journal.head = head;
        if head_checksum(record, &journal.head)[..] != *checksum {
            return journal.damaged("its checksum does not match");
        }
        journal.record = record as usize;
        let whole = (length - PREFIX as u64 - head_bytes) / record.saturating_add(CHECK as u64);
        while journal.records < whole && journal.checked(journal.records)?.is_some() {
            journal.records += 1;
        }
        Ok(journal)
    }

    /// What the journal was created with.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Intact records.
    pub fn len(&self) -> u64 {
        self.records
    }

    /// Whether there is no intact record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of every record.
    pub fn record_bytes(&self) -> usize {
        self.record
    }

    /// Record `index`, which must be below [`Journal::len`].
    pub fn read(&mut self, index: u64) -> Result<Vec<u8>> {
        if index < self.records
            && let Some(bytes) = self.checked(index)?
        {
            return Ok(bytes);
        }
        self.damaged(&format!("record {index} cannot be read"))
    }

    /// Adds a record, over whatever a run that was cut off left behind the last intact one.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.record {
            return self.damaged(&format!("records of {} bytes cannot take {}", self.record, bytes.len()));
        }
        let mut stored = bytes.to_vec();
        stored.extend(checksum(self.records, bytes));
        let at = self.offset(self.records);
        let written = self
            .file
            .set_len(at)
            .and_then(|()| self.file.seek(SeekFrom::Start(at)))
            .and_then(|_| self.file.write_all(&stored));
        written.map_err(|e| {
            Diag::new("output/write", format!("cannot write: {e}"))
                .at(self.path.display())
                .help("what was written before is kept; make room and go on with --resume")
        })?;
        self.records += 1;
        Ok(())
    }

    fn offset(&self, index: u64) -> u64 {
        (PREFIX + self.head.len()) as u64 + index * (self.record + CHECK) as u64
    }

    /// Record `index`, or nothing if it is damaged.
    fn checked(&mut self, index: u64) -> Result<Option<Vec<u8>>> {
        let at = self.offset(index);
        self.file.seek(SeekFrom::Start(at)).map_err(|e| unreadable(&self.path, &e))?;
        let mut stored = vec![0; self.record + CHECK];
        self.read_exact(&mut stored)?;
        let (bytes, check) = stored.split_at(self.record);
        let intact = *check == checksum(index, bytes);
        stored.truncate(self.record);
        Ok(intact.then_some(stored))
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|e| unreadable(&self.path, &e))
    }

    fn damaged<T>(&self, what: &str) -> Result<T> {
        Diag::new("output/damaged", format!("the partial result cannot be used: {what}"))
            .at(self.path.display())
            .help("delete it and make it again")
            .err()
    }
}

impl Drop for Journal {
    /// Gives the lock up at once. Closing the file is not enough: a process that another thread is just starting
    /// shares the open file, and with it the lock, until it runs its own program.
    fn drop(&mut self) {
        // Without a lock there is nothing to give up, and no lock outlives the last holder of the file.
        let _ = self.file.unlock();
    }
}

fn head_checksum(record: u64, head: &[u8]) -> [u8; CHECK] {
    Sha256::new().chain_update(record.to_le_bytes()).chain_update(head).finalize().into()
}

fn checksum(index: u64, bytes: &[u8]) -> [u8; CHECK] {
    Sha256::new().chain_update(index.to_le_bytes()).chain_update(bytes).finalize().into()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Diag> {
    Box::new(Diag::new("output/read", format!("the partial result cannot be read ({error})")).at(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &Path) -> Vec<u8> {
        let mut journal = Journal::create(path, b"head", 3).expect("created");
        journal.append(b"abc").expect("fits");
        journal.append(b"def").expect("fits");
        assert_eq!(journal.append(b"toolong").expect_err("wrong length").code, "output/damaged");
        std::fs::read(path).expect("written")
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_what_is_whole_and_goes_on_the_same() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("whole");
        let whole = filled(&path);
        let cut = dir.path().join("cut");
        let head = PREFIX + 4;
        for length in 0..=whole.len() {
            std::fs::write(&cut, &whole[..length]).expect("written");
            if length < head {
                assert_eq!(Journal::open(&cut).expect_err("no head").code, "output/damaged");
                continue;
            }
            let mut journal = Journal::open(&cut).expect("head is whole");
            assert_eq!(journal.len() as usize, (length - head) / (3 + CHECK));
            for record in [b"abc", b"def"].iter().skip(journal.len() as usize) {
                journal.append(*record).expect("fits");
            }
            assert_eq!(journal.read(1).expect("written"), b"def");
            drop(journal);
            assert_eq!(std::fs::read(&cut).expect("written"), whole);
        }
    }

    #[test]
    fn damage_ends_the_journal_and_nothing_is_replaced_or_shared() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("journal");
        let whole = filled(&path);
        assert_eq!(Journal::create(&path, b"head", 3).expect_err("exists").code, "output/exists");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            match Journal::open(&path) {
                Ok(journal) => assert!(journal.len() < 2, "byte {at}"),
                Err(error) => assert_eq!(error.code, "output/damaged"),
            }
        }
        let _held = Journal::create(&dir.path().join("held"), b"", 1).expect("created");
        assert_eq!(Journal::open(&dir.path().join("held")).expect_err("locked").code, "output/in-use");
    }

    #[test]
    fn a_dropped_journal_can_be_opened_while_a_starting_process_still_shares_its_file() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("journal");
        let journal = Journal::create(&path, b"", 1).expect("created");
        // What a fork leaves in the child: a second descriptor of the same open file.
        let shared = journal.file.try_clone().expect("second descriptor");
        drop(journal);
        Journal::open(&path).expect("no longer locked");
        drop(shared);
    }
}
