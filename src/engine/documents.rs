//! Texts for rows, with or without vectors.

use super::{
    Engine, IfExists, NamespaceSpec, TextDocument,
    namespace::{Write, Written},
    rows::MAX_CREATIONS,
};
use crate::{
    error::{Error, Result},
    types::{IndexSpec, NamespaceName, text::FulltextParams},
};

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
        let count = documents.len() as u64;
        let write = Write::Documents(documents.into());
        for _ in 0..MAX_CREATIONS {
            match self.write(name, write.clone()).await {
                Ok(Written { changes, found, .. }) => {
                    return Ok(Indexed { documents: count, inserted: changes - found });
                }
                Err(Error::NamespaceNotFound { .. } | Error::IndexNotFound { .. }) => {
                    self.have_texts(name).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NamespaceNotFound { namespace: name.to_string() })
    }

    /// Creates the namespace and an index over texts, as far as they are missing.
    async fn have_texts(&self, name: &NamespaceName) -> Result<()> {
        for _ in 0..MAX_CREATIONS {
            let params = match self.open(name, None).await {
                Ok(opened) => opened.namespace.text_params(),
                Err(error) => Err(error),
            };
            match params {
                Ok(_) => return Ok(()),
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
