//! Memory that an object is downloaded into.
//!
//! A search touches few rows here and there of a large object. With pages of 4 KiB each of them costs a walk
//! through the tables of pages as well, whose entries are in no cache either: where memory brought rows of
//! 1.5 KiB at 8 GB a second, it brought them at 12 from pages of 2 MiB (a loop that only reads such rows, on two
//! cores of an AMD EPYC).

use std::io;

use arrow_buffer::MutableBuffer;
use memmap2::MmapMut;

/// From this size on, in bytes, an object has pages of its own: two large ones at least.
const LARGE: usize = 4 << 20;

/// Bytes that are appended until there are as many as there is room for; aligned to at least 64 bytes.
pub(super) enum Buffer {
    Small(MutableBuffer),
    Large {
        map: MmapMut,
        /// How many bytes there are.
        filled: usize,
    },
}

impl Buffer {
    /// Without room.
    pub fn empty() -> Self {
        Self::Small(MutableBuffer::new(0))
    }

    /// With room for so many bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`]
    pub fn new(length: u64) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for {length} bytes"));
        let length = usize::try_from(length).map_err(|_| none())?;
        if length < LARGE {
            let mut buffer = MutableBuffer::new(0);
            buffer.try_reserve(length).map_err(|_| none())?;
            return Ok(Self::Small(buffer));
        }
        let map = MmapMut::map_anon(length).map_err(|_| none())?;
        #[cfg(target_os = "linux")]
        if let Err(error) = map.advise(memmap2::Advice::HugePage) {
            // As some kernels are built; small pages do as well, only slower.
            tracing::debug!(%error, "no large pages");
        }
        Ok(Self::Large { map, filled: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if there is no room for them; then nothing is appended.
    pub fn append(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Small(buffer) => buffer.extend_from_slice(part),
            Self::Large { map, filled } => {
                let place = map.get_mut(*filled..).and_then(|rest| rest.get_mut(..part.len()));
                place.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(part);
                *filled += part.len();
            }
        }
        Ok(())
    }

    /// What was appended.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Small(buffer) => buffer.as_slice(),
            Self::Large { map, filled } => &map[..*filled],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_there_and_aligned() {
        for length in [0, 1, 1000, LARGE - 1, LARGE, LARGE + 12_345, 3 * LARGE] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 7 % 251) as u8).collect();
            let mut buffer = Buffer::new(length as u64).unwrap();
            assert!(buffer.as_slice().is_empty());
            for (number, part) in bytes.chunks(1_000_003).enumerate() {
                buffer.append(part).unwrap();
                assert_eq!(buffer.as_slice().len(), length.min((number + 1) * 1_000_003));
            }
            assert!(buffer.as_slice() == bytes, "{length}");
            assert!(buffer.as_slice().as_ptr().addr().is_multiple_of(64), "{length}");
            assert_eq!(matches!(buffer, Buffer::Large { .. }), length >= LARGE);
        }
    }

    #[test]
    fn more_than_was_asked_for_is_refused() {
        let mut buffer = Buffer::new(LARGE as u64).unwrap();
        buffer.append(&vec![1; LARGE - 1]).unwrap();
        assert_eq!(buffer.append(&[2, 2]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        buffer.append(&[3]).unwrap();
        assert_eq!(buffer.as_slice()[LARGE - 2..], [1, 3]);
    }

    #[test]
    fn more_memory_than_there_is_is_an_error() {
        for length in [u64::MAX, 1 << 62] {
            let kind = Buffer::new(length).err().map(|error| error.kind());
            assert_eq!(kind, Some(io::ErrorKind::OutOfMemory));
        }
    }
}
