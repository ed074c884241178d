//! The kinds of index.

use serde::{Deserialize, Serialize};

/// An index type that a client can upload bytes for, or ask to have built.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum IndexType {
    /// Hierarchical navigable small world graph.
    Hnsw,
    /// Product quantisation.
    Pq,
    /// Inverted file.
    Ivf,
    /// Balanced clusters with incremental maintenance.
    Spfresh,
    /// Full text.
    Fulltext,
    /// Values of the metadata, for filters.
    Attributes,
}

impl IndexType {
    /// Every type, in the order in which lists show them.
    pub const ALL: [Self; 6] =
        [Self::Hnsw, Self::Pq, Self::Ivf, Self::Spfresh, Self::Fulltext, Self::Attributes];

    /// The name in URLs, JSON and object keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hnsw => "hnsw",
            Self::Pq => "pq",
            Self::Ivf => "ivf",
            Self::Spfresh => "spfresh",
            Self::Fulltext => "fulltext",
            Self::Attributes => "attributes",
        }
    }

    /// The type of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|index| index.as_str() == name)
    }
}
