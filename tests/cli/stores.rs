//! The same commands on other object stores, configured by file.

use serde_json::json;

use crate::{
    files::{self, Float, vector},
    shared::program::Workdir,
    shared::servers::{Azurite, FakeGcs, Seaweed},
};

const ROWS: usize = 500;

/// Import, query, export, import again, verify.
fn round_trip(storage_toml: &str) {
    let workdir = Workdir::new();
    workdir.write("quiver.toml", storage_toml);
    workdir.write("v.npy", files::npy(ROWS, Float::F2));
    workdir.run(&["import", "n", "v.npy", "--batch-rows", "50", "--distance", "euclidean"]).ok();
    workdir.run(&["export", "n", "-o", "n.arrow"]).ok();
    workdir.run(&["import", "copy", "n.arrow"]).ok();
    assert_eq!(workdir.rows("copy"), workdir.rows("n"));
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("copy: whole") && report.contains("n: whole"), "{report}");
    let server = workdir.serve(&[]);
    let found = server.post("/v1/namespaces/n/query", &json!({"vector": vector(321), "top_k": 1}));
    assert_eq!(found["results"][0]["id"], "321", "{found}");
    assert!(!workdir.path("data").exists(), "nothing is kept on this machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3() {
    let store = Seaweed::start().await;
    round_trip(&store.storage_toml("cli"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_azure() {
    let store = Azurite::start().await;
    round_trip(&store.storage_toml("cli"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_is_refused() {
    let store = FakeGcs::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", store.storage_toml("cli"));
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["import", "n", "v.npy"]] {
        workdir.run(command).fails(1, &["breaks the rule", "refusing to start", "hint: "]);
    }
}
