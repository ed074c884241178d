//! Merge patches of metadata (RFC 7396, formerly 7386).
//!
//! Members of the patch replace those of the same name, objects are merged, null removes. What the patch does not
//! name stays as it is written, to the last digit and to the escapes of its keys: metadata is text, and nothing of
//! it is parsed into numbers or written anew.

use std::{collections::HashMap, sync::Arc};

use super::{limits::at_most, metadata::compact_metadata};
use crate::{
    config::LimitsConfig,
    error::{Error, Result},
    types::filter::{Items, Path, Raw, Read, Value},
};

/// A merge patch that is an object.
#[derive(Debug, Clone)]
pub struct Patch {
    members: Members,
    max_bytes: usize,
}

/// What is done to the members of an object.
#[derive(Debug, Clone, Default)]
struct Members {
    /// With the keys as they are written.
    changes: Vec<(Box<str>, Change)>,
    /// By what the keys mean.
    places: HashMap<Box<str>, usize>,
}

/// What is done to a member.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    /// By this JSON text.
    Replace(Box<str>),
    Merge(Members),
}

impl Patch {
    /// Reads a patch; `field` is where it stands in the request.
    ///
    /// # Errors
    /// As for metadata, whose limits hold for it.
    pub fn parse(limits: &LimitsConfig, field: &str, text: &str) -> Result<Self> {
        let text = compact_metadata(limits, || field.to_owned(), text)?;
        let members = Members::parse(&text).map_err(|wrong| Error::invalid(field, wrong.0))?;
        Ok(Self { members, max_bytes: limits.metadata_bytes })
    }

    /// The same, and a text in a field, whatever it does to that otherwise.
    pub fn with_text(mut self, path: &Path, text: &str) -> Self {
        self.members.put_text(path.parts(), text);
        self
    }

    /// What it makes of metadata; none if that is the same.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if it becomes too long.
    pub fn apply(&self, metadata: Option<&str>) -> Result<Option<Arc<str>>> {
        let before = metadata.unwrap_or("{}");
        let patched = self.members.merged(Some(before));
        let patched = patched.map_err(|wrong| Error::invalid("metadata", wrong.0))?;
        if patched == before {
            return Ok(None);
        }
        at_most(|| "metadata".into(), "limits.metadata_bytes", self.max_bytes, patched.len())?;
        Ok(Some(patched.into()))
    }
}

impl Members {
    /// Of the text of an object, which is nested no deeper than metadata may be.
    fn parse(object: &str) -> Read<Self> {
        let (mut items, mut members) = (Items::of_object(object)?, Self::default());
        while let Some((key, written)) = items.written_key()? {
            let raw = items.skip()?;
            let change = match raw.read()? {
                Value::Null => Change::Remove,
                Value::Object(text) => Change::Merge(Self::parse(text)?),
                _ => Change::Replace(raw.text().into()),
            };
            members.add(&key, written, change);
        }
        Ok(members)
    }

    /// Lets them put a text at the end of a path.
    fn put_text(&mut self, path: &[Box<str>], text: &str) {
        let Some((key, rest)) = path.split_first() else { return };
        let change = if rest.is_empty() {
            Change::Replace(serde_json::Value::from(text).to_string().into())
        } else {
            let mut members = match self.places.get(key).map(|place| &self.changes[*place].1) {
                Some(Change::Merge(members)) => members.clone(),
                _ => Self::default(),
            };
            members.put_text(rest, text);
            Change::Merge(members)
        };
        let written = serde_json::Value::from(&**key).to_string();
        self.add(key, &written, change);
    }

    /// Of members with the same name the last one counts.
    fn add(&mut self, key: &str, written: &str, change: Change) {
        match self.places.get(key) {
            Some(place) => self.changes[*place].1 = change,
            None => {
                self.places.insert(key.into(), self.changes.len());
                self.changes.push((written.into(), change));
            }
        }
    }

    /// The object that they make of one; of nothing, and of what is no object, as of an empty one.
    fn merged(&self, target: Option<&str>) -> Read<String> {
        let mut found: Vec<Option<(&str, Raw<'_>)>> = vec![None; self.changes.len()];
        let mut kept = Vec::new();
        if let Some(object) = target.filter(|text| text.starts_with('{')) {
            let mut items = Items::of_object(object)?;
            while let Some((key, written)) = items.written_key()? {
                let raw = items.skip()?;
                match self.places.get(&*key) {
                    Some(place) => {
                        let is_first = found[*place].replace((written, raw)).is_none();
                        kept.extend(is_first.then_some(Member::Changed(*place)));
                    }
                    None => kept.push(Member::Kept(written, raw)),
                }
            }
        }
        let added = (0..self.changes.len()).filter(|place| found[*place].is_none());
        let added: Vec<_> = added.map(Member::Changed).collect();
        let mut out = String::from("{");
        for member in kept.iter().chain(&added) {
            let place = match member {
                Member::Kept(key, raw) => {
                    write(&mut out, key, raw.text());
                    continue;
                }
                Member::Changed(place) => *place,
            };
            let (key, change) = &self.changes[place];
            let key = found[place].map_or(&**key, |(written, _)| written);
            match change {
                Change::Remove => {}
                Change::Replace(text) => write(&mut out, key, text),
                Change::Merge(members) => {
                    let before = found[place].map(|(_, raw)| raw.text());
                    write(&mut out, key, &members.merged(before)?);
                }
            }
        }
        out.push('}');
        Ok(out)
    }
}

/// A member of the result.
enum Member<'a> {
    /// As it was.
    Kept(&'a str, Raw<'a>),
    /// By the change at a place.
    Changed(usize),
}

/// Writes a member, whose key is written with its quotes.
fn write(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(key);
    out.push(':');
    out.push_str(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;

    fn patched(metadata: Option<&str>, patch: &str) -> Option<String> {
        let patch = Patch::parse(&LimitsConfig::default(), "update", patch).unwrap();
        patch.apply(metadata).unwrap().map(|text| text.to_string())
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{"a":"foo"}"#, r#"{"a":{"b":{"c":null}}}"#, r#"{"a":{"b":{}}}"#),
        ] {
            assert_eq!(patched(Some(target), patch).as_deref(), Some(result), "{target} {patch}");
        }
    }

    #[test]
    fn what_is_not_named_stays_to_the_last_digit() {
        let row = r#"{"n":1.50,"big":123456789012345678901,"k":1,"o":{"e":1e2,"x":[]}}"#;
        let result = r#"{"n":1.50,"big":123456789012345678901,"k":2,"o":{"e":1e2,"y":0.10}}"#;
        assert_eq!(
            patched(Some(row), r#"{ "k" : 2, "o": {"y": 0.10, "x": null} }"#).as_deref(),
            Some(result)
        );
        assert_eq!(
            patched(Some(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":4}"#).as_deref(),
            Some(r#"{"a":4,"b":2}"#)
        );
    }

    #[test]
    fn what_changes_nothing_is_told() {
        assert_eq!(patched(Some(r#"{"a":1}"#), r#"{"a":1,"b":null}"#), None);
        assert_eq!(patched(None, r#"{"b":null}"#), None);
        assert_eq!(patched(None, r#"{"b":1}"#).as_deref(), Some(r#"{"b":1}"#));
    }

    #[test]
    fn limits_hold_before_and_after() {
        let limits = LimitsConfig { metadata_bytes: 16, ..LimitsConfig::default() };
        let patch = Patch::parse(&limits, "update", r#"{"a":12345}"#).unwrap();
        let error = patch.apply(Some(r#"{"b":123}"#)).unwrap_err();
        assert_eq!(error.to_string(), "metadata: 19 is over the limit limits.metadata_bytes = 16");
        assert!(patch.apply(Some(r#"{"b":123,"a":1}"#)).is_err());
        assert!(patch.apply(Some(r#"{"a":123456789}"#)).unwrap().is_some());
        assert!(Patch::parse(&limits, "update", r#"{"a":12345678901}"#).is_err());
        assert!(Patch::parse(&limits, "update", "[1]").is_err());
    }

    fn merge(target: Option<&Json>, patch: &Json) -> Json {
        let Json::Object(patch) = patch else { return patch.clone() };
        let mut object = target.and_then(Json::as_object).cloned().unwrap_or_default();
        for (key, value) in patch {
            if value.is_null() {
                object.remove(key);
            } else {
                let merged = merge(object.get(key), value);
                object.insert(key.clone(), merged);
            }
        }
        object.into()
    }

    fn object() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![Just(json!(null)), Just(json!(1)), Just(json!("x")), Just(json!([null, {}]))];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[ab\"é]{1,2}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect::<Map<_, _>>()))
        })
        .prop_map(|value| if value.is_object() { value } else { json!({ "a": value }) })
    }

    /// Ways to write each of some keys, and values that would change if they were parsed.
    const KEYS: [&[&str]; 4] = [
        &[r#""a""#, r#""\u0061""#],
        &[r#""é""#, r#""\u00e9""#, r#""\u00E9""#],
        &[r#""\/""#, r#""/""#],
        &[r#""\ud83d\ude00""#],
    ];
    const VALUES: [&str; 6] = [
        "1.50",
        "123456789012345678901",
        "-0",
        "1E+2",
        r#""\u0041""#,
        r#"[9007199254740993,{"\u006b":2.00}]"#,
    ];

    /// Members with distinct keys: which key, how it is written, and the value; a patch removes if it has none.
    fn members() -> impl Strategy<Value = Vec<(usize, &'static str, Option<&'static str>)>> {
        let member = (0..KEYS.len(), 0..3_usize, prop::option::of(prop::sample::select(&VALUES[..])));
        prop::collection::vec(member, 0..6).prop_map(|members| {
            let mut seen = std::collections::HashSet::new();
            let distinct = members.into_iter().filter(|(key, ..)| seen.insert(*key));
            distinct.map(|(key, way, value)| (key, KEYS[key][way % KEYS[key].len()], value)).collect()
        })
    }

    fn written(members: impl Iterator<Item = (&'static str, &'static str)>) -> String {
        let members: Vec<_> = members.map(|(key, value)| format!("{key}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    proptest! {
        /// What is not named stays to the byte; what is replaced keeps its key and gets the patch's value to the byte.
        #[test]
        fn keys_and_numbers_stay_as_they_are_written(row in members(), patch in members()) {
            let target = written(row.iter().map(|(_, key, value)| (*key, value.unwrap_or("null"))));
            let text = written(patch.iter().map(|(_, key, value)| (*key, value.unwrap_or("null"))));
            let of = |members: &[(usize, &'static str, Option<&'static str>)], key: usize| {
                members.iter().find(|(other, ..)| *other == key).map(|(.., value)| *value)
            };
            let kept = row.iter().filter_map(|(key, way, value)| match of(&patch, *key) {
                None => Some((*way, value.unwrap_or("null"))),
                Some(change) => change.map(|change| (*way, change)),
            });
            let added = patch.iter().filter(|(key, ..)| of(&row, *key).is_none());
            let added = added.filter_map(|(_, way, value)| Some((*way, (*value)?)));
            let expected = written(kept.chain(added));
            let found = patched(Some(&target), &text).unwrap_or_else(|| target.clone());
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(patched(Some(&target), &text).is_none(), target == expected);
        }

        #[test]
        fn it_is_what_the_rfc_says(target in object(), patch in object()) {
            let text = target.to_string();
            let expected = merge(Some(&target), &patch);
            let found = patched(Some(&text), &patch.to_string()).map_or(target, |text| serde_json::from_str(&text).unwrap());
            prop_assert_eq!(found, expected);
        }
    }
}
