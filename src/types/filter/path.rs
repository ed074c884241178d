//! Where in the metadata a condition looks: `author.name`, `tags.0`, `a\.b`.

use std::fmt;

/// Parts of a path. Metadata is nested no deeper, so that more could reach nothing.
const MAX_PARTS: usize = 64;
/// Bytes of a path.
const MAX_BYTES: usize = 1024;

/// Keys that lead from the metadata object to a field. At least one; none is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// Reads a path: parts with dots between them; a backslash before a dot, a backslash or a dollar
    /// sign makes it a part of the key. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a field's name has at most {MAX_BYTES} bytes, this one has {}", text.len()));
        }
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '.' => parts.push(std::mem::take(&mut part).into_boxed_str()),
                '\\' => {
                    match letters.next() {
                        Some(escaped @ ('.' | '\\' | '$')) => part.push(escaped),
                        _ => return Err(
                            "a backslash in a field's name stands before a dot, a dollar sign or a backslash"
                                .into(),
                        ),
                    }
                }
                letter => part.push(letter),
            }
        }
        parts.push(part.into_boxed_str());
        if parts.iter().any(|part| part.is_empty()) {
            return Err("a field's name has an empty part; dots stand between the keys of nested objects, and a dot inside of a key is written \\.".into());
        }
        if parts.len() > MAX_PARTS {
            return Err(format!(
                "a field's name has at most {MAX_PARTS} parts, this one has {}",
                parts.len()
            ));
        }
        Ok(Self(parts))
    }

    /// Its keys, outermost first.
    pub fn parts(&self) -> &[Box<str>] {
        &self.0
    }
}

/// The place in an array that a part of a path stands for, if it is a number without leading zeros.
pub fn index(part: &str) -> Option<usize> {
    let is_canonical = part == "0" || !part.starts_with(['0', '+']);
    is_canonical.then(|| part.parse().ok()).flatten()
}

impl fmt::Display for Path {
    /// The text that is read as the same path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "." })?;
            for letter in part.chars() {
                let is_escaped = matches!(letter, '.' | '\\' | '$');
                write!(f, "{}{letter}", if is_escaped { "\\" } else { "" })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dots_separate_unless_a_backslash_says_otherwise() {
        for (text, parts) in [
            ("a", &["a"][..]),
            ("a.b.0", &["a", "b", "0"]),
            (r"a\.b", &["a.b"]),
            (r"\$ref.a\\.b", &["$ref", "a\\", "b"]),
            ("é ü.$", &["é ü", "$"]),
        ] {
            let path = Path::parse(text).unwrap();
            assert!(path.parts().iter().map(|part| &**part).eq(parts.iter().copied()), "{text}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", r"a\", r"a\b", &"a.".repeat(64), &"a".repeat(1025)] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_plain_numbers_are_places_in_arrays() {
        assert_eq!(["0", "7", "10"].map(index), [Some(0), Some(7), Some(10)]);
        assert_eq!(["", "00", "01", "+1", "-1", "1x", "99999999999999999999"].map(index), [None; 7]);
    }

    proptest! {
        #[test]
        fn printing_keeps_the_path(parts in prop::collection::vec("[ab.\\\\$0é]{1,3}", 1..5)) {
            let path = Path(parts.into_iter().map(String::into_boxed_str).collect());
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }
    }
}
