//! Indexes that the server builds and keeps: the type, and what can be chosen of it.

use serde::{Deserialize, Serialize};

use super::{IndexType, text::FulltextParams};

/// A managed index and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum IndexSpec {
    /// Lists of rows in full.
    Ivf(IvfParams),
    /// Lists of rows by product quantisation.
    Pq(PqParams),
    /// A graph of neighbours.
    Hnsw(HnswParams),
    /// Balanced lists of quantised rows.
    Spfresh(SpfreshParams),
    /// Words of the metadata's texts.
    Fulltext(FulltextParams),
    /// Values of the metadata, for filters.
    Attributes,
}

/// The parameters of `ivf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IvfParams {
    /// Rows per list, on average. Null: a tenth of the root of the number of rows,
    /// at least 16.
    #[schema(value_type = Option<u32>, minimum = 8, maximum = 4096)]
    pub list_rows: Option<u32>,
}

/// The parameters of `pq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PqParams {
    /// Rows per list, on average.
    #[schema(minimum = 8, maximum = 4096, default = 128)]
    pub list_rows: u32,
    /// Pieces of a vector, each of which is half a byte of a code: rounded down to a multiple of 4 that
    /// divides the dimension (itself rounded up to a multiple of 64). Null: a fourth of the dimension.
    #[schema(value_type = Option<u32>, minimum = 4, maximum = 1024)]
    pub subquantizers: Option<u32>,
}

impl Default for PqParams {
    fn default() -> Self {
        Self { list_rows: 128, subquantizers: None }
    }
}

/// The parameters of `hnsw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HnswParams {
    /// Neighbours that a row chooses; it has at most twice as many.
    #[schema(minimum = 2, maximum = 256, default = 16)]
    pub m: u32,
    /// Candidates that it chooses them from.
    #[schema(minimum = 2, maximum = 4096, default = 128)]
    pub ef_construction: u32,
}

impl Default for HnswParams {
    fn default() -> Self {
        Self { m: 16, ef_construction: 128 }
    }
}

/// The parameters of `spfresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpfreshParams {
    /// Rows per list, on average.
    #[schema(minimum = 8, maximum = 4096, default = 64)]
    pub list_rows: u32,
    /// So many rows of a hundred, those nearest to a border, are in a second list as well.
    #[schema(minimum = 0, maximum = 100, default = 10)]
    pub closure_percent: u8,
    /// Bits per value of the codes: 1, 4 or 8. Null: as many as a sample of the rows needs.
    #[schema(value_type = Option<u8>)]
    pub code_bits: Option<u8>,
}

impl Default for SpfreshParams {
    fn default() -> Self {
        Self { list_rows: 64, closure_percent: 10, code_bits: None }
    }
}

impl IndexSpec {
    /// The index over vectors of a namespace that was not told otherwise.
    pub const AUTO: Self =
        Self::Spfresh(SpfreshParams { list_rows: 64, closure_percent: 10, code_bits: None });

    /// What a namespace has that was not told otherwise.
    pub const DEFAULTS: [Self; 2] = [Self::AUTO, Self::Attributes];

    /// Its type.
    pub fn index_type(&self) -> IndexType {
        match self {
            Self::Ivf(_) => IndexType::Ivf,
            Self::Pq(_) => IndexType::Pq,
            Self::Hnsw(_) => IndexType::Hnsw,
            Self::Spfresh(_) => IndexType::Spfresh,
            Self::Fulltext(_) => IndexType::Fulltext,
            Self::Attributes => IndexType::Attributes,
        }
    }

    /// Whether it is over vectors, and so not over rows that have none.
    pub fn is_over_vectors(&self) -> bool {
        !matches!(self, Self::Attributes | Self::Fulltext(_))
    }

    /// Whether an index that was built for `other` serves this as well.
    pub fn is_served_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fulltext(params), Self::Fulltext(built)) => params.indexes_as(built),
            _ => self == other,
        }
    }

    /// How dear it is to do without: the dearest are built first.
    pub fn urgency(&self) -> u8 {
        match self {
            // Without it, the first search builds one in memory.
            Self::Fulltext(_) => 2,
            // Without it, metadata is read for each filter.
            Self::Attributes => 1,
            Self::Ivf(_) | Self::Pq(_) | Self::Hnsw(_) | Self::Spfresh(_) => 0,
        }
    }
}
