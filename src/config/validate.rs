//! Rules that types alone do not express.

use std::{collections::HashSet, time::Duration};

use bytesize::ByteSize;
use tracing_subscriber::EnvFilter;

use super::{AuthConfig, BackendConfig, Config};

/// A problem: the setting's path, and what is wrong with it.
type Problem = (String, String);

impl Config {
    /// Everything that is wrong with the values. They never contain a secret.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_positive(&mut problems);
        check_keys(&self.auth, &mut problems);
        self.check_storage(&mut problems);
        check_backend(&self.storage.backend, &mut problems);
        if self.cache.disk_path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            problems
                .push(("cache.disk_path".into(), "must not be empty; leave it out for no disk cache".into()));
        }
        self.check_log(&mut problems);
        if let Err(error) = EnvFilter::builder().parse(&self.telemetry.filter) {
            problems.push(("telemetry.filter".into(), format!("not a filter: {error}")));
        }
        problems
    }

    fn check_positive(&self, problems: &mut Vec<Problem>) {
        let (server, limits, log) = (&self.server, &self.limits, &self.log);
        let mut zero = |path: &str, is_zero: bool| {
            if is_zero {
                problems.push((path.into(), "must be greater than 0".into()));
            }
        };
        for (path, duration) in [
            ("server.header_read_timeout", server.header_read_timeout),
            ("server.body_read_timeout", server.body_read_timeout),
            ("server.request_timeout", server.request_timeout),
            ("server.keep_alive_timeout", server.keep_alive_timeout),
            ("server.write_timeout", server.write_timeout),
            ("storage.timeout", self.storage.timeout()),
            ("log.settle_timeout", log.settle_timeout),
        ] {
            zero(path, duration.is_zero());
        }
        for (path, number) in [
            ("server.max_concurrent_requests", server.max_concurrent_requests),
            ("server.max_connections", server.max_connections),
            ("limits.dimension", limits.dimension),
            ("limits.top_k", limits.top_k),
            ("limits.batch_rows", limits.batch_rows),
            ("limits.batch_results", limits.batch_results),
            ("limits.batch_requests", limits.batch_requests),
            ("limits.page_rows", limits.page_rows),
            ("limits.id_bytes", limits.id_bytes),
            ("limits.metadata_bytes", limits.metadata_bytes),
            ("limits.filter_depth", limits.filter_depth),
            ("limits.filter_nodes", limits.filter_nodes),
            ("limits.filter_values", limits.filter_values),
            ("limits.filter_patterns", limits.filter_patterns),
            ("limits.text_query_bytes", limits.text_query_bytes),
            ("limits.text_query_depth", limits.text_query_depth),
            ("limits.text_query_terms", limits.text_query_terms),
            ("limits.text_expansions", limits.text_expansions),
            ("limits.rank_by_texts", limits.rank_by_texts),
            ("limits.groups", limits.groups),
            ("storage.concurrency", self.storage.concurrency.unwrap_or(1)),
            ("storage.retry.tries", self.storage.retry.tries),
            ("cache.namespaces", self.cache.namespaces),
            ("compaction.fold_entries", self.compaction.fold_entries),
            ("compaction.segment_rows", self.compaction.segment_rows),
        ] {
            zero(path, number == 0);
        }
        for (path, size) in [
            ("limits.body_bytes", limits.body_bytes),
            ("limits.index_blob_bytes", limits.index_blob_bytes),
            ("limits.answer_bytes", limits.answer_bytes),
            ("log.entry_bytes", log.entry_bytes),
            ("log.queue_bytes", log.queue_bytes),
            ("log.unfolded_bytes", log.unfolded_bytes),
            ("compaction.fold_bytes", self.compaction.fold_bytes),
            ("compaction.segment_bytes", self.compaction.segment_bytes),
        ] {
            zero(path, size == ByteSize::b(0));
        }
    }

    fn check_storage(&self, problems: &mut Vec<Problem>) {
        let retry = &self.storage.retry;
        if retry.max_delay < retry.min_delay {
            let shortest = humantime_serde::re::humantime::format_duration(retry.min_delay);
            problems
                .push(("storage.retry.max_delay".into(), format!("is shorter than min_delay = {shortest}")));
        }
        if !(self.search.recall_target > 0.0 && self.search.recall_target <= 1.0) {
            problems.push(("search.recall_target".into(), "must be more than 0 and at most 1".into()));
        }
        if !(retry.factor.is_finite() && retry.factor >= 1.0) {
            problems.push(("storage.retry.factor".into(), "must be 1 or more".into()));
        }
    }

    fn check_log(&self, problems: &mut Vec<Problem>) {
        if self.garbage.grace <= self.log.safe_age.saturating_mul(2) {
            let safe_age = humantime_serde::re::humantime::format_duration(self.log.safe_age);
            problems.push((
                "garbage.grace".into(),
                format!("must be more than twice log.safe_age, which is {safe_age}"),
            ));
        }
        for (path, duration) in
            [("garbage.interval", self.garbage.interval), ("cache.idle_timeout", self.cache.idle_timeout)]
        {
            if duration < Duration::from_secs(1) {
                problems.push((path.into(), "must be at least 1s".into()));
            }
        }
        let lease = self.compaction.lease;
        if !lease.is_zero() && lease < Duration::from_secs(1) {
            problems.push(("compaction.lease".into(), "must be 0s or at least 1s".into()));
        }
        if self.compaction.fan_in < 2 {
            problems.push(("compaction.fan_in".into(), "must be at least 2".into()));
        }
    }
}

fn check_keys(auth: &AuthConfig, problems: &mut Vec<Problem>) {
    let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
    for (at, key) in auth.keys.iter().enumerate() {
        let mut problem =
            |field: &str, text: &str| problems.push((format!("auth.keys[{at}].{field}"), text.into()));
        if key.name.trim().is_empty() {
            problem("name", "must not be empty");
        } else if !names.insert(&key.name) {
            problem("name", "is used by another key already");
        }
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if key.sha256.len() != 64 || !key.sha256.bytes().all(lower_hex) {
            problem(
                "sha256",
                "must be the key's SHA-256 as 64 lower-case hexadecimal digits; `quiver keygen` makes a key and its line",
            );
        } else if !hashes.insert(&key.sha256) {
            problem("sha256", "is the hash of another key already");
        }
        if key.namespaces.is_empty() || key.namespaces.iter().any(|glob| glob.is_empty()) {
            problem("namespaces", "must be names or globs, at least one; leave it out for all namespaces");
        }
    }
}

fn check_backend(backend: &BackendConfig, problems: &mut Vec<Problem>) {
    let mut problem =
        |field: &str, text: &str| problems.push((format!("storage.backend.{field}"), text.into()));
    let mut named = |field: &str, value: &str| {
        if value.trim().is_empty() {
            problem(field, "must not be empty");
        }
    };
    match backend {
        BackendConfig::Fs { root } => named("root", &root.to_string_lossy()),
        BackendConfig::S3 { bucket, .. } | BackendConfig::Gcs { bucket, .. } => named("bucket", bucket),
        BackendConfig::Azblob { container, .. } => named("container", container),
        BackendConfig::Memory {} => {}
    }
    let endpoint = match backend {
        BackendConfig::S3 { endpoint, .. } | BackendConfig::Gcs { endpoint, .. } => endpoint.as_deref(),
        BackendConfig::Azblob { endpoint, .. } => Some(endpoint.as_str()),
        BackendConfig::Fs { .. } | BackendConfig::Memory {} => None,
    };
    if endpoint.is_some_and(|url| !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))) {
        problem("endpoint", "must begin with http:// or https://");
    }
    match backend {
        BackendConfig::S3 { access_key_id, secret_access_key, session_token, .. } => {
            if access_key_id.is_some() != secret_access_key.is_some() {
                problem(
                    "secret_access_key",
                    "access_key_id and secret_access_key are set together or not at all",
                );
            }
            if session_token.is_some() && access_key_id.is_none() {
                problem("session_token", "needs access_key_id and secret_access_key");
            }
        }
        BackendConfig::Azblob { account_name, account_key, sas_token, .. } => {
            if account_key.is_some() && account_name.is_none() {
                problem("account_name", "must be set beside account_key");
            }
            if account_key.is_some() && sas_token.is_some() {
                problem("sas_token", "set account_key or sas_token, not both");
            }
        }
        BackendConfig::Gcs { credential, credential_path, anonymous, .. } => {
            let ways = [credential.is_some(), credential_path.is_some(), *anonymous];
            if ways.into_iter().filter(|&way| way).count() > 1 {
                problem("credential", "set only one of credential, credential_path and anonymous");
            }
        }
        BackendConfig::Fs { .. } | BackendConfig::Memory {} => {}
    }
}
