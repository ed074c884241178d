//! What an object is, by its key: the inverse of `keys`, for those who list.

use uuid::Uuid;

use super::Key;
use crate::types::{IndexType, NamespaceName};

/// What lies at a key under `namespaces/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The manifest of the namespace.
    Manifest,
    /// A mark of the garbage collection.
    Mark(Uuid),
    /// Something that an incarnation wrote.
    Of(Uuid, Part),
    /// Nothing that we ever write.
    Foreign,
}

/// What an incarnation wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The log entry of this number.
    Entry(u64),
    /// An object of the segment of this id.
    Segment(Uuid),
    /// Who folds or merges.
    Lease,
    /// The sign that this incarnation of that namespace shares segments.
    Pin(Uuid, NamespaceName),
    /// An uploaded index.
    Index,
}

/// The namespace whose object a listed key is, and what it is there. `None` for a key that is not under
/// `namespaces/<ns>/`.
pub fn place(key: &Key) -> Option<(NamespaceName, Place)> {
    let mut words = key.as_str().strip_prefix(super::keys::NAMESPACES)?.split('/');
    let namespace = NamespaceName::parse(words.next()?, "key").ok()?;
    let words: Vec<&str> = words.collect();
    Some((namespace, inside(&words).unwrap_or(Place::Foreign)))
}

fn inside(words: &[&str]) -> Option<Place> {
    match words {
        ["manifest"] => Some(Place::Manifest),
        ["garbage", mark] => Some(Place::Mark(uuid(mark)?)),
        [incarnation, rest @ ..] => Some(Place::Of(uuid(incarnation)?, part(rest)?)),
        [] => None,
    }
}

fn part(words: &[&str]) -> Option<Part> {
    match words {
        // A number can be written with a sign, and no key of ours is.
        ["log", seq] if seq.len() == 20 && !seq.starts_with('+') => Some(Part::Entry(seq.parse().ok()?)),
        ["segments", segment, "data.arrow" | "lookup"] => uuid(segment).map(Part::Segment),
        ["segments", segment, object] => {
            let (kind, id) = object.split_once('-')?;
            let known = kind == "deletes" || kind.strip_prefix("ann.").and_then(IndexType::parse).is_some();
            uuid(id).filter(|_| known)?;
            uuid(segment).map(Part::Segment)
        }
        ["leases", "fold" | "merge"] => Some(Part::Lease),
        ["pins", incarnation, namespace] => {
            Some(Part::Pin(uuid(incarnation)?, NamespaceName::parse(namespace, "key").ok()?))
        }
        ["indexes", _] => Some(Part::Index),
        _ => None,
    }
}

/// A UUID as we write it: another spelling of the same would be another key.
fn uuid(word: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(word).ok()?;
    (uuid.to_string() == word).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::keys;

    #[test]
    fn every_key_that_we_build_is_known_again() {
        let name = NamespaceName::parse("a.b-c_9", "name").unwrap();
        let other = NamespaceName::parse("copy", "name").unwrap();
        let (one, two, three) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let of = |part| Place::Of(one, part);
        for (key, expected) in [
            (keys::manifest(&name), Place::Manifest),
            (keys::mark(&name, two), Place::Mark(two)),
            (keys::log(&name, one, 77), of(Part::Entry(77))),
            (keys::segment_data(&name, one, two), of(Part::Segment(two))),
            (keys::segment_lookup(&name, one, two), of(Part::Segment(two))),
            (keys::segment_deletes(&name, one, two, three), of(Part::Segment(two))),
            (keys::fold_lease(&name, one), of(Part::Lease)),
            (keys::merge_lease(&name, one), of(Part::Lease)),
            (keys::segment_index(&name, one, two, IndexType::Spfresh, three), of(Part::Segment(two))),
            (keys::pin(&name, one, &other, two), of(Part::Pin(two, other.clone()))),
            (keys::index_blob(&name, one, IndexType::ALL[0]), of(Part::Index)),
        ] {
            assert_eq!(place(&key), Some((name.clone(), expected)), "{key}");
        }
    }

    #[test]
    fn what_we_never_write_is_foreign() {
        let id = "00000000-0000-0000-0000-00000000000a";
        for key in [
            "notes.txt",
            "garbage/x",
            &format!("{id}/log/1"),
            &format!("{id}/log/0000000000000000001x"),
            &format!("{id}/log/+0000000000000000001"),
            &format!("{id}/segments/{id}/other"),
            &format!("{id}/segments/{id}/deletes-7"),
            &format!("{id}/leases/other"),
            &format!("{id}/segments/{id}/ann.magic-{id}"),
            &format!("{}/log/00000000000000000001", id.to_uppercase()),
            id,
        ] {
            let place = place(&Key::listed(&format!("namespaces/docs/{key}")));
            assert!(matches!(place, Some((_, Place::Foreign))), "{key}: {place:?}");
        }
        assert_eq!(place(&Key::listed("catalog/docs")), None);
        assert_eq!(place(&Key::listed("namespaces/a b/manifest")), None);
    }
}
