//! Objects in memory, where there is no disk cache; and what holds for every tier.

use std::time::Duration;

use futures::future::join_all;
use quiver::{
    cache::CacheError,
    storage::{Operation, StoreErrorKind},
};

use crate::{
    bed::{Bed, MIB, in_memory, metric},
    support::faults::{Fault, Rule},
};

#[tokio::test]
async fn objects_of_every_size_come_whole() {
    let bed = Bed::memory();
    let (cache, _) = in_memory(100 * MIB);
    for (seed, length) in [0, 1, 15, 4096, 8 * MIB, 8 * MIB + 1, 30 * MIB + 7].into_iter().enumerate() {
        let object = bed.object(seed as u32, length).await;
        bed.check(&cache, &object).await;
        let reads = bed.reads();
        bed.check(&cache, &object).await;
        assert_eq!(bed.reads(), reads, "{length} bytes are held");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_download_serves_all_who_ask() {
    let bed = Bed::memory();
    let (cache, metrics) = in_memory(100 * MIB);
    let object = bed.object(1, 3 * MIB).await;
    bed.faults.script(Rule::on(Operation::Get).inject(Fault::Delay(Duration::from_millis(100))));
    let all = join_all((0..50).map(|_| bed.check(&cache, &object))).await;
    assert_eq!(bed.reads(), 1);
    assert!(all.iter().all(|bytes| bytes.as_ptr() == all[0].as_ptr()), "there is one copy");
    assert_eq!((metric(&metrics, "misses_total"), metric(&metrics, "joined_total")), (1, 49));
    bed.check(&cache, &object).await;
    assert_eq!(metric(&metrics, "hits_total{tier=\"memory\"}"), 1);
}

#[tokio::test]
async fn a_download_goes_on_when_its_caller_leaves() {
    let bed = Bed::memory();
    let (cache, _) = in_memory(100 * MIB);
    let object = bed.object(1, MIB).await;
    bed.faults.script(Rule::on(Operation::Get).inject(Fault::Delay(Duration::from_millis(200))));
    let left = tokio::time::timeout(Duration::from_millis(50), bed.whole(&cache, &object)).await;
    assert!(left.is_err(), "it takes longer");
    bed.check(&cache, &object).await;
    assert_eq!(bed.reads(), 1);
}

#[tokio::test]
async fn a_failure_reaches_all_who_wait_and_nobody_later() {
    let bed = Bed::memory();
    let (cache, _) = in_memory(100 * MIB);
    let object = bed.object(1, MIB).await;
    bed.faults.script(Rule::on(Operation::Get).always().inject(Fault::Unavailable));
    for result in join_all((0..5).map(|_| bed.whole(&cache, &object))).await {
        let error = result.expect_err("the store is down");
        assert!(
            matches!(&error, CacheError::Store(error) if error.kind == StoreErrorKind::Unavailable),
            "{error}"
        );
    }
    bed.faults.calm();
    bed.check(&cache, &object).await;

    bed.store.delete_many(std::slice::from_ref(&object.key)).await.expect("deleted");
    let (fresh, _) = in_memory(100 * MIB);
    let error = bed.whole(&fresh, &object).await.expect_err("deleted");
    assert!(matches!(&error, CacheError::Store(error) if error.kind == StoreErrorKind::NotFound), "{error}");
}

#[tokio::test]
async fn what_was_used_least_recently_makes_room() {
    let bed = Bed::memory();
    let (cache, metrics) = in_memory(3 * MIB);
    let mut objects = Vec::new();
    for seed in 0..4 {
        objects.push(bed.object(seed, MIB).await);
    }
    for object in &objects[..3] {
        bed.check(&cache, object).await;
    }
    bed.check(&cache, &objects[0]).await;
    bed.check(&cache, &objects[3]).await;
    assert_eq!(metric(&metrics, "held_bytes{tier=\"memory\"}"), 3 * MIB as u64);
    assert_eq!(metric(&metrics, "evicted_bytes_total{tier=\"memory\"}"), MIB as u64);
    let reads = bed.reads();
    for held in [0, 2, 3] {
        bed.check(&cache, &objects[held]).await;
    }
    assert_eq!(bed.reads(), reads, "these are held");
    bed.check(&cache, &objects[1]).await;
    assert_eq!(bed.reads(), reads + 1, "this one made room");
}

#[tokio::test]
async fn an_object_over_the_budget_is_had_and_not_held() {
    let bed = Bed::memory();
    let (cache, metrics) = in_memory(MIB);
    let object = bed.object(1, 2 * MIB).await;
    let used = bed.check(&cache, &object).await;
    bed.check(&cache, &object).await;
    assert_eq!(bed.reads(), 1, "as long as it is in use it is not read again");
    drop(used);
    bed.check(&cache, &object).await;
    assert_eq!(bed.reads(), 2);
    assert_eq!(metric(&metrics, "held_bytes{tier=\"memory\"}"), 0);
}

#[tokio::test]
async fn a_corrupt_object_is_refused_by_name_and_not_kept() {
    // Small, large in one read, and large in several.
    for length in [MIB, 6 * MIB, 20 * MIB] {
        let bed = Bed::memory();
        let (cache, metrics) = in_memory(100 * MIB);
        let object = bed.object(1, length).await;
        let refused = async |what: &str, bytes: Vec<u8>| {
            bed.store.put(&object.key, bytes.into()).await.expect("written");
            let error = bed.whole(&cache, &object).await.expect_err(what);
            let CacheError::Corrupt { object: name, reason } = &error else { panic!("{what}: {error}") };
            assert_eq!(**name, *object.key.as_str(), "{what}");
            assert!(!reason.is_empty());
        };
        let mut flipped = object.bytes.to_vec();
        flipped[length / 2] ^= 1;
        refused("a flipped bit", flipped).await;
        refused("a missing byte", object.bytes[..length - 1].to_vec()).await;
        refused("a byte too many", [&object.bytes[..], &[0]].concat()).await;
        refused("nothing at all", Vec::new()).await;
        assert_eq!(metric(&metrics, "held_bytes{tier=\"memory\"}"), 0);
        bed.store.put(&object.key, object.bytes.clone()).await.expect("mended");
        bed.check(&cache, &object).await;
    }
}

#[tokio::test]
async fn what_is_here_is_told_without_asking_the_store() {
    let bed = Bed::memory();
    let (cache, _) = in_memory(100 * MIB);
    let object = bed.object(1, MIB).await;
    let local = async || {
        let length = object.bytes.len() as u64;
        cache.local(&bed.store, &object.key, length, object.hash).await.expect("no store is asked")
    };
    assert!(local().await.is_none());
    bed.check(&cache, &object).await;
    assert!(local().await.expect("it is held") == object.bytes);
    assert_eq!(bed.reads(), 1);
}
