//! Every log entry and manifest that was ever in the store, also those that were replaced or deleted;
//! and every object that was condemned: no manifest may name it from then on.
//!
//! The network looks at an object whenever an operation on it ends, in the same step of the
//! simulation, so nothing that anybody ever read or wrote is missing here.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use quiver::{
    engine::{
        format::{self, Entry},
        manifest::{Manifest, State},
        segment::Owner,
    },
    storage::{Key, Object, Store, StoreErrorKind, keys},
};
use tokio::task::coop::unconstrained;
use uuid::Uuid;

use super::{history::Moment, world::World};

/// An entry that stood at a place, and since when at the latest.
#[derive(Debug, Clone)]
pub struct Seen {
    pub entry: Entry,
    pub at: Moment,
}

/// What stood at one place of the log: more than one only if somebody broke the rules, or if the
/// first was folded and deleted.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub entries: Vec<Seen>,
    /// Since when the place is empty again.
    pub emptied: Option<Moment>,
    /// What stood there after it was emptied: writes that came too late to count.
    pub ghosts: Vec<Seen>,
}

/// What counts here of a mark.
#[derive(serde::Deserialize)]
struct Condemned {
    objects: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Archive {
    /// By incarnation and number.
    pub places: BTreeMap<(Uuid, u64), Place>,
    /// Manifests in the order of their appearance.
    pub manifests: Vec<(Manifest, Moment)>,
    /// Keys that marks name.
    condemned: BTreeSet<String>,
    /// Objects that no one can read, and manifests that name what was condemned.
    pub damaged: Vec<String>,
}

impl Archive {
    /// Looks at what stands under a key now.
    pub fn look(world: &World, key: &str) {
        let namespace = World::namespace();
        let Some(rest) = key.strip_prefix(&format!("namespaces/{namespace}/")) else { return };
        if rest == "manifest" {
            let found = get(&world.store, &keys::manifest(&namespace));
            world.archive().manifest(found, || world.moment());
        } else if let Some(mark) = rest.strip_prefix("garbage/")
            && let Ok(mark) = mark.parse()
        {
            let found = get(&world.store, &keys::mark(&namespace, mark));
            world.archive().mark(found);
        } else if let Some((incarnation, number)) = rest.split_once("/log/")
            && let (Ok(incarnation), Ok(seq)) = (incarnation.parse(), number.parse())
        {
            let found = get(&world.store, &keys::log(&namespace, incarnation, seq));
            world.archive().entry(incarnation, seq, found, || world.moment());
        }
    }

    /// Looks at everything.
    pub fn look_at_all(world: &World) {
        let prefix = format!("namespaces/{}/", World::namespace());
        let listed =
            at_once(world.store.list(&prefix, None, usize::MAX)).expect("the store itself never fails");
        let known: Vec<_> = world.archive().places.keys().copied().collect();
        let known = known.iter().map(|(incarnation, seq)| keys::log(&World::namespace(), *incarnation, *seq));
        for key in known.chain(listed.into_iter().map(|listed| listed.key)) {
            Self::look(world, key.as_str());
        }
    }

    /// Segments that a fence spared and that were named after it.
    pub fn spared(&self) -> usize {
        let pairs = self.manifests.iter().zip(self.manifests.iter().skip(1));
        let named = |((before, _), (after, _)): (&(Manifest, Moment), &(Manifest, Moment))| {
            let is_in = |manifest: &Manifest, id| manifest.segments.iter().any(|segment| segment.id == id);
            let mut ids = before.spared.iter().map(|spared| spared.segment);
            usize::from(ids.any(|id| is_in(after, id) && !is_in(before, id)))
        };
        pairs.map(named).sum()
    }

    /// Indexes of segments that a manifest has named.
    pub fn indexes(&self) -> usize {
        let segments = self.manifests.iter().flat_map(|(manifest, _)| &manifest.segments);
        segments.flat_map(|segment| &segment.indexes).map(|index| index.id).collect::<BTreeSet<_>>().len()
    }

    fn manifest(&mut self, found: Option<Object>, now: impl FnOnce() -> Moment) {
        let Some(object) = found else { return };
        match Manifest::decode(&object.bytes) {
            Ok(manifest) if self.manifests.last().is_some_and(|(last, _)| *last == manifest) => {}
            Ok(manifest) => self.manifests.push((manifest, now())),
            Err(reason) => self.damaged.push(format!("the manifest: {reason}")),
        }
        self.check_condemned();
    }

    fn mark(&mut self, found: Option<Object>) {
        let Some(object) = found else { return };
        let body = object.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match serde_json::from_slice::<Condemned>(body) {
            Ok(mark) => self.condemned.extend(mark.objects),
            Err(error) => self.damaged.push(format!("a mark: {error}")),
        }
        self.check_condemned();
    }

    /// What stands now must not have been condemned.
    fn check_condemned(&mut self) {
        let Some((manifest, _)) = self.manifests.last() else { return };
        if manifest.state != State::Live {
            return;
        }
        let home = Owner { namespace: World::namespace(), incarnation: manifest.incarnation };
        let named = manifest.segments.iter().flat_map(|segment| segment.objects(&home));
        let condemned = named.filter(|(_, key)| self.condemned.contains(key.as_str()));
        let version = manifest.version;
        let wrong = condemned.map(|(_, key)| format!("manifest {version} names {key}, which was condemned"));
        let wrong: Vec<String> = wrong.filter(|wrong| !self.damaged.contains(wrong)).collect();
        self.damaged.extend(wrong);
    }

    fn entry(&mut self, incarnation: Uuid, seq: u64, found: Option<Object>, now: impl FnOnce() -> Moment) {
        let Some(object) = found else {
            if let Some(place) = self.places.get_mut(&(incarnation, seq)) {
                place.emptied.get_or_insert_with(now);
            }
            return;
        };
        let entry = match format::decode(&object.bytes) {
            Ok(entry) => entry,
            Err(reason) => return self.damaged.push(format!("entry {seq} of {incarnation}: {reason}")),
        };
        let place = self.places.entry((incarnation, seq)).or_default();
        if place.entries.iter().chain(&place.ghosts).any(|known| known.entry.hash == entry.hash) {
            return;
        }
        // Nobody saw the first one go if the request to delete it came late.
        let is_over = |manifest: &Manifest| manifest.folded >= seq || manifest.state == State::Deleted;
        let mut manifests = self.manifests.iter().filter(|(manifest, _)| manifest.incarnation == incarnation);
        let replaced = !place.entries.is_empty() && manifests.any(|(manifest, _)| is_over(manifest));
        let ghost = place.emptied.is_some() || replaced;
        let list = if ghost { &mut place.ghosts } else { &mut place.entries };
        list.push(Seen { entry, at: now() });
    }
}

fn get(store: &Store, key: &Key) -> Option<Object> {
    match at_once(store.get(key)) {
        Ok(object) => Some(object),
        Err(error) if error.kind == StoreErrorKind::NotFound => None,
        Err(error) => panic!("the store itself never fails: {error}"),
    }
}

/// The memory store answers without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    unconstrained(future).now_or_never().expect("an answer at once")
}
