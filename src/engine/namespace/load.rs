//! From nothing to a loaded namespace: the manifest, the segments, then the log.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use bytes::Bytes;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    Namespace,
    following::{Ahead, Stop},
    lease::Leases,
    manifests::corrupt,
    manifests::read_manifest,
    queue::Queue,
    refresh::Refresh,
    state::State,
};
use crate::{
    clock::Instant,
    engine::{
        context::Context,
        index::{Content, Reader},
        manifest::{Manifest, State as Life},
        segment::{Blob, IndexRef, Owner, Segment, SegmentIndex, SegmentRef, SegmentView, decode_deletes},
    },
    error::{Error, Result},
    storage::{Key, Tag},
    types::NamespaceName,
};

/// How often a load starts over because the segments it wanted were collected meanwhile.
const MAX_ROUNDS: usize = 4;

/// A manifest that was read, of a namespace that lives.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Base {
    pub manifest: Arc<Manifest>,
    pub tag: Tag,
    /// When reading it began.
    pub read_at: Instant,
}

impl Base {
    /// Reads the manifest that stands now; none if the namespace does not live.
    pub async fn read(context: &Context, name: &NamespaceName) -> Result<Option<Self>> {
        let read_at = context.clock.now();
        let found = read_manifest(context, name).await?;
        let lives = found.filter(|(manifest, _)| manifest.state == Life::Live);
        Ok(lives.map(|(manifest, tag)| Self { manifest: Arc::new(manifest), tag, read_at }))
    }

    /// The incarnation whose manifest it is.
    pub fn home(&self, name: &NamespaceName) -> Owner {
        Owner { namespace: name.clone(), incarnation: self.manifest.incarnation }
    }
}

/// Segments that are open already, by their ids.
pub(super) type Opened = HashMap<Uuid, SegmentView>;

impl Namespace {
    /// Reads the namespace as it is now: every write acknowledged before this call is in it.
    /// Its log may turn out to be sealed. `base` is the manifest, if it was just read.
    pub async fn load(context: Arc<Context>, name: NamespaceName, base: Option<Base>) -> Result<Arc<Self>> {
        let not_found = || Error::NamespaceNotFound { namespace: name.to_string() };
        let (state, ahead) = load_base(&context, &name, &Opened::new(), base).await?.ok_or_else(not_found)?;
        context.metrics.log.namespaces_loaded.inc();
        let namespace = Arc::new(Self {
            incarnation: state.manifest.incarnation,
            state: RwLock::new(state),
            refresh: Refresh::default(),
            queue: Mutex::new(Queue::default()),
            compacting: tokio::sync::Mutex::default(),
            leases: Leases::default(),
            merging: tokio::sync::Mutex::default(),
            folds: AtomicBool::new(false),
            merges: AtomicBool::new(false),
            held: AtomicU64::new(0),
            name,
            context,
        });
        if let Err(error) = namespace.catch_up_with(ahead).await
            && !matches!(error, Error::Corrupt { .. } | Error::NamespaceNotFound { .. })
        {
            return Err(error);
        }
        namespace.maintain_if_due();
        // A damaged log is loaded up to the damage: the namespace is read-only from there.
        Ok(namespace)
    }

    /// Puts the state on the newest manifest: opens its segments, reads the log after its fold up
    /// to where the present state is at least, and replaces that.
    pub(super) async fn rebase(&self) -> Result<()> {
        while !self.try_rebase().await? {}
        self.account();
        Ok(())
    }

    /// Returns false if the manifest moved on while the log was read.
    async fn try_rebase(&self) -> Result<bool> {
        let opened = self.opened_segments();
        let base = load_base(&self.context, &self.name, &opened, None).await?;
        let alive = base.filter(|(state, _)| state.manifest.incarnation == self.incarnation);
        let Some((mut newer, mut ahead)) = alive else {
            self.state_mut().lapsed = true;
            return Ok(true);
        };
        loop {
            let reading = RwLock::new(newer);
            let stopped = self.read_on(&reading, std::mem::take(&mut ahead)).await?;
            newer = reading.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            if stopped == Stop::Folded || newer.behind {
                return Ok(false);
            }
            match self.state_mut().succeed(newer) {
                Ok(()) => return Ok(true),
                // Entries were written meanwhile.
                Err(behind) => newer = *behind,
            }
        }
    }

    /// Opens a segment of this namespace.
    pub(super) async fn open_segment(&self, reference: &SegmentRef) -> Result<Segment> {
        open_segment(&self.context, &self.home(), reference).await
    }

    fn opened_segments(&self) -> Opened {
        let state = self.state();
        let segments = state.contents.segments().iter();
        segments.map(|view| (view.segment().reference().id, view.clone())).collect()
    }
}

/// The state at the fold of the manifest that stands now, and what the log holds after that; `None`
/// if the namespace does not live. `base` is that manifest, if it was just read.
async fn load_base(
    context: &Context,
    name: &NamespaceName,
    opened: &Opened,
    mut base: Option<Base>,
) -> Result<Option<(State, Ahead)>> {
    let mut rounds = 0;
    loop {
        let read = match base.take() {
            Some(base) => Some(base),
            None => Base::read(context, name).await?,
        };
        let Some(base) = read else { return Ok(None) };
        rounds += 1;
        let (home, manifest) = (base.home(name), base.manifest.clone());
        let segments = open_views(context, &home, &manifest, opened);
        let ahead = Ahead::list(context, &home, manifest.folded);
        match futures::future::try_join(segments, ahead).await {
            Ok((segments, ahead)) => {
                return Ok(Some((State::new(manifest, base.tag, segments, base.read_at), ahead)));
            }
            // Rule 10: what a manifest refers to is only collected long after a newer one stands.
            Err(Error::Corrupt { .. }) if rounds < MAX_ROUNDS && moved(context, name, &manifest).await? => {}
            Err(error) => return Err(error),
        }
    }
}

pub(in crate::engine) async fn moved(
    context: &Context,
    name: &NamespaceName,
    manifest: &Manifest,
) -> Result<bool> {
    Ok(read_manifest(context, name).await?.is_none_or(|(newest, _)| newest.version != manifest.version))
}

/// The segments of a manifest, with the rows that it knows to be live.
pub(super) async fn open_views(
    context: &Context,
    home: &Owner,
    manifest: &Manifest,
    opened: &Opened,
) -> Result<Vec<SegmentView>> {
    let views = manifest.segments.iter().map(async |reference| match opened.get(&reference.id) {
        Some(view) => {
            let (deletes, found) = futures::future::try_join(
                read_deletes(context, home, reference),
                read_indexes(context, home, reference, view.indexes()),
            )
            .await?;
            let indexes = open_indexes(context, view.segment(), found)?;
            Ok(SegmentView::new(view.segment().clone(), &deletes).with_indexes(indexes))
        }
        None => open_view(context, home, reference).await,
    });
    futures::future::try_join_all(views).await
}

/// Opens a segment from the store, with the rows that the manifest knows to be live.
pub(in crate::engine) async fn open_view(
    context: &Context,
    home: &Owner,
    reference: &SegmentRef,
) -> Result<SegmentView> {
    let (segment, deletes, found) = futures::future::try_join3(
        open_segment(context, home, reference),
        read_deletes(context, home, reference),
        read_indexes(context, home, reference, &[]),
    )
    .await?;
    let indexes = open_indexes(context, &segment, found)?;
    Ok(SegmentView::new(Arc::new(segment), &deletes).with_indexes(indexes))
}

/// An index over a segment: open already, or its bytes.
enum Found {
    Open(SegmentIndex),
    Content(IndexRef, Key, Content),
}

async fn read_indexes(
    context: &Context,
    home: &Owner,
    reference: &SegmentRef,
    opened: &[SegmentIndex],
) -> Result<Vec<Found>> {
    let indexes = reference.indexes.iter().map(async |index| {
        if let Some(open) = opened.iter().find(|open| open.reference.id == index.id) {
            return Ok(Found::Open(open.clone()));
        }
        let (key, content) = read_index(context, home, reference, index).await?;
        Ok(Found::Content(index.clone(), key, content))
    });
    futures::future::try_join_all(indexes).await
}

/// The object of an index of a segment, and its content.
pub(super) async fn read_index(
    context: &Context,
    home: &Owner,
    segment: &SegmentRef,
    index: &IndexRef,
) -> Result<(Key, Content)> {
    let key = index.owner.as_ref().unwrap_or(home).index_key(segment.id, index);
    let bytes = read_blob(context, &key, &index.blob).await?;
    let watch = context.cache.watch(&bytes);
    let reader = watch.map(|watch| -> Reader { Arc::new(move |part| watch.touched(part)) });
    Ok((key, Content::new(bytes, reader)))
}

fn open_indexes(context: &Context, segment: &Segment, found: Vec<Found>) -> Result<Vec<SegmentIndex>> {
    let open = |found| match found {
        Found::Open(index) => Ok(index),
        Found::Content(reference, key, content) => {
            SegmentIndex::open(reference, segment, key.as_str(), content)
                .map_err(|error| judged(context, &key, error))
        }
    };
    found.into_iter().map(open).collect()
}

/// Opens a segment from the store.
pub(super) async fn open_segment(context: &Context, home: &Owner, reference: &SegmentRef) -> Result<Segment> {
    let owner = reference.owner.as_ref().unwrap_or(home);
    let (data, lookup) = (owner.data_key(reference.id), owner.lookup_key(reference.id));
    let (rows, index) = futures::future::try_join(
        read_blob(context, &data, &reference.data),
        read_blob(context, &lookup, &reference.lookup),
    )
    .await?;
    let cache = Some(&context.cache);
    Segment::open(reference.clone(), cache, (data.as_str(), rows), (lookup.as_str(), &index))
}

pub(in crate::engine) async fn read_deletes(
    context: &Context,
    home: &Owner,
    reference: &SegmentRef,
) -> Result<RoaringBitmap> {
    let Some(deletes) = &reference.deletes else {
        return Ok(RoaringBitmap::new());
    };
    let key = deletes.owner.as_ref().unwrap_or(home).deletes_key(reference.id, deletes.id);
    let bytes = read_once(context, &key, &deletes.blob).await?;
    let rows = decode_deletes(&bytes, reference.rows).map_err(|reason| corrupt(context, &key, reason))?;
    if rows.len() == deletes.rows {
        return Ok(rows);
    }
    let reason = format!("it has {} rows, the manifest says {}", rows.len(), deletes.rows);
    Err(corrupt(context, &key, reason))
}

/// The bytes of an object of a segment, held by the cache.
pub(in crate::engine) async fn read_blob(context: &Context, key: &Key, blob: &Blob) -> Result<Bytes> {
    let bytes = context.cache.whole(&context.store, key, blob.bytes, blob.xxh3_128).await;
    bytes.map_err(|error| judged(context, key, error.into()))
}

/// The bytes with which an object begins, held by the cache.
pub(in crate::engine) async fn read_head(context: &Context, key: &Key, head: &Blob) -> Result<Bytes> {
    let bytes = context.cache.head(&context.store, key, head.bytes, head.xxh3_128).await;
    bytes.map_err(|error| judged(context, key, error.into()))
}

/// The bytes of a small object that is read once, checked.
async fn read_once(context: &Context, key: &Key, blob: &Blob) -> Result<Bytes> {
    let bytes = context.store.get(key).await.map_err(|error| judged(context, key, error.into()))?.bytes;
    blob.check(&bytes).map_err(|reason| corrupt(context, key, reason))?;
    Ok(bytes)
}

/// The same error; damage is counted and logged.
pub(in crate::engine) fn judged(context: &Context, key: &Key, error: Error) -> Error {
    match error {
        Error::Corrupt { reason, .. } => corrupt(context, key, reason),
        other => other,
    }
}
