//! Reading on: the entries that this node has not seen, and whether the manifest has moved.

use std::{
    collections::VecDeque,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
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
    engine::{
        context::{Context, offload},
        format,
        segment::Owner,
    },
    error::{Error, Result},
    planted::{Bug, planted},
    storage::{StoreErrorKind, keys},
};

/// Entries that are read at once while catching up on a long log.
const MAX_WINDOW: u64 = 16;
/// Bytes of entries that are aimed at to be in flight while catching up.
const WINDOW_BYTES: u64 = 64 << 20;
/// Entries that are listed before a namespace is loaded.
const MAX_AHEAD: usize = 1000;

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

/// Entries of the log that were listed, so that they can be read at once.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The bytes of each, in order.
    sizes: VecDeque<u64>,
}

impl Ahead {
    /// Lists what follows an entry, at most a page of it. A listing that is not complete costs time
    /// and nothing else: the log ends where nothing is found.
    pub async fn list(context: &Context, log: &Owner, folded: u64) -> Result<Self> {
        let after = keys::log(&log.namespace, log.incarnation, folded);
        let prefix = keys::logs(&log.namespace, log.incarnation);
        let page = context.store.list(&prefix, Some(after.as_str()), MAX_AHEAD).await?;
        Ok(Self { sizes: page.into_iter().map(|listed| listed.size).collect() })
    }

    /// How many entries to read next; `other` if it is not known. With the last ones goes the place
    /// after them, at which nothing is expected.
    fn window(&mut self, other: u64) -> u64 {
        if self.sizes.is_empty() {
            return other;
        }
        let (mut bytes, mut window) = (0, 0);
        while let Some(size) = self.sizes.front()
            && (window == 0 || bytes + size <= WINDOW_BYTES)
        {
            bytes += size;
            window += 1;
            self.sizes.pop_front();
        }
        if self.sizes.is_empty() { window + 1 } else { window }
    }
}

/// Why reading on ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing stood at this place when the view of this number asked.
    Nothing { seq: u64, view: u64 },
    /// An entry was read at a place that is folded: it may be anything.
    Folded,
    /// The incarnation has ended.
    Over,
}

impl Stop {
    /// Whether it means that the state is complete. It does not if the state was replaced since, or
    /// the place was folded and perhaps collected before it was asked for.
    fn is_answer_for(self, state: &State) -> bool {
        matches!(self, Self::Nothing { seq, view } if view == state.view && state.manifest.folded < seq)
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
        self.catch_up_with(Ahead::default()).await
    }

    /// The same, when it is known what lies ahead.
    pub(super) async fn catch_up_with(&self, ahead: Ahead) -> Result<()> {
        let began = self.context.clock.now();
        let outcome = self.read_on_and_confirm(ahead).await;
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

    async fn read_on_and_confirm(&self, mut ahead: Ahead) -> Result<()> {
        loop {
            let stopped = self.read_on(&self.state, std::mem::take(&mut ahead)).await?;
            self.confirm_if_stale(&self.state).await?;
            let behind = {
                let state = self.state();
                if state.has_ended() || !state.behind && stopped.is_answer_for(&state) {
                    return Ok(());
                }
                state.behind || stopped == Stop::Folded
            };
            // Rule 2: the entries that we lack were folded, and may be gone from the log.
            if behind {
                self.rebase().await?;
            }
        }
    }

    /// Reads entries into a state up to the first that is missing.
    pub(super) async fn read_on(&self, state: &RwLock<State>, mut ahead: Ahead) -> Result<Stop> {
        let mut window = ahead.window(1);
        loop {
            let (next, view) = {
                let state = read(state);
                (state.seq + 1, state.view)
            };
            let reads = (next..next + window).map(|seq| self.read_entry(seq));
            for (object, seq) in futures::future::join_all(reads).await.into_iter().zip(next..) {
                let Some(object) = object? else {
                    return Ok(Stop::Nothing { seq, view });
                };
                // Rule 2: what stands at a place counts only if that was not folded before it was
                // got. Folded entries are collected, and a late PUT may leave anything there.
                self.confirm_if_stale(state).await?;
                if read(state).lapsed {
                    return Ok(Stop::Over);
                }
                if read(state).manifest.folded >= seq && !planted(Bug::GhostCounts) {
                    return Ok(Stop::Folded);
                }
                self.apply_object(state, seq, object).await?;
                if read(state).sealed {
                    return Ok(Stop::Over);
                }
            }
            window = ahead.window(next_window(&read(state), window));
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
            write(state).apply(&Arc::new(entry))
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
        self.confirm_if_stale(&self.state).await
    }

    /// Reads the manifest if it changed.
    pub async fn confirm_manifest(&self) -> Result<()> {
        self.confirm(&self.state).await
    }

    /// Reads on if this node has not looked at the manifest for so long that the place after the
    /// newest known entry may have been taken, folded and collected.
    pub(super) async fn wake(&self) -> Result<()> {
        let age = self.state().confirmed_at.age(self.context.clock.now());
        if age <= self.context.garbage.grace / 2 {
            return Ok(());
        }
        match self.catch_up().await {
            // What that means for a write is judged where writes are admitted.
            Err(Error::Corrupt { .. } | Error::NamespaceNotFound { .. }) => Ok(()),
            other => other,
        }
    }

    async fn confirm_if_stale(&self, state: &RwLock<State>) -> Result<()> {
        let age = read(state).confirmed_at.age(self.context.clock.now());
        let trusted = age < self.context.log.safe_age || planted(Bug::LooksNeverAge);
        if trusted { Ok(()) } else { self.confirm(state).await }
    }

    async fn confirm(&self, state: &RwLock<State>) -> Result<()> {
        let read_at = self.context.clock.now();
        let (key, tag) = (self.manifest_key(), read(state).manifest_tag.clone());
        match self.context.store.get_if_changed(&key, &tag).await {
            Ok(None) => write(state).confirmed_at = read_at,
            Ok(Some(object)) => {
                let (manifest, tag) = decode_manifest(&self.context, &key, object)?;
                write(state).adopt(manifest, tag, read_at);
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => write(state).lapsed = true,
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

fn write(state: &RwLock<State>) -> RwLockWriteGuard<'_, State> {
    state.write().unwrap_or_else(PoisonError::into_inner)
}
