//! Full text under everything that happens to a namespace: a search finds the live rows that match, and each
//! has the score that a slow evaluation of BM25 over all live rows gives it, wherever it lies.

#![recursion_limit = "256"] // The futures of the engine nest deeply.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::{prelude::*, sample::select};
use quiver::{
    clock::{ManualClock, SharedClock},
    config::{BackendConfig, Config},
    engine::{Consistency, Engine, IfExists, NamespaceSpec, Projection, TextSearch},
    random::Random,
    storage::Store,
    types::{
        Filter, IndexSpec, IndexType, NamespaceName, Rows, VectorId,
        text::{Factor, FulltextParams, Language, Limits, TextQuery},
    },
};
use serde_json::json;

const WORDS: [&str; 12] =
    ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "koi", "lynx"];
/// More than there are rows.
const MANY: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

fn params() -> FulltextParams {
    FulltextParams { language: Language::None, ..FulltextParams::default() }
}

struct World {
    config: Config,
    store: Store,
    clock: Arc<ManualClock>,
    engine: Engine,
    /// The live rows: text, year, and the time at which it expires, in seconds since the start.
    live: BTreeMap<u16, (Option<String>, u16, Option<u64>)>,
    seconds: u64,
    /// How many there were.
    nodes: u64,
}

impl World {
    async fn new() -> Self {
        let mut config = Config::default();
        config.storage.backend = BackendConfig::Memory {};
        config.compaction.background = false;
        config.index.min_rows = 30;
        let store = Store::open(&config.storage, Arc::default()).unwrap();
        let clock = ManualClock::starting_at(1_800_000_000_000);
        let engine = Self::node(&config, &store, &clock, 1);
        engine.create_namespace(&name(), NamespaceSpec::default(), IfExists::Fail).await.unwrap();
        engine.put_index(&name(), IndexSpec::Fulltext(params())).await.unwrap();
        Self { config, store, clock, engine, live: BTreeMap::new(), seconds: 0, nodes: 1 }
    }

    fn node(config: &Config, store: &Store, clock: &Arc<ManualClock>, seed: u64) -> Engine {
        let (store, clock): (_, SharedClock) = (store.as_seen_by(Arc::default(), None), clock.clone());
        Engine::with_random(store, clock, Random::seeded(seed), config, Arc::default()).unwrap()
    }

    async fn upsert(&mut self, written: &[(u16, Option<String>, Option<u8>)]) {
        let year = |number: u16| number % 3;
        let metadata = written.iter().map(|(number, text, _)| {
            let text = text.as_ref().map(|text| json!({"text": text, "year": year(*number)}));
            text.map(|text| Arc::from(text.to_string()))
        });
        let rows = Rows {
            dimension: 1,
            without_vector: Vec::new(),
            ids: written.iter().map(|(number, ..)| id(*number)).collect(),
            vectors: vec![1.0; written.len()],
            metadata: metadata.collect(),
            ttl: written.iter().map(|(_, _, ttl)| ttl.map(|ttl| SECOND * ttl.into())).collect(),
        };
        self.engine.upsert(&name(), rows).await.unwrap();
        for (number, text, ttl) in written {
            let expires_at = ttl.map(|ttl| self.seconds + u64::from(ttl));
            self.live.insert(*number, (text.clone(), year(*number), expires_at));
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Upsert(rows) => self.upsert(rows).await,
            Step::Delete(ids) => {
                let gone = ids.iter().map(|number| id(*number)).collect();
                self.engine.delete(&name(), gone).await.unwrap();
                self.live.retain(|number, _| !ids.contains(number));
            }
            Step::Fold => drop(self.engine.compact(&name()).await.unwrap()),
            Step::Merge => drop(self.engine.compact_fully(&name()).await.unwrap()),
            Step::Wait => {
                self.clock.advance(SECOND * 5);
                self.seconds += 5;
                let now = self.seconds;
                self.live.retain(|_, (.., expires_at)| expires_at.is_none_or(|at| at > now));
            }
            Step::Restart => {
                // No node gives names that another gave.
                self.nodes += 1;
                self.engine = Self::node(&self.config, &self.store, &self.clock, self.nodes);
            }
        }
    }

    async fn search(
        &self,
        query: &TextQuery,
        top_k: usize,
        filter: Option<Arc<Filter>>,
    ) -> Vec<(String, f32)> {
        let search = TextSearch {
            query: query.clone(),
            place: "query",
            fields: None,
            limits: Limits::default(),
            top_k,
            filter,
            cut: Default::default(),
            projection: Projection { vectors: false, metadata: false },
            highlight: None,
        };
        let result = self.engine.search_texts(&name(), search, Consistency::Strong).await.unwrap();
        result.hits.into_iter().map(|found| (found.hit.row.id.to_string(), found.hit.score)).collect()
    }

    /// The rows that match, best first, with the scores of the textbook.
    fn reference(&self, words: &[&str]) -> Vec<(String, f64)> {
        let texts: Vec<(u16, Vec<&str>)> = self
            .live
            .iter()
            .filter_map(|(number, (text, ..))| Some((*number, text.as_ref()?.split(' ').collect())))
            .filter(|(_, words): &(u16, Vec<&str>)| words != &[""])
            .collect();
        let (k1, b, all) = (1.2, 0.75, texts.len() as f64);
        let average = texts.iter().map(|(_, words)| words.len()).sum::<usize>() as f64 / all;
        let has = |word: &&str| texts.iter().filter(|(_, text)| text.contains(word)).count() as f64;
        let words: Vec<(&str, f64)> = words.iter().map(|word| (*word, has(word))).collect();
        let mut scores: Vec<(String, f64)> = Vec::new();
        for (number, text) in &texts {
            let mut score = None;
            for (word, has) in &words {
                let count = text.iter().filter(|other| *other == word).count() as f64;
                if count > 0.0 {
                    let idf = (1.0 + (all - has + 0.5) / (has + 0.5)).ln();
                    let norm = k1 * (1.0 - b + b * text.len() as f64 / average);
                    *score.get_or_insert(0.0) += idf * (k1 + 1.0) * count / (count + norm);
                }
            }
            scores.extend(score.map(|score| (id(*number).to_string(), score)));
        }
        scores.sort_by(|left, right| right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        scores
    }

    async fn check(&self, words: &[&str]) -> Result<(), TestCaseError> {
        let query = TextQuery::plain(&words.join(" "));
        let found = self.search(&query, MANY, None).await;
        let expected: BTreeMap<String, f64> = self.reference(words).into_iter().collect();
        let ids: BTreeSet<&String> = found.iter().map(|(id, _)| id).collect();
        prop_assert_eq!(ids.len(), found.len(), "each once");
        prop_assert_eq!(ids, expected.keys().collect::<BTreeSet<_>>(), "{:?}", words);
        for (id, score) in &found {
            prop_assert!(
                (f64::from(*score) - expected[id]).abs() < 1e-4,
                "{} {} {}",
                id,
                score,
                expected[id]
            );
        }
        let sorted = found.windows(2).all(|two| (two[1].1, &two[0].0) < (two[0].1, &two[1].0));
        prop_assert!(sorted, "best first, equal scores in id order: {:?}", found);
        // Few are the first of many, and a filter changes who is found, not what they score.
        prop_assert_eq!(&self.search(&query, 3, None).await, &found[..found.len().min(3)]);
        let filter = Filter::parse(r#"{"year":1}"#, "filter", &Default::default()).unwrap();
        let filtered = self.search(&query, 4, Some(Arc::new(filter))).await;
        let of_year = |(id, _): &&(String, f32)| id.parse::<u16>().unwrap() % 3 == 1;
        prop_assert_eq!(filtered, found.iter().filter(of_year).take(4).cloned().collect::<Vec<_>>());
        Ok(())
    }

    /// The same rows written at once into a namespace of their own have the same scores, to the bit.
    async fn check_layout(&self, words: &[&str]) -> Result<(), TestCaseError> {
        let mut fresh = Self::new().await;
        let rows: Vec<_> =
            self.live.iter().map(|(number, (text, ..))| (*number, text.clone(), None)).collect();
        if !rows.is_empty() {
            fresh.upsert(&rows).await;
        }
        let query = TextQuery::plain(&words.join(" "));
        prop_assert_eq!(fresh.search(&query, MANY, None).await, self.search(&query, MANY, None).await);
        Ok(())
    }

    async fn check_statistics(&self) -> Result<(), TestCaseError> {
        let (_, counted) = self.engine.text_statistics(&name(), Consistency::Strong).await.unwrap();
        let texts: Vec<Vec<&str>> = self
            .live
            .values()
            .filter_map(|(text, ..)| Some(text.as_ref()?.split_whitespace().collect()))
            .filter(|words: &Vec<&str>| !words.is_empty())
            .collect();
        let words: Vec<&&str> = texts.iter().flatten().collect();
        let distinct: BTreeSet<&&str> = words.iter().copied().collect();
        prop_assert_eq!(counted.rows, texts.len() as u64);
        let field = counted.fields[0];
        prop_assert_eq!(
            (field.rows, field.words, field.terms),
            (texts.len() as u64, words.len() as u64, distinct.len() as u64)
        );
        Ok(())
    }
}

fn id(number: u16) -> VectorId {
    VectorId::trusted(&format!("{number:05}"))
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<(u16, Option<String>, Option<u8>)>),
    Delete(Vec<u16>),
    Fold,
    Merge,
    Wait,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let words = prop::collection::vec(select(&WORDS[..]), 0..12).prop_map(|words| words.join(" "));
    let row = (0..120_u16, prop::option::weighted(0.9, words), prop::option::weighted(0.2, 1..12_u8));
    prop_oneof![
        6 => prop::collection::vec(row, 1..60).prop_map(Step::Upsert),
        2 => prop::collection::vec(0..120_u16, 1..20).prop_map(Step::Delete),
        3 => Just(Step::Fold),
        1 => Just(Step::Merge),
        1 => Just(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_score_depends_on_the_live_rows_alone(
        steps in prop::collection::vec(step(), 1..10),
        query in prop::collection::vec(select(&WORDS[..]), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.step(step).await;
                world.check(&query).await?;
            }
            world.check_layout(&query).await?;
            world.check_statistics().await
        })?;
    }
}

fn numbered(numbers: std::ops::Range<u16>, ttl: Option<u8>) -> Vec<(u16, Option<String>, Option<u8>)> {
    let text = |number: u16| {
        let word = |place: u16| WORDS[usize::from(number.wrapping_mul(place + 3)) % WORDS.len()];
        (0..number % 7 + 1).map(word).collect::<Vec<_>>().join(" ")
    };
    numbers.map(|number| (number, Some(text(number)), ttl)).collect()
}

/// The property above on one path through everything, of which it is certain that each thing happened.
#[tokio::test]
async fn folded_merged_superseded_deleted_and_expired_rows() {
    let mut world = World::new().await;
    let built = async |world: &World| {
        let info = world.engine.index(&name(), IndexType::Fulltext).await.unwrap();
        (info.indexed_rows, info.exact_rows)
    };
    let words = ["cat", "fox", "cat", "lynx"];
    world.upsert(&numbered(0..100, None)).await;
    world.check(&words).await.unwrap();
    assert_eq!(built(&world).await, (0, 100));
    world.step(&Step::Fold).await;
    assert_eq!(built(&world).await, (100, 0));
    world.check(&words).await.unwrap();
    world.upsert(&numbered(90..110, Some(3))).await;
    world.step(&Step::Delete((0..20).collect())).await;
    world.check(&words).await.unwrap();
    world.step(&Step::Fold).await;
    assert_eq!(built(&world).await, (100, 20), "a segment of 20 rows is too small for an index");
    world.check(&words).await.unwrap();
    world.step(&Step::Wait).await;
    world.check(&words).await.unwrap();
    assert_eq!(world.live.len(), 70);
    world.step(&Step::Merge).await;
    assert_eq!(built(&world).await, (90, 0), "what expired after the last entry is in it still");
    world.check(&words).await.unwrap();
    world.step(&Step::Restart).await;
    world.check(&words).await.unwrap();
    world.check_layout(&words).await.unwrap();
    world.check_statistics().await.unwrap();
}

/// More rows than a chunk has, so that some chunks are full, and than a search indexes by itself.
#[tokio::test]
async fn many_rows_that_no_index_in_the_store_is_over() {
    let mut world = World::new().await;
    let words = ["cat", "fox", "cat", "lynx"];
    for first in (0..5000).step_by(700) {
        world.upsert(&numbered(first..(first + 700).min(5000), None)).await;
    }
    world.check(&words).await.unwrap();
    world.step(&Step::Delete((0..5000).filter(|number| number % 7 == 0 || *number < 1500).collect())).await;
    world.upsert(&numbered(4900..5100, Some(3))).await;
    world.check(&words).await.unwrap();
    world.step(&Step::Wait).await;
    world.check(&words).await.unwrap();
    world.check_layout(&words).await.unwrap();
    world.step(&Step::Fold).await;
    world.step(&Step::Delete((4000..4100).collect())).await;
    world.check(&words).await.unwrap();
    world.check_layout(&words).await.unwrap();
    world.check_statistics().await.unwrap();
}

/// A segment that has no index yet is searched all the same; other parameters build it anew only if they
/// change what is in it.
#[tokio::test]
async fn indexes_are_built_when_they_are_wanted_and_not_else() {
    let mut world = World::new().await;
    world.engine.delete_index(&name(), IndexType::Fulltext).await.unwrap();
    world.upsert(&numbered(0..80, None)).await;
    world.step(&Step::Fold).await;
    world.engine.put_index(&name(), IndexSpec::Fulltext(params())).await.unwrap();
    let info = world.engine.index(&name(), IndexType::Fulltext).await.unwrap();
    assert_eq!((info.indexed_rows, info.eligible_rows), (0, 80));
    world.check(&["fox", "hen"]).await.unwrap();
    world.step(&Step::Fold).await;
    let built = world.engine.index(&name(), IndexType::Fulltext).await.unwrap();
    assert_eq!((built.indexed_rows, built.eligible_rows), (80, 80));
    assert!(built.bytes > 0);
    world.check(&["fox", "hen"]).await.unwrap();

    let before = world.search(&TextQuery::plain("fox"), 100, None).await;
    let flat = FulltextParams { b: Factor::new(0.0).unwrap(), ..params() };
    world.engine.put_index(&name(), IndexSpec::Fulltext(flat)).await.unwrap();
    let info = world.engine.index(&name(), IndexType::Fulltext).await.unwrap();
    assert_eq!((info.indexed_rows, info.bytes), (80, built.bytes), "the same index serves");
    assert_ne!(world.search(&TextQuery::plain("fox"), 100, None).await, before);

    let german = FulltextParams { language: Language::German, ..params() };
    world.engine.put_index(&name(), IndexSpec::Fulltext(german)).await.unwrap();
    let info = world.engine.index(&name(), IndexType::Fulltext).await.unwrap();
    assert_eq!(info.indexed_rows, 0, "another language is another index");
    assert_eq!(world.search(&TextQuery::plain("fox"), 100, None).await.len(), before.len());
}
