//! The bytes of one object, as long as anybody uses them.

use std::{fs::File, io, sync::Arc};

use bytes::Bytes;
use memmap2::Mmap;

use super::{buffer::Buffer, residency::Regions};

/// Bytes of an object that are in use; aligned to at least 64 bytes.
pub(super) enum Held {
    /// A file.
    Mapped(Mapping),
    /// Memory of this process.
    Memory(Buffer),
}

/// A file as memory, whole.
pub(super) struct Mapping {
    /// Dropped before the map is, so that no other map can have its address by then.
    pub regions: Regions,
    pub map: Mmap,
}

impl Held {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => &mapping.map,
            Self::Memory(buffer) => buffer.as_slice(),
        }
    }
}

/// What a [`Bytes`] owns.
struct Owner(Arc<Held>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The whole object, without a copy.
pub(super) fn bytes(held: Arc<Held>) -> Bytes {
    Bytes::from_owner(Owner(held))
}

/// Maps a file for reading.
#[expect(unsafe_code, reason = "a map is memory that another process could change")]
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file holds an immutable object. Stores and cache alike write a file under
    // another name, rename it when it is whole, and never write to it again; what removes it only
    // unlinks its name, which leaves the map whole.
    unsafe { Mmap::map(file) }
}
