//! The disk cache: a folder of files, each named by the hash and length of its content.
//!
//! The folder itself is the only record, so it outlives restarts, and several servers may share it:
//! a file's modification time is when it was used last, a temporary file whose lock is free belongs to
//! nobody who lives. A file's bytes are checked against its name when this process uses it first.
//!
//! Invariant: the files in the folder, and those on their way into it from this process, are within
//! the budget. Another process that shares the folder is noticed when files are next counted.
//!
//! Everything here blocks.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use super::Content;
use crate::telemetry::{CacheTier, Metrics};

const TEMPORARY: &str = "tmp-";
/// The folder is counted anew after files of this share of the budget came.
const RECOUNT: u64 = 16;
/// What is read at once to check a file.
const BLOCK: usize = 1 << 20;

/// Whether this process uses an object at this moment.
pub(super) type InUse<'a> = &'a dyn Fn(&Content) -> bool;

pub(super) struct Folder {
    path: PathBuf,
    budget: u64,
    /// In the name of each temporary file of this process.
    process: Uuid,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    /// Bytes of files, when they were counted last and as changed by this process since.
    files: u64,
    /// Bytes of files that are on their way here.
    reserved: u64,
    /// Bytes that came since files were counted.
    added: u64,
    /// Files in the order of their last use when they were counted; those left since may be newer.
    victims: VecDeque<Victim>,
    /// The inode of each file that this process checked or wrote.
    checked: HashMap<Content, u64>,
}

struct Victim {
    content: Content,
    used: SystemTime,
}

/// Room for one file, given back when dropped.
pub(super) struct Room {
    folder: Arc<Folder>,
    bytes: u64,
}

/// A file that is not in the cache yet; removed when dropped.
pub(super) struct Incoming {
    file: File,
    path: PathBuf,
    room: Room,
}

impl Folder {
    /// Opens a folder, creating it if missing, removes what killed processes left in it, and what is
    /// over the budget.
    pub fn open(path: &Path, budget: u64, metrics: Arc<Metrics>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(&path)?;
        let process = Uuid::new_v4();
        let folder = Self { path, budget, process, state: Mutex::default(), metrics };
        // Better now than at the first download.
        let trial = folder.temporary();
        File::create_new(&trial)?;
        fs::remove_file(&trial)?;
        let mut state = folder.lock();
        folder.count(&mut state)?;
        folder.make_room(&mut state, 0, &|_| false)?;
        drop(state);
        Ok(folder)
    }

    /// The file of an object, if it is here and sound, and the use noted.
    pub fn find(&self, content: &Content) -> io::Result<Option<File>> {
        let path = self.file(content);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        let checked = self.lock().checked.get(content) == Some(&about.ino());
        if about.len() != content.length || !(checked || hash_of(&mut file)? == content.hash) {
            tracing::warn!(file = %path.display(), "a file of the disk cache is damaged; removing it");
            self.metrics.cache.damage();
            fs::remove_file(&path).or_else(if_missing)?;
            let mut state = self.lock();
            state.checked.remove(content);
            state.files = state.files.saturating_sub(about.len().max(content.length));
            self.report(&state);
            return Ok(None);
        }
        self.lock().checked.insert(*content, about.ino());
        use_now(&file);
        Ok(Some(file))
    }

    /// Notes a use of a file, if it is here.
    pub fn touch(&self, content: &Content) {
        if let Ok(file) = File::open(self.file(content)) {
            use_now(&file);
        }
    }

    /// Makes room for an object. None: there cannot be any.
    pub fn reserve(self: &Arc<Self>, bytes: u64, in_use: InUse<'_>) -> io::Result<Option<Room>> {
        let mut state = self.lock();
        if state.added > self.budget / RECOUNT {
            self.count(&mut state)?;
        }
        if bytes > self.budget || !self.make_room(&mut state, bytes, in_use)? {
            return Ok(None);
        }
        state.reserved += bytes;
        self.report(&state);
        Ok(Some(Room { folder: self.clone(), bytes }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, content: &Content) -> PathBuf {
        self.path.join(format!("{:032x}-{}", content.hash, content.length))
    }

    fn temporary(&self) -> PathBuf {
        self.path.join(format!("{TEMPORARY}{}-{}", self.process.simple(), Uuid::new_v4().simple()))
    }

    /// Removes the files that were used least recently, those in use last, until `bytes` more fit.
    fn make_room(&self, state: &mut State, bytes: u64, in_use: InUse<'_>) -> io::Result<bool> {
        let mut counted = 0;
        while state.files + state.reserved + bytes > self.budget {
            match state.victims.pop_front() {
                Some(victim) => self.remove(state, &victim, counted < 2, in_use)?,
                None if counted == 2 => return Ok(false),
                None => {
                    counted += 1;
                    self.count(state)?;
                }
            }
        }
        Ok(true)
    }

    fn remove(&self, state: &mut State, victim: &Victim, spare: bool, in_use: InUse<'_>) -> io::Result<()> {
        let path = self.file(&victim.content);
        match fs::metadata(&path).and_then(|about| about.modified()) {
            Ok(used) if used != victim.used => return Ok(()),
            Ok(_) if spare && in_use(&victim.content) => {
                // Its memory is not free before it is out of use, and then it may be wanted again.
                self.touch(&victim.content);
                return Ok(());
            }
            Ok(_) => fs::remove_file(&path).or_else(if_missing)?,
            Err(error) => if_missing(error)?,
        }
        state.files = state.files.saturating_sub(victim.content.length);
        state.checked.remove(&victim.content);
        self.metrics.cache.evict(CacheTier::disk, victim.content.length);
        self.report(state);
        Ok(())
    }

    /// Counts the files and removes the temporary ones of dead processes.
    fn count(&self, state: &mut State) -> io::Result<()> {
        let own = format!("{TEMPORARY}{}-", self.process.simple());
        let mut victims = Vec::new();
        let mut files = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let content = parse(name);
            if content.is_none() && (!name.starts_with(TEMPORARY) || name.starts_with(&own)) {
                continue;
            }
            // Another process may have removed it meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            match content {
                Some(content) => {
                    victims.push(Victim { content, used: about.modified()? });
                    // A damaged one counts as what it is, until it is used.
                    files += about.len().max(content.length);
                }
                None if is_abandoned(&entry.path()) => fs::remove_file(entry.path()).or_else(if_missing)?,
                None => files += about.len(),
            }
        }
        victims.sort_by_key(|victim| victim.used);
        state.files = files;
        state.victims = victims.into();
        state.added = 0;
        self.report(state);
        Ok(())
    }

    fn report(&self, state: &State) {
        self.metrics.cache.hold(CacheTier::disk, state.files + state.reserved);
    }
}

impl Room {
    /// Begins the file that the room is for.
    pub fn begin(self) -> io::Result<Incoming> {
        let path = self.folder.temporary();
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let incoming = Incoming { file, path, room: self };
        // Until the file is closed, or this process dies.
        incoming.file.lock()?;
        Ok(incoming)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.folder.lock();
        state.reserved -= self.bytes;
        self.folder.report(&state);
    }
}

impl Incoming {
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file, whose content was checked, into the cache, and returns it for reading.
    pub fn keep(self, content: &Content) -> io::Result<File> {
        let file = File::open(&self.path)?;
        use_now(&file);
        let inode = file.metadata()?.ino();
        let folder = self.room.folder.clone();
        let path = folder.file(content);
        // Another process may have been faster.
        let replaced = fs::metadata(&path).map_or(0, |about| about.len());
        fs::rename(&self.path, path)?;
        let mut state = folder.lock();
        state.files = (state.files + content.length).saturating_sub(replaced);
        state.added += content.length;
        state.checked.insert(*content, inode);
        Ok(file)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Renamed, or of no use. What cannot be removed now is when the folder is counted later.
        let _ = fs::remove_file(&self.path);
    }
}

fn parse(name: &str) -> Option<Content> {
    let (hash, length) = name.split_once('-')?;
    if hash.len() != 32 {
        return None;
    }
    Some(Content { hash: u128::from_str_radix(hash, 16).ok()?, length: length.parse().ok()? })
}

fn hash_of(file: &mut File) -> io::Result<u128> {
    // Read, not mapped: a map of all of it would count as this process's memory.
    let mut hasher = Xxh3::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.digest128()),
            length => hasher.update(&block[..length]),
        }
    }
}

fn use_now(file: &File) {
    // Only the order of removal suffers.
    let _ = file.set_modified(SystemTime::now());
}

/// Whether nobody writes a temporary file any more.
fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn if_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
