//! Turning a group of requests into one log entry.
//!
//! Invariant: what an entry holds was checked against exactly the entries before it. When its
//! place goes to another writer, the group is checked again on the state that includes the winner. So is it when
//! a reader met an entry of another writer while the group was decided.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Namespace,
    decide::{Decided, METADATA_BYTES, asked},
    queue::{Pending, Write, Written},
    settle::{Settled, unknown},
    state::Misfit,
};
use crate::{
    clock::{Instant, Timestamp},
    engine::{
        context::offload,
        format::{self, Changes, Entry, EntryKind, Hash, Header},
    },
    error::{Error, Result},
    planted::{Bug, planted},
    telemetry::CommitOutcome,
};

/// An entry that is ready to be put.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub entry: Arc<Entry>,
    pub bytes: Bytes,
}

impl Namespace {
    /// Commits a group and answers each of its requests.
    pub(super) async fn commit(&self, mut group: Vec<Pending>) {
        let began = self.context.clock.now();
        if let Err(error) = self.wake().await {
            return group.into_iter().for_each(|pending| pending.answer(Err(error.clone())));
        }
        loop {
            let now = self.context.clock.now().wall;
            let Ok((admitted, on)) = self.admit(group, now).await else { return };
            group = self.select(admitted, now).await;
            group = self.decide_documents(group, now).await;
            if group.is_empty() {
                return;
            }
            match self.try_commit(&mut group, on, now, began).await {
                Ok(Some(found)) => {
                    if !group.iter().all(Pending::does_nothing) {
                        self.observe(CommitOutcome::committed, began, &group);
                    }
                    return answer_each(group, &found);
                }
                Ok(None) => group = self.drop_if_late(group, began),
                Err(error) => {
                    let outcome = match error {
                        Error::OutcomeUnknown { .. } => CommitOutcome::unknown,
                        _ => CommitOutcome::refused,
                    };
                    self.observe(outcome, began, &group);
                    return group.into_iter().for_each(|pending| pending.answer(Err(error.clone())));
                }
            }
        }
    }

    /// Puts the group, as it was admitted at `now` after the entry of hash `on`, at the next place. `None`: the state has moved on, by an
    /// entry of another writer at that place or by one that was read before.
    async fn try_commit(
        &self,
        group: &mut [Pending],
        on: Hash,
        now: Timestamp,
        began: Instant,
    ) -> Result<Option<Vec<u64>>> {
        if group.iter().all(Pending::does_nothing) {
            return self.confirm_nothing(group).await;
        }
        let Some(attempt) = self.prepare(group, on, now).await? else { return Ok(None) };
        self.state_mut().await_entry(attempt.entry.clone());
        if planted(Bug::ApplyBeforePut) {
            let _ = self.state_mut().apply(&attempt.entry);
        }
        match self.settle(&attempt, began).await? {
            Settled::Mine => self.apply_own(attempt).await.map(Some),
            Settled::Another => {
                self.context.metrics.log.conflicts.inc();
                of_living(self.catch_up().await).map(|()| None)
            }
        }
    }

    /// Conditions of which none holds leave nothing to put, and so no place in the log that would show that
    /// they were asked on the newest state: the log is read instead.
    async fn confirm_nothing(&self, group: &[Pending]) -> Result<Option<Vec<u64>>> {
        if planted(Bug::NothingIsNotConfirmed) {
            return Ok(Some(Vec::new()));
        }
        of_living(self.refresh().await)?;
        let state = self.state();
        let stands = !state.has_ended() && group.iter().all(|pending| pending.is_of(&state));
        Ok(stands.then(Vec::new))
    }

    /// Refuses the requests that cannot be committed on the present state, keeps the others, and decides those
    /// that depend on single rows of it. Also gives the hash of the newest entry of that state, which may have
    /// moved on since.
    async fn admit(&self, group: Vec<Pending>, now: Timestamp) -> Result<(Vec<Pending>, Hash)> {
        let stage = match self.stage(&group, now) {
            Ok(stage) => stage,
            Err(error) => {
                group.into_iter().for_each(|pending| pending.answer(Err(error.clone())));
                return Err(error);
            }
        };
        let on = stage.on();
        let bytes = asked(&group).count() as u64 * METADATA_BYTES;
        let admitted = offload(bytes, move || stage.admit_all(group)).await;
        // With a panic the requests are gone, which tells whoever waits for them.
        Ok((admitted.inspect_err(|error| tracing::error!(%error, "conditions were not decided"))?, on))
    }

    /// Gives up on a group that lost its place again and again. Nothing of it was written.
    fn drop_if_late(&self, group: Vec<Pending>, began: Instant) -> Vec<Pending> {
        if began.age(self.context.clock.now()) < self.context.log.settle_timeout {
            return group;
        }
        for pending in group {
            pending.answer(Err(Error::Unavailable {
                reason: "other writers took every place in the log".into(),
                retry_after: Duration::from_secs(1),
            }));
        }
        Vec::new()
    }

    /// Encodes the group as the entry after the newest known one. `None`: it was admitted or decided on an older
    /// state.
    async fn prepare(&self, group: &mut [Pending], on: Hash, now: Timestamp) -> Result<Option<Attempt>> {
        let mut changes = Changes::default();
        let mut kind = EntryKind::Rows;
        for pending in &mut *group {
            match &pending.write {
                Write::Upsert(rows) => changes.upsert(rows, now),
                Write::Delete(ids) => changes.delete(ids),
                Write::Clear => changes.clear(),
                Write::Seal => kind = EntryKind::Seal,
                Write::UpsertIf(..) | Write::DeleteIf(..) | Write::Matching(_) | Write::Documents(_) => {
                    changes.append(pending.decided.as_mut().map(Decided::take).unwrap_or_default());
                }
            }
        }
        let header = {
            let state = self.state();
            let is_of = state.hash == on && group.iter().all(|pending| pending.is_of(&state));
            if !is_of && !planted(Bug::DecidedOnOlderState) {
                return Ok(None);
            }
            let entry_id = self.context.random.uuid();
            let fixes_dimension = state.dimension.is_none() && changes.dimension > 0;
            Header {
                namespace: self.name.to_string(),
                incarnation: self.incarnation,
                seq: state.seq + 1,
                entry_id,
                previous: state.hash,
                kind,
                committed_at: now,
                dimension: fixes_dimension.then_some(changes.dimension),
            }
        };
        offload(changes.bytes(), move || {
            let bytes = format::encode(&header, &changes).map_err(Error::internal)?;
            let hash = format::hash(&bytes);
            let entry = Arc::new(Entry { header, changes, hash, bytes: bytes.len() });
            Ok(Some(Attempt { entry, bytes }))
        })
        .await?
    }

    /// Applies our entry, unless a reader met it in the log and did so first.
    async fn apply_own(&self, attempt: Attempt) -> Result<Vec<u64>> {
        let key = self.log_key(attempt.entry.header.seq);
        let found = {
            let mut state = self.state_mut();
            match state.apply(&attempt.entry) {
                Ok(()) => state.take_outcome(),
                Err(Misfit::Entry(reason)) => {
                    return Err(Error::internal(format!("our own entry {key} does not fit: {reason}")));
                }
                // It is in the log; what it found there, only the damaged segment could tell.
                Err(Misfit::Other(error)) => return Err(unknown(&error)),
            }
        };
        self.account();
        found.ok_or_else(|| Error::OutcomeUnknown {
            reason: format!("entry {key} is committed, but others folded it before it could be judged"),
        })
    }

    fn observe(&self, outcome: CommitOutcome, began: Instant, group: &[Pending]) {
        let metrics = &self.context.metrics.log;
        metrics.committed(outcome);
        metrics.commit_seconds.observe(began.age(self.context.clock.now()).as_secs_f64());
        metrics.commit_requests.observe(group.len() as f64);
        metrics.commit_rows.observe(group.iter().map(Pending::changes).sum::<usize>() as f64);
        metrics.commit_bytes.observe(group.iter().map(|pending| pending.bytes).sum::<u64>() as f64);
    }
}

/// Whether the incarnation ended is judged when the group is admitted again.
fn of_living(caught_up: Result<()>) -> Result<()> {
    match caught_up {
        Err(Error::NamespaceNotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Gives each request its share of what the entry's changes found.
fn answer_each(group: Vec<Pending>, found: &[u64]) {
    let mut rest = found;
    for mut pending in group {
        let (own, others) = rest.split_at(pending.changes().min(rest.len()));
        rest = others;
        let report = pending.decided.take().map(|decided| decided.report).unwrap_or_default();
        let written = Written { changes: own.len() as u64, found: own.iter().sum(), report };
        pending.answer(Ok(written));
    }
}
