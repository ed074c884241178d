//! What a manifest and pins condemn, as a pure function; `tests/garbage.rs` has the rest.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    condemn::judge,
    listing::{Found, Listing},
    mark::Mark,
    pins::Pins,
};
use crate::{
    clock::Timestamp,
    engine::{
        format::hash,
        manifest::{Manifest, NamespaceConfig},
        segment::{Blob, Deletes, Owner, SegmentRef},
    },
    storage::{Key, keys, place},
    types::{Distance, IndexType, NamespaceName},
};

fn name() -> NamespaceName {
    NamespaceName::parse("docs", "name").unwrap()
}

fn manifest() -> Manifest {
    let config = NamespaceConfig { dimension: Some(2), distance: Distance::Cosine };
    let mut next = 0;
    let mut manifest = Manifest::create(None, config, Timestamp(0), || {
        next += 1;
        Uuid::from_u128(next)
    });
    manifest.folded = 2;
    let blob = Blob { bytes: 1, xxh3_128: hash(b"") };
    let deletes = Deletes { id: Uuid::from_u128(31), seq: 2, rows: 1, blob, owner: None };
    let (id, rows) = (Uuid::from_u128(30), 5);
    manifest.segments = vec![SegmentRef {
        id,
        rows,
        has_vectors: true,
        data: blob,
        lookup: blob,
        head: blob,
        deletes: Some(deletes),
        indexes: Vec::new(),
        owner: None,
    }];
    manifest
}

fn listing(keys: &[Key]) -> Listing {
    let found = |key: &Key| Found {
        key: key.clone(),
        bytes: 1,
        modified: Some(Timestamp(0)),
        place: place(key).unwrap().1,
    };
    Listing { namespace: name(), objects: keys.iter().map(found).collect() }
}

fn everything(manifest: &Manifest, old: Uuid) -> Vec<Key> {
    let living = Owner { namespace: name(), incarnation: manifest.incarnation };
    let (named, id) = (Uuid::from_u128(30), Uuid::from_u128(40));
    vec![
        keys::manifest(&name()),
        living.data_key(named),
        living.lookup_key(named),
        living.deletes_key(named, Uuid::from_u128(31)),
        keys::log(&name(), living.incarnation, 3),
        keys::index_blob(&name(), living.incarnation, IndexType::ALL[0]),
        keys::merge_lease(&name(), living.incarnation),
        // Garbage from here on.
        keys::log(&name(), living.incarnation, 2),
        living.deletes_key(named, Uuid::from_u128(32)),
        living.data_key(id),
        living.lookup_key(id),
        keys::log(&name(), old, 9),
        keys::segment_data(&name(), old, id),
        keys::index_blob(&name(), old, IndexType::ALL[0]),
        keys::fold_lease(&name(), old),
    ]
}

fn condemned(mark: &Mark, listing: &Listing) -> Vec<Key> {
    let garbage = listing.objects.iter().filter(|found| mark.condemns(&found.key, &found.place));
    garbage.map(|found| found.key.clone()).collect()
}

#[test]
fn exactly_what_nothing_refers_to_is_condemned() {
    let (manifest, old) = (manifest(), Uuid::from_u128(99));
    let keys = everything(&manifest, old);
    let listing = listing(&keys);
    let mark = judge(&listing, &manifest, &HashMap::new(), &[]);
    assert_eq!(condemned(&mark, &listing), keys[7..]);
    let read = Mark::decode(&mark.encode().unwrap(), &name()).unwrap();
    assert_eq!(read, mark);
    let other = NamespaceName::parse("other", "name").unwrap();
    assert!(Mark::decode(&mark.encode().unwrap(), &other).unwrap_err().contains("docs"));
}

#[test]
fn of_a_deleted_namespace_the_tombstone_stays() {
    let manifest = manifest();
    let keys = everything(&manifest, Uuid::from_u128(99));
    let listing = listing(&keys);
    let mark = judge(&listing, &manifest.tombstone(Uuid::from_u128(5), vec![]), &HashMap::new(), &[]);
    assert_eq!(condemned(&mark, &listing), keys[1..]);
}

#[test]
fn what_a_pin_holds_stays() {
    let (manifest, old) = (manifest(), Uuid::from_u128(99));
    let keys = everything(&manifest, old);
    let listing = listing(&keys);
    let pin = |key: &Key, holds_all| Pins {
        held: [key.clone()].into(),
        holds_all,
        stale: vec![],
        live: [keys::pin(&name(), old, &name(), old)].into(),
    };
    // One of the living, one of the old incarnation.
    let pins = HashMap::from([(manifest.incarnation, pin(&keys[9], false)), (old, pin(&keys[12], false))]);
    let mark = judge(&listing, &manifest, &pins, &[]);
    let garbage = [7, 8, 10, 11, 13, 14].map(|index| keys[index].clone());
    assert_eq!(condemned(&mark, &listing), garbage);
    // A copy that is being made may need every segment.
    let pins = HashMap::from([(manifest.incarnation, pin(&keys[9], true)), (old, pin(&keys[12], true))]);
    let mark = judge(&listing, &manifest, &pins, &[]);
    assert_eq!(condemned(&mark, &listing), [7, 11, 13, 14].map(|index| keys[index].clone()));
}

#[test]
fn what_is_spared_stays_while_its_incarnation_lives() {
    let (manifest, old) = (manifest(), Uuid::from_u128(99));
    let keys = everything(&manifest, old);
    let listing = listing(&keys);
    // The old incarnation has a segment of that id, too.
    let mark = judge(&listing, &manifest, &HashMap::new(), &[Uuid::from_u128(40)]);
    assert_eq!(condemned(&mark, &listing), [7, 8, 11, 12, 13, 14].map(|index| keys[index].clone()));
}

#[test]
fn a_mark_never_names_what_is_not_of_an_incarnation() {
    let mut mark = Mark::new(name(), 1);
    let foreign = format!("namespaces/{}/notes.txt", name());
    mark.objects.insert(keys::manifest(&name()).to_string());
    mark.objects.insert(foreign.clone());
    let listing = listing(&[keys::manifest(&name()), keys::mark(&name(), Uuid::from_u128(1))]);
    assert_eq!(condemned(&mark, &listing), []);
}

#[test]
fn every_damage_of_a_mark_is_noticed() {
    let (manifest, old) = (manifest(), Uuid::from_u128(99));
    let mark = judge(&listing(&everything(&manifest, old)), &manifest, &HashMap::new(), &[]);
    let bytes = mark.encode().unwrap();
    for end in 0..bytes.len() {
        assert!(Mark::decode(&bytes[..end], &name()).is_err(), "truncated at {end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // White space and upper-case digits of the checksum line may change unnoticed: harmless.
        assert!(Mark::decode(&damaged, &name()).map_or(true, |read| read == mark), "flipped bit {bit}");
    }
}
