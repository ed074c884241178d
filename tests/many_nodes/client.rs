//! A client as docs/deploying.md asks for: what may be repeated is repeated, for a bounded time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;

/// More tries than this are a failed request.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(150);

/// Sends to the balancer.
pub struct Client {
    http: reqwest::Client,
    base: String,
    retried: AtomicU64,
}

/// An answer, and the node that gave it.
pub struct Answer {
    pub node: String,
    pub body: Value,
}

impl Client {
    pub fn new(base: String) -> Self {
        let http = quiver::storage::http_client().no_proxy().timeout(Duration::from_secs(20));
        Self { http: http.build().unwrap(), base, retried: AtomicU64::new(0) }
    }

    /// How often a request was sent again since this was asked last.
    pub fn retried(&self) -> u64 {
        self.retried.swap(0, Ordering::Relaxed)
    }

    /// A POST that may be repeated, until it is answered.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let mut said = String::new();
        for _ in 0..TRIES {
            match self.once(path, body).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Passing(reason)) => said = reason,
                Err(Refusal::Final(reason)) => return Err(format!("{path}: {reason}")),
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{path}: still after {TRIES} tries: {said}"))
    }

    async fn once(&self, path: &str, body: &Value) -> Result<Answer, Refusal> {
        let sent = self.http.post(format!("{}{path}", self.base)).json(body).send().await;
        let answer = sent.map_err(|error| Refusal::Passing(format!("{error:?}")))?;
        let status = answer.status();
        let node = answer.headers().get("x-quiver-node").map(|node| node.to_str().unwrap().to_owned());
        let text = answer.text().await.map_err(|error| Refusal::Passing(format!("{error:?}")))?;
        match status.as_u16() {
            200..300 => Ok(Answer {
                node: node.expect("the balancer names the node"),
                body: serde_json::from_str(&text).unwrap(),
            }),
            // 502 and 504 are the balancer's words for a connection that was reset or went silent.
            429 | 502 | 503 | 504 => Err(Refusal::Passing(format!("{status}: {text}"))),
            _ => Err(Refusal::Final(format!("{status}: {text}"))),
        }
    }
}

enum Refusal {
    Passing(String),
    Final(String),
}
