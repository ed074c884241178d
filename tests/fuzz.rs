//! Every decoder against inputs that look almost right: real objects, mutated, mostly with checksums
//! that match, so that what is behind the checksum is reached.
//!
//! Each input is refused with a reason, or read as something that can be used in every way and, written
//! anew, is read as the same. Damage behind a checksum changes nothing that is read. No input panics,
//! and none takes more memory than 16 MiB and 64 times its length.
//!
//! An input depends on a seed and its number only. A failure prints the command that repeats it, and
//! leaves the input in `target/fuzz/`. `make fuzz` tries a million inputs for each decoder;
//! `QUIVER_FUZZ_CASES`, `QUIVER_FUZZ_SEED` and `QUIVER_FUZZ_CASE` pick others, `QUIVER_FUZZ_REASONS=1`
//! lists why inputs were refused.

#[path = "fuzz/allocations.rs"]
mod allocations;
#[path = "fuzz/attributes.rs"]
mod attributes;
#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/cache.rs"]
mod cache;
#[path = "fuzz/deletes.rs"]
mod deletes;
#[path = "fuzz/entry.rs"]
mod entry;
#[path = "fuzz/filters.rs"]
mod filters;
#[path = "fuzz/index.rs"]
mod index;
#[path = "fuzz/manifest.rs"]
mod manifest;
#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/rankings.rs"]
mod rankings;
#[path = "fuzz/run.rs"]
mod run;
#[path = "fuzz/segment.rs"]
mod segment;
#[path = "fuzz/texts.rs"]
mod texts;

use run::run;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

#[test]
fn entries() {
    run(&entry::Entries);
}

#[test]
fn manifests() {
    run(&manifest::Manifests);
}

#[test]
fn segment_rows() {
    run(&segment::SegmentRows);
}

#[test]
fn lookups() {
    run(&segment::Lookups);
}

#[test]
fn deletes() {
    run(&deletes::Deletes);
}

#[test]
fn cache_files() {
    run(&cache::CacheFiles::new());
}

#[test]
fn arrow_bodies() {
    run(&bodies::ArrowBodies(bodies::Server::new()));
}

#[test]
fn json_bodies() {
    run(&bodies::JsonBodies(bodies::Server::new()));
}

#[test]
fn rankings() {
    run(&rankings::Rankings);
}

#[test]
fn filters() {
    run(&filters::Filters);
}

#[test]
fn text_queries() {
    run(&texts::TextQueries);
}

#[test]
fn text_indexes() {
    run(&texts::TextIndexes);
}

#[test]
fn attribute_indexes() {
    run(&attributes::AttributeIndexes);
}

#[test]
fn spfresh_indexes() {
    run(&index::Indexes::<0>);
}

#[test]
fn hnsw_indexes() {
    run(&index::Indexes::<1>);
}

#[test]
fn pq_indexes() {
    run(&index::Indexes::<2>);
}

#[test]
fn ivf_indexes() {
    run(&index::Indexes::<3>);
}
