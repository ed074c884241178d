//! Clients that write through the balancer and read what was acknowledged from everywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{client::Client, shared::program::BOUND};

/// A writer each.
pub const NAMESPACES: usize = 15;
const IDS: u64 = 40;
/// A breath, so that two cores have time for everything else.
const PAUSE: Duration = Duration::from_millis(40);

pub fn namespace(number: usize) -> String {
    format!("tenant-{number}")
}

/// Load that goes on until it is stopped.
pub struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<(String, BTreeMap<String, u64>)>,
}

struct Shared {
    client: Client,
    /// For reads past the balancer.
    http: reqwest::Client,
    addresses: [String; 3],
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// By namespace, the nodes that answered its requests.
    seen: Mutex<BTreeMap<String, BTreeSet<String>>>,
    acknowledged: AtomicU64,
    direct_reads: AtomicU64,
}

/// What happened since it was asked last.
#[derive(Debug)]
pub struct Happened {
    pub acknowledged: u64,
    pub direct_reads: u64,
    pub retried: u64,
    pub failures: Vec<String>,
    pub seen: BTreeMap<String, BTreeSet<String>>,
}

impl Load {
    /// Starts one writer for each namespace.
    pub fn start(balancer: String, addresses: [String; 3]) -> Self {
        let http = quiver::storage::http_client().no_proxy().timeout(Duration::from_secs(10));
        let shared = Arc::new(Shared {
            client: Client::new(balancer),
            http: http.build().unwrap(),
            addresses,
            stop: AtomicBool::new(false),
            failures: Mutex::default(),
            seen: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            direct_reads: AtomicU64::new(0),
        });
        let mut writers = JoinSet::new();
        for number in 0..NAMESPACES {
            let shared = Arc::clone(&shared);
            writers.spawn(async move { (namespace(number), shared.write(&namespace(number)).await) });
        }
        Self { shared, writers }
    }

    /// What happened since this was asked last.
    pub fn happened(&self) -> Happened {
        let shared = &self.shared;
        Happened {
            acknowledged: shared.acknowledged.swap(0, Ordering::Relaxed),
            direct_reads: shared.direct_reads.swap(0, Ordering::Relaxed),
            retried: shared.client.retried(),
            failures: std::mem::take(&mut shared.failures.lock().unwrap()),
            seen: std::mem::take(&mut shared.seen.lock().unwrap()),
        }
    }

    /// Waits until this node answers the namespace's requests.
    pub async fn answered_by(&self, namespace: &str, node: &str) {
        self.shared.seen.lock().unwrap().remove(namespace);
        let start = Instant::now();
        while !self.shared.seen.lock().unwrap().get(namespace).is_some_and(|nodes| nodes.contains(node)) {
            let failures = self.shared.failures.lock().unwrap().clone();
            assert!(failures.is_empty(), "{failures:?}");
            assert!(start.elapsed() < BOUND, "not in {BOUND:?}: {namespace} goes to {node}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the load. By namespace, every row that was acknowledged, with its newest version.
    pub async fn stop(&mut self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        while let Some(writer) = self.writers.join_next().await {
            all.extend([writer.unwrap()]);
        }
        all
    }
}

impl Shared {
    async fn write(&self, namespace: &str) -> BTreeMap<String, u64> {
        let mut acknowledged = BTreeMap::new();
        for version in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let ids = [version % IDS, (version + 1) % IDS].map(|id| format!("row-{id}"));
            if let Err(failure) = self.write_and_read(namespace, version, &ids).await {
                self.failures.lock().unwrap().push(failure);
                break;
            }
            acknowledged.extend(ids.map(|id| (id, version)));
            tokio::time::sleep(PAUSE).await;
        }
        acknowledged
    }

    async fn write_and_read(&self, namespace: &str, version: u64, ids: &[String; 2]) -> Result<(), String> {
        // Both spellings of a route belong to one namespace.
        let prefix = if version.is_multiple_of(2) { "/v1" } else { "" };
        let base = format!("{prefix}/namespaces/{namespace}");
        let row =
            |id| json!({ "id": id, "values": [version as f32, 1.0], "metadata": { "version": version } });
        let rows: Vec<Value> = ids.iter().map(row).collect();
        let written = self.client.post(&format!("{base}/vectors"), &json!({ "vectors": rows })).await?;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let wanted = json!({ "ids": ids });
        let read = self.client.post(&format!("{base}/fetch"), &wanted).await?;
        check(&read.body, version, &read.node)?;
        self.seen.lock().unwrap().entry(namespace.to_owned()).or_default().extend([written.node, read.node]);
        let address = &self.addresses[version as usize % self.addresses.len()];
        self.read_from(address, &format!("{base}/fetch"), &wanted, version).await
    }

    /// A strong read from one node, whichever is the namespace's, unless that node is away.
    async fn read_from(&self, address: &str, path: &str, wanted: &Value, version: u64) -> Result<(), String> {
        let Ok(answer) = self.http.post(format!("http://{address}{path}")).json(wanted).send().await else {
            return Ok(());
        };
        let (status, Ok(body)) = (answer.status().as_u16(), answer.json().await) else { return Ok(()) };
        match status {
            200 => {
                check(&body, version, address)?;
                self.direct_reads.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            503 => Ok(()),
            _ => Err(format!("{address}{path}: {status}: {body}")),
        }
    }
}

/// Both rows are there, in the version that was just acknowledged.
fn check(body: &Value, version: u64, node: &str) -> Result<(), String> {
    let rows = body["vectors"].as_array().map_or(&[][..], Vec::as_slice);
    let fresh = rows.len() == 2 && rows.iter().all(|row| row["metadata"]["version"] == version);
    if fresh {
        Ok(())
    } else {
        Err(format!("{node} does not show version {version}, which was acknowledged: {body}"))
    }
}
