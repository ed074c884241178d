//! Random operations over the HTTP API, with restarts, against a map that cannot be wrong.

#[path = "support/mod.rs"]
mod shared;
#[allow(dead_code)]
#[path = "http/support.rs"]
mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use quiver::{
    clock::ManualClock,
    config::{BackendConfig, Config},
    storage::Store,
};
use serde_json::{Value, json};
use support::Server;

const NAMESPACE: &str = "/v1/namespaces/model";

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<Sent>),
    /// Those rows for which the condition holds.
    UpsertIf(Vec<Sent>, If),
    /// Texts of one word, and other numbers.
    Documents(Vec<(u8, u8, i8)>),
    /// Rows whose text is a word.
    Search(u8),
    Delete(Vec<u8>),
    /// Those rows whose number is less.
    DeleteIf(Vec<u8>, i8),
    DeleteAll,
    /// Rows whose number is less are deleted.
    BulkDelete(i8),
    /// Rows whose number is less get another, so many with each request.
    BulkUpdate(i8, i8, u8),
    Query([i8; 2], usize),
    /// The same with an offset and at most so many rows of a group.
    Grouped([i8; 2], usize, usize, usize),
    /// Rows in the order of their numbers, or the other way round, with an offset.
    Ordered(bool, usize, usize),
    Wait(u8),
    Compact,
    Restart,
    Recreate,
}

/// A row to upsert. Without a vector its metadata is the same.
#[derive(Debug, Clone, Copy)]
struct Sent {
    id: u8,
    vector: [i8; 2],
    ttl: Option<u8>,
    has_vector: bool,
}

/// What has to hold for the stored row.
#[derive(Debug, Clone, Copy)]
enum If {
    Absent,
    Present,
    Less(i8),
    NotLess(i8),
}

impl If {
    /// Given the number of the stored row.
    fn holds(self, stored: Option<i8>) -> bool {
        match self {
            Self::Absent => stored.is_none(),
            Self::Present => stored.is_some(),
            Self::Less(bound) => stored.is_some_and(|number| number < bound),
            Self::NotLess(bound) => stored.is_none_or(|number| number >= bound),
        }
    }

    fn write(self, body: &mut Value) {
        match self {
            Self::Absent => body["mode"] = json!("insert"),
            Self::Present => body["mode"] = json!("update"),
            Self::Less(bound) => body["if"] = json!({ "n": { "$lt": bound } }),
            Self::NotLess(bound) => body["if"] = json!({ "$not": { "n": { "$lt": bound } } }),
        }
    }
}

fn condition() -> impl Strategy<Value = If> {
    prop_oneof![
        Just(If::Absent),
        Just(If::Present),
        any::<i8>().prop_map(If::Less),
        any::<i8>().prop_map(If::NotLess),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..16u8, any::<[i8; 2]>(), prop::option::weighted(0.25, 1..30u8), prop::bool::weighted(0.75))
        .prop_map(|(id, vector, ttl, has_vector)| Sent { id, vector, ttl, has_vector });
    let document = (0..16u8, 0..4u8, any::<i8>());
    let rows = prop::collection::vec(row, 1..6);
    let ids = || prop::collection::vec(0..16u8, 1..5);
    prop_oneof![
        8 => rows.clone().prop_map(Step::Upsert),
        4 => (rows, condition()).prop_map(|(rows, condition)| Step::UpsertIf(rows, condition)),
        4 => prop::collection::vec(document, 1..5).prop_map(Step::Documents),
        3 => (0..4u8).prop_map(Step::Search),
        4 => ids().prop_map(Step::Delete),
        2 => (ids(), any::<i8>()).prop_map(|(ids, bound)| Step::DeleteIf(ids, bound)),
        1 => any::<i8>().prop_map(Step::BulkDelete),
        3 => (any::<i8>(), any::<i8>(), 1..6u8).prop_map(|(bound, set, limit)| Step::BulkUpdate(bound, set, limit)),
        1 => Just(Step::DeleteAll),
        4 => (any::<[i8; 2]>(), 1..20usize).prop_map(|(vector, top_k)| Step::Query(vector, top_k)),
        3 => (any::<[i8; 2]>(), 1..6usize, 0..4usize, 1..4usize)
            .prop_map(|(vector, top_k, offset, limit)| Step::Grouped(vector, top_k, offset, limit)),
        3 => (any::<bool>(), 1..6usize, 0..4usize)
            .prop_map(|(descending, top_k, offset)| Step::Ordered(descending, top_k, offset)),
        2 => (1..10u8).prop_map(Step::Wait),
        2 => Just(Step::Compact),
        2 => Just(Step::Restart),
        1 => Just(Step::Recreate),
    ]
}

/// A row that is there.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    vector: Option<[i8; 2]>,
    number: i8,
    group: i8,
    word: Option<u8>,
    /// In seconds.
    expires: Option<u64>,
}

type Rows = BTreeMap<String, Stored>;

struct World {
    config: Config,
    store: Store,
    clock: Arc<ManualClock>,
    server: Server,
    model: Rows,
    now: u64,
    /// Whether there is an index over texts.
    has_texts: bool,
}

impl World {
    async fn new(backend: BackendConfig) -> Self {
        let mut config = Config::default();
        config.storage.backend = backend;
        let store = Store::open(&config.storage, Arc::default()).unwrap();
        let clock = ManualClock::starting_at(1_800_000_000_000);
        let server = Server::over(&config, &store, &clock);
        let mut world = Self { config, store, clock, server, model: Rows::new(), now: 0, has_texts: false };
        world.create().await;
        world
    }

    async fn create(&mut self) {
        let body = json!({ "name": "model", "dimension": 2, "distance": "dot_product" });
        assert_eq!(self.server.post("/v1/namespaces", body).await.status, 201);
    }

    /// Files are opened anew, too; what is in memory only has to be kept.
    fn restart(&mut self) {
        if matches!(self.config.storage.backend, BackendConfig::Fs { .. }) {
            self.store = Store::open(&self.config.storage, Arc::default()).unwrap();
        }
        self.server = Server::over(&self.config, &self.store, &self.clock);
    }

    fn visible(&self) -> Rows {
        let visible = self.model.iter().filter(|(_, row)| row.expires.is_none_or(|at| at > self.now));
        visible.map(|(id, row)| (id.clone(), row.clone())).collect()
    }

    fn number(&self, id: &str) -> Option<i8> {
        self.visible().get(id).map(|row| row.number)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.server.post(&format!("{NAMESPACE}{path}"), body).await;
        assert!(answer.status < 300, "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Upsert(rows) => self.upsert(rows).await,
            Step::UpsertIf(rows, condition) => self.upsert_if(rows, condition).await,
            Step::Documents(documents) => self.documents(documents).await,
            Step::Search(word) => self.search(word).await,
            Step::Delete(ids) => self.delete(ids).await,
            Step::DeleteIf(ids, bound) => self.delete_if(ids, bound).await,
            Step::BulkDelete(bound) => self.bulk_delete(bound).await,
            Step::BulkUpdate(bound, set, limit) => self.bulk_update(bound, set, limit).await,
            Step::DeleteAll => {
                let answer = self.post("/vectors/delete", json!({ "delete_all": true })).await;
                assert_eq!(answer["deleted_count"], self.visible().len());
                self.model.clear();
            }
            Step::Query(vector, top_k) => self.query(vector, top_k).await,
            Step::Grouped(vector, top_k, offset, limit) => self.grouped(vector, top_k, offset, limit).await,
            Step::Ordered(descending, top_k, offset) => self.ordered(descending, top_k, offset).await,
            Step::Wait(seconds) => {
                self.now += u64::from(seconds);
                self.clock.advance(Duration::from_secs(seconds.into()));
            }
            Step::Compact => drop(self.post("/compact", json!({})).await),
            Step::Restart => self.restart(),
            Step::Recreate => {
                assert!(self.server.delete(NAMESPACE).await.status < 300);
                assert_eq!(self.server.get(NAMESPACE).await.status, 404);
                self.model.clear();
                self.has_texts = false;
                self.create().await;
            }
        }
        self.compare().await;
    }

    async fn documents(&mut self, documents: Vec<(u8, u8, i8)>) {
        let document = |(id, word, number): &(u8, u8, i8)| {
            let metadata = json!({ "n": number, "g": group_of(*number) });
            json!({ "id": id.to_string(), "text": word_of(*word), "metadata": metadata })
        };
        let body: Vec<Value> = documents.iter().map(document).collect();
        let answer = self.post("/fulltext/index", json!({ "documents": body })).await;
        self.has_texts = true;
        let mut inserted = 0;
        for (id, word, number) in &documents {
            let id = id.to_string();
            let stored = self.visible().remove(&id);
            inserted += usize::from(stored.is_none());
            let (vector, expires) = stored.map_or((None, None), |row| (row.vector, row.expires));
            let row =
                Stored { vector, number: *number, group: group_of(*number), word: Some(*word), expires };
            self.model.insert(id, row);
        }
        let expected = json!({ "indexed_count": documents.len(), "inserted_count": inserted });
        assert_eq!(answer, expected);
    }

    async fn search(&self, word: u8) {
        if !self.has_texts {
            return;
        }
        let answer = self.post("/fulltext/search", json!({ "query": word_of(word), "top_k": 100 })).await;
        let mut found = ids(&answer);
        found.sort();
        let matching = self.visible().into_iter().filter(|(_, row)| row.word == Some(word));
        assert_eq!(found, matching.map(|(id, _)| id).collect::<Vec<_>>());
    }

    async fn upsert(&mut self, rows: Vec<Sent>) {
        let body: Vec<Value> = rows.iter().map(body_of).collect();
        let distinct: std::collections::BTreeSet<u8> = rows.iter().map(|row| row.id).collect();
        let answer = self.post("/vectors", json!({ "vectors": body })).await;
        assert_eq!(answer["upserted_count"], distinct.len());
        rows.into_iter().for_each(|row| self.put(row));
    }

    fn put(&mut self, Sent { id, vector, ttl, has_vector }: Sent) {
        let expires = ttl.map(|ttl| self.now + u64::from(ttl));
        let (number, group) = (vector[0], group_of(vector[1]));
        let vector = has_vector.then_some(vector);
        self.model.insert(id.to_string(), Stored { vector, number, group, word: None, expires });
    }

    async fn upsert_if(&mut self, rows: Vec<Sent>, condition: If) {
        let mut body = json!({ "vectors": rows.iter().map(body_of).collect::<Vec<_>>() });
        condition.write(&mut body);
        let answer = self.post("/vectors", body).await;
        // Of rows with the same id the last one counts.
        let last: BTreeMap<u8, _> = rows.iter().map(|row| (row.id, *row)).collect();
        let (mut upserted, mut inserted, mut skipped) = (0, 0, Vec::new());
        for (id, row) in last {
            let stored = self.number(&id.to_string());
            if condition.holds(stored) {
                upserted += 1;
                inserted += usize::from(stored.is_none());
                self.put(row);
            } else {
                skipped.push(id.to_string());
            }
        }
        let mut told: Vec<String> = serde_json::from_value(answer["skipped_ids"].clone()).unwrap();
        told.sort();
        skipped.sort();
        assert_eq!(
            (&answer["upserted_count"], &answer["inserted_count"]),
            (&json!(upserted), &json!(inserted))
        );
        assert_eq!((&answer["skipped_count"], told), (&json!(skipped.len()), skipped));
    }

    async fn delete_if(&mut self, ids: Vec<u8>, bound: i8) {
        let ids: Vec<String> = ids.iter().map(u8::to_string).collect();
        let answer =
            self.post("/vectors/delete", json!({ "ids": ids, "if": { "n": { "$lt": bound } } })).await;
        let (mut deleted, mut skipped) = (0, Vec::new());
        for id in ids {
            match self.number(&id) {
                Some(number) if number < bound => {
                    deleted += 1;
                    self.model.remove(&id);
                }
                Some(_) if !skipped.contains(&id) => skipped.push(id),
                _ => {}
            }
        }
        let expected =
            json!({ "deleted_count": deleted, "skipped_count": skipped.len(), "skipped_ids": skipped });
        assert_eq!(answer, expected);
    }

    /// The ids of rows whose number is less.
    fn less(&self, bound: i8) -> Vec<String> {
        self.visible().into_iter().filter(|(_, row)| row.number < bound).map(|(id, _)| id).collect()
    }

    async fn bulk_delete(&mut self, bound: i8) {
        let answer = self.post("/vectors/bulk-delete", json!({ "filter": { "n": { "$lt": bound } } })).await;
        let matching = self.less(bound);
        assert_eq!((&answer["deleted"], &answer["next_cursor"]), (&json!(matching.len()), &Value::Null));
        self.model.retain(|id, _| !matching.contains(id));
    }

    async fn bulk_update(&mut self, bound: i8, set: i8, limit: u8) {
        let matching = self.less(bound);
        let changes = matching.iter().filter(|id| self.number(id) != Some(set)).count();
        let (mut matched, mut updated, mut cursor) = (0, 0, Value::Null);
        loop {
            let body = json!({
                "filter": { "n": { "$lt": bound } }, "update": { "n": set }, "limit": limit, "cursor": cursor
            });
            let answer = self.post("/vectors/bulk-update", body).await;
            matched += answer["matched"].as_u64().unwrap();
            updated += answer["updated"].as_u64().unwrap();
            cursor = answer["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!((matched, updated), (matching.len() as u64, changes as u64));
        for id in matching {
            self.model.entry(id).and_modify(|row| row.number = set);
        }
    }

    async fn delete(&mut self, ids: Vec<u8>) {
        let ids: Vec<String> = ids.iter().map(u8::to_string).collect();
        let mut existed = 0;
        let mut visible = self.visible();
        for id in &ids {
            existed += usize::from(visible.remove(id).is_some());
            self.model.remove(id);
        }
        let answer = self.post("/vectors/delete", json!({ "ids": ids })).await;
        assert_eq!(answer["deleted_count"], existed);
    }

    /// Every row with its score and group, the best one first. Small integers: dot products are exact, so the
    /// order is, too.
    fn ranking(&self, vector: [i8; 2]) -> Vec<(String, i64, i8)> {
        let score = |row: &[i8; 2]| -> i64 {
            row.iter().zip(&vector).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum()
        };
        let visible = self.visible();
        let scored =
            visible.iter().filter_map(|(id, row)| Some((id.clone(), score(&row.vector?), row.group)));
        let mut ranking: Vec<_> = scored.collect();
        ranking.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranking
    }

    async fn grouped(&self, vector: [i8; 2], top_k: usize, offset: usize, limit: usize) {
        let mut counts = BTreeMap::new();
        let mut expected = Vec::new();
        for (id, _, group) in self.ranking(vector) {
            let count: &mut usize = counts.entry(group).or_default();
            *count += 1;
            expected.extend((*count <= limit).then_some(id));
        }
        let expected: Vec<String> = expected.into_iter().skip(offset).take(top_k).collect();
        let group_by = json!({ "field": "g", "limit": limit });
        let body = json!({ "vector": vector, "top_k": top_k, "offset": offset, "group_by": group_by });
        assert_eq!(ids(&self.post("/query", body).await), expected);
        let rank_by = json!(["Sum", [["kNN", vector]]]);
        let body = json!({ "rank_by": rank_by, "top_k": top_k, "offset": offset, "group_by": group_by });
        assert_eq!(ids(&self.post("/unified-query", body).await), expected);
    }

    async fn ordered(&self, descending: bool, top_k: usize, offset: usize) {
        let mut rows: Vec<(String, i8)> =
            self.visible().into_iter().map(|(id, row)| (id, row.number)).collect();
        rows.sort_by_key(|(id, number)| {
            let number = i16::from(*number);
            (if descending { -number } else { number }, id.clone())
        });
        let all: Vec<String> = rows.into_iter().map(|(id, _)| id).collect();
        let rank_by = json!(["n", if descending { "desc" } else { "asc" }]);
        let body = json!({ "rank_by": rank_by, "top_k": top_k, "offset": offset });
        let expected: Vec<String> = all.iter().skip(offset).take(top_k).cloned().collect();
        assert_eq!(ids(&self.post("/unified-query", body).await), expected);
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let body = json!({ "rank_by": rank_by, "top_k": top_k, "cursor": cursor });
            let page = self.post("/unified-query", body).await;
            found.extend(ids(&page));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(found, all);
    }

    async fn query(&self, vector: [i8; 2], top_k: usize) {
        let ranking = self.ranking(vector).into_iter().take(top_k);
        let expected: Vec<(String, i64)> = ranking.map(|(id, score, _)| (id, score)).collect();
        let answer = self.post("/query", json!({ "vector": vector, "top_k": top_k })).await;
        let found: Vec<(String, i64)> = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| (hit["id"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap() as i64))
            .collect();
        assert_eq!(found, expected);
    }

    /// Count, pages and fetch agree with the model after every step.
    async fn compare(&self) {
        let visible = self.visible();
        assert_eq!(self.post("/vectors/count", json!({})).await["count"], visible.len());
        let (mut listed, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("{NAMESPACE}/vectors?limit=5{cursor}");
            let page: Value = serde_json::from_slice(&self.server.get(&path).await.body).unwrap();
            for row in page["vectors"].as_array().unwrap() {
                let values = row.get("values").unwrap().as_array();
                let vector =
                    values.map(|values| [0, 1].map(|index: usize| values[index].as_f64().unwrap() as i8));
                let metadata = &row["metadata"];
                let number = |name: &str| metadata[name].as_i64().unwrap() as i8;
                let word = metadata["text"].as_str().map(|text| text[4..].parse().unwrap());
                let id = row["id"].as_str().unwrap().to_owned();
                let (number, group) = (number("n"), number("g"));
                let expires = self.model.get(&id).and_then(|row| row.expires);
                listed.insert(id, Stored { vector, number, group, word, expires });
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(listed, visible);
        let all: Vec<String> = (0..16).map(|id| id.to_string()).collect();
        let fetched = self.post("/fetch", json!({ "ids": all })).await;
        assert_eq!(fetched["vectors"].as_array().unwrap().len(), visible.len());
    }
}

fn group_of(number: i8) -> i8 {
    number.rem_euclid(3)
}

fn word_of(word: u8) -> String {
    format!("word{word}")
}

fn ids(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

/// A row as it is sent; its metadata has the first of its values, and a group by the second.
fn body_of(Sent { id, vector, ttl, has_vector }: &Sent) -> Value {
    let values = has_vector.then_some(vector);
    let metadata = json!({ "n": vector[0], "g": group_of(vector[1]) });
    let mut row = json!({ "id": id.to_string(), "values": values, "metadata": metadata });
    if let Some(ttl) = ttl {
        row["ttl_seconds"] = json!(ttl);
    }
    row
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_api_equals_the_model(steps in prop::collection::vec(step(), 1..40)) {
        run(BackendConfig::Memory {}, steps);
    }
}

proptest! {
    // Each step waits for the disk.
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_api_equals_the_model_on_files(steps in prop::collection::vec(step(), 1..30)) {
        let folder = shared::process::temporary_dir();
        run(BackendConfig::Fs { root: folder.path().to_owned() }, steps);
    }
}

fn run(backend: BackendConfig, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(backend).await;
        for step in steps {
            world.run(step).await;
        }
    });
}
