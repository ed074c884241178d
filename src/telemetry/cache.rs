//! Metrics: copies of objects on this machine.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabels {
    tier: CacheTier,
}

/// Where the bytes of an object lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum CacheTier {
    /// In this process's memory.
    memory,
    /// In the folder of the disk cache.
    disk,
    /// Mapped from a file: the store's own, or one of the disk cache. As held bytes: those that were
    /// touched and are counted as resident.
    mapped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ColdLabels {
    read: ColdRead,
}

/// How a query on a namespace was answered whose objects are not on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum ColdRead {
    /// From ranges of its objects.
    ranges,
    /// After the whole was brought here, since ranges would not do.
    whole,
}

/// Copies of objects on this machine.
#[derive(Debug)]
pub struct CacheMetrics {
    hits: Family<TierLabels, Counter>,
    misses: Counter,
    joined: Counter,
    damaged: Counter,
    evicted: Family<TierLabels, Counter<u64, AtomicU64>>,
    held: Family<TierLabels, Gauge>,
    cold: Family<ColdLabels, Counter>,
}

impl CacheMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            hits: Family::default(),
            misses: Counter::default(),
            joined: Counter::default(),
            damaged: Counter::default(),
            evicted: Family::default(),
            held: Family::default(),
            cold: Family::default(),
        };
        registry.register(
            "cache_hits",
            "Objects that were asked for and found, by where",
            metrics.hits.clone(),
        );
        registry.register(
            "cold_queries",
            "Queries on large segments that were not on this machine, by how they were answered",
            metrics.cold.clone(),
        );
        registry.register("cache_misses", "Objects that had to be downloaded", metrics.misses.clone());
        registry.register(
            "cache_joined",
            "Objects that were asked for while they were being fetched for somebody else",
            metrics.joined.clone(),
        );
        registry.register(
            "cache_damaged_files",
            "Files of the disk cache whose bytes contradicted their name, and that were removed",
            metrics.damaged.clone(),
        );
        registry.register_with_unit(
            "cache_evicted",
            "Bytes of objects that made room for others",
            Unit::Bytes,
            metrics.evicted.clone(),
        );
        registry.register_with_unit("cache_held", "Bytes of objects held", Unit::Bytes, metrics.held.clone());
        metrics
    }

    /// Counts queries that found large segments elsewhere.
    pub fn answered_cold(&self, read: ColdRead, queries: usize) {
        self.cold.get_or_create(&ColdLabels { read }).inc_by(queries as u64);
    }

    /// Counts an object that was found.
    pub fn hit(&self, tier: CacheTier) {
        self.hits.get_or_create(&TierLabels { tier }).inc();
    }

    /// Counts an object that has to be downloaded.
    pub fn miss(&self) {
        self.misses.inc();
    }

    /// Counts a request that waits for somebody else's.
    pub fn join(&self) {
        self.joined.inc();
    }

    /// Counts a file of the disk cache that is damaged.
    pub fn damage(&self) {
        self.damaged.inc();
    }

    /// Counts bytes that made room.
    pub fn evict(&self, tier: CacheTier, bytes: u64) {
        self.evicted.get_or_create(&TierLabels { tier }).inc_by(bytes);
    }

    /// Says how many bytes are held.
    pub fn hold(&self, tier: CacheTier, bytes: u64) {
        self.held.get_or_create(&TierLabels { tier }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
