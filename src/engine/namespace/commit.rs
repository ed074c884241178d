//! Turning a group of requests into one log entry.
//!
//! Invariant: what an entry holds was checked against exactly the entries before it. When its
//! place goes to another writer, the group is checked again on the state that includes the winner.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Namespace,
    queue::{Pending, Write, Written},
    settle::{Settled, unknown},
    state::Misfit,
};
use crate::{
    clock::Instant,
    engine::{
        context::offload,
        format::{self, Changes, Entry, EntryKind, Header},
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
            group = self.admit(group);
            if group.is_empty() {
                return;
            }
            match self.try_commit(&group, began).await {
                Ok(Some(found)) => {
                    self.observe(CommitOutcome::committed, began, &group);
                    return answer_each(group, &found);
                }
                Ok(None) => {
                    self.context.metrics.log.conflicts.inc();
                    group = self.drop_if_late(group, began);
                }
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

    /// Puts the group at the next place. `None`: the place is another's, and its entry is applied.
    async fn try_commit(&self, group: &[Pending], began: Instant) -> Result<Option<Vec<u64>>> {
        let attempt = self.prepare(group).await?;
        self.state_mut().await_entry(attempt.entry.clone());
        if planted(Bug::ApplyBeforePut) {
            let _ = self.state_mut().apply(&attempt.entry);
        }
        match self.settle(&attempt, began).await? {
            Settled::Mine => self.apply_own(attempt).await.map(Some),
            Settled::Another => match self.catch_up().await {
                // Whether the incarnation ended is judged when the group is admitted again.
                Ok(()) | Err(Error::NamespaceNotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Refuses the requests that cannot be committed on the present state, and keeps the others.
    fn admit(&self, group: Vec<Pending>) -> Vec<Pending> {
        let (mut dimension, refusal) = {
            let state = self.state();
            let ended = state.has_ended() && !planted(Bug::WritesAfterSeal);
            let ended = ended.then(|| self.not_found());
            let read_only = state.fault.as_ref().map(|fault| self.read_only(fault));
            (state.dimension, ended.or(read_only))
        };
        let mut admitted = Vec::with_capacity(group.len());
        for pending in group {
            match refusal.clone().map_or_else(|| check(&pending.write, &mut dimension), Err) {
                Ok(()) => admitted.push(pending),
                Err(error) => pending.answer(Err(error)),
            }
        }
        admitted
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

    fn read_only(&self, fault: &Error) -> Error {
        Error::ReadOnly { namespace: self.name.to_string(), reason: fault.to_string() }
    }

    /// Encodes the group as the entry after the newest known one.
    async fn prepare(&self, group: &[Pending]) -> Result<Attempt> {
        let now = self.context.clock.now().wall;
        let mut changes = Changes::default();
        let mut kind = EntryKind::Rows;
        for pending in group {
            match &pending.write {
                Write::Upsert(rows) => changes.upsert(rows, now),
                Write::Delete(ids) => changes.delete(ids),
                Write::Clear => changes.clear(),
                Write::Seal => kind = EntryKind::Seal,
            }
        }
        let header = {
            let state = self.state();
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
        offload(size_of_val(&*changes.vectors) as u64, move || {
            let bytes = format::encode(&header, &changes).map_err(Error::internal)?;
            let hash = format::hash(&bytes);
            let entry = Arc::new(Entry { header, changes, hash, bytes: bytes.len() });
            Ok(Attempt { entry, bytes })
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
        metrics
            .commit_rows
            .observe(group.iter().map(|pending| pending.write.changes()).sum::<usize>() as f64);
        metrics.commit_bytes.observe(group.iter().map(|pending| pending.bytes).sum::<u64>() as f64);
    }
}

/// Whether a write fits the namespace. The first upsert fixes the dimension for those after it.
fn check(write: &Write, dimension: &mut Option<usize>) -> Result<()> {
    let Write::Upsert(rows) = write else {
        return Ok(());
    };
    let expected = *dimension.get_or_insert(rows.dimension);
    if rows.dimension == expected {
        return Ok(());
    }
    Err(Error::DimensionMismatch { field: "vectors".into(), expected, actual: rows.dimension })
}

/// Gives each request its share of what the entry's changes found.
fn answer_each(group: Vec<Pending>, found: &[u64]) {
    let mut rest = found;
    for pending in group {
        let (own, others) = rest.split_at(pending.write.changes().min(rest.len()));
        rest = others;
        let written = Written { changes: own.len() as u64, found: own.iter().sum() };
        pending.answer(Ok(written));
    }
}
