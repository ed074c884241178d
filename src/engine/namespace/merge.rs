//! Merging: several segments become one, without the rows that are dead.
//!
//! Rows stream from the old segments to the new one, so memory does not grow with them. A fold (of
//! any node) may run meanwhile: rows that it let die in the old segments are looked up in the new
//! one when the manifest is swapped.
//!
//! Rows with vectors and rows without are in segments of their own, and these are merged with their like.
//!
//! Invariant: the new segment holds exactly the rows of the old ones that the manifest which stood
//! at the swap counts as live, and their deletes.

use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    Namespace,
    fold::{Compacted, Motive, Outcome},
    index::Ancestor,
    load::read_deletes,
    manifests::{read_manifest, swap_manifest},
};
use crate::{
    clock::Timestamp,
    engine::{
        compaction::{Size, Tiers},
        context::offload,
        index::Moved,
        manifest::{Manifest, State as Life},
        segment::{Segment, SegmentRef, SegmentView, SegmentWriter},
    },
    error::{Error, Result},
    planted::{Bug, planted},
    storage::Tag,
    telemetry::CompactionKind,
};

/// How often a merge is fitted to a manifest that changed.
const MAX_ROUNDS: usize = 8;

/// Merges of more bytes than this are announced before they begin.
const LONG_BYTES: u64 = 16 << 20;

/// What is merged: segments as a manifest knows them.
struct Job {
    base: Arc<Manifest>,
    views: Vec<SegmentView>,
    /// The segment that they become.
    id: Uuid,
}

impl Job {
    /// Bytes that are read.
    fn bytes(&self) -> u64 {
        self.views.iter().map(|view| view.segment().reference().bytes()).sum()
    }
}

impl Namespace {
    /// Merges the segments that are to be merged next, if there are any.
    ///
    /// One that takes long says in the lease what it writes, whoever asked for it, unless another node
    /// has the lease: then it may outlast collections of garbage.
    pub async fn merge(&self, motive: Motive) -> Result<Outcome> {
        let _one = self.merging.lock().await;
        self.renew().await?;
        let base = self.state().base.clone();
        let outcome = self.try_merge(motive).await;
        self.unless_overtaken(&base, outcome).await
    }

    async fn try_merge(&self, motive: Motive) -> Result<Outcome> {
        let Some(job) = self.choose_merge(motive).await? else {
            return Ok(Outcome::Idle);
        };
        let (id, is_long) = (job.id, job.bytes() > LONG_BYTES);
        if motive == Motive::Due || is_long {
            let may_begin = self.may_begin(CompactionKind::merge, is_long.then_some(id)).await;
            if motive == Motive::Due && !may_begin {
                return Ok(Outcome::Yielded);
            }
        }
        self.holding(CompactionKind::merge, Some(id), self.run_merge(job)).await
    }

    async fn run_merge(&self, job: Job) -> Result<Outcome> {
        let merged = match self.write_merged(&job).await? {
            Some((reference, segment, ancestors)) => {
                let indexes = self.build_indexes(&job.base, &segment, &ancestors).await?;
                Some((SegmentRef { indexes, ..reference }, segment))
            }
            None => None,
        };
        // No fold of this node is to be in vain because of the swap.
        let _alone = self.compacting.lock().await;
        self.swap_merged(&job, merged).await
    }

    /// Whether there are segments to merge.
    pub(super) fn merge_is_due(&self) -> bool {
        let state = self.state();
        !state.is_outdated() && !state.has_ended() && !self.to_merge(&state.base, Motive::Due).is_empty()
    }

    /// The segments of a manifest to merge next, by their places.
    fn to_merge(&self, manifest: &Manifest, motive: Motive) -> Vec<usize> {
        let settings = &self.context.compaction;
        let tiers = Tiers {
            fan_in: settings.fan_in,
            max_bytes: settings.segment_bytes.as_u64(),
            max_rows: settings.segment_rows as u64,
        };
        let choose = |with_vectors: bool| {
            let like = manifest.segments.iter().enumerate();
            let like = like.filter(|(_, segment)| segment.has_vectors == with_vectors);
            let (places, sizes): (Vec<usize>, Vec<Size>) =
                like.map(|(place, segment)| (place, size(segment))).unzip();
            let chosen = if motive == Motive::Full { tiers.choose_all(&sizes) } else { tiers.choose(&sizes) };
            chosen.into_iter().map(|chosen| places[chosen]).collect::<Vec<_>>()
        };
        let with_vectors = choose(true);
        if with_vectors.is_empty() { choose(false) } else { with_vectors }
    }

    async fn choose_merge(&self, motive: Motive) -> Result<Option<Job>> {
        let (base, segments) = {
            let state = self.state();
            if state.is_outdated() || state.has_ended() {
                return Ok(None);
            }
            let views = state.contents.segments().iter();
            let segments: Vec<_> = views.map(|view| view.segment().clone()).collect();
            (state.base.clone(), segments)
        };
        let mut views = Vec::new();
        for index in self.to_merge(&base, motive) {
            let reference = &base.segments[index];
            // Segments that the log has emptied meanwhile are gone from the state; a fold drops them.
            let Some(segment) = segments.iter().find(|known| known.reference().id == reference.id) else {
                return Ok(None);
            };
            let deletes = read_deletes(&self.context, &self.home(), reference).await?;
            views.push(SegmentView::new(segment.clone(), &deletes));
        }
        Ok((!views.is_empty()).then(|| Job { base, views, id: self.new_segment_id() }))
    }

    /// Writes the live rows of segments as one, and says where each has its rows there; `None` if there
    /// are none.
    async fn write_merged(&self, job: &Job) -> Result<Option<(SegmentRef, Arc<Segment>, Vec<Ancestor>)>> {
        let Job { base, views, id } = job;
        let (id, now) = (*id, base.folded_at.unwrap_or(base.created_at));
        let (data_key, lookup_key) = (self.home().data_key(id), self.home().lookup_key(id));
        let dimension = views.first().map_or(0, |view| view.segment().dimension());
        let mut upload = self.context.store.upload(&data_key);
        let mut writer = SegmentWriter::new(dimension).map_err(Error::internal)?;
        let (mut ancestors, mut next) = (Vec::new(), 0);
        for view in views {
            let mut moved = Moved::to(next);
            for batch in 0..view.segment().batch_count() {
                let (view, bytes) = (view.clone(), view.segment().reference().data.bytes);
                let copied = offload(bytes, move || copy_batch(writer, &view, batch, now, moved)).await??;
                (writer, moved) = (copied.writer, copied.moved);
                for piece in copied.pieces {
                    upload.write(piece).await?;
                }
            }
            next = moved.end() as u32;
            // As the manifest names it: an open segment does not know of indexes that were built since.
            let id = view.segment().reference().id;
            let segment = base.segments.iter().find(|segment| segment.id == id).cloned();
            ancestors.extend(segment.map(|segment| Ancestor { segment, moved }));
        }
        let written = offload(job.bytes(), move || writer.finish()).await?.map_err(Error::internal)?;
        if written.rows == 0 {
            return Ok(None);
        }
        upload.write(written.piece.clone()).await?;
        upload.finish().await?;
        self.context.store.put(&lookup_key, written.lookup.clone()).await?;
        let reference = written.reference(id);
        let segment = self.open_segment(&reference).await?;
        Ok(Some((reference, Arc::new(segment), ancestors)))
    }

    /// Makes the manifest name the new segment instead of the old ones.
    async fn swap_merged(&self, job: &Job, merged: Option<(SegmentRef, Arc<Segment>)>) -> Result<Outcome> {
        let old: Vec<Uuid> = job.views.iter().map(|view| view.segment().reference().id).collect();
        for _ in 0..MAX_ROUNDS {
            let Some((manifest, tag)) = read_manifest(&self.context, &self.name).await? else {
                return Ok(Outcome::Conflict);
            };
            let all_there = old.iter().all(|id| manifest.segments.iter().any(|known| known.id == *id));
            let lives = manifest.state == Life::Live && manifest.incarnation == self.incarnation;
            // What is not named on this manifest may have been condemned by the one before it.
            if !(lives && all_there && manifest.admits(job.id, job.base.version)) {
                return Ok(Outcome::Conflict);
            }
            let replacement = match &merged {
                Some((reference, segment)) => self.fit(job, &manifest, reference, segment).await?,
                None => None,
            };
            if self.swap_segments(&manifest, &tag, &old, replacement.clone()).await? {
                self.settle_on_newest_manifest().await?;
                let done = replacement.map_or(Compacted::default(), |reference| Compacted {
                    bytes: reference.bytes(),
                    rows: reference.rows,
                });
                return Ok(Outcome::Done(done));
            }
        }
        Ok(Outcome::Conflict)
    }

    async fn swap_segments(
        &self,
        manifest: &Manifest,
        tag: &Tag,
        old: &[Uuid],
        replacement: Option<SegmentRef>,
    ) -> Result<bool> {
        let kept = manifest.segments.iter().filter(|known| !old.contains(&known.id)).cloned();
        let segments = kept.chain(replacement).collect();
        let next = manifest.with_segments(self.context.random.uuid(), segments);
        Ok(swap_manifest(&self.context, &self.name, Some(tag), &next).await?.is_some())
    }

    /// The new segment as a manifest has to name it whose deletes may be newer than those that the
    /// merge left out; `None` if nothing is left of it.
    async fn fit(
        &self,
        job: &Job,
        manifest: &Manifest,
        reference: &SegmentRef,
        segment: &Arc<Segment>,
    ) -> Result<Option<SegmentRef>> {
        let mut dead = RoaringBitmap::new();
        for view in &job.views {
            let id = view.segment().reference().id;
            let known = |segments: &[SegmentRef]| segments.iter().find(|known| known.id == id).cloned();
            let (before, after) = (known(&job.base.segments), known(&manifest.segments));
            let (Some(before), Some(after)) = (before, after) else { continue };
            if before.deletes == after.deletes || planted(Bug::MergeForgetsDeletes) {
                continue;
            }
            let deletes = read_deletes(&self.context, &self.home(), &after).await?;
            let (view, segment) = (view.clone(), segment.clone());
            dead |= offload(after.bytes(), move || carried(&view, &deletes, &segment)).await??;
        }
        if dead.len() == reference.rows {
            return Ok(None);
        }
        let deletes = match dead.is_empty() {
            true => None,
            false => Some(self.write_deletes(reference.id, manifest.folded, &dead).await?),
        };
        Ok(Some(SegmentRef { deletes, ..reference.clone() }))
    }
}

/// The size of a segment by what the manifest says.
fn size(reference: &SegmentRef) -> Size {
    let live = reference.live();
    let share = live as f64 / reference.rows.max(1) as f64;
    Size { bytes: (reference.data.bytes as f64 * share) as u64, live, rows: reference.rows }
}

/// What comes of a batch.
struct Copied {
    writer: SegmentWriter,
    pieces: Vec<Bytes>,
    moved: Moved,
}

/// Writes the live rows of a batch, and notes where they are.
fn copy_batch(
    mut writer: SegmentWriter,
    view: &SegmentView,
    batch: usize,
    now: Timestamp,
    mut moved: Moved,
) -> Result<Copied> {
    let rows = view.segment().batch(batch)?;
    let visible = view.visible(batch, now)?;
    let mut pieces = Vec::new();
    for place in 0..view.segment().batch_rows(batch) {
        let is_visible = visible[place / 64] >> (place % 64) & 1 == 1;
        moved.push(is_visible);
        if is_visible {
            pieces.extend(writer.push(rows.get(place)).map_err(Error::internal)?);
        }
    }
    Ok(Copied { writer, pieces, moved })
}

/// The rows of `merged` that are dead because `deletes` names rows of `view` that were live.
fn carried(view: &SegmentView, deletes: &RoaringBitmap, merged: &Segment) -> Result<RoaringBitmap> {
    let mut dead = RoaringBitmap::new();
    for row in deletes.iter().filter(|row| view.is_live(*row)) {
        // One that had expired was left out.
        if let Some(row) = merged.find(view.segment().id(row)?)? {
            dead.insert(row);
        }
    }
    Ok(dead)
}
