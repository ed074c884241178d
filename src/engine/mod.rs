//! Namespaces on an object store: the commit protocol and everything that reads what it wrote.
//!
//! Lowest first: [`format`] is the bytes of a log entry, [`log`] what entries add up to,
//! [`manifest`] the one mutable object, [`query`] searching, `namespace` the protocol on one
//! namespace, and this file the engine that callers see: it finds the namespace, makes it as fresh
//! as asked, and hands on.

mod aggregate;
mod blobs;
mod bulk;
mod cold;
mod compact;
pub mod compaction;
pub mod contents;
mod context;
mod copy;
mod documents;
mod explain;
mod failure;
pub mod format;
mod fulltext;
mod garbage;
mod grouped;
mod hybrid;
pub mod index;
mod indexes;
mod lease;
mod lifecycle;
pub mod log;
pub mod manifest;
mod model;
mod multi;
mod namespace;
pub mod query;
mod ranking;
mod registry;
mod rows;
mod sample;
mod search;
pub mod segment;
mod transfer;
mod verify;
mod warm;

use std::sync::Arc;

pub use self::bulk::{Bulk, Changed};
pub use self::compact::Compaction;
pub use self::documents::Indexed;
pub use self::explain::{Explanation, Recall};
pub use self::fulltext::{Highlight, TextHit, TextResult, TextSearch};
pub use self::garbage::{Collected, Markers};
pub use self::grouped::Grouping;
pub use self::hybrid::{HybridHit, HybridResult, HybridSearch, VectorSide};
pub use self::indexes::IndexInfo;
pub use self::model::{
    Accuracy, Consistency, Cut, Deleted, Hit, IfExists, NamespaceInfo, NamespaceSpec, Page, Precondition,
    Presence, Projection, Query, QueryResult, TextDocument, Upserted, WithText,
};
pub use self::multi::{ByExamples, Diversity, Example, Ranked};
pub use self::ranking::{Listed, Listing, Ranking};
pub use self::transfer::Transferred;
pub use self::verify::{Problem, VerifyReport};
pub use self::warm::Warmed;
use self::{
    context::Context,
    namespace::{Base, Namespace, Write, Written},
    registry::{Opened, Registry},
    segment::SegmentRef,
};
use crate::{
    cache::Cache,
    clock::SharedClock,
    config::Config,
    error::{Error, Result},
    random::Random,
    storage::Store,
    telemetry::Metrics,
    types::NamespaceName,
};

/// Everything the server knows how to do with namespaces; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    context: Arc<Context>,
    registry: Arc<Registry>,
    searchers: Arc<query::Searchers>,
}

impl Engine {
    /// An engine over a store. Contacts nothing.
    ///
    /// # Errors
    /// If the operating system gives no threads to search with, or the folder of the disk cache
    /// cannot be used.
    pub fn new(store: Store, clock: SharedClock, config: &Config, metrics: Arc<Metrics>) -> Result<Self> {
        Self::with_random(store, clock, Random::from_os(), config, metrics)
    }

    /// An engine whose choices are drawn from `random`.
    pub fn with_random(
        store: Store,
        clock: SharedClock,
        random: Random,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let searchers = Arc::new(query::Searchers::new(config.search.threads)?);
        let context = Context {
            searchers: searchers.clone(),
            reads_parts: !store.is_local(),
            store,
            node: random.uuid(),
            cache: Cache::open(&config.cache, metrics.clone())?,
            clock,
            random,
            metrics,
            log: config.log.clone(),
            retry: config.storage.retry.clone(),
            compaction: config.compaction.clone(),
            garbage: config.garbage.clone(),
            index: config.index.clone(),
            whole_bytes: config.cache.whole_bytes.as_u64(),
            builders: Arc::new(builders(config.index.threads)?),
            folding: tokio::sync::Mutex::default(),
            merging: tokio::sync::Mutex::default(),
            recall_target: config.search.recall_target,
            answer_bytes: config.limits.answer_bytes.as_u64(),
        };
        let registry = Arc::new(Registry::new(&config.cache));
        Ok(Self { context: Arc::new(context), registry, searchers })
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// Lets namespaces go that nobody asks for any more, from time to time. Never ends.
    pub async fn unload_in_background(self) {
        loop {
            tokio::time::sleep(self.registry.idle_timeout() / 4).await;
            self.registry.unload(self.context.clock.now());
        }
    }

    /// A namespace as it is now.
    pub async fn describe(&self, name: &NamespaceName) -> Result<NamespaceInfo> {
        let index_bytes = self.list_index_blobs(name).await?.iter().map(|(_, size)| size).sum();
        let namespace = self.read(name, Consistency::Eventual).await?;
        let now = self.context.clock.now().wall;
        let state = namespace.state();
        Ok(NamespaceInfo {
            name: name.clone(),
            dimension: state.dimension,
            distance: state.manifest.config.distance,
            count: state.contents.count(now),
            created_at: state.manifest.created_at,
            updated_at: state.updated_at,
            folded_seq: state.base.folded,
            segments: state.base.segments.len() as u64,
            segment_rows: state.base.segments.iter().map(|segment| segment.rows).sum(),
            segment_bytes: state.base.segments.iter().map(SegmentRef::bytes).sum(),
            log_bytes: state.log_bytes,
            log_entries: state.log_entries,
            head_seq: state.seq,
            tail_rows: state.contents.tail().rows(),
            tail_bytes: state.contents.tail().bytes(),
            index_bytes,
        })
    }

    /// The living incarnation of a name; `base` is its manifest, if it was just read.
    async fn open(&self, name: &NamespaceName, base: Option<Base>) -> Result<Opened> {
        let opened = self.registry.open(&self.context, name, base).await?;
        if opened.namespace.has_ended() {
            self.registry.forget(&opened.namespace);
            if opened.namespace.is_sealed() {
                self.finish_delete(name, &opened.namespace).await?;
            }
            return Err(opened.namespace.not_found());
        }
        Ok(opened)
    }

    /// The namespace, as fresh as asked. An incarnation that turns out to have ended is looked up
    /// once more: it may have a successor.
    async fn read(&self, name: &NamespaceName, consistency: Consistency) -> Result<Arc<Namespace>> {
        self.read_from(name, consistency, None).await
    }

    /// The same; `base` is its manifest, if it was just read.
    async fn read_from(
        &self,
        name: &NamespaceName,
        consistency: Consistency,
        base: Option<Base>,
    ) -> Result<Arc<Namespace>> {
        match self.try_read(name, consistency, base).await {
            Err(Error::NamespaceNotFound { .. }) => self.try_read(name, consistency, None).await,
            other => other,
        }
    }

    async fn try_read(
        &self,
        name: &NamespaceName,
        consistency: Consistency,
        base: Option<Base>,
    ) -> Result<Arc<Namespace>> {
        let Opened { namespace, just_loaded } = self.open(name, base).await?;
        let refreshed = match consistency {
            // A load that met a damaged object is repeated by the refresh, which says so.
            Consistency::Strong if just_loaded && namespace.is_intact() => Ok(()),
            Consistency::Strong => namespace.refresh().await,
            Consistency::Eventual => namespace.refresh_if_older(Consistency::EVENTUAL).await,
            Consistency::BoundedStaleness(age) => namespace.refresh_if_older(age).await,
        };
        namespace.maintain_if_due();
        match refreshed {
            Ok(()) => Ok(namespace),
            // Old is what an eventual reader asked for: it gets what lies before the damage.
            Err(Error::Corrupt { .. }) if consistency == Consistency::Eventual => Ok(namespace),
            Err(error) => {
                if namespace.has_ended() {
                    self.registry.forget(&namespace);
                }
                Err(error)
            }
        }
    }

    /// Commits a write to the living incarnation.
    async fn write(&self, name: &NamespaceName, write: Write) -> Result<Written> {
        Ok(self.write_to(name, write).await?.1)
    }

    /// The same, and which incarnation that was. One that turns out to have ended has taken
    /// nothing, so its successor is tried.
    async fn write_to(&self, name: &NamespaceName, write: Write) -> Result<(Arc<Namespace>, Written)> {
        match self.try_write(name, write.clone()).await {
            Err(Error::NamespaceNotFound { .. }) => self.try_write(name, write).await,
            other => other,
        }
    }

    async fn try_write(&self, name: &NamespaceName, write: Write) -> Result<(Arc<Namespace>, Written)> {
        let Opened { namespace, .. } = self.open(name, None).await?;
        let written = namespace.write(write).await;
        if namespace.has_ended() {
            self.registry.forget(&namespace);
        }
        Ok((namespace, written?))
    }
}

/// Threads that build indexes, apart from those that search.
fn builders(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("build-{index}"))
        .build()
        .map_err(|error| Error::internal(format!("cannot start threads that build: {error}")))
}
