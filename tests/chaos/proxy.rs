//! A proxy between the nodes and the store that misbehaves like a network and a busy store.
//!
//! It forwards whole requests and replies, byte for byte, so signatures stay valid. What was taken in
//! is forwarded even if the sender is gone by then, as a network would.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// What can happen to a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection ends before the store saw the request.
    ResetBefore,
    /// The store did it; the connection ends instead of a reply.
    ResetAfter,
    /// The reply ends in the middle.
    CutReply,
    /// The store is too busy; nothing was done.
    SlowDown,
    /// The store did it, and says 500.
    ErrorAfter,
    /// The request takes its time.
    SlowRequest(Duration),
    /// The reply takes its time.
    SlowReply(Duration),
    /// The connection ends, and the store gets the request later.
    LandLater(Duration),
}

impl Fault {
    fn draw() -> Self {
        let time = |most: u64| Duration::from_millis(rand::random_range(1..most));
        match rand::random_range(0..8) {
            0 => Self::ResetBefore,
            1 => Self::ResetAfter,
            2 => Self::CutReply,
            3 => Self::SlowDown,
            4 => Self::ErrorAfter,
            5 => Self::SlowRequest(time(1500)),
            6 => Self::SlowReply(time(1500)),
            _ => Self::LandLater(time(3000)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::CutReply => "cut reply",
            Self::SlowDown => "503",
            Self::ErrorAfter => "500 after",
            Self::SlowRequest(_) => "slow request",
            Self::SlowReply(_) => "slow reply",
            Self::LandLater(_) => "late landing",
        }
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    store: String,
    /// Faults in a thousand requests.
    rate: AtomicU64,
    requests: AtomicU64,
    segments: AtomicU64,
    deleted: AtomicU64,
    injected: Mutex<BTreeMap<&'static str, u64>>,
}

impl Proxy {
    /// Forwards to the store at this URL, without faults at first.
    pub async fn start(store: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            http: quiver::storage::http_client().no_proxy().build().unwrap(),
            store,
            rate: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            injected: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        Self { shared, port }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on so many of a thousand requests meet a fault.
    pub fn misbehave(&self, per_thousand: u64) {
        self.shared.rate.store(per_thousand, Ordering::Relaxed);
    }

    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Segments that folds and merges sent, also in vain.
    pub fn segments(&self) -> u64 {
        self.shared.segments.load(Ordering::Relaxed)
    }

    /// Objects that the store was asked to delete.
    pub fn deleted(&self) -> u64 {
        self.shared.deleted.load(Ordering::Relaxed)
    }

    /// Faults by kind.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.shared.injected.lock().unwrap().clone()
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request| {
            // A task of its own goes on when the connection is gone.
            let answer = tokio::spawn(Arc::clone(&self).answer(request));
            async move { answer.await.map_err(io::Error::other)? }
        });
        // An error is what was asked for, or the node that went away.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// The reply; an error ends the connection without one.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.collect().await.map_err(io::Error::other)?.to_bytes());
        self.count(&request);
        match self.draw() {
            None => self.forward(request).await.map(whole),
            Some(Fault::ResetBefore) => Err(reset()),
            Some(Fault::ResetAfter) => self.forward(request).await.and(Err(reset())),
            Some(Fault::CutReply) => self.forward(request).await.map(cut),
            Some(Fault::SlowDown) => Ok(s3_error(503, "SlowDown")),
            Some(Fault::ErrorAfter) => self.forward(request).await.map(|_| s3_error(500, "InternalError")),
            Some(Fault::SlowRequest(time)) => {
                tokio::time::sleep(time).await;
                self.forward(request).await.map(whole)
            }
            Some(Fault::SlowReply(time)) => {
                let reply = self.forward(request).await;
                tokio::time::sleep(time).await;
                reply.map(whole)
            }
            Some(Fault::LandLater(time)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    // Nobody waits for the reply.
                    let _ = self.forward(request).await;
                });
                Err(reset())
            }
        }
    }

    fn count(&self, request: &Request<Bytes>) {
        let (method, uri) = (request.method(), request.uri());
        self.requests.fetch_add(1, Ordering::Relaxed);
        if method == Method::PUT && uri.path().ends_with("/data.arrow") {
            self.segments.fetch_add(1, Ordering::Relaxed);
        }
        if method == Method::DELETE {
            self.deleted.fetch_add(1, Ordering::Relaxed);
        }
        if method == Method::POST && uri.query().is_some_and(|query| query.starts_with("delete")) {
            let objects = String::from_utf8_lossy(request.body()).matches("<Key>").count();
            self.deleted.fetch_add(objects as u64, Ordering::Relaxed);
        }
    }

    fn draw(&self) -> Option<Fault> {
        if rand::random_range(0..1000) >= self.rate.load(Ordering::Relaxed) {
            return None;
        }
        let fault = Fault::draw();
        *self.injected.lock().unwrap().entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    async fn forward(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let url = format!("{}{}", self.store, head.uri);
        // The node's Host is part of what it signed.
        let request = self.http.request(head.method, url).headers(head.headers).body(body);
        let mut reply = request.send().await.map_err(io::Error::other)?;
        let (status, headers) = (reply.status(), std::mem::take(reply.headers_mut()));
        let mut forwarded = Response::new(reply.bytes().await.map_err(io::Error::other)?);
        *forwarded.status_mut() = status;
        *forwarded.headers_mut() = headers;
        for of_a_connection in [header::CONNECTION, header::TRANSFER_ENCODING] {
            forwarded.headers_mut().remove(of_a_connection);
        }
        Ok(forwarded)
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn whole(reply: Response<Bytes>) -> Response<Body> {
    reply.map(Body::from)
}

/// The first half of a body, under a header that promises all of it.
fn cut(reply: Response<Bytes>) -> Response<Body> {
    let (mut head, body) = reply.into_parts();
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let half = body.slice(..body.len() / 2);
    Response::from_parts(head, Body::from_stream(stream::iter([Ok(half), Err(reset())])))
}

fn s3_error(status: u16, code: &str) -> Response<Body> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code></Error>");
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
