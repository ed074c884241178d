//! A namespace through its whole life within a budget of memory: import, folds and merges, queries at
//! random, a restart, a copy, deletes, garbage collection. Exact answers are the same at every stop.
//!
//! `make test` sends 20,000 rows through it; `make scale` a million, and prints the figures that
//! docs/benchmarks.md shows. Rows are real embeddings, and real ones moved (`at_scale/rows.rs`).

#[path = "at_scale/memory.rs"]
mod memory;
#[path = "at_scale/rows.rs"]
mod rows;
#[path = "support/mod.rs"]
mod shared;

#[path = "../benches/support/data.rs"]
mod data;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use data::DataSet;
use memory::Watch;
use serde_json::{Value, json};
use shared::mapped::resident_of;
use shared::program::{Server, Workdir, until, until_within};
use shared::servers::Seaweed;

const QUERIES: usize = 20;
const MIB: u64 = 1 << 20;

/// How much goes through.
struct Scale {
    rows: usize,
    dimension: usize,
    /// `cache.memory_bytes`
    cache: u64,
    /// What a server may take besides: code, threads, requests in flight, a fold's output.
    constant: u64,
}

impl Scale {
    /// As the environment says, else what a test has time for.
    fn from_env() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let rows = number("QUIVER_SCALE_ROWS", 20_000);
        let large = rows > 100_000;
        Self {
            rows,
            dimension: number("QUIVER_SCALE_DIMENSION", 384),
            cache: if large { 128 * MIB } else { 16 * MIB },
            constant: 256 * MIB,
        }
    }

    /// Segments and rows that are not folded each have the cache's budget; as much again goes into what
    /// folds and merges read and write, and what the allocator keeps.
    fn budget(&self) -> u64 {
        4 * self.cache + self.constant
    }

    /// What may be mapped of segments and indexes, and of the lookups, which are not counted.
    fn mapped(&self) -> u64 {
        self.cache + 24 * self.rows as u64 + 4 * MIB
    }

    fn settings(&self) -> String {
        let fold = self.cache / 8;
        format!(
            "[cache]\nmemory_bytes = {}\ndisk_bytes = \"8 GiB\"\n[log]\nentry_bytes = \"4 MiB\"\nqueue_bytes = \"16 MiB\"\n\
             unfolded_bytes = {}\nsafe_age = \"500ms\"\n[compaction]\nfold_bytes = {fold}\nfold_interval = \"10ms\"\n\
             [garbage]\ngrace = \"3s\"\ninterval = \"1s\"\n",
            self.cache,
            4 * fold,
        )
    }
}

/// Figures in the order in which they were taken.
#[derive(Default)]
struct Figures(Vec<(String, String)>);

impl Figures {
    fn add(&mut self, name: &str, value: impl ToString) {
        println!("  {name:<44} {}", value.to_string());
        self.0.push((name.to_owned(), value.to_string()));
    }
}

fn life(workdir: &Workdir, scale: &Scale, store: &str) {
    println!("\n{} rows x {} on {store}", scale.rows, scale.dimension);
    let mut figures = Figures::default();
    let data = DataSet::load();
    let file = workdir.path("rows.npy");
    rows::write(&file, &data, scale.rows, scale.dimension);
    let queries = rows::queries(&data, QUERIES, scale.dimension);

    let server = workdir.serve(&[]);
    let watch = Watch::start(server.id());
    let began = Instant::now();
    let url = format!("http://{}", server.address);
    workdir.run(&["import", "scale", "rows.npy", "--url", &url, "--id-prefix", "r"]).ok();
    let acknowledged = began.elapsed();
    let described = compact(&server);
    let folded = began.elapsed();
    let raw = (scale.rows * scale.dimension * 4) as f64;
    let counters = counters(&server);
    let per = |name: &str| sum(&counters, name);
    figures.add("rows/s until acknowledged", (scale.rows as f64 / acknowledged.as_secs_f64()).round());
    figures.add("rows/s until folded and merged", (scale.rows as f64 / folded.as_secs_f64()).round());
    figures.add("segments", &described["segments"]["count"]);
    let written = per("quiver_store_written_bytes_total");
    figures.add("bytes written / bytes of vectors", format!("{:.2}", written / raw));
    let requests = per("quiver_store_requests_total");
    figures.add("requests per 1,000 rows", format!("{:.2}", 1000.0 * requests / scale.rows as f64));
    let answers = ask(&server, "scale", &queries);
    random_reads(&server, scale, &queries);
    let peak = watch.peak();
    figures.add("peak RSS, ingest and random queries, MiB", peak / MIB);
    let mapped = resident_of(server.id(), &workdir.path(""));
    figures.add("mapped of segments, indexes and lookups, MiB", mapped / MIB);
    assert!(mapped < scale.mapped(), "{} MiB are mapped, of {} MiB", mapped / MIB, scale.mapped() / MIB);
    assert!(peak < scale.budget(), "{} MiB, budget {} MiB", peak / MIB, scale.budget() / MIB);
    drop(watch);

    stop(server);
    let began = Instant::now();
    let server = workdir.serve(&[]);
    let listening = began.elapsed();
    let watch = Watch::start(server.id());
    let first = query(&server, "scale", &queries[0]);
    figures.add("restart: ms until it listens", listening.as_millis());
    figures.add("restart: ms until the first answer", began.elapsed().as_millis());
    figures.add("first query: requests", &first["usage"]["store_requests"]);
    figures.add("first query: bytes read", &first["usage"]["store_read_bytes"]);
    assert_eq!(hits(&first), answers[0]);
    assert_eq!(ask(&server, "scale", &queries), answers, "after the restart");

    let began = Instant::now();
    let copied = server.post("/v1/namespaces/scale/copy", &json!({ "to": "copy" }));
    assert_eq!(copied["count"], json!(scale.rows));
    figures.add("copy: ms", began.elapsed().as_millis());
    assert_eq!(ask(&server, "copy", &queries), answers, "of the copy");

    let gone: Vec<String> = (0..scale.rows).step_by(3).map(|row| format!("r{row}")).collect();
    for ids in gone.chunks(10_000) {
        server.post("/v1/namespaces/scale/vectors/delete", &json!({ "ids": ids }));
    }
    compact(&server);
    let (_, described) = server.curl("/v1/namespaces/scale", &[]);
    assert_eq!(described["count"], json!(scale.rows - gone.len()));
    for found in ask(&server, "scale", &queries).iter().flatten() {
        assert!(!row_of(&found.0).is_multiple_of(3), "{found:?} was deleted");
    }
    assert_eq!(ask(&server, "copy", &queries), answers, "of the copy, after deletes of its origin");
    until("garbage is collected", || {
        let removed = sum(&self::counters(&server), "quiver_garbage_removed_objects_total");
        (removed > 0.0).then_some(())
    });
    server.curl("/v1/namespaces/scale", &["-X", "DELETE"]);
    // Longer than the grace time and two collections.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(ask(&server, "copy", &queries), answers, "of the copy, without its origin");
    let peak = watch.peak();
    figures.add("peak RSS after the restart, MiB", peak / MIB);
    assert!(peak < scale.budget(), "{} MiB, budget {} MiB", peak / MIB, scale.budget() / MIB);
    drop(watch);
    stop(server);
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("copy: whole") && !report.contains("scale:"), "{report}");
}

/// Ends it in peace, and shows what it warned of.
fn stop(mut server: Server) {
    let output = server.output();
    output
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains("ERROR"))
        .take(20)
        .for_each(|line| println!("  {line}"));
    server.signal("TERM");
    assert_eq!(server.exit_code(), 0);
}

/// Folds and merges until nothing is left to do, and describes the namespace.
fn compact(server: &Server) -> Value {
    let arguments = ["-X", "POST", "--max-time", "300"];
    // An index over a million rows takes longer than a request may.
    until_within(Duration::from_secs(900), "the namespace is compacted", || {
        let (status, _) = server.curl("/v1/namespaces/scale/compact", &arguments);
        let (_, described) = server.curl("/v1/namespaces/scale", &[]);
        (status == 200 && described["log"]["entries"] == json!(0)).then_some(described)
    })
}

fn query(server: &Server, namespace: &str, vector: &[f32]) -> Value {
    server.post(
        &format!("/v1/namespaces/{namespace}/query"),
        &json!({ "vector": vector, "top_k": 10, "exact": true }),
    )
}

/// Ids and scores.
type Hits = Vec<(String, f64)>;

fn hits(answer: &Value) -> Hits {
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|hit| (hit["id"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap())).collect()
}

fn ask(server: &Server, namespace: &str, queries: &[Vec<f32>]) -> Vec<Hits> {
    let answers: Vec<_> = queries.iter().map(|vector| hits(&query(server, namespace, vector))).collect();
    assert!(answers.iter().all(|hits| hits.len() == 10));
    answers
}

/// Queries and rows from everywhere.
fn random_reads(server: &Server, scale: &Scale, queries: &[Vec<f32>]) {
    for round in 0..10 {
        let ids: Vec<_> = (0..50).map(|n| format!("r{}", (round * 50 + n) * 7919 % scale.rows)).collect();
        let found = server.post("/v1/namespaces/scale/fetch", &json!({ "ids": ids }));
        assert_eq!(found["vectors"].as_array().map(Vec::len), Some(50), "{found}");
        query(server, "scale", &queries[round % queries.len()]);
        for vector in queries.iter().skip(round % 4).step_by(4) {
            server.post("/v1/namespaces/scale/query", &json!({ "vector": vector, "top_k": 100 }));
        }
    }
}

fn row_of(id: &str) -> usize {
    id.strip_prefix('r').unwrap().parse().unwrap()
}

fn counters(server: &Server) -> BTreeMap<String, f64> {
    let text = server.text("/metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn sum(counters: &BTreeMap<String, f64>, name: &str) -> f64 {
    counters.iter().filter(|(full, _)| full.starts_with(name)).map(|(_, value)| value).sum()
}

#[test]
fn on_files() {
    let (workdir, scale) = (Workdir::new(), Scale::from_env());
    workdir.write("quiver.toml", scale.settings());
    life(&workdir, &scale, "files");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3() {
    let store = Seaweed::start().await;
    let (workdir, scale) = (Workdir::new(), Scale::from_env());
    let settings = scale.settings().replace("[cache]\n", "[cache]\ndisk_path = \"cache\"\n");
    workdir.write("quiver.toml", store.storage_toml("scale") + &settings);
    life(&workdir, &scale, "S3");
}

/// Two thousand namespaces, touched in turn.
#[test]
fn many_small_namespaces() {
    let workdir = Workdir::new();
    workdir.write("quiver.toml", "[cache]\nnamespaces = 100\nmemory_bytes = \"16 MiB\"\n");
    let server = workdir.serve(&[]);
    let data = DataSet::load();
    let count = if std::env::var_os("QUIVER_SCALE_ROWS").is_some() { 2000 } else { 300 };
    let watch = Watch::start(server.id());
    let rows: Vec<_> = (0..20)
        .map(|row| json!({ "id": format!("r{row}"), "values": data.values(row * 384, 384) }))
        .collect();
    let body = json!({ "vectors": rows });
    for number in 0..count {
        server.post(&format!("/v1/namespaces/small-{number}/vectors"), &body);
        if number % 2 == 0 {
            server.post(&format!("/v1/namespaces/small-{number}/compact"), &json!({}));
        }
    }
    let after_some = watch.peak();
    for round in 0..2 {
        for number in (0..count).step_by(1 + round) {
            let answer = query(&server, &format!("small-{number}"), &data.values(0, 384));
            assert_eq!(answer["results"][0]["id"], json!("r0"));
        }
    }
    let loaded = sum(&counters(&server), "quiver_namespaces_loaded");
    println!("{count} namespaces: {loaded} loaded, peak RSS {} MiB", watch.peak() / MIB);
    assert!(loaded <= 100.0, "{loaded} namespaces are loaded");
    assert!(watch.peak() < 2 * 16 * MIB + 256 * MIB, "{} MiB", watch.peak() / MIB);
    assert!(after_some > 0);
}
