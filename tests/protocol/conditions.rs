//! Writes that depend on what is stored, by several nodes at once: nothing comes between the look and the change.

use std::sync::Arc;

use futures::future::join_all;
use quiver::{
    engine::{Bulk, Consistency, Engine, Precondition, Presence, TextDocument},
    types::{Filter, Rows, filter::Limits},
};

use super::{ALL, Cluster, id, ns};

const WRITERS: usize = 4;
const ROUNDS: u64 = 8;

fn filter(text: &str) -> Arc<Filter> {
    Arc::new(Filter::parse(text, "filter", &Limits::default()).unwrap())
}

fn version(name: &str, version: u64) -> Rows {
    Rows {
        dimension: 2,
        without_vector: Vec::new(),
        ids: vec![id(name)],
        vectors: vec![version as f32, 1.0],
        metadata: vec![Some(format!(r#"{{"n":{version}}}"#).into())],
        ttl: vec![None],
    }
}

fn presence(presence: Presence) -> Precondition {
    Precondition { presence, filter: None }
}

fn all(text: &str) -> Bulk {
    Bulk { filter: filter(text), after: None, limit: None, time: std::time::Duration::from_secs(60) }
}

async fn stored(engine: &Engine, name: &str) -> u64 {
    let rows = engine.fetch(&ns("docs"), &[id(name)], Consistency::Strong, ALL).await.unwrap();
    number(rows[0].metadata.as_deref())
}

fn number(metadata: Option<&str>) -> u64 {
    let value: serde_json::Value = serde_json::from_str(metadata.unwrap()).unwrap();
    value["n"].as_u64().unwrap()
}

/// Adds one if nobody else did since it was read, again and again.
async fn count_up(engine: &Engine) {
    let mut done = 0;
    while done < ROUNDS {
        let seen = stored(engine, "counter").await;
        let condition =
            Precondition { filter: Some(filter(&format!(r#"{{"n":{seen}}}"#))), ..Default::default() };
        let answer = engine.upsert_if(&ns("docs"), version("counter", seen + 1), condition).await.unwrap();
        assert_eq!(answer.upserted + answer.skipped.len() as u64, 1);
        assert_eq!(answer.inserted, 0);
        done += answer.upserted;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_increment_is_lost() {
    let cluster = Cluster::new();
    let nodes = [cluster.node(1), cluster.node(2)];
    nodes[0].engine.upsert(&ns("docs"), version("counter", 0)).await.unwrap();
    let writers = nodes.iter().flat_map(|node| (0..WRITERS).map(|_| node.engine.clone()));
    let tasks = writers.map(|engine| tokio::spawn(async move { count_up(&engine).await }));
    join_all(tasks).await.into_iter().for_each(|ended| ended.unwrap());
    for node in &nodes {
        assert_eq!(stored(&node.engine, "counter").await, 2 * WRITERS as u64 * ROUNDS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_is_inserted_once() {
    let cluster = Cluster::new();
    let nodes = [cluster.node(1), cluster.node(2)];
    let insert = |writer: usize| {
        let engine = nodes[writer % 2].engine.clone();
        tokio::spawn(async move {
            let mut inserted = 0;
            for row in 0..ROUNDS {
                let rows = version(&row.to_string(), writer as u64);
                let answer = engine.upsert_if(&ns("docs"), rows, presence(Presence::Absent)).await.unwrap();
                assert_eq!(answer.upserted, answer.inserted);
                inserted += answer.inserted;
            }
            inserted
        })
    };
    let inserted = join_all((0..2 * WRITERS).map(insert)).await;
    assert_eq!(inserted.into_iter().map(|count| count.unwrap()).sum::<u64>(), ROUNDS);
    assert_eq!(nodes[0].engine.count(&ns("docs"), Consistency::Strong).await.unwrap(), ROUNDS);
}

/// What a node does not know yet decides, also if nothing is left to write.
#[tokio::test]
async fn an_old_state_decides_nothing() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node(1).engine, cluster.node(2).engine);
    let docs = ns("docs");
    a.upsert(&docs, version("x", 1)).await.unwrap();
    b.delete(&docs, vec![id("x")]).await.unwrap();
    // As far as `a` knows, the row is there.
    let answer = a.upsert_if(&docs, version("x", 2), presence(Presence::Absent)).await.unwrap();
    assert_eq!((answer.inserted, answer.skipped.len()), (1, 0));
    b.upsert(&docs, version("y", 7)).await.unwrap();
    let answer = a.upsert_if(&docs, version("y", 8), presence(Presence::Present)).await.unwrap();
    assert_eq!((answer.upserted, answer.inserted), (1, 0));
    b.upsert(&docs, version("z", 9)).await.unwrap();
    let found = Precondition { filter: Some(filter(r#"{"n":9}"#)), ..Default::default() };
    assert_eq!(a.delete_if(&docs, vec![id("z")], found).await.unwrap().deleted, 1);
    b.upsert(&docs, version("w", 9)).await.unwrap();
    assert_eq!(a.delete_matching(&docs, all(r#"{"n":9}"#)).await.unwrap().changed, 1);
    // What was asked in vain is not in the log.
    let head = a.describe(&docs).await.unwrap().head_seq;
    let answer = a.upsert_if(&docs, version("y", 9), presence(Presence::Absent)).await.unwrap();
    assert_eq!((answer.upserted, answer.skipped), (0, vec![id("y")]));
    assert_eq!(a.delete_matching(&docs, all(r#"{"n":9}"#)).await.unwrap().changed, 0);
    assert_eq!(a.describe(&docs).await.unwrap().head_seq, head);
}

/// Several writes of one entry see each other.
#[tokio::test]
async fn writes_of_one_entry_are_decided_one_after_the_other() {
    let cluster = Cluster::new();
    let node = cluster.node(1);
    let (engine, docs) = (&node.engine, ns("docs"));
    engine.upsert(&docs, version("x", 0)).await.unwrap();
    let head = engine.describe(&docs).await.unwrap().head_seq;
    let step = |seen: u64| {
        let condition =
            Precondition { filter: Some(filter(&format!(r#"{{"n":{seen}}}"#))), ..Default::default() };
        engine.upsert_if(&docs, version("x", seen + 1), condition)
    };
    // On one thread all are asked before the first is put.
    let clear = engine.delete_all(&docs);
    let again = engine.upsert_if(&docs, version("x", 9), presence(Presence::Present));
    let (first, second, third, repeated, cleared, gone) =
        tokio::join!(step(0), step(1), step(2), step(1), clear, again);
    let counts = [first, second, third, repeated, gone].map(|answer| answer.unwrap().upserted);
    assert_eq!((counts, cleared.unwrap()), ([1, 1, 1, 0, 0], 1));
    assert_eq!(engine.describe(&docs).await.unwrap().head_seq, head + 1);
}

/// A document that counts up the number of a row, from nothing if there is none.
fn count(name: &str) -> TextDocument {
    let edit = |_: &str, metadata: Option<&str>| {
        let before = metadata.map_or(0, |metadata| number(Some(metadata)));
        Ok(Some(format!(r#"{{"n":{}}}"#, before + 1).into()))
    };
    TextDocument { id: id(name), bytes: 16, edit: Box::new(edit) }
}

/// Documents of two nodes for the same rows: each finds what the one before it left, and rows keep their vectors.
#[tokio::test(flavor = "multi_thread")]
async fn no_document_is_lost() {
    let cluster = Cluster::new();
    let nodes = [cluster.node(1), cluster.node(2)];
    let docs = ns("docs");
    nodes[0].engine.upsert(&docs, version("with", 0)).await.unwrap();
    let write = |writer: usize| {
        let engine = nodes[writer % 2].engine.clone();
        tokio::spawn(async move {
            let mut inserted = 0;
            for round in 0..ROUNDS {
                // Twice in one request, and other writes of the same moment.
                let documents = vec![count("with"), count("without"), count("with")];
                inserted += engine.index_documents(&ns("docs"), documents).await.unwrap().inserted;
                let other = format!("{writer}-{round}");
                engine.upsert(&ns("docs"), version(&other, 1)).await.unwrap();
            }
            inserted
        })
    };
    let inserted = join_all((0..2 * WRITERS).map(write)).await;
    assert_eq!(inserted.into_iter().map(|count| count.unwrap()).sum::<u64>(), 1);
    let total = 2 * WRITERS as u64 * ROUNDS;
    for node in &nodes {
        assert_eq!(stored(&node.engine, "with").await, 2 * total);
        assert_eq!(stored(&node.engine, "without").await, total);
        let ids = [id("with"), id("without")];
        let rows = node.engine.fetch(&docs, &ids, Consistency::Strong, ALL).await.unwrap();
        assert_eq!([&rows[0].vector, &rows[1].vector], [&Some(vec![0.0, 1.0]), &None]);
        assert_eq!(node.engine.count(&docs, Consistency::Strong).await.unwrap(), total + 2);
    }
}

/// Documents of one entry see each other, unless one is refused: that leaves nothing.
#[tokio::test]
async fn documents_of_one_entry_follow_each_other() {
    let cluster = Cluster::new();
    let node = cluster.node(1);
    let (engine, docs) = (&node.engine, ns("docs"));
    engine.index_documents(&docs, vec![count("x")]).await.unwrap();
    let head = engine.describe(&docs).await.unwrap().head_seq;
    let refused = || {
        let edit = |_: &str, _: Option<&str>| Err(quiver::error::Error::invalid("documents[1]", "no"));
        vec![count("x"), TextDocument { id: id("y"), bytes: 16, edit: Box::new(edit) }]
    };
    let index = |documents| engine.index_documents(&docs, documents);
    let (first, bad, second) =
        tokio::join!(index(vec![count("x"), count("y")]), index(refused()), index(vec![count("x")]));
    assert_eq!((first.unwrap().inserted, second.unwrap().inserted), (1, 0));
    assert!(bad.unwrap_err().to_string().starts_with("documents[1]"));
    assert_eq!((stored(engine, "x").await, stored(engine, "y").await), (3, 1));
    assert_eq!(engine.describe(&docs).await.unwrap().head_seq, head + 1);
}

/// What rows hold already counts: what does not fit into an entry waits for the next one, or is refused.
#[tokio::test]
async fn documents_of_large_rows_share_no_entry() {
    let mut cluster = Cluster::new();
    cluster.config.log.entry_bytes = bytesize::ByteSize::b(4096);
    let (engine, docs) = (cluster.node(1).engine, ns("docs"));
    engine.index_documents(&docs, vec![count("first")]).await.unwrap();
    engine.upsert(&docs, texts(3, 600_000)).await.unwrap();
    let edit = |metadata: Option<&str>| Ok(Some(metadata.unwrap().replace("\"n\":1", "\"n\":2").into()));
    let document = |row: u64| TextDocument {
        id: id(&format!("{row:05}")),
        bytes: 16,
        edit: Box::new(move |_, metadata| edit(metadata)),
    };
    let head = engine.describe(&docs).await.unwrap().head_seq;
    let index = |rows: &[u64]| engine.index_documents(&docs, rows.iter().map(|row| document(*row)).collect());
    let (first, second, third) = tokio::join!(index(&[0]), index(&[1]), index(&[2]));
    for answer in [first, second, third] {
        assert_eq!((answer.as_ref().unwrap().documents, answer.unwrap().inserted), (1, 0));
    }
    assert_eq!(engine.describe(&docs).await.unwrap().head_seq, head + 3);
    let error = index(&[0, 1]).await.unwrap_err().to_string();
    assert!(error.contains("documents") && error.contains("log.entry_bytes = 1048576"), "{error}");
    assert_eq!(stored(&engine, "00002").await, 2);
}

/// Each of several updates by filter finds every row as the one before left it.
#[tokio::test(flavor = "multi_thread")]
async fn no_update_by_filter_is_lost() {
    let cluster = Cluster::new();
    let nodes = [cluster.node(1), cluster.node(2)];
    for row in 0..ROUNDS {
        nodes[0].engine.upsert(&ns("docs"), version(&row.to_string(), 0)).await.unwrap();
    }
    let update = |writer: usize| {
        let engine = nodes[writer % 2].engine.clone();
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let edit =
                    |metadata: Option<&str>| Ok(Some(format!(r#"{{"n":{}}}"#, number(metadata) + 1).into()));
                let bulk = all(r#"{"n":{"$gte":0}}"#);
                let done = engine.update_matching(&ns("docs"), bulk, edit).await.unwrap();
                assert_eq!((done.changed, done.matched, done.refused, done.next), (ROUNDS, ROUNDS, 0, None));
            }
        })
    };
    join_all((0..WRITERS).map(update)).await.into_iter().for_each(|ended| ended.unwrap());
    for row in 0..ROUNDS {
        assert_eq!(stored(&nodes[1].engine, &row.to_string()).await, WRITERS as u64 * ROUNDS);
    }
}

/// Rows with so much text.
fn texts(rows: u64, bytes: usize) -> Rows {
    let metadata = format!(r#"{{"n":1,"text":"{}"}}"#, "ab".repeat(bytes / 2));
    Rows {
        dimension: 2,
        ids: (0..rows).map(|row| id(&format!("{row:05}"))).collect(),
        without_vector: Vec::new(),
        vectors: [1.0, 2.0].repeat(rows as usize),
        metadata: vec![Some(metadata.into()); rows as usize],
        ttl: vec![None; rows as usize],
    }
}

/// What reads many rows leaves the only worker to others.
#[tokio::test]
async fn decisions_over_many_rows_stop_nobody() {
    let cluster = Cluster::new();
    let (engine, docs, other) = (cluster.node(1).engine, ns("docs"), ns("other"));
    engine.upsert(&other, version("x", 0)).await.unwrap();
    engine.upsert(&docs, texts(2000, 16 << 10)).await.unwrap();
    let slow = filter(r#"{"text":{"$regex":"[c-z]{3}"}}"#);
    let condition = Precondition { filter: Some(slow.clone()), ..Default::default() };
    // Nothing is written, so nothing but the decision takes time.
    let writer = engine.clone();
    let write = async move { writer.upsert_if(&ns("docs"), texts(2000, 2), condition).await };
    let looks = looks_during(&engine, write).await;
    // On the worker it would be as many as there are points at which a commit waits.
    assert!(looks > 100, "{looks} looks");
    let writer = engine.clone();
    let bulk = Bulk { filter: slow, ..all("{}") };
    let write = async move { writer.delete_matching(&ns("docs"), bulk).await };
    let looks = looks_during(&engine, write).await;
    // On the worker it would be as many as there are points at which a commit waits.
    assert!(looks > 100, "{looks} looks");
    let worker = std::thread::current().id();
    let edit = move |_: Option<&str>| {
        assert_ne!(std::thread::current().id(), worker, "rows are edited on an async worker");
        Ok(None)
    };
    let done = engine.update_matching(&docs, all(r#"{"n":1}"#), edit).await.unwrap();
    assert_eq!((done.matched, done.changed), (2000, 0));
}

/// How often another namespace can be asked while something is done.
async fn looks_during<T: Send + 'static>(
    engine: &Engine,
    work: impl Future<Output = quiver::error::Result<T>> + Send + 'static,
) -> u64 {
    let work = tokio::spawn(work);
    let mut looks = 0;
    while !work.is_finished() {
        engine.count(&ns("other"), Consistency::Eventual).await.unwrap();
        tokio::task::yield_now().await;
        looks += 1;
    }
    work.await.unwrap().unwrap();
    looks
}

/// A change of many rows reads each of them once, into however many entries it goes.
#[tokio::test]
async fn a_change_in_many_parts_asks_every_row_once() {
    let mut cluster = Cluster::new();
    cluster.config.log.entry_bytes = bytesize::ByteSize::b(1024);
    cluster.config.compaction.fold_entries = 1 << 20;
    let (engine, docs) = (cluster.node(1).engine, ns("docs"));
    engine.upsert(&docs, texts(400, 8)).await.unwrap();
    engine.compact(&docs).await.unwrap();
    engine.upsert(&docs, texts(100, 16)).await.unwrap();
    let head = engine.describe(&docs).await.unwrap().head_seq;
    let edit = |metadata: Option<&str>| Ok(Some(metadata.unwrap().replace("ab", "cd").into()));
    let done = engine.update_matching(&docs, all(r#"{"n":1}"#), edit).await.unwrap();
    assert_eq!((done.matched, done.changed, done.next), (400, 400, None));
    let parts = engine.describe(&docs).await.unwrap().head_seq - head;
    assert!(parts >= 10, "{parts} entries");
    // The rows that were there, and those that were written.
    assert!(done.read <= 400 + 400, "{} rows read in {parts} parts", done.read);
}
