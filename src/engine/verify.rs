//! Walking everything that a namespace stores, to say whether it is whole.

use std::sync::Arc;

use super::{
    Engine,
    context::{Context, offload},
    format::{self, Entry},
    garbage::{Listing, garbage_in},
    manifest::{Manifest, State as Life},
    namespace::{Misfit, State, corrupt, open_view, read_blob, read_manifest},
    segment::{Blob, Owner, SegmentRef, SegmentView},
};
use crate::{
    error::{Error, Result},
    storage::{Key, Part, Place, StoreErrorKind, keys},
    types::NamespaceName,
};

/// Passes of which the last is believed. What was read may be folded, merged and collected meanwhile,
/// and looks like damage then: problems count if the manifest did not change while they were found.
const PASSES: usize = 3;

/// What a walk through a namespace found.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyReport {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Segments that were read.
    pub segments: u64,
    /// Log entries that were read: those that are not folded.
    pub entries: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Live rows that they add up to.
    pub rows: u64,
    /// Objects that nothing refers to: garbage that waits for its collection.
    pub garbage_objects: u64,
    /// Their bytes.
    pub garbage_bytes: u64,
    /// Keys under the namespace's prefix that are none of ours.
    pub foreign: Vec<String>,
    /// What is wrong; empty if nothing is.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    fn of(namespace: &NamespaceName) -> Self {
        Self {
            namespace: namespace.clone(),
            segments: 0,
            entries: 0,
            bytes: 0,
            rows: 0,
            garbage_objects: 0,
            garbage_bytes: 0,
            foreign: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object's key.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Engine {
    /// Reads every object of a namespace from the store (nothing from memory) and checks it: the
    /// checksums, the numbers, the chain of hashes, the dimensions, the catalog marker.
    /// `progress` hears after each entry how many were read.
    ///
    /// # Errors
    /// Only if the store cannot be read or the namespace does not exist; damage is in the report.
    pub async fn verify(&self, name: &NamespaceName, mut progress: impl FnMut(u64)) -> Result<VerifyReport> {
        let mut passes = 1;
        loop {
            let (report, version) = self.verify_once(name, &mut progress).await?;
            let settled = report.problems.is_empty() || passes == PASSES;
            if settled || version.is_none() || version == self.manifest_version(name).await? {
                return Ok(report);
            }
            passes += 1;
        }
    }

    async fn manifest_version(&self, name: &NamespaceName) -> Result<Option<u64>> {
        match read_manifest(&self.context, name).await {
            Ok(found) => Ok(found.map(|(manifest, _)| manifest.version)),
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One pass, and the version of the manifest that it was made by.
    async fn verify_once(
        &self,
        name: &NamespaceName,
        progress: &mut impl FnMut(u64),
    ) -> Result<(VerifyReport, Option<u64>)> {
        let mut report = VerifyReport::of(name);
        let listing = Listing::of(&self.context.store, name).await?;
        let read_at = self.context.clock.now();
        let (manifest, tag) = match read_manifest(&self.context, name).await {
            Ok(Some((manifest, tag))) if manifest.state == Life::Live => (manifest, tag),
            Ok(_) => return Err(Error::NamespaceNotFound { namespace: name.to_string() }),
            Err(Error::Corrupt { object, reason }) => {
                report.problems.push(Problem { object, reason });
                return Ok((report, None));
            }
            Err(error) => return Err(error),
        };
        let version = Some(manifest.version);
        self.verify_marker(name, &mut report).await?;
        (report.garbage_objects, report.garbage_bytes) =
            garbage_in(&self.context, &listing, &manifest).await?;
        let foreign = listing.objects.iter().filter(|found| found.place == Place::Foreign);
        report.foreign = foreign.map(|found| found.key.to_string()).collect();
        let segments = self.verify_segments(name, &manifest, &mut report).await?;
        let (living, folded) = (manifest.incarnation, manifest.folded);
        let mut state = State::new(Arc::new(manifest), tag, segments, read_at);
        for (found, part) in listing.of_incarnation(living) {
            if let Part::Entry(seq) = part
                && *seq > folded
            {
                self.verify_entry(&found.key, *seq, &mut state, &mut report).await?;
                progress(report.entries);
            }
        }
        report.rows = state.contents.count(self.context.clock.now().wall);
        Ok((report, version))
    }

    async fn verify_marker(&self, name: &NamespaceName, report: &mut VerifyReport) -> Result<()> {
        let key = keys::catalog(name);
        match self.context.store.size(&key).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                let reason = "it is missing: the namespace is not listed".to_owned();
                report.problems.push(Problem { object: key.to_string(), reason });
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The segments that are whole.
    async fn verify_segments(
        &self,
        name: &NamespaceName,
        manifest: &Manifest,
        report: &mut VerifyReport,
    ) -> Result<Vec<SegmentView>> {
        let mut whole = Vec::new();
        let home = Owner { namespace: name.clone(), incarnation: manifest.incarnation };
        for reference in &manifest.segments {
            report.segments += 1;
            report.bytes += reference.bytes();
            match read_segment(&self.context, &home, reference).await {
                Ok(view) => whole.push(view),
                Err(Error::Corrupt { object, reason }) => report.problems.push(Problem { object, reason }),
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    async fn verify_entry(
        &self,
        key: &Key,
        seq: u64,
        state: &mut State,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let object = match self.context.store.get(key).await {
            Ok(object) => object.bytes,
            // Folded and collected since it was listed.
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        report.entries += 1;
        report.bytes += object.len() as u64;
        let applied = format::decode(&object)
            .and_then(|entry| in_place(seq, entry))
            .map_err(Misfit::Entry)
            .and_then(|entry| state.apply(&Arc::new(entry)));
        match applied {
            Ok(()) => {}
            Err(Misfit::Entry(reason)) => {
                report.problems.push(Problem { object: key.to_string(), reason });
            }
            // The segment is reported already.
            Err(Misfit::Other(Error::Corrupt { .. })) => {}
            Err(Misfit::Other(error)) => return Err(error),
        }
        Ok(())
    }
}

/// A segment of which every object was read and checked, and what its objects say of their parts.
async fn read_segment(context: &Context, home: &Owner, reference: &SegmentRef) -> Result<SegmentView> {
    let view = open_view(context, home, reference).await?;
    let owner = reference.owner.as_ref().unwrap_or(home);
    check_head(context, &owner.lookup_key(reference.id), &reference.lookup, &reference.head).await?;
    for index in &reference.indexes {
        if let Some(head) = &index.head {
            let key = index.owner.as_ref().unwrap_or(home).index_key(reference.id, index);
            check_head(context, &key, &index.blob, head).await?;
        }
    }
    let (segment, indexes) = (view.segment().clone(), view.indexes().clone());
    let keys: Vec<Key> = indexes
        .iter()
        .map(|index| {
            let reference = &index.reference;
            reference.owner.as_ref().unwrap_or(home).index_key(segment.reference().id, reference)
        })
        .collect();
    offload(reference.bytes(), move || {
        (0..segment.batch_count()).try_for_each(|batch| segment.batch(batch).map(drop))?;
        segment.check_head()?;
        indexes.iter().zip(keys).try_for_each(|(index, key)| {
            let corrupt = |reason| Error::Corrupt { object: key.to_string(), reason };
            index.index.check().map_err(corrupt)
        })
    })
    .await??;
    Ok(view)
}

/// Compares the head of an object with what the manifest says of it.
async fn check_head(context: &Context, key: &Key, whole: &Blob, head: &Blob) -> Result<()> {
    let bytes = read_blob(context, key, whole).await?;
    let begins = usize::try_from(head.bytes).ok().and_then(|length| bytes.get(..length)).unwrap_or_default();
    let checked = head.check(begins).map_err(|reason| format!("its head is another one: {reason}"));
    checked.map_err(|reason| corrupt(context, key, reason))
}

fn in_place(seq: u64, entry: Entry) -> Result<Entry, String> {
    if entry.header.seq == seq {
        Ok(entry)
    } else {
        Err(format!("it says that its number is {}", entry.header.seq))
    }
}
