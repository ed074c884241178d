//! How each part of a snapshot is searched: a pure decision.

use super::{Accuracy, Manner, Target};
use crate::{
    engine::{
        contents::{Matches, Matching, Snapshot},
        index::{Effort, VectorIndex},
        segment::{SegmentIndex, SegmentView},
    },
    types::{IndexSpec, IndexType},
};

/// One part of a snapshot, and how it is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The segment by its number; none: the rows of the log that are not folded.
    pub segment: Option<usize>,
    /// Live rows in it.
    pub rows: u64,
    /// How.
    pub method: Method,
    /// Which of them may be found, if not all.
    pub filter: Option<Filtered>,
}

/// What a filter leaves of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// Rows that match.
    pub matching: u64,
    /// Rows whose metadata was read for that.
    pub read: u64,
    /// Whether an index over the metadata was asked first.
    pub by_index: bool,
}

impl Filtered {
    fn of<'a>(by_index: bool, parts: impl IntoIterator<Item = &'a Matching>) -> Self {
        let (mut matching, mut read) = (0, 0);
        for part in parts {
            matching += part.count;
            read += part.read;
        }
        Self { matching, read, by_index }
    }
}

/// How a part is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Every live row is scored.
    Scan(Reason),
    /// An index says which rows are scored.
    Index(IndexType, Effort),
}

/// Why there is no other way than a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The answer is to be exact.
    Exact,
    /// There is no index: the segment is small, or its index is not built yet.
    NoIndex,
    /// There is no index for this metric.
    OtherMetric,
    /// The rows are in the log.
    Log,
}

/// The steps of a search for vectors, segment after segment and then the log; `matches` is what the filter leaves
/// of the snapshot, where that is of interest.
pub fn plan(snapshot: &Snapshot, target: &Target, matches: Option<&Matches>) -> Vec<Step> {
    let segments = snapshot.segments.iter().enumerate();
    let segments = segments.filter(|(_, view)| view.segment().has_vectors()).map(|(segment, view)| Step {
        segment: Some(segment),
        rows: view.live_rows(),
        method: method(view, target),
        filter: matches.map(|matches| Filtered::of(view.attributes().is_some(), [matches.segment(segment)])),
    });
    let rows = snapshot.rows_with_vectors();
    let filter = matches.map(|matches| Filtered::of(false, matches.with_vectors(snapshot)));
    let log = Step { segment: None, rows, method: Method::Scan(Reason::Log), filter };
    segments.chain((rows > 0).then_some(log)).collect()
}

fn method(view: &SegmentView, target: &Target) -> Method {
    if target.accuracy.is_exact() {
        return Method::Scan(Reason::Exact);
    }
    let manner = Manner::of(target);
    match usable_index(view, manner) {
        Some((spec, index)) => Method::Index(spec.index_type(), effort(index, target)),
        None if !view.indexes().iter().any(|index| manner.allows(index) && index.vectors().is_some()) => {
            Method::Scan(Reason::NoIndex)
        }
        None => Method::Scan(Reason::OtherMetric),
    }
}

impl Manner {
    /// Whether an index is of the type that is to answer.
    fn allows(self, index: &SegmentIndex) -> bool {
        self.index.is_none_or(|wanted| wanted == index.reference.spec.index_type())
    }
}

/// The index over vectors that answers for a segment, if one does: who asked for a graph pays for its speed.
pub(super) fn usable_index(view: &SegmentView, manner: Manner) -> Option<(&IndexSpec, &dyn VectorIndex)> {
    if manner.exact {
        return None;
    }
    let allowed = view.indexes().iter().filter(|index| manner.allows(index));
    let usable = allowed.filter_map(|index| Some((&index.reference.spec, index.vectors()?)));
    let fitting = usable.filter(|(_, index)| index.distance() == manner.distance);
    fitting.min_by_key(|(spec, _)| preference(spec))
}

/// The index over vectors with the least one answers; of others there is none.
pub fn preference(spec: &IndexSpec) -> Option<u8> {
    match spec {
        IndexSpec::Hnsw(_) => Some(0),
        IndexSpec::Spfresh(_) => Some(1),
        IndexSpec::Pq(_) => Some(2),
        IndexSpec::Ivf(_) => Some(3),
        IndexSpec::Attributes | IndexSpec::Fulltext(_) => None,
    }
}

/// How much of an index to look at.
pub fn effort<I: VectorIndex + ?Sized>(index: &I, target: &Target) -> Effort {
    match target.accuracy {
        Accuracy::Exact => Effort::FULL,
        Accuracy::Recall(recall) => index.effort_for(recall, target.top_k),
        Accuracy::Effort(effort) => Effort::new(effort),
    }
}
