//! Two servers on one folder or bucket write to one namespace at the same time.

#[path = "support/mod.rs"]
mod shared;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use quiver::{
    clock::SystemClock,
    config::{Config, StorageConfig},
    engine::{Consistency, Engine},
    storage::{Operation, Store},
    types::{NamespaceName, Rows, VectorId},
};
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use shared::servers::Seaweed;

const NAMESPACE: &str = "/v1/namespaces/both";
const WRITERS: usize = 3;
const WRITES: usize = 12;

/// Writes rows through one server and, after each acknowledgement, reads it from the other.
async fn write_and_see(writer: &Server, reader: &Server, label: &str) -> BTreeSet<String> {
    let client = quiver::storage::http_client().build().unwrap();
    let mut written = BTreeSet::new();
    for write in 0..WRITES {
        let ids = [format!("{label}-{write}-a"), format!("{label}-{write}-b")];
        let rows: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "values": [1.0, 2.0] })).collect();
        let url = writer.url(&format!("{NAMESPACE}/vectors"));
        let answer = client.post(url).json(&json!({ "vectors": rows })).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let url = reader.url(&format!("{NAMESPACE}/fetch"));
        let answer = client.post(url).json(&json!({ "ids": ids })).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["vectors"].as_array().map(Vec::len), Some(2), "not seen at once: {answer}");
        written.extend(ids);
    }
    written
}

async fn interleave(workdir: &Workdir) {
    let servers = [workdir.serve(&[]), workdir.serve(&[])];
    let mut tasks = Vec::new();
    for index in 0..2 {
        for writer in 0..WRITERS {
            let (own, other) = (&servers[index], &servers[1 - index]);
            tasks.push(async move { write_and_see(own, other, &format!("s{index}w{writer}")).await });
        }
    }
    let written: BTreeSet<String> = futures::future::join_all(tasks).await.into_iter().flatten().collect();
    assert_eq!(written.len(), 2 * WRITERS * WRITES * 2);
    for server in &servers {
        let (_, page) = server.curl(&format!("{NAMESPACE}/vectors?limit=1000"), &[]);
        let ids: BTreeSet<String> = page["vectors"]
            .as_array()
            .unwrap_or_else(|| panic!("no page: {page}"))
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids, written);
        let (_, info) = server.curl(NAMESPACE, &[]);
        assert_eq!(info["vector_count"], written.len(), "{info}");
    }
    // Gapless and chained, as the walk over every entry says.
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("both: whole"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_folder() {
    interleave(&Workdir::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_bucket() {
    let store = Seaweed::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", store.storage_toml("both"));
    interleave(&workdir).await;
    one_request_a_commit(&store.storage_config("steady")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_one_request_on_files() {
    let folder = shared::process::temporary_dir();
    one_request_a_commit(&files(folder.path())).await;
}

fn files(root: &Path) -> StorageConfig {
    StorageConfig {
        backend: quiver::config::BackendConfig::Fs { root: root.to_owned() },
        ..StorageConfig::default()
    }
}

/// In the steady state a commit is one put-if-absent and a strong read one GET, and nothing else.
async fn one_request_a_commit(storage: &StorageConfig) {
    let config = Config { storage: storage.clone(), ..Config::default() };
    let store = Store::open(storage, Arc::default()).unwrap();
    let engine = Engine::new(store.clone(), SystemClock::shared(), &config, Arc::default()).unwrap();
    let name = NamespaceName::parse("steady", "name").unwrap();
    let row = |id: usize| Rows {
        dimension: 2,
        without_vector: Vec::new(),
        ids: vec![VectorId::trusted(&id.to_string())],
        vectors: vec![id as f32, 1.0],
        metadata: vec![None],
        ttl: vec![None],
    };
    engine.upsert(&name, row(0)).await.unwrap();
    let requests = || Operation::ALL.map(|operation| store.requests(operation));
    let total = |requests: [u64; Operation::ALL.len()]| requests.iter().sum::<u64>();
    let (all, puts) = (total(requests()), store.requests(Operation::PutIfAbsent));
    for id in 1..=20 {
        engine.upsert(&name, row(id)).await.unwrap();
    }
    assert_eq!(store.requests(Operation::PutIfAbsent) - puts, 20);
    assert_eq!(
        total(requests()) - all,
        20,
        "{:?}",
        Operation::ALL.iter().zip(requests()).collect::<Vec<_>>()
    );
    for _ in 0..20 {
        assert_eq!(engine.count(&name, Consistency::Strong).await.unwrap(), 21);
    }
    assert_eq!(total(requests()) - all, 40);
}
