//! Copying a namespace by reference: the copy's manifest names the segments of its origin.
//!
//! Immutable objects can be shared; what matters is who may remove them. A copy first leaves a pin
//! with every incarnation that owns one of the segments, then reads the origin's manifest, and only
//! then lets a manifest of its own name what that one names. `garbage/pins.rs` says why garbage
//! collection then spares them. Each side folds, merges and deletes on its own from there.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Consistency, Engine, NamespaceInfo,
    garbage::pin_key,
    lifecycle::exists,
    manifest::{Manifest, State as Life},
    namespace::{Motive, Outcome, read_manifest},
    segment::Owner,
};
use crate::{
    clock::Instant,
    error::{Error, Result},
    telemetry::CompactionKind,
    types::NamespaceName,
};

/// How often a copy starts over because others changed the origin meanwhile.
const MAX_ROUNDS: usize = 8;

impl Engine {
    /// Makes `to` a copy of `from` as it is now: every row that was acknowledged before this call is
    /// in it. Takes one fold of the log and a few requests per owner of segments, however many rows
    /// there are.
    ///
    /// # Errors
    /// [`Error::NamespaceExists`] if `to` exists; [`Error::Invalid`] if both are the same.
    pub async fn copy_namespace(&self, from: &NamespaceName, to: &NamespaceName) -> Result<NamespaceInfo> {
        if from == to {
            return Err(Error::invalid("to", "must be another namespace than the one that is copied"));
        }
        self.check_absent(to).await?;
        self.fold_all(from).await?;
        let began = self.context.clock.now();
        let incarnation = self.context.random.uuid();
        let origin = self.pin(from, to, incarnation).await?;
        self.create_copy((from, to), incarnation, &origin, began).await?;
        self.describe(to).await
    }

    /// Folds what is in the log now, unless others do.
    async fn fold_all(&self, name: &NamespaceName) -> Result<()> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let wanted = namespace.state().seq;
        for tries in 1..=MAX_ROUNDS {
            if namespace.state().base.folded >= wanted {
                return Ok(());
            }
            if namespace.compact(CompactionKind::fold, Motive::Demand).await? == Outcome::Conflict {
                self.context.pause_after(tries).await;
            }
        }
        Err(contended(name))
    }

    /// Leaves pins with all owners, then returns the manifest whose segments are held by them.
    async fn pin(&self, from: &NamespaceName, to: &NamespaceName, incarnation: Uuid) -> Result<Manifest> {
        let mut pinned = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            let origin = match read_manifest(&self.context, from).await? {
                Some((manifest, _)) if manifest.state == Life::Live => manifest,
                _ => return Err(Error::NamespaceNotFound { namespace: from.to_string() }),
            };
            let owners = owners(&origin, from);
            if owners.is_subset(&pinned) {
                return Ok(origin);
            }
            for owner in owners.difference(&pinned) {
                self.context.store.put(&pin_key(owner, to, incarnation), Bytes::new()).await?;
            }
            pinned.extend(owners);
        }
        Err(contended(from))
    }

    async fn create_copy(
        &self,
        (from, to): (&NamespaceName, &NamespaceName),
        incarnation: Uuid,
        origin: &Manifest,
        began: Instant,
    ) -> Result<()> {
        let previous = read_manifest(&self.context, to).await?;
        if previous.as_ref().is_some_and(|(manifest, _)| manifest.state == Life::Live) {
            return Err(exists(to));
        }
        let (previous, tag) = previous.unzip();
        let home = Owner { namespace: from.clone(), incarnation: origin.incarnation };
        let (now, random) = (self.context.clock.now(), &self.context.random);
        let copy = Manifest {
            incarnation,
            segments: origin.segments.iter().map(|segment| segment.shared_from(&home)).collect(),
            ..Manifest::create(previous.as_ref(), origin.config, now.wall, || random.uuid())
        };
        // A pin without a copy is collected after the grace time.
        if began.age(now) > self.context.garbage.grace / 2 {
            return Err(contended(from));
        }
        if !self.publish(to, tag.as_ref(), &copy).await? {
            return Err(exists(to));
        }
        // A store that took that long to answer may have let go of what the copy names.
        if began.age(self.context.clock.now()) > self.context.garbage.grace {
            self.delete_namespace(to).await?;
            return Err(contended(from));
        }
        Ok(())
    }
}

/// The incarnations that own what a manifest names.
pub(super) fn owners(manifest: &Manifest, namespace: &NamespaceName) -> BTreeSet<Owner> {
    let home = Owner { namespace: namespace.clone(), incarnation: manifest.incarnation };
    let objects = manifest.segments.iter().flat_map(|segment| segment.objects(&home));
    objects.map(|(owner, _)| owner).collect()
}

fn contended(name: &NamespaceName) -> Error {
    Error::Unavailable {
        reason: format!("namespace {:?} changed too often while it was copied", name.as_str()),
        retry_after: Duration::from_secs(1),
    }
}
