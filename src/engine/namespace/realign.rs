//! Moving to the segments of a merge without reading the log again.
//!
//! A merge changes where folded rows are, and nothing else. So a node keeps what it has of the log
//! after the fold, and lets the rows die in the new segments that it let die in the old ones.
//!
//! Invariant: the state is then as [`super::load`] would read it.

use std::sync::Arc;

use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    Namespace,
    load::{open_views, read_deletes},
};
use crate::{
    clock::Timestamp,
    engine::{
        contents::Contents,
        context::offload,
        manifest::Manifest,
        segment::{SegmentRef, SegmentView},
    },
    error::Result,
};

/// What is known when it begins.
struct Start {
    /// The manifest that the segments are of, and the one whose segments are wanted.
    base: Arc<Manifest>,
    manifest: Arc<Manifest>,
    /// The segments, and what is live in them.
    views: Vec<SegmentView>,
    /// The newest entry's time, if there is one after the fold.
    now: Option<Timestamp>,
    /// Which view of the log it is: another one may know entries that were not kept.
    view: u64,
}

/// An old segment, and the rows of it that were dead at the fold.
type Old = (SegmentView, RoaringBitmap);

impl Namespace {
    /// Puts the state on the newest known manifest, if that is of the same fold. Returns whether it is
    /// and nobody replaced the state meanwhile.
    pub(super) async fn realign(&self) -> Result<bool> {
        let Some(start) = self.begin_realign() else { return Ok(false) };
        let done = self.run_realign(start).await;
        self.state_mut().stop_keeping();
        done
    }

    fn begin_realign(&self) -> Option<Start> {
        let mut state = self.state_mut();
        let (base, manifest) = (state.base.clone(), state.manifest.clone());
        if !state.is_outdated() || manifest.folded != base.folded {
            return None;
        }
        state.keep_entries();
        let now = (state.seq > base.folded).then_some(state.updated_at);
        let views = state.contents.segments().to_vec();
        Some(Start { base, manifest, views, now, view: state.view })
    }

    async fn run_realign(&self, start: Start) -> Result<bool> {
        let (base, manifest, view) = (start.base.clone(), start.manifest.clone(), start.view);
        let mut contents = Contents::new(manifest.config.dimension, self.moved_views(start).await?);
        loop {
            let kept = {
                let mut state = self.state_mut();
                if state.view != view || state.base.version != base.version || state.has_ended() {
                    return Ok(false);
                }
                let kept = state.take_kept();
                if kept.is_empty() {
                    state.stand_on(manifest, contents.segments().to_vec());
                    return Ok(true);
                }
                kept
            };
            let bytes = kept.iter().map(|entry| entry.bytes as u64).sum();
            let apply = move || {
                let mut entries = kept.iter();
                let applied = entries.try_for_each(|entry| {
                    contents.apply(&entry.changes, entry.header.committed_at).map(drop)
                });
                applied.map(|()| contents)
            };
            contents = offload(bytes, apply).await??;
        }
    }

    /// The segments of the new manifest with what is live in them.
    async fn moved_views(&self, start: Start) -> Result<Vec<SegmentView>> {
        let Start { base, manifest, views, now, .. } = start;
        // The log was cleared: nothing that is folded lives.
        if views.is_empty() && !base.segments.is_empty() {
            return Ok(Vec::new());
        }
        let opened = views.iter().map(|view| (view.segment().reference().id, view.clone()));
        let fresh = open_views(&self.context, &self.home(), &manifest, &opened.collect()).await?;
        let of = |segments: &[SegmentRef], id: Uuid| segments.iter().find(|known| known.id == id).cloned();
        let (mut stay, mut old) = (Vec::new(), Vec::<Old>::new());
        for view in views {
            let id = view.segment().reference().id;
            let Some(reference) = of(&base.segments, id) else { continue };
            if of(&manifest.segments, id).is_some_and(|known| known.deletes == reference.deletes) {
                stay.push(view);
            } else {
                old.push((view, read_deletes(&self.context, &self.home(), &reference).await?));
            }
        }
        let bytes = old.iter().map(|(view, _)| view.segment().reference().bytes()).sum();
        offload(bytes, move || moved(fresh, &stay, &old, now)).await?
    }
}

/// `fresh` are segments as their manifest knows them. Those that `stay` are as they were; in the others
/// those rows die that did in `old` ones.
fn moved(
    mut fresh: Vec<SegmentView>,
    stay: &[SegmentView],
    old: &[Old],
    now: Option<Timestamp>,
) -> Result<Vec<SegmentView>> {
    let mut new = Vec::new();
    for view in &mut fresh {
        let id = view.segment().reference().id;
        match stay.iter().find(|stays| stays.segment().reference().id == id) {
            Some(stays) => *view = stays.clone().with_indexes(view.indexes().to_vec()),
            None => new.push(view),
        }
    }
    for (view, before) in old {
        for row in view.deletes() - before {
            let id = view.segment().id(row)?;
            for view in &mut new {
                if let Some(row) = view.find(id)? {
                    view.hide(row);
                }
            }
        }
    }
    if let Some(now) = now {
        new.into_iter().for_each(|view| view.purge(now));
    }
    Ok(fresh)
}
