//! Storms: several nodes write and read one namespace while their stores misbehave at random.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Mutex,
    time::Duration,
};

use quiver::{
    engine::{Consistency, format, manifest::Manifest},
    error::Error,
    storage::{Operation, keys},
};

use super::{
    ALL, Cluster, Node,
    faults::{Fault, Rates, Rule},
    ns, rows,
};

const NODES: u64 = 3;
const WRITERS: usize = 3;
const WRITES: usize = 6;
const NAME: &str = "storm";

/// What the writers were told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

async fn write(node: &Node, label: &str, told: &Mutex<Told>) {
    for write in 0..WRITES {
        // Two rows in one request: they must appear together or not at all.
        let pair = [format!("{label}-{write}-a"), format!("{label}-{write}-b")];
        let batch = rows(&[(&pair[0], 1.0), (&pair[1], 2.0)]);
        let result = node.engine.upsert(&ns(NAME), batch).await;
        let mut told = told.lock().unwrap();
        match result {
            Ok(done) => {
                assert_eq!((done.upserted, done.inserted), (2, 2), "a retry wrote twice");
                told.acknowledged.extend(pair);
            }
            Err(Error::Unavailable { .. } | Error::StoreRefused { .. }) => told.refused.extend(pair),
            Err(Error::OutcomeUnknown { .. }) => told.unknown.extend(pair),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Strong reads see everything that was acknowledged before they began, and whole batches only.
async fn read(node: &Node, told: &Mutex<Told>) {
    for _ in 0..20 {
        let before = told.lock().unwrap().acknowledged.clone();
        if let Ok(page) = node.engine.page(&ns(NAME), None, 10_000, ALL).await {
            let seen: BTreeSet<String> = page.rows.iter().map(|row| row.id.to_string()).collect();
            assert!(before.is_subset(&seen), "a stale read: it lacks {:?}", before.difference(&seen));
            for id in &seen {
                let half = id.strip_suffix("-a").map(|pair| format!("{pair}-b"));
                assert!(half.is_none_or(|other| seen.contains(&other)), "half a batch: {id}");
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every entry of the log in order: gapless, chained, and no row written twice. Returns the ids that
/// it wrote.
async fn check_log(cluster: &Cluster) -> BTreeSet<String> {
    let prefix = format!("namespaces/{NAME}/");
    let listed = cluster.store.list(&prefix, None, 10_000).await.unwrap();
    let (mut previous, mut entry_ids, mut written) = (0, HashSet::new(), BTreeMap::new());
    let entries: Vec<_> = listed.iter().filter(|listed| listed.key.as_str().contains("/log/")).collect();
    for (listed, seq) in entries.iter().zip(1..) {
        let object = cluster.store.get(&listed.key).await.unwrap();
        let entry = format::decode(&object.bytes).unwrap();
        assert_eq!(entry.header.seq, seq, "a gap");
        assert_eq!(entry.header.previous, previous, "validated on another prefix");
        previous = entry.hash;
        assert!(entry_ids.insert(entry.header.entry_id));
        for id in &entry.changes.ids {
            let before = written.insert(id.clone(), seq);
            assert_eq!(before, None, "{id} is in two entries");
        }
    }
    written.into_keys().map(|id| id.to_string()).collect()
}

/// The newest manifest: entries that were folded, and segments that hold them.
async fn folded(cluster: &Cluster) -> (u64, usize) {
    let object = cluster.store.get(&keys::manifest(&ns(NAME))).await.unwrap();
    let manifest = Manifest::decode(&object.bytes).unwrap();
    (manifest.folded, manifest.segments.len())
}

async fn storm(seed: u64) -> (Told, u64) {
    let mut cluster = Cluster::new();
    cluster.config.storage.timeout = Some(Duration::from_millis(20));
    cluster.config.log.settle_timeout = Duration::from_secs(4);
    let nodes: Vec<Node> = (0..NODES).map(|node| cluster.node(seed * 100 + node)).collect();
    nodes[0]
        .engine
        .create_namespace(&ns(NAME), Default::default(), quiver::engine::IfExists::Fail)
        .await
        .unwrap();
    for node in &nodes {
        node.engine.count(&ns(NAME), Consistency::Strong).await.unwrap();
        node.faults.random(Rates::storm(0.15));
        let late = Fault::LandLater(Duration::from_millis(30));
        node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").skip(seed % 4).inject(late));
    }
    let told = Mutex::new(Told::default());
    let writers = nodes.iter().enumerate().flat_map(|(index, node)| {
        let told = &told;
        (0..WRITERS).map(move |writer| async move { write(node, &format!("n{index}w{writer}"), told).await })
    });
    let readers = nodes.iter().map(|node| read(node, &told));
    let work = futures::future::join(futures::future::join_all(writers), futures::future::join_all(readers));
    let clock = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cluster.clock.advance(Duration::from_millis(200));
        }
    };
    tokio::select! { _ = work => {}, () = clock => unreachable!() }
    nodes.iter().for_each(|node| node.faults.calm());
    // What is still on its way lands or is beaten to its place.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let judge = cluster.node(seed * 100 + 99);
    judge.engine.upsert(&ns(NAME), rows(&[("end", 0.0)])).await.unwrap();
    let page = judge.engine.page(&ns(NAME), None, 10_000, ALL).await.unwrap();
    let mut stored: BTreeSet<String> = page.rows.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(stored, check_log(&cluster).await, "seed {seed}: folds do not equal their log prefix");
    assert!(stored.remove("end"));
    let told = told.into_inner().unwrap();
    assert!(told.acknowledged.is_subset(&stored), "seed {seed}: acknowledged rows are lost");
    assert!(told.refused.is_disjoint(&stored), "seed {seed}: refused rows are there");
    let explained: BTreeSet<String> = told.acknowledged.union(&told.unknown).cloned().collect();
    assert!(stored.is_subset(&explained), "seed {seed}: rows that nobody wrote");
    let (folded, segments) = folded(&cluster).await;
    assert!(segments < 12, "seed {seed}: {segments} segments are never merged");
    (told, folded)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_storm_loses_duplicates_or_invents_a_row() {
    let (mut acknowledged, mut refused, mut unknown, mut folded) = (0, 0, 0, 0);
    for seed in 1..=60 {
        let (told, entries) = storm(seed).await;
        folded += entries;
        acknowledged += told.acknowledged.len();
        refused += told.refused.len();
        unknown += told.unknown.len();
    }
    println!(
        "{acknowledged} rows acknowledged, {refused} refused, {unknown} unknown; {folded} entries folded"
    );
    assert!(acknowledged > 1000, "the storm let hardly anything through");
    assert!(folded > 300, "hardly anything was folded");
}

#[tokio::test]
async fn a_late_put_never_becomes_a_second_entry() {
    let cluster = Cluster::new();
    let (node, other) = (cluster.node(1), cluster.node(2));
    node.engine.upsert(&ns(NAME), rows(&[("x", 1.0)])).await.unwrap();
    let late = Fault::LandLater(Duration::from_millis(50));
    node.faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").inject(late));
    let done = node.engine.upsert(&ns(NAME), rows(&[("y", 1.0)])).await.unwrap();
    assert_eq!((done.upserted, done.inserted), (1, 1));
    tokio::time::sleep(Duration::from_millis(80)).await;
    other.engine.upsert(&ns(NAME), rows(&[("z", 1.0)])).await.unwrap();
    assert_eq!(other.engine.count(&ns(NAME), Consistency::Strong).await.unwrap(), 3);
    check_log(&cluster).await;
    // The object that a lost race left in nobody's place does not exist either.
    let info = other.engine.describe(&ns(NAME)).await.unwrap();
    let next = cluster.store.list(&format!("namespaces/{NAME}/"), None, 100).await.unwrap();
    let entries = next.iter().filter(|listed| listed.key.as_str().contains("/log/")).count();
    assert_eq!(entries as u64, info.head_seq);
}
