//! `import --from-layout json-objects`: buckets as the classic server left them, on real stores,
//! written through OpenDAL as that server wrote them.

#[path = "../../benches/support/data.rs"]
mod data;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use data::DataSet;
use opendal::{HttpTransporter, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use quiver::config::{BackendConfig, StorageConfig};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    shared::program::{Done, Server, Workdir, names, until},
    shared::servers::{Azurite, Gcs, Seaweed},
};

const DIMENSION: usize = 384;
const ROWS: usize = 1250;
const TYPES: [&str; 5] = ["hnsw", "pq", "ivf", "spfresh", "fulltext"];

/// Ids that need care in paths, URLs, XML or on a terminal.
const ODD_IDS: [&str; 21] = [
    "\u{1f600} \u{1f469}\u{200d}\u{1f680}",
    "%2f",
    "a%2Fb",
    "a b",
    " padded ",
    "a/b/c",
    "a/b",
    "q?x=1&y#f",
    "quote\"'\\<&>",
    "plus+and=at@",
    "~tilde",
    "~tmp-0123",
    "\u{fc}nic\u{f6}de\u{301}",
    "\u{65e5}\u{672c}",
    ".hidden",
    "a.json",
    "x.tmp.7",
    ".x.tmp.7",
    "*;:,[]{}|^`$!()",
    "-",
    "new\nline",
];

type Row = (Vec<f32>, Value);
type Rows = BTreeMap<String, Row>;

/// Where the classic server kept its objects.
enum Bucket {
    Files(PathBuf),
    Remote(Operator),
}

impl Bucket {
    fn remote(config: &StorageConfig) -> Self {
        let operator = match &config.backend {
            BackendConfig::S3 { bucket, root, endpoint, access_key_id, secret_access_key, .. } => {
                let builder = services::S3::default()
                    .bucket(bucket)
                    .root(root)
                    .endpoint(endpoint.as_deref().unwrap())
                    .region("us-east-1")
                    .access_key_id(access_key_id.as_ref().unwrap().expose_secret())
                    .secret_access_key(secret_access_key.as_ref().unwrap().expose_secret());
                Operator::new(builder)
            }
            BackendConfig::Azblob { container, root, endpoint, account_name, account_key, .. } => {
                let builder = services::Azblob::default()
                    .container(container)
                    .root(root)
                    .endpoint(endpoint)
                    .account_name(account_name.as_deref().unwrap())
                    .account_key(account_key.as_ref().unwrap().expose_secret());
                Operator::new(builder)
            }
            BackendConfig::Gcs { bucket, root, endpoint, .. } => {
                let builder = services::Gcs::default().bucket(bucket).root(root);
                Operator::new(builder.endpoint(endpoint.as_deref().unwrap()).skip_signature())
            }
            other => panic!("not remote: {other:?}"),
        };
        let operator = operator.unwrap();
        let client = quiver::storage::http_client().no_proxy().build().unwrap();
        let transport = HttpTransporter::new(ReqwestTransport::new(client));
        let context = operator.base_context().with_http_transport(transport);
        Self::Remote(operator.with_context(context))
    }

    async fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        match self {
            Self::Files(root) => {
                let path = root.join(key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content.into()).unwrap();
            }
            Self::Remote(operator) => {
                let written = operator.write(key, content.into()).await;
                written.unwrap_or_else(|error| panic!("{key:?}: {error}"));
            }
        }
    }

    /// A namespace, sixteen objects at a time, whose counters say `count`.
    async fn put_namespace(&self, namespace: &str, rows: &Rows, count: usize) {
        let rows: Vec<_> = rows.iter().collect();
        for part in rows.chunks(16) {
            let writes = part.iter().map(|(id, row)| async move {
                let key = format!("namespaces/{namespace}/vectors/{id}.json");
                self.put(&key, object(id, row)).await;
            });
            futures::future::join_all(writes).await;
        }
        let dimension = rows.first().map(|(_, (values, _))| values.len());
        self.put(&format!("namespaces/{namespace}/meta.json"), meta(dimension, count)).await;
    }
}

fn object(id: &str, (values, metadata): &Row) -> String {
    json!({ "id": id, "values": values, "metadata": metadata }).to_string()
}

fn meta(dimension: Option<usize>, count: usize) -> String {
    json!({ "dimension": dimension, "vector_count": count, "created_at": 1_700_000_000_u64, "updated_at": 1_700_000_000_u64 })
        .to_string()
}

/// Rows with real embeddings: most with plain ids, the rest with odd ones.
fn rows(odd: &[&str]) -> Rows {
    let data = DataSet::of_tests();
    assert_eq!(data.dimension, DIMENSION);
    let ids =
        (0..ROWS - odd.len()).map(|row| format!("row-{row}")).chain(odd.iter().map(|id| (*id).to_owned()));
    let row = |(row, id): (usize, String)| {
        let metadata = if row.is_multiple_of(3) { Value::Null } else { json!({ "n": row, "t": id }) };
        (id, (data.values(row * DIMENSION, DIMENSION), metadata))
    };
    ids.enumerate().map(row).collect()
}

/// Index bytes of a type: any bytes, all lengths.
fn index(index_type: &str) -> Vec<u8> {
    let length = [0, 1, 300_000, 4096, 77][TYPES.iter().position(|known| *known == index_type).unwrap()];
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// The bad objects of [`put_all`], and what is said of each.
fn bad_objects() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let zeros = vec![0.0_f32; DIMENSION];
    let values =
        |values: &str| format!("{{\"id\":\"bad\",\"values\":{values},\"metadata\":null}}").into_bytes();
    let with_null = {
        let mut list = vec![json!(0.5); DIMENSION];
        list[7] = Value::Null;
        json!(list).to_string()
    };
    let half = object("bad", &(zeros.clone(), json!({ "a": "?" }))).replace('?', "\\ud800");
    let huge = format!("[1e300{}]", ",0".repeat(DIMENSION - 1));
    let whole = object("bad", &(zeros.clone(), Value::Null)).into_bytes();
    let long_id = "x".repeat(513);
    vec![
        ("vectors/cut.json", whole[..100].to_vec(), "at column 100"),
        ("vectors/.json", object("", &(zeros.clone(), Value::Null)).into(), "an id needs at least one"),
        ("vectors/half.json", half.into(), "surrogate"),
        ("vectors/empty.json", Vec::new(), "is empty"),
        ("vectors/zeroed.json", vec![0; 4096], "expected value"),
        ("vectors/text.json", b"<html>".to_vec(), "expected value"),
        ("vectors/utf8.json", b"{\"id\":\"\xff\",\"values\":[1]}".to_vec(), "unicode"),
        ("vectors/short.json", values("[1.0,2.0]"), "the dimension is 2, but 384 was expected"),
        ("vectors/none.json", values("[]"), "at least one value"),
        ("vectors/nan.json", values("[NaN]"), "expected"),
        ("vectors/null.json", values(&with_null), "values[7]: is null"),
        ("vectors/huge.json", values(&huge), "values[0]: must be a finite"),
        (
            "vectors/list.json",
            object("bad", &(zeros.clone(), json!([1]))).into(),
            "metadata must be an object",
        ),
        ("vectors/no-id.json", json!({ "values": zeros }).to_string().into(), "no field \"id\""),
        (
            "vectors/long.json",
            object(&long_id, &(zeros.clone(), Value::Null)).into(),
            "limits.id_bytes = 512",
        ),
        (
            "vectors/copy of row-1.json",
            object("row-1", &(zeros.clone(), Value::Null)).into(),
            "has the id of namespaces/articles/vectors/row-1.json",
        ),
        ("vectors/zcopy.json", object("row-1", &(zeros, Value::Null)).into(), "has the id \"row-1\""),
        ("vectors/README", b"hello".to_vec(), "is nothing that the classic layout has"),
        ("indexes/flat.bin", b"flat".to_vec(), "is nothing that the classic layout has"),
        ("notes.txt", b"notes".to_vec(), "is nothing that the classic layout has"),
    ]
}

const LEFTOVERS: [&str; 4] = [
    ".meta.json.tmp.3",
    "vectors/.row-5.tmp.12",
    "vectors/row-6.json.tmp.1700000000.4",
    "indexes/pq.bin.tmp.1700000000.5",
];

/// A bucket with everything that can be in one. Returns the rows that are to be imported.
async fn put_all(bucket: &Bucket, odd: &[&str]) -> Rows {
    let rows = rows(odd);
    bucket.put_namespace("articles", &rows, rows.len() + 2).await;
    for (name, content, _) in bad_objects() {
        bucket.put(&format!("namespaces/articles/{name}"), content).await;
    }
    for name in LEFTOVERS {
        bucket.put(&format!("namespaces/articles/{name}"), "{").await;
    }
    for index_type in TYPES {
        bucket.put(&format!("namespaces/articles/indexes/{index_type}.bin"), index(index_type)).await;
    }
    // Named by a writer that escaped ids: the id inside counts.
    let renamed = object("re/named", &rows["row-0"]);
    bucket.put("namespaces/articles/vectors/re%2Fnamed.json", renamed).await;
    let small = Rows::from([("one".to_owned(), (vec![0.25, -1.5], json!({ "a": 1 })))]);
    bucket.put_namespace("small", &small, 1).await;
    bucket.put("namespaces/empty/meta.json", meta(None, 0)).await;
    bucket.put("namespaces/lost/vectors/x.json", object("x", &small["one"])).await;
    bucket.put("namespaces/two words/meta.json", meta(Some(2), 1)).await;
    bucket.put("namespaces/two words/vectors/one.json", object("one", &small["one"])).await;
    let mut expected = rows;
    expected.insert("re/named".to_owned(), expected["row-0"].clone());
    expected
}

/// An exported row.
fn row(row: Value) -> (String, Row) {
    let values = row["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32);
    (row["id"].as_str().unwrap().to_owned(), (values.collect(), row["metadata"].clone()))
}

/// What a namespace holds, bit for bit.
fn imported(workdir: &Workdir, namespace: &str) -> Rows {
    workdir.rows(namespace).into_iter().map(row).collect()
}

#[track_caller]
fn assert_same(found: &Rows, expected: &Rows) {
    let ids = |rows: &Rows| rows.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(ids(found).symmetric_difference(&ids(expected)).collect::<Vec<_>>(), Vec::<&String>::new());
    for (id, row) in expected {
        assert_eq!(&found[id], row, "{id:?}");
    }
}

fn assert_indexes(server: &Server, workdir: &Workdir, namespace: &str) {
    for index_type in TYPES {
        let path = workdir.path("blob");
        let (status, _) = server.curl(
            &format!("/v1/namespaces/{namespace}/indexes/{index_type}/blob"),
            &["-o", path.to_str().unwrap()],
        );
        assert_eq!((status, fs::read(&path).unwrap_or_default()), (200, index(index_type)), "{index_type}");
        let _ = fs::remove_file(path);
    }
}

/// Lines of the report: kind and key, with the reason.
fn report(workdir: &Workdir) -> BTreeMap<(String, String), String> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let lines = workdir.read("report.jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named: BTreeMap<_, _> = lines
        .iter()
        .filter(|line| line["kind"] != "warning")
        .map(|line| ((text(line, "kind"), text(line, "key")), text(line, "reason")))
        .collect();
    let warnings = lines.iter().filter(|line| line["kind"] == "warning").count();
    assert_eq!(named.len() + warnings, lines.len(), "an object is named twice");
    named
}

#[track_caller]
fn assert_named(report: &BTreeMap<(String, String), String>) {
    let mut expected: BTreeMap<(String, String), &str> = BTreeMap::new();
    let key = |name: &str| format!("namespaces/articles/{name}");
    for (name, _, reason) in bad_objects() {
        expected.insert(("not_imported".into(), key(name)), reason);
    }
    for name in LEFTOVERS {
        expected.insert(("leftover".into(), key(name)), "killed writer");
    }
    expected.insert(("not_imported".into(), "namespaces/lost/".into()), "no meta.json");
    expected.insert(("not_imported".into(), "namespaces/two words/".into()), "--into");
    assert_eq!(report.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, part) in expected {
        assert!(report[&key].contains(part), "{key:?}: {} lacks {part:?}", report[&key]);
    }
}

/// The whole bucket, twice, straight into a store in a folder.
fn whole_bucket(workdir: &Workdir, source: &str, expected: &Rows) {
    let import = ["import", source, "--from-layout", "json-objects", "--report", "report.jsonl"];
    let import = [&import[..], &["--distance", "euclidean", "--batch-rows", "100"]].concat();
    let bad = bad_objects().len();
    for news in [format!("{} new, ", expected.len()), "0 new, ".to_owned()] {
        let message = format!("{} objects were not imported; everything else was", bad + 2);
        let done = workdir.run(&import).fails(1, &[&message, "hint: report.jsonl names all of them"]);
        let line = done.stdout.lines().find(|line| line.starts_with("articles: ")).unwrap();
        for part in [&*news, "; 5 indexes; 4 leftovers; ", &format!("{bad} objects NOT imported")] {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
        let warning =
            format!("meta.json counts {} vectors, but {} objects were found", ROWS + 2, ROWS + 1 + bad - 3);
        assert!(done.stderr.contains(&warning), "{}", done.stderr);
        let lines = |start| done.stderr.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((lines("not imported: "), lines("leftover ")), (20, 4), "{}", done.stderr);
        assert!(done.stderr.contains(&format!("… and {} more", bad + 2 - 20)), "{}", done.stderr);
        assert_named(&report(workdir));
        assert_same(&imported(workdir, "articles"), expected);
        assert_eq!(
            workdir.rows("small"),
            [json!({"id": "one", "values": [0.25, -1.5], "metadata": {"a": 1}})]
        );
        assert!(workdir.rows("empty").is_empty());
    }
    let listed = workdir.run(&["verify"]).ok().stdout;
    let whole: Vec<_> = listed.lines().filter_map(|line| Some(line.split_once(": whole")?.0)).collect();
    assert_eq!(whole, ["articles", "empty", "small"]);
    let server = workdir.serve(&[]);
    assert_indexes(&server, workdir, "articles");
    assert_eq!(server.curl("/v1/namespaces/articles", &[]).1["distance"], "euclidean");
    drop(server);
    // What was not taken because nobody asked for it by name.
    workdir.run(&["import", "lost", source, "--from-layout", "json-objects"]).ok();
    let renamed = ["import", "two words", source, "--from-layout", "json-objects", "--into", "words"];
    workdir.run(&renamed).ok();
    assert_eq!((workdir.rows("lost").len(), workdir.rows("words").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bucket_of_files() {
    let workdir = Workdir::new();
    let odd = [&ODD_IDS[..], &["tab\tbell\u{7}"]].concat();
    let expected = put_all(&Bucket::Files(workdir.path("old")), &odd).await;
    whole_bucket(&workdir, "old", &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bucket_on_s3() {
    let store = Seaweed::start().await;
    let workdir = Workdir::new();
    let expected = put_all(&Bucket::remote(&store.storage_config("old/deep")), &ODD_IDS).await;
    workdir.write("old.toml", store.storage_toml("old/deep"));
    whole_bucket(&workdir, "old.toml", &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bucket_on_azure() {
    let store = Azurite::start().await;
    let workdir = Workdir::new();
    let expected = put_all(&Bucket::remote(&store.storage_config("old")), &ODD_IDS).await;
    workdir.write("old.toml", store.storage_toml("old"));
    whole_bucket(&workdir, "old.toml", &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bucket_on_gcs() {
    let store = Gcs::start().await;
    let workdir = Workdir::new();
    let expected = put_all(&Bucket::remote(&store.storage_config("old")), &ODD_IDS).await;
    workdir.write("old.toml", store.storage_toml("old"));
    whole_bucket(&workdir, "old.toml", &expected);
}

/// A small clean namespace of files in `old`.
async fn put_clean(workdir: &Workdir, namespace: &str, count: usize) -> Rows {
    let row = |at: usize| (format!("row-{at}"), (vec![at as f32, 0.5, -1.0], json!({ "n": at })));
    let rows: Rows = (0..count).map(row).collect();
    Bucket::Files(workdir.path("old")).put_namespace(namespace, &rows, count).await;
    rows
}

const FROM: [&str; 2] = ["--from-layout", "json-objects"];

fn import(workdir: &Workdir, arguments: &[&str]) -> Done {
    workdir.run(&[&["import"], arguments, &FROM[..]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_server() {
    let workdir = Workdir::new();
    let expected = put_all(&Bucket::Files(workdir.path("old")), &ODD_IDS).await;
    let server = workdir.serve(&["--data", "served"]);
    let url = server.url("");
    for _ in 0..2 {
        let arguments = ["old", "--url", &url, "--report", "report.jsonl", "--distance", "dot_product"];
        let done = import(&workdir, &arguments).fails(1, &["22 objects were not imported"]);
        assert!(done.stdout.contains("; 5 indexes; 4 leftovers; 20 objects NOT imported"), "{}", done.stdout);
        assert_named(&report(&workdir));
    }
    assert_indexes(&server, &workdir, "articles");
    assert_eq!(server.curl("/v1/namespaces/empty", &[]).0, 200);
    assert_eq!(server.curl("/v1/namespaces/articles", &[]).1["distance"], "dot_product");
    // The server allows less than this side knows of: the index is named, the rest goes on.
    let bounded = workdir.serve(&["--data", "bounded", "--set", "limits.index_blob_bytes=5000B"]);
    let arguments = ["articles", "old", "--url", &bounded.url(""), "--report", "report.jsonl"];
    import(&workdir, &arguments).fails(1, &["21 objects were not imported"]);
    let index = ("not_imported".to_owned(), "namespaces/articles/indexes/ivf.bin".to_owned());
    let reason = &report(&workdir)[&index];
    assert!(reason.contains("the server refused") && reason.contains("limits.index_blob_bytes"), "{reason}");
    let dry = import(&workdir, &["articles", "old", "--dry-run"]);
    dry.fails(1, &["20 objects cannot be imported; everything else can"]);
    assert!(!workdir.path("data").exists(), "everything went through the server");
    drop((server, bounded));
    for data in ["served", "bounded"] {
        let exported = workdir.run(&["export", "articles", "-o", "out.jsonl", "--data", data]).ok();
        assert_eq!(exported.code, 0);
        let lines = workdir.read("out.jsonl");
        let found = lines.lines().map(|line| row(serde_json::from_str(line).unwrap())).collect();
        assert_same(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_and_repeated() {
    let workdir = Workdir::new();
    let rows = put_clean(&workdir, "articles", 3000).await;
    let bucket = Bucket::Files(workdir.path("old"));
    bucket.put("namespaces/articles/indexes/ivf.bin", index("ivf")).await;
    for kills in 1..=3 {
        let arguments = ["import", "old", "--batch-rows", "5", "--in-flight", "2"];
        let mut command = workdir.command(&[&arguments[..], &FROM[..]].concat());
        let mut import = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("some batches are written", || (log_entries(&workdir) >= kills * 20).then_some(()));
        import.kill().unwrap();
        import.wait().unwrap();
        let there = imported(&workdir, "articles");
        assert!(there.len() < rows.len(), "it was over before it was killed");
        assert!(there.iter().all(|(id, row)| rows[id] == *row));
    }
    let done = import(&workdir, &["old"]).ok();
    assert!(done.stderr.is_empty(), "{}", done.stderr);
    assert_same(&imported(&workdir, "articles"), &rows);
    assert!(workdir.run(&["verify"]).ok().stdout.contains("articles: whole"));
    let server = workdir.serve(&[]);
    assert_eq!(server.curl("/v1/namespaces/articles/indexes/ivf/blob", &["-I"]).0, 200);
    assert_eq!(server.curl("/v1/namespaces/articles", &[]).1["vector_count"], 3000);
}

/// Log entries of all incarnations of `articles`.
fn log_entries(workdir: &Workdir) -> usize {
    let namespace = workdir.path("data/namespaces/articles");
    names(&namespace).iter().map(|incarnation| names(&namespace.join(incarnation).join("log")).len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_bucket_succeeds_and_stays_as_it_was() {
    let workdir = Workdir::new();
    let rows = put_clean(&workdir, "articles", 20).await;
    let bucket = Bucket::Files(workdir.path("old"));
    for name in LEFTOVERS {
        bucket.put(&format!("namespaces/articles/{name}"), "{").await;
    }
    // Nobody's abandoned file: this server never wrote here.
    bucket.put("namespaces/articles/vectors/~tmp-77.json", object("~tmp-77", &rows["row-1"])).await;
    bucket.put("namespaces/articles/meta.json", meta(Some(3), 21)).await;
    let old = fs::File::open(workdir.path("old/namespaces/articles/vectors/~tmp-77.json")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(90_000)).unwrap();
    let before = tree(&workdir.path("old"));
    let done = import(&workdir, &["old", "--dry-run"]).ok();
    assert!(
        done.stdout.contains("checked 21 rows") && done.stdout.contains("nothing was written"),
        "{done:?}"
    );
    assert!(!workdir.path("data").exists());
    let done = import(&workdir, &["old"]).ok();
    assert!(done.stdout.contains("21 new, 0 updated; 4 leftovers"), "{}", done.stdout);
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("leftover")).count(), 4, "{}", done.stderr);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    assert_eq!(imported(&workdir, "articles").len(), 21);
    assert_eq!(tree(&workdir.path("old")), before);
    // One by one, under another name, and the metric that was there before stays.
    import(&workdir, &["articles", "old", "--into", "copy", "--distance", "euclidean"]).ok();
    import(&workdir, &["articles", "old", "--into", "copy", "--distance", "euclidean"]).ok();
    assert_same(&imported(&workdir, "copy"), &imported(&workdir, "articles"));
    import(&workdir, &["articles", "old", "--into", "copy", "--distance", "cosine"])
        .fails(1, &["already exists"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place() {
    let workdir = Workdir::new();
    let rows = put_clean(&workdir, "articles", 50).await;
    put_clean(&workdir, "other", 10).await;
    workdir.write("ours.jsonl", json!({"id": "a", "values": [1.0]}).to_string());
    workdir.run(&["import", "ours", "ours.jsonl", "--data", "old"]).ok();
    for _ in 0..3 {
        let done = import(&workdir, &["old", "--data", "old"]).ok();
        assert!(
            done.stdout.contains("articles: 50 rows") && done.stdout.contains("other: 10 rows"),
            "{done:?}"
        );
        assert!(done.stderr.is_empty(), "{}", done.stderr);
    }
    fs::rename(workdir.path("old"), workdir.path("data")).unwrap();
    assert_same(&imported(&workdir, "articles"), &rows);
    assert_eq!(workdir.rows("ours").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_namespace_that_fails_does_not_stop_the_others() {
    let workdir = Workdir::new();
    for namespace in ["a", "b", "c"] {
        put_clean(&workdir, namespace, 10).await;
    }
    workdir.write("b.jsonl", json!({"id": "a", "values": [1.0]}).to_string());
    workdir.run(&["import", "b", "b.jsonl"]).ok();
    let done = import(&workdir, &["old"]).fails(1, &["b: ", "dimension", "not imported, or not whole: b"]);
    assert!(done.stdout.contains("a: 10 rows") && done.stdout.contains("c: 10 rows"), "{}", done.stdout);
    // Counters that cannot be read are named, and cost nothing else.
    workdir.write("old/namespaces/a/meta.json", "{\"dimension\":");
    import(&workdir, &["a", "old"]).fails(1, &["not imported: namespaces/a/meta.json: EOF", "1 object was"]);
    // Counters that are wrong about the dimension: every row is named.
    workdir.write("old/namespaces/a/meta.json", meta(Some(4), 10));
    let done = import(&workdir, &["a", "old", "--into", "a4"]);
    done.fails(1, &["row-7.json: values: the dimension is 3, but 4 was expected", "10 objects were"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_named() {
    let workdir = Workdir::new();
    put_clean(&workdir, "n", 5).await;
    let vectors = workdir.path("old/namespaces/n/vectors");
    std::os::unix::fs::symlink("nowhere", vectors.join("broken.json")).unwrap();
    fs::create_dir(vectors.join("empty-folder")).unwrap();
    fs::write(vectors.join(OsStr::from_bytes(b"latin-\xe9.json")), "{}").unwrap();
    fs::create_dir(vectors.join(OsStr::from_bytes(b"folder-\xe9"))).unwrap();
    fs::write(vectors.join(OsStr::from_bytes(b"folder-\xe9/x.json")), "{}").unwrap();
    assert!(Command::new("mkfifo").arg(vectors.join("pipe.json")).status().unwrap().success());
    fs::File::create(vectors.join("sparse.json")).unwrap().set_len(17 << 20).unwrap();
    let done = import(&workdir, &["old"]).fails(1, &["5 objects were not imported"]);
    for part in [
        "vectors/broken.json: cannot be read",
        "vectors/latin-\u{fffd}.json: cannot be read",
        "vectors/folder-\u{fffd}: is nothing",
        "vectors/pipe.json: cannot be read: not a file",
        "vectors/sparse.json: has 17825792 bytes",
    ] {
        assert!(done.stderr.contains(part), "{part:?} is not in {}", done.stderr);
    }
    assert_eq!(workdir.rows("n").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let workdir = Workdir::new();
    put_clean(&workdir, "n", 1).await;
    workdir.write("old.toml", "[storage.backend]\ntype = \"memory\"\n");
    workdir.write("typo.toml", "[storage.backend]\ntype = \"fs\"\nrot = \"old\"\n");
    workdir.write("gone.toml", "[storage.backend]\ntype = \"fs\"\nroot = \"gone\"\n");
    workdir.write("fs.toml", "[storage.backend]\ntype = \"fs\"\nroot = \"old\"\n");
    import(&workdir, &["gone"]).fails(1, &["gone", "no such folder", "hint: "]);
    import(&workdir, &["gone.toml"]).fails(1, &["cannot open gone"]);
    assert!(!workdir.path("gone").exists(), "a source is never created");
    import(&workdir, &["old.toml"]).fails(1, &["memory"]);
    import(&workdir, &["typo.toml"]).fails(2, &["rot", "typo.toml"]);
    import(&workdir, &["old/namespaces"]).fails(1, &["no namespaces", "hint: SOURCE"]);
    import(&workdir, &["m", "old"]).fails(1, &["no namespace \"m\"", "there are: n"]);
    import(&workdir, &["../n", "old"]).fails(1, &["no namespace"]);
    import(&workdir, &["n", "old", "--into", "a b"]).fails(2, &["--into"]);
    import(&workdir, &["old", "--into", "m"]).fails(2, &["NAMESPACE"]);
    import(&workdir, &["n", "old", "--ids", "x"]).fails(2, &["--ids is not for --from-layout"]);
    import(&workdir, &["n", "old", "--limit", "1"]).fails(2, &["--limit"]);
    import(&workdir, &["n", "old", "--report", "no/such/report"]).fails(1, &["cannot write no/such/report"]);
    workdir.run(&["import", "old"]).fails(2, &["NAMESPACE is missing", "--from-layout"]);
    workdir.run(&["import", "n", "old", "--report", "r"]).fails(2, &["--from-layout"]);
    // Where rows go to says nothing about where they come from.
    let done = workdir.run_with(
        &[("QUIVER_STORAGE__BACKEND__ROOT", "elsewhere")],
        &[&["import", "n", "fs.toml"], &FROM[..]].concat(),
    );
    done.ok();
    assert!(workdir.path("elsewhere/namespaces/n/manifest").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_goes_away_is_no_empty_bucket() {
    let workdir = Workdir::new();
    let store = Seaweed::start().await;
    let bucket = Bucket::remote(&store.storage_config("old"));
    let row = |at: usize| (format!("row-{at}"), (vec![at as f32], Value::Null));
    bucket.put_namespace("n", &(0..1500).map(row).collect(), 1500).await;
    workdir.write("old.toml", store.storage_toml("old"));
    let mut command = workdir.command(&[&["import", "old.toml", "--batch-rows", "10"], &FROM[..]].concat());
    let importing = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("some rows are written", || {
        let namespace = workdir.path("data/namespaces/n");
        names(&namespace).iter().any(|name| names(&namespace.join(name).join("log")).len() > 3).then_some(())
    });
    drop(store);
    let output = importing.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: ") && stderr.contains("repeating the import is safe"), "{stderr}");
    assert!(workdir.rows("n").len() < 1500);
    import(&workdir, &["old.toml"]).fails(1, &["error: ", "list namespaces/"]);
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(tree(&entry.path())),
            false => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    found
}
