//! Where rows are written: an engine on the store, or a running server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};
use bytes::Bytes;
use reqwest::{Client, Method, StatusCode, header};
use serde::Deserialize;

use crate::{
    cli::{Failure, vectors::vector_column},
    engine::{Engine, IfExists, NamespaceSpec},
    error::Error,
    storage::http_client,
    types::{Distance, IndexType, NamespaceName, Rows},
};

/// How long a store or a server that cannot now is asked again.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How long a server that was never reached is asked again: its address is probably wrong.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// A pause is never longer, whatever the other side asks for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long one request to a server may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Where rows are written.
pub(super) enum Sink {
    /// The configured store.
    Engine(Engine),
    /// A server.
    Server(Server),
    /// Nothing is written.
    Nowhere,
}

/// What writing a batch did.
pub(super) struct Written {
    pub upserted: u64,
    /// Ids that were new, if that is known.
    pub inserted: Option<u64>,
}

impl Sink {
    /// Writes to the server at `url`.
    pub fn server(url: &str, api_key: Option<&str>) -> Result<Self, Failure> {
        Server::new(url, api_key).map(Self::Server)
    }

    /// Creates the namespace unless it exists. With a metric, one that exists must have it.
    pub async fn create(&self, namespace: &NamespaceName, distance: Option<Distance>) -> Result<(), Failure> {
        match self {
            Self::Engine(engine) => {
                let spec = NamespaceSpec { dimension: None, distance };
                retried(|| engine.create_namespace(namespace, spec, IfExists::Return)).await?;
            }
            Self::Server(server) => server.create(namespace, distance).await?,
            Self::Nowhere => {}
        }
        Ok(())
    }

    /// Writes a batch. What may pass is tried again: an upsert may be repeated.
    pub async fn upsert(&self, namespace: &NamespaceName, rows: &Rows) -> Result<Written, Failure> {
        match self {
            Self::Engine(engine) => {
                let done = retried(|| engine.upsert(namespace, rows.clone())).await?;
                Ok(Written { upserted: done.upserted, inserted: Some(done.inserted) })
            }
            Self::Server(server) => server.upsert(namespace, rows).await,
            Self::Nowhere => Ok(Written { upserted: rows.len() as u64, inserted: None }),
        }
    }

    /// Stores the bytes of an index, of a namespace that exists.
    pub async fn put_index_blob(
        &self,
        namespace: &NamespaceName,
        index: IndexType,
        bytes: Bytes,
    ) -> Result<(), Failure> {
        match self {
            Self::Engine(engine) => retried(|| engine.put_index_blob(namespace, index, bytes.clone())).await,
            Self::Server(server) => server.put_index_blob(namespace, index, bytes).await,
            Self::Nowhere => Ok(()),
        }
    }
}

/// Does what may be repeated until its outcome is definite.
async fn retried<T, F>(mut work: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = crate::error::Result<T>>,
{
    let mut patience = Patience::new();
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) => {
                let pause = match &error {
                    Error::Unavailable { retry_after, .. } | Error::Overloaded { retry_after, .. } => {
                        *retry_after
                    }
                    Error::OutcomeUnknown { .. } => Duration::from_secs(1),
                    _ => return Err(error.into()),
                };
                patience.wait(PATIENCE, Some(pause), error.into()).await?;
            }
        }
    }
}

/// A server's HTTP API.
pub(super) struct Server {
    client: Client,
    base: String,
    api_key: Option<String>,
    was_reached: AtomicBool,
}

#[derive(Deserialize)]
struct UpsertAnswer {
    upserted_count: u64,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    code: String,
}

impl Server {
    fn new(url: &str, api_key: Option<&str>) -> Result<Self, Failure> {
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Failure::usage(format!("--url {url}: expected http://… or https://…")));
        }
        let client = http_client().timeout(REQUEST_TIMEOUT).connect_timeout(Duration::from_secs(10)).build();
        let client = client.map_err(|error| Failure::new(format!("cannot make an HTTP client: {error}")))?;
        let base = format!("{}/v1/namespaces", url.trim_end_matches('/').trim_end_matches("/v1"));
        Ok(Self { client, base, api_key: api_key.map(str::to_owned), was_reached: AtomicBool::new(false) })
    }

    async fn create(&self, namespace: &NamespaceName, distance: Option<Distance>) -> Result<(), Failure> {
        let body = match distance {
            Some(distance) => serde_json::json!({"distance": distance.as_str()}),
            None => serde_json::json!({}),
        };
        let url = format!("{}/{namespace}", self.base);
        self.send(Method::PUT, url, "application/json", body.to_string().into()).await.map(drop)
    }

    async fn put_index_blob(
        &self,
        namespace: &NamespaceName,
        index: IndexType,
        bytes: Bytes,
    ) -> Result<(), Failure> {
        let url = format!("{}/{namespace}/indexes/{}/blob", self.base, index.as_str());
        self.send(Method::PUT, url, "application/octet-stream", bytes).await.map(drop)
    }

    async fn upsert(&self, namespace: &NamespaceName, rows: &Rows) -> Result<Written, Failure> {
        let body =
            arrow_stream(rows).map_err(|error| Failure::new(format!("cannot encode rows: {error}")))?;
        let url = format!("{}/{namespace}/vectors", self.base);
        let answer = self.send(Method::POST, url, "application/vnd.apache.arrow.stream", body.into()).await?;
        let answer: UpsertAnswer = serde_json::from_slice(&answer)
            .map_err(|error| Failure::new(format!("the server's answer is not understood: {error}")))?;
        Ok(Written { upserted: answer.upserted_count, inserted: None })
    }

    /// Sends a request that may be repeated, until it is answered with something definite.
    async fn send(
        &self,
        method: Method,
        url: String,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let mut patience = Patience::new();
        loop {
            let mut request =
                self.client.request(method.clone(), &url).header(header::CONTENT_TYPE, content_type);
            if let Some(key) = &self.api_key {
                request = request.bearer_auth(key);
            }
            let (failure, pause) = match request.body(body.clone()).send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(answer) => {
                        self.was_reached.store(true, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => (Failure::unreachable(&url, &error), None),
                },
                Ok(response) => {
                    self.was_reached.store(true, Ordering::Relaxed);
                    let (status, pause) = (response.status(), retry_after(response.headers()));
                    let failure = refused(status, &response.bytes().await.unwrap_or_default());
                    if !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
                        return Err(failure);
                    }
                    (failure, pause)
                }
                Err(error) => (Failure::unreachable(&url, &error), None),
            };
            let limit = if self.was_reached.load(Ordering::Relaxed) { PATIENCE } else { FIRST_PATIENCE };
            patience.wait(limit, pause, failure).await?;
        }
    }
}

fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let failure = match serde_json::from_slice::<ErrorAnswer>(body) {
        Ok(answer) => Failure::new(format!("the server refused: {} ({})", answer.error, answer.code)),
        Err(_) => Failure::new(format!("the server answered {status}")),
    };
    match status {
        StatusCode::UNAUTHORIZED => failure.hint("put the API key into QUIVER_API_KEY"),
        StatusCode::FORBIDDEN => failure.hint("use a key with the scope write that covers this namespace"),
        _ => failure,
    }
}

/// Pauses that grow, until patience ends.
struct Patience {
    started: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { started: Instant::now(), pause: Duration::from_millis(200) }
    }

    /// Pauses for as long as is asked for, or for twice as long as before. Gives the failure back
    /// when it has been too long.
    async fn wait(
        &mut self,
        limit: Duration,
        asked: Option<Duration>,
        failure: Failure,
    ) -> Result<(), Failure> {
        let pause = asked.unwrap_or(self.pause).clamp(self.pause, MAX_PAUSE);
        if self.started.elapsed() + pause > limit {
            return Err(failure.passing());
        }
        tracing::warn!(?pause, "{}; trying again", failure.into_message());
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Rows in the form in which the API takes them fastest.
fn arrow_stream(rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let vectors = (0..rows.len()).map(|row| Some(rows.vector(row)).filter(|vector| !vector.is_empty()));
    let ids: StringArray = rows.ids.iter().map(|id| Some(id.as_str())).collect();
    let metadata: StringArray = rows.metadata.iter().map(|text| text.as_deref()).collect();
    let ttl: UInt64Array = rows.ttl.iter().map(|ttl| ttl.map(|ttl| ttl.as_secs())).collect();
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("id", Arc::new(ids), false),
        ("values", vector_column(rows.dimension, vectors)?, true),
        ("metadata", Arc::new(metadata), true),
        ("ttl_seconds", Arc::new(ttl), true),
    ];
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, column, nullable)| Field::new(*name, column.data_type().clone(), *nullable))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        columns.into_iter().map(|(_, column, _)| column).collect(),
    )?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.into_inner()
}
