//! Following a log: reading its entries into a state, and making sure that they count.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    manifests::{corrupt, decode_manifest},
    state::{Misfit, State},
};
use crate::{
    engine::{
        context::{Context, offload},
        format,
        segment::Owner,
    },
    error::Result,
    planted::{Bug, planted},
    storage::{Key, StoreErrorKind, keys},
    types::NamespaceName,
};

/// Entries that are read at once while catching up on a long log.
const MAX_WINDOW: u64 = 16;
/// Bytes of entries that are aimed at to be in flight while catching up.
const WINDOW_BYTES: u64 = 64 << 20;
/// Entries that are listed before a namespace is loaded.
const MAX_AHEAD: usize = 1000;

/// What reads the log of an incarnation.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Following<'a> {
    pub context: &'a Context,
    pub name: &'a NamespaceName,
    pub incarnation: Uuid,
}

/// Entries of the log that were listed, so that they can be read at once.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ahead {
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

    /// Whether all that was listed can be read at once, and nothing more follows as far as it is known.
    pub fn is_short(&self) -> bool {
        self.sizes.len() < MAX_AHEAD && self.sizes.iter().sum::<u64>() <= WINDOW_BYTES
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
pub(in crate::engine) enum Stop {
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
    pub fn is_answer_for(self, state: &State) -> bool {
        matches!(self, Self::Nothing { seq, view } if view == state.view && state.manifest.folded < seq)
    }
}

impl Following<'_> {
    /// Reads entries into a state up to the first that is missing.
    pub async fn read_on(&self, state: &RwLock<State>, mut ahead: Ahead) -> Result<Stop> {
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
            Misfit::Entry(reason) => corrupt(self.context, &self.log_key(seq), reason),
            Misfit::Other(error) => error,
        })
    }

    /// Rule 8: reads the manifest if the last look at it is too old.
    pub async fn confirm_if_stale(&self, state: &RwLock<State>) -> Result<()> {
        let age = read(state).confirmed_at.age(self.context.clock.now());
        let trusted = age < self.context.log.safe_age || planted(Bug::LooksNeverAge);
        if trusted { Ok(()) } else { self.confirm(state).await }
    }

    /// Reads the manifest if it changed.
    pub async fn confirm(&self, state: &RwLock<State>) -> Result<()> {
        let read_at = self.context.clock.now();
        let (key, tag) = (self.manifest_key(), read(state).manifest_tag.clone());
        match self.context.store.get_if_changed(&key, &tag).await {
            Ok(None) => write(state).confirmed_at = read_at,
            Ok(Some(object)) => {
                let (manifest, tag) = decode_manifest(self.context, &key, object)?;
                write(state).adopt(manifest, tag, read_at);
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => write(state).lapsed = true,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn log_key(&self, seq: u64) -> Key {
        keys::log(self.name, self.incarnation, seq)
    }

    fn manifest_key(&self) -> Key {
        keys::manifest(self.name)
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
