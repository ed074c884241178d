//! Indexes: those that the server builds, and uploaded bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::optional;
use crate::{
    engine::IndexInfo,
    error::{Error, Result},
    types::{
        HnswParams, IndexSpec, IndexType, IvfParams, PqParams, SpfreshParams,
        text::{Factor, FulltextParams, Language},
    },
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
#[schema(examples(json!({"list_rows": 64})))]
pub(in crate::api) struct IndexParameters {
    /// `spfresh`, `ivf`, `pq`: rows per list, on average. Default: 64 for `spfresh`, 128 for `pq`; for
    /// `ivf` a tenth of the root of the number of rows.
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
    /// `pq`: pieces of a vector, each of which is half a byte of a code; rounded down to a multiple of 4
    /// that divides the dimension. Default: a fourth of the dimension.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 4, maximum = 1024)]
    pub subquantizers: Option<u32>,
    /// `hnsw`: neighbours that a row chooses; it has at most twice as many. Default: 16.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 2, maximum = 256)]
    pub m: Option<u32>,
    /// `hnsw`: candidates that it chooses them from. Default: 128.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 2, maximum = 4096)]
    pub ef_construction: Option<u32>,
    /// `fulltext`: the metadata fields that are text, as paths (`title`, `author.name`). A field may be a string
    /// or an array of strings; anything else in it is no text. Default: `text`.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 32)]
    pub fields: Option<Vec<String>>,
    /// `fulltext`: how much a field's score counts, for fields that do not count 1.
    #[serde(default)]
    pub weights: Option<BTreeMap<String, f32>>,
    /// `fulltext`: the language of the texts. Default: `english`.
    #[serde(default)]
    pub language: Option<Language>,
    /// `fulltext`: whether words are found in other forms too (`runs` by `running`). Default: true.
    #[serde(default)]
    pub stemming: Option<bool>,
    /// `fulltext`: whether the commonest words of the language (`the`, `of`) are left out. Default: true.
    #[serde(default)]
    pub stop_words: Option<bool>,
    /// `fulltext`: whether `é` is the same as `e`. Default: true.
    #[serde(default)]
    pub ascii_folding: Option<bool>,
    /// `fulltext`: whether `A` is another letter than `a`. Default: false.
    #[serde(default)]
    pub case_sensitive: Option<bool>,
    /// `fulltext`: how much further occurrences of a word count. Default: 1.2.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub k1: Option<f32>,
    /// `fulltext`: how much the length of a text counts. Default: 0.75.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub b: Option<f32>,
}

impl IndexParameters {
    /// The index of this type with these parameters.
    pub fn into_spec(self, index_type: IndexType) -> Result<IndexSpec> {
        let taken: &[&str] = match index_type {
            IndexType::Spfresh => &["list_rows", "closure_percent", "code_bits"],
            IndexType::Ivf => &["list_rows"],
            IndexType::Pq => &["list_rows", "subquantizers"],
            IndexType::Hnsw => &["m", "ef_construction"],
            IndexType::Attributes => &[],
            IndexType::Fulltext => &[
                "fields",
                "weights",
                "language",
                "stemming",
                "stop_words",
                "ascii_folding",
                "case_sensitive",
                "k1",
                "b",
            ],
        };
        if let Some(other) = self.given().find(|field| !taken.contains(field)) {
            let message = format!("{} has no such parameter; it has {}", index_type.as_str(), listed(taken));
            return Err(Error::invalid(other, message));
        }
        let list_rows = self.list_rows.map(|rows| within("list_rows", rows, 8, 4096)).transpose()?;
        Ok(match index_type {
            IndexType::Ivf => IndexSpec::Ivf(IvfParams { list_rows }),
            IndexType::Pq => IndexSpec::Pq(self.pq(list_rows)?),
            IndexType::Hnsw => IndexSpec::Hnsw(self.hnsw()?),
            IndexType::Attributes => IndexSpec::Attributes,
            IndexType::Fulltext => IndexSpec::Fulltext(self.fulltext()?),
            IndexType::Spfresh => IndexSpec::Spfresh(self.spfresh(list_rows)?),
        })
    }

    /// The names of the fields that are there.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("list_rows", self.list_rows.is_some()),
            ("closure_percent", self.closure_percent.is_some()),
            ("code_bits", self.code_bits.is_some()),
            ("subquantizers", self.subquantizers.is_some()),
            ("m", self.m.is_some()),
            ("ef_construction", self.ef_construction.is_some()),
            ("fields", self.fields.is_some()),
            ("weights", self.weights.is_some()),
            ("language", self.language.is_some()),
            ("stemming", self.stemming.is_some()),
            ("stop_words", self.stop_words.is_some()),
            ("ascii_folding", self.ascii_folding.is_some()),
            ("case_sensitive", self.case_sensitive.is_some()),
            ("k1", self.k1.is_some()),
            ("b", self.b.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
    }

    fn spfresh(&self, list_rows: Option<u32>) -> Result<SpfreshParams> {
        let default = SpfreshParams::default();
        let closure = self.closure_percent.unwrap_or(default.closure_percent);
        let closure_percent = within("closure_percent", closure, 0, 100)?;
        if self.code_bits.is_some_and(|bits| ![1, 4, 8].contains(&bits)) {
            return Err(Error::invalid("code_bits", "must be 1, 4 or 8"));
        }
        let list_rows = list_rows.unwrap_or(default.list_rows);
        Ok(SpfreshParams { list_rows, closure_percent, code_bits: self.code_bits })
    }

    fn fulltext(self) -> Result<FulltextParams> {
        let default = FulltextParams::default();
        let factor = |field: String, value: f32, most: f32| {
            let wrong = || Error::invalid(field, format!("must be from 0 to {most}"));
            Factor::new(value).filter(|factor| factor.value() <= most).ok_or_else(wrong)
        };
        let weight = |(field, weight): (String, f32)| {
            let place = format!("weights.{field}");
            Ok((field, factor(place, weight, FulltextParams::MAX_WEIGHT)?))
        };
        let params = FulltextParams {
            fields: self.fields.unwrap_or(default.fields),
            weights: self.weights.into_iter().flatten().map(weight).collect::<Result<_>>()?,
            language: self.language.unwrap_or(default.language),
            stemming: self.stemming.unwrap_or(default.stemming),
            stop_words: self.stop_words.unwrap_or(default.stop_words),
            ascii_folding: self.ascii_folding.unwrap_or(default.ascii_folding),
            case_sensitive: self.case_sensitive.unwrap_or(default.case_sensitive),
            k1: factor("k1".into(), self.k1.unwrap_or(default.k1.value()), FulltextParams::MAX_K1)?,
            b: factor("b".into(), self.b.unwrap_or(default.b.value()), 1.0)?,
        };
        params.validate()?;
        Ok(params)
    }

    fn pq(&self, list_rows: Option<u32>) -> Result<PqParams> {
        let subquantizers = self.subquantizers.map(|count| within("subquantizers", count, 4, 1024));
        let list_rows = list_rows.unwrap_or(PqParams::default().list_rows);
        Ok(PqParams { list_rows, subquantizers: subquantizers.transpose()? })
    }

    fn hnsw(&self) -> Result<HnswParams> {
        let default = HnswParams::default();
        let m = within("m", self.m.unwrap_or(default.m), 2, 256)?;
        let candidates = self.ef_construction.unwrap_or(default.ef_construction);
        let ef_construction = within("ef_construction", candidates, 2, 4096)?;
        Ok(HnswParams { m, ef_construction })
    }
}

/// The names of parameters, for people.
fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
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
    #[schema(value_type = Object, example = json!({"list_rows": 64, "closure_percent": 10, "code_bits": null}))]
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
            IndexSpec::Fulltext(ref params) => serde_json::to_value(params),
            IndexSpec::Attributes => Ok(serde_json::json!({})),
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
