//! Folding: the rows of the log so far become a segment, and the rows that it replaced or removed
//! in older segments are written down.
//!
//! Rule 9: the new objects lie under keys that nobody reads until a compare-and-swap makes the
//! manifest name them. Invariant: the segments of a manifest add up to exactly the entries up to
//! its `folded`; what is written meanwhile is not looked at.

use std::sync::Arc;

use arrow_schema::ArrowError;
use bytes::Bytes;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{Namespace, load::moved, manifests::swap_manifest, state::State};
use crate::{
    clock::{Instant, Timestamp},
    engine::{
        contents::Snapshot,
        context::offload,
        format::Hash,
        manifest::{Manifest, NamespaceConfig, RingEntry},
        segment::{Blob, Deletes, SegmentRef, SegmentView, SegmentWriter, Written, encode_deletes},
    },
    error::{Error, Result},
    planted::{Bug, planted},
    storage::Tag,
    telemetry::CompactionKind,
};

/// What a fold or merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engine) struct Compacted {
    /// Bytes that were written.
    pub bytes: u64,
    /// Rows that were written.
    pub rows: u64,
}

/// How a fold or merge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Outcome {
    /// The manifest names what was written.
    Done(Compacted),
    /// There was nothing to do.
    Idle,
    /// Another node changed the manifest first; nothing came of it.
    Conflict,
    /// It is left to another node that does the same.
    Yielded,
}

/// Why a fold or merge is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Motive {
    /// There is enough to do. It is left to another node that is at it.
    Due,
    /// Somebody asked for it.
    Demand,
    /// Somebody asked for as few segments as there can be, whatever it costs.
    Full,
}

/// A namespace as it is at one moment.
#[derive(Debug)]
pub(in crate::engine) struct Frozen {
    /// The manifest that names the segments of the snapshot.
    pub base: Arc<Manifest>,
    pub snapshot: Arc<Snapshot>,
    pub dimension: Option<usize>,
    pub updated_at: Timestamp,
    /// What the tail takes in memory.
    pub tail_bytes: u64,
}

/// The state that is folded.
struct Job {
    base: Arc<Manifest>,
    tag: Tag,
    snapshot: Arc<Snapshot>,
    /// What the tail of the snapshot takes in memory.
    tail_bytes: u64,
    seq: u64,
    hash: Hash,
    committed_at: Timestamp,
    dimension: Option<usize>,
    ring: Vec<RingEntry>,
    began: Instant,
    /// When the refresh began that brought the state here. Folding brings nothing newer.
    current_at: Instant,
}

impl Namespace {
    /// Folds everything that is known of the log. One fold of a namespace runs at a time on this node,
    /// and at most one merge beside it; against other nodes the swap of the manifest decides.
    pub async fn fold(&self, motive: Motive) -> Result<Outcome> {
        let _alone = self.compacting.lock().await;
        self.settle_on_newest_manifest().await?;
        if motive == Motive::Due {
            // Another node may have folded what was due.
            if !self.fold_is_due() {
                return Ok(Outcome::Idle);
            }
            if !self.may_begin(CompactionKind::fold, None).await {
                return Ok(Outcome::Yielded);
            }
        }
        let Some(job) = self.begin_fold() else {
            return Ok(Outcome::Idle);
        };
        let base = job.base.clone();
        let outcome = match motive {
            Motive::Due => self.holding(CompactionKind::fold, None, self.run_fold(job)).await,
            Motive::Demand | Motive::Full => self.run_fold(job).await,
        };
        // What was kept for a fold that came to nothing is not needed.
        self.state_mut().stop_keeping();
        self.unless_overtaken(&base, outcome).await
    }

    /// How a fold or merge ended that began on this manifest. What it wrote or wanted to read may be
    /// missing because others were faster and collected it: that is no damage.
    pub(super) async fn unless_overtaken(
        &self,
        base: &Manifest,
        outcome: Result<Outcome>,
    ) -> Result<Outcome> {
        match outcome {
            Err(Error::Corrupt { .. }) if moved(&self.context, &self.name, base).await? => {
                Ok(Outcome::Conflict)
            }
            outcome => outcome,
        }
    }

    /// [`Namespace::settle_on_newest_manifest`] when nobody else does.
    pub(super) async fn renew(&self) -> Result<()> {
        let _alone = self.compacting.lock().await;
        self.settle_on_newest_manifest().await
    }

    /// Afterwards the segments are those of the manifest that stands now.
    pub(super) async fn settle_on_newest_manifest(&self) -> Result<()> {
        self.confirm_manifest().await?;
        // Whatever stands in the way of the short cut, the long way around meets it and says so.
        if self.state().is_outdated() && !matches!(self.realign().await, Ok(true)) {
            self.rebase().await?;
        }
        if self.has_ended() { Err(self.not_found()) } else { Ok(()) }
    }

    /// Everything as it is now, on the manifest that stands now.
    pub async fn freeze(&self) -> Result<Frozen> {
        loop {
            self.renew().await?;
            let mut state = self.state_mut();
            if !state.is_outdated() {
                return Ok(Frozen {
                    base: state.base.clone(),
                    snapshot: state.contents.snapshot(),
                    dimension: state.dimension,
                    updated_at: state.updated_at,
                    tail_bytes: state.contents.tail().bytes(),
                });
            }
        }
    }

    fn begin_fold(&self) -> Option<Job> {
        let began = self.context.clock.now();
        let mut state = self.state_mut();
        if state.seq == state.base.folded || state.is_outdated() || state.has_ended() {
            return None;
        }
        state.keep_entries();
        Some(Job {
            base: state.base.clone(),
            tag: state.manifest_tag.clone(),
            snapshot: state.contents.snapshot(),
            tail_bytes: state.contents.tail().bytes(),
            seq: state.seq,
            hash: state.hash,
            committed_at: state.updated_at,
            dimension: state.dimension,
            ring: state.ring.iter().copied().collect(),
            began,
            current_at: state.current_at,
        })
    }

    async fn run_fold(&self, job: Job) -> Result<Outcome> {
        let mut done = Compacted::default();
        let mut segments = Vec::new();
        let mut views = Vec::new();
        for view in job.snapshot.segments.iter().filter(|view| view.live_rows() > 0) {
            let reference = job.base.segments.iter().find(|known| known.id == view.segment().reference().id);
            let reference = reference.ok_or_else(|| Error::internal("a segment that no manifest names"))?;
            segments.push(self.note_deletes(&job, reference, view, &mut done).await?);
            views.push(view.clone());
        }
        for with_vectors in [true, false] {
            if let Some((reference, view)) = self.write_tail(&job, with_vectors, &mut done).await? {
                segments.push(reference);
                views.push(view);
            }
        }
        let (folded, folded_hash) = match planted(Bug::FoldClaimsMore) {
            true => (self.state().seq, self.state().hash),
            false => (job.seq, job.hash),
        };
        let manifest = Manifest {
            folded,
            folded_hash,
            folded_at: Some(job.committed_at),
            config: NamespaceConfig { dimension: job.dimension, ..job.base.config },
            ring: job.ring,
            ..job.base.with_segments(self.context.random.uuid(), segments)
        };
        match swap_manifest(&self.context, &self.name, Some(&job.tag), &manifest).await? {
            None => Ok(Outcome::Conflict),
            Some(tag) => {
                let mut state = State::new(Arc::new(manifest), tag, views, job.began);
                state.current_at = job.current_at;
                self.install_fold(state).await?;
                Ok(Outcome::Done(done))
            }
        }
    }

    /// The rows of the tail that have vectors, or those that have none, as a segment, if there are any.
    async fn write_tail(
        &self,
        job: &Job,
        with_vectors: bool,
        done: &mut Compacted,
    ) -> Result<Option<(SegmentRef, SegmentView)>> {
        let (snapshot, now) = (job.snapshot.clone(), job.committed_at);
        let encoded = offload(job.tail_bytes, move || encode_tail(&snapshot, with_vectors, now)).await?;
        let Some((data, written)) = encoded.map_err(Error::internal)? else {
            return Ok(None);
        };
        let id = self.new_segment_id();
        let reference = written.reference(id);
        let (data_key, lookup_key) = (self.home().data_key(id), self.home().lookup_key(id));
        let store = &self.context.store;
        futures::future::try_join(store.put(&data_key, data), store.put(&lookup_key, written.lookup)).await?;
        done.bytes += reference.bytes();
        done.rows += reference.rows;
        let segment = self.open_segment(&reference).await?;
        Ok(Some((reference, SegmentView::new(Arc::new(segment), &RoaringBitmap::new()))))
    }

    /// The segment as the next manifest names it: with the rows that died since the last one did.
    async fn note_deletes(
        &self,
        job: &Job,
        reference: &SegmentRef,
        view: &SegmentView,
        done: &mut Compacted,
    ) -> Result<SegmentRef> {
        if reference.live() == view.live_rows() || planted(Bug::FoldForgetsDeletes) {
            return Ok(reference.clone());
        }
        let deletes = self.write_deletes(reference.id, job.seq, &view.deletes()).await?;
        done.bytes += deletes.blob.bytes;
        Ok(SegmentRef { deletes: Some(deletes), ..reference.clone() })
    }

    pub(super) async fn write_deletes(
        &self,
        segment: Uuid,
        seq: u64,
        rows: &RoaringBitmap,
    ) -> Result<Deletes> {
        let bytes = encode_deletes(rows).map_err(Error::internal)?;
        let id = self.context.random.uuid();
        let key = self.home().deletes_key(segment, id);
        let deletes = Deletes { id, seq, rows: rows.len(), blob: Blob::of(&bytes), owner: None };
        self.context.store.put(&key, bytes).await?;
        Ok(deletes)
    }

    /// Ids that sort by time, so that a listing of the store tells people what is new.
    pub(super) fn new_segment_id(&self) -> Uuid {
        let millis = u64::try_from(self.context.clock.now().wall.0).unwrap_or_default();
        let [_, _, _, _, _, _, random @ ..] = self.context.random.uuid().into_bytes();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// Puts the state on the fold that we made: applies what was committed meanwhile, and swaps.
    async fn install_fold(&self, mut folded: State) -> Result<()> {
        loop {
            let kept = {
                let mut state = self.state_mut();
                let kept = state.take_kept();
                if kept.is_empty() {
                    if state.succeed(folded).is_ok() {
                        break;
                    }
                    // Somebody replaced the state meanwhile, and reads on where we cannot follow.
                    return Ok(());
                }
                kept
            };
            let bytes = kept.iter().map(|entry| entry.bytes as u64).sum();
            let applied = offload(bytes, move || {
                kept.iter().try_for_each(|entry| folded.apply(entry)).map(|()| folded)
            });
            folded = match applied.await? {
                Ok(folded) => folded,
                // The fold stands; whoever reads next finds what is wrong and says it.
                Err(_) => return Ok(()),
            };
        }
        self.account();
        Ok(())
    }
}

/// The visible rows of the tail that have vectors, or those that have none, as a segment's data, and what else
/// there is to it; none if there are no such rows.
pub(in crate::engine) fn encode_tail(
    snapshot: &Snapshot,
    with_vectors: bool,
    now: Timestamp,
) -> Result<Option<(Bytes, Written)>, ArrowError> {
    let mut rows = snapshot.tail_rows(now).filter(|row| row.vector.is_empty() != with_vectors).peekable();
    if rows.peek().is_none() {
        return Ok(None);
    }
    let mut writer = SegmentWriter::new(if with_vectors { snapshot.dimension } else { 0 })?;
    let mut data = Vec::new();
    for row in rows {
        if let Some(piece) = writer.push(row)? {
            data.extend_from_slice(&piece);
        }
    }
    let written = writer.finish()?;
    data.extend_from_slice(&written.piece);
    Ok(Some((data.into(), written)))
}
