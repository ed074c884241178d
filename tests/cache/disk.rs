//! The disk cache, over memory and over SeaweedFS.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use quiver::{cache::CacheError, storage::Operation};
use tempfile::TempDir;

use crate::{
    bed::{Bed, MIB, Object, metric, on_disk},
    support::{
        faults::{Fault, Rule},
        servers::Seaweed,
    },
};

fn folder() -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("not/there/yet");
    (dir, path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("it exists").map(|file| file.expect("an entry").path()).collect()
}

fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|file| fs::metadata(file).expect("it exists").len()).sum()
}

/// Which of the objects are in the folder.
fn kept(folder: &Path, objects: &[Object]) -> BTreeSet<usize> {
    let names: Vec<_> = files(folder).iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    let name = |object: &Object| format!("{:032x}-{}", object.hash, object.bytes.len());
    (0..objects.len()).filter(|at| names.iter().any(|file| *file == *name(&objects[*at]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_asks_the_store_for_nothing() {
    let seaweed = Seaweed::start().await;
    let bed = Bed::over(seaweed.storage_config("cache").backend);
    let (_dir, folder) = folder();
    let mut objects = Vec::new();
    for (seed, length) in [0, 1, MIB, 8 * MIB, 20 * MIB + 3].into_iter().enumerate() {
        objects.push(bed.object(seed as u32, length).await);
    }
    {
        let (cache, metrics) = on_disk(&folder, 100 * MIB);
        let all = || objects.iter().chain(&objects).chain(&objects);
        join_all(all().map(|object| bed.check(&cache, object))).await;
        assert_eq!(metric(&metrics, "misses_total"), 5, "each is downloaded once");
        assert_eq!(bed.faults.attempts(Operation::Get), 4, "the small ones with one read each");
        assert_eq!(bed.faults.attempts(Operation::GetRange), 3, "the large one in parts");
        assert_eq!(metric(&metrics, "held_bytes{tier=\"disk\"}"), size(&folder));
    }
    let reads = bed.reads();
    let (cache, metrics) = on_disk(&folder, 100 * MIB);
    for object in &objects {
        bed.check(&cache, object).await;
    }
    assert_eq!(bed.reads(), reads, "the second life reads from the disk");
    assert_eq!(metric(&metrics, "misses_total"), 0);
    assert_eq!(metric(&metrics, "hits_total{tier=\"disk\"}"), 5);
}

#[tokio::test]
async fn a_damaged_file_is_noticed_and_mended() {
    let bed = Bed::memory();
    let (_dir, folder) = folder();
    let object = bed.object(1, 2 * MIB).await;
    bed.check(&on_disk(&folder, 100 * MIB).0, &object).await;
    let [file] = <[_; 1]>::try_from(files(&folder)).expect("one file");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("a flipped bit", |bytes| bytes[MIB] ^= 4),
        ("a torn end", |bytes| bytes.truncate(MIB)),
        ("a hole", |bytes| bytes[MIB..].fill(0)),
        ("nothing", Vec::clear),
        ("more", |bytes| bytes.push(0)),
    ];
    for (what, damage) in damages {
        let mut bytes = object.bytes.to_vec();
        damage(&mut bytes);
        // As a crash of the machine would leave it; nothing writes into a file in place.
        fs::remove_file(&file).and_then(|()| fs::write(&file, &bytes)).expect("written");
        let (cache, metrics) = on_disk(&folder, 100 * MIB);
        let reads = bed.reads();
        bed.check(&cache, &object).await;
        assert_eq!(bed.reads(), reads + 1, "{what} is downloaded again");
        assert_eq!(metric(&metrics, "damaged_files_total"), 1, "{what}");
        assert!(fs::read(&file).expect("it exists") == object.bytes, "{what} is mended");
        assert_eq!(metric(&metrics, "held_bytes{tier=\"disk\"}"), size(&folder), "{what}");
    }
}

#[tokio::test]
async fn a_corrupt_object_leaves_no_file() {
    let bed = Bed::memory();
    let (_dir, folder) = folder();
    let (cache, metrics) = on_disk(&folder, 100 * MIB);
    for (seed, length) in [MIB, 20 * MIB].into_iter().enumerate() {
        let object = bed.object(seed as u32, length).await;
        let mut wrong = object.bytes.to_vec();
        wrong[length - 1] ^= 1;
        bed.store.put(&object.key, wrong.into()).await.expect("written");
        let error = bed.whole(&cache, &object).await.expect_err("a flipped bit");
        let CacheError::Corrupt { object: name, .. } = &error else { panic!("{error}") };
        assert_eq!(**name, *object.key.as_str());
        assert!(files(&folder).is_empty());
        assert_eq!(metric(&metrics, "held_bytes{tier=\"disk\"}"), 0, "its room is free again");
    }
}

#[tokio::test]
async fn the_folder_stays_within_its_budget() {
    let bed = Bed::memory();
    let (_dir, folder) = folder();
    let mut objects = Vec::new();
    for seed in 0..12 {
        objects.push(bed.object(seed, MIB).await);
    }
    {
        let (cache, metrics) = on_disk(&folder, 4 * MIB);
        for object in &objects[..4] {
            bed.check(&cache, object).await;
        }
        assert_eq!(kept(&folder, &objects), BTreeSet::from([0, 1, 2, 3]));
        bed.check(&cache, &objects[0]).await;
        bed.check(&cache, &objects[4]).await;
        assert_eq!(kept(&folder, &objects), BTreeSet::from([0, 2, 3, 4]), "1 was not used again");
        let used = bed.check(&cache, &objects[2]).await;
        for object in &objects[5..] {
            bed.check(&cache, object).await;
            assert!(size(&folder) <= 4 * MIB as u64);
        }
        assert_eq!(kept(&folder, &objects), BTreeSet::from([2, 9, 10, 11]), "what is in use goes last");
        assert!(used == objects[2].bytes);
        let evicted = metric(&metrics, "evicted_bytes_total{tier=\"disk\"}");
        assert_eq!(evicted, 8 * MIB as u64);
        assert_eq!(metric(&metrics, "held_bytes{tier=\"disk\"}"), 4 * MIB as u64);
        // All of them in use: the oldest loses its name, not its bytes.
        let mut all = vec![used];
        for object in &objects[8..] {
            all.push(bed.check(&cache, object).await);
        }
        assert!(size(&folder) <= 4 * MIB as u64);
        assert!(all[0] == objects[2].bytes && all[1] == objects[8].bytes);
        // The use is remembered over a restart.
        drop(all);
        tokio::time::sleep(Duration::from_millis(20)).await;
        bed.check(&cache, &objects[9]).await;
    }
    let before = kept(&folder, &objects);
    assert!(before.contains(&9), "{before:?}");
    let (cache, _) = on_disk(&folder, MIB + 10);
    assert_eq!(kept(&folder, &objects), BTreeSet::from([9]), "a smaller budget keeps what was used last");
    let reads = bed.reads();
    bed.check(&cache, &objects[9]).await;
    assert_eq!(bed.reads(), reads);
    // One that never fits is had all the same.
    let huge = bed.object(99, 3 * MIB).await;
    bed.check(&cache, &huge).await;
    assert_eq!(kept(&folder, &objects), BTreeSet::from([9]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_a_folder() {
    let bed = Bed::memory();
    let (_dir, folder) = folder();
    let mut objects = Vec::new();
    for seed in 0..20 {
        objects.push(bed.object(seed, MIB).await);
    }
    let ((one, _), (two, _)) = (on_disk(&folder, 8 * MIB), on_disk(&folder, 8 * MIB));
    bed.check(&one, &objects[0]).await;
    let reads = bed.reads();
    bed.check(&two, &objects[0]).await;
    assert_eq!(bed.reads(), reads, "what one has fetched the other finds");
    for round in 0..3 {
        let ones = async {
            for object in &objects {
                bed.check(&one, object).await;
            }
        };
        let twos = async {
            for object in objects.iter().rev() {
                bed.check(&two, object).await;
            }
        };
        tokio::join!(ones, twos);
        // Each notices the other's files when it counts, after a sixteenth of the budget.
        let size = size(&folder);
        assert!(size <= 10 * MIB as u64, "round {round}: {size} bytes");
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_and_what_is_alive_is_not() {
    let bed = Bed::memory();
    let (_dir, folder) = folder();
    let (cache, metrics) = on_disk(&folder, 100 * MIB);
    let object = bed.object(1, MIB).await;
    bed.check(&cache, &object).await;
    fs::write(folder.join("tmp-0123-dead"), vec![0; MIB]).expect("written");
    fs::write(folder.join("README"), "not ours").expect("written");
    let alive = fs::File::create(folder.join("tmp-4567-alive")).expect("created");
    alive.lock().expect("nobody else has it");
    let (next, _) = on_disk(&folder, 100 * MIB);
    let names: BTreeSet<_> = files(&folder).iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(!names.contains(std::ffi::OsStr::new("tmp-0123-dead")), "{names:?}");
    bed.check(&next, &object).await;
    assert_eq!(bed.reads(), 1);

    // A download that ends half-way leaves nothing, and what it had reserved is free.
    let large = bed.object(2, 30 * MIB).await;
    bed.faults.script(Rule::on(Operation::GetRange).skip(2).inject(Fault::Refused));
    bed.whole(&cache, &large).await.expect_err("a part was refused");
    assert_eq!(files(&folder).len(), 3);
    assert_eq!(metric(&metrics, "held_bytes{tier=\"disk\"}"), MIB as u64);
    bed.check(&cache, &large).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_no_answer() {
    let bed = Bed::memory();
    let (dir, folder) = folder();
    let (cache, metrics) = on_disk(&folder, 100 * MIB);
    let object = bed.object(1, MIB).await;
    fs::remove_dir_all(&folder).expect("removed");
    bed.check(&cache, &object).await;
    assert_eq!(metric(&metrics, "held_bytes{tier=\"memory\"}"), MIB as u64);
    bed.check(&cache, &object).await;
    assert_eq!(bed.reads(), 1);

    let file = dir.path().join("a file");
    fs::write(&file, "x").expect("written");
    let config = quiver::config::CacheConfig { disk_path: Some(file.clone()), ..Default::default() };
    let error = quiver::cache::Cache::open(&config, Default::default()).expect_err("not a folder");
    assert!(error.to_string().contains(file.to_str().expect("plain")), "{error}");
}
