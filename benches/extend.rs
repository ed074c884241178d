//! What it takes to keep an index as rows come and go, beside building it anew, and what that costs in
//! recall: `cargo bench --bench extend`.
//!
//! The rows of the data set come topic by topic, and the oldest go: half of the set is live at a time,
//! and each of twelve steps brings a twentieth of the set, removes four fifths as many of the oldest
//! rows, and one row of a hundred of the others. Each step continues the index of the step before
//! ([`extend`]), and a fresh one is built beside it. Both get the set's own queries, with exact answers
//! for the rows that are live. Times are seconds of processor time of the whole process.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::collections::BTreeSet;

use quiver::{
    engine::index::{
        Base, Effort, Mask, Moved, Query, Request, Table, VectorIndex, VectorSource, Work, best_of, build,
        extend, open,
    },
    types::{Distance, IndexSpec},
};
use support::data::DataSet;

const STEPS: u64 = 12;
const TOP_K: usize = 10;
const TOPICS: usize = 40;
const EFFORTS: [f32; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];
const TARGET: f32 = 0.95;

fn main() {
    if !support::measuring() {
        return;
    }
    let data = DataSet::load();
    support::headline("an index that is continued, and fresh ones");
    let queries: Vec<Query> =
        (0..data.query_count()).map(|query| Query::new(Distance::Cosine, data.query(query))).collect();
    let mut stream = Stream::new(&data);
    let mut bytes = build(&IndexSpec::AUTO, &stream.rows(&data), Distance::Cosine, 0).expect("an index");
    println!(
        "{:>4} {:>7} {:>9} {:>6} {:>8}  recall@10 (rows estimated) by effort",
        "step", "rows", "", "CPU s", "lists of"
    );
    for step in 1..=STEPS {
        let moved = stream.step();
        let rows = stream.rows(&data);
        let (fresh, fresh_time) =
            timed(|| build(&IndexSpec::AUTO, &rows, Distance::Cosine, step).expect("an index"));
        let base = Base { content: bytes.into(), moved };
        let ((extended, work), time) =
            timed(|| extend(&IndexSpec::AUTO, &rows, Distance::Cosine, step, &base).expect("an index"));
        assert_eq!(work, Work::Extended);
        let exact = exact(&fresh, &rows, &queries);
        for (name, bytes, time) in [("fresh", &fresh, fresh_time), ("continued", &extended, time)] {
            let lists = lists_of(bytes);
            let index = open(IndexSpec::AUTO.index_type(), bytes.clone()).expect("an index");
            print!("{step:>4} {:>7} {name:>9} {time:>6.2} {:>8.1} ", rows.rows(), rows.rows() as f64 / lists);
            for effort in EFFORTS {
                let (recall, estimated) = recall(&*index, &rows, &queries, &exact, Effort::new(effort));
                print!(" {effort}: {recall:.4} ({estimated})");
            }
            let effort = index.effort_for(TARGET, TOP_K);
            println!("  target {TARGET}: {:.4}", recall(&*index, &rows, &queries, &exact, effort).0);
        }
        bytes = extended;
    }
}

/// Rows of a data set that come and go.
struct Stream {
    live: Vec<usize>,
    /// What comes, the next one last.
    coming: Vec<usize>,
    step_rows: usize,
    chance: u64,
}

impl Stream {
    fn new(data: &DataSet) -> Self {
        let row = |row: usize| &data.base[row * data.dimension..][..data.dimension];
        let product = |left: usize, right: usize| -> f32 {
            row(left).iter().zip(row(right)).map(|(left, right)| left * right).sum()
        };
        let topics: Vec<usize> = (0..TOPICS).map(|topic| topic * data.rows() / TOPICS).collect();
        let topic = |row: &usize| {
            let products = topics.iter().map(|topic| product(*topic, *row)).enumerate();
            products.max_by(|left, right| left.1.total_cmp(&right.1)).map(|(topic, _)| topic)
        };
        let mut order: Vec<usize> = (0..data.rows()).collect();
        order.sort_by_cached_key(topic);
        let mut coming = order.split_off(data.rows() / 2);
        coming.reverse();
        Self { live: order, coming, step_rows: data.rows() / 20, chance: 1 }
    }

    /// Lets rows go and come, and says where those are that stayed. What went comes again in the end.
    fn step(&mut self) -> Moved {
        let mut moved = Moved::to(0);
        let old = std::mem::take(&mut self.live);
        for (place, row) in old.into_iter().enumerate() {
            self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let stays = place >= self.step_rows * 4 / 5 && self.chance >> 33 > (1 << 31) / 100;
            moved.push(stays);
            if stays { self.live.push(row) } else { self.coming.insert(0, row) }
        }
        let rest = self.coming.len().saturating_sub(self.step_rows);
        self.live.extend(self.coming.drain(rest..).rev());
        moved
    }

    fn rows(&self, data: &DataSet) -> Table {
        let rows = self.live.iter().flat_map(|row| &data.base[row * data.dimension..][..data.dimension]);
        Table::new(data.dimension, rows.copied().collect())
    }
}

/// What something returns, and the processor time that it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begin = processor_seconds();
    let done = work();
    (done, processor_seconds() - begin)
}

fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, in hundredths of a second (proc_pid_stat(5)).
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn exact(bytes: &[u8], rows: &Table, queries: &[Query]) -> Vec<BTreeSet<u64>> {
    let index = open(IndexSpec::AUTO.index_type(), bytes.to_vec()).expect("an index");
    let best = |query| best_of(&*index, &request(query, rows, Effort::FULL), TOP_K).expect("rows").0;
    queries.iter().map(|query| best(query).iter().map(|scored| scored.row).collect()).collect()
}

/// Recall, and the mean number of rows that were estimated.
fn recall(
    index: &dyn VectorIndex,
    rows: &Table,
    queries: &[Query],
    exact: &[BTreeSet<u64>],
    effort: Effort,
) -> (f64, u64) {
    let (mut hits, mut estimated) = (0, 0);
    for (query, exact) in queries.iter().zip(exact) {
        let (found, cost) = best_of(index, &request(query, rows, effort), TOP_K).expect("rows");
        hits += found.iter().filter(|found| exact.contains(&found.row)).count();
        estimated += cost.estimated;
    }
    (hits as f64 / (queries.len() * TOP_K) as f64, estimated / queries.len() as u64)
}

fn request<'a>(query: &'a Query, rows: &'a Table, effort: Effort) -> Request<'a> {
    Request { query, rows, mask: Mask::All, effort, stop: &|| false }
}

/// The number of lists of an index, as its header says.
fn lists_of(bytes: &[u8]) -> f64 {
    let length = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[12..12 + length]).expect("a header");
    header["lists"].as_f64().expect("a number")
}
