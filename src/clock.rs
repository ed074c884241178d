//! Time as a value that is passed in, so that tests and the simulation own it.
//!
//! Two clocks are read, because they fail in different ways: the wall clock jumps, the monotonic
//! one may stop while a machine sleeps. Whoever asks "is this younger than …?" takes the larger
//! of the two ages ([`Instant::age`]).

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch. The only form in which a time is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus a duration, saturating.
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// Wall clock.
    pub wall: Timestamp,
    /// Monotonic clock, from an arbitrary origin.
    pub monotonic: Duration,
}

impl Instant {
    /// How long ago `self` was at `now`: the larger of what the two clocks say, so that a clock
    /// which stood still or was set back never makes something look fresh. A wall clock that went
    /// backwards counts as the distance that it jumped.
    pub fn age(self, now: Instant) -> Duration {
        let wall = Duration::from_millis(now.wall.0.abs_diff(self.wall.0));
        wall.max(now.monotonic.saturating_sub(self.monotonic))
    }
}

/// A source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current moment.
    fn now(&self) -> Instant;
}

/// A clock shared by everything in one server.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A shared system clock.
    pub fn shared() -> SharedClock {
        Arc::new(Self { origin: std::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant {
            wall: Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)),
            monotonic: self.origin.elapsed(),
        }
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    millis: std::sync::atomic::AtomicI64,
}

impl ManualClock {
    /// A clock that starts at `wall` milliseconds since the epoch.
    pub fn starting_at(wall: i64) -> Arc<Self> {
        Arc::new(Self { millis: wall.into() })
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        let millis = self.millis.load(std::sync::atomic::Ordering::SeqCst);
        Instant { wall: Timestamp(millis), monotonic: Duration::from_millis(millis.unsigned_abs()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, monotonic: u64) -> Instant {
        Instant { wall: Timestamp(wall), monotonic: Duration::from_millis(monotonic) }
    }

    #[test]
    fn age_takes_the_larger_clock_and_never_rejuvenates() {
        assert_eq!(at(0, 0).age(at(5, 9)), Duration::from_millis(9));
        assert_eq!(at(0, 0).age(at(9, 5)), Duration::from_millis(9));
        assert_eq!(at(100_000, 0).age(at(0, 5)), Duration::from_secs(100), "wall clock set back");
    }
}
