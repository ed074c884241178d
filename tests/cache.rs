//! The cache of immutable objects: on memory, fs and SeaweedFS, with faults and counters.

#[path = "cache/bed.rs"]
mod bed;
#[path = "cache/disk.rs"]
mod disk;
#[path = "cache/memory.rs"]
mod memory;
#[path = "cache/own_files.rs"]
mod own_files;
mod support;
