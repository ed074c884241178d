//! A proxy before an object store that can answer in its place, and counts what it is asked.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a store that is asked too much says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 429, as many gateways do.
    TooManyRequests,
    /// 503 with S3's code.
    SlowDown,
    /// 503 from something before the store: for a write it says nothing.
    Overloaded,
}

/// How the proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Open,
    /// Answers everything itself.
    Storm(Refusal),
    /// Answers two of three requests itself.
    Gusts(Refusal),
    /// Passes requests on, and drops the answers to PUTs: their effect is there.
    LoseAnswers,
}

/// A running proxy; it ends with the runtime.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: String,
    mode: Mutex<Mode>,
    requests: AtomicU64,
}

impl Proxy {
    /// Before the store at `http://HOST:PORT`.
    pub async fn start(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let store = endpoint.strip_prefix("http://").expect("plain HTTP").to_owned();
        let state = Arc::new(State { store, mode: Mutex::new(Mode::Open), requests: AtomicU64::new(0) });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    // The client hangs up in its own time.
                    let _ = state.serve(client).await;
                });
            }
        });
        Self { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl State {
    /// One request a connection, which keeps this simple.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Some(request) = read_request(&mut client).await? else { return Ok(()) };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Storm(refusal) => return client.write_all(answer(refusal).as_bytes()).await,
            Mode::Gusts(refusal) if !number.is_multiple_of(3) => {
                return client.write_all(answer(refusal).as_bytes()).await;
            }
            _ => {}
        }
        let mut store = TcpStream::connect(&self.store).await?;
        store.write_all(&request).await?;
        let mut answered = Vec::new();
        store.read_to_end(&mut answered).await?;
        if mode == Mode::LoseAnswers && request.starts_with(b"PUT") {
            return Ok(());
        }
        client.write_all(&answered).await
    }
}

/// The whole request, which asks for the connection to be closed after the answer.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut received = Vec::new();
    let end = loop {
        if client.read_buf(&mut received).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let header = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let length = header.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    while received.len() < end + length {
        if client.read_buf(&mut received).await? == 0 {
            return Ok(None);
        }
    }
    received.splice(end - 2..end - 2, *b"connection: close\r\n");
    Ok(Some(received))
}

fn answer(refusal: Refusal) -> String {
    let xml = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let (status, body) = match refusal {
        Refusal::TooManyRequests => ("429 Too Many Requests", ""),
        Refusal::SlowDown => ("503 Slow Down", xml),
        Refusal::Overloaded => ("503 Service Unavailable", "<html>upstream is busy</html>"),
    };
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}
