//! Damaged objects and a store that takes no more: a clear error that names the object or the
//! reason, other namespaces unharmed, and everything well again once the cause is gone.

#[path = "support/mod.rs"]
mod shared;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use quiver::{
    clock::SystemClock,
    config::{BackendConfig, Config},
    engine::{
        Consistency, Engine, Projection,
        format::{Header, decode, encode},
    },
    error::Error,
    storage::Store,
    types::{NamespaceName, Rows, VectorId},
};
use serde_json::json;
use shared::process::temporary_dir;
use shared::program::Workdir;

const COLUMNS: Projection = Projection { vectors: true, metadata: true };

fn engine(root: &Path) -> Engine {
    let mut config = Config::default();
    config.storage.backend = BackendConfig::Fs { root: root.to_owned() };
    let store = Store::open(&config.storage, Arc::default()).unwrap();
    Engine::new(store, SystemClock::shared(), &config, Arc::default()).unwrap()
}

fn name(name: &str) -> NamespaceName {
    NamespaceName::parse(name, "name").unwrap()
}

fn one_row(id: &str, value: f32) -> Rows {
    Rows {
        dimension: 3,
        without_vector: Vec::new(),
        ids: vec![VectorId::trusted(id)],
        vectors: vec![value, 0.5, -1.0],
        metadata: vec![Some(r#"{"a":1}"#.into())],
        ttl: vec![None],
    }
}

/// Every file below a directory, but the catalog's markers: their content means nothing.
fn objects(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(objects(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The object cut off at 16 points, and with a bit flipped at 16.
fn damages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let points = || (0..16).map(|step| step * (bytes.len() - 1) / 15);
    let cut = points().map(|end| bytes[..end].to_vec());
    let flipped = points().map(|at| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    cut.chain(flipped).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_makes_the_namespace_read_only_and_heals() {
    let root = temporary_dir();
    let writer = engine(root.path());
    for entry in 0..4u8 {
        let row = one_row(&format!("row-{entry}"), f32::from(entry));
        writer.upsert(&name("hurt"), row.clone()).await.unwrap();
        writer.upsert(&name("well"), row).await.unwrap();
    }
    let whole = writer.page(&name("hurt"), None, 100, COLUMNS).await.unwrap();
    let mut cases = 0;
    for path in objects(&root.path().join("namespaces/hurt")) {
        let intact = std::fs::read(&path).unwrap();
        let key = path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned();
        for damaged in damages(&intact) {
            std::fs::write(&path, damaged).unwrap();
            cases += 1;
            one_damage(root.path(), &key, &whole.rows).await;
        }
        std::fs::write(&path, intact).unwrap();
    }
    assert_eq!(cases, 5 * 32, "four entries and the manifest");
    assert_eq!(writer.page(&name("hurt"), None, 100, COLUMNS).await.unwrap(), whole);
    writer.upsert(&name("hurt"), one_row("later", 9.0)).await.unwrap();
    assert!(writer.verify(&name("hurt"), |_| {}).await.unwrap().problems.is_empty());
}

/// A fresh node meets the damage.
async fn one_damage(root: &Path, key: &str, whole: &[quiver::types::Row]) {
    let node = engine(root);
    match node.page(&name("hurt"), None, 100, COLUMNS).await {
        // White space or the case of a digit in a manifest's checksum line: the content is whole.
        Ok(page) => return assert_eq!(page.rows, whole, "{key}"),
        Err(Error::Corrupt { object, .. }) => assert_eq!(object, key),
        Err(error) => panic!("{key}: {error:?}"),
    }
    let refused = node.upsert(&name("hurt"), one_row("new", 1.0)).await.unwrap_err();
    assert!(refused.to_string().contains(key), "{refused}");
    assert!(matches!(refused, Error::ReadOnly { .. } | Error::Corrupt { .. }), "{refused:?}");
    let report = node.verify(&name("hurt"), |_| {}).await.unwrap();
    assert_eq!(report.problems[0].object, key, "{report:?}");
    assert_eq!(node.count(&name("well"), Consistency::Strong).await.unwrap(), 4);
}

/// Each object's checksum holds, but together they are not the log that was written.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_whole_but_not_the_one_that_belongs_there_is_damage_too() {
    type Alter = fn(&mut Header);
    let alterations: [(Alter, &str); 4] = [
        (|header| header.previous ^= 1, "does not follow entry 1"),
        (|header| header.incarnation = uuid::Uuid::from_u128(7), "belongs to incarnation"),
        (|header| header.seq = 3, "its number is 3 at place 2"),
        (|header| header.dimension = Some(4), "changes the dimension"),
    ];
    let root = temporary_dir();
    let writer = engine(root.path());
    for entry in 0..4u8 {
        writer.upsert(&name("hurt"), one_row(&format!("row-{entry}"), 1.0)).await.unwrap();
        writer.upsert(&name("well"), one_row(&format!("row-{entry}"), 1.0)).await.unwrap();
    }
    let hurt = objects(&root.path().join("namespaces/hurt"));
    let path = hurt.iter().find(|path| path.ends_with(format!("{:020}", 2))).unwrap();
    let key = path.strip_prefix(root.path()).unwrap().to_str().unwrap();
    let intact = std::fs::read(path).unwrap();
    for (alter, reason) in alterations {
        let mut entry = decode(&intact.clone().into()).unwrap();
        alter(&mut entry.header);
        std::fs::write(path, encode(&entry.header, &entry.changes).unwrap()).unwrap();
        let error = engine(root.path()).count(&name("hurt"), Consistency::Strong).await.unwrap_err();
        let told = matches!(&error, Error::Corrupt { object, .. } if object == key);
        assert!(told && error.to_string().contains(reason), "{reason}: {error:?}");
        one_damage(root.path(), key, &[]).await;
    }
    // Another content at the same place, sealed as its own writer would have: the next entry tells.
    let mut entry = decode(&intact.into()).unwrap();
    entry.changes.vectors[0] = 2.0;
    std::fs::write(path, encode(&entry.header, &entry.changes).unwrap()).unwrap();
    let error = engine(root.path()).count(&name("hurt"), Consistency::Strong).await.unwrap_err();
    assert!(error.to_string().contains("does not follow entry 2"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_notices_damage_too_and_goes_on_when_it_is_mended() {
    let root = temporary_dir();
    let (writer, reader) = (engine(root.path()), engine(root.path()));
    writer.upsert(&name("hurt"), one_row("a", 1.0)).await.unwrap();
    assert_eq!(reader.count(&name("hurt"), Consistency::Strong).await.unwrap(), 1);
    writer.upsert(&name("hurt"), one_row("b", 1.0)).await.unwrap();
    let log: Vec<_> =
        objects(root.path()).into_iter().filter(|path| path.ends_with(format!("{:020}", 2))).collect();
    let intact = std::fs::read(&log[0]).unwrap();
    std::fs::write(&log[0], &intact[..intact.len() / 2]).unwrap();
    let strong = reader.count(&name("hurt"), Consistency::Strong).await.unwrap_err();
    assert!(matches!(strong, Error::Corrupt { .. }), "{strong:?}");
    let write = reader.upsert(&name("hurt"), one_row("c", 1.0)).await.unwrap_err();
    assert!(matches!(write, Error::ReadOnly { .. }), "{write:?}");
    // Who asks for old rows gets those before the damage.
    assert_eq!(reader.count(&name("hurt"), Consistency::Eventual).await.unwrap(), 1);
    std::fs::write(&log[0], intact).unwrap();
    assert_eq!(reader.count(&name("hurt"), Consistency::Strong).await.unwrap(), 2);
    reader.upsert(&name("hurt"), one_row("c", 1.0)).await.unwrap();
    assert_eq!(writer.count(&name("hurt"), Consistency::Strong).await.unwrap(), 3);
}

/// A server whose disk takes no file above 64 KiB, as a full one takes none.
#[test]
fn a_full_disk_refuses_cleanly_and_later_writes_work() {
    let workdir = Workdir::new();
    let quiver = env!("CARGO_BIN_EXE_quiver");
    let mut limited = Command::new("sh");
    limited.env_remove("QUIVER_DATA").current_dir(workdir.path("")).args([
        "-c",
        "trap '' XFSZ; ulimit -f 128; exec \"$0\" serve --listen 127.0.0.1:0",
        quiver,
    ]);
    let server = shared::program::Server::start(&workdir, limited);
    let vector = |length: usize| json!({ "vectors": [{ "id": "x", "values": vec![0.25; length] }] });
    server.post("/v1/namespaces/small/vectors", &vector(8));
    let large: Vec<_> =
        (0..2000).map(|row| json!({ "id": format!("r{row}"), "values": vec![0.5; 16] })).collect();
    let body = workdir.write("large.json", json!({ "vectors": large }).to_string());
    let data = format!("@{}", body.display());
    let (status, answer) =
        server.curl("/v1/namespaces/large/vectors", &["-H", "Content-Type: application/json", "-d", &data]);
    assert!((500..600).contains(&status), "{status} {answer}");
    assert_eq!(answer["code"], "STORAGE_ERROR", "{answer}");
    server.post("/v1/namespaces/small/vectors", &vector(8));
    let (status, info) = server.curl("/v1/namespaces/large", &[]);
    assert!(status == 200 && info["vector_count"] == 0, "nothing of it is there: {status} {info}");
    let row = json!({ "vectors": [{ "id": "y", "values": vec![0.5; 16] }] });
    server.post("/v1/namespaces/large/vectors", &row);
    let (_, info) = server.curl("/v1/namespaces/large", &[]);
    assert_eq!(info["vector_count"], 1, "{info}");
}

/// The log's directory disappears behind a file: as unwritable as it gets, for root as well.
#[test]
fn an_unwritable_directory_refuses_cleanly_and_later_writes_work() {
    let workdir = Workdir::new();
    let server = workdir.serve(&[]);
    let row = |id: &str| json!({ "vectors": [{ "id": id, "values": [0.5, 0.25] }] });
    server.post("/v1/namespaces/n/vectors", &row("a"));
    let log = objects(&workdir.path("data/namespaces/n")).iter().find_map(|path| {
        let folder = path.parent().unwrap();
        folder.ends_with("log").then(|| folder.to_owned())
    });
    let log = log.expect("a log");
    let aside = workdir.path("aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let body = row("b").to_string();
    let (status, answer) =
        server.curl("/v1/namespaces/n/vectors", &["-H", "Content-Type: application/json", "-d", &body]);
    assert!((500..600).contains(&status) && answer["code"].is_string(), "{status} {answer}");
    server.post("/v1/namespaces/other/vectors", &row("a"));
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    server.post("/v1/namespaces/n/vectors", &row("c"));
    let (_, info) = server.curl("/v1/namespaces/n", &[]);
    assert_eq!(info["vector_count"], 2, "{info}");
}
