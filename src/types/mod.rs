//! The vocabulary of the whole server: values that cannot exist unless they are valid.
//!
//! A name, an id or a vector is checked once, where it enters; everything further in takes these
//! types and never checks again.

mod bits;
mod distance;
pub mod filter;
mod index_spec;
mod index_type;
mod namespace;
mod norm;
pub mod rank_by;
mod row;
pub mod text;
mod vector_id;

pub use bits::{Bits, count_bits, list_set_bits, set_bits};
pub use distance::Distance;
pub use filter::Filter;
pub use index_spec::{HnswParams, IndexSpec, IvfParams, PqParams, SpfreshParams};
pub use index_type::IndexType;
pub use namespace::NamespaceName;
pub use norm::inverse_norm;
pub use rank_by::RankBy;
pub use row::{Row, Rows};
pub use vector_id::VectorId;
