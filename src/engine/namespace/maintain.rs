//! Folding, merging and indexing in the background, when there is enough to do.
//!
//! A namespace has at most two such tasks on a node, and none while it is idle: one folds, and one
//! merges and builds indexes, which takes long and must not keep the log from being folded. Tasks of
//! different namespaces wait for each other, so memory is bounded by one fold and one merge. A task that
//! leaves its work to another node looks again from time to time, in which nobody waits for it: it ends
//! when the other one has done the work, and takes over when the other one is silent.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Namespace,
    fold::{Motive, Outcome},
};
use crate::{
    error::{Error, Result},
    telemetry::{CompactionKind, CompactionOutcome},
};

/// How often a task that waits for another node looks again, within `compaction.lease`.
const LOOKS: u32 = 10;

impl Namespace {
    /// Starts the tasks for which there is work and that do not run.
    pub fn maintain_if_due(self: &Arc<Self>) {
        if !self.context.compaction.background {
            return;
        }
        let outdated = self.state().is_outdated();
        if (outdated || self.fold_is_due()) && !self.folds.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().fold_in_background());
        }
        let due = !outdated && (self.merge_is_due() || self.index_is_due());
        if due && !self.merges.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().merge_in_background());
        }
    }

    pub(super) fn fold_is_due(&self) -> bool {
        let settings = &self.context.compaction;
        let state = self.state();
        !state.has_ended()
            && state.fault.is_none()
            && (state.log_bytes >= settings.fold_bytes.as_u64()
                || state.log_entries >= settings.fold_entries as u64)
    }

    async fn fold_in_background(self: Arc<Self>) {
        let result = loop {
            let turn = self.context.folding.lock().await;
            let result = self.fold_while_due().await;
            drop(turn);
            match result {
                Ok(Outcome::Yielded) => self.leave_it_to_others().await,
                result => break result,
            }
        };
        self.folds.store(false, Ordering::Release);
        self.complain(result);
    }

    async fn merge_in_background(self: Arc<Self>) {
        let result = loop {
            let turn = self.context.merging.lock().await;
            let result = self.merge_while_due().await;
            drop(turn);
            match result {
                Ok(Outcome::Yielded) => self.leave_it_to_others().await,
                result => break result,
            }
        };
        self.merges.store(false, Ordering::Release);
        self.complain(result);
    }

    async fn leave_it_to_others(&self) {
        let settings = &self.context.compaction;
        tokio::time::sleep((settings.lease / LOOKS).max(settings.fold_interval)).await;
    }

    fn complain(&self, result: Result<Outcome>) {
        match result {
            Ok(_) | Err(Error::NamespaceNotFound { .. }) => {}
            Err(error) => tracing::warn!(namespace = %self.name, %error, "a fold or merge failed"),
        }
    }

    /// Returns [`Outcome::Yielded`] if another node is at it, else [`Outcome::Idle`].
    async fn fold_while_due(self: &Arc<Self>) -> Result<Outcome> {
        if self.state().is_outdated() {
            self.renew().await?;
        }
        while self.fold_is_due() {
            // A conflict: somebody else changed the manifest. If that was no fold, this one is still due,
            // and with the log full no write would come to start it again.
            if self.compact(CompactionKind::fold, Motive::Due).await? == Outcome::Yielded {
                return Ok(Outcome::Yielded);
            }
            self.maintain_if_due();
            tokio::time::sleep(self.context.compaction.fold_interval).await;
        }
        self.maintain_if_due();
        Ok(Outcome::Idle)
    }

    /// Merges first: an index over what is merged next would be in vain.
    async fn merge_while_due(&self) -> Result<Outcome> {
        loop {
            let outcome = match self.compact(CompactionKind::merge, Motive::Due).await? {
                Outcome::Idle => self.compact(CompactionKind::index, Motive::Due).await?,
                outcome => outcome,
            };
            match outcome {
                Outcome::Idle | Outcome::Yielded => return Ok(outcome),
                Outcome::Done(_) => {}
                Outcome::Conflict => tokio::time::sleep(self.context.compaction.fold_interval).await,
            }
        }
    }

    /// A fold, a merge or the building of an index, counted and logged.
    pub async fn compact(&self, kind: CompactionKind, motive: Motive) -> Result<Outcome> {
        let began = self.context.clock.now();
        let result = match kind {
            CompactionKind::fold => self.fold(motive).await,
            CompactionKind::merge => self.merge(motive).await,
            CompactionKind::index => self.index(motive).await,
        };
        let metrics = &self.context.metrics.log;
        let elapsed = began.age(self.context.clock.now());
        match &result {
            Ok(Outcome::Idle) => {}
            Ok(Outcome::Done(done)) => {
                metrics.compacted(kind, CompactionOutcome::done);
                metrics.compaction_seconds.observe(elapsed.as_secs_f64());
                metrics.compaction_written_bytes.inc_by(done.bytes);
                let (rows, bytes) = (done.rows, done.bytes);
                tracing::info!(namespace = %self.name, ?kind, rows, bytes, ?elapsed, "compacted");
            }
            Ok(Outcome::Yielded) => metrics.compacted(kind, CompactionOutcome::yielded),
            Ok(Outcome::Conflict) => {
                metrics.compacted(kind, CompactionOutcome::conflict);
                tracing::info!(namespace = %self.name, ?kind, ?elapsed, "compacted in vain: overtaken");
            }
            Err(_) => metrics.compacted(kind, CompactionOutcome::failed),
        }
        result
    }
}
