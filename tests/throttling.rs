//! A store that takes no requests for a while (429, 503), beneath a real server: clients are told so in
//! bounded time, the store is not asked much more, what was acknowledged is there, what was refused is
//! not, and everything works within seconds once the store is back.

#[path = "throttling/proxy.rs"]
mod proxy;
#[path = "support/mod.rs"]
mod shared;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proxy::{Mode, Proxy, Refusal};
use reqwest::Client;
use serde_json::{Value, json};
use shared::program::{BOUND, Server, Workdir};
use shared::servers::Seaweed;

const NAMESPACE: &str = "/v1/namespaces/storm";
/// The store is back for so long at most before everything works.
const RECOVERY: Duration = Duration::from_secs(5);
/// So that the fate of a write is not pursued for long.
const SETTLE_SOON: &str = "[log]\nsettle_timeout = \"2s\"\n";
/// Tries of an operation by default.
const TRIES: u64 = 3;

/// A server on SeaweedFS behind a proxy, and one that reaches the store without it.
struct Bed {
    proxy: Proxy,
    server: Server,
    witness: Server,
    client: Client,
    known: Known,
    // Dropped last: the servers use them.
    _workdirs: [Workdir; 2],
    _store: Seaweed,
}

/// What became of the rows that were sent.
#[derive(Default)]
struct Known {
    next: u32,
    acknowledged: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// What a client is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Done,
    /// Nothing was done.
    Later,
    Unknown,
}

impl Bed {
    /// With the retries that are the default, and these settings.
    async fn new(settings: &str) -> Self {
        Self::over(settings, |storage| storage.split("[storage.retry]").next().unwrap().to_owned()).await
    }

    /// With the quick retries of other tests.
    async fn quick() -> Self {
        Self::over(SETTLE_SOON, |storage| storage).await
    }

    async fn over(settings: &str, storage: impl FnOnce(String) -> String) -> Self {
        let store = Seaweed::start().await;
        let proxy = Proxy::start(&store.endpoint()).await;
        let direct = storage(store.storage_toml("storm"));
        let proxied = direct.replace(&store.endpoint(), &proxy.endpoint());
        let workdirs = [proxied, direct].map(|storage| {
            let workdir = Workdir::new();
            workdir.write("quiver.toml", format!("{storage}\n[compaction]\nbackground = false\n{settings}"));
            workdir
        });
        let [server, witness] = [&workdirs[0], &workdirs[1]].map(|workdir| workdir.serve(&[]));
        let client = quiver::storage::http_client().timeout(BOUND).build().unwrap();
        Self { proxy, server, witness, client, known: Known::default(), _workdirs: workdirs, _store: store }
    }

    /// Writes a row of its own and keeps what is known of it.
    async fn write(&mut self) -> Told {
        self.known.next += 1;
        let id = format!("row-{}", self.known.next);
        let told = upsert(&self.client, &self.server, &id).await;
        self.known.note(id, &told);
        told
    }

    /// Writes rows at once.
    async fn write_at_once(&mut self, rows: u32) -> Vec<Told> {
        let ids: Vec<_> = (0..rows).map(|row| format!("row-{}", self.known.next + row + 1)).collect();
        self.known.next += rows;
        let writes = ids.iter().map(|id| upsert(&self.client, &self.server, id));
        let told = futures::future::join_all(writes).await;
        ids.into_iter().zip(&told).for_each(|(id, told)| self.known.note(id, told));
        told
    }

    async fn count(&self) -> Told {
        send(&self.client, &self.server, &format!("{NAMESPACE}/vectors/count"), &json!({})).await
    }

    /// Requests that reach the store until `work` is done.
    async fn requests(&mut self, work: impl AsyncFnOnce(&mut Self)) -> u64 {
        let before = self.proxy.requests();
        work(self).await;
        self.proxy.requests() - before
    }

    /// The store is back: writes and strong reads succeed, soon.
    async fn recovers(&mut self) {
        self.proxy.set(Mode::Open);
        let back = Instant::now();
        while self.write().await != Told::Done || self.count().await != Told::Done {
            assert!(back.elapsed() < RECOVERY, "the store is back for {:?}", back.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(back.elapsed() < RECOVERY, "it took {:?}", back.elapsed());
    }

    /// Both servers agree on the rows: all that were acknowledged, none that was refused.
    async fn check(&self) {
        for server in [&self.server, &self.witness] {
            let body = json!({ "limit": 10_000 });
            let url = server.url(&format!("{NAMESPACE}/export"));
            let answer = self.client.post(url).json(&body).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            let rows = answer["vectors"].as_array().unwrap_or_else(|| panic!("{answer}"));
            let stored: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            let lost: Vec<_> = self.known.acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            let possible: BTreeSet<_> = self.known.acknowledged.union(&self.known.unknown).cloned().collect();
            let refused: Vec<_> = stored.difference(&possible).collect();
            assert!(refused.is_empty(), "refused and there: {refused:?}");
        }
    }
}

impl Known {
    fn note(&mut self, id: String, told: &Told) {
        match told {
            Told::Done => self.acknowledged.insert(id),
            Told::Unknown => self.unknown.insert(id),
            Told::Later => false,
        };
    }
}

async fn upsert(client: &Client, server: &Server, id: &str) -> Told {
    let body = json!({ "vectors": [{ "id": id, "values": [1.0, 2.0] }] });
    send(client, server, &format!("{NAMESPACE}/vectors"), &body).await
}

async fn send(client: &Client, server: &Server, path: &str, body: &Value) -> Told {
    let answer = client.post(server.url(path)).json(body).send().await.expect("an answer in bounded time");
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body: Value = answer.json().await.unwrap();
    if status == 200 {
        return Told::Done;
    }
    let seconds: u64 = retry_after.unwrap_or_else(|| panic!("no Retry-After: {body}")).parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    match (status, body["code"].as_str()) {
        (503, Some("SERVICE_UNAVAILABLE")) => Told::Later,
        (503, Some("OUTCOME_UNKNOWN")) => Told::Unknown,
        _ => panic!("{status} {body}"),
    }
}

/// The store says that it did nothing.
async fn is_told_in_time(refusal: Refusal) {
    let mut bed = Bed::new(SETTLE_SOON).await;
    assert_eq!(bed.write().await, Told::Done);
    bed.proxy.set(Mode::Storm(refusal));
    for _ in 0..3 {
        let asked = bed.requests(async |bed| assert_eq!(bed.write().await, Told::Later)).await;
        assert!((1..=2 * TRIES).contains(&asked), "a write asked the store {asked} times");
        let asked = bed.requests(async |bed| assert_eq!(bed.count().await, Told::Later)).await;
        assert!((1..=2 * TRIES).contains(&asked), "a read asked the store {asked} times");
    }
    // They wait for one commit, or fail with it; none makes its own.
    let asked = bed
        .requests(async |bed| assert!(bed.write_at_once(40).await.iter().all(|told| *told == Told::Later)))
        .await;
    assert!(asked <= 8 * TRIES, "40 writes asked the store {asked} times");
    bed.recovers().await;
    assert!(bed.known.unknown.is_empty());
    bed.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_429() {
    is_told_in_time(Refusal::TooManyRequests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_slow_down() {
    is_told_in_time(Refusal::SlowDown).await;
}

/// What answers is not the store, so a write may have reached it. That is said, and not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_answers_that_say_nothing() {
    let mut bed = Bed::new(SETTLE_SOON).await;
    assert_eq!(bed.write().await, Told::Done);
    bed.proxy.set(Mode::Storm(Refusal::Overloaded));
    let asked = bed.requests(async |bed| assert_eq!(bed.write().await, Told::Unknown)).await;
    assert!(asked <= 40, "{asked} requests for one write");
    assert_eq!(bed.count().await, Told::Later);
    bed.recovers().await;
    bed.check().await;
}

/// Every answer to a write is lost, and yet each is there once: reading back tells.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_made_up_for_by_reading_back() {
    let mut bed = Bed::new(SETTLE_SOON).await;
    assert_eq!(bed.write().await, Told::Done);
    bed.proxy.set(Mode::LoseAnswers);
    for _ in 0..3 {
        assert_eq!(bed.write().await, Told::Done);
    }
    bed.recovers().await;
    bed.check().await;
}

/// The fate of a write is still pursued when the store comes back, after ever longer pauses.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_pursued_is_acknowledged_when_the_store_is_back() {
    let mut bed = Bed::new("").await;
    assert_eq!(bed.write().await, Told::Done);
    bed.proxy.set(Mode::Storm(Refusal::Overloaded));
    let back = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        bed.proxy.set(Mode::Open);
        Instant::now()
    };
    let write = upsert(&bed.client, &bed.server, "pursued");
    let (back, told) = futures::future::join(back, write).await;
    assert_eq!(told, Told::Done);
    assert!(back.elapsed() < RECOVERY, "it took {:?}", back.elapsed());
    bed.known.note("pursued".into(), &told);
    bed.check().await;
}

/// Two of three requests are turned away at any moment: whatever clients are told is true.
#[tokio::test(flavor = "multi_thread")]
async fn gusts() {
    let mut bed = Bed::quick().await;
    assert_eq!(bed.write().await, Told::Done);
    for refusal in [Refusal::SlowDown, Refusal::Overloaded, Refusal::TooManyRequests] {
        bed.proxy.set(Mode::Gusts(refusal));
        for _ in 0..5 {
            bed.write_at_once(4).await;
        }
        bed.recovers().await;
        bed.check().await;
    }
    assert!(bed.known.acknowledged.len() > 10, "some came through");
}
