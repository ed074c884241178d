//! Folding and merging: nothing changes for readers, whoever does it and whatever happens meanwhile.

#[path = "../benches/support/data.rs"]
mod data;
#[path = "support/mod.rs"]
mod shared;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use data::DataSet;
use quiver::{
    clock::{SharedClock, SystemClock},
    config::{BackendConfig, Config},
    engine::{Consistency, Engine, Projection, Query},
    error::Error,
    random::Random,
    storage::{Key, Operation, Store},
    telemetry::Metrics,
    types::{HnswParams, IndexSpec, IvfParams, NamespaceName, PqParams, Rows, VectorId},
};
use shared::faults::{Fault, Faults, Rule};

const ALL: Projection = Projection { vectors: true, metadata: true };

fn config(backend: BackendConfig) -> Config {
    let mut config = Config::default();
    config.storage.backend = backend;
    config.storage.retry.min_delay = Duration::from_millis(1);
    config.storage.retry.max_delay = Duration::from_millis(5);
    config.compaction.background = false;
    config
}

struct Node {
    engine: Engine,
    faults: Faults,
}

fn node(store: &Store, config: &Config, seed: u64) -> Node {
    let faults = Faults::new(seed);
    let metrics = Arc::new(Metrics::default());
    let store = store.as_seen_by(metrics.clone(), Some(faults.hook()));
    let clock: SharedClock = SystemClock::shared();
    let engine = Engine::with_random(store, clock, Random::seeded(seed), config, metrics).unwrap();
    Node { engine, faults }
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

fn rows(ids: impl IntoIterator<Item = usize>, data: &DataSet) -> Rows {
    let ids: Vec<usize> = ids.into_iter().collect();
    Rows {
        dimension: data.dimension,
        without_vector: Vec::new(),
        vectors: ids.iter().flat_map(|row| data.values(row * data.dimension, data.dimension)).collect(),
        metadata: ids.iter().map(|row| Some(format!("{{\"row\":{row}}}").into())).collect(),
        ttl: vec![None; ids.len()],
        ids: ids.iter().map(|row| VectorId::trusted(&format!("r{row}"))).collect(),
    }
}

async fn upsert(node: &Node, rows: Rows) {
    node.engine.upsert(&name(), rows).await.unwrap();
}

async fn delete(node: &Node, ids: impl IntoIterator<Item = usize>) -> u64 {
    let ids = ids.into_iter().map(|row| VectorId::trusted(&format!("r{row}"))).collect();
    node.engine.delete(&name(), ids).await.unwrap()
}

/// All rows, by way of pages; the count agrees.
async fn content(engine: &Engine) -> Result<BTreeMap<String, (Vec<f32>, String)>, Error> {
    let (mut found, mut after) = (BTreeMap::new(), None::<VectorId>);
    loop {
        let page = engine.page(&name(), after.as_ref().map(VectorId::as_str), 300, ALL).await?;
        for row in page.rows {
            let value = (row.vector.unwrap(), row.metadata.unwrap().to_string());
            assert_eq!(found.insert(row.id.to_string(), value), None, "an id twice");
        }
        after = page.next;
        if after.is_none() {
            assert_eq!(page.total, found.len() as u64);
            return Ok(found);
        }
    }
}

/// What the first queries of the data set find, with scores.
async fn answers(engine: &Engine, data: &DataSet) -> Result<Vec<Vec<(String, f32)>>, Error> {
    let query = |number: usize| Query {
        vector: data.query(number).to_vec(),
        top_k: 25,
        distance: None,
        accuracy: None,
        index: None,
        filter: None,
        projection: Projection { vectors: false, metadata: false },
        cut: Default::default(),
    };
    let found = engine.query(&name(), (0..20).map(query).collect(), Consistency::Strong).await?;
    let hits = |hits: Vec<quiver::engine::Hit>| {
        hits.into_iter().map(|hit| (hit.row.id.to_string(), hit.score)).collect::<Vec<_>>()
    };
    Ok(found.into_iter().map(|result| hits(result.hits)).collect())
}

/// Folds after every few writes, merges in between: every step leaves rows and answers as they were,
/// on the node that does it, on one that looks on, and on one that starts.
async fn compaction_changes_nothing(backend: BackendConfig) {
    let data = DataSet::of_tests();
    let config = config(backend);
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let (a, b) = (node(&store, &config, 1), node(&store, &config, 2));
    let mut merges = 0;
    for round in 0..10 {
        upsert(&a, rows(round * 100..round * 100 + 130, &data)).await;
        assert_eq!(delete(&b, (round * 100..round * 100 + 130).step_by(13)).await, 10);
        if round == 6 {
            assert!(b.engine.delete_all(&name()).await.unwrap() > 500);
            upsert(&a, rows(0..500, &data)).await;
        }
        let before = (content(&b.engine).await.unwrap(), answers(&b.engine, &data).await.unwrap());
        assert_eq!(answers(&a.engine, &data).await.unwrap(), before.1);
        let folder = if round % 2 == 0 { &a } else { &b };
        let done = folder.engine.compact(&name()).await.unwrap();
        assert_eq!(done.folds, 1);
        merges += done.merges;
        let fresh = node(&store, &config, 100 + round as u64);
        for engine in [&a.engine, &b.engine, &fresh.engine] {
            assert_eq!(content(engine).await.unwrap(), before.0, "round {round}");
            assert_eq!(answers(engine, &data).await.unwrap(), before.1, "round {round}");
            assert_eq!(engine.describe(&name()).await.unwrap().count, before.0.len() as u64);
        }
        let info = fresh.engine.describe(&name()).await.unwrap();
        assert_eq!((info.tail_rows, info.log_entries, info.folded_seq), (0, 0, info.head_seq));
        let ids: Vec<_> = before.0.keys().step_by(17).map(|id| VectorId::trusted(id)).collect();
        let fetched = fresh.engine.fetch(&name(), &ids, Consistency::Strong, ALL).await.unwrap();
        assert_eq!(fetched.len(), ids.len());
        let report = a.engine.verify(&name(), |_| {}).await.unwrap();
        assert_eq!((report.rows, report.problems), (before.0.len() as u64, vec![]));
    }
    assert!(merges > 0, "nothing was merged");
    assert_eq!(a.engine.compact(&name()).await.unwrap(), Default::default(), "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_nothing_in_memory() {
    compaction_changes_nothing(BackendConfig::Memory {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_nothing_on_files() {
    let dir = shared::process::temporary_dir();
    compaction_changes_nothing(BackendConfig::Fs { root: dir.path().into() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_nothing_on_s3() {
    let server = shared::servers::Seaweed::start().await;
    compaction_changes_nothing(server.storage_config("compaction").backend).await;
}

/// While one node merges, another lets rows die in the segments that are merged, and folds that.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_takes_in_what_a_fold_did_meanwhile() {
    let data = DataSet::of_tests();
    let config = config(BackendConfig::Memory {});
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let mut only_folds = config.clone();
    only_folds.compaction.fan_in = 100;
    let (a, b) = (node(&store, &config, 1), node(&store, &only_folds, 2));
    for segment in 0..3 {
        upsert(&a, rows(segment * 50..(segment + 1) * 50, &data)).await;
        assert_eq!(a.engine.compact(&name()).await.unwrap().merges, 0);
    }
    upsert(&a, rows(150..200, &data)).await;
    // The fold's lookup passes, the merge's is held up.
    a.faults.script(
        Rule::on(Operation::Put).key("/lookup").skip(1).inject(Fault::Delay(Duration::from_millis(400))),
    );
    let merging = async { a.engine.compact(&name()).await.unwrap() };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(delete(&b, (0..200).step_by(3)).await, 67);
        upsert(&b, rows((0..200).step_by(6), &data)).await;
        assert_eq!(delete(&b, (0..200).step_by(20)).await, 10);
        assert_eq!(b.engine.compact(&name()).await.unwrap().folds, 1);
        // And some that no fold has seen.
        assert_eq!(delete(&b, [2, 4]).await, 2);
    };
    let (done, ()) = futures::future::join(merging, meanwhile).await;
    assert_eq!((done.folds, done.merges), (1, 1));
    let lives = |row: &usize| {
        let folded_away = row.is_multiple_of(3) && !row.is_multiple_of(6);
        !folded_away && !row.is_multiple_of(20) && ![2, 4].contains(row)
    };
    let expected: Vec<String> = (0..200).filter(lives).map(|row| format!("r{row}")).collect();
    let fresh = node(&store, &config, 3);
    for engine in [&a.engine, &b.engine, &fresh.engine] {
        let found: Vec<String> = content(engine).await.unwrap().into_keys().collect();
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|id| found.contains(id)));
    }
}

/// Nodes that write, fold and merge one namespace at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_compact_at_once_get_in_nobodys_way() {
    let data = DataSet::of_tests();
    let mut config = config(BackendConfig::Memory {});
    config.compaction.background = true;
    config.compaction.fold_entries = 2;
    config.compaction.fold_interval = Duration::ZERO;
    // They do not leave it to each other.
    config.compaction.lease = Duration::ZERO;
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let nodes: Vec<Node> = (1..=3).map(|seed| node(&store, &config, seed)).collect();
    let write = async |writer: usize| {
        let node = &nodes[writer];
        for round in 0..25 {
            // Each writer has rows of its own, writes all of them again and again, and deletes some.
            let own = writer * 40..(writer + 1) * 40;
            upsert(node, rows(own.clone(), &data)).await;
            assert_eq!(
                delete(node, own.skip(round % 7).step_by(7)).await,
                (40 - round as u64 % 7).div_ceil(7)
            );
            if round % 5 == writer {
                node.engine.compact(&name()).await.unwrap();
            }
        }
    };
    futures::future::join_all((0..3).map(write)).await;
    let last = 24 % 7;
    let expected: Vec<String> = (0..120)
        .filter(|row| row % 40 < last || (row % 40 - last) % 7 != 0)
        .map(|row| format!("r{row}"))
        .collect();
    let fresh = node(&store, &config, 9);
    for engine in nodes.iter().map(|node| &node.engine).chain([&fresh.engine]) {
        let found = content(engine).await.unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|id| found.contains_key(id)));
    }
    let info = fresh.engine.describe(&name()).await.unwrap();
    assert!(info.folded_seq > 50 && info.segments < 12, "{info:?}");
    let report = fresh.engine.verify(&name(), |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}

/// Large segments take longer than a request may; who asks again finds the work done.
#[tokio::test]
async fn it_goes_on_when_nobody_waits() {
    let config = config(BackendConfig::Memory {});
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let (node, data) = (node(&store, &config, 1), DataSet::of_tests());
    upsert(&node, rows(0..50, &data)).await;
    let name = name();
    let mut given_up = Box::pin(node.engine.compact(&name));
    assert!(futures::poll!(&mut given_up).is_pending(), "a compaction takes a while");
    drop(given_up);
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while node.engine.describe(&name).await.unwrap().segments == 0 {
        assert!(tokio::time::Instant::now() < until, "the fold was given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A fold or merge that the store fails leaves everything as it was, and the next one succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_fails_harms_nothing() {
    let data = DataSet::of_tests();
    let config = config(BackendConfig::Memory {});
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let a = node(&store, &config, 1);
    for (step, part) in ["/data.arrow", "/lookup", "/deletes-", "/manifest"].into_iter().enumerate() {
        upsert(&a, rows(step * 20..step * 20 + 30, &data)).await;
        let before = content(&a.engine).await.unwrap();
        let operation = if part == "/manifest" { Operation::Cas } else { Operation::Put };
        a.faults.script(Rule::on(operation).key(part).times(3).inject(Fault::Unavailable));
        let failed = a.engine.compact(&name()).await;
        if part != "/deletes-" || step > 0 {
            assert!(matches!(failed, Err(Error::Unavailable { .. })), "{part}: {failed:?}");
        }
        a.faults.calm();
        assert_eq!(content(&a.engine).await.unwrap(), before);
        upsert(&a, rows(step * 20..step * 20 + 5, &data)).await;
        a.engine.compact(&name()).await.unwrap();
        assert_eq!(content(&a.engine).await.unwrap(), before);
        assert_eq!(content(&node(&store, &config, 50).engine).await.unwrap(), before);
    }
}

/// The object cut off at 16 points, and with a bit flipped at 64; what was empty is not any more.
fn damages(whole: &[u8]) -> Vec<Vec<u8>> {
    let Some(last) = (whole.len() * 8).checked_sub(1) else { return vec![b"{}".to_vec(), vec![0xff; 100]] };
    let cut = (0..16).map(|cut| whole[..whole.len() * cut / 16].to_vec());
    let flipped = (0..64).map(|step| {
        let mut bytes = whole.to_vec();
        let bit = step * last / 63;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    cut.chain(flipped).collect()
}

/// Each object of a namespace, cut and with flipped bits: an error that names it, or the right rows;
/// never others.
#[tokio::test(flavor = "multi_thread")]
async fn no_damage_gives_a_wrong_answer() {
    let data = DataSet::of_tests();
    let dir = shared::process::temporary_dir();
    let mut config = config(BackendConfig::Fs { root: dir.path().into() });
    config.index.min_rows = 50;
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    let a = node(&store, &config, 1);
    for part in 0..2 {
        upsert(&a, rows(part * 60..part * 60 + 70, &data)).await;
        for spec in [
            IndexSpec::Hnsw(HnswParams::default()),
            IndexSpec::Ivf(IvfParams::default()),
            IndexSpec::Pq(PqParams::default()),
        ] {
            a.engine.put_index(&name(), spec).await.unwrap();
        }
        delete(&a, [part * 60]).await;
        a.engine.compact(&name()).await.unwrap();
    }
    upsert(&a, rows(200..220, &data)).await;
    let before = (content(&a.engine).await.unwrap(), answers(&a.engine, &data).await.unwrap());
    let objects = store.list("", None, 1000).await.unwrap().into_iter().map(|listed| listed.key);
    let objects: Vec<Key> = objects.filter(|key| !key.as_str().starts_with("probe/")).collect();
    for (part, count) in [
        ("data.arrow", 2),
        ("lookup", 2),
        ("deletes-", 1),
        ("ann.hnsw-", 2),
        ("ann.ivf-", 2),
        ("ann.pq-", 2),
        ("ann.spfresh-", 2),
        ("ann.attributes-", 2),
        ("/log/", 5),
        ("manifest", 1),
        ("catalog", 1),
    ] {
        let found = objects.iter().filter(|key| key.as_str().contains(part)).count();
        assert_eq!(found, count, "{part}: {objects:?}");
    }
    let (mut named, mut harmless) = (0, 0);
    for key in &objects {
        let path = dir.path().join(key.as_str());
        let whole = std::fs::read(&path).unwrap();
        for damaged in damages(&whole) {
            std::fs::write(&path, damaged).unwrap();
            let fresh = node(&store, &config, 7);
            let (listed, _) = fresh.engine.list_namespaces("", None, 10).await.unwrap();
            assert_eq!(listed, [name()], "{key}");
            let read = async { Ok((content(&fresh.engine).await?, answers(&fresh.engine, &data).await?)) };
            match read.await {
                Ok(found) => {
                    assert_eq!(found, before, "{key}");
                    harmless += 1;
                }
                Err(Error::Corrupt { object, .. }) => {
                    assert_eq!(object, key.as_str());
                    named += 1;
                }
                Err(error) => panic!("{key}: {error:?}"),
            }
        }
        std::fs::write(&path, whole).unwrap();
    }
    println!("{named} damages named, {harmless} harmless");
    assert!(named > 500, "{named} named, {harmless} harmless");
    let fresh = node(&store, &config, 8);
    assert_eq!(content(&fresh.engine).await.unwrap(), before.0, "it heals when the objects do");
}
