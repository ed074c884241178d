//! Objects of a namespace as a source of rows. What is no good row is a finding, and reading goes on.
//!
//! Invariant: each object becomes a row or a finding. An id that several objects hold belongs to the
//! one that is named after it, else to the first in key order; the others are findings.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    super::source::{ReadError, RowSource},
    SharedFindings, locked, row,
    walk::Fetched,
};
use crate::{config::LimitsConfig, service::RowsBuilder, storage::ForeignKey};

/// Rows of one namespace, in key order.
pub(super) struct ClassicRows {
    pub objects: mpsc::Receiver<Fetched>,
    pub findings: SharedFindings,
    pub limits: Arc<LimitsConfig>,
    /// The prefix of its vectors' keys.
    pub prefix: String,
    /// What its meta.json says, else what the first good row has.
    pub dimension: Option<usize>,
    /// Vectors that its meta.json counts.
    pub counted: Option<u64>,
    pub done: u64,
    pub ids: Ids,
}

/// Ids that were met, as hashes: 16 bytes each.
#[derive(Default)]
pub(super) struct Ids {
    all: HashSet<u128>,
    /// Of these the ones whose object is named otherwise.
    misnamed: HashMap<u128, ForeignKey>,
}

impl RowSource for ClassicRows {
    fn next_row(&mut self, rows: &mut RowsBuilder<'_>) -> Result<Option<u64>, ReadError> {
        loop {
            let (key, content) = match self.objects.blocking_recv() {
                None => return Ok(None),
                Some(Fetched::Broken(error)) => return Err(ReadError::File(error)),
                Some(Fetched::Object { key, content }) => (key, content),
            };
            self.done += 1;
            match content.and_then(|content| self.take(&key, &content)) {
                Err(reason) => locked(&self.findings).bad(key.as_str(), &reason),
                Ok(row) => {
                    rows.begin_row()?;
                    rows.push_values(row.vector(0))?;
                    let metadata = row.metadata[0].clone();
                    let bytes = row.vector(0).len() * 4 + metadata.as_deref().map_or(0, str::len);
                    rows.end_row(row.ids[0].as_str(), metadata, None)?;
                    return Ok(Some(bytes as u64));
                }
            }
        }
    }

    fn place(&self) -> String {
        format!("{}, after {} objects", self.prefix, self.done)
    }

    fn position(&self) -> u64 {
        self.done
    }

    fn total(&self) -> u64 {
        self.counted.unwrap_or(0)
    }
}

impl ClassicRows {
    /// The row that an object holds, or why it is not imported.
    fn take(&mut self, key: &ForeignKey, content: &[u8]) -> Result<crate::types::Rows, String> {
        let row::Row { row, ignored } = row::parse(content, &self.limits)?;
        let expected = *self.dimension.get_or_insert(row.dimension);
        if row.dimension != expected {
            return Err(format!("values: the dimension is {}, but {expected} was expected", row.dimension));
        }
        let id = row.ids[0].as_str();
        let name = key.as_str().strip_prefix(&self.prefix).and_then(|name| name.strip_suffix(".json"));
        if let Some(replaced) = self.ids.take(id, key, name == Some(id))? {
            let reason = format!("has the id of {key}, which is named after it");
            locked(&self.findings).bad(replaced.as_str(), &reason);
        }
        if !ignored.is_empty() {
            let mut findings = locked(&self.findings);
            ignored.into_iter().for_each(|field| findings.ignored(field));
        }
        Ok(row)
    }
}

impl Ids {
    /// Takes note of an id. Returns the object before it that held the same id and has to yield;
    /// fails if this one has to.
    fn take(&mut self, id: &str, key: &ForeignKey, is_namesake: bool) -> Result<Option<ForeignKey>, String> {
        let hash = xxh3_128(id.as_bytes());
        let is_new = self.all.insert(hash);
        if !is_new && !is_namesake {
            return Err(format!("has the id {id:?}, which an object before it has too"));
        }
        if is_namesake {
            return Ok(self.misnamed.remove(&hash));
        }
        self.misnamed.insert(hash, key.clone());
        Ok(None)
    }
}
