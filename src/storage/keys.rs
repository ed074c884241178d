//! Every object key, built here and nowhere else.
//!
//! Keys are made of checked namespace names, UUIDs, numbers and fixed words only; nothing that a
//! user can choose freely (an id above all) ever becomes part of one.
//!
//! ```text
//! catalog/<ns>                                    empty marker, so that listing needs no reads
//! namespaces/<ns>/manifest                        engine/manifest: JSON line + checksum line; CAS only
//! namespaces/<ns>/<incarnation>/log/<seq:020>     engine/format: Arrow IPC stream + trailer; put-if-absent only
//! namespaces/<ns>/<incarnation>/segments/<id>/data.arrow       engine/segment: Arrow IPC file; immutable, like the next two
//! namespaces/<ns>/<incarnation>/segments/<id>/lookup           engine/segment: sorted arrays + trailer
//! namespaces/<ns>/<incarnation>/segments/<id>/deletes-<id>        engine/segment: Roaring bitmap + trailer
//! namespaces/<ns>/<incarnation>/segments/<id>/ann.<type>-<id>     engine/index: an index over the rows of the segment; immutable
//! namespaces/<ns>/<incarnation>/leases/fold                    engine/lease: JSON line + checksum line; who folds the log; CAS only
//! namespaces/<ns>/<incarnation>/leases/merge                   the same for merges, and the segment that is written
//! namespaces/<ns>/<incarnation>/pins/<incarnation>/<ns>        empty; the incarnation whose name it ends with, a copy, shares segments of this one
//! namespaces/<ns>/garbage/<id>                    engine/garbage: JSON line + checksum line; what to remove once this is old
//! garbage/collection                              empty; its age says when garbage was last collected in the whole store
//! namespaces/<ns>/<incarnation>/indexes/<type>    bytes that a client uploaded, opaque to us
//! probe/<uuid>/…                                  scratch keys of the start-up probe, removed by it
//! probe/<uuid>/clock                              empty, to see what time the store gives it; removed at once
//! ```

use std::{fmt, sync::Arc};

use uuid::Uuid;

use crate::types::{IndexType, NamespaceName};

/// The prefix of catalog markers.
pub const CATALOG: &str = "catalog/";

/// The prefix of everything that namespaces consist of, but for their markers.
pub const NAMESPACES: &str = "namespaces/";

/// An object's key: relative to the store's root, no leading slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key, to keep in an error.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// A key that a listing returned.
    pub(in crate::storage) fn listed(key: &str) -> Self {
        Self(key.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The marker that makes a namespace appear in listings. Its value is empty.
pub fn catalog(namespace: &NamespaceName) -> Key {
    Key(format!("{CATALOG}{namespace}").into())
}

/// The one mutable object of a namespace.
pub fn manifest(namespace: &NamespaceName) -> Key {
    Key(format!("namespaces/{namespace}/manifest").into())
}

/// The prefix of everything that a namespace consists of, but for its marker.
pub fn namespace(namespace: &NamespaceName) -> String {
    format!("{NAMESPACES}{namespace}/")
}

/// A list of objects that are garbage.
pub fn mark(namespace: &NamespaceName, mark: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/garbage/{mark}").into())
}

/// The sign that garbage is being collected in the whole store. Its value is empty.
pub fn collection() -> Key {
    Key("garbage/collection".into())
}

/// The prefix of everything that an incarnation of a namespace wrote.
pub fn incarnation(namespace: &NamespaceName, incarnation: Uuid) -> String {
    format!("namespaces/{namespace}/{incarnation}/")
}

/// The log entry at `seq`.
pub fn log(namespace: &NamespaceName, incarnation: Uuid, seq: u64) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/log/{seq:020}").into())
}

/// The prefix of an incarnation's log.
pub fn logs(namespace: &NamespaceName, incarnation: Uuid) -> String {
    format!("namespaces/{namespace}/{incarnation}/log/")
}

/// The prefix of an incarnation's segments.
pub fn segments(namespace: &NamespaceName, incarnation: Uuid) -> String {
    format!("namespaces/{namespace}/{incarnation}/segments/")
}

/// The rows of a segment.
pub fn segment_data(namespace: &NamespaceName, incarnation: Uuid, segment: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/segments/{segment}/data.arrow").into())
}

/// What makes the rows of a segment findable.
pub fn segment_lookup(namespace: &NamespaceName, incarnation: Uuid, segment: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/segments/{segment}/lookup").into())
}

/// The rows of a segment that died up to an entry of the log.
pub fn segment_deletes(namespace: &NamespaceName, incarnation: Uuid, segment: Uuid, deletes: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/segments/{segment}/deletes-{deletes}").into())
}

/// An index over the rows of a segment.
pub fn segment_index(
    namespace: &NamespaceName,
    incarnation: Uuid,
    segment: Uuid,
    index_type: IndexType,
    index: Uuid,
) -> Key {
    let name = index_type.as_str();
    Key(format!("namespaces/{namespace}/{incarnation}/segments/{segment}/ann.{name}-{index}").into())
}

/// Who folds the log of an incarnation.
pub fn fold_lease(namespace: &NamespaceName, incarnation: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/leases/fold").into())
}

/// Who merges segments of an incarnation.
pub fn merge_lease(namespace: &NamespaceName, incarnation: Uuid) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/leases/merge").into())
}

/// The prefix of the signs that copies share segments of an incarnation.
pub fn pins(namespace: &NamespaceName, incarnation: Uuid) -> String {
    format!("namespaces/{namespace}/{incarnation}/pins/")
}

/// The sign that an incarnation of `copy` shares segments. Its value is empty.
pub fn pin(
    namespace: &NamespaceName,
    incarnation: Uuid,
    copy: &NamespaceName,
    copy_incarnation: Uuid,
) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/pins/{copy_incarnation}/{copy}").into())
}

/// The prefix of uploaded index blobs.
pub fn index_blobs(namespace: &NamespaceName, incarnation: Uuid) -> String {
    format!("namespaces/{namespace}/{incarnation}/indexes/")
}

/// Index bytes that a client uploaded.
pub fn index_blob(namespace: &NamespaceName, incarnation: Uuid, index: IndexType) -> Key {
    Key(format!("namespaces/{namespace}/{incarnation}/indexes/{}", index.as_str()).into())
}

/// A scratch key of the start-up probe, or of a conformance test.
pub fn probe(run: Uuid, name: &str) -> Key {
    Key(format!("probe/{run}/{name}").into())
}

/// The scratch object whose time of writing tells the store's clock. Its value is empty.
pub fn clock(run: Uuid) -> Key {
    probe(run, "clock")
}
