//! Queries on namespaces that are not on this machine: answered from ranges of objects, while the objects
//! are brought here behind them.
//!
//! Four round trips, each of them all at once:
//!
//! 1. the manifest;
//! 2. the heads of lookups and indexes, deletes, the listing of the log, and whole segments that are
//!    small or have no index;
//! 3. the lists that the query looks at, and the entries of the log up to its end;
//! 4. the rows of the shortlist, with their ids and metadata.
//!
//! Nothing here is kept but in the cache: the next query begins anew, until the namespace is loaded.
//! Whatever does not fit this pattern waits for the whole namespace, as everything but a query does.
//!
//! Invariants: a strong answer has all that was acknowledged before it began, since manifest and log are
//! read as a load reads them; no row is returned that the log has replaced or removed, since the ids of
//! candidates are compared with those of the log; nothing is used before it was checked.

mod fetch;
mod merge;
mod segment;
mod tail;

use std::collections::BTreeSet;

use futures::future::{try_join, try_join_all, try_join3};
use tokio::sync::oneshot;

use self::{
    fetch::Ranges,
    merge::Merge,
    segment::{ColdSegment, Lists, index_in_parts},
    tail::Tail,
};
use super::{
    Cut, Engine, Hit, Query, QueryResult,
    context::Context,
    index::Shortlisted,
    namespace::{Ahead, Base, moved, open_view},
    query::Target,
    rows::Reader,
    search::check_dimensions,
    segment::{IndexRef, Owner, SegmentRef},
};
use crate::{
    error::{Error, Result},
    telemetry::ColdRead,
    types::NamespaceName,
};

/// Queries that are answered together at most: for more, the whole is as good.
const MAX_QUERIES: usize = 16;
/// Of a segment's bytes, no larger share is read by ranges in one round trip: one in so many.
const MAX_SHARE: u64 = 4;
/// Requests of one round trip for one segment at most.
const MAX_REQUESTS: u64 = 1024;
/// So many candidates that the log has replaced are made up for, at least if it has touched so many rows.
const MIN_SPARE: usize = 16;

/// What became of a query on a namespace that may be elsewhere.
pub(super) enum Cold {
    /// It was answered.
    Answered(Vec<QueryResult>),
    /// It has to wait for the namespace as a whole, whose manifest is here if it was just read.
    Whole(Option<Base>),
}

/// Segments by how they are read.
struct Plan<'a> {
    in_parts: Vec<(&'a SegmentRef, &'a IndexRef)>,
    whole: Vec<&'a SegmentRef>,
}

impl Engine {
    /// Answers queries on a namespace that is not loaded, by ranges, if that is worth while.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub(super) async fn query_cold(&self, name: &NamespaceName, queries: &[Query]) -> Result<Cold> {
        let exact = |query: &Query| query.accuracy.is_some_and(|accuracy| accuracy.is_exact());
        let by_score = |cut: &Cut| cut.group_by.is_none() && cut.order_by.is_empty();
        let plain = |query: &Query| {
            !exact(query) && query.index.is_none() && query.filter.is_none() && by_score(&query.cut)
        };
        let fits = (1..=MAX_QUERIES).contains(&queries.len()) && queries.iter().all(plain);
        if !fits || !self.context.reads_parts || self.registry.is_loaded(name) {
            return Ok(Cold::Whole(None));
        }
        let Some(base) = Base::read(&self.context, name).await? else {
            return Err(Error::NamespaceNotFound { namespace: name.to_string() });
        };
        let home = base.home(name);
        let Some(plan) = self.plan_cold(&home, &base, queries).await? else {
            return Ok(Cold::Whole(Some(base)));
        };
        let pull = self.pull_when_done(name);
        let count = |read| self.context.metrics.cache.answered_cold(read, queries.len());
        // In a box: queries on loaded namespaces need not make room for it.
        match Box::pin(self.answer_cold(&home, &base, plan, queries)).await {
            Ok(Some(results)) => {
                count(ColdRead::ranges);
                return Ok(Cold::Answered(results));
            }
            Ok(None) => {}
            // Rule 10: what a manifest refers to is only collected long after a newer one stands.
            Err(Error::Corrupt { .. }) if moved(&self.context, name, &base.manifest).await? => {}
            // An object that is too short for a range: read whole, it is named.
            Err(Error::StoreRefused { .. }) => {}
            Err(error) => return Err(error),
        }
        count(ColdRead::whole);
        pull.cancel();
        Ok(Cold::Whole(None))
    }

    /// Which segments are searched by ranges; none if no segment is.
    async fn plan_cold<'a>(
        &self,
        home: &Owner,
        base: &'a Base,
        queries: &[Query],
    ) -> Result<Option<Plan<'a>>> {
        let distance = base.manifest.config.distance;
        let same_metric = queries.iter().all(|query| query.distance.is_none_or(|other| other == distance));
        let mut plan = Plan { in_parts: Vec::new(), whole: Vec::new() };
        for reference in base.manifest.segments.iter().filter(|segment| segment.has_vectors) {
            let large = reference.data.bytes >= self.context.whole_bytes;
            match index_in_parts(reference).filter(|_| same_metric && large) {
                Some(index) if !is_local(&self.context, home, reference, index).await? => {
                    plan.in_parts.push((reference, index));
                }
                _ => plan.whole.push(reference),
            }
        }
        Ok((!plan.in_parts.is_empty()).then_some(plan))
    }

    /// Loads the namespace, whole, once what is returned is dropped: also if the query is given up. What
    /// that reads is not what the query needed, and is not reported as such.
    fn pull_when_done(&self, name: &NamespaceName) -> Pull {
        let (sender, done) = oneshot::channel::<()>();
        let (engine, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            if done.await.is_ok() {
                return;
            }
            if let Err(error) = engine.registry.open(&engine.context, &name, None).await {
                tracing::debug!(namespace = %name, %error, "a namespace could not be loaded behind a query");
            }
        });
        Pull(sender)
    }

    /// None if the whole is wanted.
    async fn answer_cold(
        &self,
        home: &Owner,
        base: &Base,
        plan: Plan<'_>,
        queries: &[Query],
    ) -> Result<Option<Vec<QueryResult>>> {
        let context = &*self.context;
        let targets = self.targets(queries, base)?;
        let in_parts =
            plan.in_parts.iter().map(|(segment, index)| ColdSegment::open(context, home, segment, index));
        let whole = plan.whole.iter().map(|segment| open_view(context, home, segment));
        let listing = Ahead::list(context, home, base.manifest.folded);
        let (mut segments, views, ahead) =
            try_join3(try_join_all(in_parts), try_join_all(whole), listing).await?;
        if !ahead.is_short() {
            return Ok(None);
        }
        let now = context.clock.now();
        segments.iter_mut().for_each(|segment| segment.purge(now.wall));
        let Some(wanted) = wanted_lists(&segments, &targets) else { return Ok(None) };
        let reads = segments.iter_mut().zip(wanted);
        let lists =
            try_join_all(reads.map(|(segment, (lists, ranges))| segment.read_lists(context, lists, ranges)));
        let tail = Tail::read(context, &home.namespace, base, views, ahead);
        let (Some(tail), _) = try_join(tail, lists).await? else { return Ok(None) };
        if tail.cleared {
            segments.clear();
        }
        if let Some(at) = tail.purged_at {
            segments.iter_mut().for_each(|segment| segment.purge(at));
        }
        let metadata = queries.iter().any(|query| query.projection.metadata);
        let Some(shortlists) = self.shortlist(&mut segments, &targets, &tail, metadata).await? else {
            return Ok(None);
        };
        let answers = self.searchers.search(tail.snapshot.clone(), targets.clone(), now.wall).await?;
        let elapsed = now.age(context.clock.now());
        let mut reader = Reader::new(self);
        let mut results = Vec::with_capacity(queries.len());
        for (((query, target), answer), shortlists) in
            queries.iter().zip(&targets).zip(&answers).zip(&shortlists)
        {
            let merge = Merge { tail: &tail, segments: &segments, answer };
            let (ranked, work) = merge.best(target, shortlists)?;
            let hits = query.cut.page(ranked, query.top_k, |ranked| ranked.score).map(|ranked| {
                Ok(Hit { score: ranked.score, row: reader.read(&ranked.row, query.projection)? })
            });
            results.push(QueryResult { hits: hits.collect::<Result<_>>()?, work, elapsed });
        }
        Ok(Some(results))
    }
}

impl Engine {
    /// The queries on vectors of the namespace's dimension, with what they leave open.
    fn targets(&self, queries: &[Query], base: &Base) -> Result<Vec<Target>> {
        let config = &base.manifest.config;
        if let Some(expected) = config.dimension {
            check_dimensions(queries, expected)?;
        }
        Ok(queries.iter().map(|query| self.target(query.clone(), config.distance)).collect())
    }

    /// Reads the rows that are worth an exact score, and gives them by target and segment without those
    /// that the log has replaced. None if the whole is wanted.
    async fn shortlist(
        &self,
        segments: &mut [ColdSegment],
        targets: &[Target],
        tail: &Tail,
        metadata: bool,
    ) -> Result<Option<Vec<Vec<Shortlisted>>>> {
        let mut shortlists: Vec<Vec<Shortlisted>> = Vec::with_capacity(targets.len());
        for target in targets {
            let of = |segment: &ColdSegment| segment.shortlist(target, spare(target, tail));
            let found: Option<Vec<_>> = segments.iter().map(of).collect::<Result<_>>()?;
            let Some(found) = found else { return Ok(None) };
            shortlists.push(found);
        }
        let mut reads = Vec::with_capacity(segments.len());
        for (place, segment) in segments.iter_mut().enumerate() {
            let candidates = shortlists.iter().flat_map(|of_target| &of_target[place].candidates);
            let rows: BTreeSet<u32> = candidates.map(|(_, row)| *row).collect();
            let ranges = segment.wanted_rows(&self.context, &rows, metadata)?;
            if !is_worth_while(segment, &ranges) {
                return Ok(None);
            }
            reads.push(segment.read_rows(&self.context, ranges));
        }
        try_join_all(reads).await?;
        for (target, of_target) in targets.iter().zip(&mut shortlists) {
            for (segment, shortlist) in segments.iter().zip(of_target) {
                if !without_touched(segment, shortlist, tail, spare(target, tail))? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(shortlists))
    }
}

/// A load that begins when this is dropped.
struct Pull(oneshot::Sender<()>);

impl Pull {
    /// Somebody else loads.
    fn cancel(self) {
        // An error: the runtime ends.
        let _ = self.0.send(());
    }
}

/// Whether everything of a segment is on this machine.
async fn is_local(context: &Context, home: &Owner, reference: &SegmentRef, index: &IndexRef) -> Result<bool> {
    let owner = reference.owner.as_ref().unwrap_or(home);
    let objects = [
        (owner.data_key(reference.id), &reference.data),
        (owner.lookup_key(reference.id), &reference.lookup),
        (index.owner.as_ref().unwrap_or(home).index_key(reference.id, index), &index.blob),
    ];
    for (key, blob) in &objects {
        if context.cache.local(&context.store, key, blob.bytes, blob.xxh3_128).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The lists that each segment is asked for; none if the whole is wanted.
fn wanted_lists(segments: &[ColdSegment], targets: &[Target]) -> Option<Vec<(Lists, Ranges)>> {
    let of = |segment: &ColdSegment| {
        let lists = segment.wanted_lists(targets)?;
        let ranges = Ranges::new(lists.values().cloned().collect());
        is_worth_while(segment, &ranges).then_some((lists, ranges))
    };
    segments.iter().map(of).collect()
}

/// Whether reading ranges of a segment is better than reading all of it.
fn is_worth_while(segment: &ColdSegment, ranges: &Ranges) -> bool {
    ranges.requests() <= MAX_REQUESTS && ranges.bytes() <= segment.bytes() / MAX_SHARE
}

/// For how many candidates that the log has replaced others stand by.
fn spare(target: &Target, tail: &Tail) -> usize {
    tail.touched.len().min(target.top_k.max(MIN_SPARE))
}

/// Leaves out candidates that the log has replaced or removed. Returns whether enough stood by for them.
fn without_touched(
    segment: &ColdSegment,
    shortlist: &mut Shortlisted,
    tail: &Tail,
    spare: usize,
) -> Result<bool> {
    let before = shortlist.candidates.len();
    let mut kept = Vec::with_capacity(before);
    for candidate in std::mem::take(&mut shortlist.candidates) {
        if !tail.has_touched(segment.rows().get(candidate.1)?.id) {
            kept.push(candidate);
        }
    }
    let left_out = before - kept.len();
    let enough = left_out <= spare && (left_out == 0 || kept.len() >= shortlist.wanted);
    kept.truncate(shortlist.scored);
    shortlist.candidates = kept;
    Ok(enough)
}
