//! Texts for rows, with or without vectors.

use std::sync::Arc;

use super::{
    Engine, IfExists, NamespaceSpec,
    namespace::{Document, Write, Written},
    rows::MAX_CREATIONS,
};
use crate::{
    error::{Error, Result},
    types::{IndexSpec, NamespaceName, VectorId, text::FulltextParams},
};

/// The metadata of a row with a text in it, from that which the row has: the first argument names the field that
/// is to hold the text. None if that is the same.
pub type WithText = dyn Fn(&str, Option<&str>) -> Result<Option<Arc<str>>> + Send + Sync;

/// A text, and what else is known of it.
pub struct TextDocument {
    /// The row that it is for.
    pub id: VectorId,
    /// Bytes of what is given, roughly.
    pub bytes: u64,
    /// Puts it into metadata.
    pub edit: Box<WithText>,
}

/// What became of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indexed {
    /// Documents.
    pub documents: u64,
    /// Of these, those for which there was no row.
    pub inserted: u64,
}

impl Engine {
    /// Gives rows texts in the first field of the index over texts. A row that is there keeps its vector; where
    /// there is none, one without a vector begins. All take effect together. The namespace, and an index with
    /// default parameters, are created if they are missing.
    ///
    /// # Errors
    /// As for other writes; those of the edits, and then nothing is written.
    pub async fn index_documents(
        &self,
        name: &NamespaceName,
        documents: Vec<TextDocument>,
    ) -> Result<Indexed> {
        if documents.is_empty() {
            return Ok(Indexed::default());
        }
        let field: Arc<str> = self.text_field(name).await?.into();
        let count = documents.len() as u64;
        let prepared = documents.into_iter().map(|TextDocument { id, bytes, edit }| {
            let field = field.clone();
            Document { id, bytes, edit: Box::new(move |metadata| edit(&field, metadata)) }
        });
        let write = Write::Documents(prepared.collect());
        for _ in 0..MAX_CREATIONS {
            match self.write(name, write.clone()).await {
                Ok(Written { changes, found, .. }) => {
                    return Ok(Indexed { documents: count, inserted: changes - found });
                }
                Err(Error::NamespaceNotFound { .. }) => drop(self.text_field(name).await?),
                Err(error) => return Err(error),
            }
        }
        Err(Error::NamespaceNotFound { namespace: name.to_string() })
    }

    /// The first field of the index over texts, once there is one.
    async fn text_field(&self, name: &NamespaceName) -> Result<String> {
        for _ in 0..MAX_CREATIONS {
            let params = match self.open(name, None).await {
                Ok(opened) => opened.namespace.text_params(),
                Err(error) => Err(error),
            };
            match params {
                Ok(params) => return Ok(params.fields.first().cloned().unwrap_or_default()),
                Err(Error::NamespaceNotFound { .. }) => {
                    self.create_namespace(name, NamespaceSpec::default(), IfExists::Return).await?;
                }
                Err(Error::IndexNotFound { .. }) => {
                    match self.put_index(name, IndexSpec::Fulltext(FulltextParams::default())).await {
                        // The namespace was deleted and created anew meanwhile.
                        Ok(_) | Err(Error::IndexNotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NamespaceNotFound { namespace: name.to_string() })
    }
}
