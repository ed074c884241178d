//! Writers and readers. Each sends every request once, to a node drawn at random, and records when it
//! was sent, when it was answered, and what it was told.

use std::{sync::Arc, time::Duration};

use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    history::{Found, History, halves},
    register::Outcome,
};

pub const NAMESPACE: &str = "chaos";
/// Rows that all writers write to.
const SHARED: u64 = 6;
/// Rows that one writer writes to, each.
const OWN: u64 = 2;
/// How many of its last pairs a writer reads and deletes.
const RECENT: usize = 4;
/// A paused node does not hold a client for as long as it is paused.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Sends requests and records them.
pub struct Client {
    http: reqwest::Client,
    nodes: Vec<String>,
    pub history: History,
}

impl Client {
    pub fn new(nodes: Vec<String>) -> Self {
        let http = quiver::storage::http_client().no_proxy().timeout(TIMEOUT).build().unwrap();
        Self { http, nodes, history: History::begin() }
    }

    /// Writers that go on for this long.
    pub async fn storm(self: &Arc<Self>, writers: u64, time: Duration) {
        let end = self.history.now() + time;
        let mut tasks = JoinSet::new();
        for number in 0..writers {
            let writer = Writer { client: Arc::clone(self), number, next: 0, pairs: Vec::new() };
            tasks.spawn(writer.run(end));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }

    /// A POST to a node: the answer and its status, or how far it came.
    async fn post(&self, node: &str, action: &str, body: &Value) -> Result<(u16, Value), Outcome> {
        let url = format!("http://{node}/v1/namespaces/{NAMESPACE}/{action}");
        match self.http.post(url).json(body).send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                Ok((status, answer.json().await.map_err(|_| Outcome::Unknown)?))
            }
            // Nothing was sent.
            Err(error) if error.is_connect() => Err(Outcome::Refused),
            Err(_) => Err(Outcome::Unknown),
        }
    }

    /// A write. If it is acknowledged, the field `count` of the answer must be one of these.
    async fn write(&self, action: &str, body: &Value, count: &str, one_of: &[u64]) -> Outcome {
        let node = self.nodes.choose(&mut rand::rng()).unwrap();
        let (status, answer) = match self.post(node, action, body).await {
            Ok(answered) => answered,
            Err(outcome) => return outcome,
        };
        match (status, answer["code"].as_str()) {
            (200, _) => {
                if !answer[count].as_u64().is_some_and(|count| one_of.contains(&count)) {
                    self.history.unexpected(format!("{action} {body} on {node}: {answer}, not {one_of:?}"));
                }
                Outcome::Acknowledged
            }
            (503, Some("OUTCOME_UNKNOWN")) => Outcome::Unknown,
            (429 | 503, Some(_)) => Outcome::Refused,
            _ => {
                self.history.unexpected(format!("{action} on {node}: {status} {answer}"));
                Outcome::Unknown
            }
        }
    }

    /// A strong read of these rows from any node.
    async fn read(&self, registers: &[String], pairs: &[String]) {
        let ids: Vec<String> =
            pairs.iter().flat_map(|pair| halves(pair)).chain(registers.iter().cloned()).collect();
        let node = self.nodes.choose(&mut rand::rng()).unwrap();
        let start = self.history.now();
        match self.post(node, "fetch", &json!({ "ids": ids })).await {
            Ok((200, answer)) => {
                let found = found(&answer);
                self.history.read(registers, pairs, &found, (start, self.history.now()));
            }
            Ok((429 | 503 | 504, _)) | Err(_) => self.history.could_not_read(),
            Ok((status, answer)) => self.history.unexpected(format!("fetch on {node}: {status} {answer}")),
        }
    }

    /// A strong read of everything from one node, which must answer.
    pub async fn read_all(&self, node: &str) {
        let start = self.history.now();
        let (mut all, mut cursor) = (Found::new(), Value::Null);
        loop {
            let page = json!({ "limit": 10_000, "cursor": cursor });
            let (status, answer) = self.post(node, "export", &page).await.expect("an answer");
            assert_eq!(status, 200, "{answer}");
            all.extend(found(&answer));
            cursor = answer["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        self.history.read_all(&all, (start, self.history.now()));
    }
}

fn row(id: &str, value: u64) -> Value {
    json!({ "id": id, "values": [(value % 1000) as f32, 1.0], "metadata": { "value": value } })
}

/// The rows of an answer; each must agree with itself.
fn found(answer: &Value) -> Found {
    let rows = answer["vectors"].as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
    let value = |row: &Value| {
        let value = row["metadata"]["value"].as_u64().unwrap();
        if let Some(first) = row["values"][0].as_f64() {
            assert_eq!(first, (value % 1000) as f64, "a torn row: {row}");
        }
        (row["id"].as_str().unwrap().to_owned(), value)
    };
    rows.iter().map(value).collect()
}

struct Writer {
    client: Arc<Client>,
    number: u64,
    next: u64,
    pairs: Vec<String>,
}

impl Writer {
    async fn run(mut self, end: Duration) {
        while self.client.history.now() < end {
            match rand::random_range(0..10) {
                0..3 => self.set(&self.own()).await,
                3..6 => self.set(&self.shared()).await,
                6..9 => self.add_pair().await,
                _ => self.delete_pair().await,
            }
            let registers = [self.own(), self.shared()].concat();
            self.client.read(&registers, &self.pairs).await;
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..20))).await;
        }
    }

    fn own(&self) -> Vec<String> {
        (0..OWN).map(|row| format!("own-{}-{row}", self.number)).collect()
    }

    /// Two of the rows that everybody writes.
    fn shared(&self) -> Vec<String> {
        let first = rand::random_range(0..SHARED);
        [first, (first + 1) % SHARED].map(|row| format!("shared-{row}")).into()
    }

    /// A number that nobody else writes.
    fn value(&mut self) -> u64 {
        self.next += 1;
        self.number * 1_000_000 + self.next
    }

    /// Sets rows to a new value.
    async fn set(&mut self, ids: &[String]) {
        let value = self.value();
        let rows: Vec<Value> = ids.iter().map(|id| row(id, value)).collect();
        let history = &self.client.history;
        let start = history.now();
        let outcome = self.client.write("vectors", &json!({ "vectors": rows }), "upserted_count", &[2]).await;
        history.wrote(ids, value, (start, history.now()), outcome);
    }

    async fn add_pair(&mut self) {
        let value = self.value();
        let pair = format!("pair-{}-{value}", self.number);
        let rows = halves(&pair).map(|half| row(&half, value));
        let start = self.client.history.now();
        // Its ids are new: a request that is committed twice would find them.
        let body = json!({ "vectors": rows });
        let outcome = self.client.write("vectors", &body, "inserted_count", &[2]).await;
        self.client.history.wrote_pair(&pair, (start, self.client.history.now()), outcome);
        self.pairs.push(pair);
        if self.pairs.len() > RECENT {
            self.pairs.remove(0);
        }
    }

    async fn delete_pair(&mut self) {
        if self.pairs.len() < RECENT {
            return;
        }
        let pair = self.pairs.remove(0);
        let start = self.client.history.now();
        // Whether it was there was not always known.
        let body = json!({ "ids": halves(&pair) });
        let outcome = self.client.write("vectors/delete", &body, "deleted_count", &[0, 2]).await;
        self.client.history.deleted_pair(&pair, (start, self.client.history.now()), outcome);
        // What became of it, once; the last sweep looks again.
        self.client.read(&[], &[pair]).await;
    }
}
