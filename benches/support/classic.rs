//! The layout that vector stores on plain objects had before: one JSON object per row, one for the
//! namespace's counters.
//!
//! A batch costs a read of the counters, an existence check and a write per row (16 at a time), and
//! a write of the counters: 2 N + 2 requests. It is not atomic, and two writers miscount.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt, stream};
use opendal::Operator;
use serde_json::json;

const CONCURRENCY: usize = 16;

/// The objects of a batch, as text. Made outside of the measurement: only storing is measured.
pub struct Batch(Vec<(String, Vec<u8>)>);

impl Batch {
    pub fn new(first: usize, vectors: &[f32], dimension: usize) -> Self {
        let rows = vectors.chunks_exact(dimension).enumerate();
        Self(
            rows.map(|(row, values)| {
                let id = format!("row-{}", first + row);
                let content = json!({ "id": id, "values": values, "metadata": null });
                (format!("vectors/{id}.json"), serde_json::to_vec(&content).expect("JSON"))
            })
            .collect(),
        )
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn counters(count: usize) -> Vec<u8> {
    let counters = json!({ "dimension": 0, "vector_count": count, "created_at": 0, "updated_at": 0 });
    serde_json::to_vec(&counters).expect("JSON")
}

fn count_of(counters: &[u8]) -> usize {
    let counters: serde_json::Value = serde_json::from_slice(counters).unwrap_or_default();
    counters["vector_count"].as_u64().unwrap_or(0) as usize
}

/// Raw files: temporary file, fsync, rename, on 16 threads.
pub fn write_files(namespace: &Path, batch: &Batch) {
    fs::create_dir_all(namespace.join("vectors")).expect("a directory");
    let count = count_of(&fs::read(namespace.join("meta.json")).unwrap_or_default());
    let (next, inserted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENCY {
            scope.spawn(|| {
                while let Some((key, content)) = batch.0.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let path = namespace.join(key);
                    inserted.fetch_add(usize::from(!path.exists()), Ordering::Relaxed);
                    replace(&path, content);
                }
            });
        }
    });
    replace(&namespace.join("meta.json"), &counters(count + inserted.into_inner()));
}

fn replace(path: &Path, content: &[u8]) {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).expect("a file");
    file.write_all(content).expect("a write");
    file.sync_all().expect("a sync");
    fs::rename(temporary, path).expect("a rename");
}

/// Through OpenDAL's file service, as on any other of its services: a temporary object, which it
/// syncs, then a rename.
pub async fn write_objects(store: &Operator, batch: &Batch) {
    let counted = store.read("meta.json").await.map(|counters| counters.to_vec()).unwrap_or_default();
    let inserted = stream::iter(&batch.0)
        .map(|(key, content)| async move {
            let new = !store.exists(key).await.expect("a stat");
            replace_object(store, key, content.clone()).await;
            usize::from(new)
        })
        .buffer_unordered(CONCURRENCY)
        .fold(0, |sum, new| async move { sum + new })
        .await;
    replace_object(store, "meta.json", counters(count_of(&counted) + inserted)).await;
}

async fn replace_object(store: &Operator, key: &str, content: Vec<u8>) {
    let temporary = format!("{key}.tmp");
    store.write(&temporary, content).await.expect("a write");
    store.rename(&temporary, key).await.expect("a rename");
}
