//! Filtered reads of whole namespaces: what is found, counted and exported is what [`Filter::matches`] says of
//! each live row, wherever the rows lie.

#[path = "../benches/support/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "../src/types/filter/tests/generators.rs"]
mod generators;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use data::DataSet;
use proptest::prelude::*;
use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::{Accuracy, Consistency, Engine, Projection, Query, QueryResult},
    random::Random,
    storage::Store,
    types::{Filter, HnswParams, IndexSpec, IndexType, IvfParams, NamespaceName, PqParams, Rows, VectorId},
};
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

const COLUMNS: Projection = Projection { vectors: false, metadata: true };
const TOP_K: usize = 10;

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

fn engine(min_rows: usize) -> Engine {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    config.compaction.background = false;
    config.index.min_rows = min_rows;
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    Engine::with_random(store, SystemClock::shared(), Random::seeded(1), &config, Arc::default()).unwrap()
}

fn parse(filter: &Value) -> Arc<Filter> {
    Arc::new(Filter::parse(&filter.to_string(), "filter", &Default::default()).unwrap())
}

fn query(vector: &[f32], filter: &Arc<Filter>, accuracy: Accuracy, index: Option<IndexType>) -> Query {
    Query {
        vector: vector.to_vec(),
        top_k: TOP_K,
        distance: None,
        accuracy: Some(accuracy),
        index,
        filter: Some(filter.clone()),
        projection: COLUMNS,
        cut: Default::default(),
    }
}

fn ids(result: &QueryResult) -> Vec<String> {
    result.hits.iter().map(|hit| hit.row.id.to_string()).collect()
}

/// A batch of rows that is written, and what happens then.
#[derive(Debug, Clone)]
struct Batch {
    rows: Vec<(u8, Option<Value>)>,
    deletes: Vec<u8>,
    is_folded: bool,
}

fn batch() -> impl Strategy<Value = Batch> {
    let row = (0..60_u8, prop::option::weighted(0.9, generators::document()));
    (prop::collection::vec(row, 1..25), prop::collection::vec(0..60_u8, 0..4), any::<bool>())
        .prop_map(|(rows, deletes, is_folded)| Batch { rows, deletes, is_folded })
}

/// The place of a row on a line: each another one.
fn vector(number: u8) -> Vec<f32> {
    vec![1.0, f32::from(number)]
}

async fn write(
    engine: &Engine,
    batch: &Batch,
    random: &mut SmallRng,
    live: &mut BTreeMap<u8, Option<Arc<str>>>,
) {
    let text = |document: &Option<Value>, random: &mut SmallRng| {
        document.as_ref().map(|document| Arc::from(generators::written(document, random)))
    };
    let metadata: Vec<Option<Arc<str>>> =
        batch.rows.iter().map(|(_, document)| text(document, random)).collect();
    let rows = Rows {
        dimension: 2,
        without_vector: Vec::new(),
        ids: batch.rows.iter().map(|(number, _)| VectorId::trusted(&format!("{number:02}"))).collect(),
        vectors: batch.rows.iter().flat_map(|(number, _)| vector(*number)).collect(),
        metadata: metadata.clone(),
        ttl: vec![None; batch.rows.len()],
    };
    engine.upsert(&name(), rows).await.unwrap();
    live.extend(batch.rows.iter().map(|(number, _)| *number).zip(metadata));
    let gone = batch.deletes.iter().map(|number| VectorId::trusted(&format!("{number:02}"))).collect();
    engine.delete(&name(), gone).await.unwrap();
    live.retain(|number, _| !batch.deletes.contains(number));
    if batch.is_folded {
        engine.compact(&name()).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Rows in the log, in segments with indexes and in segments without.
    #[test]
    fn what_is_read_is_what_matches(
        batches in prop::collection::vec(batch(), 1..5),
        filters in prop::collection::vec(generators::any_filter(), 1..12),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (engine, mut live) = (engine(12), BTreeMap::new());
            let mut random = SmallRng::seed_from_u64(seed);
            for batch in &batches {
                write(&engine, batch, &mut random, &mut live).await;
                for filter in filters.iter().map(parse) {
                    check(&engine, &filter, &live).await?;
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

async fn check(
    engine: &Engine,
    filter: &Arc<Filter>,
    live: &BTreeMap<u8, Option<Arc<str>>>,
) -> Result<(), TestCaseError> {
    let matching = live.iter().filter(|(_, metadata)| filter.matches(metadata.as_deref()));
    let expected: Vec<String> = matching.map(|(number, _)| format!("{number:02}")).collect();
    let (some, eventual) = (Some(filter.clone()), Consistency::Eventual);
    let count = engine.count_matching(&name(), some.clone(), eventual).await.unwrap();
    prop_assert_eq!(count, expected.len() as u64, "{}", filter);

    let (mut exported, mut after) = (Vec::new(), None::<VectorId>);
    loop {
        let cursor = after.as_ref().map(VectorId::as_str);
        let page = engine.page_matching(&name(), some.clone(), cursor, 7, COLUMNS).await.unwrap();
        prop_assert_eq!(page.total, count, "{}", filter);
        exported.extend(page.rows.iter().map(|row| row.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    prop_assert_eq!(&exported, &expected, "{}", filter);

    // By the cosine, the row with the greatest number is the nearest.
    let nearest: Vec<String> = expected.iter().rev().take(TOP_K).cloned().collect();
    for accuracy in [Accuracy::Exact, Accuracy::Effort(1.0), Accuracy::Effort(0.5)] {
        let query = query(&[0.0, 1.0], filter, accuracy, None);
        let result = engine.query(&name(), vec![query], eventual).await.unwrap().remove(0);
        if accuracy.is_exact() {
            prop_assert_eq!(&ids(&result), &nearest, "{}", filter);
        }
        let found: BTreeSet<String> = ids(&result).into_iter().collect();
        prop_assert_eq!(found.len(), nearest.len(), "as many as there are: {}", filter);
        prop_assert!(found.iter().all(|id| expected.contains(id)), "only what matches: {}", filter);
    }
    Ok(())
}

/// Where the rows that match lie, as seen from the query.
#[derive(Debug, Clone, Copy)]
enum Lie {
    Near,
    Far,
    Anywhere,
}

const INDEXES: [IndexType; 4] = [IndexType::Spfresh, IndexType::Hnsw, IndexType::Pq, IndexType::Ivf];
/// So many rows of a thousand match.
const SHARES: [usize; 4] = [500, 100, 10, 1];

/// The recall of all types of index at each selectivity, whether the rows that match lie near the query, far
/// from it or anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn filters_keep_the_recall_of_every_index() {
    const QUERIES: usize = 24;
    const TARGET: f32 = 0.9;
    let data = DataSet::of_tests();
    let rows = data.rows();
    let product = |query: usize, row: usize| -> f32 {
        let vector = &data.base[row * data.dimension..(row + 1) * data.dimension];
        data.query(query).iter().zip(vector).map(|(left, right)| left * right).sum()
    };
    // A row's place among all, by its product with each query: `{"q0": 17, …}`, and one by chance.
    let mut metadata = vec![String::new(); rows];
    for number in 0..QUERIES {
        let mut order: Vec<(f32, usize)> = (0..rows).map(|row| (product(number, row), row)).collect();
        order.sort_by(|left, right| right.0.total_cmp(&left.0));
        for (place, (_, row)) in order.into_iter().enumerate() {
            write!(metadata[row], r#""q{number}":{place},"#).unwrap();
        }
    }
    let metadata =
        |row: usize| -> Arc<str> { format!(r#"{{{}"any":{}}}"#, metadata[row], row * 7919 % rows).into() };
    let engine = engine(100);
    let numbers: Vec<usize> = (0..rows).collect();
    for batch in numbers.chunks(500) {
        let batch = Rows {
            dimension: data.dimension,
            without_vector: Vec::new(),
            ids: batch.iter().map(|row| VectorId::trusted(&format!("r{row}"))).collect(),
            vectors: data.base[batch[0] * data.dimension..][..batch.len() * data.dimension].to_vec(),
            metadata: batch.iter().map(|row| Some(metadata(*row))).collect(),
            ttl: vec![None; batch.len()],
        };
        engine.upsert(&name(), batch).await.unwrap();
    }
    for spec in [
        IndexSpec::Hnsw(HnswParams::default()),
        IndexSpec::Ivf(IvfParams::default()),
        IndexSpec::Pq(PqParams::default()),
    ] {
        engine.put_index(&name(), spec).await.unwrap();
    }
    engine.compact(&name()).await.unwrap();
    for lie in [Lie::Near, Lie::Far, Lie::Anywhere] {
        for share in SHARES {
            let matching = (rows * share).div_ceil(1000);
            let mut recalls = [0.0; INDEXES.len()];
            for number in 0..QUERIES {
                let filter = parse(&match lie {
                    Lie::Near => json!({format!("q{number}"): {"$lt": matching}}),
                    Lie::Far => json!({format!("q{number}"): {"$gte": rows - matching}}),
                    Lie::Anywhere => json!({"any": {"$lt": matching}}),
                });
                let ask = async |accuracy, index| {
                    let query = query(data.query(number), &filter, accuracy, index);
                    ids(&engine.query(&name(), vec![query], Consistency::Eventual).await.unwrap()[0])
                };
                let exact = ask(Accuracy::Exact, None).await;
                assert_eq!(exact.len(), TOP_K.min(matching));
                for (index, recall) in INDEXES.into_iter().zip(&mut recalls) {
                    let found = ask(Accuracy::Recall(TARGET), Some(index)).await;
                    assert_eq!(found.len(), exact.len(), "{filter} by {index:?}");
                    let hits = found.iter().filter(|id| exact.contains(id)).count();
                    *recall += hits as f32 / exact.len() as f32 / QUERIES as f32;
                }
            }
            println!("{lie:?} {share}: {recalls:?}");
            assert!(recalls.iter().all(|recall| *recall >= TARGET), "{lie:?}, {share} of 1000: {recalls:?}");
        }
    }
}
