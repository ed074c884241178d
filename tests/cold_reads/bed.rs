//! A namespace of real embeddings in one segment with an index, and nodes that know nothing of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quiver::{
    config::{BackendConfig, Config, StorageConfig},
    engine::{Accuracy, Consistency, Hit, Projection, Query, QueryResult},
    storage::{Key, Store},
    telemetry::{Usage, metered},
    types::{Rows, VectorId},
};

use super::{Node, TRIP, data::DataSet, name, node};

pub const TOP_K: usize = 10;
pub const NAMESPACE: &str = "docs";
/// Rows in one upsert.
const BATCH: usize = 2000;

pub struct Bed {
    pub store: Store,
    pub config: Config,
    /// A node on which everything is.
    pub writer: Node,
    pub data: DataSet,
}

/// An answer with what it cost.
pub struct Answered {
    pub result: quiver::error::Result<QueryResult>,
    pub usage: Usage,
    pub trips: u64,
}

impl Bed {
    /// So many rows: those of the data set, and after its end again, each moved a little. Each fifth lives
    /// for `ttl`.
    pub async fn new(rows: usize, ttl: Option<Duration>) -> Self {
        let backend = BackendConfig::Memory {};
        Box::pin(Self::on(StorageConfig { backend, ..StorageConfig::default() }, rows, ttl)).await
    }

    /// The same on a store of one's own.
    pub async fn on(storage: StorageConfig, rows: usize, ttl: Option<Duration>) -> Self {
        let mut config = Config { storage, ..Config::default() };
        config.compaction.background = false;
        config.search.threads = 1;
        let store = Store::open(&config.storage, Arc::default()).unwrap();
        let writer = node(&store, &config, false);
        let bed = Self { store, config, writer, data: DataSet::of_tests() };
        for start in (0..rows).step_by(BATCH) {
            bed.upsert((start..rows.min(start + BATCH)).map(|row| (row, row)), ttl).await;
        }
        bed.compact().await;
        bed
    }

    pub async fn compact(&self) {
        self.writer.engine.compact(&name(NAMESPACE)).await.unwrap();
    }

    /// Writes, under ids, the vectors of rows.
    pub async fn upsert(&self, rows: impl Iterator<Item = (usize, usize)> + Clone, ttl: Option<Duration>) {
        let metadata = |id: usize| format!("{{\"text\":\"{}\",\"id\":{id}}}", "word ".repeat(id % 40));
        let rows = Rows {
            dimension: self.data.dimension,
            vectors: rows.clone().flat_map(|(_, row)| self.vector(row)).collect(),
            metadata: rows.clone().map(|(id, _)| (id % 7 > 0).then(|| metadata(id).into())).collect(),
            ttl: rows.clone().map(|(id, _)| ttl.filter(|_| id % 5 == 0)).collect(),
            without_vector: Vec::new(),
            ids: rows.map(|(id, _)| VectorId::trusted(&id_of(id))).collect(),
        };
        self.writer.engine.upsert(&name(NAMESPACE), rows).await.unwrap();
    }

    /// Writes rows that have texts and no vectors.
    pub async fn upsert_texts(&self, ids: std::ops::Range<usize>) {
        let text = |id: usize| Some(format!("{{\"text\":\"{} {id}\"}}", "word ".repeat(100)).into());
        let rows = Rows {
            dimension: 0,
            without_vector: (0..ids.len()).collect(),
            metadata: ids.clone().map(text).collect(),
            ttl: vec![None; ids.len()],
            ids: ids.map(|id| VectorId::trusted(&format!("text-{id}"))).collect(),
            vectors: Vec::new(),
        };
        self.writer.engine.upsert(&name(NAMESPACE), rows).await.unwrap();
    }

    pub async fn delete(&self, ids: &[usize]) {
        let ids = ids.iter().map(|id| VectorId::trusted(&id_of(*id))).collect();
        self.writer.engine.delete(&name(NAMESPACE), ids).await.unwrap();
    }

    pub async fn delete_all(&self) {
        self.writer.engine.delete_all(&name(NAMESPACE)).await.unwrap();
    }

    fn vector(&self, row: usize) -> Vec<f32> {
        let round = row / self.data.rows();
        let values = self.data.values(row * self.data.dimension, self.data.dimension).into_iter();
        let mut noise = row as u64;
        let moved = values.map(|value| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (noise >> 40) as f32 / (1 << 23) as f32 - 1.0;
            if round == 0 { value } else { value + 0.05 * unit }
        });
        moved.collect()
    }

    /// A node that knows nothing and for which every request takes a [`TRIP`].
    pub fn cold(&self) -> Node {
        node(&self.store, &self.config, true)
    }

    pub fn query(&self, number: usize, accuracy: Option<Accuracy>) -> Query {
        Query {
            vector: self.data.query(number).to_vec(),
            top_k: TOP_K,
            distance: None,
            accuracy,
            index: None,
            filter: None,
            projection: Projection { vectors: true, metadata: true },
            cut: Default::default(),
        }
    }

    /// What the warm node says.
    pub async fn warm(&self, number: usize, accuracy: Option<Accuracy>) -> QueryResult {
        let query = self.query(number, accuracy);
        self.writer.engine.query(&name(NAMESPACE), vec![query], Consistency::Strong).await.unwrap().remove(0)
    }

    /// Bytes of the objects of all segments.
    pub async fn segment_bytes(&self) -> u64 {
        self.writer.engine.describe(&name(NAMESPACE)).await.unwrap().segment_bytes
    }

    /// The objects of the namespace whose keys contain this.
    pub async fn objects(&self, what: &str) -> Vec<Key> {
        let listed = self.store.list("namespaces/", None, 1000).await.unwrap();
        listed.into_iter().map(|found| found.key).filter(|key| key.as_str().contains(what)).collect()
    }
}

fn id_of(row: usize) -> String {
    format!("row-{row}")
}

/// The number in the id of a hit.
pub fn number_of(hit: &Hit) -> usize {
    hit.row.id.as_str().strip_prefix("row-").unwrap().parse().unwrap()
}

/// Asks a slow node.
pub async fn ask(node: &Node, query: Query, consistency: Consistency) -> Answered {
    let began = tokio::time::Instant::now();
    let (found, usage) = metered(node.engine.query(&name(NAMESPACE), vec![query], consistency)).await;
    let trips = began.elapsed().as_secs() / TRIP.as_secs();
    Answered { result: found.map(|mut results| results.remove(0)), usage, trips }
}

/// Waits until the node has loaded the namespace.
pub async fn loaded(node: &Node) {
    for _ in 0..100 {
        tokio::time::sleep(TRIP).await;
        if node.metrics.log.namespaces_loaded.get() > 0 {
            // It counts from when its segments are open; the log is read then.
            return tokio::time::sleep(4 * TRIP).await;
        }
    }
    panic!("nobody loads it");
}

/// The share of the best rows that were found.
pub fn recall(found: &[Hit], best: &[Hit]) -> f64 {
    let ids: BTreeMap<_, _> = found.iter().map(|hit| (hit.row.id.as_str(), hit.score)).collect();
    let hits = best.iter().filter(|hit| ids.contains_key(hit.row.id.as_str())).count();
    hits as f64 / best.len().max(1) as f64
}
