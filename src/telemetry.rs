//! Logs and metrics.
//!
//! Metrics are values that are passed in, not globals, so that tests run several servers in one
//! process and read each one's counters.

/// Every metric of one server.
#[derive(Debug, Default)]
pub struct Metrics {}
