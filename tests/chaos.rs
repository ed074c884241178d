//! Three real nodes, eight writers for each, one bucket. Nodes are killed and paused, and between them
//! and the store stands a proxy that resets, delays, cuts, refuses and postpones requests. Afterwards
//! the whole history is checked: every strong read must agree with what was acknowledged before it
//! began, whichever node answered, and what was refused must have had no effect. The same is done
//! without faults, where nothing may be refused or unknown.
//!
//! `QUIVER_CHAOS_SECONDS` sets how long it lasts (default 10; `make soak` runs a minute). Processes and
//! time are real, so a run cannot be repeated; the history of a failed one says what was wrong.

#[path = "chaos/clients.rs"]
mod clients;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/nemesis.rs"]
mod nemesis;
#[path = "chaos/pair.rs"]
mod pair;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/register.rs"]
mod register;
#[path = "support/mod.rs"]
mod shared;

use std::{path::Path, sync::Arc, time::Duration};

use clients::{Client, NAMESPACE};
use nemesis::{Harm, harm};
use proxy::Proxy;
use serde_json::{Value, json};
use shared::{
    node::Node,
    process::temporary_dir,
    program::{BOUND, until},
    servers::{BUCKET, Seaweed},
};
use tokio::{sync::Mutex, task::block_in_place};

const NODES: usize = 3;
const WRITERS: u64 = 8;
/// Faults in a thousand requests to the store.
const RATE: u64 = 40;

/// Entries in the log that are enough for a fold.
const FOLD_ENTRIES: u64 = 20;

/// How long a client waits for an answer. A paused node does not hold it for as long as it is paused.
const PATIENCE: Duration = Duration::from_secs(4);

/// The machine is not to be shared by two of these.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn seconds() -> u64 {
    std::env::var("QUIVER_CHAOS_SECONDS").map_or(10, |text| text.parse().expect("a number of seconds"))
}

/// A node does not wait long for a store that fails.
const IMPATIENT: [(&str, &str); 2] =
    [("QUIVER_STORAGE__TIMEOUT", "2s"), ("QUIVER_LOG__SETTLE_TIMEOUT", "4s")];

/// Everything happens soon: folds, merges, takeovers, looks at the manifest, the end of garbage.
fn settings(endpoint: String, cache: &Path) -> Vec<(&'static str, String)> {
    let settings = [
        ("QUIVER_STORAGE__BACKEND__TYPE", "s3"),
        ("QUIVER_STORAGE__BACKEND__BUCKET", BUCKET),
        ("QUIVER_STORAGE__BACKEND__REGION", "us-east-1"),
        ("QUIVER_STORAGE__BACKEND__ACCESS_KEY_ID", Seaweed::ACCESS_KEY),
        ("QUIVER_STORAGE__BACKEND__SECRET_ACCESS_KEY", Seaweed::SECRET_KEY),
        ("QUIVER_STORAGE__RETRY__MIN_DELAY", "5ms"),
        ("QUIVER_STORAGE__RETRY__MAX_DELAY", "100ms"),
        ("QUIVER_LOG__SAFE_AGE", "400ms"),
        ("QUIVER_COMPACTION__FOLD_INTERVAL", "100ms"),
        // A node that was killed while it folded delays the folds by this, not by as much as they are waited for.
        ("QUIVER_COMPACTION__LEASE", "2s"),
        ("QUIVER_COMPACTION__FAN_IN", "2"),
        ("QUIVER_GARBAGE__GRACE", "1s"),
        ("QUIVER_GARBAGE__INTERVAL", "1s"),
    ];
    let mut settings: Vec<_> = settings.map(|(name, value)| (name, value.to_owned())).into();
    settings.push(("QUIVER_COMPACTION__FOLD_ENTRIES", FOLD_ENTRIES.to_string()));
    settings.push(("QUIVER_STORAGE__BACKEND__ENDPOINT", endpoint));
    settings.push(("QUIVER_CACHE__DISK_PATH", cache.display().to_string()));
    settings
}

struct Cluster {
    nodes: Vec<Node>,
    proxy: Proxy,
    client: Arc<Client>,
    _cache: tempfile::TempDir,
    _store: Seaweed,
}

impl Cluster {
    /// Without faults nothing may time out, however busy the machine is.
    async fn start(faults: bool) -> Self {
        let (store, cache) = (Seaweed::start().await, temporary_dir());
        let proxy = Proxy::start(store.endpoint()).await;
        let node = |_| {
            let impatient = IMPATIENT.map(|(name, value)| (name, value.to_owned()));
            let more = impatient.into_iter().filter(|_| faults);
            Node::new(settings(proxy.endpoint(), cache.path()).into_iter().chain(more))
        };
        let mut nodes: Vec<Node> = (0..NODES).map(node).collect();
        for node in &mut nodes {
            // A store that has just started may take longer than their timeout at first.
            nemesis::start(node).await;
        }
        let spec = json!({ "name": NAMESPACE, "dimension": 2 });
        nodes[0].server().post("/v1/namespaces", &spec);
        let addresses = nodes.iter().map(|node| node.address().to_owned()).collect();
        let client = Arc::new(Client::new(addresses, if faults { PATIENCE } else { BOUND }));
        Self { nodes, proxy, client, _cache: cache, _store: store }
    }

    fn describe(&mut self) -> Value {
        self.nodes[0].server().curl(&format!("/v1/namespaces/{NAMESPACE}"), &[]).1
    }

    /// With a store that answers, folds catch up with the log, however far behind faults and a busy
    /// machine left them.
    fn fold_the_rest(&mut self) -> Value {
        until("folds catch up with the log", || {
            let described = self.describe();
            let (head, folded) = (&described["log"]["head_seq"], &described["segments"]["folded_seq"]);
            let left = head.as_u64()? - folded.as_u64()?;
            (left < FOLD_ENTRIES).then_some(described)
        })
    }

    /// Reads everything from every node, before the folds that are due and after them, and checks the
    /// history and the store.
    async fn check(&mut self, what: &str, harm: Harm) -> history::Counts {
        for node in &self.nodes {
            self.client.read_all(node.address()).await;
        }
        let described = block_in_place(|| self.fold_the_rest());
        for node in &self.nodes {
            self.client.read_all(node.address()).await;
        }
        let counts = self.client.history.counts();
        println!("{what}: {counts:?}");
        println!("  {harm:?}");
        println!("  {} requests to the store, faults: {:?}", self.proxy.requests(), self.proxy.faults());
        let (segments, deleted) = (self.proxy.segments(), self.proxy.deleted());
        println!("  {segments} segments written by folds and merges, {deleted} objects deleted");
        println!("  log: {}, segments: {}", described["log"], described["segments"]);
        let violations = self.client.history.violations();
        let first = &violations[..violations.len().min(20)];
        assert!(violations.is_empty(), "{what}: {} violations: {first:#?}", violations.len());
        let verified = block_in_place(|| self.nodes[0].run(&["verify"])).ok().stdout;
        assert!(verified.contains("chaos: whole"), "{verified}");
        counts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_nothing_is_refused_or_unknown() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(false).await;
    cluster.client.storm(WRITERS * NODES as u64, Duration::from_secs(seconds())).await;
    let counts = cluster.check("without faults", Harm::default()).await;
    assert_eq!((counts.refused, counts.unknown, counts.failed_reads), (0, 0, 0), "{counts:?}");
    assert!(counts.acknowledged > 100, "{counts:?}");
    let deleted = || cluster.proxy.deleted();
    block_in_place(|| until("garbage is collected", || (deleted() > 20).then_some(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_pauses_and_a_failing_store_make_no_read_wrong() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut cluster = Cluster::start(true).await;
    let time = Duration::from_secs(seconds());
    cluster.proxy.misbehave(RATE);
    let client = Arc::clone(&cluster.client);
    let storm = tokio::spawn(async move { client.storm(WRITERS * NODES as u64, time).await });
    let harms = cluster.nodes.iter_mut().enumerate().map(|(index, node)| harm(node, index % 2 == 0, time));
    let harms = futures::future::join_all(harms).await;
    storm.await.unwrap();
    cluster.proxy.misbehave(0);
    let total = harms.iter().fold(Harm::default(), |sum, harm| sum + *harm);
    let counts = cluster.check("with faults", total).await;
    let faults: u64 = cluster.proxy.faults().values().sum();
    assert!(total.kills > 0 && total.pauses > 0 && faults > 10, "{total:?}, {faults} faults");
    assert!(counts.acknowledged > 20, "{counts:?}");
}
