//! Which segments are shared with copies.
//!
//! A copy of a namespace refers to the segments of its origin. Before it does, it leaves a pin under
//! the incarnation that owns them, and then makes sure that the origin still refers to them. So
//! whoever finds that the origin does not refer to them any more, and looks for pins *afterwards*,
//! sees the pin of every copy that has them.

use std::collections::HashSet;

use super::listing::{Found, list};
use crate::{
    clock::Timestamp,
    engine::{
        context::Context,
        manifest::State as Life,
        namespace::read_manifest,
        segment::{Owner, SegmentRef},
    },
    error::Result,
    storage::{Key, Part, Place, keys},
    types::NamespaceName,
};

/// What the pins of one incarnation say.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Objects that copies refer to.
    pub held: HashSet<Key>,
    /// A copy is being made: everything that might be shared is held.
    pub holds_all: bool,
    /// Pins that hold nothing and never will.
    pub stale: Vec<Key>,
    /// Pins that hold something.
    pub live: HashSet<Key>,
}

impl Pins {
    /// Reads the pins of an incarnation as they are now. `now` is the store's time.
    pub async fn read(context: &Context, owner: &Owner, now: Timestamp) -> Result<Self> {
        let mut pins = Self::default();
        for pin in list(&context.store, &keys::pins(&owner.namespace, owner.incarnation)).await? {
            let Place::Of(_, Part::Pin(incarnation, copy)) = &pin.place else { continue };
            let copy = Owner { namespace: copy.clone(), incarnation: *incarnation };
            let held = shared(context, owner, &copy).await?;
            pins.add(pin, held, context.garbage.grace, now);
        }
        Ok(pins)
    }

    fn add(&mut self, pin: Found, held: Option<Vec<Key>>, grace: std::time::Duration, now: Timestamp) {
        match held {
            Some(held) if !held.is_empty() => {
                self.held.extend(held);
                self.live.insert(pin.key);
            }
            // Whoever makes a copy gives up long before that.
            None if !pin.is_older(grace, now) => {
                self.holds_all = true;
                self.live.insert(pin.key);
            }
            _ => self.stale.push(pin.key),
        }
    }

    /// Whether this object must stay.
    pub fn hold(&self, key: &Key, part: &Part) -> bool {
        match part {
            Part::Segment(_) => self.holds_all || self.held.contains(key),
            Part::Pin(..) => self.live.contains(key),
            Part::Entry(_) | Part::Index | Part::Lease => false,
        }
    }

    /// Whether nothing must stay.
    pub fn is_free(&self) -> bool {
        self.live.is_empty()
    }
}

/// The objects of `owner` that a living copy refers to; `None` if it does not live.
async fn shared(context: &Context, owner: &Owner, copy: &Owner) -> Result<Option<Vec<Key>>> {
    let lives = |incarnation, state| incarnation == copy.incarnation && state == Life::Live;
    Ok(match read_manifest(context, &copy.namespace).await? {
        Some((manifest, _)) if lives(manifest.incarnation, manifest.state) => {
            Some(owned_by(owner, &manifest.segments, copy))
        }
        _ => None,
    })
}

/// The objects of `owner` among those that a manifest of `home` names.
fn owned_by(owner: &Owner, segments: &[SegmentRef], home: &Owner) -> Vec<Key> {
    let objects = segments.iter().flat_map(|segment| segment.objects(home));
    objects.filter(|(whose, _)| whose == owner).map(|(_, key)| key).collect()
}

/// The key of the pin that `copy` leaves with an owner of its segments.
pub(in crate::engine) fn pin_key(owner: &Owner, copy: &NamespaceName, incarnation: uuid::Uuid) -> Key {
    keys::pin(&owner.namespace, owner.incarnation, copy, incarnation)
}
