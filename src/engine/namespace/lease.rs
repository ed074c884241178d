//! Leaving a fold or merge to the node that is at it.
//!
//! A node that folds or merges in the background says so in a lease, and renews that while it works,
//! at most every third of `compaction.lease` or of `garbage.grace`, whichever is shorter. Another one that is
//! about to do the same reads the lease first, and stays away while it keeps changing: until it has
//! seen the same nonce for `compaction.lease` by its own monotonic clock. Then it takes the lease over.
//! So no two clocks are compared, and a node that died delays the work by that time once.
//!
//! Invariant: a lease is advice. Two nodes may work at once, since the swap of the manifest decides,
//! and a lease that cannot be read or written stops nobody.

use std::{convert::Infallible, time::Duration};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::Namespace;
use crate::{
    clock::Instant,
    engine::lease::Lease,
    error::{Error, Result},
    storage::{Key, StoreError, StoreErrorKind, Tag, keys},
    telemetry::CompactionKind,
};

/// What is known of the leases of a namespace.
#[derive(Debug, Default)]
pub(super) struct Leases {
    fold: Mutex<Option<Known>>,
    merge: Mutex<Option<Known>>,
}

/// A lease as it was read or written last.
#[derive(Debug, Clone)]
struct Known {
    /// `None` if it is damaged.
    lease: Option<Lease>,
    tag: Tag,
    /// When it was written, or seen first.
    since: Instant,
}

impl Known {
    fn is_of(&self, node: Uuid) -> bool {
        self.lease.is_some_and(|lease| lease.holder == node)
    }

    /// Whether it keeps a node away. Only its monotonic clock counts: the other one may jump, and a
    /// clock that stood still errs on the side of patience.
    fn keeps_away(&self, node: Uuid, now: Instant, term: Duration) -> bool {
        let seen_for = now.monotonic.saturating_sub(self.since.monotonic);
        self.lease.is_some_and(|lease| lease.holder != node) && seen_for < term
    }
}

impl Namespace {
    /// Whether this node is to fold or merge now: not if another is at it. Else the lease is its own,
    /// and says which segment is being written, if that is given.
    pub(super) async fn may_begin(&self, kind: CompactionKind, segment: Option<Uuid>) -> bool {
        let fresh = match segment {
            Some(_) => Duration::ZERO,
            None => self.renewal(),
        };
        self.claim_or_pass_over(kind, segment, fresh).await
    }

    async fn claim_or_pass_over(&self, kind: CompactionKind, segment: Option<Uuid>, fresh: Duration) -> bool {
        match self.claim(kind, segment, fresh).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::debug!(namespace = %self.name, ?kind, %error, "a lease is passed over");
                true
            }
        }
    }

    /// Does work of which the lease tells the others for as long as it takes, in full from the first
    /// renewal on: short work is not worth a request.
    pub(super) async fn holding<T>(
        &self,
        kind: CompactionKind,
        segment: Option<Uuid>,
        work: impl Future<Output = T>,
    ) -> T {
        if self.context.compaction.lease.is_zero() {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            never = self.keep_renewing(kind, segment) => match never {},
        }
    }

    /// How often a lease is renewed: other nodes take it over after its term, and for the collection of
    /// garbage it is void after the grace time.
    fn renewal(&self) -> Duration {
        self.context.compaction.lease.min(self.context.garbage.grace) / 3
    }

    async fn keep_renewing(&self, kind: CompactionKind, segment: Option<Uuid>) -> Infallible {
        loop {
            tokio::time::sleep(self.renewal()).await;
            // One that was lost to another meanwhile is that node's; this work goes on.
            self.claim_or_pass_over(kind, segment, Duration::ZERO).await;
        }
    }

    /// Makes the lease this node's, or renews it unless it is younger than `fresh`. Returns false if it
    /// is another's.
    async fn claim(&self, kind: CompactionKind, segment: Option<Uuid>, fresh: Duration) -> Result<bool> {
        let (node, term) = (self.context.node, self.context.compaction.lease);
        if term.is_zero() {
            return Ok(true);
        }
        let (key, known) = match kind {
            CompactionKind::fold => (keys::fold_lease(&self.name, self.incarnation), &self.leases.fold),
            CompactionKind::merge | CompactionKind::index => {
                (keys::merge_lease(&self.name, self.incarnation), &self.leases.merge)
            }
        };
        let mut known = known.lock().await;
        match &*known {
            Some(ours) if ours.is_of(node) => {
                if ours.since.age(self.context.clock.now()) < fresh {
                    return Ok(true);
                }
            }
            other => *known = self.look_at_lease(&key, other.as_ref()).await?,
        }
        // The second try is for a lease of our own whose reply was lost.
        for _ in 0..2 {
            let now = self.context.clock.now();
            if known.as_ref().is_some_and(|known| known.keeps_away(node, now, term)) {
                return Ok(false);
            }
            let lease = Lease::new(node, self.context.random.uuid(), segment);
            match self.write_lease(&key, known.as_ref(), &lease).await? {
                Ok(tag) => {
                    *known = Some(Known { lease: Some(lease), tag, since: now });
                    return Ok(true);
                }
                Err(error) if error.kind == StoreErrorKind::Conflict => {
                    *known = self.look_at_lease(&key, known.as_ref()).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    async fn write_lease(
        &self,
        key: &Key,
        known: Option<&Known>,
        lease: &Lease,
    ) -> Result<Result<Tag, StoreError>> {
        let bytes = lease.encode().map_err(Error::internal)?.into();
        Ok(match known {
            None => self.context.store.put_if_absent(key, bytes).await,
            Some(known) => self.context.store.cas(key, &known.tag, bytes).await,
        })
    }

    /// The lease as it is now. One that has not changed was seen as long ago as before.
    async fn look_at_lease(&self, key: &Key, known: Option<&Known>) -> Result<Option<Known>> {
        let store = &self.context.store;
        let found = match known {
            Some(known) => store.get_if_changed(key, &known.tag).await,
            None => store.get(key).await.map(Some),
        };
        match found {
            Ok(None) => Ok(known.cloned()),
            Ok(Some(object)) => {
                let lease = Lease::decode(&object.bytes);
                if let Err(reason) = &lease {
                    tracing::warn!(object = %key, reason, "a damaged lease is replaced");
                }
                let since = self.context.clock.now();
                Ok(Some(Known { lease: lease.ok(), tag: object.tag, since }))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
