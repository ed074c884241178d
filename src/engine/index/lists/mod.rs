//! Inverted lists: rows divided among centroids, and the lists of the nearest centroids searched.
//!
//! This is what `ivf`, `pq` and `spfresh` have in common. They differ in what a list holds of a row
//! besides its number.

mod balance;
pub mod calibration;
mod clusters;
mod extend;
mod file;
mod groups;
mod heritage;
mod index;
mod partition;
mod probe;
mod space;

pub use self::{
    clusters::Clusters,
    extend::extend,
    file::{Header, List, Lists, Quantized, Written, products, words},
    heritage::Heritage,
    index::{Kind, ListIndex},
    partition::{Division, Partition},
    probe::{Breadth, Look, candidates, probe},
    space::{Placed, Space},
};
