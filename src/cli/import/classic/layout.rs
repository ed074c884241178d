//! Which object of the classic layout is what, told by its key.
//!
//! ```text
//! namespaces/<ns>/meta.json                    {"dimension", "vector_count", …}
//! namespaces/<ns>/vectors/<id>.json            {"id", "values", "metadata"}
//! namespaces/<ns>/indexes/<type>.bin           opaque
//! ….tmp.<seconds>.<n>,  .<id>.tmp.<n>          left behind by a writer that was killed
//! ```

use serde::Deserialize;
use uuid::Uuid;

use crate::types::IndexType;

/// The prefix of all namespaces.
pub(super) const NAMESPACES: &str = "namespaces/";

/// What an object of a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The counters.
    Meta,
    /// A vector.
    Row,
    /// An index.
    Index(IndexType),
    /// What a writer left behind that was killed before it renamed it.
    Leftover,
    /// Quiver's own: the bucket is being converted in place.
    Ours,
    /// None of these.
    Stranger,
}

/// The prefix of a namespace.
pub(super) fn prefix(namespace: &str) -> String {
    format!("{NAMESPACES}{namespace}/")
}

/// What the object is whose key follows its namespace's prefix with `name`.
pub(super) fn part(name: &str) -> Part {
    let (folder, rest) = name.split_once('/').unwrap_or(("", name));
    match folder {
        "" if name == "meta.json" => Part::Meta,
        "" if name == "manifest" || name.starts_with('~') => Part::Ours,
        "vectors" if rest.ends_with(".json") => Part::Row,
        "indexes" => match rest.strip_suffix(".bin").and_then(IndexType::parse) {
            Some(index) => Part::Index(index),
            None => other(rest),
        },
        "vectors" => other(rest),
        _ if Uuid::try_parse(folder).is_ok() => Part::Ours,
        _ => other(name),
    }
}

fn other(name: &str) -> Part {
    if is_leftover(name) { Part::Leftover } else { Part::Stranger }
}

/// `.<id>.tmp.<n>` or `<path>.tmp.<seconds>.<n>`. An id with slashes spreads the dot and the ending
/// over folders.
fn is_leftover(name: &str) -> bool {
    let hidden = name.starts_with('.') || name.rsplit('/').next().is_some_and(|last| last.starts_with('.'));
    let Some((_, ending)) = name.rsplit_once(".tmp.") else { return false };
    let numbers: Vec<_> = ending.split('.').collect();
    let all_digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.iter().all(all_digits) && (numbers.len() == 2 || numbers.len() == 1 && hidden)
}

/// The counters of a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Meta {
    /// Values in each vector; none while there was no vector.
    #[serde(default)]
    dimension: Option<usize>,
    /// Vectors, as its writers counted them.
    #[serde(default)]
    pub vector_count: Option<u64>,
}

impl Meta {
    /// Reads the object.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("is empty".into());
        }
        serde_json::from_slice(bytes).map_err(|error| super::super::jsonl::in_line(&error))
    }

    /// Values in each vector, if that is said.
    pub fn dimension(self) -> Option<usize> {
        self.dimension.filter(|dimension| *dimension > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_one_part() {
        for (name, expected) in [
            ("meta.json", Part::Meta),
            ("vectors/a.json", Part::Row),
            ("vectors/.json", Part::Row),
            ("vectors/a/b c%2f\n.json", Part::Row),
            ("vectors/~a.json", Part::Row),
            ("vectors/x.tmp.1.2.json", Part::Row),
            ("vectors/meta.json", Part::Row),
            ("indexes/hnsw.bin", Part::Index(IndexType::Hnsw)),
            ("indexes/fulltext.bin", Part::Index(IndexType::Fulltext)),
            ("indexes/flat.bin", Part::Stranger),
            ("indexes/hnsw", Part::Stranger),
            ("vectors/.a.tmp.7", Part::Leftover),
            ("vectors/.a/b.tmp.7", Part::Leftover),
            ("vectors/a/.b.tmp.7", Part::Leftover),
            ("vectors/a.json.tmp.1700000000.7", Part::Leftover),
            ("meta.json.tmp.1700000000.7", Part::Leftover),
            ("indexes/hnsw.bin.tmp.1700000000.7", Part::Leftover),
            ("vectors/a.tmp.7", Part::Stranger),
            ("vectors/.a.tmp.x", Part::Stranger),
            ("vectors/.a.tmp.", Part::Stranger),
            ("vectors/a.tmp.1.2.3", Part::Stranger),
            ("vectors/README", Part::Stranger),
            ("x.json", Part::Stranger),
            ("manifest", Part::Ours),
            ("~lock-manifest", Part::Ours),
            ("0197a1f0-0000-7000-8000-000000000000/log/00000000000000000001", Part::Ours),
        ] {
            assert_eq!(part(name), expected, "{name:?}");
        }
    }

    #[test]
    fn counters_may_lack_a_dimension() {
        let parse =
            |text: &str| Meta::parse(text.as_bytes()).map(|meta| (meta.dimension(), meta.vector_count));
        assert_eq!(parse(r#"{"dimension":3,"vector_count":7,"created_at":1}"#), Ok((Some(3), Some(7))));
        assert_eq!(parse(r#"{"dimension":null,"vector_count":0}"#), Ok((None, Some(0))));
        assert_eq!(parse(r#"{"dimension":0}"#), Ok((None, None)));
        for bad in ["", "{", "[]x", r#"{"dimension":-1}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
