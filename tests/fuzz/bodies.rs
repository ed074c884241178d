//! Bodies of requests: an answer that says what is wrong, never a failure of the server.

use std::{cell::RefCell, sync::Arc};

use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, LargeListArray, LargeStringArray, RecordBatch,
    StringArray, types::Float64Type,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use quiver::{
    api::{AppState, router},
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::Engine,
    storage::Store,
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::run::{Input, Target};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const JSON: &str = "application/json";
const VECTORS: &str = "/v1/namespaces/docs/vectors";
/// Requests after which the server is replaced: accepted rows stay in it.
const REQUESTS: u32 = 5000;

/// A server in this process, and how many requests it answered.
pub struct Server {
    runtime: Runtime,
    state: RefCell<(Router, u32)>,
}

impl Server {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, state: RefCell::new((new_router(), 0)) }
    }

    fn router(&self) -> Router {
        let mut state = self.state.borrow_mut();
        state.1 += 1;
        if state.1 > REQUESTS {
            *state = (new_router(), 0);
        }
        state.0.clone()
    }

    /// Posts a body; what is wrong with it if it is not taken.
    fn post(&self, path: &str, media_type: &str, body: &[u8]) -> Result<(), String> {
        let request =
            Request::post(path).header("content-type", media_type).body(Body::from(body.to_vec())).unwrap();
        let (status, body) = self.runtime.block_on(async {
            let answer = self.router().oneshot(request).await.expect("an answer");
            (answer.status().as_u16(), answer.into_body().collect().await.expect("a body").to_bytes())
        });
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        match status {
            200 => Ok(()),
            400 | 404 | 413 | 422 => Err(body["error"].as_str().expect("a message").into()),
            _ => panic!("status {status}: {body}"),
        }
    }
}

fn new_router() -> Router {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Memory {};
    let metrics = Arc::new(Metrics::default());
    let store = Store::open(&config.storage, metrics.clone()).unwrap();
    let clock = SystemClock::shared();
    let engine = Engine::new(store, clock.clone(), &config, metrics.clone()).unwrap();
    router(Arc::new(AppState::new(engine, &config, metrics, clock).unwrap()))
}

/// Arrow streams.
pub struct ArrowBodies(pub Server);

impl Target for ArrowBodies {
    type Value = ();
    const NAME: &'static str = "arrow_bodies";
    const IS_SEALED: bool = false;
    const REASONS: usize = 25;
    const SHARE: u64 = 2;

    fn corpus(&self) -> Vec<Input> {
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let large_ids: ArrayRef = Arc::new(LargeStringArray::from(vec!["a", "żółw"]));
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from_iter_values((0..6).map(|value| value as f32)));
        let fixed: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, 2, values, None).unwrap());
        let list = [Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0), None])];
        let list: ArrayRef = Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>(list));
        let metadata: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"n\":1}"), None, Some("{}")]));
        let ttl: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(1)]));
        let batches = [
            vec![("id", ids.clone()), ("values", fixed.clone())],
            vec![("id", ids), ("vector", fixed), ("metadata", metadata), ("ttl_seconds", ttl)],
            vec![("id", large_ids), ("values", list)],
        ];
        let stream = |columns| {
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let mut body = Vec::new();
            let mut writer = StreamWriter::try_new(&mut body, batch.schema_ref()).unwrap();
            writer.write(&batch).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            drop(writer);
            vec![body]
        };
        batches.into_iter().map(stream).collect()
    }

    fn read(&self, objects: &Input) -> Result<(), String> {
        self.0.post(VECTORS, ARROW, &objects[0])
    }
}

/// JSON and NDJSON; the second part says where it goes.
pub struct JsonBodies(pub Server);

impl Target for JsonBodies {
    type Value = ();
    const NAME: &'static str = "json_bodies";
    const IS_TEXT: bool = true;
    const IS_SEALED: bool = false;
    const REASONS: usize = 60;
    const SHARE: u64 = 2;

    fn corpus(&self) -> Vec<Input> {
        let bodies = [
            (
                0,
                r#"{"vectors":[{"id":"a","values":[0.5,-1e-3]},{"id":"b","values":[1,2],"metadata":{"k":[1,{"x":null}]},"ttl_seconds":9}]}"#,
            ),
            (
                1,
                "{\"id\":\"a\",\"values\":[1,2]}\n{\"id\":\"é\",\"values\":[3,4],\"metadata\":{\"t\":\"\\u00e9\"}}\n",
            ),
            (
                2,
                r#"{"ids":["a","b"],"vectors":[[1,2],[3,4]],"attributes":{"n":[1,null]},"ttl_seconds":5,"dimension":2}"#,
            ),
            (
                3,
                r#"{"vector":[1,2],"top_k":3,"include_metadata":true,"distance_metric":"euclidean","consistency":"eventual"}"#,
            ),
            (
                4,
                r#"{"queries":[{"vector":[1,2],"top_k":1},{"vector":[2,1],"top_k":2,"include_vectors":true}]}"#,
            ),
            (5, r#"{"ids":["a","b","nope"]}"#),
        ];
        bodies.into_iter().map(|(route, body)| vec![body.into(), vec![route]]).collect()
    }

    fn read(&self, objects: &Input) -> Result<(), String> {
        let (path, media_type) = match objects[1][0] {
            0 => ("vectors", JSON),
            1 => ("vectors", "application/x-ndjson"),
            2 => ("upsert-columns", JSON),
            3 => ("query", JSON),
            4 => ("batch-query", JSON),
            _ => ("vectors/delete", JSON),
        };
        self.0.post(&format!("/v1/namespaces/docs/{path}"), media_type, &objects[0])
    }
}
