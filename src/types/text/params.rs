//! What can be chosen of an index over texts.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Language;
use crate::{
    error::{Error, Result},
    types::filter::Path,
};

/// Fields that an index is over, at most.
pub const MAX_FIELDS: usize = 32;

/// A number of at least zero that is finite, so that it equals itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, utoipa::ToSchema)]
pub struct Factor(f32);

impl Factor {
    /// The factor, if the number is finite and not negative.
    pub fn new(value: f32) -> Option<Self> {
        // Adding zero turns -0 into 0, so that equal factors have equal bits.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// Its value.
    pub fn value(self) -> f32 {
        self.0
    }
}

impl Eq for Factor {}

impl Hash for Factor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Serialize for Factor {
    /// By the fewest digits that tell it from other numbers of 32 bits: 1.2, not 1.2000000476837158.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shortest = self.0.to_string().parse().unwrap_or(f64::from(self.0));
        serializer.serialize_f64(shortest)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f32::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| serde::de::Error::custom("expected a finite number of at least 0"))
    }
}

/// The parameters of `fulltext`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FulltextParams {
    /// The metadata fields that are text, as paths (`title`, `author.name`). A field may be a string or
    /// an array of strings; anything else in it is no text.
    #[schema(example = json!(["text"]), min_items = 1, max_items = 32)]
    pub fields: Vec<String>,
    /// How much a field counts in the score of a row, for fields that do not count 1.
    #[schema(value_type = std::collections::BTreeMap<String, f32>, example = json!({"title": 2.0}))]
    pub weights: BTreeMap<String, Factor>,
    /// The language of the texts.
    pub language: Language,
    /// Whether words are found in other forms too (`runs` by `running`).
    #[schema(default = true)]
    pub stemming: bool,
    /// Whether the commonest words of the language (`the`, `of`) are left out.
    #[schema(default = true)]
    pub stop_words: bool,
    /// Whether `é` is the same as `e`, for letters that resemble an ASCII letter.
    #[schema(default = true)]
    pub ascii_folding: bool,
    /// Whether `A` is another letter than `a`. Stemming and stop words are about small letters.
    #[schema(default = false)]
    pub case_sensitive: bool,
    /// BM25: how much further occurrences of a word count. 0: not at all.
    #[schema(value_type = f32, minimum = 0, maximum = 100, default = 1.2)]
    pub k1: Factor,
    /// BM25: how much the length of a text counts, from 0 (not at all) to 1.
    #[schema(value_type = f32, minimum = 0, maximum = 1, default = 0.75)]
    pub b: Factor,
}

impl Default for FulltextParams {
    fn default() -> Self {
        Self {
            fields: vec!["text".into()],
            weights: BTreeMap::new(),
            language: Language::English,
            stemming: true,
            stop_words: true,
            ascii_folding: true,
            case_sensitive: false,
            k1: Factor(1.2),
            b: Factor(0.75),
        }
    }
}

impl FulltextParams {
    /// The most that a field may count.
    pub const MAX_WEIGHT: f32 = 1000.0;
    /// The greatest k1.
    pub const MAX_K1: f32 = 100.0;

    /// Checks what its types do not.
    ///
    /// # Errors
    /// `Invalid`, with the bad part.
    pub fn validate(&self) -> Result<()> {
        let bad = |at: &str, message: String| Err(Error::invalid(at, message));
        if self.fields.is_empty() || self.fields.len() > MAX_FIELDS {
            return bad("fields", format!("an index is over 1 to {MAX_FIELDS} fields"));
        }
        for (at, field) in self.fields.iter().enumerate() {
            if let Err(message) = Path::parse(field) {
                return bad(&format!("fields[{at}]"), message);
            }
            if self.fields[..at].contains(field) {
                return bad(&format!("fields[{at}]"), "the field is named twice".into());
            }
        }
        if let Some(stranger) = self.weights.keys().find(|name| !self.fields.contains(name)) {
            return bad("weights", format!("{stranger:?} is not among the fields"));
        }
        if self.weights.values().any(|weight| weight.0 > Self::MAX_WEIGHT) {
            return bad("weights", format!("a weight is at most {}", Self::MAX_WEIGHT));
        }
        if self.k1.0 > Self::MAX_K1 {
            return bad("k1", format!("k1 is at most {}", Self::MAX_K1));
        }
        if self.b.0 > 1.0 {
            return bad("b", "b is at most 1".into());
        }
        Ok(())
    }

    /// Whether an index built for `other` serves these as well: k1, b and weights do not change what is
    /// in it.
    pub fn indexes_as(&self, other: &Self) -> bool {
        let Self {
            fields,
            weights: _,
            language,
            stemming,
            stop_words,
            ascii_folding,
            case_sensitive,
            k1: _,
            b: _,
        } = self;
        (fields, language, stemming, stop_words, ascii_folding, case_sensitive)
            == (
                &other.fields,
                &other.language,
                &other.stemming,
                &other.stop_words,
                &other.ascii_folding,
                &other.case_sensitive,
            )
    }

    /// The weight of a field by its place.
    pub fn weight(&self, field: usize) -> f32 {
        self.fields.get(field).and_then(|name| self.weights.get(name)).map_or(1.0, |weight| weight.0)
    }
}
