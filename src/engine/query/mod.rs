//! Searching a snapshot: exactly, on all cores, off the async workers.

/// The threads that search.
#[derive(Debug)]
pub struct Searchers {}

impl Searchers {
    /// `threads` of them; 0 means one per core.
    pub fn new(_threads: usize) -> Self {
        Self {}
    }
}
