//! Index bytes that clients upload: opaque, whole, byte-exact.

use bytes::Bytes;

use super::{Consistency, Engine};
use crate::{
    error::{Error, Result},
    storage::{Key, StoreErrorKind, keys},
    types::{IndexType, NamespaceName},
};

impl Engine {
    /// Stores the bytes of an index, replacing what was there.
    pub async fn put_index_blob(&self, name: &NamespaceName, index: IndexType, bytes: Bytes) -> Result<()> {
        let key = self.blob_key(name, index).await?;
        Ok(self.context.store.put(&key, bytes).await?)
    }

    /// The bytes of an index.
    pub async fn get_index_blob(&self, name: &NamespaceName, index: IndexType) -> Result<Bytes> {
        let key = self.blob_key(name, index).await?;
        match self.context.store.get(&key).await {
            Ok(object) => Ok(object.bytes),
            Err(error) if error.kind == StoreErrorKind::NotFound => Err(no_blob(name, index)),
            Err(error) => Err(error.into()),
        }
    }

    /// The length of an index in bytes.
    pub async fn index_blob_size(&self, name: &NamespaceName, index: IndexType) -> Result<u64> {
        let key = self.blob_key(name, index).await?;
        match self.context.store.size(&key).await {
            Ok(size) => Ok(size),
            Err(error) if error.kind == StoreErrorKind::NotFound => Err(no_blob(name, index)),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the bytes of an index; returns whether there were any.
    pub async fn delete_index_blob(&self, name: &NamespaceName, index: IndexType) -> Result<bool> {
        let key = self.blob_key(name, index).await?;
        match self.context.store.size(&key).await {
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.context.store.delete_many(&[key]).await?;
        Ok(true)
    }

    /// The types of the indexes that were uploaded, with their lengths in bytes.
    pub async fn list_index_blobs(&self, name: &NamespaceName) -> Result<Vec<(IndexType, u64)>> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let prefix = keys::index_blobs(name, namespace.incarnation());
        let listed = self.context.store.list(&prefix, None, IndexType::ALL.len() + 1).await?;
        let found = listed.iter().filter_map(|listed| {
            let name = listed.key.as_str().strip_prefix(&prefix)?;
            Some((IndexType::parse(name)?, listed.size))
        });
        Ok(found.collect())
    }

    async fn blob_key(&self, name: &NamespaceName, index: IndexType) -> Result<Key> {
        let namespace = self.read(name, Consistency::Strong).await?;
        Ok(keys::index_blob(name, namespace.incarnation(), index))
    }
}

fn no_blob(name: &NamespaceName, index: IndexType) -> Error {
    Error::IndexNotFound { namespace: name.to_string(), index: index.as_str() }
}
