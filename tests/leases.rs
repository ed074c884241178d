//! Leases: of the nodes that hold a namespace one folds and merges, the others wait for it and take
//! over when it is silent; a merge that has one outlasts collections of garbage. In virtual time.

#[path = "support/mod.rs"]
mod shared;

use std::{sync::Arc, time::Duration};

use quiver::{
    clock::{Clock, Instant, SharedClock, Timestamp},
    config::{BackendConfig, Config},
    engine::{Consistency, Engine, Projection, manifest::Manifest},
    random::Random,
    storage::{Beneath, Operation, Part, Place, Store, keys, place},
    telemetry::Metrics,
    types::{NamespaceName, Rows, VectorId},
};
use shared::faults::{Fault, Faults, Rule};
use tokio::time::sleep;
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
const EVER: Duration = Duration::from_secs(1 << 20);

/// The clock of the runtime, which jumps to the next timer when there is nothing to do.
#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        let monotonic = self.0.elapsed();
        Instant { wall: Timestamp(1_700_000_000_000 + monotonic.as_millis() as i64), monotonic }
    }
}

struct World {
    store: Store,
    clock: SharedClock,
    config: Config,
}

struct Node {
    engine: Engine,
    faults: Faults,
}

impl World {
    /// A fold is due after four entries.
    fn new() -> Self {
        let clock: SharedClock = Arc::new(Virtual(tokio::time::Instant::now()));
        let mut config = Config::default();
        config.storage.backend = BackendConfig::Memory {};
        config.storage.timeout = Some(EVER);
        config.storage.retry.max_delay = Duration::from_millis(600);
        config.compaction.fold_entries = 4;
        config.compaction.lease = TERM;
        let beneath = Beneath { clock: Some(clock.clone()), ..Beneath::default() };
        let store = Store::open_over(&config.storage, Arc::default(), &beneath).unwrap();
        Self { store, clock, config }
    }

    fn node(&self, seed: u64) -> Node {
        let (faults, metrics) = (Faults::new(seed), Arc::new(Metrics::default()));
        let store = self.store.as_seen_by(metrics.clone(), Some(faults.hook()));
        let (clock, random) = (self.clock.clone(), Random::seeded(seed));
        let engine = Engine::with_random(store, clock, random, &self.config, metrics).unwrap();
        Node { engine, faults }
    }

    async fn manifest(&self) -> Manifest {
        let object = self.store.get(&keys::manifest(&name())).await.unwrap();
        Manifest::decode(&object.bytes).unwrap()
    }

    /// Leaves an object in the living incarnation that no manifest names.
    async fn litter(&self) -> String {
        let key = keys::segment_data(&name(), self.manifest().await.incarnation, Uuid::new_v4());
        self.store.put(&key, "litter".into()).await.unwrap();
        key.to_string()
    }

    /// Keys of segments' objects, and of leases.
    async fn keys(&self) -> (Vec<String>, Vec<String>) {
        let (mut segments, mut leases) = (Vec::new(), Vec::new());
        for listed in self.store.list("namespaces/", None, usize::MAX).await.unwrap() {
            match place(&listed.key) {
                Some((_, Place::Of(_, Part::Segment(_)))) => segments.push(listed.key.to_string()),
                Some((_, Place::Of(_, Part::Lease))) => leases.push(listed.key.to_string()),
                _ => {}
            }
        }
        (segments, leases)
    }
}

impl Node {
    /// Objects of segments that it has written.
    fn segment_objects(&self) -> u64 {
        self.faults.attempts_at(Operation::Put, "/segments/")
    }

    fn lease_writes(&self) -> u64 {
        let writes = [Operation::PutIfAbsent, Operation::Cas].into_iter();
        writes.map(|operation| self.faults.attempts_at(operation, "/leases/")).sum()
    }

    fn lease_reads(&self) -> u64 {
        let reads = [Operation::Get, Operation::GetIfChanged].into_iter();
        reads.map(|operation| self.faults.attempts_at(operation, "/leases/")).sum()
    }

    /// As many entries as make a fold due.
    async fn write(&self) {
        for id in 0..4 {
            upsert(&self.engine, id..id + 3).await;
        }
    }

    /// It reads everything, so that it knows the whole log.
    async fn read(&self) {
        assert!(self.engine.count(&name(), Consistency::Strong).await.unwrap() > 0);
    }

    async fn folded(&self) -> u64 {
        self.engine.describe(&name()).await.unwrap().folded_seq
    }

    /// Nothing reaches the store from now on.
    fn cut_off(&self) {
        self.faults.script(Rule::on_any().always().inject(Fault::Hang));
    }
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

async fn upsert(engine: &Engine, ids: std::ops::Range<usize>) {
    let rows = Rows {
        dimension: 2,
        vectors: ids.clone().flat_map(|id| [id as f32, 1.0]).collect(),
        metadata: vec![None; ids.len()],
        ttl: vec![None; ids.len()],
        without_vector: Vec::new(),
        ids: ids.map(|id| VectorId::trusted(&format!("r{id:03}"))).collect(),
    };
    engine.upsert(&name(), rows).await.unwrap();
}

async fn content(engine: &Engine) -> Vec<(String, f32)> {
    let projection = Projection { vectors: true, metadata: false };
    let page = engine.page(&name(), None, 10_000, projection).await.unwrap();
    page.rows.into_iter().map(|row| (row.id.to_string(), row.vector.unwrap()[0])).collect()
}

/// Both nodes know of a log that is long enough, while the fold of the first one is under way.
#[tokio::test(start_paused = true)]
async fn one_folds_and_the_other_takes_what_it_folded() {
    for lease in [TERM, Duration::ZERO] {
        let mut world = World::new();
        world.config.compaction.lease = lease;
        let (a, b) = (world.node(1), world.node(2));
        a.faults.script(
            Rule::on(Operation::Put).key("/segments/").always().inject(Fault::Delay(Duration::from_secs(2))),
        );
        for round in 1..=10 {
            a.write().await;
            b.read().await;
            sleep(Duration::from_secs(15)).await;
            assert_eq!(world.manifest().await.folded, 4 * round);
            // Without a request that makes it look.
            let info = b.engine.describe(&name()).await.unwrap();
            assert_eq!((info.folded_seq, info.log_entries), (4 * round, 0), "{lease:?}");
        }
        let (ours, others) = (a.segment_objects(), b.segment_objects());
        if lease.is_zero() {
            assert!(others > 10 && a.lease_writes() + b.lease_reads() == 0, "{others} objects of segments");
        } else {
            assert!(ours >= 2 * 10 && others == 0, "{ours} and {others} objects of segments");
            assert!(b.lease_reads() >= 10 && b.lease_writes() == 0);
        }
        assert_eq!(content(&a.engine).await, content(&b.engine).await);
        let report = b.engine.verify(&name(), |_| {}).await.unwrap();
        assert_eq!((report.problems, report.foreign), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_folds_all_the_time_writes_its_lease_rarely() {
    let world = World::new();
    let a = world.node(1);
    for round in 0..120 {
        for id in 0..4 {
            upsert(&a.engine, round * 4 + id..round * 4 + id + 1).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(a.folded().await > 4 * 100 && a.segment_objects() > 250, "folds and merges");
    let writes = a.lease_writes();
    // Two leases, every ten seconds.
    assert!((2..=26).contains(&writes), "{writes} writes of leases");
    assert_eq!(a.lease_reads(), 2, "one for each, at first");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_is_succeeded_after_the_term() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    a.write().await;
    sleep(MINUTE).await;
    assert_eq!(world.manifest().await.folded, 4);
    a.cut_off();
    b.write().await;
    sleep(TERM - Duration::from_secs(1)).await;
    assert_eq!((world.manifest().await.folded, b.segment_objects()), (4, 0), "it might still be at it");
    // No request comes to wake it.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.manifest().await.folded, 8);
    // And from then on at once.
    b.write().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.manifest().await.folded, 12);
}

/// The one that had the lease comes back, finds it taken, and leaves the work to the other.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_is_lost() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    a.write().await;
    sleep(MINUTE).await;
    a.cut_off();
    b.write().await;
    sleep(MINUTE).await;
    a.faults.calm();
    let before = a.segment_objects();
    for _ in 0..5 {
        b.faults.script(Rule::on(Operation::Put).key("/data.arrow").inject(Fault::Delay(MINUTE / 4)));
        b.write().await;
        a.read().await;
        sleep(MINUTE / 2).await;
    }
    assert_eq!((world.manifest().await.folded, a.folded().await), (28, 28));
    assert_eq!(a.segment_objects(), before);
}

/// Advice that cannot be had is done without.
#[tokio::test(start_paused = true)]
async fn folding_goes_on_without_leases() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    a.write().await;
    sleep(Duration::from_secs(5)).await;
    for fault in [Fault::Unavailable, Fault::Refused, Fault::LostRequest] {
        b.faults.calm();
        b.faults.script(Rule::on_any().key("/leases/").always().inject(fault));
        b.write().await;
        sleep(Duration::from_secs(5)).await;
        let manifest = world.manifest().await;
        assert_eq!(manifest.folded, b.engine.describe(&name()).await.unwrap().head_seq, "{fault:?}");
    }
    // It can be read, but not written; or only the reply is lost.
    for (operation, fault) in [(Operation::Cas, Fault::Unavailable), (Operation::Cas, Fault::LostReply)] {
        sleep(MINUTE).await;
        b.faults.calm();
        b.faults.script(Rule::on(operation).key("/leases/").always().inject(fault));
        b.write().await;
        sleep(Duration::from_secs(5)).await;
        let manifest = world.manifest().await;
        let head = b.engine.describe(&name()).await.unwrap().head_seq;
        assert!(manifest.folded == head || fault == Fault::Unavailable, "{fault:?}");
    }
    b.faults.calm();
    // Damaged: it is replaced.
    let key = keys::fold_lease(&name(), world.manifest().await.incarnation);
    let damaged = "{}\n{}\n";
    world.store.put(&key, damaged.into()).await.unwrap();
    sleep(MINUTE).await;
    b.write().await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.manifest().await.folded, b.engine.describe(&name()).await.unwrap().head_seq);
    assert_ne!(world.store.get(&key).await.unwrap().bytes, damaged.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_compact_does_not_wait() {
    let world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    a.write().await;
    sleep(Duration::from_secs(1)).await;
    upsert(&b.engine, 0..3).await;
    let done = b.engine.compact(&name()).await.unwrap();
    assert_eq!((done.folds, world.manifest().await.folded), (1, 5));
    assert_eq!(b.lease_writes(), 0, "it is done before anybody has to know");
}

/// Four segments, the last of which makes a merge due; that one is held up for hours after it has
/// written the rows. Returns the key of those.
async fn begin_long_merge(world: &World, a: &Node) -> (tokio::task::JoinHandle<u64>, String) {
    for part in 0..4 {
        upsert(&a.engine, part * 10..part * 10 + 15).await;
        if part < 3 {
            assert_eq!(a.engine.compact(&name()).await.unwrap().merges, 0);
        }
    }
    let before = world.keys().await.0;
    // The fold's lookup passes, the merge's does not.
    let hours = Fault::Delay(180 * MINUTE);
    a.faults.script(Rule::on(Operation::Put).key("/lookup").skip(1).inject(hours));
    let engine = a.engine.clone();
    let merging = tokio::spawn(async move { engine.compact(&name()).await.unwrap().merges });
    sleep(MINUTE).await;
    let named: Vec<Uuid> = world.manifest().await.segments.iter().map(|segment| segment.id).collect();
    let is_merged =
        |key: &&String| !before.contains(key) && !named.iter().any(|id| key.contains(&id.to_string()));
    let merged: Vec<String> = world.keys().await.0.iter().filter(is_merged).cloned().collect();
    assert_eq!(merged.len(), 1, "the rows: {merged:?}");
    (merging, merged[0].clone())
}

/// Collects every quarter of an hour, and always finds something. Returns how often it condemned.
async fn collect_for(world: &World, node: &Node, rounds: usize) -> u64 {
    let mut marked = 0;
    for _ in 0..rounds {
        world.litter().await;
        let done = node.engine.collect_garbage().await.unwrap();
        assert_eq!(done.failed, 0);
        marked += done.marked;
        sleep(15 * MINUTE).await;
    }
    marked
}

#[tokio::test(start_paused = true)]
async fn a_merge_outlasts_collections() {
    let mut world = World::new();
    world.config.compaction.background = false;
    let (a, b) = (world.node(1), world.node(2));
    let (merging, _) = begin_long_merge(&world, &a).await;
    let litter = world.litter().await;
    assert!(collect_for(&world, &b, 11).await >= 2);
    let manifest = world.manifest().await;
    assert!(manifest.fence > 4 && manifest.spared.len() == 1, "{manifest:?}");
    assert_eq!(merging.await.unwrap(), 1, "the fence shut the merge out");
    let manifest = world.manifest().await;
    assert_eq!(manifest.segments.len(), 1);
    // What it replaced goes, what it wrote stays.
    assert!(collect_for(&world, &b, 16).await >= 2);
    let (segments, leases) = world.keys().await;
    assert!(!segments.contains(&litter) && leases.len() == 1, "{leases:?}");
    let id = manifest.segments[0].id.to_string();
    assert_eq!(segments.iter().filter(|key| key.contains(&id)).count(), 2);
    let fresh = world.node(3);
    assert_eq!(content(&fresh.engine).await.len(), 45);
    assert_eq!(content(&a.engine).await, content(&fresh.engine).await);
    let report = b.engine.verify(&name(), |_| {}).await.unwrap();
    assert_eq!((report.problems, report.foreign), (vec![], vec![]));
    // The lease goes with its incarnation.
    b.engine.delete_namespace(&name()).await.unwrap();
    for _ in 0..4 {
        b.engine.collect_garbage().await.unwrap();
        sleep(61 * MINUTE).await;
    }
    assert_eq!(world.keys().await, (vec![], vec![]));
}

/// A lease is renewed before it is as old as garbage.
#[tokio::test(start_paused = true)]
async fn a_merge_outlasts_collections_with_little_grace() {
    let mut world = World::new();
    world.config.compaction.background = false;
    world.config.garbage.grace = TERM / 6;
    let (a, b) = (world.node(1), world.node(2));
    let (merging, _) = begin_long_merge(&world, &a).await;
    let mut marked = 0;
    while !merging.is_finished() {
        world.litter().await;
        marked += b.engine.collect_garbage().await.unwrap().marked;
        sleep(TERM).await;
    }
    assert!(marked > 100, "{marked} collections found something");
    assert_eq!(merging.await.unwrap(), 1, "what it wrote was collected");
    assert_eq!(content(&world.node(3).engine).await.len(), 45);
}

/// A merge moves rows; what is known of the log after the fold stays, and is not read again.
#[tokio::test(start_paused = true)]
async fn a_merge_makes_nobody_read_the_log_again() {
    let mut world = World::new();
    world.config.compaction.background = false;
    let (a, b) = (world.node(1), world.node(2));
    let log_reads = |node: &Node| node.faults.attempts_at(Operation::Get, "/log/");
    for clear in [false, true] {
        let (merging, _) = begin_long_merge(&world, &a).await;
        // Rows of the segments that are merged are replaced and removed, and there are new ones.
        let before = content(&b.engine).await.len();
        for id in [3, 12, 40, 60] {
            upsert(&b.engine, id..id + 2).await;
            a.read().await;
        }
        if clear {
            assert_eq!(b.engine.delete_all(&name()).await.unwrap(), before as u64 + 2);
            upsert(&b.engine, 70..75).await;
        }
        let gone = [4, 13, 14, 61, 71].map(|id| VectorId::trusted(&format!("r{id:03}")));
        b.engine.delete(&name(), gone.into()).await.unwrap();
        a.read().await;
        let reads = log_reads(&a);
        assert_eq!(merging.await.unwrap(), 1);
        assert_eq!(log_reads(&a), reads);
        // Entries that it has not met while it moved are there, too.
        upsert(&a.engine, 20..21).await;
        let fresh = content(&world.node(3).engine).await;
        assert_eq!(fresh.len(), if clear { 5 } else { before + 2 - 4 });
        for node in [&a, &b] {
            assert_eq!(content(&node.engine).await, fresh);
        }
        let reads = log_reads(&b);
        assert_eq!(b.engine.compact(&name()).await.unwrap().folds, 1);
        assert_eq!(log_reads(&b), reads + 1, "whether there is anything new");
        for engine in [&a.engine, &b.engine, &world.node(4).engine] {
            assert_eq!(content(engine).await, fresh);
        }
        let report = b.engine.verify(&name(), |_| {}).await.unwrap();
        assert_eq!((report.rows, report.problems), (fresh.len() as u64, vec![]));
        b.engine.delete_namespace(&name()).await.unwrap();
        a.faults.calm();
    }
}

/// A lease that nobody renews protects nothing for long.
#[tokio::test(start_paused = true)]
async fn what_a_dead_merge_wrote_is_collected() {
    let mut world = World::new();
    world.config.compaction.background = false;
    let (a, b) = (world.node(1), world.node(2));
    let (merging, rows) = begin_long_merge(&world, &a).await;
    merging.abort();
    // Whatever it still wants does not get through.
    a.faults.script(Rule::on_any().always().inject(Fault::Unavailable));
    collect_for(&world, &b, 3).await;
    assert!(world.keys().await.0.contains(&rows), "spared");
    collect_for(&world, &b, 16).await;
    assert!(!world.keys().await.0.contains(&rows));
    assert_eq!(content(&b.engine).await.len(), 45);
}
