//! Real embeddings, whole: imported with the binary on each kind of store, searched, and searched
//! again after kill -9. Exact search answers what an independent exact search found.
//!
//! Takes the data set of `QUIVER_DATA`, else of `make bench-data` (117,791 rows), else the slice in
//! this repository.

#[path = "../benches/support/data.rs"]
mod data;
#[path = "support/mod.rs"]
mod shared;

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

use data::DataSet;
use serde_json::{Value, json};
use shared::program::{Server, Workdir};
use shared::servers::{Azurite, Seaweed};

const TOP_K: usize = 10;
const QUERIES_A_BATCH: usize = 50;

/// The file with a JSON object for each row, plain or compressed.
fn documents(data: &DataSet) -> PathBuf {
    let plain = data.folder.join("docs.jsonl");
    if plain.exists() { plain } else { data.folder.join("docs.jsonl.gz") }
}

/// The id of each row, read by other means than the import's.
fn ids(data: &DataSet) -> Vec<String> {
    let path = documents(data);
    let file = File::open(&path).unwrap();
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let id = |line: String| serde_json::from_str::<Value>(&line).unwrap()["id"].as_str().unwrap().to_owned();
    BufReader::new(reader).lines().map(|line| id(line.unwrap())).collect()
}

/// Imports everything, then asks every query before and after a kill.
fn imported_and_found(workdir: &Workdir) {
    let data = DataSet::of_tests();
    let base = data.folder.canonicalize().unwrap().join("base.f16.npy");
    let metadata = documents(&data).canonicalize().unwrap();
    let arguments = ["import", "real", base.to_str().unwrap(), "--metadata", metadata.to_str().unwrap()];
    workdir.run(&[&arguments[..], &["--id-field", "id"]].concat()).ok();
    let ids = ids(&data);
    let server = workdir.serve(&[]);
    all_found(&server, &data, &ids);
    server.signal("KILL");
    drop(server);
    all_found(&workdir.serve(&[]), &data, &ids);
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("real: whole"), "{report}");
}

/// Every row counts, and recall@10 is 1.
fn all_found(server: &Server, data: &DataSet, ids: &[String]) {
    let (status, described) = server.curl("/v1/namespaces/real", &[]);
    assert_eq!((status, &described["vector_count"]), (200, &json!(data.rows())), "{described}");
    let queries: Vec<_> = (0..data.query_count()).collect();
    let mut right = 0;
    for batch in queries.chunks(QUERIES_A_BATCH) {
        let body: Vec<_> =
            batch.iter().map(|&query| json!({ "vector": data.query(query), "top_k": TOP_K })).collect();
        let answer = server.post("/v1/namespaces/real/batch-query", &json!({ "queries": body }));
        for (&query, answer) in batch.iter().zip(answer["results"].as_array().unwrap()) {
            let found = answer["results"].as_array().unwrap();
            assert_eq!(found.len(), TOP_K, "query {query}: {answer}");
            assert!(found[0]["metadata"]["text"].is_string(), "{}", found[0]);
            let found: HashSet<_> = found.iter().map(|row| row["id"].as_str().unwrap()).collect();
            right +=
                data.nearest(query, TOP_K).iter().filter(|&&row| found.contains(&*ids[row as usize])).count();
        }
    }
    println!("{} rows, {right} of the nearest {} found", data.rows(), queries.len() * TOP_K);
    assert_eq!(right, queries.len() * TOP_K, "recall@{TOP_K} of exact search");
}

#[test]
fn on_files() {
    imported_and_found(&Workdir::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3() {
    let store = Seaweed::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", store.storage_toml("real"));
    imported_and_found(&workdir);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_azure() {
    let store = Azurite::start().await;
    let workdir = Workdir::new();
    workdir.write("quiver.toml", store.storage_toml("real"));
    imported_and_found(&workdir);
}
