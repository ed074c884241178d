//! Inverted lists: rows divided among centroids, and the lists of the nearest centroids searched.
//!
//! This is what `ivf`, `pq` and `spfresh` have in common. They differ in what a list holds of a row
//! besides its number.

mod balance;
mod clusters;
mod file;
mod groups;
mod partition;
mod space;

pub use self::{
    file::{Header, Lists, Quantized, encode, words},
    partition::{Division, Partition},
    space::Space,
};
