//! The object store: one conformance suite on every backend, and what is particular to each.

#[path = "storage/bed.rs"]
mod bed;
#[path = "storage/conformance.rs"]
mod conformance;
#[path = "support/faults.rs"]
mod faults;

conformance::suite!(memory, Bed::memory());
conformance::suite!(fs, Bed::fs());
