//! `import`: every format, every refusal, and that it may be repeated.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::{Value, json};

use crate::{
    files::{self, Float, vector},
    shared::ports,
    shared::program::{Server, Workdir, until},
};

const ROWS: usize = 5;

/// The rows of a namespace by id: values and metadata.
fn rows(workdir: &Workdir, namespace: &str) -> BTreeMap<String, (Value, Value)> {
    let row = |row: Value| {
        (row["id"].as_str().unwrap().to_owned(), (row["values"].clone(), row["metadata"].clone()))
    };
    workdir.rows(namespace).into_iter().map(row).collect()
}

/// The rows that every file of [`files`] holds, under these ids and with this metadata.
fn expected(
    id: impl Fn(usize) -> String,
    metadata: impl Fn(usize) -> Value,
) -> BTreeMap<String, (Value, Value)> {
    (0..ROWS).map(|row| (id(row), (json!(vector(row)), metadata(row)))).collect()
}

fn no_metadata(_: usize) -> Value {
    Value::Null
}

fn row_id(row: usize) -> String {
    format!("row-{row}")
}

#[test]
fn npy_of_each_float_type() {
    let workdir = Workdir::new();
    for (name, float) in [("f2", Float::F2), ("f4", Float::F4), ("f8", Float::F8)] {
        workdir.write("v.npy", files::npy(ROWS, float));
        let report = workdir.run(&["import", name, "v.npy"]).ok().stdout;
        assert!(report.contains("5 rows") && report.contains("5 new, 0 updated"), "{report}");
        assert_eq!(rows(&workdir, name), expected(|row| row.to_string(), no_metadata), "{name}");
    }
}

#[test]
fn npy_with_ids_and_metadata_from_elsewhere() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    workdir.run(&["import", "prefixed", "v.npy", "--id-prefix", "row-"]).ok();
    assert_eq!(rows(&workdir, "prefixed"), expected(row_id, no_metadata));

    workdir.write("ids.txt", (0..ROWS).map(|row| format!("row-{row}\n")).collect::<String>());
    workdir.run(&["import", "listed", "v.npy", "--ids", "ids.txt"]).ok();
    assert_eq!(rows(&workdir, "listed"), expected(row_id, no_metadata));

    let line = |row: usize| format!("{{\"b\": {row}, \"id\": \"row-{row}\", \"a\": [1.50]}}\n");
    workdir.write("meta.jsonl.gz", files::gzip((0..ROWS).map(line).collect::<String>()));
    workdir.run(&["import", "joined", "v.npy", "--metadata", "meta.jsonl.gz", "--id-field", "id"]).ok();
    assert_eq!(rows(&workdir, "joined"), expected(row_id, |row| json!({"b": row, "a": [1.5]})));
    let exported = workdir.run(&["export", "joined"]).ok().stdout;
    assert!(exported.contains(r#""metadata":{"b":0,"a":[1.50]}"#), "order and numbers stay: {exported}");

    workdir.run(&["import", "beside", "v.npy", "--metadata", "meta.jsonl.gz"]).ok();
    let with_id = |row: usize| json!({"b": row, "id": row_id(row), "a": [1.5]});
    assert_eq!(rows(&workdir, "beside"), expected(|row| row.to_string(), with_id));
}

#[test]
fn json_lines_plain_and_gzipped() {
    let workdir = Workdir::new();
    let line = |row: usize| {
        let name = if row.is_multiple_of(2) { "values" } else { "vector" };
        json!({"id": row_id(row), name: vector(row), "metadata": {"n": row}}).to_string()
    };
    let lines: Vec<_> = (0..ROWS).map(line).collect();
    workdir.write("plain.jsonl", lines.join("\n\n"));
    workdir.write("bom.ndjson", format!("\u{feff}{}\r\n", lines.join("\r\n")));
    workdir.write("packed.jsonl.gz", files::gzip(lines.join("\n")));
    for (namespace, file) in [("plain", "plain.jsonl"), ("bom", "bom.ndjson"), ("packed", "packed.jsonl.gz")]
    {
        workdir.run(&["import", namespace, file]).ok();
        assert_eq!(rows(&workdir, namespace), expected(row_id, |row| json!({"n": row})), "{file}");
    }
}

#[test]
fn json_lines_with_ttl_integer_ids_and_odd_ids() {
    let workdir = Workdir::new();
    let lines = [
        json!({"id": 7, "values": [1.0], "ttl_seconds": 3600}),
        json!({"id": "../escape\n\u{1f600}", "values": [2.0], "metadata": null}),
    ];
    workdir.write("v.jsonl", lines.map(|line| line.to_string()).join("\n"));
    workdir.run(&["import", "n", "v.jsonl"]).ok();
    let [escape, seven] = &workdir.rows("n")[..] else { panic!() };
    assert_eq!(escape, &json!({"id": "../escape\n\u{1f600}", "values": [2.0]}));
    assert_eq!(seven["id"], "7");
    let ttl = seven["ttl_seconds"].as_u64().unwrap();
    assert!((3500..=3600).contains(&ttl), "{ttl}");
}

#[test]
fn arrow_and_parquet_with_metadata_as_text() {
    let workdir = Workdir::new();
    let texts = (0..ROWS).map(|row| (row != 1).then(|| format!("{{\"n\": {row}}}")));
    let texts = std::sync::Arc::new(arrow_array::StringArray::from_iter(texts)) as arrow_array::ArrayRef;
    let metadata = |row: usize| if row == 1 { Value::Null } else { json!({"n": row}) };
    for (name, values) in [
        ("fixed32", files::fixed_f32(ROWS)),
        ("fixed16", files::fixed_f16(ROWS)),
        ("list64", files::list_f64(ROWS)),
    ] {
        let batch =
            files::batch(&[("id", files::ids(ROWS)), ("values", values), ("metadata", texts.clone())]);
        files::write_arrow_file(&workdir.path("v.arrow"), &[batch.slice(0, 2), batch.slice(2, 3)]);
        files::write_arrow_stream(&workdir.path("v.arrows"), &[batch.slice(0, 2), batch.slice(2, 3)]);
        std::fs::copy(workdir.path("v.arrow"), workdir.path("v.feather")).unwrap();
        let mut formats = vec!["arrow", "arrows", "feather"];
        files::write_parquet(&workdir.path("v.parquet"), &batch);
        formats.push("parquet");
        for format in formats {
            let namespace = format!("{name}-{format}");
            workdir.run(&["import", &namespace, &format!("v.{format}"), "--batch-rows", "2"]).ok();
            assert_eq!(rows(&workdir, &namespace), expected(row_id, metadata), "{namespace}");
        }
    }
}

#[test]
fn other_columns_become_metadata() {
    let workdir = Workdir::new();
    let mut columns = vec![("key", files::ids(ROWS)), ("embedding", files::fixed_f32(ROWS))];
    columns.extend(files::attributes(ROWS));
    files::write_parquet(&workdir.path("v.parquet"), &files::batch(&columns));
    workdir.run(&["import", "all", "v.parquet", "--id-column", "key"]).ok();
    let all = |row: usize| {
        let mut metadata = json!({
            "ratio": 0.1, "nested": {"even": row.is_multiple_of(2)}, "tags": [format!("t{}", row * 2), format!("t{}", row * 2 + 1)],
        });
        if row.is_multiple_of(2) {
            metadata["number"] = row.into();
        }
        metadata
    };
    assert_eq!(rows(&workdir, "all"), expected(row_id, all));
    let some = ["--id-column", "key", "--values-column", "embedding", "--metadata-columns", "ratio,key"];
    workdir.run(&[&["import", "some", "v.parquet"], &some[..]].concat()).ok();
    assert_eq!(rows(&workdir, "some"), expected(row_id, |row| json!({"ratio": 0.1, "key": row_id(row)})));
}

#[test]
fn imported_rows_answer_queries_of_a_running_server() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    let server = workdir.serve(&[]);
    workdir.run(&["import", "n", "v.npy", "--distance", "euclidean"]).ok();
    let count = server.post("/v1/namespaces/n/vectors/count", &json!({}));
    assert_eq!(count["count"], ROWS, "a node sees at once what another process wrote");
    let found = server.post("/v1/namespaces/n/query", &json!({"vector": vector(3), "top_k": 1}));
    assert_eq!(
        (&found["results"][0]["id"], &found["results"][0]["score"]),
        (&json!("3"), &json!(0.0)),
        "{found}"
    );
    let info = server.curl("/v1/namespaces/n", &[]).1;
    assert_eq!((&info["distance"], &info["dimension"]), (&json!("euclidean"), &json!(4)), "{info}");
}

#[test]
fn through_a_server_with_a_key() {
    let workdir = Workdir::new();
    let made = workdir.run(&["keygen"]).ok().stdout;
    let key =
        made.lines().find_map(|line| line.strip_prefix("# ").filter(|key| key.starts_with("qv_"))).unwrap();
    workdir.write("keys.toml", &made);
    let server = workdir.serve(&["--config", "keys.toml"]);
    let lines = (0..ROWS)
        .map(|row| json!({"id": row_id(row), "values": vector(row), "metadata": {"n": row}}).to_string());
    workdir.write("v.jsonl", lines.collect::<Vec<_>>().join("\n"));
    let url = server.url("");
    let import = ["import", "n", "v.jsonl", "--url", &url, "--batch-rows", "2", "--distance", "dot_product"];
    workdir.run(&import).fails(1, &["QUIVER_API_KEY"]);
    let done = workdir.run_with(&[("QUIVER_API_KEY", key)], &import).ok();
    assert!(done.stdout.contains("5 rows"), "{}", done.stdout);
    assert_eq!(rows(&workdir, "n"), expected(row_id, |row| json!({"n": row})));
    let other = ["import", "n", "v.jsonl", "--url", &url, "--distance", "cosine"];
    workdir.run_with(&[("QUIVER_API_KEY", key)], &other).fails(1, &["already exists"]);
    workdir.write("bad.jsonl", json!({"id": "x", "values": [1.0]}).to_string());
    workdir
        .run_with(&[("QUIVER_API_KEY", key)], &["import", "n", "bad.jsonl", "--url", &url])
        .fails(1, &["DIMENSION_MISMATCH"]);
}

#[test]
fn repeating_an_import_changes_nothing() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    workdir.run(&["import", "n", "v.npy", "--limit", "2"]).ok();
    let report = workdir.run(&["import", "n", "v.npy", "--batch-rows", "1"]).ok().stdout;
    assert!(report.contains("3 new, 2 updated"), "{report}");
    let report = workdir.run(&["import", "n", "v.npy"]).ok().stdout;
    assert!(report.contains("0 new, 5 updated"), "{report}");
    assert_eq!(rows(&workdir, "n"), expected(|row| row.to_string(), no_metadata));
}

#[test]
fn the_last_row_of_an_id_wins_however_batches_overtake() {
    let workdir = Workdir::new();
    let lines = (0..300).map(|at| json!({"id": (at % 7).to_string(), "values": [f64::from(at)]}).to_string());
    workdir.write("v.jsonl", lines.collect::<Vec<_>>().join("\n"));
    workdir.run(&["import", "n", "v.jsonl", "--batch-rows", "3", "--in-flight", "16"]).ok();
    let last = |id: u32| (0..300).rev().find(|at| at % 7 == id).unwrap();
    for (id, (values, _)) in rows(&workdir, "n") {
        assert_eq!(values, json!([f64::from(last(id.parse().unwrap()))]), "{id}");
    }
}

#[test]
fn a_dry_run_checks_and_writes_nothing() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    let report = workdir.run(&["import", "n", "v.npy", "--dry-run"]).ok().stdout;
    assert!(report.contains("5 rows") && report.contains("nothing was written"), "{report}");
    assert!(!workdir.path("data").exists());
    workdir.write("bad.jsonl", "{}");
    workdir.run(&["import", "n", "bad.jsonl", "--dry-run"]).fails(1, &["line 1", "id"]);
}

#[test]
fn broken_json_lines_are_named() {
    let workdir = Workdir::new();
    let good = json!({"id": "good", "values": [1.0, 2.0]}).to_string();
    for (bad, parts) in [
        ("{\"id\": \"a\", \"values\": [1, 2", &["line 3", "column"][..]),
        ("{\"id\": \"a\", \"values\": [1, null]}", &["line 3", "null"]),
        ("{\"id\": \"a\", \"values\": [1, 1e300]}", &["line 3", "values[1]", "finite"]),
        ("{\"id\": \"a\", \"values\": [1]}", &["line 3", "values", "dimension is 1, but 2"]),
        ("{\"id\": \"a\", \"values\": []}", &["line 3", "at least one value"]),
        ("{\"id\": \"\", \"values\": [1, 2]}", &["line 3", "id"]),
        ("{\"id\": \"a\", \"values\": [1, 2], \"metadata\": [1]}", &["line 3", "metadata", "object"]),
        ("{\"id\": \"a\", \"values\": [1, 2], \"ttl_seconds\": 0}", &["line 3", "ttl_seconds"]),
        ("{\"id\": \"a\", \"values\": [1, 2], \"tll\": 0}", &["line 3", "tll"]),
        ("[1]", &["line 3"]),
        ("\u{0}", &["line 3"]),
    ] {
        workdir.write("v.jsonl", format!("{good}\n\n{bad}\n{good}\n"));
        let done = workdir.run(&["import", "n", "v.jsonl"]).fails(1, parts);
        assert!(!done.stderr.contains("row["), "places in batches mean nothing to people: {}", done.stderr);
        assert!(
            done.stderr.contains("before it broke off: 1 rows; repeating the import is safe"),
            "{}",
            done.stderr
        );
    }
    // What stood before the broken line was acknowledged, and is there.
    assert_eq!(rows(&workdir, "n").keys().collect::<Vec<_>>(), ["good"]);
    workdir.run(&["import", "n", "v.jsonl", "--limit", "1"]).ok();
}

#[test]
fn the_first_line_may_not_fit_the_namespace() {
    let workdir = Workdir::new();
    workdir.write("a.jsonl", json!({"id": "a", "values": [1.0, 2.0]}).to_string());
    workdir.write("b.jsonl", json!({"id": "b", "values": [1.0]}).to_string());
    workdir.run(&["import", "n", "a.jsonl"]).ok();
    workdir.run(&["import", "n", "b.jsonl"]).fails(1, &["dimension"]);
    workdir
        .run(&["import", "n", "a.jsonl", "--distance", "euclidean"])
        .fails(1, &["already exists", "--distance"]);
    workdir.run(&["import", "n", "a.jsonl", "--set", "limits.dimension=1"]).fails(1, &["limits.dimension"]);
}

#[test]
fn broken_arrays_are_refused_before_anything_is_written() {
    let workdir = Workdir::new();
    let whole = files::npy(ROWS, Float::F4);
    let huge =
        files::npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }");
    let nan = {
        let mut file = whole.clone();
        let end = file.len();
        file[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        file
    };
    for (file, parts) in [
        (&whole[..whole.len() - 1], &["v.npy", "not complete"][..]),
        (&whole[..40], &["ends in its header"]),
        (&b"PK\x03\x04 something else"[..], &["not a NumPy array"]),
        (&[], &["not a NumPy array"]),
        (&huge, &["impossible"]),
    ] {
        workdir.write("v.npy", file);
        workdir.run(&["import", "n", "v.npy"]).fails(1, parts);
    }
    assert!(!workdir.path("data").exists());
    workdir.write("v.npy", nan);
    workdir.run(&["import", "n", "v.npy"]).fails(1, &["row 4", "values[3]", "finite"]);
}

#[test]
fn files_beside_an_array_must_fit_it() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(ROWS, Float::F4));
    workdir.write("short.txt", "a\nb\n");
    workdir.write("long.txt", "a\nb\nc\nd\ne\nf\n");
    workdir.write("short.jsonl", "{}\n");
    workdir.write("other.jsonl", "{\"x\": 1}\n".repeat(ROWS));
    let import =
        |arguments: &[&str]| workdir.run(&[&["import", "n", "v.npy", "--dry-run"], arguments].concat());
    import(&["--ids", "short.txt"]).fails(1, &["--ids has fewer lines"]);
    import(&["--ids", "long.txt"]).fails(1, &["--ids has more lines"]);
    import(&["--metadata", "short.jsonl"]).fails(1, &["--metadata has fewer lines"]);
    import(&["--metadata", "other.jsonl", "--id-field", "id"]).fails(1, &["row 0", "id", "is missing"]);
    import(&["--metadata", "none.jsonl"]).fails(1, &["none.jsonl"]);
    import(&["--id-field", "id"]).fails(2, &["--metadata"]);
    import(&["--id-column", "id"]).fails(2, &["--id-column is not for .npy"]);
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let workdir = Workdir::new();
    let write = |columns: &[(&str, arrow_array::ArrayRef)]| {
        files::write_parquet(&workdir.path("v.parquet"), &files::batch(columns));
    };
    let import =
        |arguments: &[&str]| workdir.run(&[&["import", "n", "v.parquet", "--dry-run"], arguments].concat());
    write(&[("name", files::ids(ROWS)), ("values", files::fixed_f32(ROWS))]);
    import(&[]).fails(1, &["no column id", "--id-column", "name"]);
    write(&[("id", files::ids(ROWS)), ("v", files::fixed_f32(ROWS))]);
    import(&[]).fails(1, &["values, vector, embedding", "--values-column"]);
    import(&["--values-column", "id"]).fails(1, &["column id", "lists of floats"]);
    import(&["--values-column", "v", "--metadata-columns", "none"]).fails(1, &["no column none"]);
    let nulls = arrow_array::StringArray::from(vec![Some("a"), None, Some("c"), Some("d"), Some("e")]);
    write(&[("id", std::sync::Arc::new(nulls)), ("values", files::fixed_f32(ROWS))]);
    import(&[]).fails(1, &["row 1", "id: must not be null"]);
    let bytes = arrow_array::BinaryArray::from_iter_values((0..ROWS).map(|_| b"x"));
    write(&[
        ("id", files::ids(ROWS)),
        ("values", files::fixed_f32(ROWS)),
        ("raw", std::sync::Arc::new(bytes)),
    ]);
    import(&[]).fails(1, &["column raw", "--metadata-columns"]);
    workdir.write("v.parquet", "PAR1 and nothing else");
    import(&[]).fails(1, &["v.parquet"]);
    workdir.write("v.arrow", "neither");
    workdir.run(&["import", "n", "v.arrow", "--dry-run"]).fails(1, &["neither Parquet nor Arrow"]);
}

#[test]
fn damaged_columnar_files_fail_and_do_not_crash() {
    let workdir = Workdir::new();
    let batch = files::batch(&[("id", files::ids(200)), ("values", files::list_f64(200))]);
    for (name, write) in [
        (
            "v.arrow",
            &(|path: &std::path::Path| files::write_arrow_file(path, std::slice::from_ref(&batch)))
                as &dyn Fn(&std::path::Path),
        ),
        ("v.arrows", &|path| files::write_arrow_stream(path, std::slice::from_ref(&batch))),
        ("v.parquet", &|path| files::write_parquet(path, &batch)),
    ] {
        write(&workdir.path(name));
        let whole = std::fs::read(workdir.path(name)).unwrap();
        for cut in 1..8 {
            workdir.write(name, &whole[..whole.len() * cut / 8]);
            workdir.run(&["import", "n", name, "--dry-run"]).fails(1, &["error: "]);
        }
        for at in (0..whole.len()).step_by(whole.len() / 24) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            workdir.write(name, &damaged);
            // Some flips only change a value: what must not happen is a crash.
            let done = workdir.run(&["import", "n", name, "--dry-run"]);
            assert!(matches!(done.code, 0 | 1), "{name} at {at}: {done:?}");
        }
    }
}

#[test]
fn files_that_are_none_of_ours() {
    let workdir = Workdir::new();
    workdir.run(&["import", "n", "none.npy"]).fails(1, &["none.npy", "cannot be opened"]);
    workdir.write("v.csv", "a,b");
    workdir.run(&["import", "n", "v.csv"]).fails(2, &["v.csv", ".parquet"]);
    workdir.write("v.npy.gz", "a,b");
    workdir.run(&["import", "n", "v.npy.gz"]).fails(1, &[".jsonl.gz"]);
    workdir.write("v.jsonl.gz", "not gzip");
    workdir.run(&["import", "n", "v.jsonl.gz"]).fails(1, &["line 1"]);
    std::fs::create_dir(workdir.path("dir.jsonl")).unwrap();
    workdir.run(&["import", "n", "dir.jsonl"]).fails(1, &["is a directory"]);
}

#[test]
fn an_unreachable_server_is_named() {
    let workdir = Workdir::new();
    workdir.write("v.jsonl", json!({"id": "a", "values": [1.0]}).to_string());
    workdir.run(&["import", "n", "v.jsonl", "--url", "127.0.0.1:1"]).fails(2, &["http://"]);
    let [port] = ports::free();
    let url = format!("http://127.0.0.1:{port}");
    workdir.run(&["import", "n", "v.jsonl", "--url", &url]).fails(1, &["cannot reach", &url, "refused"]);
    // This one listens, but speaks no TLS: that it says so shows that we do.
    let server = workdir.serve(&[]);
    let url = format!("https://{}", server.address);
    workdir.run(&["import", "n", "v.jsonl", "--url", &url]).fails(1, &["cannot reach", &url, "handshake"]);
}

#[test]
fn an_import_survives_that_its_server_is_killed_and_comes_back() {
    let workdir = Workdir::new();
    let lines = (0..2000).map(|row| json!({"id": row_id(row), "values": vector(row)}).to_string());
    workdir.write("v.jsonl", lines.collect::<Vec<_>>().join("\n"));
    let [port] = ports::free();
    let address = format!("127.0.0.1:{port}");
    let serve = || Server::start(&workdir, workdir.command(&["serve", "--listen", &address]));
    let server = serve();
    let url = server.url("");
    let mut import = workdir.command(&["import", "n", "v.jsonl", "--batch-rows", "2", "--url", &url]);
    let mut import = import.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    until("the first rows are there", || (server.curl("/v1/namespaces/n", &[]).0 == 200).then_some(()));
    drop(server);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(import.try_wait().unwrap().is_none(), "it was over before, or gave up");
    let _server = serve();
    assert!(import.wait().unwrap().success());
    assert_eq!(workdir.rows("n").len(), 2000);
}
