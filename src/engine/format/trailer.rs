//! The end of an object: what kind it is, how long its content is and what that hashes to.
//!
//! Invariant: a truncated, extended or altered object never opens, nor one of another kind. In a log
//! entry the trailer stands behind the Arrow end-of-stream marker, where Arrow readers stop.

use bytes::Bytes;

/// XXH3-128, the checksum of contents and the link of the hash chain.
pub type Hash = u128;

/// length u64 LE, hash u128 LE, kind
const TRAILER: usize = 8 + 16 + 8;

/// The kinds of objects that end in a trailer, each with its format's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry of the log.
    Entry,
    /// The lookup of a segment.
    Lookup,
    /// The deleted rows of a segment.
    Deletes,
}

impl Kind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Entry => b"QUIVERL1",
            Self::Lookup => b"QUIVERS1",
            Self::Deletes => b"QUIVERD1",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Entry => "a log entry",
            Self::Lookup => "a segment's lookup",
            Self::Deletes => "a segment's deletes",
        }
    }
}

/// [`hash`] of bytes that come in parts.
pub use xxhash_rust::xxh3::Xxh3 as Hasher;

/// The hash of some bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// Appends the trailer to `content`.
pub fn seal(kind: Kind, mut content: Vec<u8>) -> Bytes {
    let digest = hash(&content);
    let length = content.len() as u64;
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(&digest.to_le_bytes());
    content.extend_from_slice(kind.magic());
    content.into()
}

/// Checks the trailer and returns the content before it, or what is wrong.
pub fn open(kind: Kind, object: &Bytes) -> Result<Bytes, String> {
    let Some(at) = object.len().checked_sub(TRAILER) else {
        return Err(format!("it has {} bytes, less than its trailer", object.len()));
    };
    let (content, trailer) = object.split_at(at);
    let (length, rest) = trailer.split_at(8);
    let (digest, magic) = rest.split_at(16);
    if magic != kind.magic() {
        return Err(format!("its trailer is missing (truncated, or not {})", kind.name()));
    }
    if length != (content.len() as u64).to_le_bytes() {
        return Err("its length differs from the one in its trailer".into());
    }
    if digest != hash(content).to_le_bytes() {
        return Err("its content does not match its checksum".into());
    }
    Ok(object.slice(..at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_and_every_bit_flip_is_noticed() {
        let sealed = seal(Kind::Entry, b"some content".to_vec());
        assert_eq!(open(Kind::Entry, &sealed).unwrap(), &b"some content"[..]);
        for end in 0..sealed.len() {
            assert!(open(Kind::Entry, &sealed.slice(..end)).is_err(), "truncated at {end}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Kind::Entry, &bytes.into()).is_err(), "flipped bit {bit}");
        }
    }
}
