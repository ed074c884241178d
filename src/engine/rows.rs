//! Writing rows and reading them back by id.

use std::{collections::HashSet, sync::Arc};

use super::{
    Consistency, Deleted, Engine, IfExists, NamespaceSpec, Page, Precondition, Projection, Upserted,
    contents::Following,
    namespace::{Write, Written},
    segment::RowRef,
};
use crate::{
    error::{Error, Result},
    types::{Filter, NamespaceName, Row, Rows, VectorId},
};

/// How often an upsert creates its namespace anew when others keep deleting it.
pub(super) const MAX_CREATIONS: usize = 4;

impl Engine {
    /// Inserts or replaces rows; creates the namespace if there is none. All become visible
    /// together. Of rows with the same id the last one counts. No rows: nothing happens.
    pub fn upsert(&self, name: &NamespaceName, rows: Rows) -> impl Future<Output = Result<Upserted>> + Send {
        self.upsert_if(name, rows, Precondition::default())
    }

    /// The same of those rows for which a condition holds, right before they are written. A namespace is
    /// created only if rows may be inserted.
    pub async fn upsert_if(
        &self,
        name: &NamespaceName,
        rows: Rows,
        condition: Precondition,
    ) -> Result<Upserted> {
        if rows.is_empty() {
            return Ok(Upserted::default());
        }
        let creates = condition.admits(None);
        let rows = rows.last_of_each_id().into();
        let write = match condition.is_nothing() {
            true => Write::Upsert(rows),
            false => Write::UpsertIf(rows, condition),
        };
        for _ in 0..MAX_CREATIONS {
            match self.write(name, write.clone()).await {
                Ok(Written { changes, found, report }) => {
                    let (upserted, inserted) = (changes, changes - found);
                    return Ok(Upserted { upserted, inserted, skipped: report.skipped });
                }
                Err(Error::NamespaceNotFound { .. }) if creates => {
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

    /// Deletes those of the rows for which a condition holds, right before they are deleted.
    pub async fn delete_if(
        &self,
        name: &NamespaceName,
        ids: Vec<VectorId>,
        condition: Precondition,
    ) -> Result<Deleted> {
        if ids.is_empty() || condition.is_nothing() {
            let deleted = self.delete(name, ids).await?;
            return Ok(Deleted { deleted, skipped: Vec::new() });
        }
        let mut seen = HashSet::new();
        let ids: Vec<_> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
        let written = self.write(name, Write::DeleteIf(ids.into(), condition)).await?;
        Ok(Deleted { deleted: written.found, skipped: written.report.skipped })
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
        self.page_matching(name, None, after, limit, projection).await
    }

    /// [`Engine::page`] of the rows that match.
    pub async fn page_matching(
        &self,
        name: &NamespaceName,
        filter: Option<Arc<Filter>>,
        after: Option<&str>,
        limit: usize,
        projection: Projection,
    ) -> Result<Page> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let now = self.context.clock.now().wall;
        let reader = Reader::new(self);
        let (rows, next, total) = match filter.filter(|filter| !filter.is_everything()) {
            Some(filter) => {
                let snapshot = namespace.snapshot();
                let matches = self.searchers.matches(snapshot.clone(), filter, now).await?;
                let (rows, next) =
                    reader.page(snapshot.matching_after(&matches, after)?, limit, projection)?;
                (rows, next, matches.count())
            }
            None => {
                let state = namespace.state();
                let (rows, next) = reader.page(state.contents.after(after, now)?, limit, projection)?;
                (rows, next, state.contents.count(now))
            }
        };
        Ok(Page { rows, next, total })
    }

    /// Live rows, exactly.
    pub async fn count(&self, name: &NamespaceName, consistency: Consistency) -> Result<u64> {
        self.count_matching(name, None, consistency).await
    }

    /// Live rows that match, exactly.
    pub async fn count_matching(
        &self,
        name: &NamespaceName,
        filter: Option<Arc<Filter>>,
        consistency: Consistency,
    ) -> Result<u64> {
        let namespace = self.read(name, consistency).await?;
        let now = self.context.clock.now().wall;
        match filter.filter(|filter| !filter.is_everything()) {
            Some(filter) => Ok(self.searchers.matches(namespace.snapshot(), filter, now).await?.count()),
            None => Ok(namespace.state().contents.count(now)),
        }
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

    /// Counts bytes that go into the answer beside rows.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`]
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        self.taken += bytes;
        if self.taken <= self.max {
            return Ok(());
        }
        Err(Error::AnswerTooLarge { limit: "limits.answer_bytes", max: self.max })
    }

    /// The first rows, at most `limit`, and the id of the last of them if more follow.
    ///
    /// # Errors
    /// Those of the rows.
    fn page(
        mut self,
        following: Following<'_>,
        limit: usize,
        projection: Projection,
    ) -> Result<(Vec<Row>, Option<VectorId>)> {
        let mut rows: Vec<Row> = Vec::new();
        for row in following {
            let row = row?;
            if rows.len() == limit || !(self.fits(&row, projection) || rows.is_empty()) {
                let last = rows.last().map(|row| row.id.clone());
                return Ok((rows, last));
            }
            rows.push(self.copy(&row, projection));
        }
        Ok((rows, None))
    }

    fn fits(&self, row: &RowRef<'_>, projection: Projection) -> bool {
        self.taken + bytes(row, projection) <= self.max
    }

    fn copy(&mut self, row: &RowRef<'_>, projection: Projection) -> Row {
        self.taken += bytes(row, projection);
        Row {
            id: VectorId::trusted(row.id),
            vector: (projection.vectors && !row.vector.is_empty()).then(|| row.vector.to_vec()),
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
