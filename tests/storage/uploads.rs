//! Uploads in pieces, and the store's clock: alike on every backend.

use std::time::Duration;

use bytes::Bytes;
use quiver::storage::{Operation, Store, StoreErrorKind};

use crate::{
    bed::{Bed, Keys},
    support::faults::{Fault, Faults, Rule},
};

const LARGE: usize = 20 << 20;
/// Short, longer than a part, and none that divides a part.
const PIECES: [usize; 5] = [1, 999_983, 13, 9_000_011, 4096];

fn blob(length: usize) -> Bytes {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Writes `blob` in odd pieces, all but the last of which are sent to the store in the end.
async fn write_in_pieces(upload: &mut quiver::storage::Upload, blob: &Bytes) {
    let (mut at, mut pieces) = (0, PIECES.iter().cycle());
    while at < blob.len() {
        let end = blob.len().min(at + pieces.next().expect("it is a cycle"));
        upload.write(blob.slice(at..end)).await.expect("a sound store takes it");
        at = end;
    }
}

async fn keys_under(store: &Store, names: &Keys) -> Vec<String> {
    let listed = store.list(&names.prefix(), None, 100).await.expect("listed");
    listed.iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

async fn is_missing(store: &Store, names: &Keys, name: &str) {
    let error = store.get(&names.key(name)).await.map(drop).expect_err("nothing is visible");
    assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}");
}

pub async fn uploads_appear_whole_when_finished(bed: &Bed) {
    let (store, metrics) = bed.store_over(&Default::default());
    let names = Keys::new();
    for length in [0, 1, 8 << 20, (8 << 20) + 1, LARGE] {
        let key = names.key("blob");
        let blob = blob(length);
        let before = written(&metrics);
        let mut upload = store.upload(&key);
        write_in_pieces(&mut upload, &blob).await;
        is_missing(&store, &names, "blob").await;
        assert!(keys_under(&store, &names).await.is_empty(), "{length} bytes are visible too early");
        upload.finish().await.expect("a sound store takes it");
        assert!(store.get(&key).await.expect("it exists").bytes == blob, "{length} bytes changed");
        assert_eq!(store.size(&key).await.expect("it exists"), length as u64);
        assert_eq!(written(&metrics) - before, length as u64, "every byte is counted once");
        store.delete_many(&[key]).await.expect("deleted");
    }
    let large = store.requests(Operation::Upload);
    let small = store.requests(Operation::Put);
    assert!(bed.keeps_memory() || large >= 5, "the large ones go in parts: {large}");
    assert!(small >= 3, "the small ones are a put each: {small}");
}

pub async fn uploads_replace_what_was_there(bed: &Bed) {
    let store = bed.store();
    let key = Keys::new().key("blob");
    for fill in [1_u8, 2] {
        let mut upload = store.upload(&key);
        upload.write(vec![fill; LARGE].into()).await.expect("taken");
        upload.finish().await.expect("a sound store takes it");
        let bytes = store.get(&key).await.expect("it exists").bytes;
        assert!(bytes.len() == LARGE && bytes.iter().all(|byte| *byte == fill));
    }
    let small = store.upload(&key);
    small.finish().await.expect("a sound store takes it");
    assert!(store.get(&key).await.expect("it exists").bytes.is_empty());
}

pub async fn a_dropped_upload_leaves_nothing(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    for length in [100, LARGE] {
        let mut upload = store.upload(&names.key("blob"));
        write_in_pieces(&mut upload, &blob(length)).await;
        drop(upload);
    }
    // Whatever is done about parts that were sent is done by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_missing(&store, &names, "blob").await;
    assert!(keys_under(&store, &names).await.is_empty());
    if let Some(file) = store.local_file(&names.key("blob")) {
        let folder = file.parent().expect("a key has a prefix");
        let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!(left, 0, "temporary files are left in {}", folder.display());
    }
}

pub async fn a_failed_upload_stays_failed(bed: &Bed) {
    if bed.keeps_memory() {
        return; // There every upload is one put.
    }
    let faults = Faults::new(11);
    let (store, _) = bed.store_over(&faults.beneath());
    let names = Keys::new();
    let blob = blob(LARGE);

    faults.script(Rule::on(Operation::Upload).skip(1).inject(Fault::Refused));
    let mut upload = store.upload(&names.key("part"));
    let error = upload.write(blob.clone()).await.and(upload.write(blob.clone()).await);
    assert_eq!(error.expect_err("a part was refused").kind, StoreErrorKind::Refused);
    upload.finish().await.expect_err("a part is missing");
    is_missing(&store, &names, "part").await;

    faults.script(Rule::on(Operation::Upload).skip(2).inject(Fault::Refused));
    let mut upload = store.upload(&names.key("end"));
    upload.write(blob.clone()).await.expect("taken");
    assert_eq!(upload.finish().await.expect_err("the end was refused").kind, StoreErrorKind::Refused);
    is_missing(&store, &names, "end").await;

    faults.script(Rule::on(Operation::Upload).skip(2).inject(Fault::LostReply));
    let mut upload = store.upload(&names.key("lost"));
    upload.write(blob.clone()).await.expect("taken");
    assert_eq!(upload.finish().await.expect_err("no answer").kind, StoreErrorKind::Unknown);
    assert!(store.get(&names.key("lost")).await.expect("it took effect").bytes == blob);
    assert_eq!(faults.injected(), 3);
}

pub async fn the_store_tells_its_time(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let modified = async |name: &str| {
        let key = names.key(name);
        let listed = store.list(key.as_str(), None, 1).await.expect("listed");
        listed.first().and_then(|entry| entry.modified).expect("every backend tells the time")
    };
    let machine = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let before = store.now().await.expect("the store has a clock");
    let off = before.0.abs_diff(machine.as_millis() as i64);
    assert!(off < 60_000, "the store runs on this machine, but its clock is {off} ms away");
    store.put(&names.key("put"), "x".into()).await.expect("written");
    let tag = store.put_if_absent(&names.key("cas"), "x".into()).await.expect("written");
    let first = modified("cas").await;
    let mut upload = store.upload(&names.key("upload"));
    upload.write(blob(LARGE)).await.expect("taken");
    upload.finish().await.expect("written");
    // Longer than a second, which is as exact as some listings are.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    store.cas(&names.key("cas"), &tag, "y".into()).await.expect("current");
    assert!(modified("cas").await > first, "a later write has a later time");
    let after = store.now().await.expect("the store has a clock");
    assert!(after > before);
    for name in ["put", "cas", "upload"] {
        let time = modified(name).await;
        assert!(before <= time && time <= after, "{name}: {before:?} {time:?} {after:?}");
    }
    let scratch = store.list("probe/", None, usize::MAX).await.expect("listed");
    assert!(scratch.iter().all(|entry| !entry.key.as_str().ends_with("/clock")), "scratch objects are left");
}

fn written(metrics: &quiver::telemetry::Metrics) -> u64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix("quiver_store_written_bytes_total "));
    line.expect("the metric exists").parse().expect("a number")
}
