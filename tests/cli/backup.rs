//! `backup` and `restore`: what comes back is what was there.

use serde_json::json;

use crate::shared::program::Workdir;

fn fill(workdir: &Workdir, namespace: &str, rows: usize) {
    let lines: Vec<String> = (0..rows)
        .map(|row| {
            // One row has no vector.
            let values = (row != 5).then_some([row as f64, 1.5]);
            json!({"id": format!("r{row}"), "values": values, "metadata": {"row": row}}).to_string()
        })
        .collect();
    workdir.write("v.jsonl", lines.join("\n"));
    workdir.run(&["import", namespace, "v.jsonl"]).ok();
}

fn export(workdir: &Workdir, namespace: &str) -> String {
    workdir.run(&["export", namespace, "-o", "out.jsonl"]).ok();
    std::fs::read_to_string(workdir.path("out.jsonl")).unwrap()
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let workdir = Workdir::new();
    fill(&workdir, "one", 40);
    fill(&workdir, "two", 7);
    let (one, two) = (export(&workdir, "one"), export(&workdir, "two"));
    let done = workdir.run(&["backup", "--to", "saved"]).ok();
    assert!(done.stderr.contains("one: 40 rows") && done.stderr.contains("two: 7 rows"), "{}", done.stderr);
    workdir.run(&["backup", "one", "--to", "saved"]).fails(1, &["one", "already exists", "1 of 1"]);
    // The backup is a store like any other.
    let verified = workdir.run(&["verify", "--set", "storage.backend.root=saved"]).ok().stdout;
    assert!(verified.contains("one: whole; 2 segments, 0 log entries"), "{verified}");

    fill(&workdir, "one", 50);
    workdir.run(&["restore", "--from", "saved"]).fails(1, &["one", "already exists", "2 of 2"]);
    workdir.run(&["restore", "one", "--from", "saved", "--into", "one-before"]).ok();
    assert_eq!(export(&workdir, "one-before"), one);
    std::fs::remove_dir_all(workdir.path("data")).unwrap();
    workdir.run(&["restore", "--from", "saved"]).ok();
    assert_eq!((export(&workdir, "one"), export(&workdir, "two")), (one, two));
}

#[test]
fn wrong_usage_is_explained() {
    let workdir = Workdir::new();
    fill(&workdir, "one", 3);
    workdir.run(&["restore", "--from", "nowhere"]).fails(2, &["nowhere", "no such folder"]);
    workdir.run(&["backup", "--to", "data"]).fails(2, &["both stores are the same"]);
    workdir.run(&["backup", "none", "--to", "saved"]).fails(1, &["none", "does not exist"]);
    workdir.run(&["restore", "--from", "data", "--into", "x"]).fails(2, &["NAMESPACES"]);
}
