//! How two vectors are compared.

use serde::{Deserialize, Serialize};

/// The metric of a namespace. Scores are "higher is better" for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Cosine similarity, in [-1, 1] up to rounding; 0 where either vector is zero.
    #[default]
    Cosine,
    /// Inner product.
    #[serde(alias = "dot")]
    DotProduct,
    /// Euclidean distance, negated: the score is `-‖a-b‖₂`.
    #[serde(alias = "l2")]
    Euclidean,
}

impl Distance {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::DotProduct => "dot_product",
            Self::Euclidean => "euclidean",
        }
    }
}
