//! Indexes of segments under everything that happens to a namespace: an answer has live rows only,
//! each once, with its exact score, and nearly all of the best ones.

#[path = "../benches/support/data.rs"]
mod data;
#[path = "support/mod.rs"]
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use data::DataSet;
use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::{Accuracy, Consistency, Engine, NamespaceSpec, Projection, Query, QueryResult},
    random::Random,
    storage::Store,
    telemetry::Metrics,
    types::{Distance, NamespaceName, Rows, VectorId},
};

const TOP_K: usize = 10;

fn config() -> Config {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    config.compaction.background = false;
    // The slice of real data has a few hundred rows.
    config.index.min_rows = 100;
    config
}

fn node(store: &Store, config: &Config, seed: u64) -> Engine {
    let store = store.as_seen_by(Arc::new(Metrics::default()), None);
    Engine::with_random(store, SystemClock::shared(), Random::seeded(seed), config, Arc::default()).unwrap()
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

/// Rows of the data set by number, under ids of their own.
fn rows(data: &DataSet, rows: &[(String, usize)], ttl: Option<Duration>) -> Rows {
    Rows {
        dimension: data.dimension,
        vectors: rows.iter().flat_map(|(_, row)| data.values(row * data.dimension, data.dimension)).collect(),
        metadata: vec![None; rows.len()],
        ttl: vec![ttl; rows.len()],
        without_vector: Vec::new(),
        ids: rows.iter().map(|(id, _)| VectorId::trusted(id)).collect(),
    }
}

async fn query(engine: &Engine, data: &DataSet, number: usize, accuracy: Accuracy) -> QueryResult {
    let query = Query {
        vector: data.query(number).to_vec(),
        top_k: TOP_K,
        distance: None,
        accuracy: Some(accuracy),
        index: None,
        filter: None,
        projection: Projection { vectors: false, metadata: false },
        cut: Default::default(),
    };
    engine.query(&name(), vec![query], Consistency::Strong).await.unwrap().remove(0)
}

/// Removes the rows of which the place in id order is chosen.
async fn remove(engine: &Engine, live: &mut BTreeMap<String, usize>, chosen: impl Fn(usize) -> bool) {
    let gone: BTreeSet<String> =
        live.keys().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, id)| id.clone()).collect();
    engine.delete(&name(), gone.iter().map(|id| VectorId::trusted(id)).collect()).await.unwrap();
    live.retain(|id, _| !gone.contains(id));
}

fn ids(result: &QueryResult) -> BTreeSet<String> {
    result.hits.iter().map(|hit| hit.row.id.to_string()).collect()
}

/// Compares approximate answers with exact ones and these with the model; returns the recall.
async fn check(
    engine: &Engine,
    data: &DataSet,
    live: &BTreeMap<String, usize>,
    indexed: Option<bool>,
) -> f64 {
    let (mut hits, mut wanted) = (0, 0);
    for number in 0..data.query_count() {
        let exact = query(engine, data, number, Accuracy::Exact).await;
        assert_eq!(exact.work.indexed_segments, 0);
        assert_eq!(exact.hits.len(), TOP_K.min(live.len()));
        let scores: BTreeMap<_, _> =
            exact.hits.iter().map(|hit| (hit.row.id.to_string(), hit.score)).collect();
        for accuracy in [Accuracy::Recall(0.9), Accuracy::Effort(0.3)] {
            let near = query(engine, data, number, accuracy).await;
            if let Some(indexed) = indexed {
                assert_eq!(near.work.indexed_segments > 0, indexed);
            }
            assert_eq!(near.hits.len(), exact.hits.len());
            assert_eq!(ids(&near).len(), near.hits.len(), "a row twice");
            assert!(near.hits.is_sorted_by(|left, right| left.score >= right.score));
            for hit in &near.hits {
                let id = hit.row.id.to_string();
                assert!(live.contains_key(&id), "{id} is not live");
                if let Some(score) = scores.get(&id) {
                    assert_eq!(*score, hit.score, "another score than the exact one");
                }
            }
            if accuracy == Accuracy::Recall(0.9) {
                hits += ids(&exact).intersection(&ids(&near)).count();
                wanted += exact.hits.len();
            }
        }
    }
    hits as f64 / wanted.max(1) as f64
}

/// Upserts, replacements, deletes, expiry, folds, merges and restarts, and after each all answers.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_live_rows_and_nearly_the_best() {
    let data = DataSet::of_tests();
    let config = config();
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let (mut a, b) = (node(&store, &config, 1), node(&store, &config, 2));
    let mut live: BTreeMap<String, usize> = BTreeMap::new();
    let available = data.rows();
    for round in 0..6_usize {
        // A window of rows that moves on; every third id gets another vector than before.
        let batch: Vec<(String, usize)> = (0..260)
            .map(|row| (format!("r{}", (round * 130 + row) % 900), (round * 173 + row * 7) % available))
            .collect();
        for batch in batch.chunks(100) {
            a.upsert(&name(), rows(&data, batch, None)).await.unwrap();
        }
        live.extend(batch);
        let gone: Vec<String> = live.keys().skip(round).step_by(9).cloned().collect();
        b.delete(&name(), gone.iter().map(|id| VectorId::trusted(id)).collect()).await.unwrap();
        live.retain(|id, _| !gone.contains(id));
        check(&a, &data, &live, Some(round > 0)).await;

        let folder = if round % 2 == 0 { &a } else { &b };
        assert_eq!(folder.compact(&name()).await.unwrap().folds, 1);
        let fresh = node(&store, &config, 100 + round as u64);
        // A node that did not fold goes on with what it has.
        for (engine, indexed) in [(folder, Some(true)), (&fresh, Some(true)), (&a, None), (&b, None)] {
            let recall = check(engine, &data, &live, indexed).await;
            assert!(recall >= 0.9, "round {round}: recall {recall}");
        }
        let report = b.verify(&name(), |_| {}).await.unwrap();
        assert_eq!((report.rows, report.problems), (live.len() as u64, vec![]));
        a = fresh;
    }
    // Rows that will have expired when they are asked for, in the log and in a segment.
    let short = Some(Duration::from_secs(1));
    let batch: Vec<(String, usize)> = (0..200).map(|row| (format!("t{row}"), row)).collect();
    a.upsert(&name(), rows(&data, &batch[..100], short)).await.unwrap();
    a.compact(&name()).await.unwrap();
    a.upsert(&name(), rows(&data, &batch[100..], short)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let recall = check(&a, &data, &live, Some(true)).await;
    assert!(recall >= 0.9, "after expiry: {recall}");
}

/// A merge continues the index of the segment that most rows are from, and a rewrite its own; what is
/// searched then is the live rows.
#[tokio::test(flavor = "multi_thread")]
async fn merges_continue_indexes() {
    let data = DataSet::of_tests();
    let config = config();
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let metrics = Arc::new(Metrics::default());
    let seen = store.as_seen_by(metrics.clone(), None);
    let engine =
        Engine::with_random(seen, SystemClock::shared(), Random::seeded(1), &config, metrics.clone())
            .unwrap();
    let builds = |work: &str| {
        let name = format!("quiver_index_builds_total{{work=\"{work}\"}} ");
        let metrics = metrics.encode();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let mut live: BTreeMap<String, usize> = BTreeMap::new();
    let first: Vec<(String, usize)> = (0..1200).map(|row| (format!("r{row}"), row)).collect();
    engine.upsert(&name(), rows(&data, &first, None)).await.unwrap();
    engine.compact(&name()).await.unwrap();
    live.extend(first);
    // That over the metadata is always built.
    assert_eq!((builds("built"), builds("extended")), (2, 0));
    for round in 0..3 {
        // Some are new, some get another vector, some go.
        let batch: Vec<(String, usize)> =
            (0..80).map(|row| (format!("r{}", 1160 + round * 70 + row), 1250 + round * 80 + row)).collect();
        engine.upsert(&name(), rows(&data, &batch, None)).await.unwrap();
        live.extend(batch);
        remove(&engine, &mut live, |place| place >= round && (place - round).is_multiple_of(40)).await;
        engine.compact(&name()).await.unwrap();
    }
    assert_eq!((builds("built"), builds("extended")), (3, 1));
    let recall = check(&engine, &data, &live, Some(true)).await;
    assert!(recall >= 0.9, "merged: {recall}");

    remove(&engine, &mut live, |place| place % 5 > 1).await;
    engine.compact(&name()).await.unwrap();
    assert_eq!((builds("built"), builds("extended")), (4, 2));
    let recall = check(&engine, &data, &live, Some(true)).await;
    assert!(recall >= 0.9, "rewritten: {recall}");
    let report = engine.verify(&name(), |_| {}).await.unwrap();
    assert_eq!((report.rows, report.problems), (live.len() as u64, vec![]));
}

/// Indexes go with copies, and with backups to another store.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_copied_and_collected() {
    let data = DataSet::of_tests();
    let mut config = config();
    config.garbage.background = false;
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let engine = node(&store, &config, 1);
    let batch: Vec<(String, usize)> = (0..400).map(|row| (format!("r{row}"), row)).collect();
    engine.upsert(&name(), rows(&data, &batch, None)).await.unwrap();
    let done = engine.compact(&name()).await.unwrap();
    assert_eq!((done.folds, done.indexes), (1, 2), "vectors and attributes");
    assert_eq!(engine.compact(&name()).await.unwrap().indexes, 0, "it is there already");

    let other = Store::open(&config.storage, Arc::default()).unwrap();
    let target = node(&other, &config, 2);
    engine.transfer(&name(), &target, &name(), |_, _| {}).await.unwrap();
    assert_eq!(target.verify(&name(), |_| {}).await.unwrap().problems, []);
    let answer = query(&target, &data, 0, Accuracy::Recall(0.9)).await;
    assert_eq!(answer.work.indexed_segments, 1);

    let copy = NamespaceName::parse("copy", "name").unwrap();
    engine.copy_namespace(&name(), &copy).await.unwrap();
    engine.delete_namespace(&name()).await.unwrap();
    assert_eq!(engine.verify(&copy, |_| {}).await.unwrap().problems, []);
}

/// A query in another metric than the namespace's has no index, and is exact.
#[tokio::test(flavor = "multi_thread")]
async fn each_metric_has_its_index() {
    let data = DataSet::of_tests();
    let config = config();
    for distance in [Distance::Cosine, Distance::DotProduct, Distance::Euclidean] {
        let store = Store::open(&config.storage, Arc::default()).unwrap();
        let engine = node(&store, &config, 1);
        let spec = NamespaceSpec { dimension: None, distance: Some(distance) };
        engine.create_namespace(&name(), spec, quiver::engine::IfExists::Fail).await.unwrap();
        let batch: Vec<(String, usize)> = (0..500).map(|row| (format!("r{row}"), row)).collect();
        engine.upsert(&name(), rows(&data, &batch, None)).await.unwrap();
        engine.compact(&name()).await.unwrap();
        let live = batch.into_iter().collect();
        let recall = check(&engine, &data, &live, Some(true)).await;
        assert!(recall >= 0.9, "{distance:?}: {recall}");
        let query = Query {
            vector: data.query(0).to_vec(),
            top_k: TOP_K,
            distance: Some(if distance == Distance::Cosine { Distance::Euclidean } else { Distance::Cosine }),
            accuracy: None,
            index: None,
            filter: None,
            projection: Projection { vectors: false, metadata: false },
            cut: Default::default(),
        };
        let found = engine.query(&name(), vec![query], Consistency::Strong).await.unwrap();
        assert_eq!(found[0].work.indexed_segments, 0);
    }
}

/// Rows and index lie in mapped files: what a search reads of them counts, and what the system maps around it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_search_stays_within_the_memory_budget() {
    const MIB: u64 = 1 << 20;
    const BUDGET: u64 = 8 * MIB;
    const DIMENSION: usize = 4096;
    const ROWS: usize = 3000;
    let (data, folder) = (DataSet::of_tests(), tempfile::TempDir::new().unwrap());
    let mut config = config();
    config.storage.backend = BackendConfig::Fs { root: folder.path().to_owned() };
    config.cache.memory_bytes = Some(bytesize::ByteSize::b(BUDGET));
    let engine = node(&Store::open(&config.storage, Arc::default()).unwrap(), &config, 1);
    let vector = |row: usize| data.values(row * 389, DIMENSION);
    for first in (0..ROWS).step_by(500) {
        let rows = Rows {
            dimension: DIMENSION,
            vectors: (first..first + 500).flat_map(vector).collect(),
            metadata: vec![None; 500],
            ttl: vec![None; 500],
            without_vector: Vec::new(),
            ids: (first..first + 500).map(|row| VectorId::trusted(&format!("r{row}"))).collect(),
        };
        engine.upsert(&name(), rows).await.unwrap();
    }
    engine.compact(&name()).await.unwrap();
    for number in 0..40 {
        let query = Query {
            vector: vector(number * 71 + 1),
            top_k: 2,
            distance: None,
            accuracy: Some(Accuracy::Effort(0.97)),
            index: None,
            filter: None,
            projection: Projection { vectors: false, metadata: false },
            cut: Default::default(),
        };
        let found = engine.query(&name(), vec![query], Consistency::Strong).await.unwrap().remove(0);
        assert_eq!((found.hits.len(), found.work.indexed_segments), (2, 1));
    }
    let resident = shared::mapped::resident_of(std::process::id(), folder.path());
    println!("{resident} bytes are resident");
    // Of a region that counts, the pages that were read are, or all, as the system holds the file.
    assert!(resident > BUDGET / 8 && resident <= BUDGET + MIB, "{resident} bytes are resident");
}
