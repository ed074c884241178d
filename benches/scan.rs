//! How close exact search comes to the machine's memory: `cargo bench --bench scan`.
//!
//! Everything is measured in one run, in turns, so that ratios mean something on a machine that is
//! shared with others: a plain sum over the vectors is what reading them costs at least, and a
//! search is set against that. `scan` is the scan of flat memory, `search` the whole of what a
//! request does after its snapshot is taken. The best of some rounds counts.

use std::{
    hint::black_box,
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use quiver::{
    clock::Timestamp,
    engine::{
        contents::{Contents, Snapshot},
        format::Changes,
        index::{
            flat::{ChunkView, Queries, scan},
            kernel::Kernel,
            top::TopK,
        },
        query::{Accuracy, Searchers, Target},
    },
    types::{Distance, Rows, VectorId},
};

const VECTOR_BYTES: usize = 200 << 20;
const ROUNDS: usize = 7;
const BATCH: usize = 32;
const TOP_K: usize = 10;
const NOW: Timestamp = Timestamp(0);
/// Rows per view of flat memory; what a chunk holds at most.
const VIEW_ROWS: usize = 1024;

fn main() {
    // `cargo test --all-targets` runs it too, without this argument and without optimisation.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("kernel {}, {cores} cores, {} MiB of vectors", Kernel::detected().name(), VECTOR_BYTES >> 20);
    println!("{:>5} {:>7}  {:<30} {:>8} {:>8} {:>9}", "dim", "threads", "what", "ms", "GB/s", "of memory");
    for dimension in [384, 1024] {
        let table = Table::new(dimension);
        let snapshot = table.snapshot();
        for threads in [1, 2] {
            measure(&table, &snapshot, threads);
        }
    }
}

fn measure(table: &Table, snapshot: &Arc<Snapshot>, threads: usize) {
    let searchers = Arc::new(Searchers::new(threads).expect("threads"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let search = |distance, queries: usize| {
        let targets = table.queries(queries).into_iter();
        let targets = targets
            .map(|vector| Target {
                vector,
                distance,
                top_k: TOP_K,
                accuracy: Accuracy::Exact,
                index: None,
                filter: None,
            })
            .collect();
        let found = runtime.block_on(searchers.search(snapshot.clone(), targets, NOW));
        black_box(found.expect("a search"));
    };
    type Run<'a> = (String, usize, Box<dyn Fn() + 'a>);
    let mut runs: Vec<Run> = vec![
        ("read memory".into(), 1, Box::new(|| divide(table, threads, &|rows| table.read(rows)))),
        (
            "scan dot_product".into(),
            1,
            Box::new(|| divide(table, threads, &|rows| table.scan(rows, Distance::DotProduct))),
        ),
    ];
    for distance in [Distance::DotProduct, Distance::Cosine, Distance::Euclidean] {
        let name = format!("search {distance:?}");
        runs.push((name.clone(), 1, Box::new(move || search(distance, 1))));
        runs.push((format!("{name} × {BATCH}, per query"), BATCH, Box::new(move || search(distance, BATCH))));
    }
    let mut best = vec![Duration::MAX; runs.len()];
    for _ in 0..ROUNDS {
        for (best, (_, _, run)) in best.iter_mut().zip(&runs) {
            let start = Instant::now();
            run();
            *best = (*best).min(start.elapsed());
        }
    }
    let bytes = size_of_val(table.vectors.as_slice()) as f64;
    let memory = bytes / best[0].as_secs_f64();
    for (best, (name, queries, _)) in best.iter().zip(&runs) {
        let seconds = best.as_secs_f64() / *queries as f64;
        let speed = bytes / seconds;
        println!(
            "{:>5} {threads:>7}  {name:<30} {:>8.3} {:>8.2} {:>8.0}%",
            table.dimension,
            seconds * 1e3,
            speed / 1e9,
            100.0 * speed / memory
        );
    }
}

/// Runs a part of the rows on each thread.
fn divide(table: &Table, threads: usize, run: &(dyn Fn(Range<usize>) + Sync)) {
    let part = table.rows().div_ceil(threads);
    thread::scope(|scope| {
        for start in (0..table.rows()).step_by(part) {
            let end = table.rows().min(start + part);
            scope.spawn(move || run(start..end));
        }
    });
}

struct Table {
    dimension: usize,
    vectors: Vec<f32>,
    inverse_norms: Vec<f32>,
}

impl Table {
    fn new(dimension: usize) -> Self {
        let rows = VECTOR_BYTES / size_of::<f32>() / dimension;
        let vectors = values(1, rows * dimension);
        let norm = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
        let inverse_norms = vectors.chunks_exact(dimension).map(|row| 1.0 / norm(row)).collect();
        Self { dimension, vectors, inverse_norms }
    }

    fn rows(&self) -> usize {
        self.inverse_norms.len()
    }

    fn queries(&self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|query| values(100 + query as u64, self.dimension)).collect()
    }

    /// The same rows as the engine holds them.
    fn snapshot(&self) -> Arc<Snapshot> {
        let mut contents = Contents::default();
        for (index, vectors) in self.vectors.chunks(self.dimension * 4096).enumerate() {
            let count = vectors.len() / self.dimension;
            let id = |row| VectorId::trusted(&format!("{:08}", index * 4096 + row));
            let rows = Rows {
                dimension: self.dimension,
                without_vector: Vec::new(),
                ids: (0..count).map(id).collect(),
                vectors: vectors.to_vec(),
                metadata: vec![None; count],
                ttl: vec![None; count],
            };
            let mut changes = Changes::default();
            changes.upsert(&rows, NOW);
            contents.apply(&changes, NOW).expect("rows in memory");
        }
        contents.snapshot()
    }

    /// Reads every value once, in order, with as little work as the compiler's widest loads take.
    fn read(&self, rows: Range<usize>) {
        let values = &self.vectors[rows.start * self.dimension..rows.end * self.dimension];
        let mut sums = [0_u32; 64];
        for values in values.as_chunks::<64>().0 {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum |= value.to_bits();
            }
        }
        black_box(sums);
    }

    fn scan(&self, rows: Range<usize>, distance: Distance) {
        let query = self.queries(1);
        let queries = Queries::new(distance, query.iter().map(Vec::as_slice));
        let mut top = [TopK::new(TOP_K)];
        for start in rows.clone().step_by(VIEW_ROWS) {
            let end = rows.end.min(start + VIEW_ROWS);
            let view = ChunkView {
                vectors: &self.vectors[start * self.dimension..end * self.dimension],
                dimension: self.dimension,
                inverse_norms: &self.inverse_norms[start..end],
                live: &[u64::MAX; VIEW_ROWS / 64],
                first_row: start as u64,
            };
            scan(&view, &queries, &mut top, &|left, right| left.cmp(&right));
        }
        black_box(top);
    }
}

/// Numbers between -1 and 1.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
