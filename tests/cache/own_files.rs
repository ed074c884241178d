//! Objects that are files of the store already.

use std::{fs, io::Write};

use quiver::{cache::CacheError, storage::StoreErrorKind};
use tempfile::TempDir;

use crate::bed::{Bed, MIB, in_memory, metric, on_disk};
#[cfg(target_os = "linux")]
use crate::support::mapped::resident_of;

#[tokio::test]
async fn files_of_the_store_are_mapped_and_not_copied() {
    let dir = TempDir::new().expect("a temporary directory");
    let bed = Bed::fs(&dir.path().join("store"));
    let folder = dir.path().join("cache");
    let (cache, metrics) = on_disk(&folder, 100 * MIB);
    for (seed, length) in [0, 1, 4096, 20 * MIB].into_iter().enumerate() {
        let object = bed.object(seed as u32, length).await;
        let first = bed.check(&cache, &object).await;
        let second = bed.check(&cache, &object).await;
        assert_eq!(first.as_ptr(), second.as_ptr(), "{length} bytes are mapped once");
    }
    assert_eq!(bed.reads(), 0, "the store is not asked");
    assert_eq!(fs::read_dir(&folder).expect("it was made").count(), 0, "the disk cache is not used");
    assert_eq!(metric(&metrics, "misses_total"), 0);
}

#[tokio::test]
async fn a_file_outlives_its_name_while_it_is_in_use() {
    let dir = TempDir::new().expect("a temporary directory");
    let bed = Bed::fs(dir.path());
    let (cache, _) = in_memory(100 * MIB);
    let object = bed.object(1, 3 * MIB).await;
    let used = bed.check(&cache, &object).await;
    bed.store.delete_many(std::slice::from_ref(&object.key)).await.expect("deleted");
    assert!(used == object.bytes);
    drop(used);
    let error = bed.whole(&cache, &object).await.expect_err("deleted");
    assert!(matches!(&error, CacheError::Store(error) if error.kind == StoreErrorKind::NotFound), "{error}");
}

#[tokio::test]
async fn a_file_of_another_length_is_refused_by_name() {
    let dir = TempDir::new().expect("a temporary directory");
    let bed = Bed::fs(dir.path());
    let (cache, _) = in_memory(100 * MIB);
    let object = bed.object(1, MIB).await;
    let path = bed.store.local_file(&object.key).expect("files are local");
    let resize = |length: usize| {
        let file = fs::File::options().write(true).open(&path).expect("it exists");
        file.set_len(length as u64).expect("resized");
    };
    for length in [MIB - 1, 0, MIB + 1] {
        resize(length);
        let error = bed.whole(&cache, &object).await.expect_err("another length");
        let CacheError::Corrupt { object: name, .. } = &error else { panic!("{error}") };
        assert_eq!(**name, *object.key.as_str());
    }
    fs::File::create(&path).expect("it exists").write_all(&object.bytes).expect("mended");
    bed.check(&cache, &object).await;
}

/// Rows here and there, as an index reads them: what the system maps around each is counted, too.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn scattered_reads_stay_within_the_memory_budget() {
    const BUDGET: usize = 8 * MIB;
    const ROW: usize = 1500;
    let dir = TempDir::new().expect("a temporary directory");
    let bed = Bed::fs(dir.path());
    let (cache, _) = in_memory(BUDGET);
    let object = bed.object(1, 64 * MIB + 12_345).await;
    let path = bed.store.local_file(&object.key).expect("files are local");
    let length = object.bytes.len();
    let bytes = cache.whole(&bed.store, &object.key, length as u64, object.hash).await.expect("it exists");
    let watch = cache.watch(&bytes).expect("it is mapped");
    let mut place = 1_usize;
    for _ in 0..40_000 {
        place = (place * 1_103_515_245 + 12_345) % (1 << 31);
        let start = place % (length - ROW);
        let part = &bytes[start..start + ROW];
        watch.touched(part);
        assert!(*part == object.bytes[start..start + ROW], "what was handed back reads the same");
    }
    let resident = resident_of(std::process::id(), &path) as usize;
    // Near the border of two regions both may have been mapped, but one was counted.
    assert!(resident <= 2 * BUDGET, "{resident} bytes are resident");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn mapped_files_stay_within_the_memory_budget() {
    const BUDGET: usize = 8 * MIB;
    let dir = TempDir::new().expect("a temporary directory");
    let bed = Bed::fs(dir.path());
    let (cache, metrics) = in_memory(BUDGET);
    let object = bed.object(1, 64 * MIB).await;
    let path = bed.store.local_file(&object.key).expect("files are local");
    let length = object.bytes.len() as u64;
    let bytes = cache.whole(&bed.store, &object.key, length, object.hash).await.expect("it exists");
    let watch = cache.watch(&bytes).expect("it is mapped");
    let read = |range: std::ops::Range<usize>| {
        let part = &bytes[range.clone()];
        watch.touched(part);
        assert!(*part == object.bytes[range], "what was handed back reads the same");
    };
    for round in 0..2 {
        for start in (0..64 * MIB).step_by(256 << 10) {
            // Used again and again, so it stays.
            read(0..100);
            read(start..start + (256 << 10));
            assert!(cache.resident() <= BUDGET as u64, "round {round} at {start}");
        }
        let resident = resident_of(std::process::id(), &path) as usize;
        assert!(resident <= BUDGET + MIB, "{resident} bytes are resident");
        assert!(resident > BUDGET / 2, "only {resident} bytes are resident: too much was handed back");
    }
    assert!(metric(&metrics, "evicted_bytes_total{tier=\"mapped\"}") >= 100 * MIB as u64);
    assert_eq!(metric(&metrics, "held_bytes{tier=\"mapped\"}"), cache.resident());
    // Neither other memory nor an empty part is counted.
    let before = cache.resident();
    assert!(cache.watch(&object.bytes).is_none());
    watch.touched(&object.bytes);
    watch.touched(&bytes[5..5]);
    assert_eq!(cache.resident(), before);
    drop((bytes, watch));
    assert_eq!(cache.resident(), 0, "nothing is mapped any more");
}
