//! Indexes of segments: built beside queries, folds and merges, and named by the manifest when they
//! are done.
//!
//! Like what a fold writes (rule 9), an index lies under a key that nobody reads until a
//! compare-and-swap makes the manifest name it. A segment without one is searched exactly (or its texts are indexed in memory), so an
//! index changes how long an answer takes, not whether there is one.
//!
//! Invariant: an index covers exactly the rows of its segment, which never change; which of them are
//! live is asked when it is searched.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Namespace,
    fold::{Compacted, Motive, Outcome},
    load::read_index,
    manifests::{read_manifest, swap_manifest},
};
use crate::{
    engine::{
        context::offload,
        index::{self, Base, Moved, Work},
        manifest::{Manifest, State as Life},
        segment::{Blob, IndexRef, Segment, SegmentRef},
    },
    error::{Error, Result},
    telemetry::{BuildWork, CompactionKind},
    types::IndexSpec,
};

/// How often a manifest that changed is read again.
const MAX_ROUNDS: usize = 8;

/// A segment that lacks an index.
struct Job {
    base: Arc<Manifest>,
    segment: Arc<Segment>,
    spec: IndexSpec,
}

/// A segment some rows of which were copied to a newer one.
pub(super) struct Ancestor {
    pub segment: SegmentRef,
    /// Where its rows are now.
    pub moved: Moved,
}

impl Namespace {
    /// Builds the next index that a segment lacks, the largest segment first. The lease of merges tells
    /// of it.
    pub async fn index(&self, motive: Motive) -> Result<Outcome> {
        let _one = self.merging.lock().await;
        self.renew().await?;
        let Some(job) = self.choose_index() else {
            return Ok(Outcome::Idle);
        };
        let (base, id) = (job.base.clone(), Some(job.segment.reference().id));
        let may_begin = self.may_begin(CompactionKind::index, id).await;
        if motive == Motive::Due && !may_begin {
            return Ok(Outcome::Yielded);
        }
        let outcome = self.holding(CompactionKind::index, id, self.run_index(&job)).await;
        self.unless_overtaken(&base, outcome).await
    }

    /// Whether a segment lacks an index.
    pub(super) fn index_is_due(&self) -> bool {
        self.choose_index().is_some()
    }

    fn choose_index(&self) -> Option<Job> {
        let state = self.state();
        if state.is_outdated() || state.has_ended() {
            return None;
        }
        let lacking = state.base.segments.iter().filter_map(|reference| {
            let spec = self.lacks(&state.base, reference)?;
            let view = state
                .contents
                .segments()
                .iter()
                .find(|view| view.segment().reference().id == reference.id)?;
            Some(Job { base: state.base.clone(), segment: view.segment().clone(), spec })
        });
        lacking.max_by_key(|job| job.segment.rows())
    }

    /// The most urgent index that a segment is to have and has not.
    fn lacks(&self, manifest: &Manifest, segment: &SegmentRef) -> Option<IndexSpec> {
        let has = |spec: &IndexSpec| segment.indexes.iter().any(|index| spec.is_served_by(&index.spec));
        let lacking = manifest.wanted_indexes().iter();
        let lacking = lacking.filter(|spec| self.is_indexed(segment, spec) && !has(spec));
        lacking.max_by_key(|spec| spec.urgency()).cloned()
    }

    /// Whether a segment is to have an index and has none that serves.
    fn lacks_as(&self, manifest: &Manifest, segment: &SegmentRef, spec: &IndexSpec) -> bool {
        let wanted = manifest.wanted_indexes().iter().any(|wanted| wanted.is_served_by(spec));
        let has = segment.indexes.iter().any(|index| spec.is_served_by(&index.spec));
        wanted && !has && self.is_indexed(segment, spec)
    }

    /// Whether a segment is large enough for an index, and has what it is over.
    pub fn is_indexed(&self, segment: &SegmentRef, spec: &IndexSpec) -> bool {
        segment.rows >= self.context.index.min_rows as u64 && (segment.has_vectors || !spec.is_over_vectors())
    }

    /// Changes which indexes segments are to have, unless `change` finds nothing to do; returns whether
    /// it was changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if others change the manifest all the time.
    pub async fn change_indexes(
        &self,
        change: impl Fn(&[IndexSpec]) -> Option<Vec<IndexSpec>>,
    ) -> Result<bool> {
        let _alone = self.compacting.lock().await;
        for tries in 1..=MAX_ROUNDS {
            let (manifest, tag) = match read_manifest(&self.context, &self.name).await? {
                Some((manifest, tag))
                    if manifest.state == Life::Live && manifest.incarnation == self.incarnation =>
                {
                    (manifest, tag)
                }
                _ => return Err(self.not_found()),
            };
            let Some(wanted) = change(manifest.wanted_indexes()) else {
                return Ok(false);
            };
            let same = manifest.indexes.as_ref() == Some(&wanted);
            let next = manifest.with_indexes(self.context.random.uuid(), wanted);
            if same || swap_manifest(&self.context, &self.name, Some(&tag), &next).await?.is_some() {
                self.settle_on_newest_manifest().await?;
                return Ok(true);
            }
            self.context.pause_after(tries).await;
        }
        Err(Error::Unavailable {
            reason: format!("the manifest of {:?} changes all the time", self.name.as_str()),
            retry_after: Duration::from_secs(1),
        })
    }

    async fn run_index(&self, job: &Job) -> Result<Outcome> {
        let index = self.build_index(&job.segment, job.spec.clone(), &[]).await?;
        let done = Compacted { bytes: index.blob.bytes, rows: job.segment.rows() as u64 };
        // No fold of this node is to be in vain because of the swap.
        let _alone = self.compacting.lock().await;
        let named = self.name_index(job, index).await?;
        self.settle_on_newest_manifest().await?;
        Ok(if named { Outcome::Done(done) } else { Outcome::Conflict })
    }

    /// Builds the indexes that a segment is to have, from those of its ancestors where that is less work.
    pub(super) async fn build_indexes(
        &self,
        manifest: &Manifest,
        segment: &Arc<Segment>,
        ancestors: &[Ancestor],
    ) -> Result<Vec<IndexRef>> {
        let mut reference = segment.reference().clone();
        while let Some(spec) = self.lacks(manifest, &reference) {
            reference.indexes.push(self.build_index(segment, spec, ancestors).await?);
        }
        Ok(reference.indexes)
    }

    /// The index of the ancestor that most rows are from, if it is worth continuing.
    async fn base_of(&self, segment: &Segment, spec: &IndexSpec, ancestors: &[Ancestor]) -> Option<Base> {
        let ancestor = ancestors.iter().max_by_key(|ancestor| ancestor.moved.len())?;
        let index = ancestor.segment.indexes.iter().find(|index| index.spec == *spec)?;
        if !index::is_worth_extending(spec, ancestor.moved.len(), segment.rows()) {
            return None;
        }
        // One that cannot be read is told of where it is read; all is built then.
        let (_, content) = read_index(&self.context, &self.home(), &ancestor.segment, index).await.ok()?;
        Some(Base { content, moved: ancestor.moved.clone() })
    }

    async fn build_index(
        &self,
        segment: &Arc<Segment>,
        spec: IndexSpec,
        ancestors: &[Ancestor],
    ) -> Result<IndexRef> {
        let began = self.context.clock.now();
        let id = self.context.random.uuid();
        let distance = self.state().manifest.config.distance;
        let base = self.base_of(segment, &spec, ancestors).await;
        let (rows, builders) = (segment.clone(), self.context.builders.clone());
        // The segment's id, so that a build can be repeated.
        let seed = segment.reference().id.as_u64_pair().1;
        let wanted = spec.clone();
        let make = move || match &base {
            Some(base) => index::extend(&wanted, &*rows, distance, seed, base),
            None => Ok((index::build(&wanted, &*rows, distance, seed)?, Work::Built)),
        };
        let size = segment.reference().data.bytes;
        let (bytes, work) = offload(size, move || builders.install(make)).await??;
        let bytes = Bytes::from(bytes);
        let head = index::head_bytes(spec.index_type(), &bytes).map(|head| Blob::of(&bytes[..head]));
        let kind = spec.index_type().as_str();
        let reference = IndexRef { id, spec, blob: Blob::of(&bytes), head, owner: None };
        let key = self.home().index_key(segment.reference().id, &reference);
        let mut upload = self.context.store.upload(&key);
        upload.write(bytes).await?;
        upload.finish().await?;
        let (rows, bytes) = (segment.rows(), reference.blob.bytes);
        let elapsed = began.age(self.context.clock.now());
        self.context.metrics.log.index_built(match work {
            Work::Built => BuildWork::built,
            Work::Extended => BuildWork::extended,
        });
        tracing::info!(namespace = %self.name, kind, rows, bytes, ?work, ?elapsed, "built an index");
        Ok(reference)
    }

    /// Makes the manifest name an index, unless the segment is gone or has one by now.
    async fn name_index(&self, job: &Job, index: IndexRef) -> Result<bool> {
        let id: Uuid = job.segment.reference().id;
        for _ in 0..MAX_ROUNDS {
            let Some((manifest, tag)) = read_manifest(&self.context, &self.name).await? else {
                return Ok(false);
            };
            let lives = manifest.state == Life::Live && manifest.incarnation == self.incarnation;
            let mut segments = manifest.segments.clone();
            let segment = segments.iter_mut().find(|segment| segment.id == id);
            let Some(segment) = segment.filter(|segment| self.lacks_as(&manifest, segment, &job.spec)) else {
                return Ok(false);
            };
            // What is not named on this manifest may have been condemned by the one before it.
            if !(lives && manifest.admits(id, job.base.version)) {
                return Ok(false);
            }
            segment.indexes.retain(|other| other.spec.index_type() != job.spec.index_type());
            segment.indexes.push(index.clone());
            let next = manifest.with_segments(self.context.random.uuid(), segments);
            if swap_manifest(&self.context, &self.name, Some(&tag), &next).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
