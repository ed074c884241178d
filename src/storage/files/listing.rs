//! Listings of a directory tree, in key order, and the only times that files tell.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::super::{Listed, keys::Key};
use crate::clock::Timestamp;

/// What a listing asks for.
pub(super) struct Wanted<'a> {
    pub prefix: &'a str,
    pub after: Option<&'a str>,
    pub limit: usize,
    /// Whether something else wrote the tree: then no name is ours, and none is left out.
    pub foreign: bool,
}

impl Wanted<'_> {
    fn file(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }

    /// Whether a wanted key can begin with `dir`, which ends with a slash.
    fn dir(&self, dir: &str) -> bool {
        let by_prefix = dir.starts_with(self.prefix) || self.prefix.starts_with(dir);
        by_prefix && self.after.is_none_or(|after| dir > after || after.starts_with(dir))
    }
}

/// Adds to `found` what is wanted of `dir`, whose keys begin with `key`, in key order.
pub(super) fn walk(dir: &Path, key: &str, wanted: &Wanted<'_>, found: &mut Vec<Listed>) -> io::Result<()> {
    let mut names = names_in(dir, wanted.foreign)?;
    names.sort_unstable();
    for name in names {
        if found.len() >= wanted.limit {
            break;
        }
        let key = format!("{key}{name}");
        let path = dir.join(&name);
        if name.ends_with('/') {
            if wanted.dir(&key) {
                walk(&path, &key, wanted, found)?;
            }
        } else if wanted.file(&key) {
            match fs::metadata(&path) {
                Ok(metadata) => {
                    let modified = metadata.modified().ok().map(timestamp);
                    found.push(Listed { key: Key::listed(&key), size: metadata.len(), modified });
                }
                // What cannot be read is found by whoever reads it, and is told with its key.
                Err(_) if wanted.foreign => {
                    found.push(Listed { key: Key::listed(&key), size: 0, modified: None });
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removed meanwhile, or never there.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Names in a directory, in no order; those of directories end with a slash, which makes them sort
/// where their keys do. In a foreign tree none is left out.
pub(super) fn names_in(dir: &Path, foreign: bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let mut name = match entry.file_name().into_string() {
            Ok(name) => name,
            // No key leads to it, whatever it is: told as a file that cannot be read.
            Err(name) if foreign => {
                names.push(name.to_string_lossy().into_owned());
                continue;
            }
            Err(_) => continue,
        };
        if name.starts_with('~') && !foreign {
            continue;
        }
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            match fs::metadata(entry.path()) {
                Ok(target) => kind = target.file_type(),
                Err(_) if foreign => {}
                Err(_) => continue,
            }
        }
        if kind.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    Ok(names)
}

/// The file system's clock. A time before the epoch counts as the epoch.
fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
