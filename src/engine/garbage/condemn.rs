//! Finding garbage, and writing it down.
//!
//! The order matters (rule C, `ARCHITECTURE.md`): what was listed *before* the manifest was read and
//! is not referred to by it is garbage for good, once a fence keeps folds and merges that began
//! earlier from naming it. Pins of copies are read after the manifest.
//!
//! A merge that is under way says in its lease which segment it writes. That one is left alone, and
//! the fence spares it, so that a merge may outlast any number of collections. Nothing depends on the
//! lease: a segment that is not condemned harms nobody.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    listing::{Found, Listing},
    mark::Mark,
    pins::Pins,
};
use crate::{
    clock::Timestamp,
    engine::{
        context::Context,
        lease::Lease,
        manifest::{Manifest, State as Life},
        namespace::{read_manifest, swap_manifest},
        segment::Owner,
    },
    error::{Error, Result},
    planted::{Bug, planted},
    storage::{Key, Part, keys},
};

/// How often the manifest is read again because others swapped it.
const MAX_ROUNDS: usize = 8;

/// Writes a mark that names the garbage in a listing, and returns it; `None` if there is none.
pub(super) async fn condemn(context: &Context, listing: &Listing, now: Timestamp) -> Result<Option<Mark>> {
    for _ in 0..MAX_ROUNDS {
        // Without a manifest somebody else has meddled: nothing can be proven.
        let Some((manifest, tag)) = read_manifest(context, &listing.namespace).await? else {
            return Ok(None);
        };
        let pins = read_pins(context, listing, &manifest, now).await?;
        let spared: Vec<Uuid> = under_way(context, listing, &manifest, now).await.into_iter().collect();
        let mark = judge(listing, &manifest, &pins, &spared);
        if mark.is_empty() {
            return Ok(None);
        }
        if names_segments_of_the_living(&mark, listing, &manifest) && !planted(Bug::NoFence) {
            let fenced = manifest.fenced(context.random.uuid(), &spared);
            if swap_manifest(context, &listing.namespace, Some(&tag), &fenced).await?.is_none() {
                continue;
            }
        }
        let key = keys::mark(&listing.namespace, context.random.uuid());
        context.store.put(&key, mark.encode().map_err(Error::internal)?.into()).await?;
        return Ok(Some(mark));
    }
    Ok(None)
}

/// The segment that a merge is writing, if its lease says so and is not as old as garbage is when it
/// goes: then nobody renews it.
async fn under_way(
    context: &Context,
    listing: &Listing,
    manifest: &Manifest,
    now: Timestamp,
) -> Option<Uuid> {
    let key = keys::merge_lease(&listing.namespace, manifest.incarnation);
    let lease = listing.objects.iter().find(|found| found.key == key)?;
    if lease.is_older(context.garbage.grace, now) {
        return None;
    }
    let lease = context.store.get(&key).await.map_err(|error| error.to_string());
    match lease.and_then(|object| Lease::decode(&object.bytes)) {
        Ok(lease) => lease.segment,
        Err(reason) => {
            tracing::debug!(object = %key, reason, "a lease cannot be read: nothing is spared");
            None
        }
    }
}

/// The pins of every incarnation from which a segment may go.
pub(super) async fn read_pins(
    context: &Context,
    listing: &Listing,
    manifest: &Manifest,
    now: Timestamp,
) -> Result<HashMap<Uuid, Pins>> {
    let mut pins = HashMap::new();
    for incarnation in listing.incarnations() {
        let pinned = listing.of_incarnation(incarnation).any(|(_, part)| matches!(part, Part::Pin(..)));
        if pinned || unreferenced(listing, manifest, incarnation).next().is_some() {
            let owner = Owner { namespace: listing.namespace.clone(), incarnation };
            pins.insert(incarnation, Pins::read(context, &owner, now).await?);
        }
    }
    Ok(pins)
}

/// What a manifest and pins condemn of what was listed before, but for the segments `spared`. Pure.
pub(super) fn judge(
    listing: &Listing,
    manifest: &Manifest,
    pins: &HashMap<Uuid, Pins>,
    spared: &[Uuid],
) -> Mark {
    let mut mark = Mark::new(listing.namespace.clone(), manifest.version);
    let none = Pins::default();
    let is_spared = |part: &Part| {
        let spared = matches!(part, Part::Segment(id) if spared.contains(id));
        spared && !planted(Bug::SparedIsCondemned)
    };
    for incarnation in listing.incarnations() {
        let pins = pins.get(&incarnation).unwrap_or(&none);
        mark.objects.extend(pins.stale.iter().map(Key::to_string));
        if !lives(manifest, incarnation) && pins.is_free() {
            mark.incarnations.push(incarnation);
            continue;
        }
        let garbage = unreferenced(listing, manifest, incarnation);
        let garbage = garbage.filter(|(found, part)| !pins.hold(&found.key, part) && !is_spared(part));
        mark.objects.extend(garbage.map(|(found, _)| found.key.to_string()));
        let is_folded = |part: &Part| matches!(part, Part::Entry(seq) if *seq <= manifest.folded);
        let folded = listing.of_incarnation(incarnation).any(|(_, part)| is_folded(part));
        if lives(manifest, incarnation) && folded {
            mark.folded = Some((incarnation, manifest.folded));
        }
    }
    mark
}

fn lives(manifest: &Manifest, incarnation: Uuid) -> bool {
    manifest.state == Life::Live && manifest.incarnation == incarnation
}

/// What an incarnation wrote and the manifest does not need, but for log entries of the living one.
/// Copies may need it.
fn unreferenced<'a>(
    listing: &'a Listing,
    manifest: &Manifest,
    incarnation: Uuid,
) -> impl Iterator<Item = (&'a Found, &'a Part)> {
    let alive = lives(manifest, incarnation);
    let home = Owner { namespace: listing.namespace.clone(), incarnation };
    let referenced: HashSet<Key> = match alive {
        true => manifest.segments.iter().flat_map(|it| it.objects(&home)).map(|(_, key)| key).collect(),
        false => HashSet::new(),
    };
    listing.of_incarnation(incarnation).filter(move |(found, part)| match part {
        Part::Segment(_) => !referenced.contains(&found.key),
        Part::Entry(_) | Part::Index | Part::Lease => !alive,
        // Judged by itself.
        Part::Pin(..) => false,
    })
}

/// Whether a fold or merge that is under way might want to name what the mark condemns.
fn names_segments_of_the_living(mark: &Mark, listing: &Listing, manifest: &Manifest) -> bool {
    let mut parts = listing.of_incarnation(manifest.incarnation);
    manifest.state == Life::Live
        && parts.any(|(found, part)| {
            matches!(part, Part::Segment(_)) && mark.objects.contains(found.key.as_str())
        })
}
