//! Cursors: the last id of a page, in a form that fits a URL and invites nobody to build one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::error::{Error, Result};

/// The cursor of the page after `last`.
pub(super) fn encode(last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last)
}

/// Where a page begins.
pub(super) fn decode(cursor: Option<&str>) -> Result<Option<String>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
    let last = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    last.map(Some).ok_or_else(|| Error::invalid("cursor", "is not a cursor that this server gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_survives_and_anything_else_is_refused() {
        for id in ["", "a", "../escape", "%2f", "\n", "🦀"] {
            assert_eq!(decode(Some(&encode(id))).unwrap().as_deref(), Some(id));
        }
        assert_eq!(decode(None).unwrap(), None);
        for bad in ["*", "a", "YQ==", "_w"] {
            assert!(decode(Some(bad)).is_err(), "{bad}");
        }
    }
}
