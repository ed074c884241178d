//! How many requests are worked on at once.
//!
//! A request over the bound is refused at once instead of queued: a queue only moves the wait to
//! where nobody sees it, and a client that is told to retry can go to another node.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A bound on concurrent requests.
#[derive(Debug, Clone)]
pub struct Admission {
    slots: Arc<Semaphore>,
    max: usize,
}

/// A slot; free again when dropped.
#[derive(Debug)]
pub struct Admitted {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// At most `max` at once.
    pub fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(max)), max }
    }

    /// Takes a slot, or answers [`Error::Busy`].
    pub fn admit(&self) -> Result<Admitted> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Error::Busy {
            limit: "server.max_concurrent_requests",
            max: self.max as u64,
            retry_after: Duration::from_secs(1),
        })?;
        Ok(Admitted { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_once_dropped() {
        let admission = Admission::new(1);
        let held = admission.admit().unwrap();
        assert!(matches!(admission.admit(), Err(Error::Busy { max: 1, .. })));
        drop(held);
        assert!(admission.admit().is_ok());
    }
}
