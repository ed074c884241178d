//! Learning the fate of an entry.
//!
//! Invariant: a batch never moves to another place until its place is known to be another's, and
//! an answer never claims more than is known. "Nothing was done" is said only if no PUT can have
//! reached the store, "unknown" only if one may have.

use bytes::Bytes;

use super::{Namespace, commit::Attempt};
use crate::{
    clock::Instant,
    engine::{format, manifest::Fate},
    error::{Error, Result},
    planted::{Bug, planted},
    storage::{StoreError, StoreErrorKind},
};

/// Whose entry stands at the place that we tried to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Ours: it is committed.
    Mine,
    /// Another writer's, or the namespace has moved on: nothing of ours is or will be there.
    Another,
}

/// What a look at the store said of our place.
enum Look {
    Known(Settled),
    /// Nothing stands there (yet): the same PUT must be repeated.
    Nothing,
}

impl Namespace {
    /// Rules 4 to 6: puts the entry and finds out whose it is that stands there.
    pub(super) async fn settle(&self, attempt: &Attempt, began: Instant) -> Result<Settled> {
        let key = self.log_key(attempt.entry.header.seq);
        let mut maybe_sent = false;
        for tries in 1.. {
            let put = self.context.store.put_if_absent(&key, attempt.bytes.clone()).await;
            let Err(error) = put else {
                return self.after_put(attempt).await;
            };
            tracing::debug!(%key, %error, tries, "put of a log entry failed");
            let harmless = matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Refused);
            maybe_sent |= !harmless;
            if planted(Bug::LostReplyIsSuccess) && error.kind == StoreErrorKind::Unknown {
                return Ok(Settled::Mine);
            }
            if planted(Bug::ConflictIsAnothers) && error.kind == StoreErrorKind::Conflict {
                return Ok(Settled::Another);
            }
            if maybe_sent {
                match self.look(attempt).await {
                    Ok(Look::Known(settled)) => return Ok(settled),
                    Ok(Look::Nothing) if planted(Bug::BatchMoves) => return Ok(Settled::Another),
                    Ok(Look::Nothing) => {}
                    Err(error @ (Error::OutcomeUnknown { .. } | Error::Corrupt { .. })) => {
                        return Err(unknown(&error));
                    }
                    Err(error) => tracing::debug!(%key, %error, tries, "reading back failed"),
                }
                self.check_time(began, &error)?;
            } else if error.kind == StoreErrorKind::Refused || tries >= self.context.retry.tries {
                return Err(error.into());
            }
            self.context.pause_after(tries).await;
        }
        Err(Error::internal("counted past the last try"))
    }

    /// Rule 5: our PUT took effect; does the place still count?
    async fn after_put(&self, attempt: &Attempt) -> Result<Settled> {
        if planted(Bug::FateIsNotJudged) {
            return Ok(Settled::Mine);
        }
        if let Err(error) = self.confirm_manifest_if_stale().await {
            return Err(unknown(&error));
        }
        match self.fate(attempt)? {
            Some(settled) => Ok(settled),
            None => Ok(Settled::Mine),
        }
    }

    /// Rule 6: what stands at the place, and what does the manifest say about it?
    async fn look(&self, attempt: &Attempt) -> Result<Look> {
        let key = self.log_key(attempt.entry.header.seq);
        let standing = match self.context.store.get_settled(&key).await {
            Ok(object) => Some(object.bytes),
            Err(error) if error.kind == StoreErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        self.confirm_manifest().await?;
        if let Some(settled) = self.fate(attempt)? {
            return Ok(Look::Known(settled));
        }
        Ok(match standing {
            None => Look::Nothing,
            Some(bytes) if self.is_own(attempt, &bytes) => Look::Known(Settled::Mine),
            Some(_) => Look::Known(Settled::Another),
        })
    }

    /// Ours if the bytes are the ones that we sent. A damaged object is not ours to judge: reading
    /// on will name it.
    fn is_own(&self, attempt: &Attempt, bytes: &Bytes) -> bool {
        bytes == &attempt.bytes
            || format::decode(bytes).is_ok_and(|entry| entry.header.entry_id == attempt.entry.header.entry_id)
    }

    /// What the manifest says of our place; `None` if the log decides.
    fn fate(&self, attempt: &Attempt) -> Result<Option<Settled>> {
        let header = &attempt.entry.header;
        let state = self.state();
        if state.manifest.incarnation != header.incarnation {
            if planted(Bug::TriedOnSuccessor) {
                return Ok(Some(Settled::Another));
            }
            // The entry may have counted in the life that is over; trying it on the next would be
            // a second time.
            return Err(Error::OutcomeUnknown {
                reason: "the namespace was deleted and created anew meanwhile".into(),
            });
        }
        match state.manifest.fate_of(header.seq, header.entry_id) {
            Fate::Open if state.lapsed => Ok(Some(Settled::Another)),
            Fate::Open => Ok(None),
            Fate::Mine => Ok(Some(Settled::Mine)),
            Fate::Another => Ok(Some(Settled::Another)),
            Fate::Forgotten => Err(Error::OutcomeUnknown {
                reason: format!("entry {} was folded too long ago to say whose it was", header.seq),
            }),
        }
    }

    fn check_time(&self, began: Instant, last: &StoreError) -> Result<()> {
        if began.age(self.context.clock.now()) < self.context.log.settle_timeout {
            return Ok(());
        }
        if planted(Bug::UnknownIsUnavailable) {
            let retry_after = std::time::Duration::from_secs(1);
            return Err(Error::Unavailable { reason: "the store did not say".into(), retry_after });
        }
        Err(Error::OutcomeUnknown { reason: format!("the store did not say in time: {last}") })
    }
}

pub(super) fn unknown(error: &Error) -> Error {
    Error::OutcomeUnknown {
        reason: format!("an entry was put, but whether it counts cannot be learned: {error}"),
    }
}
