//! `import --from-layout json-objects`: buckets as the classic server left them, on real stores,
//! written through OpenDAL as that server wrote them.

#[path = "../../benches/support/data.rs"]
mod data;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::Stdio,
    time::{Duration, SystemTime},
};

use data::DataSet;
use opendal::{HttpTransporter, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use quiver::config::{BackendConfig, StorageConfig};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    shared::ports,
    shared::program::{Server, Workdir, names, until},
    shared::servers::{Azurite, Gcs, Seaweed},
};

const DIMENSION: usize = 384;
const ROWS: usize = 520;
const TYPES: [&str; 5] = ["hnsw", "pq", "ivf", "spfresh", "fulltext"];

/// Ids that need care in paths, URLs, XML or on a terminal.
const ODD_IDS: [&str; 20] = [
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
    let data = DataSet::load();
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

/// What a namespace holds, bit for bit.
fn imported(workdir: &Workdir, namespace: &str) -> Rows {
    let row = |row: Value| {
        let values = row["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32);
        (row["id"].as_str().unwrap().to_owned(), (values.collect(), row["metadata"].clone()))
    };
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
    let odd = [&ODD_IDS[..], &["new\nline", "tab\tbell\u{7}"]].concat();
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
