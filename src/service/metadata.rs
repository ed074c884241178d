//! Metadata: JSON text of an object, kept as text.
//!
//! Rows carry metadata to the log and back to readers without being parsed into a tree. That is
//! only sound if the text is something every JSON parser reads, so the one pass that removes
//! insignificant whitespace also refuses what serde's raw values let through: nesting so deep that
//! parsers give up, surrogates without their partner, and numbers beyond the range of a double.

use std::sync::Arc;

use super::limits::at_most;
use crate::{
    config::LimitsConfig,
    error::{Error, Result},
    types::filter::MAX_DEPTH,
};

/// Compacts `text`, which is syntactically valid JSON, and checks that it is an object within
/// `limits.metadata_bytes`. `field` is where it stands in the request.
pub fn compact_metadata(limits: &LimitsConfig, field: impl Fn() -> String, text: &str) -> Result<Arc<str>> {
    if !text.trim_start().starts_with('{') {
        return Err(Error::WrongShape {
            field: field(),
            message: "metadata must be an object or null".into(),
        });
    }
    let compact = compact(text).map_err(|message| Error::invalid(field(), message))?;
    at_most(field, "limits.metadata_bytes", limits.metadata_bytes, compact.len())?;
    Ok(compact.into())
}

fn compact(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' => at = end_of_string(bytes, at)?,
            b'-' | b'0'..=b'9' => {
                at = end_of_number(bytes, at);
                if !text[start..at].parse().is_ok_and(f64::is_finite) {
                    return Err("holds a number beyond the range of a 64-bit float".into());
                }
            }
            byte => {
                at += 1;
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > MAX_DEPTH {
                    return Err(format!("is nested more than {MAX_DEPTH} levels deep"));
                }
            }
        }
        out.push_str(&text[start..at]);
    }
    Ok(out)
}

/// The position after the string that starts at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> Result<usize, &'static str> {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => at = end_of_unicode_escape(bytes, at)?,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err("holds a string that does not end")
}

/// The position after a `\uXXXX` escape, or after both halves of a surrogate pair.
fn end_of_unicode_escape(bytes: &[u8], at: usize) -> Result<usize, &'static str> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match (unit(at), unit(at + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
        (None | Some(0xD800..=0xDFFF), _) => Err("holds half of a surrogate pair in a string"),
        (Some(_), _) => Ok(at + 6),
    }
}

fn end_of_number(bytes: &[u8], at: usize) -> usize {
    let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    at + bytes[at..].iter().take_while(|byte| part(byte)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<Arc<str>> {
        compact_metadata(&LimitsConfig::default(), || "metadata".into(), text)
    }

    #[test]
    fn only_insignificant_whitespace_goes() {
        let text =
            " { \"a b\" :\t[ 1 , -2.5e3 , \"\\\" \\\\ x\" ] ,\n\"\\ud83d\\ude00\" : null , \"c\":true}";
        let compact = "{\"a b\":[1,-2.5e3,\"\\\" \\\\ x\"],\"\\ud83d\\ude00\":null,\"c\":true}";
        assert_eq!(&*check(text).unwrap(), compact);
    }

    #[test]
    fn what_other_parsers_cannot_read_is_refused() {
        for bad in ["[1]", "1", "\"x\"", "true"] {
            assert!(matches!(check(bad), Err(Error::WrongShape { .. })), "{bad}");
        }
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(&deep(MAX_DEPTH - 1)).is_ok());
        for bad in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":-1e999}"#,
            &deep(MAX_DEPTH),
        ] {
            assert!(matches!(check(bad), Err(Error::Invalid { .. })), "{bad}");
        }
    }

    #[test]
    fn the_limit_counts_compact_bytes() {
        let limits = LimitsConfig { metadata_bytes: 7, ..LimitsConfig::default() };
        assert!(compact_metadata(&limits, String::new, "{ \"a\" : 1 }").is_ok());
        let error = compact_metadata(&limits, || "metadata".into(), "{\"a\":11}").unwrap_err();
        assert_eq!(error.to_string(), "metadata: 8 is over the limit limits.metadata_bytes = 7");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compacting_keeps_the_value(value in json()) {
            let object = serde_json::json!({ "value": value });
            let pretty = serde_json::to_string_pretty(&object).unwrap();
            prop_assert_eq!(&*check(&pretty).unwrap(), serde_json::to_string(&object).unwrap());
        }
    }
}
