//! The `fs` backend: objects are plain files, made visible by link(2) or rename(2).
//!
//! OpenDAL's own filesystem service loses writes under races and shows torn objects (its
//! `if_not_exists` either creates the file in place or is stat + rename), lists in no order, and
//! takes ENOSPC for a passing trouble. So files are handled here, in blocking calls.
//!
//! Invariants:
//! - A file appears under its key whole and synced, or not at all: it is written under a temporary
//!   name, synced, and only then linked (fails if the key exists) or renamed (replaces).
//! - When a write has returned, the directory entry and every directory above it are synced too.
//! - Compare-and-swap holds a lock on a file beside the object, across processes, from the
//!   comparison to the rename.
//!
//! Names that start with `~` are ours (`~tmp-…`, `~lock-…`): no key of ours can contain a `~`, and
//! listings skip them. In a tree that something else wrote (`open_foreign`) no name is ours.

mod listing;
mod temporary;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use self::{
    listing::{Wanted, names_in, walk},
    temporary::{Temporary, sweep},
};
use super::{
    Level, Listed,
    error::{Failure, StoreErrorKind},
    keys::Key,
    publish::content_hash,
};

const LOCK: &str = "~lock-";
/// Log entries from this size on leave the page cache once they are synced. Nobody reads them while
/// their writer lives, and pages that are free again at once cost far less to write to than ever
/// new ones: a 1.5 MB entry takes 1.2 ms instead of 4 to 6 on a virtual machine whose host has to
/// find the memory.
const UNCACHED: usize = 256 << 10;
/// A temporary file this old belongs to no living writer.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Directories remembered as synced; past it the memory starts anew.
const MAX_KNOWN: usize = 1 << 16;

/// A directory tree that holds objects.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// Something else wrote what is in here: every name counts, and only files are read.
    foreign: bool,
    /// Directories known to exist and to be synced into their parents, by this process.
    known: Mutex<HashSet<PathBuf>>,
}

impl Files {
    /// Opens a root, creating it if missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        make_durable(&root)?;
        Ok(Self { root, foreign: false, known: Mutex::default() })
    }

    /// Opens a root that something else wrote, to read it. It has to exist.
    pub fn open_foreign(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, foreign: true, known: Mutex::default() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn check(&self) -> Result<(), Failure> {
        fs::read_dir(&self.root).map(drop).map_err(|error| Failure::from_io(&error))
    }

    /// Whether there is nothing at a key, as far as one look at the directory tells. The directories of
    /// logs that are in use are in the system's cache, so that it takes a few microseconds.
    pub fn is_absent(&self, key: &str) -> bool {
        fs::symlink_metadata(self.path(key)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    pub fn get(&self, key: &str) -> Result<Bytes, Failure> {
        let path = self.path(key);
        // Opening a pipe waits for its writer, perhaps for ever.
        if self.foreign && !fs::metadata(&path).map_err(|error| Failure::from_io(&error))?.is_file() {
            return Err(Failure::new(StoreErrorKind::Refused, "not a file"));
        }
        fs::read(path).map(Bytes::from).map_err(|error| Failure::from_io(&error))
    }

    /// Reads an object after syncing its directory, so that what is seen stays.
    pub fn get_settled(&self, key: &str) -> Result<Bytes, Failure> {
        let bytes = self.get(key)?;
        let path = self.path(key);
        let dir = parent(&path);
        self.ensure_dir(dir)
            .and_then(|()| sync_dir(dir))
            .map_err(|error| Failure::new(StoreErrorKind::Unavailable, error.to_string()))?;
        Ok(bytes)
    }

    pub fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Failure> {
        let read = || -> io::Result<Vec<Bytes>> {
            let file = File::open(self.path(key))?;
            let size = file.metadata()?.len();
            ranges.iter().map(|range| read_range(&file, size, range)).collect()
        };
        read().map_err(|error| Failure::from_io(&error))
    }

    pub fn size(&self, key: &str) -> Result<u64, Failure> {
        let metadata = fs::metadata(self.path(key)).map_err(|error| Failure::from_io(&error))?;
        if metadata.is_file() {
            Ok(metadata.len())
        } else {
            Err(Failure::new(StoreErrorKind::NotFound, "not a file"))
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        let temporary = self.stage(parent(&path), bytes)?;
        temporary.rename(&path).map_err(|error| no_effect(&error))?;
        sync_dir(parent(&path)).map_err(|error| Failure::from_io_after_effect(&error))
    }

    /// Begins an object that is written piece by piece.
    pub fn begin(&self, key: &str) -> Result<Staged, Failure> {
        let path = self.path(key);
        Ok(Staged { temporary: self.temporary(parent(&path))?, path })
    }

    pub fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        let temporary = self.stage(parent(&path), bytes)?;
        if bytes.len() >= UNCACHED {
            temporary.leave_cache();
        }
        temporary.link(&path)?;
        drop(temporary);
        // One sync covers the new name and the removed temporary one.
        sync_dir(parent(&path)).map_err(|error| Failure::from_io_after_effect(&error))
    }

    /// Replaces the content if its hash is still `expected`.
    pub fn cas(&self, key: &str, expected: u128, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        let dir = parent(&path);
        let _lock = match lock_beside(&path) {
            Ok(lock) => lock,
            // No directory, no object.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(conflict()),
            Err(error) => return Err(no_effect(&error)),
        };
        match fs::read(&path) {
            Ok(current) if content_hash(&current) == expected => {}
            Ok(_) => return Err(conflict()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(conflict()),
            Err(error) => return Err(no_effect(&error)),
        }
        let temporary = self.stage(dir, bytes)?;
        temporary.rename(&path).map_err(|error| no_effect(&error))?;
        sync_dir(dir).map_err(|error| Failure::from_io_after_effect(&error))
    }

    /// Removes objects and syncs their directories, so that none comes back after a power cut.
    pub fn delete(&self, keys: &[Key]) -> Result<(), Failure> {
        let mut touched = HashSet::new();
        for key in keys {
            let path = self.path(key.as_str());
            match fs::remove_file(&path) {
                Ok(()) => touched.extend(path.parent().map(Path::to_path_buf)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) if touched.is_empty() => return Err(no_effect(&error)),
                Err(error) => return Err(Failure::from_io_after_effect(&error)),
            }
        }
        for dir in touched {
            sync_dir(&dir).map_err(|error| Failure::from_io_after_effect(&error))?;
        }
        Ok(())
    }

    /// Objects in key order. Only directories that can hold one are opened, only returned files
    /// are asked for their size.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, Failure> {
        let wanted = Wanted { prefix, after, limit, foreign: self.foreign };
        let mut found = Vec::new();
        // The deepest directory that the prefix names for certain.
        let start = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        walk(&self.root.join(start), start, &wanted, &mut found).map_err(|error| Failure::from_io(&error))?;
        Ok(found)
    }

    /// What lies directly in the directory `prefix`, in no order.
    pub fn level(&self, prefix: &str) -> Result<Level, Failure> {
        let names = names_in(&self.root.join(prefix), self.foreign);
        let mut level = Level::default();
        for name in names.map_err(|error| Failure::from_io(&error))? {
            match name.strip_suffix('/') {
                Some(folder) => level.folders.push(folder.to_owned()),
                None => level.objects.push(name),
            }
        }
        Ok(level)
    }

    /// Removes temporary files that a killed process left behind.
    pub fn sweep(&self) -> io::Result<usize> {
        let before = SystemTime::now().checked_sub(ABANDONED).unwrap_or(SystemTime::UNIX_EPOCH);
        sweep(&self.root, before)
    }

    /// The file that holds an object.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes and syncs a temporary file in `dir`, which is created if missing.
    fn stage(&self, dir: &Path, bytes: &[u8]) -> Result<Temporary, Failure> {
        let mut temporary = self.temporary(dir)?;
        temporary.append(bytes).and_then(|()| temporary.sync()).map_err(|error| no_effect(&error))?;
        Ok(temporary)
    }

    /// An empty temporary file in `dir`, which is created if missing.
    fn temporary(&self, dir: &Path) -> Result<Temporary, Failure> {
        let attempt = || {
            self.ensure_dir(dir)?;
            Temporary::create(dir)
        };
        let created = match attempt() {
            // Somebody removed a directory that this process knew.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.known().clear();
                attempt()
            }
            created => created,
        };
        created.map_err(|error| no_effect(&error))
    }

    /// Creates a directory and those above it, each synced into its parent. A directory that
    /// exists is synced too when it is met first: its creator may have died before it could.
    fn ensure_dir(&self, dir: &Path) -> io::Result<()> {
        if dir == self.root || self.known().contains(dir) {
            return Ok(());
        }
        let above = parent(dir);
        self.ensure_dir(above)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync_dir(above)?,
        }
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(dir.to_path_buf());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object that nobody sees before it is published.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: Temporary,
    path: PathBuf,
}

impl Staged {
    /// Adds a piece, synced at once, so that publishing does not have to wait for all of them.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let appended = self.temporary.append(bytes).and_then(|()| self.temporary.sync());
        appended.map_err(|error| no_effect(&error))
    }

    /// Makes the object visible, replacing any there was.
    pub fn publish(self) -> Result<(), Failure> {
        self.temporary.rename(&self.path).map_err(|error| no_effect(&error))?;
        sync_dir(parent(&self.path)).map_err(|error| Failure::from_io_after_effect(&error))
    }
}

fn conflict() -> Failure {
    Failure::new(StoreErrorKind::Conflict, "the condition does not hold")
}

/// A write that failed before its effect. A missing directory is no missing object then.
fn no_effect(error: &io::Error) -> Failure {
    let failure = Failure::from_io(error);
    match failure.kind {
        StoreErrorKind::NotFound | StoreErrorKind::Conflict => {
            Failure { kind: StoreErrorKind::Unavailable, ..failure }
        }
        _ => failure,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates the root and what is missing above it, synced.
fn make_durable(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let above = parent(root);
    if above != root {
        make_durable(above)?;
    }
    match fs::create_dir(root) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ if root.is_dir() => sync_dir(above),
        _ => Err(io::Error::new(ErrorKind::NotADirectory, "the root is not a directory")),
    }
}

fn lock_beside(path: &Path) -> io::Result<File> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let lock = path.with_file_name(format!("{LOCK}{name}"));
    let file = File::options().create(true).truncate(false).write(true).open(lock)?;
    file.lock()?;
    Ok(file)
}

fn read_range(file: &File, size: u64, range: &Range<u64>) -> io::Result<Bytes> {
    let past_end = || io::Error::new(ErrorKind::InvalidInput, past_the_end(range, size));
    if range.start > range.end || range.end > size {
        return Err(past_end());
    }
    let length = usize::try_from(range.end - range.start).map_err(|_| past_end())?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

pub(super) fn past_the_end(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}..{} are not within the object of {size} bytes", range.start, range.end)
}
