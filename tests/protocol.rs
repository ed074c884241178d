//! The commit protocol against a store that misbehaves.

#[path = "protocol/conditions.rs"]
mod conditions;
#[path = "support/faults.rs"]
mod faults;
#[path = "protocol/storm.rs"]
mod storm;

use std::{sync::Arc, time::Duration};

use faults::{Fault, Faults, Rule};
use quiver::{
    clock::{ManualClock, SharedClock},
    config::{BackendConfig, Config, RetryConfig, StorageConfig},
    engine::{Consistency, Engine, IfExists, NamespaceSpec, Projection},
    error::Error,
    random::Random,
    storage::{Operation, Store},
    telemetry::Metrics,
    types::{NamespaceName, Rows, VectorId},
};

const ALL: Projection = Projection { vectors: true, metadata: true };

/// Several nodes on one store in memory, each with faults of its own.
struct Cluster {
    store: Store,
    config: Config,
    clock: Arc<ManualClock>,
}

struct Node {
    engine: Engine,
    faults: Faults,
}

impl Cluster {
    fn new() -> Self {
        let mut config = Config {
            storage: StorageConfig {
                backend: BackendConfig::Memory {},
                retry: RetryConfig {
                    tries: 3,
                    min_delay: Duration::from_millis(1),
                    max_delay: Duration::from_millis(5),
                    factor: 2.0,
                },
                timeout: Some(Duration::from_millis(200)),
                concurrency: None,
            },
            ..Config::default()
        };
        config.log.settle_timeout = Duration::from_secs(5);
        // Folds and merges all the time.
        config.compaction.fold_entries = 3;
        config.compaction.fold_interval = Duration::ZERO;
        let store = Store::open(&config.storage, Arc::default()).expect("memory always opens");
        Self { store, config, clock: ManualClock::starting_at(1_700_000_000_000) }
    }

    fn node(&self, seed: u64) -> Node {
        let faults = Faults::new(seed);
        let metrics = Arc::new(Metrics::default());
        let store = self.store.as_seen_by(metrics.clone(), Some(faults.hook()));
        let clock: SharedClock = self.clock.clone();
        let engine = Engine::with_random(store, clock, Random::seeded(seed), &self.config, metrics).unwrap();
        Node { engine, faults }
    }
}

fn ns(name: &str) -> NamespaceName {
    NamespaceName::parse(name, "name").unwrap()
}

fn id(id: &str) -> VectorId {
    VectorId::trusted(id)
}

fn rows(list: &[(&str, f32)]) -> Rows {
    Rows {
        dimension: 2,
        without_vector: Vec::new(),
        ids: list.iter().map(|(name, _)| id(name)).collect(),
        vectors: list.iter().flat_map(|(_, value)| [*value, 1.0]).collect(),
        metadata: vec![None; list.len()],
        ttl: vec![None; list.len()],
    }
}

async fn content(node: &Node, name: &str) -> Vec<(String, f32)> {
    let page = node.engine.page(&ns(name), None, 1000, ALL).await.unwrap();
    page.rows.into_iter().map(|row| (row.id.to_string(), row.vector.unwrap()[0])).collect()
}

fn expected(list: &[(&str, f32)]) -> Vec<(String, f32)> {
    list.iter().map(|(id, value)| (id.to_string(), *value)).collect()
}

#[tokio::test]
async fn nodes_see_each_others_writes_at_once_and_counts_are_exact() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node(1), cluster.node(2));
    let name = ns("docs");
    let done = a.engine.upsert(&name, rows(&[("x", 1.0), ("y", 2.0), ("x", 3.0)])).await.unwrap();
    assert_eq!((done.upserted, done.inserted), (2, 2));
    assert_eq!(content(&b, "docs").await, expected(&[("x", 3.0), ("y", 2.0)]));
    let done = b.engine.upsert(&name, rows(&[("x", 4.0), ("z", 5.0)])).await.unwrap();
    assert_eq!((done.upserted, done.inserted), (2, 1));
    assert_eq!(a.engine.count(&name, Consistency::Strong).await.unwrap(), 3);
    assert_eq!(a.engine.delete(&name, vec![id("y"), id("nope"), id("y")]).await.unwrap(), 1);
    assert_eq!(content(&b, "docs").await, expected(&[("x", 4.0), ("z", 5.0)]));
    assert_eq!(b.engine.delete_all(&name).await.unwrap(), 2);
    assert_eq!(a.engine.count(&name, Consistency::Strong).await.unwrap(), 0);
    let info = a.engine.describe(&name).await.unwrap();
    assert_eq!((info.dimension, info.count, info.head_seq), (Some(2), 0, 4));
}

#[tokio::test]
async fn the_steady_state_is_one_request_a_write_and_one_a_strong_read() {
    let mut cluster = Cluster::new();
    cluster.config.compaction.background = false;
    let node = cluster.node(1);
    let name = ns("docs");
    node.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
    let total =
        |node: &Node| Operation::ALL.iter().map(|operation| node.faults.attempts(*operation)).sum::<u64>();
    let before = total(&node);
    for _ in 0..10 {
        node.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
    }
    assert_eq!(total(&node) - before, 10);
    for _ in 0..10 {
        node.engine.count(&name, Consistency::Strong).await.unwrap();
    }
    assert_eq!(total(&node) - before, 20);
    node.engine.count(&name, Consistency::Eventual).await.unwrap();
    assert_eq!(total(&node) - before, 20);
    // Once the last look at the manifest is too old, a read looks again.
    cluster.clock.advance(Duration::from_secs(31));
    node.engine.count(&name, Consistency::Strong).await.unwrap();
    assert_eq!(total(&node) - before, 22);
}

/// Group commit: what arrives while an entry is on its way becomes one entry, the next.
#[tokio::test]
async fn requests_that_arrive_during_a_put_share_the_next_entry() {
    let cluster = Cluster::new();
    let node = cluster.node(1);
    let name = ns("docs");
    node.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
    node.faults.script(
        Rule::on(Operation::PutIfAbsent).key("/log/").inject(Fault::Delay(Duration::from_millis(100))),
    );
    let write = async |number: usize| {
        // The first one is on its way when the others come.
        tokio::time::sleep(Duration::from_millis(if number == 0 { 0 } else { 30 })).await;
        let id = format!("r{number}");
        node.engine.upsert(&name, rows(&[(&id, number as f32)])).await.unwrap()
    };
    let done = futures::future::join_all((0..9).map(write)).await;
    assert!(done.iter().all(|done| (done.upserted, done.inserted) == (1, 1)), "each gets its own answer");
    let info = node.engine.describe(&name).await.unwrap();
    assert_eq!((info.count, info.head_seq), (10, 3));
}

#[tokio::test]
async fn a_lost_reply_is_our_own_success_and_counts_stay_exact() {
    for fault in [Fault::LostReply, Fault::HangAfter, Fault::LostRequest, Fault::Hang] {
        let cluster = Cluster::new();
        let node = cluster.node(1);
        let name = ns("docs");
        node.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
        node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").inject(fault));
        let done = node.engine.upsert(&name, rows(&[("x", 2.0), ("y", 2.0)])).await.unwrap();
        assert_eq!((done.upserted, done.inserted), (2, 1), "{fault:?}");
        assert_eq!(node.engine.describe(&name).await.unwrap().head_seq, 2, "{fault:?}");
        assert_eq!(content(&node, "docs").await, expected(&[("x", 2.0), ("y", 2.0)]), "{fault:?}");
    }
}

#[tokio::test]
async fn unavailable_promises_no_effect_and_unknown_is_said_only_when_it_is() {
    let cluster = Cluster::new();
    let (node, other) = (cluster.node(1), cluster.node(2));
    let name = ns("docs");
    node.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();

    node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").times(3).inject(Fault::Unavailable));
    let error = node.engine.upsert(&name, rows(&[("x", 2.0)])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(node.faults.injected(), 3, "three tries");
    assert_eq!(content(&other, "docs").await, expected(&[("x", 1.0)]));

    node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").inject(Fault::Refused));
    let error = node.engine.upsert(&name, rows(&[("x", 2.0)])).await.unwrap_err();
    assert!(matches!(error, Error::StoreRefused { .. }), "{error:?}");
    assert_eq!(content(&other, "docs").await, expected(&[("x", 1.0)]));

    // The reply is lost and nothing can be read back: only then is the outcome unknown.
    node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").always().inject(Fault::LostReply));
    node.faults.script(Rule::on(Operation::GetSettled).always().inject(Fault::Unavailable));
    let advance = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cluster.clock.advance(Duration::from_secs(1));
        }
    };
    let error = tokio::select! {
        result = node.engine.upsert(&name, rows(&[("x", 3.0)])) => result.unwrap_err(),
        () = advance => unreachable!(),
    };
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    node.faults.calm();
    // It did take effect, and the node that did not know finds out.
    assert_eq!(content(&node, "docs").await, expected(&[("x", 3.0)]));
    node.engine.upsert(&name, rows(&[("x", 4.0)])).await.unwrap();
    assert_eq!(content(&other, "docs").await, expected(&[("x", 4.0)]));
    assert_eq!(other.engine.describe(&name).await.unwrap().head_seq, 3);
}

#[tokio::test]
async fn a_namespace_that_is_deleted_and_created_anew_is_empty_everywhere() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node(1), cluster.node(2));
    let name = ns("docs");
    a.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
    assert_eq!(b.engine.count(&name, Consistency::Strong).await.unwrap(), 1);
    a.engine.delete_namespace(&name).await.unwrap();
    let gone = |result: quiver::error::Result<u64>| matches!(result, Err(Error::NamespaceNotFound { .. }));
    assert!(gone(a.engine.count(&name, Consistency::Strong).await));
    assert!(gone(b.engine.count(&name, Consistency::Strong).await));
    assert_eq!(a.engine.list_namespaces("", None, 10).await.unwrap(), (vec![], false));
    let spec = NamespaceSpec { dimension: Some(3), distance: None };
    let (info, created) = b.engine.create_namespace(&name, spec, IfExists::Fail).await.unwrap();
    assert_eq!((info.count, info.dimension, created), (0, Some(3), true));
    let error = a.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap_err();
    assert!(matches!(error, Error::DimensionMismatch { expected: 3, actual: 2, .. }), "{error:?}");
    assert_eq!(a.engine.list_namespaces("do", None, 10).await.unwrap(), (vec![name.clone()], false));
}

#[tokio::test]
async fn a_crash_between_seal_and_tombstone_is_mended_by_the_next_node() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node(1), cluster.node(2));
    let name = ns("docs");
    a.engine.upsert(&name, rows(&[("x", 1.0)])).await.unwrap();
    a.faults.script(Rule::on(Operation::Cas).always().inject(Fault::Refused));
    a.engine.delete_namespace(&name).await.unwrap_err();
    let error = b.engine.count(&name, Consistency::Strong).await.unwrap_err();
    assert!(matches!(error, Error::NamespaceNotFound { .. }), "{error:?}");
    b.engine.upsert(&name, rows(&[("y", 1.0)])).await.unwrap();
    assert_eq!(content(&b, "docs").await, expected(&[("y", 1.0)]));
    a.faults.calm();
    assert_eq!(content(&a, "docs").await, expected(&[("y", 1.0)]));
}
