//! Files on their way to a key: written under a name that no reader sees, removed if they do not
//! get there.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use uuid::Uuid;

use super::{
    super::error::{Failure, StoreErrorKind},
    conflict, no_effect,
};

const TEMPORARY: &str = "~tmp-";

/// A file that no reader knows of yet; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("{TEMPORARY}{}", Uuid::new_v4().simple()));
        let file = File::create_new(&path)?;
        Ok(Self { file, path, renamed: false })
    }

    /// Adds bytes at the end; durable only after [`Temporary::sync`].
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the memory of the written pages back. It is advice: a system without it loses nothing.
    pub fn leave_cache(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    pub fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }

    /// Gives the file its final name, unless that name is taken.
    pub fn link(&self, to: &Path) -> Result<(), Failure> {
        let Err(error) = fs::hard_link(&self.path, to) else { return Ok(()) };
        // On a network file system the call can succeed, lose its answer, and be repeated: then
        // the file has two names although an error came.
        match self.file.metadata().map(|metadata| metadata.nlink()) {
            Ok(1) if error.kind() == ErrorKind::AlreadyExists => Err(conflict()),
            Ok(1) => Err(no_effect(&error)),
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::new(StoreErrorKind::Unknown, error.to_string())),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is hidden, and swept when a store is opened later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes temporary files in `dir` and below that were written last before this time.
pub(super) fn sweep(dir: &Path, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += sweep(&entry.path(), before).unwrap_or(0);
        } else if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let old = entry.metadata()?.modified()? < before;
            if old && fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
    }
    Ok(removed)
}
