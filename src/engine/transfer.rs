//! A namespace as it is now, written whole to another store (or under another name): backup and
//! restore.
//!
//! What arrives is a namespace like any other, so a backup can be served, verified and read with
//! Arrow's tools. Segments are copied as they are and checked on the way; rows of the log become a
//! segment. Nothing is visible before the last step, which makes a manifest name them.
//!
//! Both sides are safe from garbage collection meanwhile: a pin, renewed while the work goes on, says
//! that a copy is being made (`garbage/pins.rs`). It is left to grow old, since a collection that is
//! under way may have read the manifest before it named anything.

use bytes::Bytes;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use super::{
    Consistency, Engine,
    context::offload,
    copy::owners,
    garbage::pin_key,
    lifecycle::exists,
    manifest::Manifest,
    namespace::{Frozen, corrupt, encode_tail, read_manifest},
    segment::{Blob, Deletes, Owner, SegmentRef, encode_deletes},
};
use crate::{
    clock::Instant,
    error::{Error, Result},
    storage::{Key, keys},
    types::{IndexType, NamespaceName},
};

/// Bytes that are read and written at once.
const PART: u64 = 8 << 20;
/// How often the source is read anew because others compacted it.
const MAX_ROUNDS: usize = 8;

/// What was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Live rows.
    pub rows: u64,
    /// Bytes of objects that were written.
    pub bytes: u64,
}

impl Engine {
    /// Writes the namespace `from` of this store, as it is now, to another store as `to`, uploaded
    /// indexes included. `progress` hears how many bytes were written and how many there are in all.
    ///
    /// # Errors
    /// [`Error::NamespaceExists`] if `to` exists there. Nothing is visible there after an error, unless it came
    /// while uploaded indexes were copied, which is last: then `to` exists, and lacks some of them.
    pub async fn transfer(
        &self,
        from: &NamespaceName,
        target: &Engine,
        to: &NamespaceName,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Transferred> {
        target.check_absent(to).await?;
        let home = Owner { namespace: to.clone(), incarnation: target.context.random.uuid() };
        let mut pins = vec![Pin::new(target, home.clone())];
        pins[0].renew().await?;
        let (frozen, sources) = self.freeze(from).await?;
        pins.extend(sources);
        let blobs = self.list_index_blobs(from).await?;
        let total = frozen.base.segments.iter().map(SegmentRef::bytes).sum::<u64>()
            + frozen.tail_bytes
            + blobs.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let mut carrier =
            Carrier { source: self, target, home: &home, pins, done: 0, total, progress: &mut progress };
        let origin = Owner { namespace: from.clone(), incarnation: frozen.base.incarnation };
        let mut segments = Vec::new();
        for view in frozen.snapshot.segments.iter().filter(|view| view.live_rows() > 0) {
            let id = view.segment().reference().id;
            let reference = frozen.base.segments.iter().find(|known| known.id == id);
            let reference = reference.ok_or_else(|| Error::internal("a segment that no manifest names"))?;
            segments.push(carrier.segment(&origin, reference, &view.deletes()).await?);
        }
        for with_vectors in [true, false] {
            segments.extend(carrier.tail(&frozen, with_vectors).await?);
        }
        let rows = segments.iter().map(SegmentRef::live).sum();
        carrier.publish(&frozen, segments).await?;
        for (index, bytes) in blobs {
            carrier.blob(&origin, index, bytes).await?;
        }
        Ok(Transferred { rows, bytes: carrier.done })
    }

    /// The namespace as it is now, and pins that keep what it refers to. A store that may only be read
    /// gets none: then a transfer has to end within the grace time.
    async fn freeze(&self, name: &NamespaceName) -> Result<(Frozen, Vec<Pin<'_>>)> {
        let mut pins: Vec<Pin<'_>> = Vec::new();
        let mut read_only = false;
        for _ in 0..MAX_ROUNDS {
            let frozen = self.read(name, Consistency::Strong).await?.freeze().await?;
            let missing = owners(&frozen.base, name).into_iter();
            let missing: Vec<_> =
                missing.filter(|owner| !pins.iter().any(|pin| pin.owner == *owner)).collect();
            if missing.is_empty() || read_only {
                return Ok((frozen, pins));
            }
            for owner in missing {
                let mut pin = Pin::new(self, owner);
                match pin.renew().await {
                    Ok(()) => pins.push(pin),
                    Err(Error::StoreRefused { reason }) => {
                        tracing::warn!(%reason, "no pin can be left in the source; what it compacts away meanwhile may be missed");
                        read_only = true;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(changed_too_often(name))
    }
}

fn changed_too_often(name: &NamespaceName) -> Error {
    Error::Unavailable {
        reason: format!("namespace {:?} changed too often, or the store was too slow", name.as_str()),
        retry_after: std::time::Duration::from_secs(1),
    }
}

/// The sign that what an incarnation wrote is needed, although no manifest says so.
struct Pin<'a> {
    engine: &'a Engine,
    owner: Owner,
    key: Key,
    renewed: Option<Instant>,
}

impl<'a> Pin<'a> {
    /// A pin in the name of an incarnation that there will never be.
    fn new(engine: &'a Engine, owner: Owner) -> Self {
        let key = pin_key(&owner, &owner.namespace, engine.context.random.uuid());
        Self { engine, owner, key, renewed: None }
    }

    fn age(&self) -> std::time::Duration {
        let now = self.engine.context.clock.now();
        self.renewed.map_or(std::time::Duration::MAX, |renewed| renewed.age(now))
    }

    async fn renew(&mut self) -> Result<()> {
        let began = self.engine.context.clock.now();
        self.engine.context.store.put(&self.key, Bytes::new()).await?;
        self.renewed = Some(began);
        Ok(())
    }

    async fn renew_if_old(&mut self) -> Result<()> {
        if self.age() > self.engine.context.garbage.grace / 4 { self.renew().await } else { Ok(()) }
    }
}

/// What carries objects from one store to the other.
struct Carrier<'a, P> {
    source: &'a Engine,
    target: &'a Engine,
    home: &'a Owner,
    /// The first one is the target's.
    pins: Vec<Pin<'a>>,
    done: u64,
    total: u64,
    progress: &'a mut P,
}

impl<P: FnMut(u64, u64)> Carrier<'_, P> {
    async fn segment(
        &mut self,
        origin: &Owner,
        reference: &SegmentRef,
        dead: &roaring::RoaringBitmap,
    ) -> Result<SegmentRef> {
        let owner = reference.owner.as_ref().unwrap_or(origin);
        let id = reference.id;
        self.object(
            &owner.data_key(id),
            &self.home.data_key(id),
            reference.data.bytes,
            Some(&reference.data),
        )
        .await?;
        let lookup = &reference.lookup;
        self.object(&owner.lookup_key(id), &self.home.lookup_key(id), lookup.bytes, Some(lookup)).await?;
        let mut indexes = reference.indexes.clone();
        for index in &mut indexes {
            let from = index.owner.take().unwrap_or_else(|| origin.clone()).index_key(id, index);
            let to = self.home.index_key(id, index);
            self.object(&from, &to, index.blob.bytes, Some(&index.blob)).await?;
        }
        let deletes = if dead.is_empty() { None } else { Some(self.deletes(id, dead).await?) };
        Ok(SegmentRef { deletes, indexes, owner: None, ..reference.clone() })
    }

    async fn deletes(&mut self, segment: Uuid, rows: &roaring::RoaringBitmap) -> Result<Deletes> {
        let bytes = encode_deletes(rows).map_err(Error::internal)?;
        let id = self.target.context.random.uuid();
        let deletes = Deletes { id, seq: 0, rows: rows.len(), blob: Blob::of(&bytes), owner: None };
        self.put(&self.home.deletes_key(segment, id), bytes).await?;
        Ok(deletes)
    }

    /// The rows of the log that have vectors, or those that have none, as a segment.
    async fn tail(&mut self, frozen: &Frozen, with_vectors: bool) -> Result<Option<SegmentRef>> {
        let (snapshot, now) = (frozen.snapshot.clone(), frozen.updated_at);
        let encoded = offload(frozen.tail_bytes, move || encode_tail(&snapshot, with_vectors, now)).await?;
        let Some((data, written)) = encoded.map_err(Error::internal)? else {
            return Ok(None);
        };
        let reference = written.reference(self.target.context.random.uuid());
        self.put(&self.home.data_key(reference.id), data).await?;
        self.put(&self.home.lookup_key(reference.id), written.lookup).await?;
        Ok(Some(reference))
    }

    async fn put(&mut self, key: &Key, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        let mut upload = self.target.context.store.upload(key);
        upload.write(bytes).await?;
        upload.finish().await?;
        self.advance(length).await
    }

    /// Copies an object, and makes sure that it is whole before it can be seen.
    async fn object(&mut self, from: &Key, to: &Key, length: u64, expected: Option<&Blob>) -> Result<()> {
        let mut upload = self.target.context.store.upload(to);
        let mut hasher = Xxh3::new();
        for start in (0..length).step_by(PART as usize) {
            let range = start..(start + PART).min(length);
            let part = self.source.context.store.get_range(from, range).await?;
            hasher.update(&part);
            let bytes = part.len() as u64;
            upload.write(part).await?;
            self.advance(bytes).await?;
        }
        if let Some(expected) = expected
            && hasher.digest128() != expected.xxh3_128
        {
            let reason = "its content does not match the hash in the manifest".to_owned();
            return Err(corrupt(&self.source.context, from, reason));
        }
        Ok(upload.finish().await?)
    }

    async fn advance(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        (self.progress)(self.done, self.total.max(self.done));
        for pin in &mut self.pins {
            pin.renew_if_old().await?;
        }
        Ok(())
    }

    /// Makes everything visible that was carried.
    async fn publish(&mut self, frozen: &Frozen, segments: Vec<SegmentRef>) -> Result<()> {
        let context = &self.target.context;
        let name = &self.home.namespace;
        self.target.check_absent(name).await?;
        let (previous, tag) = read_manifest(context, name).await?.unzip();
        let config =
            crate::engine::manifest::NamespaceConfig { dimension: frozen.dimension, ..frozen.base.config };
        let created =
            Manifest::create(previous.as_ref(), config, frozen.base.created_at, || context.random.uuid());
        let incarnation = self.home.incarnation;
        let manifest = Manifest { incarnation, segments, folded_at: Some(frozen.updated_at), ..created };
        if self.pins[0].age() > context.garbage.grace / 2 {
            self.pins[0].renew().await?;
        }
        if !self.target.publish(name, tag.as_ref(), &manifest).await? {
            return Err(exists(name));
        }
        // A store that took that long to answer may have let go of what was written.
        if self.pins[0].age() > context.garbage.grace {
            self.target.delete_namespace(name).await?;
            return Err(changed_too_often(name));
        }
        Ok(())
    }

    async fn blob(&mut self, origin: &Owner, index: IndexType, bytes: u64) -> Result<()> {
        let from = keys::index_blob(&origin.namespace, origin.incarnation, index);
        let to = keys::index_blob(&self.home.namespace, self.home.incarnation, index);
        self.object(&from, &to, bytes, None).await
    }
}
