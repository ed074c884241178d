//! Metrics: Commits, refreshes and what namespaces hold.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Commits, refreshes and what namespaces hold.
#[derive(Debug)]
pub struct LogMetrics {
    /// Groups of requests that were put as one entry, by how that ended.
    commits: Family<CommitLabels, Counter>,
    /// Seconds from taking up a group to knowing its fate.
    pub commit_seconds: Histogram,
    /// Requests in an entry.
    pub commit_requests: Histogram,
    /// Changes (rows and deletes) in an entry.
    pub commit_rows: Histogram,
    /// Bytes of an entry.
    pub commit_bytes: Histogram,
    /// Times that a place in the log went to another writer.
    pub conflicts: Counter,
    /// Reads of the log's head for the sake of readers.
    pub refreshes: Counter,
    /// Entries of other writers (or of before the start) that were read and applied.
    pub entries_read: Counter,
    /// Corrupt objects that were met.
    pub corruptions: Counter,
    /// Folds and merges, by kind and outcome.
    compactions: Family<CompactionLabels, Counter>,
    index_builds: Family<BuildLabels, Counter>,
    /// Seconds that a fold or merge took.
    pub compaction_seconds: Histogram,
    /// Bytes that folds and merges wrote.
    pub compaction_written_bytes: Counter,
    /// Times that this node collected garbage in the whole store.
    pub garbage_collections: Counter,
    /// Objects that it removed.
    pub garbage_removed_objects: Counter,
    /// Their bytes.
    pub garbage_removed_bytes: Counter,
    /// Namespaces in memory.
    pub namespaces_loaded: Gauge,
    /// Bytes that their rows take.
    pub memory_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabels {
    outcome: CommitOutcome,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum CommitOutcome {
    /// The entry is in the log.
    committed,
    /// Nothing was written.
    refused,
    /// The fate of the entry could not be learned.
    unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CompactionLabels {
    kind: CompactionKind,
    outcome: CompactionOutcome,
}

/// What was compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum CompactionKind {
    /// The log, into segments.
    fold,
    /// Segments, into one.
    merge,
    /// A segment, for which an index was built.
    index,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    work: BuildWork,
}

/// How an index of a segment came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum BuildWork {
    /// From the rows alone.
    built,
    /// From the index of an older segment and what changed.
    extended,
}

/// How a fold or merge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum CompactionOutcome {
    /// The manifest names what was written.
    done,
    /// Another node changed the manifest first.
    conflict,
    /// It was left to another node that does the same.
    yielded,
    /// The store failed, or something is damaged.
    failed,
}

impl LogMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let powers = |start: f64, factor: f64, count: u16| {
            Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(start, factor, count))
        };
        let metrics = Self {
            commits: Family::default(),
            commit_seconds: powers(0.0005, 2.0, 17),
            commit_requests: powers(1.0, 2.0, 11),
            commit_rows: powers(1.0, 4.0, 10),
            commit_bytes: powers(1024.0, 4.0, 10),
            conflicts: Counter::default(),
            refreshes: Counter::default(),
            entries_read: Counter::default(),
            corruptions: Counter::default(),
            compactions: Family::default(),
            index_builds: Family::default(),
            compaction_seconds: powers(0.01, 2.0, 16),
            compaction_written_bytes: Counter::default(),
            garbage_collections: Counter::default(),
            garbage_removed_objects: Counter::default(),
            garbage_removed_bytes: Counter::default(),
            namespaces_loaded: Gauge::default(),
            memory_bytes: Gauge::default(),
        };
        registry.register("commits", "Log entries put, by outcome", metrics.commits.clone());
        registry.register("commit_seconds", "Time to commit a group", metrics.commit_seconds.clone());
        registry.register("commit_requests", "Requests in a log entry", metrics.commit_requests.clone());
        registry.register("commit_rows", "Changes in a log entry", metrics.commit_rows.clone());
        registry.register("commit_bytes", "Bytes of a log entry", metrics.commit_bytes.clone());
        registry.register("commit_conflicts", "Places lost to another writer", metrics.conflicts.clone());
        registry.register("refreshes", "Reads of a log's head", metrics.refreshes.clone());
        registry.register("entries_read", "Log entries read", metrics.entries_read.clone());
        registry.register("corruptions", "Corrupt objects met", metrics.corruptions.clone());
        registry.register("compactions", "Folds and merges, by outcome", metrics.compactions.clone());
        registry.register(
            "index_builds",
            "Indexes of segments made, from the rows alone or from an older index",
            metrics.index_builds.clone(),
        );
        registry.register(
            "compaction_seconds",
            "Time that a fold or merge took",
            metrics.compaction_seconds.clone(),
        );
        registry.register(
            "compaction_written_bytes",
            "Bytes that folds and merges wrote",
            metrics.compaction_written_bytes.clone(),
        );
        for (name, help, counter) in [
            ("garbage_collections", "Collections of garbage by this node", &metrics.garbage_collections),
            ("garbage_removed_objects", "Objects removed as garbage", &metrics.garbage_removed_objects),
            ("garbage_removed_bytes", "Their bytes", &metrics.garbage_removed_bytes),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("namespaces_loaded", "Namespaces in memory", metrics.namespaces_loaded.clone());
        registry.register("memory_bytes", "Bytes of rows in memory", metrics.memory_bytes.clone());
        metrics
    }

    /// Counts an index that was made for a segment.
    pub fn index_built(&self, work: BuildWork) {
        self.index_builds.get_or_create(&BuildLabels { work }).inc();
    }

    /// Counts a fold or merge.
    pub fn compacted(&self, kind: CompactionKind, outcome: CompactionOutcome) {
        self.compactions.get_or_create(&CompactionLabels { kind, outcome }).inc();
    }

    /// Counts a commit.
    pub fn committed(&self, outcome: CommitOutcome) {
        self.commits.get_or_create(&CommitLabels { outcome }).inc();
    }
}
