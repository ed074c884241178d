//! The object store: one conformance suite on every backend, and what is particular to each.

#[path = "storage/bed.rs"]
mod bed;
#[path = "storage/conformance.rs"]
mod conformance;
mod support;

conformance::suite!(memory, Bed::memory());
conformance::suite!(fs, Bed::fs());
conformance::suite!(s3, Bed::s3());
conformance::suite!(azblob, Bed::azblob());
