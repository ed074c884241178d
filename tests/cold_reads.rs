//! What a node needs that knows nothing: round trips and requests, counted; and that it forgets again.

#[path = "cold_reads/bed.rs"]
mod bed;
#[path = "../benches/support/data.rs"]
mod data;
#[path = "cold_reads/ranges.rs"]
mod ranges;
#[path = "support/mod.rs"]
mod shared;

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use quiver::{
    clock::{ManualClock, SharedClock},
    config::{BackendConfig, Config},
    engine::{Consistency, Engine, Projection, Query},
    random::Random,
    storage::{Hook, Operation, Stage, Store, Verdict},
    telemetry::{Metrics, Usage, metered},
    types::{NamespaceName, Rows, VectorId},
};

/// How long every request takes, on a clock that only moves while everybody waits.
const TRIP: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    config.compaction.background = false;
    config
}

struct Node {
    engine: Engine,
    metrics: Arc<Metrics>,
    clock: Arc<ManualClock>,
}

/// A node that knows nothing; on a `slow` one every request takes a [`TRIP`].
fn node(store: &Store, config: &Config, slow: bool) -> Node {
    node_that(store, config, slow.then(slow_hook))
}

fn slow_hook() -> Hook {
    Arc::new(|attempt| {
        async move {
            if attempt.stage == Stage::Before {
                tokio::time::sleep(TRIP).await;
            }
            Verdict::Proceed
        }
        .boxed()
    })
}

/// A node that knows nothing, with something around its requests.
fn node_that(store: &Store, config: &Config, hook: Option<Hook>) -> Node {
    let (clock, metrics) = (ManualClock::starting_at(1_700_000_000_000), Arc::new(Metrics::default()));
    let store = store.as_seen_by(metrics.clone(), hook);
    let shared: SharedClock = clock.clone();
    let engine = Engine::with_random(store, shared, Random::seeded(1), config, metrics.clone()).unwrap();
    Node { engine, metrics, clock }
}

fn name(name: &str) -> NamespaceName {
    NamespaceName::parse(name, "name").unwrap()
}

async fn upsert(node: &Node, namespace: &str, ids: std::ops::Range<usize>) {
    let rows = Rows {
        dimension: 4,
        vectors: ids.clone().flat_map(|id| [1.0, id as f32, 0.5, 0.25]).collect(),
        metadata: vec![None; ids.len()],
        ttl: vec![None; ids.len()],
        without_vector: Vec::new(),
        ids: ids.map(|id| VectorId::trusted(&format!("r{id}"))).collect(),
    };
    node.engine.upsert(&name(namespace), rows).await.unwrap();
}

/// Rows found, what that cost, and how many requests had to wait for each other.
async fn query(node: &Node, namespace: &str, consistency: Consistency) -> (usize, Usage, u64) {
    let query = Query {
        vector: vec![1.0, 2.0, 0.0, 0.0],
        top_k: 10_000,
        distance: None,
        accuracy: None,
        index: None,
        filter: None,
        projection: Projection { vectors: false, metadata: false },
        cut: Default::default(),
    };
    let began = tokio::time::Instant::now();
    let before = requests(node);
    let (found, usage) = metered(node.engine.query(&name(namespace), vec![query], consistency)).await;
    assert_eq!(usage.requests, requests(node) - before, "all that was asked of the store is reported");
    (found.unwrap()[0].hits.len(), usage, began.elapsed().as_secs() / TRIP.as_secs())
}

fn requests(node: &Node) -> u64 {
    let operations = [
        Operation::Get,
        Operation::GetIfChanged,
        Operation::GetRange,
        Operation::List,
        Operation::Size,
        Operation::Put,
        Operation::PutIfAbsent,
        Operation::Cas,
        Operation::Delete,
    ];
    operations.iter().map(|operation| node.metrics.store.requests(operation.as_str())).sum()
}

#[tokio::test(start_paused = true)]
async fn a_cold_query_takes_three_round_trips() {
    let config = config();
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let writer = node(&store, &config, false);
    for round in 0..3 {
        upsert(&writer, "docs", round * 10..round * 10 + 12).await;
        writer.engine.compact(&name("docs")).await.unwrap();
    }
    let segments = writer.engine.describe(&name("docs")).await.unwrap().segments;
    assert_eq!(segments, 3);
    // The manifest; data, lookup and (but for the newest) deletes of each segment, and the listing of
    // the log; the place after the fold, where nothing is.
    let cold = node(&store, &config, true);
    let (found, usage, trips) = query(&cold, "docs", Consistency::Strong).await;
    assert_eq!((found, usage.requests, trips), (32, 1 + 3 * 2 + 2 + 1 + 1, 3));
    assert!(usage.bytes_read > 32 * 4 * 4, "{usage:?}");
    // Again: the place after the newest entry, and nothing else.
    assert_eq!(
        query(&cold, "docs", Consistency::Strong).await,
        (32, Usage { requests: 1, bytes_read: 0 }, 1)
    );
    assert_eq!(query(&cold, "docs", Consistency::Eventual).await.1, Usage::default());
    // A log of any length that is folded at all is one round trip more than none, that of its entries.
    for round in 0..40 {
        upsert(&writer, "docs", 100 + round..101 + round).await;
    }
    let cold = node(&store, &config, true);
    let (found, usage, trips) = query(&cold, "docs", Consistency::Strong).await;
    assert_eq!((found, usage.requests, trips), (72, 1 + 3 * 2 + 2 + 1 + 40 + 1, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_warmed_is_not_read_again() {
    let config = config();
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let writer = node(&store, &config, false);
    upsert(&writer, "docs", 0..100).await;
    writer.engine.compact(&name("docs")).await.unwrap();
    upsert(&writer, "docs", 100..103).await;
    let cold = node(&store, &config, true);
    let warmed = cold.engine.warm(&name("docs")).await.unwrap();
    assert_eq!((warmed.rows, warmed.skipped), (100, 3));
    let warmed = cold.engine.warm(&name("docs")).await.unwrap();
    assert_eq!((warmed.rows, warmed.skipped), (0, 103));
    let (found, usage, trips) = query(&cold, "docs", Consistency::Strong).await;
    assert_eq!((found, usage.requests, trips), (103, 1, 1));
}

#[tokio::test]
async fn namespaces_that_nobody_asks_for_are_let_go() {
    let mut config = config();
    config.cache.namespaces = 10;
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let writer = node(&store, &config, false);
    let names: Vec<String> = (0..60).map(|number| format!("ns-{number}")).collect();
    for name in &names {
        upsert(&writer, name, 0..5).await;
    }
    let reader = node(&store, &config, false);
    let loaded = || reader.metrics.log.namespaces_loaded.get();
    for _ in 0..2 {
        for name in &names {
            reader.clock.advance(Duration::from_millis(1));
            assert_eq!(query(&reader, name, Consistency::Strong).await.0, 5);
            assert!(loaded() <= 10, "{}", loaded());
        }
    }
    assert_eq!(loaded(), 10);
    // The newest are still here.
    assert_eq!(query(&reader, &names[59], Consistency::Strong).await.1.requests, 1);
    assert!(query(&reader, &names[0], Consistency::Strong).await.1.requests > 1);
    // A write and reads of the same namespace at the same time are served by one of it.
    let writes = names.iter().map(|name| upsert(&reader, name, 5..6));
    futures::future::join_all(writes).await;
    for name in &names {
        assert_eq!(query(&reader, name, Consistency::Strong).await.0, 6);
    }
    upsert(&writer, "late", 0..5).await;
    let unloading = tokio::spawn(reader.engine.clone().unload_in_background());
    reader.clock.advance(config.cache.idle_timeout + Duration::from_secs(1));
    // One that is not loaded: whoever loads lets go of others.
    query(&reader, "late", Consistency::Strong).await;
    assert!(loaded() <= 2, "{} are loaded", loaded());
    unloading.abort();
}
