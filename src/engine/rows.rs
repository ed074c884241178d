//! Writing rows and reading them back by id.

use super::{
    Consistency, Engine, IfExists, NamespaceSpec, Page, Projection, Upserted,
    namespace::{Namespace, Write, Written},
    segment::RowRef,
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
        let mut reader = Reader::new(self);
        let found = ids.iter().filter_map(|id| state.contents.find(id.as_str(), now).transpose());
        found.map(|row| reader.read(&row?, projection)).collect()
    }

    /// Rows in id order, after an id; fewer than `limit` also where more bytes would be too many.
    pub async fn page(
        &self,
        name: &NamespaceName,
        after: Option<&str>,
        limit: usize,
        projection: Projection,
    ) -> Result<Page> {
        let namespace = self.read(name, Consistency::Strong).await?;
        self.page_of(&namespace, after, limit, projection)
    }

    /// Live rows, exactly.
    pub async fn count(&self, name: &NamespaceName, consistency: Consistency) -> Result<u64> {
        let namespace = self.read(name, consistency).await?;
        let now = self.context.clock.now().wall;
        Ok(namespace.state().contents.count(now))
    }

    fn page_of(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
        projection: Projection,
    ) -> Result<Page> {
        let now = self.context.clock.now().wall;
        let state = namespace.state();
        let mut reader = Reader::new(self);
        let mut rows: Vec<Row> = Vec::new();
        let mut more = false;
        for row in state.contents.after(after, now)? {
            let row = row?;
            more = rows.len() == limit || !(reader.fits(&row, projection) || rows.is_empty());
            if more {
                break;
            }
            rows.push(reader.copy(&row, projection));
        }
        let next = if more { rows.last().map(|row| row.id.clone()) } else { None };
        Ok(Page { rows, next, total: state.contents.count(now) })
    }
}

/// Copies rows for an answer, up to `limits.answer_bytes`.
pub(super) struct Reader {
    max: u64,
    taken: u64,
}

impl Reader {
    pub fn new(engine: &Engine) -> Self {
        Self { max: engine.context.answer_bytes, taken: 0 }
    }

    /// A row with the columns that were asked for.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`]
    pub fn read(&mut self, row: &RowRef<'_>, projection: Projection) -> Result<Row> {
        if self.fits(row, projection) {
            return Ok(self.copy(row, projection));
        }
        Err(Error::AnswerTooLarge { limit: "limits.answer_bytes", max: self.max })
    }

    fn fits(&self, row: &RowRef<'_>, projection: Projection) -> bool {
        self.taken + bytes(row, projection) <= self.max
    }

    fn copy(&mut self, row: &RowRef<'_>, projection: Projection) -> Row {
        self.taken += bytes(row, projection);
        Row {
            id: VectorId::trusted(row.id),
            vector: projection.vectors.then(|| row.vector.to_vec()),
            metadata: row.metadata.filter(|_| projection.metadata).map(Into::into),
            expires_at: row.expires_at,
        }
    }
}

fn bytes(row: &RowRef<'_>, projection: Projection) -> u64 {
    let vector = if projection.vectors { size_of_val(row.vector) } else { 0 };
    let metadata = row.metadata.filter(|_| projection.metadata).map_or(0, str::len);
    (row.id.len() + vector + metadata) as u64
}
