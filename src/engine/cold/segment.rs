//! A segment that is searched by ranges.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use roaring::RoaringBitmap;

use super::fetch::Ranges;
use crate::{
    clock::Timestamp,
    engine::{
        context::Context,
        index::{Best, Cost, InParts, Mask, Query, Request, Shortlisted, has_parts, open_head},
        namespace::{corrupt, judged, read_deletes, read_head},
        query::{Target, effort, preference},
        segment::{IndexRef, Owner, SegmentParts, SegmentRef},
    },
    error::Result,
    storage::Key,
};

/// A segment of which the heads are here, and those lists and rows that were read.
#[derive(Debug)]
pub struct ColdSegment {
    data: Key,
    index_key: Key,
    /// Bytes of all its objects.
    bytes: u64,
    index: Box<dyn InParts>,
    /// Rows that the manifest knows to be dead, and those that have expired.
    dead: RoaringBitmap,
    rows: SegmentParts,
}

/// Lists of an index, and where they lie in it.
pub type Lists = BTreeMap<u32, Range<u64>>;

/// The index by which a segment can be searched in parts, if that is the one that answers for it.
pub fn index_in_parts(reference: &SegmentRef) -> Option<&IndexRef> {
    let over_vectors = reference.indexes.iter().filter_map(|index| Some((preference(&index.spec)?, index)));
    let first = over_vectors.min_by_key(|(preference, _)| *preference).map(|(_, index)| index);
    first.filter(|index| index.head.is_some() && has_parts(index.spec.index_type()))
}

impl ColdSegment {
    /// Reads the heads of a segment and what of it is dead, all at once.
    pub async fn open(
        context: &Context,
        home: &Owner,
        reference: &SegmentRef,
        index: &IndexRef,
    ) -> Result<Self> {
        let owner = reference.owner.as_ref().unwrap_or(home);
        let (data, lookup) = (owner.data_key(reference.id), owner.lookup_key(reference.id));
        let index_key = index.owner.as_ref().unwrap_or(home).index_key(reference.id, index);
        let (rows, head, dead) = futures::future::try_join3(
            read_head(context, &lookup, &reference.head),
            read_head(context, &index_key, index.head.as_ref().unwrap_or(&index.blob)),
            read_deletes(context, home, reference),
        )
        .await?;
        let rows = SegmentParts::open(reference, data.as_str(), (lookup.as_str(), rows))
            .map_err(|error| judged(context, &lookup, error))?;
        let opened = open_head(index.spec.index_type(), &head, index.blob.bytes);
        let index = opened.map_err(|reason| corrupt(context, &index_key, reason))?;
        if index.shape() != rows.shape() {
            return Err(corrupt(context, &index_key, "it is not of this segment".into()));
        }
        Ok(Self { data, index_key, bytes: reference.bytes(), index, dead, rows })
    }

    /// Bytes of all its objects.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its rows, as far as they were read.
    pub fn rows(&self) -> &SegmentParts {
        &self.rows
    }

    /// Lets the rows die that have expired by `now`.
    pub fn purge(&mut self, now: Timestamp) {
        self.dead.extend(self.rows.expiry().take_while(|(at, _)| *at <= now).map(|(_, row)| row));
    }

    /// What searches for these targets look at in the index: lists, and where they lie. None if one would
    /// look at everything.
    pub fn wanted_lists(&self, targets: &[Target]) -> Option<Lists> {
        let mut lists = Lists::new();
        for target in targets {
            let wanted = self.with_request(target, |request| self.index.wanted(request, target.top_k))?;
            lists.extend(wanted.into_iter().map(|part| (part.number, part.range)));
        }
        Some(lists)
    }

    /// Reads lists.
    pub async fn read_lists(&mut self, context: &Context, lists: Lists, ranges: Ranges) -> Result<()> {
        let pieces = ranges.read(context, &self.index_key).await?;
        for (number, range) in lists {
            let bytes = pieces.get(&range).unwrap_or_default();
            let supplied = self.index.supply(number, bytes);
            supplied.map_err(|reason| corrupt(context, &self.index_key, reason))?;
        }
        Ok(())
    }

    /// The rows that are worth an exact score, and up to `spare` more; none if a list is missing.
    pub fn shortlist(&self, target: &Target, spare: usize) -> Result<Option<Shortlisted>> {
        self.with_request(target, |request| self.index.shortlist(request, target.top_k, spare))
    }

    /// The ranges of its data that hold rows.
    pub fn wanted_rows(&mut self, context: &Context, rows: &BTreeSet<u32>, metadata: bool) -> Result<Ranges> {
        let wanted = self.rows.wanted(rows, metadata);
        wanted.map(Ranges::new).map_err(|error| judged(context, &self.data, error))
    }

    /// Reads the rows that were wanted.
    pub async fn read_rows(&mut self, context: &Context, ranges: Ranges) -> Result<()> {
        let pieces = ranges.read(context, &self.data).await?;
        self.rows.supply(|range| pieces.get(&range)).map_err(|error| judged(context, &self.data, error))
    }

    /// Scores candidates exactly, as a search of the whole index does.
    pub fn rerank(
        &self,
        target: &Target,
        candidates: &[(f32, u32)],
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()> {
        self.with_request(target, |request| self.index.rerank(request, candidates, best, cost))
    }

    fn with_request<T>(&self, target: &Target, search: impl FnOnce(&Request<'_>) -> T) -> T {
        let visible = |row: u32| !self.dead.contains(row);
        search(&Request {
            query: &Query::new(target.distance, &target.vector),
            rows: &self.rows,
            mask: if self.dead.is_empty() { Mask::All } else { Mask::Only(&visible) },
            effort: effort(&*self.index, target),
            stop: &|| false,
        })
    }
}
