//! What indexes cost and give, in a process and without HTTP: `cargo bench --bench index`.
//!
//! Every type is built over the data set by two threads, and searched by one and by two at several
//! efforts, each query by one thread. Recall@10 is that against the set's exact answers, for its own
//! queries, which the index has never seen; the rows with "target" show what calibration makes of a
//! recall target. `QUIVER_BENCH_INDEX=hnsw` measures one type. If `.peers/results` is there, the default
//! type is noted for the comparison with other engines.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use quiver::{
    engine::index::{
        Cost, Effort, Mask, Query, Request, Table, VectorIndex, VectorSource, best_of, build, open,
    },
    types::{Distance, HnswParams, IndexSpec, IvfParams, PqParams},
};
use serde_json::{Value, json};
use support::{Times, data::DataSet};

const TOP_K: usize = 10;
const THREADS: usize = 2;
/// Client threads of the comparison with other engines.
const CLIENTS: usize = 4;
const SECONDS: f64 = 2.0;
/// More recall than this is not measured with masks.
const ENOUGH_FILTERED: f64 = 0.99;
const TARGETS: [f32; 8] = [0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995];

fn main() {
    if !support::measuring() {
        return;
    }
    let data = DataSet::load();
    support::headline("indexes");
    println!(
        "{} rows x {}, cosine, top {TOP_K}, {} queries",
        data.rows(),
        data.dimension,
        data.query_count()
    );
    let rows = Table::new(data.dimension, data.base.clone());
    let wanted = std::env::var("QUIVER_BENCH_INDEX").unwrap_or_default();
    for spec in [
        IndexSpec::AUTO,
        IndexSpec::Pq(PqParams::default()),
        IndexSpec::Hnsw(HnswParams::default()),
        IndexSpec::Ivf(IvfParams::default()),
    ] {
        if wanted.is_empty() || wanted == spec.index_type().as_str() {
            measure(&data, &rows, spec);
        }
    }
}

/// An index with what it is asked.
struct Bench<'a> {
    rows: &'a Table,
    index: Box<dyn VectorIndex>,
    queries: Vec<Query>,
}

/// Which rows queries may find, and which of them are the best.
struct Task {
    /// Query `i` has mask `i` modulo their number; none: all rows.
    masks: Vec<Vec<u64>>,
    nearest: Vec<HashSet<u64>>,
}

fn measure(data: &DataSet, rows: &Table, spec: IndexSpec) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("threads");
    let begin = Instant::now();
    let bytes = pool.install(|| build(&spec, rows, Distance::Cosine, 1)).expect("an index");
    let built = begin.elapsed();
    let index = open(spec.index_type(), bytes).expect("an index");
    let name = spec.index_type().as_str();
    let per_row = index.resident_bytes() as f64 / rows.rows() as f64;
    println!(
        "\n{name}: built in {:.1} s by {THREADS} threads, {per_row:.1} bytes per row",
        built.as_secs_f64()
    );
    println!(
        "{:>7} {:>7} {:>9} {:>10} {:>10} {:>9} {:>9}",
        "target", "effort", "recall", "1 thread/s", "2 threads/s", "estimated", "scored"
    );
    let queries =
        (0..data.query_count()).map(|query| Query::new(Distance::Cosine, data.query(query))).collect();
    let bench = Bench { rows, index, queries };
    let nearest = |query| data.nearest(query, TOP_K).iter().map(|row| *row as u64).collect();
    let all = Task { masks: Vec::new(), nearest: (0..data.query_count()).map(nearest).collect() };
    let mut sweep = Vec::new();
    for target in TARGETS {
        let effort = bench.index.effort_for(target, TOP_K);
        let (recall, estimated, scored) = bench.recall(&all, effort);
        let (one, _) = bench.rate(&all, effort, 1);
        let (two, _) = bench.rate(&all, effort, THREADS);
        println!(
            "{target:>7} {:>7.3} {recall:>9.4} {one:>10.0} {two:>10.0} {estimated:>9} {scored:>9}",
            effort.value()
        );
        if spec == IndexSpec::AUTO {
            sweep.push(bench.point(&all, target, effort, recall));
        }
    }
    let [tenth, hundredth] = [10, 100].map(|modulus| bench.filtered(modulus));
    if spec == IndexSpec::AUTO {
        let filtered = json!({"tenth": tenth, "hundredth": hundredth});
        note(rows, &bench, built, &json!(sweep), &filtered);
    }
}

impl Bench<'_> {
    /// Figures with masks that let every so many-th row pass, spread over all, until enough is found.
    fn filtered(&self, modulus: usize) -> Vec<Value> {
        let mask = |first: usize| {
            let mut words = vec![0; self.rows.rows().div_ceil(64)];
            (first..self.rows.rows()).step_by(modulus).for_each(|row| words[row / 64] |= 1 << (row % 64));
            words
        };
        let mut task = Task { masks: (0..modulus).map(mask).collect(), nearest: Vec::new() };
        let best = |number| self.ask(&task, number, Effort::FULL).0.collect();
        task.nearest = (0..self.queries.len()).map(best).collect();
        let mut points = Vec::new();
        for target in TARGETS {
            let effort = self.index.effort_for(target, TOP_K);
            let (recall, ..) = self.recall(&task, effort);
            let point = self.point(&task, target, effort, recall);
            println!(
                "1 of {modulus}: target {target}, recall {recall:.4}, {THREADS} threads {:.0}/s",
                point["per_second"].as_f64().unwrap_or(0.0)
            );
            points.push(point);
            if recall >= ENOUGH_FILTERED {
                break;
            }
        }
        points
    }

    /// Rows for a query, and what it cost.
    fn ask(&self, task: &Task, number: usize, effort: Effort) -> (impl Iterator<Item = u64>, Cost) {
        let mask = match task.masks.as_slice() {
            [] => Mask::All,
            masks => Mask::Bits(&masks[number % masks.len()]),
        };
        let query = &self.queries[number];
        let request = Request { query, rows: self.rows, mask, effort, stop: &|| false };
        let (found, cost) = best_of(&*self.index, &request, TOP_K).expect("rows");
        (found.into_iter().map(|found| found.row), cost)
    }

    /// Recall, and the mean numbers of rows that were estimated and scored.
    fn recall(&self, task: &Task, effort: Effort) -> (f64, u64, u64) {
        let (mut hits, mut estimated, mut scored) = (0, 0, 0);
        for (number, nearest) in task.nearest.iter().enumerate() {
            let (found, cost) = self.ask(task, number, effort);
            hits += found.filter(|row| nearest.contains(row)).count();
            (estimated, scored) = (estimated + cost.estimated, scored + cost.scored);
        }
        let count = self.queries.len() as u64;
        (hits as f64 / (self.queries.len() * TOP_K) as f64, estimated / count, scored / count)
    }

    /// Queries a second of so many threads, and what each took.
    fn rate(&self, task: &Task, effort: Effort, threads: usize) -> (f64, Times) {
        let next = AtomicUsize::new(0);
        let until = Instant::now() + Duration::from_secs_f64(SECONDS / 2.0);
        let work = || {
            let mut times = Times::default();
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed) % self.queries.len();
                let begin = Instant::now();
                std::hint::black_box(self.ask(task, number, effort).0.count());
                times.add(begin.elapsed());
            }
            times
        };
        let begin = Instant::now();
        let mut all = Times::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().for_each(|worker| all.extend(worker.join().expect("a worker")));
        });
        (all.len() as f64 / begin.elapsed().as_secs_f64(), all)
    }

    /// A point of the comparison with other engines.
    fn point(&self, task: &Task, target: f32, effort: Effort, recall: f64) -> Value {
        let (rate, mut times) = self.rate(task, effort, CLIENTS);
        let millis = |share: f64, times: &mut Times| times.percentile(share).as_secs_f64() * 1e3;
        let (p50, p99) = (millis(0.5, &mut times), millis(0.99, &mut times));
        json!({"effort": {"recall_target": target}, "recall": recall, "per_second": rate, "p50_ms": p50, "p99_ms": p99, "cores": THREADS})
    }
}

/// Notes the figures where `make bench-peers` finds them.
fn note(rows: &Table, bench: &Bench<'_>, built: Duration, sweep: &Value, filtered: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".peers/results");
    if !folder.exists() {
        return;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let megabytes = bench.index.resident_bytes() as f64 / 1e6;
    let result = json!({
        "name": "quiver-in-process", "version": env!("CARGO_PKG_VERSION"),
        "begun": jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(), "load_before": load,
        "index": "spfresh, defaults", "clients": "in process, 4 threads", "durability": "the index alone: nothing is written",
        "rows": rows.rows(), "dimension": rows.dimension(),
        "ingest_seconds": built.as_secs_f64(), "index_seconds": built.as_secs_f64(), "disk_mb": megabytes,
        "memory_mb": megabytes, "restart_seconds": 0.0, "syncs": 0, "sweep": sweep,
        "filtered": filtered,
    });
    std::fs::write(folder.join("quiver-in-process.json"), result.to_string()).expect("a result");
}
