//! Files of the disk cache. Whatever lies in its folder, under whatever name, answers are right.

use std::{fs, path::Path};

use bytesize::ByteSize;
use quiver::{
    cache::Cache,
    config::{BackendConfig, CacheConfig, StorageConfig},
    engine::format::hash,
    storage::{Key, Store, keys},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::run::{Input, Target};

/// Parts: the file's content, the file's name.
pub struct CacheFiles {
    runtime: Runtime,
    store: Store,
    folder: TempDir,
}

impl CacheFiles {
    pub fn new() -> Self {
        let backend = BackendConfig::Memory {};
        let store =
            Store::open(&StorageConfig { backend, ..Default::default() }, Default::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for content in contents() {
            runtime.block_on(store.put(&key(&content), content.into())).unwrap();
        }
        Self { runtime, store, folder: tempfile::tempdir().unwrap() }
    }

    async fn check(&self, folder: &Path) {
        let disk_bytes = ByteSize::mib(1);
        let config = CacheConfig { disk_path: Some(folder.to_owned()), disk_bytes, ..CacheConfig::default() };
        let cache = Cache::open(&config, Default::default()).expect("the folder is usable");
        for content in contents() {
            let (hash, length) = (hash(&content), content.len() as u64);
            let read = cache.whole(&self.store, &key(&content), length, hash).await;
            assert_eq!(read.expect("the store has it"), content);
        }
    }
}

fn contents() -> [Vec<u8>; 2] {
    [b"an object".to_vec(), (0..3000u32).map(|byte| byte.to_le_bytes()[0]).collect()]
}

fn key(content: &[u8]) -> Key {
    keys::probe(Uuid::nil(), &content.len().to_string())
}

impl Target for CacheFiles {
    type Value = ();
    const NAME: &'static str = "cache_files";
    const MUTATED: usize = 2;
    const IS_TEXT: bool = true;
    const IS_SEALED: bool = false;
    const REASONS: usize = 1;
    const SHARE: u64 = 20;

    fn corpus(&self) -> Vec<Input> {
        let named = |name: String, content: &[u8]| vec![content.to_vec(), name.into_bytes()];
        let mut inputs = vec![named("tmp-1-2".into(), b"left behind"), named("a stranger".into(), b"")];
        for content in contents() {
            for length in [content.len() as u64, content.len() as u64 + 1, 1 << 20, u64::MAX] {
                inputs.push(named(format!("{:032x}-{length}", hash(&content)), &content));
            }
        }
        inputs
    }

    fn read(&self, objects: &Input) -> Result<(), String> {
        let Some(name) = std::str::from_utf8(&objects[1]).ok().filter(|name| is_file_name(name)) else {
            return Err("no name for a file".into());
        };
        let folder = self.folder.path().join("cache");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(name), &objects[0]).unwrap();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.runtime.block_on(self.check(&folder));
        }));
        fs::remove_dir_all(&folder).unwrap();
        checked.map_err(|panic| std::panic::resume_unwind(panic))
    }
}

fn is_file_name(name: &str) -> bool {
    !["", ".", ".."].contains(&name) && name.len() < 200 && !name.contains(['/', '\0'])
}
