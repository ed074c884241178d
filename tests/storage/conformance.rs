//! What every backend must do alike. Each function is one test; `suite!` runs all of them on one
//! backend.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use quiver::{
    storage::{Key, Operation, Store, StoreErrorKind, keys},
    types::{IndexType, NamespaceName},
};
use uuid::Uuid;

use crate::{
    bed::{Bed, Keys},
    support::faults::{Fault, Faults, Rule},
};

pub use crate::uploads::*;

const WRITERS: usize = 16;
/// One big race at a time: they starve each other, and a starved emulator misbehaves.
static RACE_TRACK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A value that shows who wrote it and whether it is whole.
fn value(writer: usize, key: usize) -> Bytes {
    let length = match key % 50 {
        0 => (2 << 20) + 13 * writer,
        1 => 0,
        _ => 100 + 37 * writer,
    };
    let mut bytes = format!("{writer:04} {length:09} ").into_bytes();
    bytes.resize(bytes.len() + length, b'a' + (writer % 26) as u8);
    bytes.into()
}

/// The writer of a whole value; panics on a torn one.
fn writer_of(bytes: &[u8]) -> usize {
    assert!(bytes.len() >= 15, "torn: only {} bytes", bytes.len());
    let text = |range| std::str::from_utf8(&bytes[range]).expect("a header");
    let writer: usize = text(0..4).parse().expect("a writer");
    let length: usize = text(5..14).parse().expect("a length");
    assert_eq!(bytes.len(), 15 + length, "torn: wrong length");
    assert!(bytes[15..].iter().all(|byte| *byte == b'a' + (writer % 26) as u8), "torn: mixed bytes");
    writer
}

/// Reads a key over and over until told to stop; every value must be whole.
async fn watch(store: Store, key: Key, pause: Duration, stop: Arc<AtomicBool>) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        match store.get(&key).await {
            Ok(object) => drop(seen.insert(writer_of(&object.bytes))),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}"),
        }
        tokio::time::sleep(pause).await;
    }
    seen
}

pub async fn put_if_absent_has_one_winner(bed: &Bed) {
    let _alone = RACE_TRACK.lock().await;
    let store = bed.store();
    let names = Keys::new();
    let race = async |index: usize| {
        let key = names.key(index);
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| tokio::spawn(watch(store.clone(), key.clone(), bed.reader_pause, stop.clone())))
            .collect();
        let writers = (0..WRITERS).map(|writer| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.put_if_absent(&key, value(writer, index)).await })
        });
        let mut winners = Vec::new();
        for (writer, result) in join_all(writers).await.into_iter().enumerate() {
            match result.expect("no panic") {
                Ok(tag) => winners.push((writer, tag)),
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(winners.len(), 1, "winners of {key}");
        let (winner, tag) = winners.remove(0);
        for reader in readers {
            let seen = reader.await.expect("no torn read");
            assert!(seen.iter().all(|writer| *writer == winner), "{seen:?} but {winner} won");
        }
        let object = store.get(&key).await.expect("the winner's object");
        assert_eq!(object.bytes, value(winner, index));
        assert_eq!(object.tag, tag, "a write and a read agree on the version");
    };
    stream::iter(0..bed.race_keys).for_each_concurrent(bed.races_at_once, race).await;
}

pub async fn cas_has_one_winner(bed: &Bed) {
    let _alone = RACE_TRACK.lock().await;
    let store = bed.store();
    let names = Keys::new();
    let race = async |index: usize| {
        let key = names.key(index);
        let first = store.put_if_absent(&key, value(99, index)).await.expect("no such key yet");
        let stop = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(watch(store.clone(), key.clone(), bed.reader_pause, stop.clone()));
        let writers = (0..WRITERS).map(|writer| {
            let (store, key, first) = (store.clone(), key.clone(), first.clone());
            tokio::spawn(async move { store.cas(&key, &first, value(writer, index)).await })
        });
        let mut winners = Vec::new();
        for (writer, result) in join_all(writers).await.into_iter().enumerate() {
            match result.expect("no panic") {
                Ok(tag) => winners.push((writer, tag)),
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(winners.len(), 1, "winners of {key}");
        let (winner, tag) = winners.remove(0);
        let seen = reader.await.expect("no torn read");
        assert!(seen.iter().all(|writer| [winner, 99].contains(writer)), "{seen:?} but {winner} won");
        let object = store.get(&key).await.expect("the winner's object");
        assert_eq!((object.bytes, object.tag), (value(winner, index), tag));
    };
    stream::iter(0..bed.race_keys).for_each_concurrent(bed.races_at_once, race).await;
}

pub async fn cas_loses_no_increment(bed: &Bed) {
    let store = bed.store();
    let key = Keys::new().key("counter");
    store.put_if_absent(&key, "0".into()).await.expect("no such key yet");
    const INCREMENTS: usize = 5;
    let conflicts = Arc::new(AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|_| {
        let (store, key, conflicts) = (store.clone(), key.clone(), conflicts.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while done < INCREMENTS {
                let object = store.get(&key).await.expect("it exists");
                let count: usize = String::from_utf8_lossy(&object.bytes).parse().expect("a number");
                // Give way, so that others read the same version.
                tokio::time::sleep(Duration::from_millis(1)).await;
                match store.cas(&key, &object.tag, (count + 1).to_string().into()).await {
                    Ok(_) => done += 1,
                    Err(error) if error.kind == StoreErrorKind::Conflict => {
                        conflicts.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("no panic");
    }
    let count = store.get(&key).await.expect("it exists").bytes;
    assert_eq!(count, Bytes::from((WRITERS * INCREMENTS).to_string()));
    assert!(conflicts.load(Ordering::Relaxed) > 0, "without a conflict nothing was tested");
}

pub async fn cas_needs_the_current_version(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let key = names.key("manifest");
    let one = store.put_if_absent(&key, "one".into()).await.expect("no such key yet");
    let two = store.cas(&key, &one, "two".into()).await.expect("current");
    for stale in [&one, &one] {
        let error = store.cas(&key, stale, "lost".into()).await.expect_err("stale");
        assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}");
    }
    let missing = store.cas(&names.key("missing"), &two, "x".into()).await.expect_err("missing");
    assert_eq!(missing.kind, StoreErrorKind::Conflict, "{missing}");
    let nowhere = store.cas(&Keys::new().key("missing"), &two, "x".into()).await.expect_err("missing");
    assert_eq!(nowhere.kind, StoreErrorKind::Conflict, "{nowhere}");
    let again = store.put_if_absent(&key, "lost".into()).await.expect_err("exists");
    assert_eq!(again.kind, StoreErrorKind::Conflict, "{again}");
    assert_eq!(store.get(&key).await.expect("it exists").bytes, "two");
}

pub async fn get_if_changed_tells_versions_apart(bed: &Bed) {
    let store = bed.store();
    let key = Keys::new().key("manifest");
    let one = store.put_if_absent(&key, "one".into()).await.expect("no such key yet");
    assert!(store.get_if_changed(&key, &one).await.expect("it exists").is_none());
    let read = store.get(&key).await.expect("it exists");
    assert!(store.get_if_changed(&key, &read.tag).await.expect("it exists").is_none());
    let two = store.cas(&key, &read.tag, "two".into()).await.expect("current");
    let changed = store.get_if_changed(&key, &one).await.expect("it exists").expect("it changed");
    assert_eq!((changed.bytes, changed.tag), (Bytes::from("two"), two));
    store.delete_many(std::slice::from_ref(&key)).await.expect("deleted");
    let gone = store.get_if_changed(&key, &one).await.expect_err("deleted");
    assert_eq!(gone.kind, StoreErrorKind::NotFound, "{gone}");
}

pub async fn ranges_are_exact(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let key = names.key("blob");
    let blob: Bytes = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    store.put(&key, blob.clone()).await.expect("written");
    let length = blob.len() as u64;
    let slice = |range: &std::ops::Range<u64>| blob.slice(range.start as usize..range.end as usize);
    for range in [0..1, 0..length, length - 1..length, 1000..1000, 0..0, length..length, 12_345..2_345_678] {
        let bytes = store.get_range(&key, range.clone()).await.expect("within");
        assert!(bytes == slice(&range), "{range:?}");
    }
    let ranges = [5..10, 2_999_990..length, 7..8, 1_500_000..1_600_000, 0..0, 5..10, 100..2_000];
    let many = store.get_ranges(&key, &ranges).await.expect("within");
    assert_eq!(many.len(), ranges.len());
    for (range, bytes) in ranges.iter().zip(&many) {
        assert!(*bytes == slice(range), "{range:?}");
    }
    assert!(store.get_ranges(&key, &[]).await.expect("nothing").is_empty());
    #[allow(clippy::reversed_empty_ranges)]
    for range in [length - 1..length + 1, length..length + 1, length + 10..length + 20, 0..u64::MAX, 9..3] {
        let error = store.get_range(&key, range.clone()).await.expect_err("past the end");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{range:?}: {error}");
        let error = store.get_ranges(&key, &[0..4, range.clone()]).await.expect_err("past the end");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{range:?}: {error}");
    }
    let missing = store.get_range(&names.key("missing"), 0..4).await.expect_err("missing");
    assert_eq!(missing.kind, StoreErrorKind::NotFound, "{missing}");
    let missing = store.get_ranges(&names.key("missing"), &[0..4, 2..9]).await.expect_err("missing");
    assert_eq!(missing.kind, StoreErrorKind::NotFound, "{missing}");
}

pub async fn blobs_of_every_size_round_trip(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    // The last one is over the size from which blobs are sent in parts.
    for length in [0, 1, 4096, (1 << 20) + 1, (40 << 20) + 7] {
        let key = names.key(length);
        let blob: Bytes = (0..length).map(|at| (at / 7 % 251) as u8).collect();
        store.put(&key, blob.clone()).await.expect("written");
        assert_eq!(store.size(&key).await.expect("it exists"), length as u64);
        let read = store.get(&key).await.expect("it exists");
        assert!(read.bytes == blob, "{length} bytes changed on the way");
        store.put(&key, "replaced".into()).await.expect("replaced");
        assert_eq!(store.get(&key).await.expect("it exists").bytes, "replaced");
    }
    let key = names.key("conditional");
    let blob: Bytes = (0..20_000_003_u32).map(|at| (at % 253) as u8).collect();
    let tag = store.put_if_absent(&key, blob.clone()).await.expect("written");
    let read = store.get(&key).await.expect("it exists");
    assert!(read.bytes == blob && read.tag == tag);
}

pub async fn absence_is_not_found(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let key = names.key("missing");
    for error in [
        store.get(&key).await.expect_err("missing"),
        store.get_settled(&key).await.expect_err("missing"),
        store.size(&key).await.expect_err("missing"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}");
        assert_eq!(*error.key, *key.as_str());
    }
    store.put(&names.key("deep/below"), "x".into()).await.expect("written");
    let folder = store.size(&names.key("deep")).await.expect_err("a folder is no object");
    assert_eq!(folder.kind, StoreErrorKind::NotFound, "{folder}");
    assert_eq!(store.requests(Operation::Get), 1, "a definite answer is not asked for again");
}

pub async fn listings_are_ordered_and_bounded(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let mut all: Vec<String> = (0..120).map(|index| format!("log/{index:020}")).collect();
    all.extend(["indexes/hnsw", "indexes/pq", "manifest"].map(String::from));
    let write =
        async |name: &String| store.put(&names.key(name), name.clone().into()).await.expect("written");
    stream::iter(&all).for_each_concurrent(8, write).await;
    let other = Keys::new();
    store.put(&other.key("log/0"), "x".into()).await.expect("written");

    let names_of = |listed: Vec<quiver::storage::Listed>| -> Vec<String> {
        let own = |key: &Key| key.as_str().strip_prefix(&names.prefix()).expect("own key").to_owned();
        for entry in &listed {
            assert_eq!(entry.size as usize, own(&entry.key).len());
        }
        listed.iter().map(|entry| own(&entry.key)).collect()
    };
    all.sort();
    let prefix = names.prefix();
    let list = async |under: &str, after: Option<&str>, limit| {
        let after = after.map(|after| format!("{prefix}{after}"));
        let listed = store.list(&format!("{prefix}{under}"), after.as_deref(), limit).await.expect("listed");
        names_of(listed)
    };
    assert_eq!(list("", None, usize::MAX).await, all);
    assert_eq!(list("", None, 5).await, all[..5]);
    assert_eq!(list("", None, 0).await, [""; 0]);
    assert_eq!(list("log/", None, 1000).await, all[2..122]);
    assert_eq!(list("indexes/", None, 1000).await, all[..2]);
    assert_eq!(list("log/0000000000000000010", None, 1000).await, all[2 + 100..2 + 110]);
    assert_eq!(list("man", None, 1000).await, ["manifest"]);
    assert_eq!(list("nothing/", None, 1000).await, [""; 0]);
    assert_eq!(list("log/", Some(&all[60]), 1000).await, all[61..122], "after an existing key");
    assert_eq!(list("log/", Some(&format!("{}x", all[60])), 3).await, all[61..64], "after a missing key");
    assert_eq!(list("log/", Some("indexes/pq"), 3).await, all[2..5], "after a key before the prefix");
    assert_eq!(list("log/", Some("manifest"), 3).await, [""; 0], "after a key behind the prefix");

    let mut pages = Vec::new();
    while let page = list("log/", pages.last().map(String::as_str), 7).await
        && !page.is_empty()
    {
        assert!(page.len() <= 7);
        pages.extend(page);
    }
    assert_eq!(pages, all[2..122]);
}

pub async fn deletes_are_idempotent(bed: &Bed) {
    let store = bed.store();
    let names = Keys::new();
    let keys: Vec<Key> = (0..30).map(|index| names.key(format!("log/{index:020}"))).collect();
    for key in &keys[..20] {
        store.put(key, "x".into()).await.expect("written");
    }
    store.delete_many(&keys[10..]).await.expect("deleted, missing ones included");
    let left = store.list(&names.prefix(), None, 100).await.expect("listed");
    assert_eq!(left.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), keys[..10]);
    store.delete_many(&keys[..1]).await.expect("deleted");
    store.delete_many(&keys[..1]).await.expect("deleted already");
    store.delete_many(&[]).await.expect("nothing to do");
    let gone = store.get(&keys[0]).await.expect_err("deleted");
    assert_eq!(gone.kind, StoreErrorKind::NotFound, "{gone}");
    store.put_if_absent(&keys[0], "again".into()).await.expect("a deleted key is free again");
    store.delete_many(&keys).await.expect("deleted");
    assert!(store.list(&names.prefix(), None, 100).await.expect("listed").is_empty());
}

pub async fn every_namespace_name_makes_keys(bed: &Bed) {
    let store = bed.store();
    let longest = "x".repeat(128);
    let names = ["...", "a.b-c_d", "-", "A", "a", ".hidden", "manifest", "%2f".trim_matches('%'), &longest];
    let incarnation = Uuid::new_v4();
    let mut written = Vec::new();
    for name in names {
        let name = NamespaceName::parse(name, "name").expect("a valid name");
        written.extend([
            keys::catalog(&name),
            keys::manifest(&name),
            keys::log(&name, incarnation, 1),
            keys::log(&name, incarnation, u64::MAX),
            keys::index_blob(&name, incarnation, IndexType::ALL[0]),
        ]);
    }
    for key in &written {
        store.put_if_absent(key, key.as_str().to_owned().into()).await.expect("a valid key");
    }
    for key in &written {
        assert_eq!(store.get(key).await.expect("it exists").bytes, key.as_str());
        let again = store.put_if_absent(key, "other".into()).await.expect_err("taken");
        assert_eq!(again.kind, StoreErrorKind::Conflict, "{again}");
    }
    let mut catalog: Vec<_> = names.iter().map(|name| format!("catalog/{name}")).collect();
    catalog.sort();
    let listed = store.list(keys::CATALOG, None, 1000).await.expect("listed");
    assert_eq!(listed.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), catalog);
    store.delete_many(&written).await.expect("deleted");
}

pub async fn the_probe_accepts_it(bed: &Bed) {
    let store = bed.store();
    store.check().await.expect("reachable");
    store.probe().await.expect("it keeps the contract");
    assert!(!store.location().is_empty());
}

pub async fn a_lost_reply_is_unknown_and_settles(bed: &Bed) {
    let faults = Faults::new(1);
    let (store, _) = bed.store_over(&faults.beneath());
    let names = Keys::new();

    let key = names.key("log");
    faults.script(Rule::on(Operation::PutIfAbsent).inject(Fault::LostReply));
    let error = store.put_if_absent(&key, "mine".into()).await.expect_err("the reply was lost");
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    assert_eq!(faults.attempts(Operation::PutIfAbsent), 1, "never retried");
    let object = store.get_settled(&key).await.expect("it took effect");
    assert_eq!(object.bytes, "mine");
    let again = store.put_if_absent(&key, "mine".into()).await.expect_err("it took effect");
    assert_eq!(again.kind, StoreErrorKind::Conflict);

    faults.script(Rule::on(Operation::Cas).inject(Fault::LostReply));
    let error = store.cas(&key, &object.tag, "next".into()).await.expect_err("the reply was lost");
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    assert_eq!(faults.attempts(Operation::Cas), 1, "never retried");
    assert_eq!(store.get_settled(&key).await.expect("it exists").bytes, "next");

    let key = names.key("lost");
    faults.script(Rule::on(Operation::PutIfAbsent).inject(Fault::LostRequest));
    let error = store.put_if_absent(&key, "mine".into()).await.expect_err("the request was lost");
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    let error = store.get_settled(&key).await.expect_err("it took no effect");
    assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}");
    store.put_if_absent(&key, "mine".into()).await.expect("the same write again");
}

pub async fn temporary_errors_are_retried_within_bounds(bed: &Bed) {
    let faults = Faults::new(2);
    let (store, metrics) = bed.store_over(&faults.beneath());
    let names = Keys::new();
    let key = names.key("k");
    let tries = bed.config.retry.tries as u64;
    store.put_if_absent(&key, "x".into()).await.expect("written");

    // Twice, then it works: for reads, listings, idempotent writes and deletes.
    for operation in [Operation::Get, Operation::List, Operation::Put, Operation::Delete, Operation::Size] {
        let made = faults.attempts(operation);
        faults.script(Rule::on(operation).times(tries - 1).inject(Fault::Unavailable));
        match operation {
            Operation::Get => drop(store.get(&key).await.expect("the last try")),
            Operation::List => drop(store.list(&names.prefix(), None, 9).await.expect("the last try")),
            Operation::Put => store.put(&names.key("p"), "x".into()).await.expect("the last try"),
            Operation::Delete => store.delete_many(&[names.key("p")]).await.expect("the last try"),
            _ => drop(store.size(&key).await.expect("the last try")),
        }
        assert_eq!(faults.attempts(operation) - made, tries, "{operation:?}");
        assert!(metrics.encode().contains(&format!(
            "quiver_store_retries_total{{operation=\"{}\"}} {}",
            operation.as_str(),
            tries - 1
        )));
    }
    // Without end: the tries are the bound, and the kind says what is known.
    let cases = [
        (Fault::Unavailable, Operation::Get, tries, StoreErrorKind::Unavailable),
        (Fault::LostReply, Operation::Get, tries, StoreErrorKind::Unavailable),
        (Fault::Refused, Operation::Get, 1, StoreErrorKind::Refused),
        (Fault::Unavailable, Operation::Put, tries, StoreErrorKind::Unavailable),
        (Fault::LostReply, Operation::Put, tries, StoreErrorKind::Unknown),
        (Fault::Refused, Operation::Put, 1, StoreErrorKind::Refused),
        (Fault::Unavailable, Operation::PutIfAbsent, 1, StoreErrorKind::Unavailable),
        (Fault::Refused, Operation::PutIfAbsent, 1, StoreErrorKind::Refused),
        (Fault::Unavailable, Operation::Cas, 1, StoreErrorKind::Unavailable),
        (Fault::Unavailable, Operation::Check, 1, StoreErrorKind::Unavailable),
    ];
    let tag = store.get(&key).await.expect("it exists").tag;
    for (fault, operation, tries, kind) in cases {
        let made = faults.attempts(operation);
        faults.script(Rule::on(operation).always().inject(fault));
        let error = match operation {
            Operation::Get => store.get(&key).await.map(drop),
            Operation::Put => store.put(&names.key("p"), "x".into()).await,
            Operation::PutIfAbsent => store.put_if_absent(&names.key("n"), "x".into()).await.map(drop),
            Operation::Check => store.check().await,
            _ => store.cas(&key, &tag, "y".into()).await.map(drop),
        };
        faults.calm();
        let error = error.expect_err("it always fails");
        assert_eq!((error.kind, error.operation), (kind, operation.as_str()), "{fault:?}");
        assert_eq!(faults.attempts(operation) - made, tries, "{fault:?} {operation:?}");
    }
    let untouched = store.get(&names.key("n")).await.expect_err("never written");
    assert_eq!(untouched.kind, StoreErrorKind::NotFound);
}

pub async fn a_hang_ends_with_the_timeout(bed: &Bed) {
    let faults = Faults::new(3);
    let mut config = bed.config.clone();
    config.timeout = Some(Duration::from_millis(1500));
    let bed = Bed { config, dir: None, ..*bed };
    let (store, _) = bed.store_over(&faults.beneath());
    let names = Keys::new();

    let key = names.key("before");
    faults.script(Rule::on(Operation::PutIfAbsent).inject(Fault::Hang));
    let error = store.put_if_absent(&key, "x".into()).await.expect_err("it hung");
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    assert_eq!(store.get(&key).await.expect_err("no effect").kind, StoreErrorKind::NotFound);

    let key = names.key("after");
    faults.script(Rule::on(Operation::PutIfAbsent).inject(Fault::HangAfter));
    let error = store.put_if_absent(&key, "x".into()).await.expect_err("it hung");
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    assert_eq!(store.get_settled(&key).await.expect("it took effect").bytes, "x");

    faults.script(Rule::on(Operation::Get).inject(Fault::Hang));
    assert_eq!(store.get(&key).await.expect("the second try").bytes, "x");

    let mut late = Duration::from_millis(300);
    let key = loop {
        let key = names.key(format!("late-by-{}-ms", late.as_millis()));
        faults.script(Rule::on(Operation::PutIfAbsent).inject(Fault::LandLater(late)));
        let began = Instant::now();
        let error = store.put_if_absent(&key, "late".into()).await.expect_err("no answer");
        assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
        let seen = store.get(&key).await;
        // On a busy machine the look at it may have come after it landed, which says nothing.
        if began.elapsed() < late {
            assert_eq!(seen.expect_err("not yet").kind, StoreErrorKind::NotFound);
            break key;
        }
        late *= 4;
    };
    let landed = async {
        while store.get(&key).await.is_err() {
            tokio::time::sleep(late / 10).await;
        }
    };
    tokio::time::timeout(late * 30, landed).await.expect("it lands in the end");
}

/// All of the above on one backend.
macro_rules! suite {
    ($backend:ident, $bed:expr) => {
        mod $backend {
            use crate::{bed::Bed, conformance};
            crate::conformance::suite!(@tests $bed;
                put_if_absent_has_one_winner
                cas_has_one_winner
                cas_loses_no_increment
                cas_needs_the_current_version
                get_if_changed_tells_versions_apart
                ranges_are_exact
                blobs_of_every_size_round_trip
                absence_is_not_found
                listings_are_ordered_and_bounded
                deletes_are_idempotent
                every_namespace_name_makes_keys
                the_probe_accepts_it
                a_lost_reply_is_unknown_and_settles
                temporary_errors_are_retried_within_bounds
                a_hang_ends_with_the_timeout
                uploads_appear_whole_when_finished
                uploads_replace_what_was_there
                a_dropped_upload_leaves_nothing
                a_failed_upload_stays_failed
                the_store_tells_its_time
            );
        }
    };
    (@tests $bed:expr; $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let bed: Bed = $bed.await;
                conformance::$test(&bed).await;
            }
        )*
    };
}
pub(crate) use suite;
