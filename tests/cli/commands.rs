//! Help, usage, `config`, `keygen`, `openapi`.

use quiver::config::Inputs;
use sha2::{Digest, Sha256};

use crate::shared::program::Workdir;

const COMMANDS: [&str; 8] = ["serve", "health", "import", "export", "verify", "openapi", "config", "keygen"];

#[test]
fn help_tells_commands_examples_defaults_and_environment() {
    let workdir = Workdir::new();
    let help = workdir.run(&["--help"]).ok().stdout;
    let parts =
        COMMANDS.iter().copied().chain(["Examples:", "QUIVER_SERVER__LISTEN", "--set", "Exit codes:"]);
    for part in parts {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
    for command in COMMANDS {
        let help = workdir.run(&[command, "--help"]).ok().stdout;
        assert!(help.contains("Usage: quiver"), "{help}");
    }
    for command in ["serve", "import", "export", "verify"] {
        assert!(workdir.run(&[command, "--help"]).stdout.contains("Examples:"), "{command}");
    }
    let version = workdir.run(&["--version"]).ok().stdout;
    assert_eq!(version.trim(), format!("quiver {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_with_2() {
    let workdir = Workdir::new();
    workdir.run(&["swerve"]).fails(2, &["swerve", "serve"]);
    workdir.run(&["serve", "--prot", "1"]).fails(2, &["--prot"]);
    workdir.run(&["config", "--set", "limits.top_k"]).fails(2, &["KEY=VALUE"]);
    workdir.run(&["config", "--set", "limit.top_k=1"]).fails(2, &["limits.top_k", "hint: "]);
    workdir.run(&["config", "--config", "none.toml"]).fails(2, &["none.toml"]);
    workdir.run(&["export", "a/b"]).fails(2, &["namespace name"]);
    workdir.run(&["import", "..", "x.npy"]).fails(2, &["namespace name"]);
}

#[test]
fn config_tells_who_set_what() {
    let workdir = Workdir::new();
    workdir.write("config/quiver.toml", "[limits]\ntop_k = 7\n");
    let printed = workdir
        .run_with(
            &[("QUIVER_LIMITS__BATCH_ROWS", "8")],
            &["config", "--data", "elsewhere", "--log-format", "json", "--set", "limits.page_rows=9"],
        )
        .ok()
        .stdout;
    for part in [
        "top_k = 7  # config/quiver.toml",
        "batch_rows = 8  # environment variable QUIVER_LIMITS__BATCH_ROWS",
        "page_rows = 9  # flag --set",
        "root = \"elsewhere\"  # flag --data",
        "format = \"json\"  # flag --log-format",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    // The file in the working directory itself comes first, and is then the only one.
    workdir.write("quiver.toml", "[limits]\ndimension = 5\n");
    let printed = workdir.run(&["config"]).ok().stdout;
    assert!(
        printed.contains("dimension = 5  # quiver.toml") && printed.contains("top_k = 10000\n"),
        "{printed}"
    );
    let named = workdir.run(&["config", "--config", "config/quiver.toml"]).ok().stdout;
    assert!(named.contains("top_k = 7") && named.contains("dimension = 16384\n"), "{named}");
}

#[test]
fn config_hides_secrets() {
    let workdir = Workdir::new();
    let environment = [
        ("QUIVER_STORAGE__BACKEND__TYPE", "s3"),
        ("QUIVER_STORAGE__BACKEND__BUCKET", "b"),
        ("QUIVER_STORAGE__BACKEND__ACCESS_KEY_ID", "AKIA-secret"),
        ("QUIVER_STORAGE__BACKEND__SECRET_ACCESS_KEY", "very-secret"),
        ("QUIVER_API_KEY", "qv_secret"),
    ];
    let done = workdir.run_with(&environment, &["config"]).ok();
    assert!(done.stdout.contains("secret_access_key = \"<hidden>\""), "{}", done.stdout);
    assert!(!done.stdout.replace("secret_access_key", "").contains("secret"), "{}", done.stdout);
    let help = workdir.run_with(&environment, &["import", "--help"]).ok().stdout;
    assert!(!help.contains("qv_secret"), "{help}");
}

#[test]
fn config_defaults_is_a_file_to_start_from() {
    let workdir = Workdir::new();
    let defaults = workdir.run(&["config", "--defaults"]).ok().stdout;
    let plain = workdir.run(&["config"]).ok().stdout;
    workdir.write("quiver.toml", &defaults);
    let with_file = workdir.run(&["config"]).ok().stdout.replace("  # quiver.toml", "");
    assert_eq!(with_file, plain);
}

#[test]
fn keygen_makes_a_key_and_the_block_that_accepts_it() {
    let workdir = Workdir::new();
    let arguments =
        ["keygen", "--name", "in\"gest", "--scope", "write", "--namespace", "a*", "--namespace", "b"];
    let (first, second) = (workdir.run(&arguments).ok().stdout, workdir.run(&arguments).ok().stdout);
    assert_ne!(first, second, "keys are random");
    let key = first.lines().find_map(|line| line.strip_prefix("# qv_")).unwrap();
    assert_eq!(key.len(), 64, "256 bits");
    let file = workdir.write("keys.toml", &first);
    let loaded = Inputs { files: vec![file], flags: Vec::new() }.load_with([]).unwrap();
    let [block] = &loaded.config.auth.keys[..] else { panic!("{first}") };
    let digest: String =
        Sha256::digest(format!("qv_{key}")).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((block.name.as_str(), &block.sha256), ("in\"gest", &digest));
    assert_eq!(block.namespaces, ["a*", "b"]);
}

#[test]
fn openapi_prints_the_document() {
    let printed = Workdir::new().run(&["openapi"]).ok().stdout;
    let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert!(document["paths"].as_object().unwrap().len() > 10);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let workdir = Workdir::new();
    let mut child = workdir.command(&["openapi"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
