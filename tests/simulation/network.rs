//! The network between a node and the store: latency, losses, and the node's own pauses and crashes.
//!
//! It is the hook beneath the node's store. A node that is paused or has crashed is one whose
//! requests do not leave and whose answers do not arrive; what it does in memory meanwhile nobody
//! can tell.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use quiver::storage::{Attempt, Hook, Stage, StoreErrorKind, Verdict};
use rand::{RngExt, rngs::SmallRng};
use tokio::{sync::Notify, time::sleep};

use super::{
    archive::Archive,
    scenario::Weather,
    world::{TIMEOUT, World},
};

/// What a node's machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    Runs,
    Paused,
    Dead,
}

/// One life of a node on the network.
#[derive(Debug)]
pub struct Network {
    world: Arc<World>,
    node: usize,
    machine: Mutex<Machine>,
    /// Wakes in the order of waiting, which a `watch` channel does not.
    changed: Notify,
    chance: Mutex<SmallRng>,
}

/// What befalls an attempt before the store sees it.
enum Fate {
    Arrives,
    Unavailable,
    Lost,
    Late(Duration),
}

impl Network {
    pub fn new(world: Arc<World>, node: usize, life: u64) -> Arc<Self> {
        let chance = Mutex::new(world.chance(1000 + 100 * node as u64 + life));
        Arc::new(Self { world, node, machine: Mutex::new(Machine::Runs), changed: Notify::new(), chance })
    }

    pub fn set(&self, machine: Machine) {
        // The dead stay dead.
        if self.machine() != Machine::Dead {
            *self.machine.lock().expect("no panic while held") = machine;
            self.changed.notify_waiters();
        }
    }

    pub fn machine(&self) -> Machine {
        *self.machine.lock().expect("no panic while held")
    }

    /// Waits until the node runs: for ever if it is dead.
    pub async fn runs(&self) {
        self.until(|machine| machine == Machine::Runs).await;
    }

    /// Waits until the node is dead.
    pub async fn died(&self) {
        self.until(|machine| machine == Machine::Dead).await;
    }

    async fn until(&self, wanted: impl Fn(Machine) -> bool) {
        loop {
            let changed = self.changed.notified();
            if wanted(self.machine()) {
                return;
            }
            changed.await;
        }
    }

    pub fn hook(self: &Arc<Self>) -> Hook {
        let network = self.clone();
        Arc::new(move |attempt| {
            let network = network.clone();
            async move {
                let verdict = match attempt.stage {
                    Stage::Before => network.request(&attempt).await,
                    Stage::After => network.answer(&attempt).await,
                };
                network.note(&attempt, &verdict);
                verdict
            }
            .boxed()
        })
    }

    /// A request on its way to the store.
    async fn request(&self, attempt: &Attempt) -> Verdict {
        let (fate, latency, patience) = self.draw_request(attempt);
        self.runs().await;
        sleep(latency).await;
        match fate {
            Fate::Arrives => {
                if attempt.operation == quiver::storage::Operation::Delete {
                    Archive::look_at_all(&self.world);
                }
                Verdict::Proceed
            }
            Fate::Unavailable => Verdict::Fail(StoreErrorKind::Unavailable, "slow down".into()),
            Fate::Lost => {
                sleep(patience).await;
                Verdict::Fail(no_answer(attempt), "the request was lost".into())
            }
            Fate::Late(delay) => Verdict::LandLater(delay),
        }
    }

    /// An answer on its way to the node. The store is looked at before anything else happens.
    async fn answer(&self, attempt: &Attempt) -> Verdict {
        match attempt.operation {
            quiver::storage::Operation::Delete => Archive::look_at_all(&self.world),
            _ => Archive::look(&self.world, &attempt.key),
        }
        let (lost, wait) = self.draw_answer();
        sleep(wait).await;
        self.runs().await;
        match lost {
            true => Verdict::Fail(no_answer(attempt), "the answer was lost".into()),
            false => Verdict::Proceed,
        }
    }

    fn draw_request(&self, attempt: &Attempt) -> (Fate, Duration, Duration) {
        let weather = self.world.weather;
        let mut chance = self.chance.lock().expect("no panic while held");
        let latency = self.latency(&mut chance);
        let patience = patience(&mut chance);
        if self.world.is_calm() {
            return (Fate::Arrives, latency, patience);
        }
        let fate = if chance.random_bool(weather.unavailable) {
            Fate::Unavailable
        } else if chance.random_bool(weather.lost_request) {
            Fate::Lost
        } else if attempt.operation.is_write() && chance.random_bool(weather.late) {
            let longest = weather.latest.as_millis() as u64;
            let bound = if chance.random_bool(0.5) { 2000 } else { longest };
            Fate::Late(Duration::from_millis(chance.random_range(0..bound)))
        } else {
            Fate::Arrives
        };
        (fate, latency, patience)
    }

    fn draw_answer(&self) -> (bool, Duration) {
        let weather = self.world.weather;
        let mut chance = self.chance.lock().expect("no panic while held");
        let lost = !self.world.is_calm() && chance.random_bool(weather.lost_reply);
        let wait = if lost { patience(&mut chance) } else { self.latency(&mut chance) };
        (lost, wait)
    }

    /// A few milliseconds, rarely seconds; very rarely as long as anything may take. What happens
    /// at other places meanwhile is what the protocol is about.
    fn latency(&self, chance: &mut SmallRng) -> Duration {
        let Weather { slow, stalled, .. } = self.world.weather;
        if !self.world.is_calm() && chance.random_bool(stalled) {
            return self.world.pause(chance);
        }
        let bound = if chance.random_bool(slow) { TIMEOUT.as_millis() as u64 } else { 20 };
        Duration::from_millis(chance.random_range(1..bound))
    }

    fn note(&self, attempt: &Attempt, verdict: &Verdict) {
        let Attempt { operation, key, stage } = attempt;
        // The only keys that are not drawn from the seed are those of scratch objects.
        let key = if key.starts_with("probe/") { "probe/…" } else { key };
        let node = self.node;
        self.world.trace(format_args!("node {node}: {} {key} {stage:?} {verdict:?}", operation.as_str()));
    }
}

/// How long a node waits before it knows that no answer will come: the connection breaks, or the
/// timeout strikes.
fn patience(chance: &mut SmallRng) -> Duration {
    if chance.random_bool(0.5) { Duration::from_millis(chance.random_range(1..20)) } else { TIMEOUT }
}

fn no_answer(attempt: &Attempt) -> StoreErrorKind {
    match attempt.operation.is_write() {
        true => StoreErrorKind::Unknown,
        false => StoreErrorKind::Unavailable,
    }
}
