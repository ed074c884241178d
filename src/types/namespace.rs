//! Namespace names. They become object keys and URL segments, so their alphabet is narrow.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A name of `[A-Za-z0-9._-]{1,128}` that is not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName(Arc<str>);

impl NamespaceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks a name. `field` is where the name stood in the request.
    pub fn parse(name: &str, field: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let length = 1..=Self::MAX_BYTES;
        if !length.contains(&name.len()) || !name.bytes().all(allowed) || matches!(name, "." | "..") {
            return Err(Error::invalid(
                field,
                "a namespace name is 1 to 128 characters of A-Z a-z 0-9 . _ - and is not \".\" or \"..\"",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NamespaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NamespaceName {
    /// Checked like any other: objects in the store are no more to be trusted than requests.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name, "namespace").map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_exactly_the_documented_alphabet() {
        for good in ["a", "A-b_c.9", "...", "-", &"x".repeat(128)] {
            assert!(NamespaceName::parse(good, "name").is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "a%2f", &"x".repeat(129)] {
            assert!(NamespaceName::parse(bad, "name").is_err(), "{bad:?}");
        }
    }
}
