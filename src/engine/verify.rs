//! Walking everything that a namespace stores, to say whether it is whole.

use std::sync::Arc;

use super::{
    Engine,
    context::{Context, offload},
    format::{self, Entry},
    manifest::{Manifest, State as Life},
    namespace::{Misfit, State, open_view, read_manifest},
    segment::{Owner, SegmentRef, SegmentView},
};
use crate::{
    error::{Error, Result},
    storage::{Listed, StoreErrorKind, keys},
    types::NamespaceName,
};

/// Objects that one listing request returns.
const LIST_PAGE: usize = 1000;

/// What a walk through a namespace found.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyReport {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Log entries that were read.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Live rows that they add up to.
    pub rows: u64,
    /// What is wrong; empty if nothing is.
    pub problems: Vec<Problem>,
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
        let mut report =
            VerifyReport { namespace: name.clone(), entries: 0, bytes: 0, rows: 0, problems: Vec::new() };
        let read_at = self.context.clock.now();
        let (manifest, tag) = match read_manifest(&self.context, name).await {
            Ok(Some((manifest, tag))) if manifest.state == Life::Live => (manifest, tag),
            Ok(_) => return Err(Error::NamespaceNotFound { namespace: name.to_string() }),
            Err(Error::Corrupt { object, reason }) => {
                report.problems.push(Problem { object, reason });
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        self.verify_marker(name, &mut report).await?;
        let prefix = format!("{}log/", keys::incarnation(name, manifest.incarnation));
        let segments = self.verify_segments(name, &manifest, &mut report).await?;
        let mut state = State::new(Arc::new(manifest), tag, segments, read_at);
        let mut after: Option<String> = None;
        loop {
            let page = self.context.store.list(&prefix, after.as_deref(), LIST_PAGE).await?;
            for listed in &page {
                self.verify_entry(listed, &mut state, &mut report).await?;
                progress(report.entries);
            }
            match page.last() {
                Some(last) if page.len() == LIST_PAGE => after = Some(last.key.as_str().to_owned()),
                _ => break,
            }
        }
        report.rows = state.contents.count(self.context.clock.now().wall);
        Ok(report)
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
        listed: &Listed,
        state: &mut State,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let object = match self.context.store.get(&listed.key).await {
            Ok(object) => object.bytes,
            Err(error) => return Err(error.into()),
        };
        report.entries += 1;
        report.bytes += object.len() as u64;
        let applied = format::decode(&object)
            .and_then(|entry| in_place(listed, entry))
            .map_err(Misfit::Entry)
            .and_then(|entry| state.apply(&Arc::new(entry)));
        match applied {
            Ok(()) => {}
            Err(Misfit::Entry(reason)) => {
                report.problems.push(Problem { object: listed.key.to_string(), reason });
            }
            // The segment is reported already.
            Err(Misfit::Other(Error::Corrupt { .. })) => {}
            Err(Misfit::Other(error)) => return Err(error),
        }
        Ok(())
    }
}

/// A segment of which every object was read and checked.
async fn read_segment(context: &Context, home: &Owner, reference: &SegmentRef) -> Result<SegmentView> {
    let view = open_view(context, home, reference).await?;
    let segment = view.segment().clone();
    offload(reference.bytes(), move || (0..segment.batch_count()).try_for_each(|batch| segment.batch(batch).map(drop)))
        .await??;
    Ok(view)
}

fn in_place(listed: &Listed, entry: Entry) -> Result<Entry, String> {
    let name = format!("{:020}", entry.header.seq);
    if listed.key.as_str().ends_with(&name) {
        Ok(entry)
    } else {
        Err(format!("it says that its number is {}", entry.header.seq))
    }
}
