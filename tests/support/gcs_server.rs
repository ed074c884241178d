//! A Google Cloud Storage server for tests: the JSON calls that OpenDAL makes, with preconditions
//! that hold.
//!
//! The emulators that package registries offer ignore `ifGenerationMatch` on resumable uploads,
//! which is how OpenDAL sends conditional writes, so none of them can show that the commit protocol
//! works on this store. Here every request takes one lock, and a condition is checked under the
//! lock that the change is made under. Objects live in memory. A generation is never used twice.
//!
//! Not here, because OpenDAL sends them only for calls that Quiver does not make: the XML API
//! (multipart uploads), rewrite and compose.

mod batch;
mod upload;

use std::{
    collections::{BTreeMap, HashMap},
    net::TcpListener,
    ops::Range,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::{
    batch::delete_batch,
    upload::{Upload, cancel_upload, continue_upload, insert},
};

/// What a page of a listing holds at most.
const PAGE: usize = 1000;

/// A running server. Dropped = stopped.
#[derive(Debug)]
pub struct GcsServer {
    port: u16,
    runtime: Option<Runtime>,
}

impl GcsServer {
    /// Serves on a free loopback port, on threads of its own: it outlives the runtime of the test
    /// that started it.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let port = listener.local_addr().expect("a bound socket").port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a bound socket");
            axum::serve(listener, router()).await
        });
        Self { port, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for GcsServer {
    fn drop(&mut self) {
        // A runtime may not be waited for inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/storage/v1/b", post(create_bucket))
        .route("/storage/v1/b/{bucket}", get(describe_bucket))
        .route("/storage/v1/b/{bucket}/o", get(list))
        .route("/storage/v1/b/{bucket}/o/{name}", get(read).delete(delete))
        .route("/upload/storage/v1/b/{bucket}/o", post(insert))
        .route("/upload/storage/v1/b/{bucket}/o", put(continue_upload).delete(cancel_upload))
        .route("/batch/storage/v1", post(delete_batch))
        .layer(DefaultBodyLimit::disable())
        .with_state(Shared::default())
}

type Shared = Arc<Mutex<Stored>>;
type Answer = Result<Response, Failure>;

#[derive(Debug, Default)]
struct Stored {
    buckets: HashMap<String, BTreeMap<String, Object>>,
    uploads: HashMap<String, Upload>,
    generations: u64,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    generation: u64,
    content_type: String,
    updated: jiff::Timestamp,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conditions {
    if_generation_match: Option<u64>,
    if_generation_not_match: Option<u64>,
}

impl Conditions {
    /// Zero stands for "no object".
    fn check(self, object: Option<&Object>) -> Result<(), Failure> {
        let generation = object.map_or(0, |object| object.generation);
        let matched = self.if_generation_match.is_none_or(|wanted| wanted == generation);
        let changed = self.if_generation_not_match.is_none_or(|unwanted| unwanted != generation);
        if matched && changed { Ok(()) } else { Err(Failure::CONDITION) }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failure(StatusCode, &'static str);

impl Failure {
    const CONDITION: Self = Self(StatusCode::PRECONDITION_FAILED, "conditionNotMet");
    const NOT_FOUND: Self = Self(StatusCode::NOT_FOUND, "notFound");
    const INVALID: Self = Self(StatusCode::BAD_REQUEST, "invalid");
    const RANGE: Self = Self(StatusCode::RANGE_NOT_SATISFIABLE, "requestedRangeNotSatisfiable");
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status, reason) = self;
        let detail = json!({ "domain": "global", "reason": reason, "message": reason });
        let error = json!({ "code": status.as_u16(), "message": reason, "errors": [detail] });
        (status, Json(json!({ "error": error }))).into_response()
    }
}

impl Stored {
    fn bucket(&mut self, bucket: &str) -> Result<&mut BTreeMap<String, Object>, Failure> {
        self.buckets.get_mut(bucket).ok_or(Failure::NOT_FOUND)
    }

    /// Checks and makes an object, in one piece since `self` is locked.
    fn write(
        &mut self,
        bucket: &str,
        name: &str,
        conditions: Conditions,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<Value, Failure> {
        conditions.check(self.bucket(bucket)?.get(name))?;
        self.generations += 1;
        let object = Object {
            bytes,
            generation: self.generations,
            content_type: content_type.to_owned(),
            updated: jiff::Timestamp::now(),
        };
        let described = describe(bucket, name, &object);
        self.bucket(bucket)?.insert(name.to_owned(), object);
        Ok(described)
    }

    fn remove(&mut self, bucket: &str, name: &str, conditions: Conditions) -> Result<(), Failure> {
        let objects = self.bucket(bucket)?;
        let object = objects.get(name).ok_or(Failure::NOT_FOUND)?;
        conditions.check(Some(object))?;
        objects.remove(name);
        Ok(())
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Stored> {
    shared.lock().expect("no panic while held")
}

fn etag(object: &Object) -> String {
    format!("G{}=", object.generation)
}

fn describe(bucket: &str, name: &str, object: &Object) -> Value {
    json!({
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": object.bytes.len().to_string(),
        "generation": object.generation.to_string(),
        "metageneration": "1",
        "etag": etag(object),
        "contentType": object.content_type,
        "updated": object.updated.to_string(),
    })
}

#[derive(Deserialize)]
struct NewBucket {
    name: String,
}

async fn create_bucket(State(shared): State<Shared>, Json(new): Json<NewBucket>) -> Answer {
    let mut stored = lock(&shared);
    if stored.buckets.contains_key(&new.name) {
        return Err(Failure(StatusCode::CONFLICT, "conflict"));
    }
    stored.buckets.insert(new.name.clone(), BTreeMap::new());
    Ok(Json(json!({ "kind": "storage#bucket", "name": new.name })).into_response())
}

async fn describe_bucket(State(shared): State<Shared>, Path(bucket): Path<String>) -> Answer {
    lock(&shared).bucket(&bucket)?;
    Ok(Json(json!({ "kind": "storage#bucket", "name": bucket })).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    prefix: String,
    delimiter: Option<String>,
    start_offset: Option<String>,
    page_token: Option<String>,
    max_results: Option<usize>,
}

async fn list(State(shared): State<Shared>, Path(bucket): Path<String>, Query(page): Query<Page>) -> Answer {
    let mut stored = lock(&shared);
    let objects = stored.bucket(&bucket)?;
    let size = page.max_results.unwrap_or(PAGE).clamp(1, PAGE);
    let token = page.page_token.as_deref().map(from_token).transpose()?;
    // Both begin the page at a name, that name included.
    let start = page.start_offset.max(token).unwrap_or_default().max(page.prefix.clone());
    let (mut items, mut prefixes, mut next) = (Vec::new(), Vec::<String>::new(), None);
    for (name, object) in objects.range(start..) {
        let Some(rest) = name.strip_prefix(&page.prefix) else { break };
        let cut = page.delimiter.as_deref().and_then(|by| rest.find(by).map(|at| at + by.len()));
        let folder = cut.map(|end| &name[..page.prefix.len() + end]);
        if folder.is_some() && folder == prefixes.last().map(String::as_str) {
            continue;
        }
        if items.len() + prefixes.len() == size {
            next = Some(to_token(name));
            break;
        }
        match folder {
            Some(folder) => prefixes.push(folder.to_owned()),
            None => items.push(describe(&bucket, name, object)),
        }
    }
    let mut answer = json!({ "kind": "storage#objects", "items": items, "prefixes": prefixes });
    if let Some(next) = next {
        answer["nextPageToken"] = next.into();
    }
    Ok(Json(answer).into_response())
}

/// A token is opaque to clients: hexadecimal, so that nobody uses it as a name.
fn to_token(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_token(token: &str) -> Result<String, Failure> {
    let digits = token.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes = bytes.collect::<Option<Vec<u8>>>().ok_or(Failure::INVALID)?;
    String::from_utf8(bytes).map_err(|_| Failure::INVALID)
}

#[derive(Deserialize)]
struct ReadOptions {
    alt: Option<String>,
}

async fn read(
    State(shared): State<Shared>,
    Path((bucket, name)): Path<(String, String)>,
    Query(options): Query<ReadOptions>,
    Query(conditions): Query<Conditions>,
    headers: HeaderMap,
) -> Answer {
    let object = lock(&shared).bucket(&bucket)?.get(&name).cloned().ok_or(Failure::NOT_FOUND)?;
    if conditions.if_generation_not_match == Some(object.generation) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    conditions.check(Some(&object))?;
    let tag = etag(&object);
    let names = |header| headers.get(header).and_then(|value| value.to_str().ok());
    if names(header::IF_NONE_MATCH).is_some_and(|unwanted| unwanted == tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    if names(header::IF_MATCH).is_some_and(|wanted| wanted != tag) {
        return Err(Failure::CONDITION);
    }
    if options.alt.as_deref() != Some("media") {
        return Ok(Json(describe(&bucket, &name, &object)).into_response());
    }
    let about = [
        ("x-goog-generation", object.generation.to_string()),
        ("etag", tag),
        ("content-type", object.content_type),
    ];
    let size = object.bytes.len();
    match names(header::RANGE) {
        None => Ok((about, object.bytes).into_response()),
        Some(range) => {
            let Range { start, end } = byte_range(range, size)?;
            let content_range = format!("bytes {start}-{}/{size}", end - 1);
            let part = object.bytes.slice(start..end);
            Ok((StatusCode::PARTIAL_CONTENT, about, [("content-range", content_range)], part).into_response())
        }
    }
}

/// A `Range` header's bytes within an object; never empty.
fn byte_range(header: &str, size: usize) -> Result<Range<usize>, Failure> {
    let parse = |number: &str| number.parse::<usize>().map_err(|_| Failure::INVALID);
    let range = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let range = match range.ok_or(Failure::INVALID)? {
        ("", last) => size.saturating_sub(parse(last)?)..size,
        (start, "") => parse(start)?..size,
        (start, end) => parse(start)?..parse(end)?.saturating_add(1).min(size),
    };
    if range.is_empty() { Err(Failure::RANGE) } else { Ok(range) }
}

async fn delete(
    State(shared): State<Shared>,
    Path((bucket, name)): Path<(String, String)>,
    Query(conditions): Query<Conditions>,
) -> Answer {
    lock(&shared).remove(&bucket, &name, conditions)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
