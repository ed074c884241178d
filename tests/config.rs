//! The configuration: precedence, refusals, the files that ship, and that secrets stay hidden.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use quiver::config::{BackendConfig, Config, Inputs, Loaded, LogFormat, Scope, Source};
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// Loads a file with this text under these variables and flags (`key=value`).
fn load(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, text).unwrap();
    let flags = flags.iter().map(|flag| flag.split_once('=').unwrap());
    let inputs = Inputs {
        files: vec![file],
        flags: flags.map(|(path, text)| (path.into(), text.into(), "--set".into())).collect(),
    };
    let environment = environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned()));
    inputs.load_with(environment.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn config(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Config {
    load(text, environment, flags).unwrap_or_else(|error| panic!("{error}")).config
}

fn refused(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> String {
    load(text, environment, flags).expect_err("was accepted")
}

fn shipped(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "config", name].iter().collect()
}

fn load_shipped(name: &str) -> Config {
    let inputs = Inputs { files: vec![shipped(name)], flags: Vec::new() };
    inputs.load_with([]).unwrap_or_else(|error| panic!("{name}: {error}")).config
}

const KEY_SHA: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn each_source_beats_the_ones_before_it() {
    let file = "[limits]\ntop_k = 1\ndimension = 1\nbatch_rows = 1\n";
    let environment = [("QUIVER_LIMITS__DIMENSION", "2"), ("QUIVER_LIMITS__BATCH_ROWS", "2")];
    let config = config(file, &environment, &["limits.batch_rows=3"]);
    assert_eq!(config.limits.top_k, 1, "file over default");
    assert_eq!(config.limits.dimension, 2, "environment over file");
    assert_eq!(config.limits.batch_rows, 3, "flag over environment");
    assert_eq!(config.limits.id_bytes, Config::default().limits.id_bytes, "default where nobody says");
}

#[test]
fn later_files_win() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let files =
        vec![write("a.toml", "[limits]\ntop_k = 1\ndimension = 1"), write("b.toml", "[limits]\ntop_k = 2")];
    let loaded = Inputs { files: files.clone(), flags: Vec::new() }.load_with([]).unwrap();
    assert_eq!((loaded.config.limits.top_k, loaded.config.limits.dimension), (2, 1));
    assert_eq!(loaded.sources["limits.top_k"], Source::File(files[1].clone()));
    assert_eq!(loaded.sources["limits.dimension"], Source::File(files[0].clone()));
}

#[test]
fn a_named_file_must_exist() {
    let inputs = Inputs { files: vec!["no/such/file.toml".into()], flags: Vec::new() };
    let error = inputs.load_with([]).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.toml: cannot be read"), "{error}");
}

#[test]
fn text_becomes_what_the_setting_needs() {
    let keys = format!(r#"[{{name = "ci", sha256 = "{KEY_SHA}", scope = "write"}}]"#);
    let config = config(
        "",
        &[
            ("QUIVER_SERVER__LISTEN", "0.0.0.0:9000"),
            ("QUIVER_SERVER__INSECURE", "true"),
            ("QUIVER_SERVER__SHUTDOWN_GRACE", "1m 30s"),
            ("QUIVER_LIMITS__BODY_BYTES", "8 MiB"),
            ("QUIVER_LIMITS__INDEX_BLOB_BYTES", "4096"),
            ("QUIVER_LIMITS__TOP_K", "1_000"),
            ("QUIVER_STORAGE__TIMEOUT", "250ms"),
            ("QUIVER_STORAGE__CONCURRENCY", "7"),
            ("QUIVER_STORAGE__RETRY__FACTOR", "1.5"),
            ("QUIVER_STORAGE__BACKEND__TYPE", "s3"),
            ("QUIVER_STORAGE__BACKEND__BUCKET", "12345"),
            ("QUIVER_STORAGE__BACKEND__ACCESS_KEY_ID", "0077"),
            ("QUIVER_STORAGE__BACKEND__SECRET_ACCESS_KEY", "true"),
            ("QUIVER_AUTH__KEYS", &keys),
            ("QUIVER_TELEMETRY__FORMAT", "json"),
        ],
        &[],
    );
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9000");
    assert!(config.server.insecure);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(90));
    assert_eq!(config.limits.body_bytes, ByteSize::mib(8));
    assert_eq!(config.limits.index_blob_bytes, ByteSize::b(4096));
    assert_eq!(config.limits.top_k, 1000);
    assert_eq!(config.storage.timeout, Some(Duration::from_millis(250)));
    assert_eq!(config.storage.concurrency, Some(7));
    assert_eq!(config.storage.retry.factor, 1.5);
    assert_eq!((config.auth.keys[0].name.as_str(), config.auth.keys[0].scope), ("ci", Scope::Write));
    assert_eq!(config.auth.keys[0].namespaces, ["*"]);
    assert_eq!(config.telemetry.format, LogFormat::Json);
    let BackendConfig::S3 { bucket, access_key_id, secret_access_key, .. } = config.storage.backend else {
        panic!("not s3");
    };
    assert_eq!(bucket, "12345", "digits are a fine name");
    assert_eq!(access_key_id.unwrap().expose_secret(), "0077");
    assert_eq!(secret_access_key.unwrap().expose_secret(), "true");
}

#[test]
fn keys_may_come_as_json() {
    let keys = format!(r#"[{{"name": "ci", "sha256": "{KEY_SHA}", "scope": "read", "namespaces": ["a*"]}}]"#);
    let config = config("", &[("QUIVER_AUTH__KEYS", &keys)], &[]);
    assert_eq!(config.auth.keys[0].namespaces, ["a*"]);
}

#[test]
fn keys_of_a_file() {
    let text = format!("[[auth.keys]]\nname = \"a\"\nsha256 = \"{KEY_SHA}\"\nscope = \"admin\"\n");
    assert_eq!(config(&text, &[], &[]).auth.keys[0].scope, Scope::Admin);
}

#[test]
fn environment_completes_the_backend_of_a_file() {
    let file = "[storage.backend]\ntype = \"s3\"\nbucket = \"from-file\"\nregion = \"r\"\n";
    let config = config(file, &[("QUIVER_STORAGE__BACKEND__BUCKET", "from-env")], &[]);
    let BackendConfig::S3 { bucket, region, root, .. } = config.storage.backend else { panic!("not s3") };
    assert_eq!((bucket.as_str(), region.as_deref(), root.as_str()), ("from-env", Some("r"), ""));
}

#[test]
fn the_default_backend_may_be_given_a_root_alone() {
    let config = config("", &[("QUIVER_STORAGE__BACKEND__ROOT", "/elsewhere")], &[]);
    assert!(matches!(config.storage.backend, BackendConfig::Fs { root } if root == Path::new("/elsewhere")));
}

#[test]
fn another_type_starts_the_backend_anew() {
    let s3 = [("QUIVER_STORAGE__BACKEND__TYPE", "s3"), ("QUIVER_STORAGE__BACKEND__BUCKET", "b")];
    let from_default = config("", &s3, &[]).storage.backend;
    assert!(matches!(from_default, BackendConfig::S3 { root, .. } if root.is_empty()), "no root leaks in");
    let from_fs = config("[storage.backend]\nroot = \"/here\"\n", &s3, &[]).storage.backend;
    assert!(matches!(from_fs, BackendConfig::S3 { root, .. } if root.is_empty()), "no root leaks in");
    let file = "[storage.backend]\ntype = \"s3\"\nbucket = \"b\"\nroot = \"prefix\"\n";
    let to_fs = config(file, &[], &["storage.backend.type=fs"]).storage.backend;
    assert!(matches!(to_fs, BackendConfig::Fs { root } if root == Path::new("data")));
    let same = config(file, &[], &["storage.backend.type=s3"]).storage.backend;
    assert!(matches!(same, BackendConfig::S3 { root, .. } if root == "prefix"), "the same type keeps it");
}

#[test]
fn unknown_keys_are_named_with_source_and_nearest() {
    let error = refused("[server]\nlissten = \"127.0.0.1:1\"\n", &[], &[]);
    assert!(error.starts_with("server.lissten (") && error.contains("test.toml"), "{error}");
    assert!(error.ends_with("is not a setting; did you mean server.listen?"), "{error}");
    let error = refused("", &[("QUIVER_SERVER__LISTN", "127.0.0.1:1")], &[]);
    assert_eq!(
        error,
        "server.listn (environment variable QUIVER_SERVER__LISTN) is not a setting; \
         did you mean server.listen (QUIVER_SERVER__LISTEN)?"
    );
    let error = refused("", &[("QUIVER_LISTEN", "127.0.0.1:1")], &[]);
    assert!(error.contains("did you mean server.listen"), "{error}");
    let error = refused("", &[], &["limits.topk=1"]);
    assert!(error.contains("limits.topk (flag --set)") && error.contains("limits.top_k"), "{error}");
    let error = refused("[nonsense]\nqqqqq = 1\n[limits]\nxxxxxxxx = 1\n", &[], &[]);
    assert_eq!(error.lines().count(), 2, "every problem is listed: {error}");
    let error = refused(
        &format!("[[auth.keys]]\nname = \"a\"\nsha256 = \"{KEY_SHA}\"\nscopes = \"read\"\n"),
        &[],
        &[],
    );
    assert!(error.contains("auth.keys[0].scopes") && error.contains("auth.keys[].scope"), "{error}");
}

#[test]
fn keys_of_another_backend_are_refused() {
    let error = refused("[storage.backend]\ntype = \"s3\"\nbucket = \"b\"\ncontainer = \"c\"\n", &[], &[]);
    assert!(error.contains("storage.backend.container") && error.contains("azblob"), "{error}");
    let error = refused("[storage.backend]\ntype = \"memory\"\nroot = \"x\"\n", &[], &[]);
    assert!(error.contains("storage.backend.root") && error.contains("memory"), "{error}");
    let error = refused("[storage.backend]\ntype = \"s4\"\n", &[], &[]);
    assert_eq!(error, "storage.backend.type: \"s4\" is not one of azblob, fs, gcs, memory, s3");
}

#[test]
fn sections_and_lists_of_the_wrong_shape_are_refused() {
    assert!(refused("server = 3\n", &[], &[]).contains("is a section of settings"));
    assert!(refused("[storage]\nbackend = \"s3\"\n", &[], &[]).contains("is a section of settings"));
    assert!(refused("[auth]\nkeys = 3\n", &[], &[]).contains("expected a list"));
    assert!(refused("[auth]\nkeys = [3]\n", &[], &[]).contains("auth.keys"));
    assert!(refused("", &[("QUIVER_AUTH__KEYS", "what")], &[]).contains("expected a list"));
    assert!(refused("", &[("QUIVER_LIMITS__TOP_K", "many")], &[]).contains("expected a number"));
    assert!(refused("", &[("QUIVER_SERVER__INSECURE", "yes please")], &[]).contains("true or false"));
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let environment = [
        ("QUIVER_API_KEY", "k"),
        ("QUIVER_URL", "http://127.0.0.1:7700"),
        ("QUIVER_PORT", "tcp://10.0.0.1:7700"),
        ("QUIVER_PORT_7700_TCP_ADDR", "10.0.0.1"),
        ("QUIVER_SERVICE_HOST", "10.0.0.1"),
        ("QUIVER_SERVICE_PORT_HTTP", "7700"),
        ("QUIVER_LIMITS__TOP_K", ""),
        ("OTHER", "x"),
    ];
    assert_eq!(config("", &environment, &[]).limits.top_k, Config::default().limits.top_k);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (flag, part) in [
        ("server.listen=localhost:1", "server.listen (flag --set)"),
        ("server.header_read_timeout=0s", "greater than 0"),
        ("server.request_timeout=10", "server.request_timeout (flag --set)"),
        ("server.max_concurrent_requests=0", "greater than 0"),
        ("limits.body_bytes=0", "greater than 0"),
        ("limits.body_bytes=lots", "limits.body_bytes (flag --set)"),
        ("limits.top_k=-1", "limits.top_k (flag --set)"),
        ("limits.top_k=1.5", "limits.top_k (flag --set)"),
        ("storage.timeout=0ms", "greater than 0"),
        ("storage.concurrency=0", "greater than 0"),
        ("storage.retry.tries=0", "greater than 0"),
        ("storage.retry.factor=0.5", "1 or more"),
        ("storage.retry.factor=nan", "1 or more"),
        ("storage.retry.max_delay=1ms", "shorter than min_delay = 500ms"),
        ("storage.backend.root=", "must not be empty"),
        ("garbage.grace=60s", "more than twice log.safe_age, which is 30s"),
        ("garbage.interval=10ms", "at least 1s"),
        ("compaction.lease=10ms", "at least 1s"),
        ("telemetry.format=xml", "telemetry.format (flag --set)"),
        ("telemetry.filter=quiver=loud", "not a filter"),
    ] {
        let error = refused("", &[], &[flag]);
        assert!(error.contains(part), "{flag}: {error}");
        assert!(error.contains(flag.split('=').next().unwrap()), "{flag}: {error}");
    }
}

#[test]
fn api_keys_are_checked() {
    let key = |name: &str, sha: &str, rest: &str| {
        format!("[[auth.keys]]\nname = \"{name}\"\nsha256 = \"{sha}\"\nscope = \"read\"\n{rest}\n")
    };
    let other = KEY_SHA.replace('0', "1");
    for (text, part) in [
        (key("a", "abc", ""), "auth.keys[0].sha256"),
        (key("a", &KEY_SHA.to_uppercase(), ""), "64 lower-case hexadecimal digits"),
        (key("", KEY_SHA, ""), "auth.keys[0].name"),
        (key("a", KEY_SHA, "") + &key("a", &other, ""), "auth.keys[1].name"),
        (key("a", KEY_SHA, "") + &key("b", KEY_SHA, ""), "auth.keys[1].sha256"),
        (key("a", KEY_SHA, "namespaces = []"), "auth.keys[0].namespaces"),
        ("[[auth.keys]]\nname = \"a\"\n".to_owned(), "sha256"),
        (key("a", KEY_SHA, "").replace("read", "root"), "root"),
    ] {
        let error = refused(&text, &[], &[]);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn backends_are_checked() {
    let backend = |text: &str| refused(&format!("[storage.backend]\n{text}"), &[], &[]);
    assert!(backend("type = \"s3\"").contains("storage.backend.bucket is required"));
    assert!(backend("type = \"s3\"\nbucket = \"\"").contains("must not be empty"));
    assert!(backend("type = \"s3\"\nbucket = \"b\"\nendpoint = \"host:1\"").contains("http://"));
    assert!(backend("type = \"s3\"\nbucket = \"b\"\naccess_key_id = \"a\"").contains("together"));
    assert!(backend("type = \"azblob\"\ncontainer = \"c\"").contains("storage.backend.endpoint is required"));
    let azure = "type = \"azblob\"\ncontainer = \"c\"\nendpoint = \"http://h\"\naccount_key = \"k\"";
    assert!(backend(azure).contains("storage.backend.account_name"));
    let both = "type = \"gcs\"\nbucket = \"b\"\ncredential = \"c\"\nanonymous = true";
    assert!(backend(both).contains("only one of"));
}

#[test]
fn the_default_file_is_the_defaults() {
    let (file, defaults) = (load_shipped("default.toml"), Config::default());
    assert_eq!(toml::to_string(&file).unwrap(), toml::to_string(&defaults).unwrap());
    // And it names each of them, instead of leaving them out.
    let written: toml::Table = std::fs::read_to_string(shipped("default.toml")).unwrap().parse().unwrap();
    let all = toml::Value::try_from(&defaults).unwrap();
    assert_same_keys("", &all, &toml::Value::Table(written));
}

fn assert_same_keys(path: &str, expected: &toml::Value, actual: &toml::Value) {
    for (key, value) in expected.as_table().into_iter().flatten() {
        let found = actual.get(key).unwrap_or_else(|| panic!("default.toml lacks {path}{key}"));
        assert_same_keys(&format!("{path}{key}."), value, found);
    }
}

#[test]
fn every_example_loads() {
    let backend = |name: &str| load_shipped(name).storage.backend;
    assert!(matches!(backend("fs.toml"), BackendConfig::Fs { root } if root == Path::new("data")));
    assert!(matches!(backend("memory.toml"), BackendConfig::Memory {}));
    assert!(matches!(backend("s3.toml"), BackendConfig::S3 { bucket, root, .. }
        if bucket == "my-vectors" && root == "quiver"));
    assert!(
        matches!(backend("azblob.toml"), BackendConfig::Azblob { container, .. } if container == "my-vectors")
    );
    assert!(matches!(backend("gcs.toml"), BackendConfig::Gcs { bucket, .. } if bucket == "my-vectors"));
    let files = std::fs::read_dir(shipped("")).unwrap();
    for file in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
        load_shipped(&file);
    }
}

#[test]
fn secrets_are_never_shown() {
    const SECRET: &str = "correct-horse-battery-staple";
    let backends = [
        ("s3", "bucket = \"b\"", vec!["access_key_id", "secret_access_key", "session_token"]),
        ("azblob", "container = \"c\"\nendpoint = \"http://h\"\naccount_name = \"n\"", vec!["account_key"]),
        ("azblob", "container = \"c\"\nendpoint = \"http://h\"", vec!["sas_token"]),
        ("gcs", "bucket = \"b\"", vec!["credential"]),
    ];
    for (kind, rest, secrets) in backends {
        let mut text = format!("[storage.backend]\ntype = \"{kind}\"\n{rest}\n");
        for secret in &secrets {
            text.push_str(&format!("{secret} = \"{SECRET}\"\n"));
        }
        let loaded = load(&text, &[], &[]).unwrap();
        let shown = loaded.to_toml();
        assert_eq!(shown.matches("\"<hidden>\"").count(), secrets.len(), "{shown}");
        for shown in [shown, format!("{loaded:?}"), serde_json::to_string(&loaded.config).unwrap()] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        // Broken in various ways, the error does not quote it either.
        let broken = [
            text.replace(&format!("\"{SECRET}\""), &format!("\"{SECRET}")),
            text.replace(&format!("\"{SECRET}\""), &format!("[\"{SECRET}\"]")),
            text.replace(&format!("\"{SECRET}\""), &format!("{{ a = \"{SECRET}\" }}")),
            text.replace("type = ", "typo = "),
        ];
        for text in broken {
            let error = refused(&text, &[], &[]);
            assert!(!error.contains(SECRET), "{error}");
        }
    }
    let error = refused("", &[("QUIVER_SERVER__SECRET", SECRET)], &[]);
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn the_printed_configuration_loads_again_and_names_sources() {
    let keys = format!(r#"[{{name = "ci", sha256 = "{KEY_SHA}", scope = "write"}}]"#);
    let environment = [("QUIVER_LIMITS__TOP_K", "5"), ("QUIVER_AUTH__KEYS", keys.as_str())];
    let file = "[server]\nshutdown_grace = \"7s\"\n[storage]\ntimeout = \"3s\"\n";
    let loaded = load(file, &environment, &["telemetry.format=json"]).unwrap();
    let printed = loaded.to_toml();
    for part in [
        "top_k = 5  # environment variable QUIVER_LIMITS__TOP_K",
        "format = \"json\"  # flag --set",
        "[[auth.keys]]  # environment variable QUIVER_AUTH__KEYS",
        "dimension = 16384\n",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    assert!(printed.contains("shutdown_grace = \"7s\"  # /"), "{printed}");
    let again = config(&printed, &[], &[]);
    assert_eq!(toml::to_string(&again).unwrap(), toml::to_string(&loaded.config).unwrap());
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let error = refused("[server]\nlisten = \n", &[], &[]);
    assert!(error.contains("test.toml:2: not TOML"), "{error}");
}
