//! Writing rows and reading them back by id.

use super::{
    Consistency, Engine, IfExists, NamespaceSpec, Page, Projection, Upserted,
    log::Chunk,
    namespace::{Namespace, Write, Written},
};
use crate::{
    error::{Error, Result},
    types::{NamespaceName, Row, Rows, VectorId},
};

/// How often an upsert creates its namespace anew when others keep deleting it.
const MAX_CREATIONS: usize = 4;

impl Engine {
    /// Inserts or replaces rows; creates the namespace if there is none. All become visible
    /// together. Of rows with the same id the last one counts. No rows: nothing happens.
    pub async fn upsert(&self, name: &NamespaceName, rows: Rows) -> Result<Upserted> {
        if rows.is_empty() {
            return Ok(Upserted::default());
        }
        let write = Write::Upsert(rows.last_of_each_id().into());
        for _ in 0..MAX_CREATIONS {
            match self.write(name, write.clone()).await {
                Ok(Written { changes, found }) => {
                    return Ok(Upserted { upserted: changes, inserted: changes - found });
                }
                Err(Error::NamespaceNotFound { .. }) => {
                    self.create_namespace(name, NamespaceSpec::default(), IfExists::Return).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NamespaceNotFound { namespace: name.to_string() })
    }

    /// Deletes rows by id; returns how many existed.
    pub async fn delete(&self, name: &NamespaceName, ids: Vec<VectorId>) -> Result<u64> {
        if ids.is_empty() {
            self.read(name, Consistency::Strong).await?;
            return Ok(0);
        }
        Ok(self.write(name, Write::Delete(ids.into())).await?.found)
    }

    /// Deletes every row; returns how many there were.
    pub async fn delete_all(&self, name: &NamespaceName) -> Result<u64> {
        Ok(self.write(name, Write::Clear).await?.found)
    }

    /// The live rows among `ids`, in the order asked; missing ones are left out.
    pub async fn fetch(
        &self,
        name: &NamespaceName,
        ids: &[VectorId],
        consistency: Consistency,
        projection: Projection,
    ) -> Result<Vec<Row>> {
        let namespace = self.read(name, consistency).await?;
        let now = self.context.clock.now().wall;
        let state = namespace.state();
        let dimension = state.dimension.unwrap_or(0);
        let found = ids.iter().filter_map(|id| state.tail.find(id.as_str(), now));
        Ok(found.map(|(chunk, row)| read_row(chunk, row, dimension, projection)).collect())
    }

    /// Rows in id order, after an id.
    pub async fn page(
        &self,
        name: &NamespaceName,
        after: Option<&str>,
        limit: usize,
        projection: Projection,
    ) -> Result<Page> {
        let namespace = self.read(name, Consistency::Strong).await?;
        Ok(page_of(&namespace, self.context.clock.now().wall, after, limit, projection))
    }

    /// Live rows, exactly.
    pub async fn count(&self, name: &NamespaceName, consistency: Consistency) -> Result<u64> {
        let namespace = self.read(name, consistency).await?;
        let now = self.context.clock.now().wall;
        Ok(namespace.state().tail.count(now))
    }
}

fn page_of(
    namespace: &Namespace,
    now: crate::clock::Timestamp,
    after: Option<&str>,
    limit: usize,
    projection: Projection,
) -> Page {
    let state = namespace.state();
    let dimension = state.dimension.unwrap_or(0);
    let mut following = state.tail.after(after, now);
    let rows: Vec<Row> = following
        .by_ref()
        .take(limit)
        .map(|(chunk, row)| read_row(chunk, row, dimension, projection))
        .collect();
    let more = following.next().is_some();
    let next = if more { rows.last().map(|row| row.id.clone()) } else { None };
    Page { rows, next, total: state.tail.count(now) }
}

/// A row with the columns that were asked for.
pub(super) fn read_row(chunk: &Chunk, row: usize, dimension: usize, projection: Projection) -> Row {
    Row {
        id: chunk.id(row).clone(),
        vector: projection.vectors.then(|| chunk.vector(row, dimension).to_vec()),
        metadata: chunk.metadata(row).filter(|_| projection.metadata).cloned(),
        expires_at: chunk.expires_at(row),
    }
}
