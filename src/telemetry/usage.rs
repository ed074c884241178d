//! What one request cost at the object store, told to whoever sent it.
//!
//! A value that travels with the task: everything that [`metered`] work asks of the store counts,
//! also in tasks that it starts through [`inherited`]. Work that several requests share (a refresh, a
//! download) counts for the one that began it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

tokio::task_local! {
    static METER: Arc<Meter>;
}

#[derive(Debug, Default)]
struct Meter {
    requests: AtomicU64,
    bytes_read: AtomicU64,
}

/// Requests to the store and what they brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Requests that were sent, every retry included.
    pub requests: u64,
    /// Bytes of objects that were read.
    pub bytes_read: u64,
}

/// Runs work and says what it used.
pub async fn metered<F: Future>(work: F) -> (F::Output, Usage) {
    let meter = Arc::new(Meter::default());
    let output = METER.scope(meter.clone(), work).await;
    let usage = Usage {
        requests: meter.requests.load(Ordering::Relaxed),
        bytes_read: meter.bytes_read.load(Ordering::Relaxed),
    };
    (output, usage)
}

/// The same work, to be run as a task of its own: what it uses counts for the present task.
pub fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let meter = METER.try_with(Arc::clone).ok();
    async move {
        match meter {
            Some(meter) => METER.scope(meter, work).await,
            None => work.await,
        }
    }
}

pub(super) fn count_request() {
    let _ = METER.try_with(|meter| meter.requests.fetch_add(1, Ordering::Relaxed));
}

pub(super) fn count_read(bytes: u64) {
    let _ = METER.try_with(|meter| meter.bytes_read.fetch_add(bytes, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_task_starts_counts_for_it_and_for_nobody_else() {
        count_request();
        let work = async {
            count_request();
            count_read(7);
            tokio::spawn(async { count_request() }).await.unwrap();
            tokio::spawn(inherited(async { count_read(5) })).await.unwrap();
        };
        let ((), usage) = metered(work).await;
        assert_eq!(usage, Usage { requests: 1, bytes_read: 12 });
        let ((), other) = metered(async { count_request() }).await;
        assert_eq!(other, Usage { requests: 1, bytes_read: 0 });
    }
}
