//! Requests that wait for a commit.
//!
//! Group commit without a timer: while one entry is being put, requests gather here, and the next
//! entry takes all of them (up to a bound). An idle namespace has no task and no delay.

use std::{collections::VecDeque, sync::Arc, sync::PoisonError, time::Duration};

use tokio::sync::oneshot;

use super::{
    Namespace,
    decide::{Decided, Report},
    select::Selection,
};
use crate::{
    engine::{Precondition, TextDocument},
    error::{Error, Result},
    types::{Rows, VectorId},
};

/// When to come back after too much was waiting.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// When to come back while the log waits to be folded.
const RETRY_AFTER_FOLD: Duration = Duration::from_secs(1);

/// What a request wants to write. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Write {
    /// Insert or replace rows of distinct ids; at least one.
    Upsert(Arc<Rows>),
    /// Delete rows.
    Delete(Arc<[VectorId]>),
    /// Insert or replace those of the rows for which a condition holds.
    UpsertIf(Arc<Rows>, Precondition),
    /// Delete those of the rows for which a condition holds.
    DeleteIf(Arc<[VectorId]>, Precondition),
    /// Change the rows that match a filter.
    Matching(Arc<Selection>),
    /// Give rows texts and metadata.
    Documents(Arc<[TextDocument]>),
    /// Delete every row.
    Clear,
    /// End this incarnation.
    Seal,
}

impl Write {
    /// Whether it is the only one of its entry. What changes rows by a filter is decided on all of them, which
    /// no other write of the same entry may change before.
    fn is_alone(&self) -> bool {
        matches!(self, Self::Seal | Self::Matching(_))
    }

    /// Whether another one may follow in the same entry. Documents follow documents only, since they are decided
    /// before the other writes of a group are.
    fn goes_with(&self, next: &Self) -> bool {
        let is_documents = |write: &Self| matches!(write, Self::Documents(_));
        !next.is_alone() && is_documents(self) == is_documents(next)
    }

    /// Roughly the bytes that it takes in memory and in an entry.
    fn bytes(&self) -> u64 {
        let text = |ids: &[VectorId]| ids.iter().map(|id| id.as_str().len() + 16).sum::<usize>();
        let bytes = match self {
            Self::Upsert(rows) | Self::UpsertIf(rows, _) => {
                let metadata: usize = rows.metadata.iter().flatten().map(|text| text.len()).sum();
                4 * rows.vectors.len() + text(&rows.ids) + metadata
            }
            Self::Delete(ids) | Self::DeleteIf(ids, _) => text(ids),
            Self::Clear | Self::Seal | Self::Matching(_) => 16,
            Self::Documents(documents) => {
                documents.iter().map(|document| document.bytes).sum::<u64>() as usize
            }
        };
        bytes as u64
    }
}

/// What a write did.
#[derive(Debug, Default)]
pub(in crate::engine) struct Written {
    /// Changes that were made.
    pub changes: u64,
    /// Live rows that they met: replaced by an upsert, removed by a delete.
    pub found: u64,
    /// What it left out, if it depended on what is stored.
    pub report: Report,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub write: Write,
    pub bytes: u64,
    /// What it does on the present state, if that depends on it.
    pub decided: Option<Decided>,
    reply: oneshot::Sender<Result<Written>>,
}

impl Pending {
    /// Changes that the entry holds for it.
    pub fn changes(&self) -> usize {
        match (&self.decided, &self.write) {
            (Some(decided), _) => decided.count,
            (None, Write::Upsert(rows)) => rows.len(),
            (None, Write::Delete(ids)) => ids.len(),
            (None, Write::Clear) => 1,
            (None, _) => 0,
        }
    }

    /// Answers the request. One that has gone away is not told, and its write stands.
    pub fn answer(self, result: Result<Written>) {
        let _ = self.reply.send(result);
    }
}

/// The requests of one namespace that wait, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Pending>,
    /// Bytes that wait or are being committed.
    bytes: u64,
    committing: bool,
}

impl Namespace {
    /// Writes durably. The result is known when the entry is in the log, or is known not to be, or
    /// the time for finding out is over.
    pub async fn write(self: &Arc<Self>, write: Write) -> Result<Written> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { bytes: self.bytes_of(&write), write, decided: None, reply };
        if let Err(full) = self.check_backlog(&pending) {
            self.maintain_if_due();
            return Err(full);
        }
        if self.enqueue(pending)? {
            tokio::spawn(self.clone().commit_until_idle());
        }
        // The committer answers everyone it takes; it goes away unheard only with the process.
        answer.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown { reason: "the server stopped while committing".into() })
        })
    }

    /// Roughly the bytes that a write takes in an entry: documents take the vectors along that their rows have.
    fn bytes_of(&self, write: &Write) -> u64 {
        let vectors = match write {
            Write::Documents(rows) => rows.len() as u64 * 4 * self.state().dimension.unwrap_or(0) as u64,
            _ => 0,
        };
        write.bytes() + vectors
    }

    /// Rule 14: a log that grows faster than it is folded is held back.
    fn check_backlog(&self, pending: &Pending) -> Result<()> {
        let max = self.context.log.unfolded_bytes.as_u64();
        if self.state().log_bytes + pending.bytes <= max {
            return Ok(());
        }
        Err(Error::Overloaded {
            what: "the log that is not folded yet",
            limit: format!("log.unfolded_bytes = {max}"),
            retry_after: RETRY_AFTER_FOLD,
        })
    }

    /// Returns whether a committer must be started.
    fn enqueue(&self, pending: Pending) -> Result<bool> {
        let max = self.context.log.queue_bytes.as_u64();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.waiting.is_empty() && queue.bytes + pending.bytes > max {
            return Err(Error::Overloaded {
                what: "the queue of writes to this namespace",
                limit: format!("log.queue_bytes = {max}"),
                retry_after: RETRY_AFTER,
            });
        }
        queue.bytes += pending.bytes;
        queue.waiting.push_back(pending);
        Ok(!std::mem::replace(&mut queue.committing, true))
    }

    /// Lets writes of the group that is being committed wait for the next one, before all others.
    pub(super) fn put_back(&self, group: Vec<Pending>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for pending in group.into_iter().rev() {
            // They are taken off with the group that they were in.
            queue.bytes += pending.bytes;
            queue.waiting.push_front(pending);
        }
    }

    async fn commit_until_idle(self: Arc<Self>) {
        let _running = Running(&self);
        while let Some(group) = self.next_group() {
            let bytes = group.iter().map(|pending| pending.bytes).sum::<u64>();
            self.commit(group).await;
            self.maintain_if_due();
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).bytes -= bytes;
        }
    }

    /// The requests of the next entry, or `None` when none wait and the committer may end.
    fn next_group(&self) -> Option<Vec<Pending>> {
        let max = self.context.log.entry_bytes.as_u64();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group: Vec<Pending> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = queue.waiting.front() {
            let alone = next.write.is_alone();
            let fits = group.last().is_none_or(|last| last.write.goes_with(&next.write));
            if !group.is_empty() && (!fits || bytes + next.bytes > max) {
                break;
            }
            bytes += next.bytes;
            group.extend(queue.waiting.pop_front());
            if alone {
                break;
            }
        }
        queue.committing = !group.is_empty();
        queue.committing.then_some(group)
    }
}

/// Makes a committer that ends, even by a panic, leave a queue in which the next one can start.
struct Running<'a>(&'a Namespace);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            *queue = Queue::default();
        }
    }
}
