//! Reading on: the entries that this node has not seen, and whether the manifest has moved.

use std::{
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Namespace,
    following::{Ahead, Following, Stop},
    state::State,
};
use crate::{
    error::{Error, Result},
    planted::{Bug, planted},
};

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
    pub(super) async fn read_on(&self, state: &RwLock<State>, ahead: Ahead) -> Result<Stop> {
        self.following().read_on(state, ahead).await
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
        self.following().confirm_if_stale(state).await
    }

    async fn confirm(&self, state: &RwLock<State>) -> Result<()> {
        self.following().confirm(state).await
    }

    fn following(&self) -> Following<'_> {
        Following { context: &self.context, name: &self.name, incarnation: self.incarnation }
    }
}
