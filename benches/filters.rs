//! What filters cost and give, in a process and without HTTP: `cargo bench --bench filters`.
//!
//! - **Index of attributes**: time to build and size over real metadata, beside Roaring bitmaps of the same
//!   values; beside reading, what it takes to decide filters of several kinds.
//! - **Filtered search**: recall@10 and latency at selectivities of 50 % to .1 %, where the rows that match lie
//!   near the query, far from it or anywhere, with each type of index, as ratios to the same queries without a
//!   filter, asked in turn with them. `-- hnsw pq` measures these types only.
//!
//! The documents of `make bench-data`, or of the slice in this repository.

#[path = "../tests/support/mod.rs"]
mod shared;
mod support;

use std::{
    collections::{BTreeMap, HashSet},
    hint::black_box,
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::{
        Accuracy, Consistency, Engine, Projection, Query,
        index::{Table, attributes},
    },
    random::Random,
    storage::Store,
    types::{Filter, HnswParams, IndexSpec, IndexType, IvfParams, NamespaceName, PqParams, Rows, VectorId},
};
use roaring::RoaringBitmap;
use support::{Times, data::DataSet};

const TOP_K: usize = 10;
const TARGET: f32 = 0.95;
/// So many rows of a thousand match.
const SHARES: [usize; 4] = [500, 100, 10, 1];
/// Queries of a measurement, and how often they are asked.
const QUERIES: usize = 100;
const ROUNDS: usize = 5;

fn main() {
    if !support::measuring() {
        return;
    }
    let data = DataSet::load();
    support::headline("filters");
    let documents = documents(&data);
    println!("{} rows x {}, {} documents", data.rows(), data.dimension, documents.len());
    attributes_of(&documents);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(filtered_search(&data));
}

/// The metadata of each row.
fn documents(data: &DataSet) -> Vec<String> {
    let plain = std::fs::read(data.folder.join("docs.jsonl"));
    let text = plain.unwrap_or_else(|_| {
        let file = std::fs::File::open(data.folder.join("docs.jsonl.gz")).expect("documents");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut text).expect("gzip");
        text
    });
    String::from_utf8(text).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn timed<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    let mut times = Times::default();
    let mut last = None;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        last = Some(black_box(work()));
        times.add(began.elapsed());
    }
    (last.expect("a round"), times.percentile(0.5))
}

fn attributes_of(documents: &[String]) {
    let source = Table::of_metadata(documents.iter().cloned().map(Some).collect());
    let (bytes, time) = timed(|| attributes::build(&source).expect("an index"));
    let text: usize = documents.iter().map(String::len).sum();
    let (size, share) = (bytes.len(), bytes.len() as f64 / text as f64);
    println!(
        "build {time:.0?}, {size} bytes ({:.1} a row, {share:.2} of the metadata)",
        size as f64 / documents.len() as f64
    );
    let (_, open) = timed(|| attributes::Attributes::open(bytes.clone()).expect("an index"));
    println!("open {open:.0?}");
    roaring(documents);
    let index = attributes::Attributes::open(bytes).expect("an index");
    println!(
        "\n{:58} {:>9} {:>9} {:>10} {:>10} {:>7}",
        "filter", "match", "to read", "index", "reading", "ratio"
    );
    for text in [
        r#"{"pos": "noun"}"#,
        r#"{"domain": "noun.animal"}"#,
        r#"{"gloss_len": {"$gte": 40, "$lt": 60}}"#,
        r#"{"pos": {"$ne": "noun"}, "gloss_len": {"$gt": 100}}"#,
        r#"{"lemmas": {"$arrayContains": "water"}}"#,
        r#"{"lemmas": {"$startsWith": "wa"}}"#,
        r#"{"lemmas": {"$regex": "ing$"}}"#,
        r#"{"hypernym": null}"#,
        r#"{"text": {"$contains": "water"}}"#,
        r#"{"$or": [{"domain": "verb.motion"}, {"pointers": {"$gte": 10}}, {"topics": {"$exists": true}}]}"#,
    ] {
        let filter = Filter::parse(text, "filter", &Default::default()).expect("a filter");
        let (decided, indexed) = timed(|| index.decide(&filter));
        let (matching, reading) =
            timed(|| documents.iter().filter(|document| filter.matches(Some(document))).count());
        let open = decided.possible().count() - decided.certain().count();
        let ratio = reading.as_secs_f64() / indexed.as_secs_f64();
        println!("{text:58} {matching:>9} {open:>9} {indexed:>10.1?} {reading:>10.1?} {ratio:>6.0}x");
    }
}

/// The same equalities and ranges as Roaring bitmaps, one for each value.
fn roaring(documents: &[String]) {
    let parsed: Vec<serde_json::Value> =
        documents.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let began = Instant::now();
    let mut values: BTreeMap<(String, String), RoaringBitmap> = BTreeMap::new();
    let mut lengths: BTreeMap<u64, RoaringBitmap> = BTreeMap::new();
    for (row, document) in parsed.iter().enumerate() {
        for (key, value) in document.as_object().expect("an object") {
            let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for value in all {
                let text = value.to_string().chars().take(64).collect();
                values.entry((key.clone(), text)).or_default().insert(row as u32);
            }
        }
        if let Some(length) = document["gloss_len"].as_u64() {
            lengths.entry(length).or_default().insert(row as u32);
        }
    }
    let time = began.elapsed();
    let keys: usize = values.keys().map(|(key, value)| key.len() + value.len()).sum();
    let size: usize = values.values().map(RoaringBitmap::serialized_size).sum();
    println!("roaring: build {time:.0?} from parsed JSON, {} bytes of bitmaps and {keys} of keys", size);
    let words = documents.len().div_ceil(64);
    let to_words = |bitmap: &RoaringBitmap| {
        let mut bits = vec![0_u64; words];
        bitmap.iter().for_each(|row| bits[row as usize / 64] |= 1 << (row % 64));
        bits
    };
    let nouns = &values[&("pos".to_owned(), "\"noun\"".to_owned())];
    let (_, one) = timed(|| to_words(nouns));
    let (_, range) = timed(|| {
        let union =
            lengths.range(40..60).map(|(_, bitmap)| bitmap).fold(RoaringBitmap::new(), |all, one| all | one);
        to_words(&union)
    });
    println!("roaring: pos = noun as a mask {one:.1?}, 40 <= gloss_len < 60 as a mask {range:.1?}");
}

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").expect("a name")
}

/// Where the rows that match lie, as seen from the query.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Anywhere,
    Near,
    Far,
}

async fn filtered_search(data: &DataSet) {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    config.compaction.background = false;
    config.search.threads = 2;
    let store = Store::open(&config.storage, Arc::default()).expect("a store");
    let engine =
        Engine::with_random(store, SystemClock::shared(), Random::seeded(1), &config, Arc::default())
            .expect("an engine");
    fill(data, &engine).await;
    println!(
        "\n{:8} {:9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "index", "match", "share", "recall", "p50", "p99", "scored", "ratio"
    );
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let all = [IndexType::Spfresh, IndexType::Hnsw, IndexType::Pq, IndexType::Ivf];
    let is_wanted = |index: &IndexType| wanted.is_empty() || wanted.iter().any(|name| name == index.as_str());
    for index in all.into_iter().filter(is_wanted) {
        let all = measure(data, &engine, index, None).await;
        println!(
            "{:8} {:9} {:>9} {:>9.4} {:>9.1?} {:>9.1?}",
            index.as_str(),
            "all",
            "",
            all.recall,
            all.p50,
            all.p99
        );
        for lie in [Lie::Anywhere, Lie::Near, Lie::Far] {
            for share in SHARES {
                let found = measure(data, &engine, index, Some((lie, share))).await;
                let ratio = found.p50.as_secs_f64() / found.unfiltered.as_secs_f64();
                println!(
                    "{:8} {:9} {:>7} ‰ {:>9.4} {:>9.1?} {:>9.1?} {:>9} {ratio:>6.2}x",
                    index.as_str(),
                    format!("{lie:?}").to_lowercase(),
                    share,
                    found.recall,
                    found.p50,
                    found.p99,
                    found.scored,
                );
            }
        }
    }
}

/// Rows with a number by chance and, for some queries, with their place by the product with it.
async fn fill(data: &DataSet, engine: &Engine) {
    let rows = data.rows();
    let mut places = vec![vec![0_u32; rows]; PLACED];
    for (query, places) in places.iter_mut().enumerate() {
        let mut order: Vec<(f32, usize)> = (0..rows).map(|row| (product(data, query, row), row)).collect();
        order.sort_by(|left, right| right.0.total_cmp(&left.0));
        order.into_iter().enumerate().for_each(|(place, (_, row))| places[row] = place as u32);
    }
    let metadata = |row: usize| -> Arc<str> {
        let places: String = places
            .iter()
            .enumerate()
            .map(|(query, places)| format!(r#""q{query}":{},"#, places[row]))
            .collect();
        format!(r#"{{{places}"any":{}}}"#, row * 7919 % rows).into()
    };
    let numbers: Vec<usize> = (0..rows).collect();
    for batch in numbers.chunks(10_000) {
        let rows = Rows {
            dimension: data.dimension,
            without_vector: Vec::new(),
            ids: batch.iter().map(|row| VectorId::trusted(&format!("r{row}"))).collect(),
            vectors: data.base[batch[0] * data.dimension..][..batch.len() * data.dimension].to_vec(),
            metadata: batch.iter().map(|row| Some(metadata(*row))).collect(),
            ttl: vec![None; batch.len()],
        };
        engine.upsert(&name(), rows).await.expect("an upsert");
    }
    for spec in [
        IndexSpec::Hnsw(HnswParams::default()),
        IndexSpec::Ivf(IvfParams::default()),
        IndexSpec::Pq(PqParams::default()),
    ] {
        engine.put_index(&name(), spec).await.expect("an index");
    }
    engine.compact(&name()).await.expect("a compaction");
}

/// Queries that have places.
const PLACED: usize = 40;

fn product(data: &DataSet, query: usize, row: usize) -> f32 {
    let vector = &data.base[row * data.dimension..(row + 1) * data.dimension];
    data.query(query).iter().zip(vector).map(|(left, right)| left * right).sum()
}

struct Figures {
    recall: f64,
    p50: Duration,
    p99: Duration,
    /// The median of the same queries without a filter.
    unfiltered: Duration,
    /// Rows that were scored exactly, on average.
    scored: u64,
}

/// Recall and times of queries with a filter. Each is asked in turn with the same query without one, so that
/// whatever else the machine does befalls both.
async fn measure(data: &DataSet, engine: &Engine, index: IndexType, filter: Option<(Lie, usize)>) -> Figures {
    let rows = data.rows();
    let queries = if matches!(filter, Some((Lie::Near | Lie::Far, _))) { PLACED } else { QUERIES };
    let filter_of = |number: usize| {
        let (lie, share) = filter?;
        let matching = (rows * share).div_ceil(1000);
        let text = match lie {
            Lie::Anywhere => format!(r#"{{"any":{{"$lt":{matching}}}}}"#),
            Lie::Near => format!(r#"{{"q{number}":{{"$lt":{matching}}}}}"#),
            Lie::Far => format!(r#"{{"q{number}":{{"$gte":{}}}}}"#, rows - matching),
        };
        Some(Arc::new(Filter::parse(&text, "filter", &Default::default()).expect("a filter")))
    };
    let ask = async |number: usize, accuracy: Accuracy, index: Option<IndexType>, filtered: bool| {
        let query = Query {
            vector: data.query(number).to_vec(),
            top_k: TOP_K,
            distance: None,
            accuracy: Some(accuracy),
            index,
            filter: filtered.then(|| filter_of(number)).flatten(),
            projection: Projection { vectors: false, metadata: false },
            cut: Default::default(),
        };
        let began = Instant::now();
        let result =
            engine.query(&name(), vec![query], Consistency::Eventual).await.expect("an answer").remove(0);
        (began.elapsed(), result)
    };
    let (mut times, mut unfiltered) = (Times::default(), Times::default());
    let (mut hits, mut wanted, mut scored) = (0, 0, 0);
    for round in 0..ROUNDS * QUERIES / queries {
        for number in (0..queries).map(|number| number % data.query_count()) {
            let (time, _) = ask(number, Accuracy::Recall(TARGET), Some(index), false).await;
            unfiltered.add(time);
            let (time, found) = ask(number, Accuracy::Recall(TARGET), Some(index), true).await;
            times.add(time);
            if round == 0 {
                let (_, exact) = ask(number, Accuracy::Exact, None, true).await;
                let best: HashSet<&str> = exact.hits.iter().map(|hit| hit.row.id.as_str()).collect();
                hits += found.hits.iter().filter(|hit| best.contains(hit.row.id.as_str())).count();
                wanted += best.len();
                scored += found.work.indexes.scored;
            }
        }
    }
    let (p50, p99) = (times.percentile(0.5), times.percentile(0.99));
    let (recall, scored) = (hits as f64 / wanted.max(1) as f64, scored / queries as u64);
    Figures { recall, p50, p99, unfiltered: unfiltered.percentile(0.5), scored }
}
