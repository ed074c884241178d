//! Garbage collection: removing objects that nothing refers to any more.
//!
//! Log entries that were folded, segments that were merged or never made it into a manifest, and
//! everything of deleted namespaces. Any node may collect, several at once may, and each may stop
//! at any moment. Rule C of the protocol (`ARCHITECTURE.md`); [`condemn`] finds garbage and writes
//! a [`mark`], a later collection removes what a mark names.
//!
//! Invariant: what a living manifest refers to, or did within the grace time, stays.

mod condemn;
mod listing;
mod mark;
mod markers;
mod pins;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

pub use self::markers::Markers;
pub(in crate::engine) use self::{listing::Listing, pins::pin_key};
use self::{
    listing::{Found, Pages, recognise},
    mark::Mark,
};
use super::{Engine, context::Context, manifest::Manifest, namespace::corrupt};
use crate::{
    clock::Timestamp,
    error::Result,
    storage::{Key, StoreErrorKind, keys},
    types::NamespaceName,
};

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Namespaces that were looked at, deleted ones included.
    pub namespaces: u64,
    /// Namespaces of which nothing could be judged, for an error that was logged.
    pub failed: u64,
    /// Namespaces for which a new list of garbage was written.
    pub marked: u64,
    /// Objects that were removed.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Engine {
    /// Collects garbage in the whole store, from time to time, unless another node did so lately.
    /// Never ends.
    pub async fn collect_in_background(self) {
        let interval = self.context.garbage.interval;
        loop {
            // Nodes that start together do not collect together.
            let pause = interval / 2 + self.context.random.jitter(interval / 2);
            tokio::time::sleep(pause).await;
            match self.collect_if_due(interval).await {
                Ok(None) => {}
                Ok(Some(done)) if done.removed == 0 && done.failed == 0 => {
                    tracing::debug!(?done, "collected garbage");
                }
                Ok(Some(done)) => tracing::info!(?done, "collected garbage"),
                Err(error) => tracing::warn!(%error, "garbage could not be collected"),
            }
        }
    }

    async fn collect_if_due(&self, interval: Duration) -> Result<Option<Collected>> {
        let (store, key) = (&self.context.store, keys::collection());
        let now = store.now().await?;
        let newest = store.list(key.as_str(), None, 1).await?.first().and_then(|listed| listed.modified);
        let recent =
            Timestamp(now.0.saturating_sub(i64::try_from(interval.as_millis() / 2).unwrap_or(i64::MAX)));
        if newest.is_some_and(|newest| newest > recent) {
            return Ok(None);
        }
        store.put(&key, bytes::Bytes::new()).await?;
        self.collect_garbage().await.map(Some)
    }

    /// Collects garbage in the whole store. What is found now is removed by a collection that comes
    /// after the grace time.
    ///
    /// # Errors
    /// If the store cannot be listed. A namespace that cannot be judged is logged and left alone.
    pub async fn collect_garbage(&self) -> Result<Collected> {
        let store = &self.context.store;
        let now = store.now().await?;
        self.context.metrics.log.garbage_collections.inc();
        let mut done = Collected::default();
        let listed = markers::listed(store).await?;
        let mut current: Option<Listing> = None;
        let mut pages = Pages::new(store.clone(), keys::NAMESPACES);
        while let Some(page) = pages.next().await? {
            for (namespace, found) in page.into_iter().filter_map(recognise) {
                match &mut current {
                    Some(listing) if listing.namespace == namespace => listing.objects.push(found),
                    _ => {
                        let next = Listing { namespace, objects: vec![found] };
                        self.collect_listed(current.replace(next), &listed, now, &mut done).await;
                    }
                }
            }
        }
        self.collect_listed(current, &listed, now, &mut done).await;
        Ok(done)
    }

    async fn collect_listed(
        &self,
        listing: Option<Listing>,
        listed: &BTreeMap<NamespaceName, Found>,
        now: Timestamp,
        done: &mut Collected,
    ) {
        let Some(mut listing) = listing else { return };
        done.namespaces += 1;
        let collected = self.collect_one(&mut listing, now, done).await;
        let mended = match listed.contains_key(&listing.namespace) {
            true => Ok(()),
            false => self.list_if_alive(&listing.namespace).await,
        };
        if let Err(error) = collected.and(mended) {
            done.failed += 1;
            tracing::warn!(namespace = %listing.namespace, %error, "garbage could not be collected");
        }
    }

    /// Collects garbage in one namespace. `now` is a time of the store from before the listing.
    async fn collect_one(&self, listing: &mut Listing, now: Timestamp, done: &mut Collected) -> Result<()> {
        let grace = self.context.garbage.grace;
        let (ripe, unripe): (Vec<_>, Vec<_>) =
            listing.marks().cloned().partition(|mark| mark.is_older(grace, now));
        for mark in ripe {
            self.sweep(listing, &mark, done).await?;
        }
        if unripe.is_empty() && condemn::condemn(&self.context, listing, now).await?.is_some() {
            done.marked += 1;
        }
        Ok(())
    }

    /// Removes what a mark names, then the mark.
    async fn sweep(&self, listing: &mut Listing, found: &Found, done: &mut Collected) -> Result<()> {
        let bytes = match self.context.store.get(&found.key).await {
            Ok(object) => object.bytes,
            // Another node was faster.
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match Mark::decode(&bytes, &listing.namespace) {
            Ok(mark) => {
                let objects = std::mem::take(&mut listing.objects).into_iter();
                let (garbage, rest) = objects.partition(|found| mark.condemns(&found.key, &found.place));
                listing.objects = rest;
                self.remove(garbage, done).await?;
            }
            // Nothing is lost with it: what it named is found again.
            Err(reason) => drop(corrupt(&self.context, &found.key, reason)),
        }
        Ok(self.context.store.delete_many(std::slice::from_ref(&found.key)).await?)
    }

    async fn remove(&self, garbage: Vec<Found>, done: &mut Collected) -> Result<()> {
        let keys: Vec<Key> = garbage.iter().map(|found| found.key.clone()).collect();
        self.context.store.delete_many(&keys).await?;
        let (objects, bytes) = (keys.len() as u64, garbage.iter().map(|found| found.bytes).sum::<u64>());
        done.removed += objects;
        done.bytes += bytes;
        self.context.metrics.log.garbage_removed_objects.inc_by(objects);
        self.context.metrics.log.garbage_removed_bytes.inc_by(bytes);
        Ok(())
    }
}

/// What nothing refers to in a listing that was made before this manifest was read: objects and their
/// bytes.
pub(in crate::engine) async fn garbage_in(
    context: &Context,
    listing: &Listing,
    manifest: &Manifest,
) -> Result<(u64, u64)> {
    // Nothing follows from it, so this node's clock is good enough.
    let pins = condemn::read_pins(context, listing, manifest, context.clock.now().wall).await?;
    let mark = condemn::judge(listing, manifest, &pins, &[]);
    let garbage = listing.objects.iter().filter(|found| mark.condemns(&found.key, &found.place));
    Ok(garbage.fold((0, 0), |(objects, bytes), found| (objects + 1, bytes + found.bytes)))
}
