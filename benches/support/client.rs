//! HTTP clients over real connections to a server process, and what its metrics count.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Client, Method};

use super::Times;
use crate::shared::program::Server;

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Prepared {
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.into(), content_type: "text/plain", body: Bytes::new() }
    }

    pub fn post_json(path: String, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, path, content_type: "application/json", body: body.to_string().into() }
    }

    /// Sends it and reads the whole answer, which must be a success.
    pub async fn send(&self, client: &Client, server: &Server) -> Bytes {
        let request = client
            .request(self.method.clone(), server.url(&self.path))
            .header("Content-Type", self.content_type)
            .body(self.body.clone());
        let answer = request.send().await.unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let status = answer.status();
        let body = answer.bytes().await.expect("an answer");
        assert!(status.is_success(), "{}: {status} {}", self.path, String::from_utf8_lossy(&body));
        body
    }
}

/// Sends all requests, `clients` at a time, each client on its own connection. Returns the time for
/// all of them and of each.
pub async fn send_all(
    server: &Arc<Server>,
    requests: Arc<Vec<Prepared>>,
    clients: usize,
) -> (Duration, Times) {
    let next = Arc::new(AtomicUsize::new(0));
    let connections: Vec<Client> = (0..clients).map(|_| new_client()).collect();
    // Connections exist before the clock starts.
    for client in &connections {
        Prepared::get("/health/live").send(client, server).await;
    }
    let start = Instant::now();
    let tasks = connections.into_iter().map(|client| {
        let (server, requests, next) = (server.clone(), requests.clone(), next.clone());
        tokio::spawn(async move {
            let mut times = Times::default();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let start = Instant::now();
                request.send(&client, &server).await;
                times.add(start.elapsed());
            }
            times
        })
    });
    let mut times = Times::default();
    for done in futures::future::join_all(tasks).await {
        times.extend(done.expect("a client"));
    }
    (start.elapsed(), times)
}

pub fn new_client() -> Client {
    quiver::storage::http_client()
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .expect("a client without TLS needs nothing")
}

/// Counters of a server's metrics by their whole name, labels included.
pub async fn counters(server: &Server) -> BTreeMap<String, f64> {
    let text = Prepared::get("/metrics").send(&new_client(), server).await;
    let text = String::from_utf8(text.to_vec()).expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Requests to the object store between two readings, by operation.
pub fn store_requests(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let mut requests = BTreeMap::new();
    for (name, value) in after.iter().filter(|(name, _)| name.starts_with("quiver_store_requests_total")) {
        let operation = name.split('"').nth(1).expect("a label").to_owned();
        *requests.entry(operation).or_default() += value - before.get(name).unwrap_or(&0.0);
    }
    requests.retain(|_, count| *count > 0.0);
    requests
}
