//! Every setting's path and kind, derived from the configuration structs themselves.
//!
//! The environment and `--set` carry text only: whether `12345` is a number or a bucket's name
//! depends on the setting. And an unknown key deserves the name of the key that was meant. Both
//! need a list of all settings; it is taken from sample values, one for each backend, so that a
//! new field cannot be forgotten: the samples do not compile without it.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;
use figment::value::Value;
use secrecy::SecretString;

use super::{
    ApiKeyConfig, AuthConfig, BackendConfig, CacheConfig, Config, RetryConfig, Scope, StorageConfig,
};

/// The path of the backend's settings.
pub(super) const BACKEND: &str = "storage.backend";

/// What text for a setting is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, and what is parsed from text: durations, sizes, addresses, names.
    Text,
    /// Text that is never shown.
    Secret,
    /// An integer or a float.
    Number,
    /// True or false.
    Bool,
    /// A list; the keys of its elements are in the schema as `path[].key`.
    List,
}

/// All settings.
#[derive(Debug)]
pub(super) struct Schema {
    kinds: BTreeMap<String, Kind>,
    backends: BTreeMap<String, Vec<String>>,
}

impl Schema {
    pub fn new() -> Self {
        let mut schema = Self { kinds: BTreeMap::new(), backends: BTreeMap::new() };
        for backend in sample_backends() {
            let mut keys = Vec::new();
            // Serialising plain structs into figment's values has no way to fail.
            if let Ok(value) = Value::serialize(sample(backend)) {
                collect(String::new(), &value, &mut |path, kind| keys.push((path, kind)));
                let of_backend =
                    keys.iter().map(|(path, _)| path.clone()).filter(|path| path.starts_with(BACKEND));
                if let Some(name) = value.find_ref("storage.backend.type").and_then(Value::as_str) {
                    schema.backends.insert(name.into(), of_backend.collect());
                }
            }
            schema.kinds.extend(keys);
        }
        schema
    }

    /// The kind of a setting, if there is one of that path.
    pub fn kind(&self, path: &str) -> Option<Kind> {
        self.kinds.get(path).copied()
    }

    /// Whether `path` is a section, such as `server`.
    pub fn is_section(&self, path: &str) -> bool {
        let prefix = format!("{path}.");
        self.kinds.keys().any(|key| key.starts_with(&prefix))
    }

    /// The names of the backends.
    pub fn backends(&self) -> Vec<&str> {
        self.backends.keys().map(String::as_str).collect()
    }

    /// The backends that have a setting of that path.
    pub fn backends_with(&self, path: &str) -> Vec<&str> {
        let has = |(_, keys): &(&String, &Vec<String>)| keys.iter().any(|key| key == path);
        self.backends.iter().filter(has).map(|(name, _)| name.as_str()).collect()
    }

    /// The setting that was probably meant by `path`.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let score = |known: &str| {
            let by_name = strsim::normalized_damerau_levenshtein(&last(path), &last(known)) * 0.95;
            strsim::normalized_damerau_levenshtein(path, known).max(by_name)
        };
        let scored = self.kinds.keys().map(|known| (score(known), known.as_str()));
        scored.filter(|(score, _)| *score > 0.65).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
    }

    /// Every path.
    #[cfg(test)]
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}

fn collect(path: String, value: &Value, emit: &mut impl FnMut(String, Kind)) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(path, value, emit);
            }
        }
        Value::Array(_, elements) => {
            if let Some(element @ Value::Dict(..)) = elements.first() {
                collect(format!("{path}[]"), element, emit);
            }
            emit(path, Kind::List);
        }
        Value::Bool(..) => emit(path, Kind::Bool),
        Value::Num(..) => emit(path, Kind::Number),
        Value::String(_, text) if text == super::HIDDEN => emit(path, Kind::Secret),
        Value::String(..) | Value::Char(..) | Value::Empty(..) => emit(path, Kind::Text),
    }
}

/// A configuration in which everything is set.
fn sample(backend: BackendConfig) -> Config {
    let key = ApiKeyConfig {
        name: "sample".into(),
        sha256: "0".repeat(64),
        scope: Scope::Read,
        namespaces: vec!["*".into()],
    };
    Config {
        auth: AuthConfig { keys: vec![key] },
        cache: CacheConfig {
            disk_path: Some("sample".into()),
            memory_bytes: Some(ByteSize::mib(1)),
            ..CacheConfig::default()
        },
        storage: StorageConfig {
            backend,
            retry: RetryConfig::default(),
            timeout: Some(Duration::from_secs(1)),
            concurrency: Some(1),
        },
        ..Config::default()
    }
}

fn sample_backends() -> [BackendConfig; 5] {
    let text = || "sample".to_owned();
    let secret = || Some(SecretString::from("sample"));
    [
        BackendConfig::Fs { root: text().into() },
        BackendConfig::Memory {},
        BackendConfig::S3 {
            bucket: text(),
            root: text(),
            endpoint: Some(text()),
            region: Some(text()),
            access_key_id: secret(),
            secret_access_key: secret(),
            session_token: secret(),
        },
        BackendConfig::Azblob {
            container: text(),
            root: text(),
            endpoint: text(),
            account_name: Some(text()),
            account_key: secret(),
            sas_token: secret(),
        },
        BackendConfig::Gcs {
            bucket: text(),
            root: text(),
            endpoint: Some(text()),
            credential: secret(),
            credential_path: Some(text().into()),
            anonymous: true,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_structs() {
        let schema = Schema::new();
        for (path, kind) in [
            ("server.listen", Kind::Text),
            ("server.insecure", Kind::Bool),
            ("limits.body_bytes", Kind::Text),
            ("limits.top_k", Kind::Number),
            ("storage.timeout", Kind::Text),
            ("storage.concurrency", Kind::Number),
            ("storage.backend.type", Kind::Text),
            ("storage.backend.secret_access_key", Kind::Secret),
            ("storage.backend.account_key", Kind::Secret),
            ("auth.keys", Kind::List),
            ("auth.keys[].scope", Kind::Text),
        ] {
            assert_eq!(schema.kind(path), Some(kind), "{path}");
        }
        assert_eq!(schema.backends(), ["azblob", "fs", "gcs", "memory", "s3"]);
        assert_eq!(schema.backends_with("storage.backend.container"), ["azblob"]);
        assert!(schema.is_section("server") && !schema.is_section("server.listen"));
    }

    #[test]
    fn no_sample_leaves_a_setting_out() {
        for backend in sample_backends() {
            fn walk(path: &str, value: &Value) {
                assert!(!matches!(value, Value::Empty(..)), "{path} is missing in its sample");
                if let Value::Dict(_, dict) = value {
                    dict.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value));
                }
            }
            walk("", &Value::serialize(sample(backend)).unwrap());
        }
    }

    #[test]
    fn typos_find_what_was_meant() {
        let schema = Schema::new();
        for (typo, meant) in [
            ("server.lsten", "server.listen"),
            ("server.listn", "server.listen"),
            ("listen", "server.listen"),
            ("limit.top_k", "limits.top_k"),
            ("storage.backend.buckets", "storage.backend.bucket"),
            ("log.insecure", "server.insecure"),
        ] {
            assert_eq!(schema.nearest(typo), Some(meant), "{typo}");
        }
        assert_eq!(schema.nearest("zzzzqqqq.wwww"), None);
    }

    #[test]
    fn documented_in_the_default_file() {
        let text = include_str!("../../config/default.toml");
        for path in Schema::new().paths() {
            let key = path.rsplit('.').next().unwrap_or_default();
            if path != "auth.keys" {
                assert!(text.contains(&format!("{key} = ")), "config/default.toml does not show {path}");
            }
        }
    }
}
