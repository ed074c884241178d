//! Reading on: the entries that this node has not seen, and whether the manifest has moved.

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{
    Namespace,
    manifests::{corrupt, decode_manifest},
    state::{Misfit, State},
};
use crate::{
    engine::{context::offload, format},
    error::{Error, Result},
    planted::{Bug, planted},
    storage::StoreErrorKind,
};

/// Entries that are read at once while catching up on a long log.
const MAX_WINDOW: u64 = 16;
/// Bytes of entries that are aimed at to be in flight while catching up.
const WINDOW_BYTES: u64 = 64 << 20;

/// Which refreshes have begun and ended, so that readers share one.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    running: tokio::sync::Mutex<Ended>,
    begun: AtomicU64,
}

/// The newest refresh that ended, and how.
#[derive(Debug)]
struct Ended {
    number: u64,
    result: Result<()>,
}

impl Default for Ended {
    fn default() -> Self {
        Self { number: 0, result: Ok(()) }
    }
}

impl Namespace {
    /// Rule 7: afterwards every write that was acknowledged before this call is in the state.
    /// Calls that arrive while a refresh runs share the next one, which begins after them all.
    pub async fn refresh(&self) -> Result<()> {
        let mut wanted = self.refresh.begun.load(Ordering::SeqCst) + 1;
        if planted(Bug::SharesOlderRefresh) {
            wanted -= 1;
        }
        let mut ended = self.refresh.running.lock().await;
        if ended.number >= wanted {
            return ended.result.clone();
        }
        let number = self.refresh.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.context.metrics.log.refreshes.inc();
        let result = self.catch_up().await;
        *ended = Ended { number, result: result.clone() };
        result
    }

    /// Refreshes unless the state was current at most `max_age` ago.
    pub async fn refresh_if_older(&self, max_age: Duration) -> Result<()> {
        if self.current_at().age(self.context.clock.now()) <= max_age || planted(Bug::NeverRefreshes) {
            return Ok(());
        }
        self.refresh().await
    }

    /// Reads entries up to the first that is missing, then makes sure that the manifest has not
    /// moved meanwhile.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let began = self.context.clock.now();
        let outcome = self.read_on_and_confirm().await;
        self.account();
        if let Err(error) = outcome {
            if matches!(error, Error::Corrupt { .. }) {
                self.state_mut().fault = Some(error.clone());
            }
            return Err(error);
        }
        let mut state = self.state_mut();
        state.fault = None;
        state.current_at = began;
        if state.has_ended() { Err(self.not_found()) } else { Ok(()) }
    }

    async fn read_on_and_confirm(&self) -> Result<()> {
        loop {
            self.read_on(&self.state).await?;
            self.confirm_manifest_if_stale().await?;
            if !self.state().behind {
                return Ok(());
            }
            // Rule 2: the entries that we lack were folded, and may be gone from the log.
            self.rebase().await?;
        }
    }

    /// Reads entries into a state up to the first that is missing.
    pub(super) async fn read_on(&self, state: &RwLock<State>) -> Result<()> {
        let mut window = 1;
        loop {
            let next = read(state).seq + 1;
            let reads = (next..next + window).map(|seq| self.read_entry(seq));
            for (object, seq) in futures::future::join_all(reads).await.into_iter().zip(next..) {
                let Some(object) = object? else {
                    return Ok(());
                };
                self.apply_object(state, seq, object).await?;
                if read(state).sealed {
                    return Ok(());
                }
            }
            window = next_window(&read(state), window);
        }
    }

    async fn read_entry(&self, seq: u64) -> Result<Option<Bytes>> {
        match self.context.store.get(&self.log_key(seq)).await {
            Ok(object) => Ok(Some(object.bytes)),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(_) if planted(Bug::FailureIsAbsence) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Decodes the object that stands at `seq` and applies it.
    async fn apply_object(&self, state: &RwLock<State>, seq: u64, object: Bytes) -> Result<()> {
        let decoded = offload(object.len() as u64, move || format::decode(&object)).await?;
        let applied = decoded.map_err(Misfit::Entry).and_then(|entry| {
            if entry.header.seq != seq {
                return Err(Misfit::Entry(format!("its number is {} at place {seq}", entry.header.seq)));
            }
            state.write().unwrap_or_else(PoisonError::into_inner).apply(&Arc::new(entry))
        });
        self.context.metrics.log.entries_read.inc();
        applied.map_err(|misfit| match misfit {
            Misfit::Entry(reason) => corrupt(&self.context, &self.log_key(seq), reason),
            Misfit::Other(error) => error,
        })
    }

    /// Rule 8: a look at the manifest that is younger than `safe_age` need not be repeated, since
    /// nothing that it refers to is deleted before many times that age.
    pub(super) async fn confirm_manifest_if_stale(&self) -> Result<()> {
        let age = self.state().confirmed_at.age(self.context.clock.now());
        if age < self.context.log.safe_age { Ok(()) } else { self.confirm_manifest().await }
    }

    /// Reads the manifest if it changed.
    pub(super) async fn confirm_manifest(&self) -> Result<()> {
        let read_at = self.context.clock.now();
        let (key, tag) = (self.manifest_key(), self.state().manifest_tag.clone());
        match self.context.store.get_if_changed(&key, &tag).await {
            Ok(None) => self.state_mut().confirmed_at = read_at,
            Ok(Some(object)) => {
                let (manifest, tag) = decode_manifest(&self.context, &key, object)?;
                self.state_mut().adopt(manifest, tag, read_at);
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => self.state_mut().lapsed = true,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Twice as many entries as before, while they are small.
fn next_window(state: &State, window: u64) -> u64 {
    let typical = state.log_bytes / state.log_entries.max(1) + 1;
    (window * 2).min(MAX_WINDOW).min(WINDOW_BYTES / typical).max(1)
}

fn read(state: &RwLock<State>) -> RwLockReadGuard<'_, State> {
    state.read().unwrap_or_else(PoisonError::into_inner)
}
