//! The log of a namespace as a state: what the entries after the last fold add up to.

mod chunk;
mod tail;

pub use self::{
    chunk::Chunk,
    tail::{Snapshot, Tail},
};
