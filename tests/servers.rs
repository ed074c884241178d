//! Every server that other tests rely on starts, takes an object and gives it back.

mod support;

use std::sync::Arc;

use quiver::{
    config::StorageConfig,
    storage::{Store, keys},
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

/// Two instances of a server work and are apart.
async fn put_and_get(one: &StorageConfig, other: &StorageConfig) {
    let one = Store::open(one, Arc::new(Metrics::default())).expect("a valid configuration");
    let other = Store::open(other, Arc::new(Metrics::default())).expect("a valid configuration");
    let key = keys::probe(Uuid::new_v4(), "object");
    one.put(&key, "content".into()).await.expect("an object is stored");
    assert_eq!(one.get(&key).await.expect("it is there").bytes, "content");
    assert!(other.get(&key).await.is_err(), "the other instance has an object it never got");
}
