//! kill -9 at random moments under concurrent writes: nothing acknowledged is lost, nothing that
//! was never sent appears, and counts stay exact.
//!
//! `QUIVER_CRASH_ROUNDS` sets how often the server is killed (default 50).

#[path = "support/mod.rs"]
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quiver::random::Random;
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use shared::servers::Seaweed;

const WRITERS: usize = 4;
const IDS_PER_WRITER: u64 = 24;
/// Some kills come in the middle of a fold or merge.
const FOLDS: &str = "[compaction]\nfold_entries = 10\nfold_interval = \"0s\"\n";
const NAMESPACE: &str = "/v1/namespaces/crash";

/// What an id may hold: the number of the write, or nothing.
type Version = Option<u64>;

/// What one writer knows: for each of its ids the versions that may stand there. One, unless the
/// server died before it answered.
#[derive(Debug, Default)]
struct Knowledge {
    possible: BTreeMap<String, BTreeSet<Version>>,
    acknowledged: u64,
    next: u64,
}

impl Knowledge {
    /// Writes until told to stop or the server is gone.
    async fn write(
        &mut self,
        client: &reqwest::Client,
        base: &str,
        writer: usize,
        random: &Random,
        stop: &AtomicBool,
    ) {
        while !stop.load(Ordering::Relaxed) {
            self.next += 1;
            let ids = self.pick(writer, random);
            let delete = self.next.is_multiple_of(5);
            let (path, body) = if delete {
                ("/vectors/delete", json!({ "ids": ids }))
            } else {
                let rows: Vec<Value> = ids.iter().map(|id| row(id, self.next)).collect();
                ("/vectors", json!({ "vectors": rows }))
            };
            let version = (!delete).then_some(self.next);
            for id in &ids {
                self.possible.entry(id.clone()).or_insert_with(|| BTreeSet::from([None])).insert(version);
            }
            match client.post(format!("{base}{path}")).json(&body).send().await {
                Ok(answer) if answer.status().is_success() => {
                    self.acknowledged += 1;
                    for id in ids {
                        self.possible.insert(id, BTreeSet::from([version]));
                    }
                }
                Ok(answer) => panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
                // Killed: nobody knows.
                Err(_) => return,
            }
        }
    }

    /// A few neighbouring ids of this writer, so that a batch must land as a whole.
    fn pick(&self, writer: usize, random: &Random) -> Vec<String> {
        let first = random.uuid().as_u128() as u64 % IDS_PER_WRITER;
        (first..first + 1 + self.next % 3).map(|id| format!("w{writer}-{}", id % IDS_PER_WRITER)).collect()
    }
}

fn row(id: &str, version: u64) -> Value {
    json!({ "id": id, "values": [version as f32, 1.0], "metadata": { "version": version } })
}

/// All rows of the namespace by id, with their versions; each row must agree with itself.
async fn stored(client: &reqwest::Client, base: &str) -> BTreeMap<String, u64> {
    let body = json!({ "limit": 10_000, "include_vectors": true });
    let answer = client.post(format!("{base}/export")).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let rows = answer["vectors"].as_array().expect("rows");
    assert_eq!(answer["total_count"], rows.len(), "the count is exact");
    let version = |row: &Value| {
        let version = row["metadata"]["version"].as_u64().unwrap();
        assert_eq!(row["values"][0].as_f64(), Some(version as f64), "a torn row: {row}");
        version
    };
    rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), version(row))).collect()
}

/// One life of the server: writers write, it is killed, it comes back, and everything is checked.
async fn round(workdir: &Workdir, writers: &mut [Knowledge], random: &Random) {
    let server = workdir.serve(&[]);
    let (base, client) = (server.url(NAMESPACE), quiver::storage::http_client().build().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writers.iter_mut().enumerate().map(|(index, knowledge)| {
        let (base, client, stop) = (&base, &client, &stop);
        async move { knowledge.write(client, base, index, random, stop).await }
    });
    let kill = async {
        tokio::time::sleep(Duration::from_millis(10) + random.jitter(Duration::from_millis(250))).await;
        server.signal("KILL");
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.store(true, Ordering::Relaxed);
    };
    futures::future::join(futures::future::join_all(writing), kill).await;
    drop(server);
    check(&workdir.serve(&[]), writers).await;
}

async fn check(server: &Server, writers: &mut [Knowledge]) {
    let (base, client) = (server.url(NAMESPACE), quiver::storage::http_client().build().unwrap());
    // A PUT that the killed server left behind in the store may still be landing there. Once a
    // write of the new one is acknowledged, its place in the log is settled.
    let probe = json!({ "vectors": [row("probe", 1)] });
    let answer = client.post(format!("{base}/vectors")).json(&probe).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let mut stored = stored(&client, &base).await;
    assert_eq!(stored.remove("probe"), Some(1));
    for knowledge in writers.iter_mut() {
        for (id, possible) in &mut knowledge.possible {
            let actual = stored.remove(id);
            assert!(possible.contains(&actual), "{id} is {actual:?}, which is none of {possible:?}");
            *possible = BTreeSet::from([actual]);
        }
    }
    assert!(stored.is_empty(), "rows that nobody wrote: {stored:?}");
}

async fn rounds(workdir: &Workdir, rounds: usize, seed: u64) {
    let random = Random::seeded(seed);
    let mut writers: Vec<Knowledge> = (0..WRITERS).map(|_| Knowledge::default()).collect();
    for _ in 0..rounds {
        round(workdir, &mut writers, &random).await;
    }
    let acknowledged: u64 = writers.iter().map(|knowledge| knowledge.acknowledged).sum();
    println!("{rounds} kills, {acknowledged} acknowledged writes");
    assert!(acknowledged > rounds as u64, "the server was always killed too early to write");
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("crash: whole"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_files() {
    let count = std::env::var("QUIVER_CRASH_ROUNDS").map_or(50, |text| text.parse().expect("a number"));
    let workdir = Workdir::new();
    workdir.write("quiver.toml", FOLDS);
    rounds(&workdir, count, 1).await;
    let (_, described) = workdir.serve(&[]).curl(NAMESPACE, &[]);
    assert!(described["segments"]["folded_seq"].as_u64() > Some(20), "hardly a fold: {described}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_s3() {
    let store = Seaweed::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", format!("{}\n{FOLDS}", store.storage_toml("crash")));
    rounds(&workdir, 8, 2).await;
}
