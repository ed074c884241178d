//! Documents: texts and metadata for rows, whether these have vectors or not.
//!
//! What a document does depends on the row of its id. One that is there keeps its vector and the time at which it
//! expires, and gets the metadata that the document makes of its own; where there is none, a row without a vector
//! begins. So this is decided, like any write that depends on what is stored, on exactly the entries before.
//!
//! Invariants: the documents of a request take effect together, one after the other, and nothing of a row changes
//! but its metadata; an entry of documents has no more bytes than `log.entry_bytes`, counting what the rows hold
//! already, or than a single request may always make.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Namespace,
    decide::{Decided, METADATA_BYTES, Report},
    queue::{Pending, Write},
};
use crate::{
    clock::Timestamp,
    engine::{
        TextDocument,
        contents::ByIds,
        context::offload,
        format::{Changes, Hash},
    },
    error::{Error, Result},
    types::VectorId,
};

/// The bound of an entry, by its name.
const ENTRY_BYTES: &str = "log.entry_bytes";
/// So much a single request may always make of the rows.
const LEAST_BOUND: u64 = 1 << 20;

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
    /// The first field of the index over texts.
    field: String,
}

/// What documents of writes do after those before them.
struct Deciding<'d> {
    rows: &'d Rows,
    /// Ids that come several times.
    again: HashSet<&'d VectorId>,
    /// What the writes so far leave of the rows of these ids.
    changed: HashMap<&'d VectorId, Stored>,
    /// Bytes of the entry so far, and at most.
    bytes: u64,
    max: u64,
}

/// Documents of the writes of a group.
type Writes = Vec<Arc<[TextDocument]>>;

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
        let decided = match self.decided_documents(writes, now).await {
            Ok(decided) => decided,
            Err(error) => {
                group.into_iter().for_each(|pending| pending.answer(Err(error.clone())));
                return Vec::new();
            }
        };
        // What does not fit into the entry beside the others goes into the next.
        self.put_back(group.split_off(decided.len()));
        let mut admitted = Vec::with_capacity(group.len());
        for (mut pending, decided) in group.into_iter().zip(decided) {
            match decided {
                Ok(decided) => {
                    pending.decided = Some(decided);
                    admitted.push(pending);
                }
                Err(error) => pending.answer(Err(error)),
            }
        }
        admitted
    }

    /// What each write does, of as many as fit into an entry; at least one.
    async fn decided_documents(&self, writes: Writes, now: Timestamp) -> Result<Vec<Result<Decided>>> {
        let field = self.text_params()?.fields.first().cloned().unwrap_or_default();
        let all = || writes.iter().flat_map(|documents| documents.iter());
        let (rows, on) = {
            let (state, snapshot) = self.state_and_snapshot();
            let stored = state.contents.by_ids(snapshot, all().map(|document| &document.id));
            (Rows { stored, now, field }, state.hash)
        };
        let max = self.context.log.entry_bytes.as_u64();
        let bytes = all().map(|document| document.bytes + METADATA_BYTES).sum();
        offload(bytes, move || rows.decide(&writes, on, max)).await
    }
}

impl Rows {
    fn decide(&self, writes: &Writes, on: Hash, max: u64) -> Vec<Result<Decided>> {
        let mut seen = HashSet::new();
        let ids = writes.iter().flat_map(|documents| documents.iter()).map(|document| &document.id);
        let again = ids.filter(|id| !seen.insert(*id)).collect();
        let mut deciding = Deciding { rows: self, again, changed: HashMap::new(), bytes: 0, max };
        let mut decided = Vec::with_capacity(writes.len());
        for documents in writes {
            match deciding.decide(documents) {
                Err(Error::LimitExceeded { limit: ENTRY_BYTES, .. }) if deciding.bytes > 0 => break,
                one => decided.push(one.map(|changes| Decided::new(on, changes, Report::default()))),
            }
        }
        decided
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

impl<'d> Deciding<'d> {
    /// The changes of a write. One that is refused leaves nothing that those after it would see.
    fn decide(&mut self, documents: &'d [TextDocument]) -> Result<Changes> {
        let (mut changes, mut bytes) = (Changes::default(), self.bytes);
        let mut own: HashMap<&VectorId, Stored> = HashMap::new();
        for document in documents {
            let known = own.get(&document.id).or_else(|| self.changed.get(&document.id)).cloned();
            let stored = known.map_or_else(|| self.rows.find(&document.id), |known| Ok(Some(known)))?;
            let is_new = stored.is_none();
            let mut row = stored.unwrap_or_default();
            match (document.edit)(&self.rows.field, row.metadata.as_deref())? {
                Some(metadata) => row.metadata = Some(metadata),
                None if is_new => {}
                None => continue,
            }
            let metadata = row.metadata.as_deref().map_or(0, str::len);
            bytes += (document.id.as_str().len() + 16 + size_of_val(&*row.vector) + metadata) as u64;
            // The first request of an entry has it alone, if need be.
            let max = if self.bytes == 0 { self.max.max(LEAST_BOUND) } else { self.max };
            if bytes > max {
                let field = "documents".into();
                return Err(Error::LimitExceeded { field, limit: ENTRY_BYTES, max, actual: bytes });
            }
            changes.put(document.id.clone(), &row.vector, row.metadata.clone(), row.expires_at);
            if self.again.contains(&document.id) {
                own.insert(&document.id, row);
            }
        }
        self.changed.extend(own);
        self.bytes = bytes;
        Ok(changes)
    }
}
