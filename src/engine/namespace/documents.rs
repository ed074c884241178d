//! Documents: texts and metadata for rows, whether these have vectors or not.
//!
//! What a document does depends on the row of its id. One that is there keeps its vector and the time at which it
//! expires, and gets the metadata that the document makes of its own; where there is none, a row without a vector
//! begins. So this is decided, like any write that depends on what is stored, on exactly the entries before.
//!
//! Invariant: the documents of a request take effect together, one after the other, and nothing of a row changes
//! but its metadata.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use super::{
    Namespace,
    decide::{Decided, Report},
    queue::{Pending, Write},
    select::Edit,
};
use crate::{
    clock::Timestamp,
    engine::{
        contents::ByIds,
        context::offload,
        format::{Changes, Hash},
    },
    error::{Error, Result},
    types::VectorId,
};

/// What is given to a row.
pub(in crate::engine) struct Document {
    /// Its id.
    pub id: VectorId,
    /// Bytes of what is given, roughly.
    pub bytes: u64,
    /// The metadata that it has then, from what it has now.
    pub edit: Box<Edit>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A row that a document is for.
#[derive(Debug, Clone, Default)]
struct Stored {
    vector: Vec<f32>,
    metadata: Option<Arc<str>>,
    expires_at: Option<Timestamp>,
}

/// The rows of a state that documents are for.
struct Rows {
    stored: ByIds,
    now: Timestamp,
}

/// Documents of the writes of a group.
type Writes = Vec<Arc<[Document]>>;

impl Namespace {
    /// Decides what documents do; they share their group with no other writes.
    pub(super) async fn decide_documents(&self, mut group: Vec<Pending>, now: Timestamp) -> Vec<Pending> {
        let of = |pending: &Pending| match &pending.write {
            Write::Documents(documents) => Some(documents.clone()),
            _ => None,
        };
        let Some(writes) = group.iter().map(of).collect::<Option<Writes>>().filter(|all| !all.is_empty())
        else {
            return group;
        };
        let decided = self.decided_documents(writes, now).await;
        let mut admitted = Vec::with_capacity(group.len());
        match decided {
            Ok(decided) => {
                for (mut pending, decided) in group.drain(..).zip(decided) {
                    match decided {
                        Ok(decided) => {
                            pending.decided = Some(decided);
                            admitted.push(pending);
                        }
                        Err(error) => pending.answer(Err(error)),
                    }
                }
            }
            Err(error) => group.drain(..).for_each(|pending| pending.answer(Err(error.clone()))),
        }
        admitted
    }

    async fn decided_documents(&self, writes: Writes, now: Timestamp) -> Result<Vec<Result<Decided>>> {
        let (rows, on) = {
            let (state, snapshot) = self.state_and_snapshot();
            let ids = writes.iter().flat_map(|documents| documents.iter()).map(|document| &document.id);
            (Rows { stored: state.contents.by_ids(snapshot, ids), now }, state.hash)
        };
        let max = self.context.log.entry_bytes.as_u64();
        let bytes = writes.iter().flat_map(|documents| documents.iter()).map(|document| document.bytes).sum();
        offload(bytes, move || rows.decide(&writes, on, max)).await?
    }
}

impl Rows {
    /// What each write does after those before it.
    fn decide(&self, writes: &Writes, on: Hash, max: u64) -> Result<Vec<Result<Decided>>> {
        let mut seen = HashSet::new();
        let ids = writes.iter().flat_map(|documents| documents.iter()).map(|document| &document.id);
        let again: HashSet<&VectorId> = ids.filter(|id| !seen.insert(*id)).collect();
        let mut changed: HashMap<&VectorId, Stored> = HashMap::new();
        let mut decided = Vec::with_capacity(writes.len());
        for documents in writes {
            let before = changed.clone();
            let one = self.decide_one(documents, &again, &mut changed, max);
            if one.is_err() {
                // What is refused leaves nothing that those after it would see.
                changed = before;
            }
            decided.push(one.map(|changes| Decided::new(on, changes, Report::default())));
        }
        Ok(decided)
    }

    fn decide_one<'d>(
        &self,
        documents: &'d [Document],
        again: &HashSet<&VectorId>,
        changed: &mut HashMap<&'d VectorId, Stored>,
        max: u64,
    ) -> Result<Changes> {
        let mut changes = Changes::default();
        let mut bytes = 0;
        for document in documents {
            let known = changed.get(&document.id).cloned();
            let stored = known.map_or_else(|| self.find(&document.id), |known| Ok(Some(known)))?;
            let is_new = stored.is_none();
            let mut row = stored.unwrap_or_default();
            match (document.edit)(row.metadata.as_deref())? {
                Some(metadata) => row.metadata = Some(metadata),
                None if is_new => {}
                None => continue,
            }
            bytes += size_of_val(&*row.vector) as u64 + document.bytes;
            if bytes > max {
                let limit = "log.entry_bytes";
                return Err(Error::LimitExceeded { field: "documents".into(), limit, max, actual: bytes });
            }
            changes.put(document.id.clone(), &row.vector, row.metadata.clone(), row.expires_at);
            if again.contains(&document.id) {
                changed.insert(&document.id, row);
            }
        }
        Ok(changes)
    }

    fn find(&self, id: &VectorId) -> Result<Option<Stored>> {
        let row = self.stored.find(id, self.now)?;
        Ok(row.map(|row| Stored {
            vector: row.vector.to_vec(),
            metadata: row.metadata.map(Arc::from),
            expires_at: row.expires_at,
        }))
    }
}
