//! What is concluded from what happens on the wire. A scripted server answers an S3 client.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quiver::{
    config::{BackendConfig, StorageConfig},
    storage::{Store, StoreErrorKind},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::bed::{Bed, Keys};

/// What the server does with each request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Reads it all, then hangs up.
    HangUp,
    /// Reads it all, then says nothing.
    Silence,
    /// Reads the header only, then hangs up.
    HangUpEarly,
    /// A status and an error code in S3's XML.
    Status(u16, &'static str),
    /// Promises more bytes than it sends.
    Truncated,
    /// 200 without an ETag.
    NoVersion,
}

async fn serve(answer: Answer) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                // The client hangs up in its own time.
                let _ = reply(stream, answer, &counter).await;
            });
        }
    });
    (address, requests)
}

async fn reply(mut stream: TcpStream, answer: Answer, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut received = Vec::new();
    let end = loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    requests.fetch_add(1, Ordering::Relaxed);
    if let Answer::HangUpEarly = answer {
        return Ok(());
    }
    let header = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let length = header.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    while received.len() < end + length {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
    let text = match answer {
        Answer::HangUp | Answer::HangUpEarly => return Ok(()),
        Answer::Silence => std::future::pending().await,
        Answer::Truncated => "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 100\r\n\r\nshort".to_owned(),
        Answer::NoVersion => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        Answer::Status(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        }
    };
    stream.write_all(text.as_bytes()).await
}

fn store(address: SocketAddr) -> Store {
    let backend = BackendConfig::S3 {
        bucket: "test".into(),
        root: String::new(),
        endpoint: Some(format!("http://{address}")),
        region: None,
        access_key_id: Some("AKIDSECRET".to_owned().into()),
        secret_access_key: Some("VERYSECRET".to_owned().into()),
        session_token: Some("TOKENSECRET".to_owned().into()),
    };
    let bed = Bed::new(backend, 0);
    let config = StorageConfig { timeout: Some(Duration::from_millis(700)), ..bed.config };
    Store::open(&config, Arc::default()).expect("a valid configuration")
}

#[tokio::test]
async fn a_write_is_unknown_unless_the_answer_decides_it() {
    use StoreErrorKind::{Conflict, Refused, Unavailable, Unknown};
    let cases = [
        (Answer::HangUp, Unknown),
        (Answer::HangUpEarly, Unknown),
        (Answer::Silence, Unknown),
        (Answer::NoVersion, Unknown),
        (Answer::Status(500, "InternalError"), Unknown),
        (Answer::Status(502, ""), Unknown),
        (Answer::Status(503, "ServiceUnavailable"), Unknown),
        (Answer::Status(503, "SlowDown"), Unavailable),
        (Answer::Status(429, "TooManyRequests"), Unavailable),
        (Answer::Status(400, "RequestTimeout"), Unavailable),
        (Answer::Status(409, "ConditionalRequestConflict"), Unavailable),
        (Answer::Status(403, "AccessDenied"), Refused),
        (Answer::Status(400, "EntityTooLarge"), Refused),
        (Answer::Status(404, "NoSuchBucket"), Refused),
        (Answer::Status(501, "NotImplemented"), Refused),
        (Answer::Status(412, "PreconditionFailed"), Conflict),
    ];
    for (answer, kind) in cases {
        let (address, requests) = serve(answer).await;
        let store = store(address);
        let key = Keys::new().key("log");
        let error = store.put_if_absent(&key, vec![7; 300_000].into()).await.expect_err("never a success");
        assert_eq!(error.kind, kind, "{answer:?}: {error}");
        assert_eq!(requests.load(Ordering::Relaxed), 1, "{answer:?}: a conditional write is sent once");
        no_secrets(&error.to_string());
    }
}

#[tokio::test]
async fn a_read_is_repeated_when_its_failure_may_pass() {
    use StoreErrorKind::{NotFound, Refused, Unavailable};
    let cases = [
        (Answer::HangUp, Unavailable, 3),
        (Answer::Silence, Unavailable, 3),
        (Answer::Truncated, Unavailable, 3),
        (Answer::Status(500, "InternalError"), Unavailable, 3),
        (Answer::Status(503, "SlowDown"), Unavailable, 3),
        (Answer::Status(429, ""), Unavailable, 3),
        (Answer::Status(403, "AccessDenied"), Refused, 1),
        (Answer::Status(404, "NoSuchKey"), NotFound, 1),
        (Answer::Status(404, "NoSuchBucket"), Refused, 1),
    ];
    for (answer, kind, tries) in cases {
        let (address, requests) = serve(answer).await;
        let store = store(address);
        let error = store.get(&Keys::new().key("log")).await.expect_err("never a success");
        assert_eq!(error.kind, kind, "{answer:?}: {error}");
        assert_eq!(requests.load(Ordering::Relaxed), tries, "{answer:?}");
        no_secrets(&error.to_string());
    }
}

#[tokio::test]
async fn an_unreachable_store_did_nothing() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let store = store(address);
    let key = Keys::new().key("log");
    let error = store.put_if_absent(&key, "x".into()).await.expect_err("nobody listens");
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    let error = store.get(&key).await.expect_err("nobody listens");
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    let error = store.check().await.expect_err("nobody listens");
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    no_secrets(&error.to_string());
}

#[tokio::test]
async fn a_signature_in_a_url_stays_out_of_errors() {
    for answer in [Answer::HangUp, Answer::Status(403, "AuthenticationFailed"), Answer::Status(500, "x")] {
        let (address, _) = serve(answer).await;
        let backend = BackendConfig::Azblob {
            container: "c".into(),
            root: String::new(),
            endpoint: format!("http://{address}/account"),
            account_name: Some("account".into()),
            account_key: None,
            sas_token: Some("sv=2021&sig=VERYSECRET%3D".to_owned().into()),
        };
        let store = Bed::new(backend, 0).store();
        let key = Keys::new().key("log");
        no_secrets(&store.get(&key).await.expect_err("never a success").to_string());
        no_secrets(&store.put_if_absent(&key, "x".into()).await.expect_err("never a success").to_string());
        no_secrets(&format!("{store:?} {}", store.location()));
    }
}

fn no_secrets(text: &str) {
    assert!(!text.contains("SECRET"), "{text}");
}
