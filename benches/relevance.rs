//! Full text and hybrid search on real texts: `cargo bench --bench relevance`.
//!
//! - **Relevance**: each query is a sentence whose row is known. How often that row is among the first one and
//!   the first ten, and the mean of its reciprocal rank, by the vector, by the words, and by both with each
//!   fusion and weight.
//! - **Latency**: one query at a time in a process, the index in place; with rows that are not folded; and the
//!   first query after a write.
//! - **Building**: what the indexes over metadata and texts add to a fold with the index over vectors, and
//!   their sizes.
//! - **End to end**: from the first byte of the first upsert until every document is found, over HTTP.
//!
//! The documents of `make bench-data`, or of the slice in this repository.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::{
    io::Read,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::{
        Accuracy, Consistency, Engine, HybridSearch, Projection, Query, TextSearch, VectorSide, query::Fusion,
    },
    random::Random,
    storage::Store,
    types::{
        IndexSpec, IndexType, NamespaceName, Rows, VectorId,
        text::{FulltextParams, Limits, TextQuery},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use support::{
    Times,
    client::{self, Prepared, send_all},
    data::DataSet,
};

const TOP_K: usize = 10;
const BATCH_ROWS: usize = 1000;
const RRF: Fusion = Fusion::ReciprocalRank { k: 60.0 };

struct Corpus {
    data: DataSet,
    ids: Vec<String>,
    documents: Vec<Arc<str>>,
    /// Text, and the id of the row that it belongs to.
    queries: Vec<(String, String)>,
}

impl Corpus {
    fn load() -> Self {
        let data = DataSet::load();
        let field = |line: &str, name: &str| -> String {
            let value: Value = serde_json::from_str(line).expect("JSON");
            value[name].as_str().expect("text").to_owned()
        };
        let documents = lines(&data.folder, "docs");
        let queries = lines(&data.folder, "queries");
        Self {
            ids: documents.iter().map(|line| field(line, "id")).collect(),
            documents: documents.iter().map(|line| line.as_str().into()).collect(),
            queries: queries.iter().map(|line| (field(line, "text"), field(line, "source_id"))).collect(),
            data,
        }
    }

    fn rows(&self, range: std::ops::Range<usize>) -> Rows {
        let dimension = self.data.dimension;
        Rows {
            dimension,
            without_vector: Vec::new(),
            ids: self.ids[range.clone()].iter().map(|id| VectorId::trusted(id)).collect(),
            vectors: self.data.base[range.start * dimension..range.end * dimension].to_vec(),
            metadata: self.documents[range.clone()].iter().cloned().map(Some).collect(),
            ttl: vec![None; range.len()],
        }
    }

    fn batches(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let rows = self.documents.len();
        (0..rows).step_by(BATCH_ROWS).map(move |start| start..rows.min(start + BATCH_ROWS))
    }
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    let plain = std::fs::read(folder.join(format!("{name}.jsonl")));
    let text = plain.unwrap_or_else(|_| {
        let file = std::fs::File::open(folder.join(format!("{name}.jsonl.gz"))).expect("documents");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut text).expect("gzip");
        text
    });
    String::from_utf8(text).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[tokio::main]
async fn main() {
    if !support::measuring() {
        return;
    }
    let corpus = Corpus::load();
    support::headline("full text and hybrid search");
    println!("{} documents, {} queries", corpus.documents.len(), corpus.queries.len());
    let part = std::env::var("QUIVER_BENCH_PART").unwrap_or_default();
    let wanted = |name: &str| part.is_empty() || part == name;
    if wanted("relevance") || wanted("latency") {
        let engine = engine();
        fill(&engine, &corpus, &[IndexSpec::AUTO, IndexSpec::Fulltext(FulltextParams::default())]).await;
        if wanted("relevance") {
            relevance(&engine, &corpus).await;
        }
        if wanted("latency") {
            latency(&engine, &corpus).await;
        }
    }
    if wanted("building") {
        building(&corpus).await;
    }
    if wanted("http") {
        end_to_end(&corpus).await;
    }
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").expect("a name")
}

fn engine() -> Engine {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    config.compaction.background = false;
    let store = Store::open(&config.storage, Arc::default()).expect("a store");
    Engine::with_random(store, SystemClock::shared(), Random::seeded(1), &config, Arc::default())
        .expect("an engine")
}

/// Writes all rows to a namespace with these indexes, and folds them; returns how long folding took.
async fn fill(engine: &Engine, corpus: &Corpus, indexes: &[IndexSpec]) -> Duration {
    for batch in corpus.batches() {
        engine.upsert(&name(), corpus.rows(batch)).await.expect("an upsert");
    }
    engine.delete_index(&name(), IndexType::Spfresh).await.expect("no index");
    engine.delete_index(&name(), IndexType::Attributes).await.expect("no index");
    for index in indexes {
        engine.put_index(&name(), index.clone()).await.expect("an index");
    }
    let began = Instant::now();
    engine.compact(&name()).await.expect("a compaction");
    began.elapsed()
}

fn text_search(text: &str, top_k: usize) -> TextSearch {
    TextSearch {
        query: TextQuery::plain(text),
        place: "text",
        fields: None,
        limits: Limits::default(),
        top_k,
        filter: None,
        cut: Default::default(),
        projection: Projection { vectors: false, metadata: false },
        highlight: None,
    }
}

fn hybrid_search(
    corpus: &Corpus,
    query: usize,
    fusion: Fusion,
    weight: f32,
    accuracy: Accuracy,
) -> HybridSearch {
    let vector = Query {
        vector: corpus.data.query(query).to_vec(),
        top_k: TOP_K,
        distance: None,
        accuracy: Some(accuracy),
        index: None,
        filter: None,
        projection: Projection { vectors: false, metadata: false },
        cut: Default::default(),
    };
    let text = text_search(&corpus.queries[query].0, TOP_K);
    HybridSearch { text, vector: Some(VectorSide { query: vector, weight }), fusion, candidates: 100 }
}

async fn ask(engine: &Engine, search: HybridSearch) -> Vec<String> {
    let result = engine.search_hybrid(&name(), search, Consistency::Eventual).await.expect("an answer");
    result.hits.into_iter().map(|found| found.hit.hit.row.id.to_string()).collect()
}

/// Hit rates and reciprocal ranks. Sides are searched exactly, so that nothing else is compared.
async fn relevance(engine: &Engine, corpus: &Corpus) {
    println!("\n{:<28} {:>7} {:>7} {:>9} {:>9}", "", "weight", "hit@1", "hit@10", "MRR@10");
    let mut rows = vec![("vector", RRF, 1.0), ("words (BM25)", RRF, 0.0)];
    for (name, fusion) in [("hybrid, weighted scores", Fusion::Weighted), ("hybrid, reciprocal ranks", RRF)] {
        rows.extend((1..10).map(|tenth| (name, fusion, tenth as f32 / 10.0)));
    }
    for (name, fusion, weight) in rows {
        let (mut first, mut ten, mut reciprocal) = (0, 0, 0.0);
        for query in 0..corpus.queries.len() {
            let found = ask(engine, hybrid_search(corpus, query, fusion, weight, Accuracy::Exact)).await;
            if let Some(place) = found.iter().position(|id| *id == corpus.queries[query].1) {
                first += usize::from(place == 0);
                ten += 1;
                reciprocal += 1.0 / (place + 1) as f64;
            }
        }
        let share = |count: usize| count as f64 / corpus.queries.len() as f64;
        println!(
            "{name:<28} {weight:>7.1} {:>7.3} {:>9.3} {:>9.4}",
            share(first),
            share(ten),
            reciprocal / corpus.queries.len() as f64
        );
    }
}

async fn latency(engine: &Engine, corpus: &Corpus) {
    println!("\n{:<44} {:>9} {:>9} {:>9}", "one query at a time", "p50", "p99", "queries/s");
    timed(engine, corpus, "").await;
    // Rows that are written again are in the tail.
    for rows in [1000, 10_000] {
        for start in (0..rows).step_by(BATCH_ROWS) {
            let batch = start..(start + BATCH_ROWS).min(corpus.documents.len());
            engine.upsert(&name(), corpus.rows(batch)).await.expect("an upsert");
        }
        let began = Instant::now();
        words(engine, corpus, 0).await;
        println!("{rows} rows written: the first search by words takes {:.1?}", began.elapsed());
        timed(engine, corpus, &format!(", {rows} rows not folded")).await;
    }
    let mut times = Times::default();
    for row in 0..200 {
        engine.upsert(&name(), corpus.rows(row..row + 1)).await.expect("an upsert");
        let began = Instant::now();
        words(engine, corpus, row).await;
        times.add(began.elapsed());
    }
    let (middle, worst) = (times.percentile(0.5), times.percentile(0.99));
    println!("{:<44} {middle:>9.1?} {worst:>9.1?}", "words, after a row was written each time");
}

async fn words(engine: &Engine, corpus: &Corpus, query: usize) {
    let search = text_search(&corpus.queries[query % corpus.queries.len()].0, TOP_K);
    engine.search_texts(&name(), search, Consistency::Eventual).await.expect("an answer");
}

async fn timed(engine: &Engine, corpus: &Corpus, when: &str) {
    let near = Accuracy::Recall(0.95);
    for (kind, weight) in [("words", 0.0), ("vector", 1.0), ("hybrid", 0.5)] {
        let mut times = Times::default();
        let began = Instant::now();
        for query in 0..corpus.queries.len() {
            let search = hybrid_search(corpus, query, Fusion::Weighted, weight, near);
            let began = Instant::now();
            match kind {
                "words" => words(engine, corpus, query).await,
                _ => drop(ask(engine, search).await),
            }
            times.add(began.elapsed());
        }
        let rate = corpus.queries.len() as f64 / began.elapsed().as_secs_f64();
        let (middle, worst) = (times.percentile(0.5), times.percentile(0.99));
        println!("{:<44} {middle:>9.1?} {worst:>9.1?} {rate:>9.0}", format!("{kind}{when}"));
    }
}

async fn building(corpus: &Corpus) {
    println!("\n{:<44} {:>9} {:>9} {:>12}", "folding all rows", "time", "ratio", "index bytes");
    let texts = || IndexSpec::Fulltext(FulltextParams::default());
    let mut alone = None;
    for (what, specs) in [
        ("no index", vec![]),
        ("vectors", vec![IndexSpec::AUTO]),
        ("vectors, attributes", vec![IndexSpec::AUTO, IndexSpec::Attributes]),
        ("vectors, attributes, texts", vec![IndexSpec::AUTO, IndexSpec::Attributes, texts()]),
        ("attributes", vec![IndexSpec::Attributes]),
        ("texts", vec![texts()]),
    ] {
        let engine = engine();
        let time = fill(&engine, corpus, &specs).await;
        if what == "vectors" {
            alone = Some(time);
        }
        let bytes: u64 =
            engine.indexes(&name()).await.expect("indexes").iter().map(|index| index.bytes).sum();
        let ratio = alone.map_or(f64::NAN, |alone| time.as_secs_f64() / alone.as_secs_f64());
        println!("{what:<44} {time:>9.2?} {ratio:>9.2} {bytes:>12}");
    }
}

async fn end_to_end(corpus: &Corpus) {
    let workdir = Workdir::new();
    let server = Arc::new(workdir.serve(&[]));
    let client = client::new_client();
    let path = "/v1/namespaces/docs";
    let put = |path: String, body: Value| Prepared {
        method: Method::PUT,
        path,
        content_type: "application/json",
        body: body.to_string().into(),
    };
    put(path.into(), json!({"dimension": corpus.data.dimension})).send(&client, &server).await;
    put(format!("{path}/indexes/fulltext"), json!({})).send(&client, &server).await;
    let upsert = |batch: std::ops::Range<usize>| {
        let rows: Vec<Value> = batch
            .map(|row| {
                let vector = &corpus.data.base[row * corpus.data.dimension..][..corpus.data.dimension];
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                let metadata: Value = serde_json::from_str(&corpus.documents[row]).expect("JSON");
                json!({"id": corpus.ids[row], "values": BASE64_STANDARD.encode(bytes), "metadata": metadata})
            })
            .collect();
        Prepared::post_json(format!("{path}/vectors"), &json!({"vectors": rows}))
    };
    let requests: Arc<Vec<Prepared>> = Arc::new(corpus.batches().map(upsert).collect());
    let began = Instant::now();
    send_all(&server, requests, 4).await;
    let written = began.elapsed();
    let documents = stats(&client, &server, path).await["document_count"].as_u64().expect("a number");
    let found = began.elapsed();
    assert_eq!(documents as usize, corpus.documents.len());
    let ready = async |index: &str| {
        loop {
            let status = Prepared::get(&format!("{path}/indexes/{index}")).send(&client, &server).await;
            let status: Value = serde_json::from_slice(&status).expect("JSON");
            if status["status"] == "ready" {
                break began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (texts, vectors) = (ready("fulltext").await, ready("spfresh").await);
    println!("\nover HTTP, 4 clients, batches of {BATCH_ROWS} rows, files: seconds from the first request");
    println!(
        "all rows durable {:.1}, every document counted and found {:.1}",
        seconds(written),
        seconds(found)
    );
    println!("text index of what is folded {:.1}, vector index {:.1}", seconds(texts), seconds(vectors));
}

async fn stats(client: &reqwest::Client, server: &Server, path: &str) -> Value {
    let answer = Prepared::get(&format!("{path}/fulltext/stats")).send(client, server).await;
    serde_json::from_slice(&answer).expect("JSON")
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
