//! Every setting, with its default and its documentation.
//!
//! Precedence: defaults < file (`quiver.toml`, `config/quiver.toml` or `--config FILE`) <
//! `QUIVER_…` environment < flags; [`Inputs::load`] merges them.
//! Unknown keys are errors: a typo must not silently mean "the default".

mod load;
mod machine;
mod print;
mod schema;
mod source;
mod validate;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use self::{
    load::{ConfigError, Inputs, Loaded},
    source::Source,
};
use crate::types::{filter, rank_by, text};

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Bounds on requests.
    pub limits: LimitsConfig,
    /// The object store.
    pub storage: StorageConfig,
    /// Copies of immutable objects on this machine.
    pub cache: CacheConfig,
    /// The commit log.
    pub log: LogConfig,
    /// Folding the log into segments, and merging those.
    pub compaction: CompactionConfig,
    /// Removing what nothing refers to.
    pub garbage: GarbageConfig,
    /// Searching.
    pub search: SearchConfig,
    /// Build indexes.
    pub index: IndexConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// `[server]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Serve a non-loopback address although no key is configured.
    pub insecure: bool,
    /// Connections open at once; more wait in the operating system's backlog.
    pub max_connections: usize,
    /// A connection may be idle between requests for this long. Longer than a load balancer keeps
    /// its own side open, or it sends requests into connections that are being closed.
    #[serde(with = "humantime_serde")]
    pub keep_alive_timeout: Duration,
    /// A client that takes none of its response for this long is disconnected.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// A connection must send its request header within this time.
    #[serde(with = "humantime_serde")]
    pub header_read_timeout: Duration,
    /// No more than this may pass between two pieces of a request body.
    #[serde(with = "humantime_serde")]
    pub body_read_timeout: Duration,
    /// A request is answered within this time (a write whose fate is open says so).
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long a node serves on after SIGTERM while readiness says no, so that load balancers
    /// notice before it accepts no more. Longer than the checks that they need for that.
    #[serde(with = "humantime_serde")]
    pub drain_delay: Duration,
    /// How long open requests may go on after that.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// Requests worked on at once; more are answered 503 with Retry-After.
    pub max_concurrent_requests: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7700)),
            insecure: false,
            max_connections: 4096,
            keep_alive_timeout: Duration::from_secs(90),
            write_timeout: Duration::from_secs(30),
            header_read_timeout: Duration::from_secs(10),
            body_read_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            drain_delay: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(30),
            max_concurrent_requests: 1024,
        }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The keys that are valid now. Empty: everyone may do everything (loopback only, or `insecure`).
    pub keys: Vec<ApiKeyConfig>,
}

/// One `[[auth.keys]]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// A label for logs and metrics; never the key.
    pub name: String,
    /// Lower-case hexadecimal SHA-256 of the key (the key itself: at least 128 random bits).
    pub sha256: String,
    /// What the key may do.
    pub scope: Scope,
    /// The namespaces it may do it to: names or globs with `*` and `?`. Default: all.
    #[serde(default = "all_namespaces")]
    pub namespaces: Vec<String>,
}

fn all_namespaces() -> Vec<String> {
    vec!["*".into()]
}

/// What an API key may do; each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read and search.
    Read,
    /// Write rows and index blobs.
    Write,
    /// Create and delete namespaces.
    Admin,
}

/// `[limits]`: each is answered with its name and value when crossed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// A request body, after decompression.
    pub body_bytes: ByteSize,
    /// Values in a vector.
    pub dimension: usize,
    /// Results of a query.
    pub top_k: usize,
    /// Rows in a write; ids in a fetch or delete; queries in a batch query.
    pub batch_rows: usize,
    /// Results of all queries in a batch query together: the sum of their `top_k`.
    pub batch_results: usize,
    /// Searches in a batch of searches of every kind.
    pub batch_requests: usize,
    /// Rows in a page of a listing or export.
    pub page_rows: usize,
    /// Bytes of an id.
    pub id_bytes: usize,
    /// Bytes of a row's metadata as JSON.
    pub metadata_bytes: usize,
    /// Bytes of an uploaded index blob.
    pub index_blob_bytes: ByteSize,
    /// Bytes of the rows in an answer, before they become text: a page ends early, a fetch or query
    /// is refused.
    pub answer_bytes: ByteSize,
    /// `$and`, `$or`, `$not` and objects with several members inside each other in a filter, with the
    /// condition in them.
    pub filter_depth: usize,
    /// Conditions, logical operators and objects with several members in a filter.
    pub filter_nodes: usize,
    /// Values that a filter compares with.
    pub filter_values: usize,
    /// `$regex`, `$glob` and `$icontains` in the filters of a request together.
    pub filter_patterns: usize,
    /// Bytes of a query over texts.
    pub text_query_bytes: usize,
    /// Groups inside each other in a query over texts.
    pub text_query_depth: usize,
    /// Words, phrases, prefixes and fuzzy words of a query over texts, and the terms that they become.
    pub text_query_terms: usize,
    /// Terms that all prefixes and fuzzy words of a query over texts stand for.
    pub text_expansions: usize,
    /// Scores of text in a ranking.
    pub rank_by_texts: usize,
    /// Groups that an aggregation finds.
    pub groups: usize,
}

impl LimitsConfig {
    /// Those of filters.
    pub fn filters(&self) -> filter::Limits {
        filter::Limits {
            depth: self.filter_depth,
            nodes: self.filter_nodes,
            values: self.filter_values,
            patterns: self.filter_patterns,
        }
    }

    /// Those of queries over texts.
    pub fn texts(&self) -> text::Limits {
        text::Limits {
            depth: self.text_query_depth,
            terms: self.text_query_terms,
            expansions: self.text_expansions,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let (filters, texts) = (filter::Limits::default(), text::Limits::default());
        Self {
            body_bytes: ByteSize::mib(64),
            dimension: rank_by::Limits::default().dimension,
            top_k: 10_000,
            batch_rows: 10_000,
            batch_results: 100_000,
            batch_requests: 100,
            page_rows: 10_000,
            id_bytes: 512,
            metadata_bytes: 64 * 1024,
            index_blob_bytes: ByteSize::gib(1),
            answer_bytes: ByteSize::mib(64),
            filter_depth: filters.depth,
            filter_nodes: filters.nodes,
            filter_values: filters.values,
            filter_patterns: filters.patterns,
            text_query_bytes: 64 * 1024,
            text_query_depth: texts.depth,
            text_query_terms: texts.terms,
            text_expansions: texts.expansions,
            rank_by_texts: rank_by::Limits::default().texts,
            groups: 100_000,
        }
    }
}

/// `[storage]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Which store, and how to reach it.
    pub backend: BackendConfig,
    /// How temporary errors are retried (unconditional operations only).
    pub retry: RetryConfig,
    /// How long one operation may take, whatever it is.
    #[serde(with = "humantime_serde::option")]
    pub timeout: Option<Duration>,
    /// Operations that run at once.
    pub concurrency: Option<usize>,
}

impl StorageConfig {
    /// The effective timeout of an operation.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(30))
    }

    /// The effective bound on concurrent operations.
    pub fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(256)
    }
}

/// `[storage.backend]`, chosen by `type`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum BackendConfig {
    /// A directory.
    Fs {
        /// The directory; created if missing.
        #[serde(default = "default_root")]
        root: PathBuf,
    },
    /// This process's memory: for tests and trying out. Everything is gone when it ends.
    Memory {},
    /// Amazon S3 and what speaks its protocol.
    S3 {
        /// The bucket.
        bucket: String,
        /// A prefix inside the bucket.
        #[serde(default)]
        root: String,
        /// The endpoint, for anything but AWS.
        #[serde(default)]
        endpoint: Option<String>,
        /// The region; found through the usual AWS sources if missing.
        #[serde(default)]
        region: Option<String>,
        /// The access key; found through the usual AWS sources if missing.
        #[serde(default, serialize_with = "hidden")]
        access_key_id: Option<SecretString>,
        /// The secret key.
        #[serde(default, serialize_with = "hidden")]
        secret_access_key: Option<SecretString>,
        /// A session token.
        #[serde(default, serialize_with = "hidden")]
        session_token: Option<SecretString>,
    },
    /// Azure Blob Storage.
    Azblob {
        /// The container.
        container: String,
        /// A prefix inside the container.
        #[serde(default)]
        root: String,
        /// The endpoint, such as `https://<account>.blob.core.windows.net`.
        endpoint: String,
        /// The account; found through the usual Azure sources if missing.
        #[serde(default)]
        account_name: Option<String>,
        /// The account's key.
        #[serde(default, serialize_with = "hidden")]
        account_key: Option<SecretString>,
        /// A shared access signature instead of a key.
        #[serde(default, serialize_with = "hidden")]
        sas_token: Option<SecretString>,
    },
    /// Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// A prefix inside the bucket.
        #[serde(default)]
        root: String,
        /// The endpoint, for emulators.
        #[serde(default)]
        endpoint: Option<String>,
        /// A service account's key as base64 JSON; found through the usual Google sources if missing.
        #[serde(default, serialize_with = "hidden")]
        credential: Option<SecretString>,
        /// A file with a service account's key.
        #[serde(default)]
        credential_path: Option<PathBuf>,
        /// Send unsigned requests (emulators, public buckets).
        #[serde(default)]
        anonymous: bool,
    },
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self::Fs { root: default_root() }
    }
}

fn default_root() -> PathBuf {
    "data".into()
}

/// What is shown instead of a secret.
const HIDDEN: &str = "<hidden>";

fn hidden<S: serde::Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some(HIDDEN),
        None => serializer.serialize_none(),
    }
}

/// `[storage.retry]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Tries in all, the first included.
    pub tries: usize,
    /// The first pause's upper bound; the pause is drawn between 0 and the bound (full jitter).
    #[serde(with = "humantime_serde")]
    pub min_delay: Duration,
    /// No bound grows past this.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// How the bound grows from one pause to the next.
    pub factor: f32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            tries: 3,
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(60),
            factor: 2.0,
        }
    }
}

/// `[cache]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Bytes of objects in memory: of whole ones where there is no disk cache, and of the parts of
    /// mapped files that were read lately. As many again may hold rows that are not folded yet.
    pub memory_bytes: Option<ByteSize>,
    /// Bytes of objects in `disk_path`.
    pub disk_bytes: ByteSize,
    /// The folder of the disk cache; created if missing, may be shared by servers on one machine.
    /// None: no disk cache. On fs it is not used, since the objects are files already.
    pub disk_path: Option<PathBuf>,
    /// Segments of fewer bytes are read whole by queries that find them in the store only; of larger ones
    /// a query reads the parts that it needs, and the rest follows behind it.
    pub whole_bytes: ByteSize,
    /// Namespaces that are loaded at once, but for those in use.
    pub namespaces: usize,
    /// A namespace that nobody asked for is let go after this long.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

impl CacheConfig {
    /// The effective `memory_bytes`: if not set, a quarter of the memory that this process may use.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.map_or_else(|| machine::memory() / 4, |size| size.as_u64())
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            disk_bytes: ByteSize::gib(10),
            disk_path: None,
            whole_bytes: ByteSize::mib(4),
            namespaces: 1000,
            idle_timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Requests are gathered into one log entry up to this many bytes of rows.
    pub entry_bytes: ByteSize,
    /// Requests that wait for a commit in one namespace; more are answered 429 with Retry-After.
    pub queue_bytes: ByteSize,
    /// Bytes of log that are not folded into segments; past it writes are answered 429.
    pub unfolded_bytes: ByteSize,
    /// A manifest read longer ago than this is confirmed before a read or write relies on it.
    #[serde(with = "humantime_serde")]
    pub safe_age: Duration,
    /// How long the fate of a write is pursued before the answer is "unknown".
    #[serde(with = "humantime_serde")]
    pub settle_timeout: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            entry_bytes: ByteSize::mib(64),
            queue_bytes: ByteSize::mib(256),
            unfolded_bytes: ByteSize::gib(1),
            safe_age: Duration::from_secs(30),
            settle_timeout: Duration::from_secs(45),
        }
    }
}

/// `[compaction]`: how the log becomes segments, in the background.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionConfig {
    /// Whether this node folds and merges by itself.
    pub background: bool,
    /// The log is folded when this many bytes of it are not.
    pub fold_bytes: ByteSize,
    /// The log is folded when this many entries of it are not.
    pub fold_entries: usize,
    /// A fold begins at the earliest this long after the one before.
    #[serde(with = "humantime_serde")]
    pub fold_interval: Duration,
    /// A node leaves folds and merges to another one that was heard of within this time; zero if nodes
    /// do not care what others do.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// Segments of like size that are merged into one.
    pub fan_in: usize,
    /// Segments are not merged into one of more bytes than this.
    pub segment_bytes: ByteSize,
    /// Segments are not merged into one of more rows than this.
    pub segment_rows: usize,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            background: true,
            fold_bytes: ByteSize::mib(64),
            fold_entries: 1000,
            fold_interval: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            fan_in: 4,
            segment_bytes: ByteSize::gib(2),
            segment_rows: 2_000_000,
        }
    }
}

/// `[garbage]`: removing objects that nothing refers to any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GarbageConfig {
    /// Whether this node collects by itself.
    pub background: bool,
    /// What is found to be garbage is removed when this much time has passed since.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// The time from one collection to the next, whichever node makes it.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for GarbageConfig {
    fn default() -> Self {
        Self { background: true, grace: Duration::from_secs(60 * 60), interval: Duration::from_secs(15 * 60) }
    }
}

/// `[search]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Threads that search; 0 means one per core.
    pub threads: usize,
    /// The share of the best rows that a query finds at least, on average, if it does not say what it
    /// wants; 1 is all of them.
    pub recall_target: f32,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { threads: 0, recall_target: 0.95 }
    }
}

/// `[index]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndexConfig {
    /// Segments with fewer rows are searched exactly, without an index.
    pub min_rows: usize,
    /// Threads that build; 0 means one per core.
    pub threads: usize,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self { min_rows: 5000, threads: 0 }
    }
}

/// `[telemetry]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `pretty` for people, `json` for machines.
    pub format: LogFormat,
    /// A tracing filter such as `info` or `quiver=debug,warn`.
    pub filter: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".into() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Colourful lines.
    Pretty,
    /// One JSON object a line.
    Json,
}
