//! Indexes: those that the server builds, and uploaded bytes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::optional;
use crate::{
    engine::IndexInfo,
    error::{Error, Result},
    types::{IndexSpec, IndexType, SpfreshParams},
};

/// An index that a client uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IndexBlob {
    /// Its type.
    #[serde(rename = "type")]
    pub index_type: IndexType,
    /// Its length.
    pub size_bytes: u64,
}

/// The indexes of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IndexList {
    /// Those that the server builds.
    pub indexes: Vec<Index>,
    /// Those that clients uploaded, one per type.
    pub blobs: Vec<IndexBlob>,
}

impl IndexList {
    /// Of what there is.
    pub fn new(indexes: Vec<IndexInfo>, mut blobs: Vec<(IndexType, u64)>) -> Self {
        blobs.sort();
        let blob = |(index_type, size_bytes)| IndexBlob { index_type, size_bytes };
        Self {
            indexes: indexes.into_iter().map(Into::into).collect(),
            blobs: blobs.into_iter().map(blob).collect(),
        }
    }
}

/// What can be chosen of an index. Each type takes some of it; the rest has good values.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"list_rows": 64, "closure_percent": 10})))]
pub(in crate::api) struct IndexParameters {
    /// `spfresh`: rows per list, on average. Default: 64.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 8, maximum = 4096)]
    pub list_rows: Option<u32>,
    /// `spfresh`: so many rows of a hundred, those nearest to a border between lists, are in both.
    /// Default: 10.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 0, maximum = 100)]
    pub closure_percent: Option<u8>,
    /// `spfresh`: bits per value of the codes: 1, 4 or 8. Default: as many as a sample of the rows needs.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 8)]
    pub code_bits: Option<u8>,
}

impl IndexParameters {
    /// The index of this type with these parameters.
    pub fn into_spec(self, index_type: IndexType) -> Result<IndexSpec> {
        match index_type {
            IndexType::Spfresh => self.spfresh(),
            other => Err(Error::invalid(
                "type",
                format!("{} cannot be built by this server; spfresh can", other.as_str()),
            )),
        }
    }

    fn spfresh(self) -> Result<IndexSpec> {
        let default = SpfreshParams::default();
        let list_rows = within("list_rows", self.list_rows.unwrap_or(default.list_rows), 8, 4096)?;
        let closure = self.closure_percent.unwrap_or(default.closure_percent);
        let closure_percent = within("closure_percent", closure, 0, 100)?;
        if self.code_bits.is_some_and(|bits| ![1, 4, 8].contains(&bits)) {
            return Err(Error::invalid("code_bits", "must be 1, 4 or 8"));
        }
        Ok(IndexSpec::Spfresh(SpfreshParams { list_rows, closure_percent, code_bits: self.code_bits }))
    }
}

fn within<N: PartialOrd + std::fmt::Display>(field: &str, number: N, least: N, most: N) -> Result<N> {
    if number < least || number > most {
        return Err(Error::invalid(field, format!("must be from {least} to {most}")));
    }
    Ok(number)
}

/// How far an index is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum IndexStatus {
    /// Every segment that is to have it has it.
    Ready,
    /// Some segments lack it, and are searched exactly until it is built.
    Building,
}

/// An index that the server builds.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Index {
    /// Its type.
    #[serde(rename = "type")]
    pub index_type: IndexType,
    /// Its parameters.
    #[schema(value_type = SpfreshParams)]
    pub parameters: serde_json::Value,
    /// Whether the namespace has it because nobody chose.
    pub automatic: bool,
    /// How far it is.
    pub status: IndexStatus,
    /// `indexed_rows` of the rows that are to be indexed, from 0 to 1.
    pub progress: f64,
    /// Rows of the segments that have it, dead ones included.
    pub indexed_rows: u64,
    /// Rows that are searched exactly, because they are in the log or in small segments.
    pub exact_rows: u64,
    /// Bytes of its objects.
    pub size_bytes: u64,
}

impl From<IndexInfo> for Index {
    fn from(info: IndexInfo) -> Self {
        let ready = info.is_ready();
        let parameters = match info.spec {
            IndexSpec::Hnsw(params) => serde_json::to_value(params),
            IndexSpec::Ivf(params) => serde_json::to_value(params),
            IndexSpec::Pq(params) => serde_json::to_value(params),
            IndexSpec::Spfresh(params) => serde_json::to_value(params),
        };
        Self {
            index_type: info.spec.index_type(),
            parameters: parameters.unwrap_or_default(),
            automatic: info.automatic,
            status: if ready { IndexStatus::Ready } else { IndexStatus::Building },
            progress: if ready { 1.0 } else { info.indexed_rows as f64 / info.eligible_rows as f64 },
            indexed_rows: info.indexed_rows,
            exact_rows: info.exact_rows,
            size_bytes: info.bytes,
        }
    }
}
