//! Garbage collection: what nothing refers to goes, everything else stays, whoever still works on
//! what he read long ago.

#[path = "support/mod.rs"]
mod shared;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quiver::{
    clock::{ManualClock, SharedClock},
    config::{BackendConfig, Config},
    engine::{Consistency, Engine, Projection, format, manifest::RING},
    error::Error,
    random::Random,
    storage::{Beneath, Operation, Part, Place, Store, keys, place},
    telemetry::Metrics,
    types::{NamespaceName, Rows, VectorId},
};
use shared::faults::{Fault, Faults, Rule};

const NOTHING: Projection = Projection { vectors: false, metadata: false };
const GRACE: Duration = Duration::from_secs(3600);

/// A store whose clock moves when told to, and settings under which nothing happens by itself.
struct World {
    store: Store,
    clock: Arc<ManualClock>,
    config: Config,
}

struct Node {
    engine: Engine,
    faults: Faults,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let mut config = Config::default();
        config.storage.backend = BackendConfig::Memory {};
        config.compaction.background = false;
        let beneath = Beneath { clock: Some(clock.clone()), ..Beneath::default() };
        let store = Store::open_over(&config.storage, Arc::default(), &beneath).unwrap();
        Self { store, clock, config }
    }

    fn node(&self, seed: u64) -> Node {
        let (faults, metrics) = (Faults::new(seed), Arc::new(Metrics::default()));
        let store = self.store.as_seen_by(metrics.clone(), Some(faults.hook()));
        let clock: SharedClock = self.clock.clone();
        let engine = Engine::with_random(store, clock, Random::seeded(seed), &self.config, metrics).unwrap();
        Node { engine, faults }
    }

    async fn keys(&self) -> BTreeSet<String> {
        let listed = self.store.list("namespaces/", None, usize::MAX).await.unwrap();
        listed.into_iter().map(|listed| listed.key.to_string()).collect()
    }

    /// Numbers of the log entries that are there, and of segments' objects.
    async fn parts(&self) -> (Vec<u64>, usize) {
        let listed = self.store.list("namespaces/", None, usize::MAX).await.unwrap();
        let places: Vec<_> = listed.iter().filter_map(|listed| Some(place(&listed.key)?.1)).collect();
        let entry = |place: &Place| match place {
            Place::Of(_, Part::Entry(seq)) => Some(*seq),
            _ => None,
        };
        let is_segment = |place: &&Place| matches!(place, Place::Of(_, Part::Segment(_)));
        (places.iter().filter_map(entry).collect(), places.iter().filter(is_segment).count())
    }
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

async fn upsert(node: &Node, ids: std::ops::Range<usize>, value: f32) {
    let rows = Rows {
        dimension: 2,
        vectors: ids.clone().flat_map(|_| [value, 1.0]).collect(),
        metadata: vec![None; ids.len()],
        ttl: vec![None; ids.len()],
        without_vector: Vec::new(),
        ids: ids.map(|id| VectorId::trusted(&format!("r{id:03}"))).collect(),
    };
    node.engine.upsert(&name(), rows).await.unwrap();
}

/// Ids and first values of all rows.
async fn content(engine: &Engine) -> Result<Vec<(String, f32)>, Error> {
    content_of(engine, &name()).await
}

async fn content_of(engine: &Engine, name: &NamespaceName) -> Result<Vec<(String, f32)>, Error> {
    let projection = Projection { vectors: true, metadata: false };
    let page = engine.page(name, None, 10_000, projection).await?;
    Ok(page.rows.into_iter().map(|row| (row.id.to_string(), row.vector.unwrap()[0])).collect())
}

#[tokio::test]
async fn garbage_goes_after_the_grace_time_and_nothing_else_does() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    for round in 0..6 {
        upsert(&a, round * 10..round * 10 + 15, round as f32).await;
        a.engine.compact(&name()).await.unwrap();
    }
    upsert(&a, 0..3, 9.0).await;
    let before = content(&b.engine).await.unwrap();
    let done = a.engine.collect_garbage().await.unwrap();
    assert_eq!((done.namespaces, done.marked, done.removed, done.failed), (1, 1, 0, 0));
    // Condemned already, and not for this long.
    world.clock.advance(GRACE);
    assert_eq!(b.engine.collect_garbage().await.unwrap().removed, 0);
    assert_eq!(world.parts().await.0, (1..=7).collect::<Vec<_>>());
    // What is written and folded meanwhile is none of the mark's business.
    upsert(&a, 90..95, 5.0).await;
    a.engine.compact(&name()).await.unwrap();
    let later = content(&a.engine).await.unwrap();
    assert_ne!(later, before);
    world.clock.advance(Duration::from_secs(2));
    let done = b.engine.collect_garbage().await.unwrap();
    assert!(done.removed > 6 && done.bytes > 0 && done.marked == 1, "{done:?}");
    let (entries, _) = world.parts().await;
    assert_eq!(entries, [7, 8], "folded after the mark was made");
    // And those with the next.
    world.clock.advance(GRACE + Duration::from_secs(2));
    a.engine.collect_garbage().await.unwrap();
    let (entries, segments) = world.parts().await;
    let info = a.engine.describe(&name()).await.unwrap();
    assert_eq!(entries, [0; 0]);
    assert!(segments as u64 <= 3 * info.segments, "{segments} objects of {} segments", info.segments);
    for engine in [&a.engine, &b.engine, &world.node(3).engine] {
        assert_eq!(content(engine).await.unwrap(), later);
    }
    let report = a.engine.verify(&name(), |_| {}).await.unwrap();
    assert_eq!((report.rows, report.problems), (later.len() as u64, vec![]));
    let quiet = a.engine.collect_garbage().await.unwrap();
    assert_eq!((quiet.removed, quiet.marked), (0, 0), "nothing is left to do");
}

#[tokio::test]
async fn of_a_deleted_namespace_only_the_tombstone_stays() {
    let world = World::new();
    let a = world.node(1);
    upsert(&a, 0..20, 1.0).await;
    a.engine.compact(&name()).await.unwrap();
    upsert(&a, 5..9, 2.0).await;
    a.engine.delete_namespace(&name()).await.unwrap();
    a.engine.collect_garbage().await.unwrap();
    world.clock.advance(GRACE + Duration::from_secs(2));
    // A new life in between is not touched.
    upsert(&a, 50..55, 3.0).await;
    let done = a.engine.collect_garbage().await.unwrap();
    assert!(done.removed >= 5, "{done:?}");
    assert_eq!(world.parts().await, (vec![1], 0));
    assert_eq!(content(&world.node(2).engine).await.unwrap().len(), 5);
    a.engine.delete_namespace(&name()).await.unwrap();
    for _ in 0..2 {
        a.engine.collect_garbage().await.unwrap();
        world.clock.advance(GRACE + Duration::from_secs(2));
    }
    assert_eq!(world.keys().await, [keys::manifest(&name()).to_string()].into());
}

/// A node that slept while others wrote, folded and collected: it reads and writes rightly, although
/// the place after its newest entry looks free, or holds a request that came too late.
#[tokio::test]
async fn a_node_that_slept_is_not_fooled() {
    for ghost in [false, true] {
        let world = World::new();
        let (a, b) = (world.node(1), world.node(2));
        upsert(&a, 0..5, 1.0).await;
        assert_eq!(content(&b.engine).await.unwrap().len(), 5);
        upsert(&a, 5..12, 2.0).await;
        let second = world.keys().await.into_iter().find(|key| key.ends_with(&format!("{:020}", 2))).unwrap();
        let second = world.store.list(&second, None, 1).await.unwrap().remove(0).key;
        let entry = format::decode(&world.store.get(&second).await.unwrap().bytes).unwrap();
        a.engine.compact(&name()).await.unwrap();
        a.engine.collect_garbage().await.unwrap();
        world.clock.advance(GRACE + Duration::from_secs(2));
        a.engine.collect_garbage().await.unwrap();
        assert_eq!(world.parts().await.0, [0; 0]);
        if ghost {
            // Another entry for that place, in all else as it should be there.
            let mut header = entry.header.clone();
            header.entry_id = uuid::Uuid::from_u128(1);
            let mut changes = format::Changes::default();
            changes.delete(&[VectorId::trusted("r000")]);
            let bytes = format::encode(&header, &changes).unwrap();
            world.store.put_if_absent(&second, bytes).await.unwrap();
        }
        // First of all by an eventual read, which sees what a refresh put into the view.
        world.clock.advance(Duration::from_secs(61));
        let ids: Vec<_> = (0..12).map(|id| VectorId::trusted(&format!("r{id:03}"))).collect();
        let found = b.engine.fetch(&name(), &ids, Consistency::Eventual, NOTHING).await.unwrap();
        assert_eq!(found.len(), 12, "ghost: {ghost}");
        let c = world.node(3);
        assert_eq!(content(&c.engine).await.unwrap().len(), 12);
        // One that slept and writes first of all, so long that no ring remembers its place.
        for _ in 0..RING + 4 {
            upsert(&c, 20..21, 4.0).await;
        }
        a.engine.compact(&name()).await.unwrap();
        a.engine.collect_garbage().await.unwrap();
        world.clock.advance(GRACE + Duration::from_secs(2));
        a.engine.collect_garbage().await.unwrap();
        upsert(&b, 21..22, 5.0).await;
        for engine in [&a.engine, &b.engine, &c.engine, &world.node(4).engine] {
            assert_eq!(content(engine).await.unwrap().len(), 14);
        }
        let report = a.engine.verify(&name(), |_| {}).await.unwrap();
        assert_eq!((report.rows, report.problems), (14, vec![]));
    }
}

/// A merge is about to name its segment; meanwhile somebody finds that nothing refers to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_never_names_what_was_condemned() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    for round in 0..4 {
        upsert(&a, round * 10..round * 10 + 15, round as f32).await;
        let pause =
            Rule::on(Operation::Cas).key("/manifest").skip(1).inject(Fault::Delay(Duration::from_secs(3)));
        if round == 3 {
            a.faults.script(pause);
        }
        let compacting = tokio::spawn({
            let engine = a.engine.clone();
            async move { engine.compact(&name()).await }
        });
        if round == 3 {
            // The lookup is the last object of a segment, and the merged one is the fifth.
            while world.keys().await.iter().filter(|key| key.ends_with("/lookup")).count() < 5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let done = b.engine.collect_garbage().await.unwrap();
            assert_eq!(done.marked, 1);
        }
        compacting.await.unwrap().unwrap();
    }
    let before = content(&a.engine).await.unwrap();
    world.clock.advance(GRACE + Duration::from_secs(2));
    let done = b.engine.collect_garbage().await.unwrap();
    assert!(done.removed >= 2 + 4, "{done:?}: four entries and the merged segment");
    for engine in [&a.engine, &b.engine, &world.node(3).engine] {
        assert_eq!(content(engine).await.unwrap(), before);
    }
    let report = b.engine.verify(&name(), |_| {}).await.unwrap();
    assert_eq!((report.rows, report.problems), (before.len() as u64, vec![]));
    // What the fence stopped is done anew.
    assert_eq!(b.engine.compact(&name()).await.unwrap().merges, 1);
    assert_eq!(content(&a.engine).await.unwrap(), before);
}

#[tokio::test]
async fn nothing_is_judged_by_a_damaged_or_missing_manifest() {
    let world = World::new();
    let a = world.node(1);
    upsert(&a, 0..20, 1.0).await;
    a.engine.compact(&name()).await.unwrap();
    let key = keys::manifest(&name());
    let whole = world.store.get(&key).await.unwrap().bytes;
    let objects = world.keys().await;
    for damaged in [Some(whole.slice(..whole.len() / 2)), None] {
        match damaged {
            Some(bytes) => world.store.put(&key, bytes).await.unwrap(),
            None => world.store.delete_many(std::slice::from_ref(&key)).await.unwrap(),
        };
        for _ in 0..2 {
            let done = a.engine.collect_garbage().await.unwrap();
            assert_eq!((done.marked, done.removed), (0, 0));
            world.clock.advance(GRACE + Duration::from_secs(2));
        }
    }
    world.store.put(&key, whole).await.unwrap();
    assert_eq!(world.keys().await, objects);
}

#[tokio::test]
async fn a_damaged_mark_removes_nothing_but_itself() {
    let world = World::new();
    let a = world.node(1);
    upsert(&a, 0..20, 1.0).await;
    a.engine.compact(&name()).await.unwrap();
    a.engine.collect_garbage().await.unwrap();
    let marks = world.store.list("namespaces/docs/garbage/", None, 9).await.unwrap();
    let bytes = world.store.get(&marks[0].key).await.unwrap().bytes;
    world.store.put(&marks[0].key, bytes.slice(..bytes.len() - 9)).await.unwrap();
    world.clock.advance(GRACE + Duration::from_secs(2));
    let done = a.engine.collect_garbage().await.unwrap();
    assert_eq!((done.removed, done.marked), (0, 1), "a new mark is made");
    world.clock.advance(GRACE + Duration::from_secs(2));
    assert_eq!(a.engine.collect_garbage().await.unwrap().removed, 1);
}

/// A copy is the same rows by the same objects; each side then changes, compacts, is copied and goes
/// without the others noticing.
#[tokio::test]
async fn copies_share_objects_and_nothing_else() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    let named = |name: &str| NamespaceName::parse(name, "name").unwrap();
    let (copy, second) = (named("copy"), named("second"));
    for round in 0..3 {
        upsert(&a, round * 10..round * 10 + 15, round as f32).await;
        a.engine.compact(&name()).await.unwrap();
    }
    upsert(&a, 30..33, 7.0).await;
    let before = content(&a.engine).await.unwrap();
    let info = b.engine.copy_namespace(&name(), &copy).await.unwrap();
    assert_eq!((info.count, info.log_entries), (before.len() as u64, 0));
    assert_eq!(content_of(&a.engine, &copy).await.unwrap(), before);
    let exists = a.engine.copy_namespace(&name(), &copy).await;
    assert!(matches!(exists, Err(Error::NamespaceExists { .. })), "{exists:?}");
    assert!(matches!(a.engine.copy_namespace(&copy, &copy).await, Err(Error::Invalid { .. })));
    let missing = a.engine.copy_namespace(&named("missing"), &second).await;
    assert!(matches!(missing, Err(Error::NamespaceNotFound { .. })), "{missing:?}");
    // A copy of the copy, which has rows and deletes of its own by now.
    let gone = before.iter().take(9).map(|(id, _)| VectorId::trusted(id)).collect();
    assert_eq!(a.engine.delete(&copy, gone).await.unwrap(), 9);
    b.engine.copy_namespace(&copy, &second).await.unwrap();
    assert_eq!(content_of(&b.engine, &second).await.unwrap(), before[9..]);
    // The origin goes on, merges its segments away, and ends.
    upsert(&a, 0..35, 8.0).await;
    a.engine.compact(&name()).await.unwrap();
    collect_twice(&world, &a).await;
    for engine in [&a.engine, &b.engine, &world.node(3).engine] {
        assert_eq!(content_of(engine, &copy).await.unwrap(), before[9..]);
        assert_eq!(content_of(engine, &second).await.unwrap(), before[9..]);
        assert_eq!(content(engine).await.unwrap().len(), 35);
    }
    a.engine.delete_namespace(&name()).await.unwrap();
    a.engine.delete_namespace(&copy).await.unwrap();
    collect_twice(&world, &b).await;
    let fresh = world.node(4);
    assert_eq!(content_of(&fresh.engine, &second).await.unwrap(), before[9..]);
    let report = fresh.engine.verify(&second, |_| {}).await.unwrap();
    assert_eq!((report.rows, report.problems), (before.len() as u64 - 9, vec![]));
    // And with the last one goes everything: pins first, then what they held.
    fresh.engine.delete_namespace(&second).await.unwrap();
    collect_twice(&world, &b).await;
    collect_twice(&world, &b).await;
    let left: Vec<_> = world.keys().await.into_iter().filter(|key| !key.ends_with("/manifest")).collect();
    assert_eq!(left, [""; 0]);
}

/// The copy's node stopped between the pin and the manifest: the pin holds for the grace time only.
#[tokio::test]
async fn a_pin_without_a_copy_ends() {
    let world = World::new();
    let a = world.node(1);
    upsert(&a, 0..20, 1.0).await;
    a.engine.compact(&name()).await.unwrap();
    let copy = NamespaceName::parse("copy", "name").unwrap();
    a.faults.script(Rule::on(Operation::PutIfAbsent).key("copy/manifest").every(1).inject(Fault::Refused));
    assert!(a.engine.copy_namespace(&name(), &copy).await.is_err());
    assert!(world.keys().await.iter().any(|key| key.contains("/pins/")));
    upsert(&a, 0..20, 2.0).await;
    a.engine.compact(&name()).await.unwrap();
    let segments = world.parts().await.1;
    a.engine.collect_garbage().await.unwrap();
    world.clock.advance(GRACE + Duration::from_secs(2));
    a.engine.collect_garbage().await.unwrap();
    assert_eq!(world.parts().await.1, segments, "held while the copy might have come");
    collect_twice(&world, &a).await;
    collect_twice(&world, &a).await;
    assert!(!world.keys().await.iter().any(|key| key.contains("/pins/")));
    assert!(world.parts().await.1 < segments);
    assert_eq!(content(&a.engine).await.unwrap().len(), 20);
}

async fn collect_twice(world: &World, node: &Node) {
    for _ in 0..2 {
        let done = node.engine.collect_garbage().await.unwrap();
        assert_eq!(done.failed, 0);
        world.clock.advance(GRACE + Duration::from_secs(2));
    }
    node.engine.collect_garbage().await.unwrap();
}

/// A namespace goes to another store whole, while that one is collecting garbage: nothing of what
/// has no manifest yet is taken for garbage, then or later.
#[tokio::test]
async fn a_transfer_is_whole_and_safe_from_collections() {
    let (world, other) = (World::new(), World::new());
    let a = world.node(1);
    for round in 0..5 {
        upsert(&a, round * 10..round * 10 + 15, round as f32).await;
        a.engine.compact(&name()).await.unwrap();
    }
    upsert(&a, 48..52, 7.0).await;
    a.engine.put_index_blob(&name(), quiver::types::IndexType::ALL[0], "index".into()).await.unwrap();
    let before = content(&a.engine).await.unwrap();
    // The name was in use before, so what its manifest does not name can be judged. Everything is there
    // but the new manifest: now somebody collects.
    let to = NamespaceName::parse("restored", "name").unwrap();
    let collector = other.node(7);
    collector.engine.create_namespace(&to, Default::default(), quiver::engine::IfExists::Fail).await.unwrap();
    collector.engine.delete_namespace(&to).await.unwrap();
    let collected = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hook: quiver::storage::Hook = Arc::new({
        let (engine, collected) = (collector.engine.clone(), collected.clone());
        move |attempt| {
            let (engine, collected) = (engine.clone(), collected.clone());
            Box::pin(async move {
                let publishes = attempt.operation == Operation::Cas && attempt.key.ends_with("/manifest");
                if publishes && attempt.stage == quiver::storage::Stage::Before {
                    let done = engine.collect_garbage().await.unwrap();
                    assert_eq!((done.namespaces, done.failed), (1, 0));
                    collected.store(true, std::sync::atomic::Ordering::SeqCst);
                }
                quiver::storage::Verdict::Proceed
            })
        }
    });
    let metrics = Arc::new(Metrics::default());
    let store = other.store.as_seen_by(metrics.clone(), Some(hook));
    let clock: SharedClock = other.clock.clone();
    let target = Engine::with_random(store, clock, Random::seeded(9), &other.config, metrics).unwrap();
    let mut heard = Vec::new();
    let done =
        a.engine.transfer(&name(), &target, &to, |done, total| heard.push((done, total))).await.unwrap();
    assert!(collected.load(std::sync::atomic::Ordering::SeqCst), "nobody collected meanwhile");
    assert_eq!(done.rows, before.len() as u64);
    assert_eq!(heard.last().map(|(done, _)| *done), Some(done.bytes));
    assert!(heard.iter().all(|(done, total)| done <= total));
    for _ in 0..3 {
        other.clock.advance(GRACE + Duration::from_secs(2));
        assert_eq!(collector.engine.collect_garbage().await.unwrap().failed, 0);
    }
    let fresh = other.node(8);
    assert_eq!(content_of(&fresh.engine, &to).await.unwrap(), before);
    let blob = fresh.engine.get_index_blob(&to, quiver::types::IndexType::ALL[0]).await.unwrap();
    assert_eq!(blob, "index".as_bytes());
    let report = fresh.engine.verify(&to, |_| {}).await.unwrap();
    assert_eq!((report.rows, report.problems, report.garbage_objects), (before.len() as u64, vec![], 0));
    assert!(!other.keys().await.iter().any(|key| key.contains("/pins/")), "pins end by themselves");
    let again = a.engine.transfer(&name(), &target, &to, |_, _| {}).await;
    assert!(matches!(again, Err(Error::NamespaceExists { .. })), "{again:?}");
    // The source is as it was, and its pins end, too.
    assert_eq!(content(&a.engine).await.unwrap(), before);
    collect_twice(&world, &a).await;
    collect_twice(&world, &a).await;
    assert!(!world.keys().await.iter().any(|key| key.contains("/pins/")));
    // Damage on the way is named, and nothing is visible.
    let damaged = world.keys().await.into_iter().find(|key| key.ends_with("data.arrow")).unwrap();
    let damaged = world.store.list(&damaged, None, 1).await.unwrap().remove(0).key;
    let mut bytes = world.store.get(&damaged).await.unwrap().bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    world.store.put(&damaged, bytes.into()).await.unwrap();
    let second = NamespaceName::parse("second", "name").unwrap();
    let failed = a.engine.transfer(&name(), &target, &second, |_, _| {}).await;
    assert!(
        matches!(&failed, Err(Error::Corrupt { object, .. }) if *object == damaged.to_string()),
        "{failed:?}"
    );
    let missing = content_of(&fresh.engine, &second).await;
    assert!(matches!(missing, Err(Error::NamespaceNotFound { .. })), "{missing:?}");
}
