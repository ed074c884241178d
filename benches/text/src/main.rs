//! Full text beside tantivy, in one process: `make bench-text`.
//!
//! Both index the same texts by the same analysis (tantivy gets ours as a tokenizer), with positions, and
//! answer the set's queries in turn, each from its text, on one thread: so what differs is how postings
//! are written and searched. Scores are compared for all answers; the largest difference is printed.
//!
//! Data: of `QUIVER_DATA`, else of `make bench-data`, else the slice in this repository. With a path as its
//! argument, it writes what tantivy answers on that slice to it, for the tests of the scores.

mod peer;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use quiver::{
    engine::index::{
        Best, Mask,
        fulltext::{
            Analyzer, Asked, Fulltext, Live, MetadataSource, Plan, Statistics, Weights, build, expand,
        },
        top::TopK,
    },
    error::Result,
    types::text::{FulltextParams, Limits, TextQuery},
};

use peer::Peer;

const ROUNDS: usize = 10;

/// Metadata of rows.
struct Rows(Vec<String>);

impl MetadataSource for Rows {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn metadata(&self, row: usize) -> Result<Option<&str>> {
        Ok(Some(&self.0[row]))
    }
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let slice = root.join("tests/data/wordnet");
    if let Some(out) = std::env::args().nth(1) {
        return write_answers(&slice, Path::new(&out));
    }
    let made = root.join(".data/wordnet-minilm-384");
    let named = std::env::var_os("QUIVER_DATA").map(PathBuf::from);
    let folder = named.unwrap_or(if made.exists() { made } else { slice });
    let (rows, queries) = (Rows(lines(&folder, "docs.jsonl")), texts(&lines(&folder, "queries.jsonl")));
    let params = FulltextParams::default();
    let (ours, peer) = built(&rows, &params);
    let analyzer = Analyzer::new(&params);
    println!("\n| top | | p50 µs | p99 µs | mean µs |\n|---:|---|---:|---:|---:|");
    for top_k in [10, 100] {
        let (mut times, mut difference) = ([Vec::new(), Vec::new()], 0.0_f32);
        for _ in 0..ROUNDS {
            for query in &queries {
                let start = Instant::now();
                let found = search(&ours, query, top_k, &analyzer, &params);
                times[0].push(start.elapsed().as_secs_f64() * 1e6);
                let start = Instant::now();
                let expected = peer.search(query, top_k, &analyzer);
                times[1].push(start.elapsed().as_secs_f64() * 1e6);
                assert_eq!(found.len(), expected.len(), "{query}");
                for (score, expected) in found.iter().zip(&expected) {
                    difference = difference.max((score - expected).abs());
                }
            }
        }
        for (name, mut times) in ["Quiver", "tantivy"].into_iter().zip(times) {
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            println!("| {top_k} | {name} | {:.1} | {:.1} | {mean:.1} |", at(0.5), at(0.99));
        }
        assert!(difference < 1e-4, "scores differ by {difference}");
        println!("| | largest difference of a score | | | {difference:.1e} |");
    }
}

fn built(rows: &Rows, params: &FulltextParams) -> (Fulltext, Peer) {
    let texts = texts(&rows.0);
    let size: usize = texts.iter().map(String::len).sum();
    println!("{} rows, {} bytes of text, {ROUNDS} rounds\n", texts.len(), size);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let start = Instant::now();
    let bytes = pool.install(|| build(rows, params)).expect("an index");
    report("Quiver", start, bytes.len(), texts.len());
    let start = Instant::now();
    let peer = Peer::build(&texts, &Analyzer::new(params));
    report("tantivy", start, peer.size(), texts.len());
    (Fulltext::open(bytes, params).expect("an index"), peer)
}

fn report(name: &str, start: Instant, size: usize, rows: usize) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{name}: built in {seconds:.2} s by one thread, {size} bytes, {:.1} for each row",
        size as f64 / rows as f64
    );
}

/// The scores of the best rows, from the text of a query on.
fn search(
    index: &Fulltext,
    query: &str,
    top_k: usize,
    analyzer: &Analyzer,
    params: &FulltextParams,
) -> Vec<f32> {
    let limits = Limits::default();
    let fields: Vec<usize> = (0..params.fields.len()).collect();
    let query = TextQuery::plain(query);
    let mut plan = Plan::new(&fields, &query, "query", analyzer, params, &limits).expect("a query");
    let live = Live::new(Mask::All, index.rows() as usize);
    expand(&mut plan, &[(index, &live)], "query", &limits, &|| false).expect("terms");
    let asked = Asked::new(index, &plan).expect("sound bytes");
    let mut statistics = Statistics::none(&plan, params.fields.len());
    statistics += &asked.statistics(&live).expect("sound bytes");
    let weights = Weights::new(&plan, &statistics, params);
    let tie = |left: u64, right: u64| left.cmp(&right);
    let mut top = TopK::new(top_k);
    let mut best = Best::new(&mut top, &u64::from, &tie);
    asked.search(&weights, Mask::All, &mut best, &|| false).expect("sound bytes");
    top.into_sorted(&tie).into_iter().map(|found| found.score).collect()
}

fn write_answers(slice: &Path, out: &Path) {
    let (rows, queries) = (texts(&lines(slice, "docs.jsonl")), texts(&lines(slice, "queries.jsonl")));
    let analyzer = Analyzer::new(&FulltextParams::default());
    let peer = Peer::build(&rows, &analyzer);
    let mut file = fs::File::create(out).expect("a file");
    for text in queries {
        let scores = peer.search(&text, 10, &analyzer);
        writeln!(file, "{}", serde_json::json!({ "text": text, "scores": scores })).expect("a line");
    }
}

/// The lines of a file, which may be compressed.
fn lines(folder: &Path, name: &str) -> Vec<String> {
    let plain = folder.join(name);
    let mut text = String::new();
    if plain.exists() {
        text = fs::read_to_string(plain).expect("a file");
    } else {
        let file = fs::File::open(folder.join(format!("{name}.gz"))).expect("a file");
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    }
    text.lines().map(String::from).collect()
}

fn texts(lines: &[String]) -> Vec<String> {
    let text = |line: &String| {
        serde_json::from_str::<serde_json::Value>(line).ok()?.get("text")?.as_str().map(String::from)
    };
    lines.iter().map(|line| text(line).expect("a text")).collect()
}
