//! Folding and merging in the background, when there is enough to do.
//!
//! A namespace has at most one such task on a node, and none while it is idle. Tasks of different
//! namespaces wait for each other, so memory is bounded by one fold and one merge. A task that leaves
//! its work to another node looks again from time to time, in which nobody waits for it: it ends when
//! the other one has folded, and takes over when the other one is silent.

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
    /// Starts the task if there is work and it does not run.
    pub fn maintain_if_due(self: &Arc<Self>) {
        let due = self.context.compaction.background && (self.fold_is_due() || self.state().is_outdated());
        if due && !self.maintaining.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().maintain());
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

    async fn maintain(self: Arc<Self>) {
        let settings = &self.context.compaction;
        let result = loop {
            let turn = self.context.compacting.lock().await;
            let result = self.compact_while_due().await;
            drop(turn);
            match result {
                Ok(Outcome::Yielded) => {
                    tokio::time::sleep((settings.lease / LOOKS).max(settings.fold_interval)).await;
                }
                result => break result,
            }
        };
        self.maintaining.store(false, Ordering::Release);
        match result {
            Ok(_) | Err(Error::NamespaceNotFound { .. }) => {}
            Err(error) => tracing::warn!(namespace = %self.name, %error, "a fold or merge failed"),
        }
    }

    /// Returns how the last fold ended.
    async fn compact_while_due(&self) -> Result<Outcome> {
        if self.state().is_outdated() {
            let _alone = self.compacting.lock().await;
            self.settle_on_newest_manifest().await?;
        }
        let mut outcome = Outcome::Idle;
        while self.fold_is_due() {
            outcome = self.compact(CompactionKind::fold, Motive::Due).await?;
            match outcome {
                Outcome::Yielded => break,
                Outcome::Done(_) => self.merge_while_due().await?,
                // Somebody else changed the manifest. If that was no fold, this one is still due, and
                // with the log full no write would come to start it again.
                Outcome::Conflict | Outcome::Idle => {}
            }
            tokio::time::sleep(self.context.compaction.fold_interval).await;
        }
        Ok(outcome)
    }

    async fn merge_while_due(&self) -> Result<()> {
        while matches!(self.compact(CompactionKind::merge, Motive::Due).await?, Outcome::Done(_)) {}
        Ok(())
    }

    /// A fold or merge, counted and logged.
    pub async fn compact(&self, kind: CompactionKind, motive: Motive) -> Result<Outcome> {
        let began = self.context.clock.now();
        let result = match kind {
            CompactionKind::fold => self.fold(motive).await,
            CompactionKind::merge => self.merge(motive).await,
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
            Ok(Outcome::Conflict) => metrics.compacted(kind, CompactionOutcome::conflict),
            Err(_) => metrics.compacted(kind, CompactionOutcome::failed),
        }
        result
    }
}
