//! The clocks of a simulated world: true time, and what a node's machine makes of it.
//!
//! True time is the runtime's, which stands still while anything can be done and jumps to the next
//! timer when nothing can. A node's clocks run at half to twice that speed. In addition one of the
//! two may be wrong: the wall clock of some nodes jumps, the monotonic clock of others stands still
//! while the machine sleeps. The protocol takes the larger of both ages, so it bears either.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use quiver::clock::{Clock, Instant, Timestamp};

/// When every simulation begins.
const EPOCH: i64 = 1_700_000_000_000;

/// True time: that of the store.
#[derive(Debug, Clone)]
pub struct TrueTime(tokio::time::Instant);

impl TrueTime {
    /// Begins now.
    pub fn begin() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub fn millis(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }
}

impl Clock for TrueTime {
    fn now(&self) -> Instant {
        let elapsed = self.elapsed();
        Instant { wall: Timestamp(EPOCH + elapsed.as_millis() as i64), monotonic: elapsed }
    }
}

/// The clocks of one machine.
#[derive(Debug)]
pub struct NodeClock {
    time: TrueTime,
    rate: f64,
    errors: Mutex<Errors>,
}

#[derive(Debug, Default)]
struct Errors {
    wall_offset: i64,
    /// What the monotonic clock missed.
    slept: Duration,
    asleep_since: Option<Duration>,
}

impl NodeClock {
    pub fn new(time: TrueTime, rate: f64) -> Arc<Self> {
        Arc::new(Self { time, rate, errors: Mutex::default() })
    }

    /// The wall clock jumps.
    pub fn jump(&self, millis: i64) {
        self.errors().wall_offset += millis;
    }

    /// The monotonic clock stands still, as when a machine sleeps …
    pub fn sleep(&self) {
        let now = self.time.elapsed();
        self.errors().asleep_since.get_or_insert(now);
    }

    /// … or goes on.
    pub fn wake(&self) {
        let now = self.time.elapsed();
        let mut errors = self.errors();
        if let Some(since) = errors.asleep_since.take() {
            errors.slept += now - since;
        }
    }

    fn errors(&self) -> std::sync::MutexGuard<'_, Errors> {
        self.errors.lock().expect("no panic while held")
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Instant {
        let elapsed = self.time.elapsed();
        let errors = self.errors();
        let asleep = errors.asleep_since.map_or(Duration::ZERO, |since| elapsed - since);
        let wall = elapsed.mul_f64(self.rate).as_millis() as i64;
        Instant {
            wall: Timestamp(EPOCH + wall + errors.wall_offset),
            monotonic: (elapsed - errors.slept - asleep).mul_f64(self.rate),
        }
    }
}
