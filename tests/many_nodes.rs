//! Three nodes behind a real balancer on one bucket, with the configuration files that
//! `docker/compose.yml` mounts: nodes are killed, come back, and are restarted one after another
//! under load; no request of a client that repeats what may be repeated fails, and every
//! acknowledged row is read from every node.

#[path = "many_nodes/client.rs"]
mod client;
#[path = "many_nodes/load.rs"]
mod load;
#[path = "support/mod.rs"]
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use load::{Happened, Load, NAMESPACES, namespace};
use serde_json::{Value, json};
use shared::{
    balancer::Balancer,
    node::Node,
    process::temporary_dir,
    program::{BOUND, names},
    servers::{BUCKET, Seaweed},
};
use tokio::task::block_in_place;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/quiver.toml");

/// The settings of `docker/quiver.toml`, except for addresses and folders, and with folds.
fn settings(store: &Seaweed, cache: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("QUIVER_CONFIG", CONFIG.into()),
        ("QUIVER_STORAGE__BACKEND__BUCKET", BUCKET.into()),
        ("QUIVER_STORAGE__BACKEND__ENDPOINT", store.endpoint()),
        ("QUIVER_STORAGE__BACKEND__ACCESS_KEY_ID", Seaweed::ACCESS_KEY.into()),
        ("QUIVER_STORAGE__BACKEND__SECRET_ACCESS_KEY", Seaweed::SECRET_KEY.into()),
        ("QUIVER_CACHE__DISK_PATH", cache.display().to_string()),
        ("QUIVER_COMPACTION__FOLD_ENTRIES", "40".into()),
        ("QUIVER_SERVER__DRAIN_DELAY", "3s".into()),
    ]
}

/// The node of each namespace while all of them are healthy.
async fn homes(load: &Load) -> BTreeMap<String, String> {
    load.happened();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calm = load.happened();
    assert!(calm.failures.is_empty(), "{:?}", calm.failures);
    assert_eq!(calm.seen.len(), NAMESPACES);
    let only = |(namespace, nodes): (String, BTreeSet<String>)| {
        assert_eq!(nodes.len(), 1, "the requests of {namespace} went to several nodes: {nodes:?}");
        nodes.into_iter().map(move |node| (namespace.clone(), node))
    };
    calm.seen.into_iter().flat_map(only).collect()
}

/// Waits until the balancer sends this node's namespaces to it.
async fn at_home(load: &Load, homes: &BTreeMap<String, String>, node: &str) {
    let (namespace, _) = homes.iter().find(|(_, home)| *home == node).expect("each node has a namespace");
    load.answered_by(namespace, node).await;
}

fn report(what: &str, happened: &Happened, least: u64) {
    let Happened { acknowledged, direct_reads, retried, failures, .. } = happened;
    println!(
        "{what}: {acknowledged} writes acknowledged, {direct_reads} read from a given node, {retried} requests repeated"
    );
    assert!(failures.is_empty(), "{what}: {failures:?}");
    assert!(*acknowledged >= least, "{what}: hardly any load");
}

/// By id, the versions of a namespace's rows, as this server has them.
async fn rows(client: &reqwest::Client, base: &str, namespace: &str) -> BTreeMap<String, u64> {
    let url = format!("{base}/v1/namespaces/{namespace}/export");
    let answer = client.post(url).json(&json!({ "limit": 10_000 })).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let rows = body["vectors"].as_array().unwrap_or_else(|| panic!("{body}"));
    rows.iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["metadata"]["version"].as_u64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_under_load_and_no_request_fails() {
    let (store, cache) = (Seaweed::start().await, temporary_dir());
    let mut nodes: [Node; 3] = std::array::from_fn(|_| Node::new(settings(&store, cache.path())));
    nodes.iter_mut().for_each(Node::start);
    let balancer = Balancer::start(nodes.each_ref().map(Node::address));
    let addresses = nodes.each_ref().map(|node| node.address().to_owned());
    let mut load = Load::start(balancer.url(), addresses);

    let homes = homes(&load).await;
    let names_of = ["node-1", "node-2", "node-3"];
    for name in names_of {
        assert!(homes.values().any(|home| home == name), "{name} has no namespace: {homes:?}");
    }

    for (node, name) in nodes.iter_mut().zip(names_of) {
        node.kill();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        block_in_place(|| node.start());
        at_home(&load, &homes, name).await;
    }
    report("kill -9", &load.happened(), 20);

    for (node, name) in nodes.iter_mut().zip(names_of) {
        node.server().signal("TERM");
        let code = block_in_place(|| node.server().exit_code());
        assert_eq!(code, 0, "{}", node.server().output());
        block_in_place(|| node.start());
        at_home(&load, &homes, name).await;
    }
    report("rolling restart", &load.happened(), 20);

    let acknowledged = load.stop().await;
    report("the end", &load.happened(), 0);
    let client = quiver::storage::http_client().no_proxy().timeout(BOUND).build().unwrap();
    let everywhere = nodes.iter().map(|node| node.url("")).chain([balancer.url()]);
    for base in everywhere {
        for number in 0..NAMESPACES {
            let found = rows(&client, &base, &namespace(number)).await;
            assert_eq!(found, acknowledged[&namespace(number)], "{base}: {}", namespace(number));
        }
    }
    for node in &nodes {
        let left = names(&node.workdir().path("."));
        let foreign: Vec<_> = left.iter().filter(|name| !name.starts_with("serve-")).collect();
        assert!(foreign.is_empty(), "a node writes to its working directory: {foreign:?}");
    }
}
