//! Documents: texts for rows, with or without vectors.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::schema;
use crate::{
    config::LimitsConfig,
    engine::{Indexed, TextDocument},
    error::{Error, Result},
    service::{Patch, check_batch},
    types::{VectorId, filter::Path},
};

/// A text, and what else is known of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Document {
    /// The row that it is for.
    #[schema(schema_with = schema::id)]
    pub id: String,
    /// The text: what the first field of the full-text index of this row holds from then on. Also spelled `content`.
    #[serde(alias = "content")]
    pub text: String,
    /// A merge patch (RFC 7396) of the row's other metadata; of none if there is no such row.
    #[serde(default)]
    #[schema(value_type = Option<Object>, nullable = true)]
    pub metadata: Option<Box<RawValue>>,
}

/// Documents to index.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"documents": [
    {"id": "intro", "text": "A vector store whose only state is an object store"},
    {"id": "session/42", "text": "Any house cat", "metadata": {"pos": "noun", "senses": 1}}
]})))]
pub(in crate::api) struct IndexDocumentsRequest {
    /// The documents. Of several with the same id each changes what the one before it left.
    #[schema(max_items = 10000)]
    pub documents: Vec<Document>,
}

impl IndexDocumentsRequest {
    /// The documents, checked against limits.
    pub fn into_documents(self, limits: &LimitsConfig) -> Result<Vec<TextDocument>> {
        check_batch(limits, "documents", self.documents.len())?;
        let documents = self.documents.into_iter().enumerate();
        documents.map(|(place, document)| document.read(place, limits)).collect()
    }
}

impl Document {
    fn read(self, place: usize, limits: &LimitsConfig) -> Result<TextDocument> {
        let document = format!("documents[{place}]");
        let at = |field: &str| format!("{document}.{field}");
        let Self { id, text, metadata } = self;
        let id = VectorId::parse(&id, limits.id_bytes, || at("id"))?;
        let patch = metadata.as_deref().map_or("{}", RawValue::get);
        let patch = Patch::parse(limits, &at("metadata"), if patch == "null" { "{}" } else { patch })?;
        let given = text.len() + metadata.as_deref().map_or(0, |metadata| metadata.get().len());
        let bytes = (id.as_str().len() + 16 + given) as u64;
        let edit = move |field: &str, before: Option<&str>| {
            let path = Path::parse(field).map_err(Error::internal)?;
            let patched = patch.clone().with_text(&path, &text).apply(before);
            patched.map_err(|error| match error {
                Error::LimitExceeded { limit, max, actual, .. } => {
                    Error::LimitExceeded { field: document.clone(), limit, max, actual }
                }
                error => error,
            })
        };
        Ok(TextDocument { id, bytes, edit: Box::new(edit) })
    }
}

/// How many documents were indexed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IndexDocumentsResponse {
    /// Documents, which are durable and can be found.
    pub indexed_count: u64,
    /// Of these, documents for which there was no row: they are rows without vectors now.
    pub inserted_count: u64,
}

impl From<Indexed> for IndexDocumentsResponse {
    fn from(indexed: Indexed) -> Self {
        Self { indexed_count: indexed.documents, inserted_count: indexed.inserted }
    }
}
