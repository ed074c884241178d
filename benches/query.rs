//! What a search costs on real embeddings: `cargo bench --bench query`.
//!
//! Everything in one run: an empty request as the floor of HTTP, queries over HTTP from one client
//! and from eight, the same queries inside of a process, and a plain read of as much memory, which
//! an exact search cannot undercut. Recall stands beside every figure; an exact search has to
//! reach 1.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config, StorageConfig},
    engine::{Consistency, Engine, Projection, Query},
    storage::Store,
    types::NamespaceName,
};
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use support::{
    Times,
    client::{Prepared, send_all},
    data::DataSet,
};

const TOP_K: usize = 10;
const QUERIES: usize = 1000;
const CLIENTS: usize = 8;
const BATCH: usize = 32;
const NAMESPACE: &str = "bench";

#[tokio::main]
async fn main() {
    if !support::measuring() {
        return;
    }
    let data = DataSet::load();
    let queries = data.query_count().min(QUERIES);
    support::headline("exact search");
    let bytes = size_of_val(data.base.as_slice());
    println!(
        "{} rows × {} dimensions ({} MiB), cosine, top_k {TOP_K}, {queries} queries; data: {}",
        data.rows(),
        data.dimension,
        bytes >> 20,
        data.folder.file_name().unwrap_or_default().display()
    );
    let workdir = Workdir::new();
    let base = data.folder.join("base.f16.npy");
    let import = workdir.run(&["import", NAMESPACE, base.to_str().expect("a plain path")]).ok();
    println!("{}", import.stderr.lines().chain(import.stdout.lines()).last().unwrap_or_default());
    println!(
        "\n{:<44} {:>9} {:>9} {:>10} {:>8} {:>10}",
        "", "p50 ms", "p99 ms", "per second", "GB/s", "recall@10"
    );
    let memory = read_memory(&data);
    over_http(&data, &workdir, queries).await;
    vectors_as_text(&data, &workdir, queries).await;
    in_process(&data, &workdir, queries).await;
    println!("a plain read of the vectors on both cores: {:.1} GB/s", memory / 1e9);
}

/// One line of the table. `scanned`: bytes of vectors that each request reads.
fn report(
    name: &str,
    total: Duration,
    mut times: Times,
    per_request: usize,
    scanned: usize,
    recall: Option<f64>,
) {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let rate = (times.len() * per_request) as f64 / total.as_secs_f64();
    let speed = (times.len() * scanned) as f64 / total.as_secs_f64() / 1e9;
    let speed = if scanned == 0 { String::new() } else { format!("{speed:.1}") };
    println!(
        "{name:<44} {:>9.3} {:>9.3} {rate:>10.0} {speed:>8} {:>10}",
        millis(times.percentile(0.5)),
        millis(times.percentile(0.99)),
        recall.map_or(String::new(), |recall| format!("{recall:.4}")),
    );
}

async fn over_http(data: &DataSet, workdir: &Workdir, queries: usize) {
    let server = Arc::new(workdir.serve(&[]));
    let path = format!("/v1/namespaces/{NAMESPACE}/query");
    let query = |query: usize, consistency: &str| {
        let vector = data.query(query);
        let body = json!({ "vector": vector, "top_k": TOP_K, "consistency": consistency, "include_metadata": false });
        Prepared::post_json(path.clone(), &body)
    };
    let recall = recall_over_http(data, &server, queries, &query).await;
    let bytes = size_of_val(data.base.as_slice());
    let floor: Arc<Vec<_>> = Arc::new(vec![Prepared::get("/health/live"); 5000]);
    let strong: Arc<Vec<_>> = Arc::new((0..queries).map(|number| query(number, "strong")).collect());
    let eventual: Arc<Vec<_>> = Arc::new((0..queries).map(|number| query(number, "eventual")).collect());
    for clients in [1, CLIENTS] {
        let (total, times) = send_all(&server, floor.clone(), clients).await;
        report(&format!("empty request, {clients} clients"), total, times, 1, 0, None);
        for (name, requests) in [("strong", &strong), ("eventual", &eventual)] {
            let (total, times) = send_all(&server, requests.clone(), clients).await;
            let name = format!("query over HTTP, {name}, {clients} clients");
            report(&name, total, times, 1, bytes, Some(recall));
        }
    }
    let path = format!("/v1/namespaces/{NAMESPACE}/batch-query");
    let batches = (0..queries / BATCH).map(|batch| {
        let queries = (batch * BATCH..(batch + 1) * BATCH)
            .map(|query| json!({ "vector": data.query(query), "top_k": TOP_K, "include_metadata": false, "exact": true }));
        Prepared::post_json(path.clone(), &json!({ "queries": queries.collect::<Vec<_>>() }))
    });
    let batches: Arc<Vec<_>> = Arc::new(batches.collect());
    let (total, times) = send_all(&server, batches, 1).await;
    report(
        &format!("batch-query of {BATCH} over HTTP, 1 client"),
        total,
        times,
        BATCH,
        BATCH * bytes,
        Some(recall),
    );
}

/// What it costs to read a query's vector: a namespace of one row is asked, so that little else is done.
async fn vectors_as_text(data: &DataSet, workdir: &Workdir, queries: usize) {
    let server = Arc::new(workdir.serve(&[]));
    let client = support::client::new_client();
    for dimension in [data.dimension, 1536] {
        let vector = |query: usize| -> Vec<f32> {
            data.query(query).iter().copied().cycle().take(dimension).collect()
        };
        let path = format!("/v1/namespaces/of-{dimension}");
        let row = json!({ "vectors": [{ "id": "a", "values": vector(0) }] });
        Prepared::post_json(format!("{path}/vectors"), &row).send(&client, &server).await;
        let numbers = |query: usize| json!(vector(query));
        let base64 = |query: usize| {
            let bytes: Vec<u8> = vector(query).into_iter().flat_map(f32::to_le_bytes).collect();
            json!(BASE64_STANDARD.encode(bytes))
        };
        let request = |vector: Value| {
            let body = json!({ "vector": vector, "consistency": "eventual", "include_metadata": false });
            Prepared::post_json(format!("{path}/query"), &body)
        };
        let numbers: Vec<_> = (0..queries).map(|query| request(numbers(query))).collect();
        let base64: Vec<_> = (0..queries).map(|query| request(base64(query))).collect();
        for (name, requests) in [("JSON numbers", numbers), ("base64", base64)] {
            let (total, times) = send_all(&server, Arc::new(requests), 1).await;
            report(&format!("one row, {dimension} dimensions as {name}"), total, times, 1, 0, None);
        }
    }
}

async fn recall_over_http(
    data: &DataSet,
    server: &Server,
    queries: usize,
    query: &impl Fn(usize, &str) -> Prepared,
) -> f64 {
    let client = support::client::new_client();
    let mut found = 0;
    for number in 0..queries {
        let answer = query(number, "strong").send(&client, server).await;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let ids = answer["results"].as_array().expect("results").iter();
        let ids: Vec<String> = ids.map(|hit| hit["id"].as_str().expect("an id").to_owned()).collect();
        found += hits(data, number, &ids);
    }
    found as f64 / (queries * TOP_K) as f64
}

/// How many of the rows that were found are among the truly nearest. Ids are row numbers.
fn hits(data: &DataSet, query: usize, ids: &[String]) -> usize {
    let nearest = data.nearest(query, TOP_K);
    ids.iter().filter(|id| id.parse().is_ok_and(|row| nearest.contains(&row))).count()
}

async fn in_process(data: &DataSet, workdir: &Workdir, queries: usize) {
    let backend = BackendConfig::Fs { root: workdir.path("data") };
    let storage = StorageConfig { backend, ..StorageConfig::default() };
    let config = Config { storage, ..Config::default() };
    let store = Store::open(&config.storage, Arc::default()).expect("a store");
    let engine = Engine::new(store, SystemClock::shared(), &config, Arc::default()).expect("an engine");
    let name = NamespaceName::parse(NAMESPACE, "name").expect("a name");
    let query = |number: usize| Query {
        vector: data.query(number).to_vec(),
        top_k: TOP_K,
        distance: None,
        accuracy: Some(quiver::engine::Accuracy::Exact),
        index: None,
        filter: None,
        projection: Projection { vectors: false, metadata: false },
        cut: Default::default(),
    };
    let bytes = size_of_val(data.base.as_slice());
    let (mut found, mut times) = (0, Times::default());
    // The first one loads the namespace.
    engine.query(&name, vec![query(0)], Consistency::Strong).await.expect("an answer");
    let begin = Instant::now();
    for number in 0..queries {
        let start = Instant::now();
        let mut results =
            engine.query(&name, vec![query(number)], Consistency::Eventual).await.expect("an answer");
        times.add(start.elapsed());
        let hits = results.pop().expect("a result").hits;
        let ids: Vec<String> = hits.iter().map(|hit| hit.row.id.to_string()).collect();
        found += self::hits(data, number, &ids);
    }
    let recall = found as f64 / (queries * TOP_K) as f64;
    report("query in process, eventual", begin.elapsed(), times, 1, bytes, Some(recall));
}

/// Bytes per second that both cores read from memory, at best, while doing nothing with them.
fn read_memory(data: &DataSet) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let part = data.base.len().div_ceil(cores);
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for values in data.base.chunks(part) {
                scope.spawn(|| {
                    let mut sums = [0_u32; 64];
                    for values in values.as_chunks::<64>().0 {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum |= value.to_bits();
                        }
                    }
                    black_box(sums);
                });
            }
        });
        best = best.min(start.elapsed());
    }
    size_of_val(data.base.as_slice()) as f64 / best.as_secs_f64()
}
