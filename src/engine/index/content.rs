//! The bytes of an index, read in place.
//!
//! They may lie in a mapped file of which only some is to be in memory, so whoever owns that is told of
//! each part before it is read.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;

/// Hears of parts before they are read.
pub type Reader = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The bytes of an index.
#[derive(Clone)]
pub struct Content {
    bytes: Bytes,
    reader: Option<Reader>,
}

impl Content {
    /// Bytes of which `reader` is to hear.
    pub fn new(bytes: Bytes, reader: Option<Reader>) -> Self {
        Self { bytes, reader }
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// A part, which is about to be read.
    ///
    /// # Panics
    /// If it has no such part.
    #[inline]
    pub fn read(&self, part: Range<usize>) -> &[u8] {
        let part = &self.bytes[part];
        if let Some(reader) = &self.reader {
            reader(part);
        }
        part
    }

    /// The whole, of which some may be about to be read.
    pub fn all(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// A part as bytes of its own.
    pub fn slice(&self, part: Range<usize>) -> Self {
        Self { bytes: self.bytes.slice(part), reader: self.reader.clone() }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes, None)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("size", &self.size()).finish_non_exhaustive()
    }
}
