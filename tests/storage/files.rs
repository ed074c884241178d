//! What is particular to the fs backend: crashes, leftovers, other processes, broken directories.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use quiver::{
    config::BackendConfig,
    storage::{Key, Operation, Store, StoreErrorKind},
};

use crate::bed::{Bed, Keys};

/// Where a child process finds the directory that it works in.
const CHILD_ROOT: &str = "QUIVER_TEST_CHILD_ROOT";
const LENGTH: usize = 3 << 20;

fn at(root: &Path) -> Bed {
    Bed::new(BackendConfig::Fs { root: root.into() }, 0)
}

/// Runs one of the `child_…` tests below as a process of its own.
fn child(test: &str, root: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command
        .args(["--exact", &format!("files::{test}"), "--include-ignored", "--nocapture"])
        .env(CHILD_ROOT, root)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn child_store() -> Option<Store> {
    Some(at(Path::new(&env::var_os(CHILD_ROOT)?)).store())
}

fn counter(at: usize) -> Key {
    quiver::storage::keys::probe(uuid::Uuid::nil(), &format!("log/{at:020}"))
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_appends() {
    let Some(store) = child_store() else { return };
    for seq in 0.. {
        let fill = (seq % 251) as u8;
        match store.put_if_absent(&counter(seq), vec![fill; LENGTH].into()).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}"),
        }
    }
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_counts() {
    let Some(store) = child_store() else { return };
    let key = counter(0);
    let mut done = 0;
    while done < 100 {
        let object = store.get(&key).await.expect("it exists");
        let count: u64 = String::from_utf8_lossy(&object.bytes).parse().expect("a number");
        match store.cas(&key, &object.tag, (count + 1).to_string().into()).await {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}"),
        }
    }
}

#[tokio::test]
#[ignore = "a child process of another test"]
async fn child_that_runs_out_of_room() {
    let Some(store) = child_store() else { return };
    for _ in 0..3 {
        let error = store.put_if_absent(&counter(0), vec![1; LENGTH].into()).await.expect_err("no room");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
        let error = store.put(&counter(1), vec![1; LENGTH].into()).await.expect_err("no room");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    }
    assert!(store.list("", None, 9).await.expect("listed").is_empty());
    store.put_if_absent(&counter(0), "small".into()).await.expect("there is room for this");
}

/// The limit on a file's size stands for a full disk: a write stops half-way with an error.
#[tokio::test]
async fn a_write_without_room_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = child("child_that_runs_out_of_room", dir.path());
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""]).arg(run.get_program());
    limited.args(run.get_args()).env(CHILD_ROOT, dir.path());
    let output = limited.output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(temporaries(dir.path()).is_empty());
    assert_eq!(at(dir.path()).store().get(&counter(0)).await.expect("it exists").bytes, "small");
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_objects_or_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut killed_halfway = 0;
    for round in 0..20 {
        let mut writer = child("child_that_appends", dir.path()).spawn().expect("a child");
        tokio::time::sleep(Duration::from_millis(60 + 17 * round)).await;
        writer.kill().expect("it runs until killed");
        writer.wait().expect("it ended");
        killed_halfway += temporaries(dir.path()).len().min(1);

        let store = at(dir.path()).store();
        let listed = store.list("", None, usize::MAX).await.expect("listed");
        for (seq, entry) in listed.iter().enumerate() {
            assert_eq!(entry.key, counter(seq), "a writer's objects are gapless");
            assert_eq!(entry.size as usize, LENGTH);
        }
        if let Some(last) = listed.len().checked_sub(1) {
            let bytes = store.get(&counter(last)).await.expect("it is listed").bytes;
            assert!(bytes.iter().all(|byte| *byte == (last % 251) as u8), "mixed content");
        }
    }
    assert!(killed_halfway > 0, "no writer was killed in the middle of a write: nothing was tested");
}

fn temporaries(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                dirs.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with("~tmp-") {
                found.push(entry.path());
            }
        }
    }
    found
}

#[tokio::test]
async fn leftovers_are_hidden_and_swept_when_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = Keys::new();
    let store = at(dir.path()).store();
    store.put(&names.key("a"), "x".into()).await.expect("written");
    let folder = dir.path().join(names.prefix());
    let (old, young) = (folder.join("~tmp-old"), folder.join("~tmp-young"));
    fs::write(&old, "x").expect("written");
    fs::write(&young, "x").expect("written");
    let age = SystemTime::now() - Duration::from_secs(2 * 3600);
    fs::File::options().write(true).open(&old).and_then(|file| file.set_modified(age)).expect("aged");

    let listed = store.list("", None, 100).await.expect("listed");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let _again = at(dir.path()).store();
    let deadline = Instant::now() + Duration::from_secs(10);
    while old.exists() {
        assert!(Instant::now() < deadline, "the old one is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(young.exists(), "the young one may belong to a living writer");
}

#[tokio::test]
async fn writes_leave_nothing_but_the_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = at(dir.path()).store();
    let names = Keys::new();
    let key = names.key("log");
    let tag = store.put_if_absent(&key, "x".into()).await.expect("written");
    store.put_if_absent(&key, "y".into()).await.expect_err("exists");
    store.put(&key, "x".into()).await.expect("written");
    store.cas(&key, &tag, "z".into()).await.expect("current");
    store.cas(&key, &tag, "z".into()).await.expect_err("stale");
    assert!(temporaries(dir.path()).is_empty());
    let links = fs::metadata(dir.path().join(key.as_str())).expect("it exists").nlink();
    assert_eq!(links, 1, "no second name");
}

#[tokio::test]
async fn compare_and_swap_holds_across_processes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = at(dir.path()).store();
    store.put_if_absent(&counter(0), "0".into()).await.expect("written");
    let children: Vec<_> =
        (0..4).map(|_| child("child_that_counts", dir.path()).spawn().expect("a child")).collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(store.get(&counter(0)).await.expect("it exists").bytes, "400");
}

#[tokio::test]
async fn what_no_retry_mends_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = at(dir.path()).store_over(&Default::default());
    let names = Keys::new();
    let key = names.key("log");
    // A file stands where a directory must be.
    fs::write(dir.path().join("probe"), "in the way").expect("written");
    for error in [
        store.put(&key, "x".into()).await.expect_err("no directory"),
        store.put_if_absent(&key, "x".into()).await.map(drop).expect_err("no directory"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    }
    assert_eq!(store.requests(Operation::Put), 1, "not retried");
    assert!(store.list("probe/", None, 9).await.expect("listed").is_empty());
    fs::remove_file(dir.path().join("probe")).expect("removed");
    store.put_if_absent(&key, "x".into()).await.expect("it works again");

    let too_long = dir.path().join("x".repeat(300));
    let error = Store::open(&at(&too_long).config, Default::default()).expect_err("too long a name");
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    let a_file = dir.path().join("file");
    fs::write(&a_file, "x").expect("written");
    let error = Store::open(&at(&a_file).config, Default::default()).expect_err("not a directory");
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn a_directory_that_vanished_is_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    let store = at(&root).store();
    let names = Keys::new();
    store.put(&names.key("a"), "x".into()).await.expect("written");
    fs::remove_dir_all(root.join("probe")).expect("removed");
    store.put_if_absent(&names.key("a"), "x".into()).await.expect("written");
    assert_eq!(store.get(&names.key("a")).await.expect("it exists").bytes, "x");
}
