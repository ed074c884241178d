//! `verify`: whole data is called whole, damage is named.

use serde_json::json;

use crate::shared::program::{Workdir, names};

fn fill(workdir: &Workdir, namespace: &str) {
    for id in ["a", "b", "c"] {
        workdir.write("v.jsonl", json!({"id": id, "values": [1.0, 2.0]}).to_string());
        workdir.run(&["import", namespace, "v.jsonl"]).ok();
    }
}

/// The newest log entry of a namespace on fs.
fn newest_entry(workdir: &Workdir, namespace: &str) -> std::path::PathBuf {
    let folder = workdir.path("data/namespaces").join(namespace);
    let incarnation = names(&folder).into_iter().find(|name| folder.join(name).is_dir()).unwrap();
    let log = folder.join(incarnation).join("log");
    log.join(names(&log).pop().unwrap())
}

#[test]
fn whole_namespaces_are_called_whole() {
    let workdir = Workdir::new();
    workdir.run(&["verify"]).ok();
    fill(&workdir, "one");
    fill(&workdir, "two");
    let report = workdir.run(&["verify"]).ok().stdout;
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 2, "{report}");
    for (line, name) in lines.iter().zip(["one", "two"]) {
        assert!(line.starts_with(&format!("{name}: whole; ")) && line.ends_with("3 rows"), "{line}");
    }
    assert_eq!(workdir.run(&["verify", "two"]).ok().stdout.trim(), lines[1]);
    workdir.run(&["verify", "none"]).fails(1, &["none", "does not exist"]);
}

#[test]
fn damage_is_named_and_others_are_not_affected() {
    let workdir = Workdir::new();
    fill(&workdir, "good");
    fill(&workdir, "bad");
    let entry = newest_entry(&workdir, "bad");
    let mut bytes = std::fs::read(&entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&entry, &bytes).unwrap();
    let done = workdir.run(&["verify"]).fails(1, &["1 of 2 namespaces"]);
    let name = entry.file_name().unwrap().to_str().unwrap();
    assert!(done.stdout.contains("bad: 1 problem") && done.stdout.contains(name), "{}", done.stdout);
    assert!(done.stdout.contains("good: whole"), "{}", done.stdout);
    workdir.run(&["verify", "good"]).ok();

    let manifest = workdir.path("data/namespaces/good/manifest");
    std::fs::write(&manifest, "{}").unwrap();
    let done = workdir.run(&["verify", "good"]).fails(1, &["1 of 1"]);
    assert!(done.stdout.contains("namespaces/good/manifest"), "{}", done.stdout);
}

#[test]
fn what_nothing_refers_to_is_reported_and_repaired_away() {
    let workdir = Workdir::new();
    fill(&workdir, "one");
    let namespace = workdir.path("data/namespaces/one");
    let incarnation = names(&namespace).into_iter().find(|name| namespace.join(name).is_dir()).unwrap();
    // Two objects of a fold that came to nothing, a file of somebody else, and a lost marker.
    let id = "018f0000-0000-7000-8000-000000000001";
    for object in ["data.arrow", "lookup"] {
        workdir.write(&format!("data/namespaces/one/{incarnation}/segments/{id}/{object}"), "left");
    }
    workdir.write("data/namespaces/one/notes.txt", "mine");
    std::fs::remove_file(workdir.path("data/catalog/one")).unwrap();
    let report = workdir.run(&["verify", "one"]).fails(1, &["1 of 1"]).stdout;
    for part in ["2 objects (8 B) wait to be collected", "notes.txt: not one of ours", "is missing"] {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
    workdir.run(&["verify", "one", "--repair"]).fails(2, &["--repair"]);
    let short = ["--set", "garbage.grace=1s", "--set", "log.safe_age=100ms"];
    let repair: Vec<_> = ["verify", "--repair"].into_iter().chain(short).collect();
    let said = workdir.run(&repair).ok().stdout;
    assert!(said.contains("removed 0 objects") && said.contains("1 namespaces were missing"), "{said}");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let said = workdir.run(&repair).ok().stdout;
    assert!(said.contains("repair: removed 2 objects (8 B)"), "{said}");
    assert!(workdir.path("data/namespaces/one/notes.txt").exists());
    let report = workdir.run(&["verify"]).ok().stdout;
    assert!(report.contains("one: whole") && !report.contains("wait"), "{report}");
}
