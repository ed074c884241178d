//! The faults themselves: what other suites rely on when they put them beneath an engine.

use std::{sync::Arc, time::Duration};

use quiver::storage::{Operation, StoreErrorKind};

use crate::{
    bed::{Bed, Keys},
    support::faults::{Fault, Faults, Rates, Rule},
};

#[tokio::test]
async fn the_same_seed_brings_the_same_faults() {
    let names = Keys::new();
    let run = async |seed| {
        let faults = Faults::new(seed);
        let store = Bed::memory().await.store().as_seen_by(Arc::default(), Some(faults.hook()));
        faults.random(Rates { longest: Duration::from_millis(1), ..Rates::storm(0.1) });
        for index in 0..60 {
            // Some fail; that is the point.
            let _ = store.put_if_absent(&names.key(index), "x".into()).await;
            let _ = store.get(&names.key(index)).await;
        }
        faults.log()
    };
    let (first, again, other) = (run(1).await, run(1).await, run(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let kinds: std::collections::HashSet<_> =
        first.iter().map(|(_, _, fault)| std::mem::discriminant(fault)).collect();
    assert!(kinds.len() >= 5, "a storm brings every fault: {first:?}");
}

#[tokio::test]
async fn rules_strike_what_and_when_they_say() {
    let faults = Faults::new(1);
    let (store, _) = Bed::memory().await.store_over(&faults.beneath());
    let names = Keys::new();
    let put = async |name: &str| {
        store.put_if_absent(&names.key(name), "x".into()).await.map_err(|error| error.kind)
    };
    faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").skip(1).times(2).inject(Fault::Refused));
    assert!(put("log/1").await.is_ok(), "skipped");
    assert!(put("manifest").await.is_ok(), "another key");
    assert_eq!(put("log/2").await, Err(StoreErrorKind::Refused));
    assert_eq!(put("log/3").await, Err(StoreErrorKind::Refused));
    assert!(put("log/4").await.is_ok(), "used up");
    faults.script(Rule::on(Operation::PutIfAbsent).every(3).inject(Fault::Refused));
    let mut failed = Vec::new();
    for index in 0..9 {
        failed.push(put(&format!("every/{index}")).await.is_err());
    }
    assert_eq!(failed, [false, false, true, false, false, true, false, false, true]);
    faults.calm();
    assert!(put("calm").await.is_ok());
    assert_eq!(faults.injected(), 5);
}

#[tokio::test]
async fn nodes_on_one_store_have_faults_and_counts_of_their_own() {
    let store = Bed::memory().await.store();
    let faults = Faults::new(1);
    faults.script(Rule::on_any().always().inject(Fault::Refused));
    let broken = store.as_seen_by(Arc::default(), Some(faults.hook()));
    let sound = store.as_seen_by(Arc::default(), None);
    let key = Keys::new().key("k");
    broken.put(&key, "x".into()).await.expect_err("it always fails");
    sound.put(&key, "x".into()).await.expect("written");
    assert_eq!(store.get(&key).await.expect("the same objects").bytes, "x");
    assert_eq!([&store, &broken, &sound].map(|node| node.requests(Operation::Put)), [0, 1, 1]);
}
