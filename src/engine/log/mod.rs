//! The log of a namespace as rows in memory: what the entries after the last fold add up to.

mod chunk;
mod tail;

pub use self::{chunk::Chunk, tail::Tail};
