//! Searching vectors that are in memory.
//!
//! Nothing here knows a namespace, an id or the store: it gets vectors and row numbers, and gives
//! row numbers and scores. [`kernel`] computes many products of a query and rows, [`flat`] turns
//! them into scores of the live rows of a chunk, and [`top`] keeps the best.

pub mod flat;
pub mod kernel;
pub mod top;
