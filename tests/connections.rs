//! The connections under the routes: what slow, silent and greedy clients get, and how serving ends.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, extract::ConnectInfo, routing::get};
use quiver::{
    api::server::{Ended, serve},
    config::ServerConfig,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);
/// Nothing in here takes longer than this, unless it is broken.
const BOUND: Duration = Duration::from_secs(10);

/// All limits long: each test shortens the one it is about.
fn patient() -> ServerConfig {
    ServerConfig {
        header_read_timeout: LONG,
        keep_alive_timeout: LONG,
        write_timeout: LONG,
        shutdown_grace: LONG,
        ..ServerConfig::default()
    }
}

struct Server {
    address: SocketAddr,
    drain: Arc<Notify>,
    abort: Arc<Notify>,
    ended: JoinHandle<Ended>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let router = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
            .route("/slow", get(|| async { tokio::time::sleep(SHORT * 3).await }))
            .route("/stuck", get(|| async { std::future::pending::<()>().await }))
            .route("/big", get(|| async { vec![7_u8; 64 << 20] }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, abort) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (on_drain, on_abort) = (Arc::clone(&drain), Arc::clone(&abort));
        let ended = tokio::spawn(async move {
            serve(listener, router, &config, async { on_drain.notified().await }, on_abort.notified()).await
        });
        Self { address, drain, abort, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ended(self) -> Ended {
        timeout(BOUND, self.ended).await.expect("serving did not end").unwrap()
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn request(stream: &mut TcpStream, path: &str) {
    send(stream, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
}

/// One response to a small GET, on a connection that stays open.
async fn response(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 64 * 1024];
    let read = timeout(BOUND, stream.read(&mut buffer)).await.expect("no answer").unwrap();
    String::from_utf8(buffer[..read].to_vec()).unwrap()
}

/// How long until the server closes the connection.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 1024];
    loop {
        match timeout(BOUND, stream.read(&mut buffer)).await.expect("still open") {
            Ok(0) => return start.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return start.elapsed(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_come_ends_the_connection() {
    let server = Server::start(ServerConfig { header_read_timeout: SHORT, ..patient() }).await;
    for start in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nHost: te"] {
        let mut stream = server.connect().await;
        send(&mut stream, start).await;
        let after = closed_after(&mut stream).await;
        assert!(after >= SHORT * 9 / 10, "{start:?} closed after {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_header_gets_no_extension() {
    let server = Server::start(ServerConfig { header_read_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    let start = Instant::now();
    for byte in "GET / HTTP/1.1\r\nHost: a-rather-long-name.example\r\n".bytes().cycle() {
        tokio::time::sleep(SHORT / 10).await;
        if stream.write_all(&[byte]).await.is_err() || start.elapsed() > BOUND {
            break;
        }
    }
    assert!(start.elapsed() < SHORT * 4, "open for {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_header_is_bounded_as_the_first() {
    let server = Server::start(ServerConfig { header_read_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    request(&mut stream, "/").await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(SHORT * 2).await;
    send(&mut stream, "GET / HT").await;
    let after = closed_after(&mut stream).await;
    assert!(after >= SHORT * 9 / 10, "closed after {after:?}: idle time counted as header time");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_kept_and_then_closed() {
    let config = ServerConfig { header_read_timeout: SHORT, keep_alive_timeout: SHORT * 4, ..patient() };
    let server = Server::start(config).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        request(&mut stream, "/").await;
        let peer = stream.local_addr().unwrap().to_string();
        assert!(response(&mut stream).await.ends_with(&peer), "handlers learn the peer's address");
        tokio::time::sleep(SHORT * 2).await;
    }
    request(&mut stream, "/").await;
    response(&mut stream).await;
    let after = closed_after(&mut stream).await;
    assert!((SHORT * 3..SHORT * 8).contains(&after), "closed after {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_when_idle_after_a_request_that_took_its_time() {
    let server = Server::start(ServerConfig { keep_alive_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        request(&mut stream, "/slow").await;
        assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    let after = closed_after(&mut stream).await;
    assert!((SHORT * 8 / 10..SHORT * 4).contains(&after), "closed after {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_request_passes_no_connection_limit() {
    let config = ServerConfig { header_read_timeout: SHORT, keep_alive_timeout: SHORT, ..patient() };
    let server = Server::start(config).await;
    let mut stream = server.connect().await;
    request(&mut stream, "/slow").await;
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = Server::start(ServerConfig { write_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    request(&mut stream, "/big").await;
    tokio::time::sleep(SHORT * 4).await;
    let mut received = Vec::new();
    let end = timeout(BOUND, stream.read_to_end(&mut received)).await.expect("still open");
    assert!(end.is_err() || received.len() < 64 << 20, "the whole response arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait() {
    let server = Server::start(ServerConfig { max_connections: 1, ..patient() }).await;
    let mut first = server.connect().await;
    request(&mut first, "/").await;
    response(&mut first).await;
    let mut second = server.connect().await;
    request(&mut second, "/").await;
    assert!(timeout(SHORT, second.read(&mut [0; 16])).await.is_err(), "served beyond the limit");
    drop(first);
    assert!(response(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_without_negotiation() {
    let server = Server::start(patient()).await;
    let mut stream = server.connect().await;
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&empty_settings).await.unwrap();
    let mut frame = [0; 9];
    timeout(BOUND, stream.read_exact(&mut frame)).await.expect("no answer").unwrap();
    assert_eq!(frame[3], 4, "the server's first frame is SETTINGS");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_ends() {
    let config = ServerConfig { header_read_timeout: SHORT, keep_alive_timeout: SHORT * 3, ..patient() };
    let server = Server::start(config).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let after = closed_after(&mut stream).await;
    assert!((SHORT * 2..SHORT * 8).contains(&after), "closed after {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_header_is_refused() {
    let server = Server::start(patient()).await;
    let mut stream = server.connect().await;
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = [0; 12];
    if timeout(BOUND, stream.read_exact(&mut answer)).await.expect("no answer").is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    let mut fresh = server.connect().await;
    request(&mut fresh, "/").await;
    assert!(response(&mut fresh).await.starts_with("HTTP/1.1 200"), "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_what_was_begun_and_takes_nothing_new() {
    let server = Server::start(patient()).await;
    let (mut idle, mut silent, mut busy) =
        (server.connect().await, server.connect().await, server.connect().await);
    request(&mut idle, "/").await;
    response(&mut idle).await;
    request(&mut busy, "/slow").await;
    tokio::time::sleep(SHORT).await;
    server.drain.notify_one();
    closed_after(&mut idle).await;
    closed_after(&mut silent).await;
    let refused = TcpStream::connect(server.address).await;
    assert!(refused.is_err(), "a new connection was accepted");
    let answer = response(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    closed_after(&mut busy).await;
    assert_eq!(server.ended().await, Ended::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_bounds_draining() {
    let server = Server::start(ServerConfig { shutdown_grace: SHORT, ..patient() }).await;
    let mut stuck = server.connect().await;
    request(&mut stuck, "/stuck").await;
    tokio::time::sleep(SHORT).await;
    server.drain.notify_one();
    let after = closed_after(&mut stuck).await;
    assert!(after >= SHORT * 9 / 10, "cut after {after:?}");
    assert_eq!(server.ended().await, Ended::Cut { connections: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn aborting_ends_at_once() {
    let server = Server::start(patient()).await;
    let mut stuck = server.connect().await;
    request(&mut stuck, "/stuck").await;
    tokio::time::sleep(SHORT).await;
    server.drain.notify_one();
    server.abort.notify_one();
    closed_after(&mut stuck).await;
    assert_eq!(server.ended().await, Ended::Cut { connections: 1 });
}
