//! The bytes of an index: where each part lies, and reading it in place.
//!
//! ```text
//! header   64 bytes: magic; paths, keys, dense keys, ids, rows u32; bytes of names, bytes of keys u32
//! paths    paths × (path that it continues u32, end of its name u32)
//! firsts   (paths + 1) × u32: its first key
//! ends     keys × u32: where its bytes end
//! starts   (keys + 1) × u32: where its rows begin among the ids
//! dense    dense × u32: keys, ascending, whose rows are a bitmap
//! ids      ids × u32: the rows of all other keys, in the order of the keys
//! bitmaps  dense × (rows / 64, rounded up) × u64
//! names    the names of the paths
//! bytes    the bytes of the keys
//! ```
//!
//! Paths are sorted by the one that they continue and then by name; the first is the root. The keys of a path
//! are sorted, so that a range of values is a range of keys, and their rows are one run of ids and some
//! bitmaps: a key has a bitmap where that is shorter. All numbers are little-endian.
//!
//! Invariant: [`File::open`] accepts bytes only if all parts lie inside of them, and the numbers that lead
//! from one part to another do not lead out of it. A row that there is not is left out when it is read.

use std::ops::Range;

use super::collect::Step;
use crate::{engine::index::Content, types::Bits};

const MAGIC: [u8; 8] = *b"QvATTR\0\x01";
const HEADER: usize = 64;
const SHORT: &str = "it is shorter than what it lists";

/// An opened index.
#[derive(Debug)]
pub struct File {
    content: Content,
    rows: usize,
    paths: Vec<(u32, u32)>,
    parts: Parts,
    dense: usize,
}

/// Where the parts begin.
#[derive(Debug, Clone, Copy)]
struct Parts {
    firsts: usize,
    ends: usize,
    starts: usize,
    dense: usize,
    ids: usize,
    bitmaps: usize,
    names: usize,
    bytes: usize,
    length: usize,
}

/// How many of everything there are.
#[derive(Debug, Clone, Copy)]
struct Counts {
    paths: usize,
    keys: usize,
    dense: usize,
    ids: usize,
    rows: usize,
    names: usize,
    bytes: usize,
}

impl Counts {
    fn parts(&self) -> Option<Parts> {
        let mut at = HEADER;
        let mut part = |count: usize, width: usize| {
            let start = at;
            at = at.checked_add(count.checked_mul(width)?)?;
            Some(start)
        };
        part(self.paths, 8)?;
        let firsts = part(self.paths + 1, 4)?;
        let ends = part(self.keys, 4)?;
        let starts = part(self.keys + 1, 4)?;
        let dense = part(self.dense, 4)?;
        let ids = part(self.ids, 4)?;
        let bitmaps = part(self.dense.checked_mul(self.rows.div_ceil(64))?, 8)?;
        let names = part(self.names, 1)?;
        let bytes = part(self.bytes, 1)?;
        Some(Parts { firsts, ends, starts, dense, ids, bitmaps, names, bytes, length: at })
    }
}

impl File {
    /// Opens an index where its bytes lie, or says what is wrong with them.
    pub fn open(content: Content) -> Result<Self, String> {
        let size = content.size();
        if size < HEADER {
            return Err(SHORT.into());
        }
        let header = content.read(0..HEADER);
        if header[..8] != MAGIC {
            return Err("it is no index of attributes of a known version".into());
        }
        let number = |place: usize| number(header, place) as usize;
        let counts = Counts {
            paths: number(2),
            keys: number(3),
            dense: number(4),
            ids: number(5),
            rows: number(6),
            names: number(7),
            bytes: number(8),
        };
        let parts = counts.parts().filter(|parts| parts.length == size).ok_or(SHORT)?;
        let numbers = |start: usize, count: usize| content.read(start..start + 4 * count);
        let paths = numbers(HEADER, 2 * counts.paths).chunks_exact(8);
        let paths: Vec<(u32, u32)> =
            paths.map(|path| (self::number(path, 0), self::number(path, 1))).collect();
        let ascending = |numbers: &[u8], first: u32, last: usize| {
            let mut before = first;
            let all = numbers.chunks_exact(4).map(|bytes| self::number(bytes, 0));
            let fits = all.fold(true, |fits, next| fits & (std::mem::replace(&mut before, next) <= next));
            fits && before as usize == last
        };
        let is_after = |(path, (parent, _)): (usize, &(u32, u32))| (*parent as usize) < path.max(1);
        let names: Vec<u8> = paths.iter().flat_map(|(_, end)| end.to_le_bytes()).collect();
        let is_sound = counts.paths > 0
            && paths.iter().enumerate().all(is_after)
            && ascending(&names, 0, counts.names)
            && ascending(numbers(parts.firsts, counts.paths + 1), 0, counts.keys)
            && ascending(numbers(parts.ends, counts.keys), 0, counts.bytes)
            && ascending(numbers(parts.starts, counts.keys + 1), 0, counts.ids);
        if !is_sound {
            return Err("its numbers lead out of its parts".into());
        }
        Ok(Self { content, rows: counts.rows, paths, parts, dense: counts.dense })
    }

    /// Rows that it is over.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The path that continues another one by a name.
    pub fn child(&self, parent: u32, name: &str) -> Option<u32> {
        // The root continues itself.
        let among = 1.min(self.paths.len())..self.paths.len();
        let order = |path: usize| (self.paths[path].0, self.name(path)).cmp(&(parent, name.as_bytes()));
        let found = partition(among.clone(), |path| order(path).is_lt());
        (found < among.end && order(found).is_eq()).then_some(found as u32)
    }

    /// The keys of a path.
    pub fn keys(&self, path: u32) -> Range<usize> {
        let path = path as usize;
        self.number(self.parts.firsts, path)..self.number(self.parts.firsts, path + 1)
    }

    /// Of the keys in a range, which are sorted, the first that `is_before` says no to.
    pub fn partition(&self, keys: Range<usize>, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let is_before = |key: usize| is_before(self.key(key));
        // Most paths have one kind of values, so what comes after all of them is often asked for.
        match keys.end.checked_sub(1) {
            Some(last) if keys.start <= last && !is_before(last) => partition(keys.start..last, is_before),
            _ => keys.end,
        }
    }

    /// The bytes of a key.
    pub fn key(&self, key: usize) -> &[u8] {
        let start = if key == 0 { 0 } else { self.number(self.parts.ends, key - 1) };
        let end = self.number(self.parts.ends, key);
        self.content.read(self.parts.bytes + start..self.parts.bytes + end)
    }

    /// Adds the rows of some keys that follow each other.
    pub fn add_rows(&self, keys: Range<usize>, rows: &mut Bits) {
        let (start, end) =
            (self.number(self.parts.starts, keys.start), self.number(self.parts.starts, keys.end));
        let ids = self.content.read(self.parts.ids + 4 * start..self.parts.ids + 4 * end);
        ids.as_chunks().0.iter().for_each(|id| rows.insert(u32::from_le_bytes(*id)));
        let dense = |key: usize| partition(0..self.dense, |at| self.number(self.parts.dense, at) < key);
        let width = 8 * self.rows.div_ceil(64);
        for bitmap in dense(keys.start)..dense(keys.end) {
            let start = self.parts.bitmaps + bitmap * width;
            let words = self.content.read(start..start + width).as_chunks().0.iter();
            rows.add_words(words.map(|word| u64::from_le_bytes(*word)));
        }
    }

    fn name(&self, path: usize) -> &[u8] {
        let start = if path == 0 { 0 } else { self.paths[path - 1].1 as usize };
        self.content.read(self.parts.names + start..self.parts.names + self.paths[path].1 as usize)
    }

    fn number(&self, part: usize, place: usize) -> usize {
        number(self.content.read(part + 4 * place..part + 4 * place + 4), 0) as usize
    }
}

/// The first of a range that `is_before` says no to, if all for which it says yes come first.
fn partition(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// A number of 32 bits by its place among such.
fn number(bytes: &[u8], place: usize) -> u32 {
    let bytes = bytes.get(4 * place..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Writes an index, key by key.
pub struct Writer {
    rows: usize,
    paths: Vec<u8>,
    names: Vec<u8>,
    firsts: Vec<u8>,
    ends: Vec<u8>,
    starts: Vec<u8>,
    dense: Vec<u8>,
    ids: Vec<u8>,
    bitmaps: Vec<u8>,
    bytes: Vec<u8>,
}

impl Writer {
    /// Over so many rows, with these paths.
    pub fn new(rows: usize, paths: &[Step]) -> Self {
        let (mut table, mut names) = (Vec::with_capacity(8 * paths.len()), Vec::new());
        for (parent, name) in paths {
            names.extend_from_slice(name.as_bytes());
            table.extend_from_slice(&parent.to_le_bytes());
            push(&mut table, names.len());
        }
        let (firsts, ends, starts, dense) = Default::default();
        let (ids, bitmaps, bytes) = Default::default();
        Self { rows, paths: table, names, firsts, ends, starts, dense, ids, bitmaps, bytes }
    }

    /// Goes on to the next path.
    pub fn begin_path(&mut self) {
        push(&mut self.firsts, self.ends.len() / 4);
    }

    /// Adds the next key of the path, and the rows that have it, ascending.
    pub fn add<'r>(&mut self, key: &[u8], rows: impl Iterator<Item = &'r [u32]> + Clone) {
        push(&mut self.starts, self.ids.len() / 4);
        let count: usize = rows.clone().map(<[u32]>::len).sum();
        let words = self.rows.div_ceil(64);
        if count > 2 * words {
            push(&mut self.dense, self.ends.len() / 4);
            let start = self.bitmaps.len();
            self.bitmaps.resize(start + 8 * words, 0);
            for row in rows.flatten() {
                self.bitmaps[start + *row as usize / 8] |= 1 << (row % 8);
            }
        } else {
            rows.flatten().for_each(|row| self.ids.extend_from_slice(&row.to_le_bytes()));
        }
        self.bytes.extend_from_slice(key);
        push(&mut self.ends, self.bytes.len());
    }

    /// The index. None if a part is longer than there are numbers for.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        push(&mut self.firsts, self.ends.len() / 4);
        push(&mut self.starts, self.ids.len() / 4);
        let counts = [
            self.paths.len() / 8,
            self.ends.len() / 4,
            self.dense.len() / 4,
            self.ids.len() / 4,
            self.rows,
            self.names.len(),
            self.bytes.len(),
        ];
        let parts = [
            self.paths,
            self.firsts,
            self.ends,
            self.starts,
            self.dense,
            self.ids,
            self.bitmaps,
            self.names,
            self.bytes,
        ];
        let mut index = Vec::with_capacity(HEADER + parts.iter().map(Vec::len).sum::<usize>());
        index.extend_from_slice(&MAGIC);
        for count in counts {
            index.extend_from_slice(&u32::try_from(count).ok()?.to_le_bytes());
        }
        index.resize(HEADER, 0);
        // Each part is freed as soon as it is copied.
        parts.into_iter().for_each(|part| index.extend_from_slice(&part));
        Some(index)
    }
}

/// One that is too large is noticed in the end, when its part is counted.
fn push(numbers: &mut Vec<u8>, number: usize) {
    numbers.extend_from_slice(&(number as u32).to_le_bytes());
}
