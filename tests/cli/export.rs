//! `export`: what import reads back, and never half a file.

use serde_json::{Value, json};

use crate::{
    files::{self, Float},
    shared::program::{Workdir, names},
};

/// A namespace of 300 rows with odd ids, metadata, and a row that expires some day.
fn fill(workdir: &Workdir) {
    let lines = (0..300).map(|row| match row {
        0 => json!({"id": "../\n\u{1f600}\"", "values": [1e-30, -0.1, 3.4e38]}),
        1 => json!({"id": "expires", "values": [1, 2, 3], "ttl_seconds": 86400}),
        2 => json!({"id": "bare", "values": null, "metadata": {"t": "no vector"}}),
        row => {
            json!({"id": row.to_string(), "values": [row, 0.1, -0.0], "metadata": {"n": row, "t": "é\u{0}"}})
        }
    });
    workdir.write("in.jsonl", lines.map(|line| line.to_string()).collect::<Vec<_>>().join("\n"));
    workdir.run(&["import", "n", "in.jsonl"]).ok();
}

/// The rows of a namespace, without the seconds that pass between two looks.
fn rows(workdir: &Workdir, namespace: &str) -> Vec<Value> {
    let mut rows = workdir.rows(namespace);
    for row in &mut rows {
        if let Some(ttl) = row.get_mut("ttl_seconds") {
            let seconds = ttl.as_u64().unwrap();
            assert!((86_000..=86_400).contains(&seconds), "{seconds}");
            *ttl = json!("about a day");
        }
    }
    rows
}

#[test]
fn import_of_an_export_gives_the_same_rows() {
    let workdir = Workdir::new();
    fill(&workdir);
    let original = rows(&workdir, "n");
    assert_eq!(original.len(), 300);
    // A page is bounded by a limit, so that these take several.
    for file in ["out.jsonl", "out.ndjson", "out.jsonl.gz", "out.arrow", "out.feather", "out.arrows"] {
        workdir.run(&["export", "n", "-o", file, "--set", "limits.page_rows=7"]).ok();
        let copy = file.replace('.', "-");
        workdir.run(&["import", &copy, file]).ok();
        assert_eq!(rows(&workdir, &copy), original, "{file}");
    }
    assert!(
        names(&workdir.path("")).iter().all(|name| !name.contains("partial")),
        "no temporary file is left"
    );
}

#[test]
fn rows_without_vectors_go_the_whole_round() {
    let workdir = Workdir::new();
    let line = |row: usize| json!({"id": format!("r{row}"), "values": null, "metadata": {"t": row}});
    workdir.write("in.jsonl", (0..20).map(|row| line(row).to_string()).collect::<Vec<_>>().join("\n"));
    workdir.run(&["import", "n", "in.jsonl"]).ok();
    let original = workdir.rows("n");
    assert_eq!(original.len(), 20);
    for file in ["out.jsonl", "out.arrow", "out.arrows"] {
        workdir.run(&["export", "n", "-o", file]).ok();
        let copy = file.replace('.', "-");
        workdir.run(&["import", &copy, file]).ok();
        assert_eq!(workdir.rows(&copy), original, "{file}");
        let server = workdir.serve(&[]);
        workdir.run(&["import", &format!("{copy}-by-server"), file, "--url", &server.url("")]).ok();
        drop(server);
        assert_eq!(workdir.rows(&format!("{copy}-by-server")), original, "{file}");
    }
    // What is missing is no null.
    workdir.write("bad.jsonl", json!({"id": "a", "metadata": {}}).to_string());
    workdir.run(&["import", "n", "bad.jsonl"]).fails(1, &["line 1", "missing field `values`"]);
}

#[test]
fn arrow_to_stdout_is_a_stream() {
    let workdir = Workdir::new();
    workdir.write("v.npy", files::npy(3, Float::F4));
    workdir.run(&["import", "n", "v.npy"]).ok();
    let output = workdir.command(&["export", "n", "--format", "arrow"]).output().unwrap();
    assert!(output.status.success());
    let reader = arrow_ipc::reader::StreamReader::try_new(&output.stdout[..], None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 3);
}

#[test]
fn what_fails_leaves_no_file_and_keeps_the_old_one() {
    let workdir = Workdir::new();
    workdir.write("old.jsonl", "old");
    workdir.run(&["export", "none", "-o", "old.jsonl"]).fails(1, &["none", "does not exist"]);
    assert_eq!(workdir.read("old.jsonl"), "old");
    assert!(names(&workdir.path("")).iter().all(|name| !name.contains("partial")));
    workdir.run(&["export", "none", "-o", "x.csv"]).fails(2, &["x.csv", "--format"]);
    fill(&workdir);
    workdir.run(&["export", "n", "-o", "no/such/folder.jsonl"]).fails(1, &["cannot write", "folder.jsonl"]);
    workdir.run(&["export", "n", "-o", "old.jsonl"]).ok();
    assert_eq!(workdir.read("old.jsonl").lines().count(), 300);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let workdir = Workdir::new();
    fill(&workdir);
    for format in ["jsonl", "arrow"] {
        let mut export = workdir.command(&["export", "n", "--format", format]);
        let mut child = export.stdout(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{format}");
    }
}

#[test]
fn an_empty_namespace_makes_an_empty_file() {
    let workdir = Workdir::new();
    let server = workdir.serve(&[]);
    server.post("/v1/namespaces", &json!({"name": "n", "dimension": 3}));
    for file in ["out.jsonl", "out.arrow"] {
        workdir.run(&["export", "n", "-o", file]).ok();
        workdir.run(&["import", "copy", file]).ok();
    }
    assert_eq!(workdir.read("out.jsonl"), "");
}
