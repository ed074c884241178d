//! Every server that other tests rely on starts, takes an object and gives it back.

mod support;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quiver::{
    config::StorageConfig,
    storage::{Store, StoreErrorKind, keys},
    telemetry::Metrics,
};
use support::servers::{Azurite, FakeGcs, Gcs, Seaweed};
use uuid::Uuid;

#[tokio::test]
async fn seaweed() {
    let (one, other) = tokio::join!(Seaweed::start(), Seaweed::start());
    put_and_get(&one.storage_config("some/prefix"), &other.storage_config("some/prefix")).await;
}

#[tokio::test]
async fn azurite() {
    let (one, other) = tokio::join!(Azurite::start(), Azurite::start());
    put_and_get(&one.storage_config("some/prefix"), &other.storage_config("some/prefix")).await;
}

#[tokio::test]
async fn gcs() {
    let (one, other) = tokio::join!(Gcs::start(), Gcs::start());
    put_and_get(&one.storage_config("some/prefix"), &other.storage_config("some/prefix")).await;
}

#[tokio::test]
async fn fake_gcs() {
    let (one, other) = tokio::join!(FakeGcs::start(), FakeGcs::start());
    put_and_get(&one.storage_config("some/prefix"), &other.storage_config("some/prefix")).await;
}

/// The condition is checked again when an upload ends, and a long one comes in chunks.
#[tokio::test]
async fn gcs_checks_conditions_at_both_ends_of_an_upload() {
    let server = Gcs::start().await;
    let client = quiver::storage::http_client().no_proxy().build().expect("a client");
    let begin = async |name: &str| {
        let url = format!("{}/upload/storage/v1/b/test/o?uploadType=resumable", server.endpoint());
        let begun =
            client.post(format!("{url}&name={name}&ifGenerationMatch=0")).send().await.expect("an answer");
        let session = begun.headers().get("location").map(|value| value.to_str().expect("ASCII").to_owned());
        (begun.status().as_u16(), session)
    };
    let end = async |session: &str| {
        let put = client.put(session).header("content-range", "bytes 0-2/3").body("abc");
        put.send().await.expect("an answer").status().as_u16()
    };
    let (one, other) = (begin("key").await, begin("key").await);
    assert_eq!((one.0, other.0), (200, 200), "nothing is there yet");
    assert_eq!(end(&other.1.expect("a session")).await, 200, "the first to end wins");
    assert_eq!(end(&one.1.expect("a session")).await, 412, "the other comes too late");
    assert_eq!(begin("key").await, (412, None), "a third is refused at the begin");

    let config = server.storage_config("");
    let store = Store::open(&config, Arc::new(Metrics::default())).expect("a valid configuration");
    let (key, long) = (keys::probe(Uuid::new_v4(), "long"), vec![7; (20 << 20) + 1]);
    store.put_if_absent(&key, long.clone().into()).await.expect("a long object is stored");
    let again = store.put_if_absent(&key, "short".into()).await.expect_err("it is there");
    assert_eq!(again.kind, StoreErrorKind::Conflict);
    assert_eq!(store.get(&key).await.expect("it is there").bytes, long);
}

/// A test process that is killed leaves no server behind.
#[cfg(target_os = "linux")]
#[test]
fn servers_end_with_a_killed_test() {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "hold_a_server", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    let mut test = command.spawn().expect("this program starts");
    let lines = BufReader::new(test.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let server = lines.filter_map(|line| Some(line.split_once("server: ")?.1.to_owned())).next();
    test.kill().expect("it still runs");
    test.wait().expect("it ends");
    let server = format!("/proc/{}", server.expect("a server started"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while Path::new(&server).exists() {
        assert!(Instant::now() < deadline, "{server} still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Not a test: what `servers_end_with_a_killed_test` kills.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn hold_a_server() {
    let server = FakeGcs::start().await;
    println!("server: {}", server.process_id());
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Two instances of a server work and are apart.
async fn put_and_get(one: &StorageConfig, other: &StorageConfig) {
    let one = Store::open(one, Arc::new(Metrics::default())).expect("a valid configuration");
    let other = Store::open(other, Arc::new(Metrics::default())).expect("a valid configuration");
    let key = keys::probe(Uuid::new_v4(), "object");
    one.put(&key, "content".into()).await.expect("an object is stored");
    assert_eq!(one.get(&key).await.expect("it is there").bytes, "content");
    assert!(other.get(&key).await.is_err(), "the other instance has an object it never got");
}
