//! How fast is exact search, next to how fast this machine reads memory at all?
//!
//! One run measures both over the same memory, in turns, and prints the ratio: absolute figures
//! drift with the machine and its other load. Then a batch of queries against one query at a time.
//!
//! `cargo bench --bench scan`

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use quiver::{
    engine::index::{
        flat::{ChunkView, Queries, scan},
        kernel::Kernel,
        top::TopK,
    },
    types::Distance,
};

/// Bytes of vectors: far more than the caches hold.
const BYTES: usize = 200 << 20;
/// Rounds of which the fastest and the median count.
const ROUNDS: usize = 15;
/// Rows that a query asks for.
const LIMIT: usize = 10;
/// Queries of the batch.
const BATCH: usize = 32;

fn main() {
    println!(
        "kernel {}, {} MB of rows, best (median) of {ROUNDS} rounds\n",
        Kernel::detected().name(),
        BYTES >> 20
    );
    for dimension in [384, 1024] {
        let table = Table::new(dimension);
        for distance in [Distance::Cosine, Distance::Euclidean] {
            for threads in [1, 2] {
                compare_with_read(&table, distance, threads);
            }
            compare_with_batch(&table, distance);
        }
    }
}

fn compare_with_read(table: &Table, distance: Distance, threads: usize) {
    let query = table.queries(distance, 1);
    let (mut reads, mut scans) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        reads.push(timed(|| {
            table.on_threads(threads, |part| {
                black_box(sum(part.vectors));
            })
        }));
        scans.push(timed(|| table.search(&query, threads)));
    }
    // Of neighbours in time, so that what else the machine does hits both.
    let mut ratios: Vec<f64> =
        reads.iter().zip(&scans).map(|(read, scan)| read.as_secs_f64() / scan.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let (read, scan) = (Rates::new(reads, table.gigabytes()), Rates::new(scans, table.gigabytes()));
    println!(
        "d={} {} {threads} thread{}: read {read} GB/s, scan {scan} GB/s = {:.0} % (pairwise {:.0} %)",
        table.dimension,
        distance.as_str(),
        if threads == 1 { "" } else { "s" },
        100.0 * scan.best / read.best,
        100.0 * ratios[ratios.len() / 2],
    );
}

fn compare_with_batch(table: &Table, distance: Distance) {
    let (one, many) = (table.queries(distance, 1), table.queries(distance, BATCH));
    let (mut single, mut batch) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS.div_ceil(3) {
        single.push(timed(|| table.search(&one, 2)));
        batch.push(timed(|| table.search(&many, 2)));
    }
    let (single, batch) = (Rates::new(single, 1.0), Rates::new(batch, BATCH as f64));
    println!(
        "d={} {} 2 threads: {single} queries/s alone, {batch} in batches of {BATCH} = {:.1} times\n",
        table.dimension,
        distance.as_str(),
        batch.best / single.best,
    );
}

struct Table {
    dimension: usize,
    vectors: Vec<f32>,
    inverse_norms: Vec<f32>,
    live: Vec<u64>,
}

impl Table {
    fn new(dimension: usize) -> Self {
        let rows = BYTES / size_of::<f32>() / dimension;
        let vectors = noise(1, rows * dimension);
        let norm = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
        let inverse_norms = vectors.chunks_exact(dimension).map(|row| 1.0 / norm(row)).collect();
        Self { dimension, vectors, inverse_norms, live: vec![u64::MAX; rows.div_ceil(64)] }
    }

    fn gigabytes(&self) -> f64 {
        size_of_val(&self.vectors[..]) as f64 / 1e9
    }

    fn queries(&self, distance: Distance, count: usize) -> Queries {
        let values = noise(2, count * self.dimension);
        Queries::new(distance, values.chunks_exact(self.dimension))
    }

    /// Runs on equal parts of the rows at the same time.
    fn on_threads(&self, threads: usize, work: impl Fn(ChunkView<'_>) + Sync) {
        // Whole words of the bitmap.
        let rows = self.live.len().div_ceil(threads) * 64;
        thread::scope(|scope| {
            for part in 0..threads {
                let end = self.inverse_norms.len().min((part + 1) * rows);
                let view = ChunkView {
                    vectors: &self.vectors[part * rows * self.dimension..end * self.dimension],
                    dimension: self.dimension,
                    inverse_norms: &self.inverse_norms[part * rows..end],
                    live: &self.live[part * rows / 64..],
                    first_row: (part * rows) as u64,
                };
                let work = &work;
                scope.spawn(move || work(view));
            }
        });
    }

    fn search(&self, queries: &Queries, threads: usize) {
        self.on_threads(threads, |part| {
            let mut collectors = vec![TopK::new(LIMIT); queries.len()];
            scan(&part, queries, &mut collectors, &|left, right| left.cmp(&right));
            black_box(collectors);
        });
    }
}

/// Reads all values and does as little as it can with them.
fn sum(values: &[f32]) -> f32 {
    let mut sums = [0.0; 64];
    for values in values.as_chunks::<64>().0 {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sums.iter().sum()
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Work per second.
struct Rates {
    best: f64,
    median: f64,
}

impl Rates {
    fn new(mut times: Vec<Duration>, work: f64) -> Self {
        times.sort();
        let rate = |time: Duration| work / time.as_secs_f64();
        Self { best: rate(times[0]), median: rate(times[times.len() / 2]) }
    }
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ({:.1})", self.best, self.median)
    }
}
