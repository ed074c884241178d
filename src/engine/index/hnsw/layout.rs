//! The bytes of an index: where each part lies, and reading it in place.
//!
//! ```text
//! header   256 bytes: magic, metric, sizes, unit, recall ladder, nodes per level
//! mean     dimension × f32
//! terms    rows × (scale f32, bias f32)
//! upper    nodes of level 1 × u32: the row of each
//! levels   for each level from 1 up: nodes × m × u32
//! level 0  rows × 2m × u32
//! codes    rows × dimension × i8
//! ```
//!
//! All numbers are little-endian, and each part begins at a multiple of 64 bytes of the file, so
//! that a list of neighbours lies in as few cache lines as it can. The bytes may lie anywhere in
//! memory: everything is read byte by byte, which compiles to plain loads.
//!
//! Node numbers of the upper levels are places in one order of the rows, of which each level has a
//! beginning; so a node has the same number on all of them, and no level needs a table. On level 0 a
//! node's number is its row.
//!
//! Invariant: [`Layout::parse`] accepts bytes only if all parts lie inside of them. What the parts
//! hold is not checked there, since that would read everything; readers take no number for valid.

use crate::types::Distance;

use super::{super::kernel::prefetch, calibrate::Ladder, codes::Codes};

const MAGIC: [u8; 8] = *b"QvHNSW\0\x01";
const HEADER: usize = 256;
const LADDER_AT: usize = 40;
const COUNTS_AT: usize = 128;
/// Levels above level 0 at most: as many as the header has room for.
const MAX_UPPER: usize = (HEADER - COUNTS_AT) / 4;
/// What the parts begin at multiples of.
const ALIGNMENT: usize = 64;
/// Ends a list of neighbours that has room for more.
pub(super) const NONE: u32 = u32::MAX;
/// Most rows; the bit above marks candidates.
pub(super) const MAX_ROWS: usize = 1 << 31;

/// Where the parts lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub distance: Distance,
    pub dimension: usize,
    pub rows: usize,
    /// Neighbours per node on the upper levels; twice as many on level 0.
    pub m: usize,
    /// What vectors are multiplied by before anything else.
    pub unit: f64,
    pub ladder: Ladder,
    /// Nodes of each level, level 0 first.
    counts: Vec<usize>,
    mean: usize,
    terms: usize,
    upper: usize,
    /// Where the lists of each level begin, level 0 first.
    levels: Vec<usize>,
    codes: usize,
    /// Bytes in all.
    pub len: usize,
}

impl Layout {
    /// For so many rows, each level having one in `m` nodes of the one below. None if that does not
    /// fit into memory or numbers.
    pub fn new(distance: Distance, dimension: usize, rows: usize, m: usize) -> Option<Self> {
        let mut counts = vec![rows];
        // One node above level 0 at least: where walks begin.
        let mut count = (rows / m.max(2)).max(usize::from(rows > 0));
        while count > 0 {
            counts.push(count);
            count /= m.max(2);
        }
        Self::of_counts(distance, dimension, rows, m, counts)
    }

    fn of_counts(
        distance: Distance,
        dimension: usize,
        rows: usize,
        m: usize,
        counts: Vec<usize>,
    ) -> Option<Self> {
        let numbers_fit = rows < MAX_ROWS && (1..=1 << 16).contains(&dimension) && (1..=1 << 16).contains(&m);
        let descending = counts.windows(2).all(|pair| pair[0] >= pair[1] && pair[1] > 0);
        let has_entry = (counts.len() > 1) == (rows > 0);
        if !numbers_fit || !descending || !has_entry || counts.len() > 1 + MAX_UPPER {
            return None;
        }
        let mut len = HEADER;
        let mut part = |count: usize, width: usize| {
            let start = len.checked_next_multiple_of(ALIGNMENT)?;
            len = start.checked_add(count.checked_mul(width)?)?;
            Some(start)
        };
        let mean = part(dimension, 4)?;
        let terms = part(rows, 8)?;
        let upper = part(counts.get(1).copied().unwrap_or(0), 4)?;
        let mut levels = vec![0; counts.len()];
        for (start, count) in levels.iter_mut().zip(&counts).skip(1) {
            *start = part(*count, 4 * m)?;
        }
        levels[0] = part(rows, 8 * m)?;
        let codes = part(rows, dimension)?;
        let (unit, ladder) = (1.0, Ladder::default());
        Some(Self {
            distance,
            dimension,
            rows,
            m,
            unit,
            ladder,
            counts,
            mean,
            terms,
            upper,
            levels,
            codes,
            len,
        })
    }

    /// Reads the header.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.get(..HEADER).ok_or("shorter than a header")?;
        if header[..8] != MAGIC {
            return Err("not an HNSW index of a known version".into());
        }
        let number = |at: usize| u32_at(header, at) as usize;
        let distance = match number(8) {
            0 => Distance::Cosine,
            1 => Distance::DotProduct,
            2 => Distance::Euclidean,
            other => return Err(format!("unknown metric {other}")),
        };
        let upper = number(24);
        if upper > MAX_UPPER {
            return Err(format!("{upper} levels"));
        }
        let counts: Vec<usize> = std::iter::once(number(16))
            .chain((0..upper).map(|level| number(COUNTS_AT + 4 * level)))
            .collect();
        let mut layout = Self::of_counts(distance, number(12), number(16), number(20), counts)
            .ok_or("impossible sizes")?;
        if layout.len != bytes.len() {
            return Err(format!("{} bytes instead of {}", bytes.len(), layout.len));
        }
        let unit = f64::from_bits(u64::from(u32_at(header, 32)) | u64::from(u32_at(header, 36)) << 32);
        if !(unit.is_finite() && unit > 0.0) {
            return Err(format!("a unit of {unit}"));
        }
        layout.unit = unit;
        layout.ladder = Ladder::new(|rung| f32_at(header, LADDER_AT + 4 * rung))?;
        Ok(layout)
    }

    /// Writes the header.
    pub fn write_header(&self, bytes: &mut [u8]) {
        let header = &mut bytes[..HEADER];
        header.fill(0);
        header[..8].copy_from_slice(&MAGIC);
        let distance: u32 = match self.distance {
            Distance::Cosine => 0,
            Distance::DotProduct => 1,
            Distance::Euclidean => 2,
        };
        put(header, 8, distance.to_le_bytes());
        // All of these were seen to fit when the layout was made.
        let mut number = |at: usize, value: usize| put(header, at, (value as u32).to_le_bytes());
        number(12, self.dimension);
        number(16, self.rows);
        number(20, self.m);
        number(24, self.counts.len() - 1);
        for (level, count) in self.counts[1..].iter().enumerate() {
            number(COUNTS_AT + 4 * level, *count);
        }
        put(header, 32, self.unit.to_le_bytes());
        for (rung, recall) in self.ladder.recalls().iter().enumerate() {
            put(header, LADDER_AT + 4 * rung, recall.to_le_bytes());
        }
    }

    /// How many levels there are, level 0 included.
    pub fn levels(&self) -> usize {
        self.counts.len()
    }

    /// Nodes of a level.
    pub fn nodes(&self, level: usize) -> usize {
        self.counts[level]
    }

    /// Room for neighbours in a list of a level.
    pub fn degree(&self, level: usize) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    /// Writes the mean.
    pub fn write_mean(&self, bytes: &mut [u8], mean: &[f32]) {
        for (index, value) in mean.iter().enumerate() {
            put(bytes, self.mean + 4 * index, value.to_le_bytes());
        }
    }

    /// Writes the row of a node of the upper levels.
    pub fn write_upper(&self, bytes: &mut [u8], node: usize, row: u32) {
        put(bytes, self.upper + 4 * node, row.to_le_bytes());
    }

    /// Writes the neighbours of a node.
    pub fn write_neighbours(&self, bytes: &mut [u8], level: usize, node: u32, neighbours: &[u32]) {
        let width = 4 * self.degree(level);
        let start = self.levels[level] + node as usize * width;
        let list = neighbours.iter().copied().chain(std::iter::repeat(NONE));
        for (place, neighbour) in bytes[start..start + width].chunks_exact_mut(4).zip(list) {
            place.copy_from_slice(&neighbour.to_le_bytes());
        }
    }

    /// The terms and codes, to be filled.
    pub fn codes_mut<'a>(&self, bytes: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
        let (front, codes) = bytes.split_at_mut(self.codes);
        (&mut front[self.terms..][..8 * self.rows], codes)
    }
}

/// An index in its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Graph<'a> {
    pub layout: &'a Layout,
    bytes: &'a [u8],
    pub codes: Codes<'a>,
}

impl<'a> Graph<'a> {
    /// Over bytes of this layout.
    pub fn new(layout: &'a Layout, bytes: &'a [u8]) -> Self {
        let terms = &bytes[layout.terms..][..8 * layout.rows];
        let codes = &bytes[layout.codes..][..layout.rows * layout.dimension];
        Self { layout, bytes, codes: Codes::new(layout.dimension, codes, terms) }
    }

    /// The mean that was taken from vectors before they became codes.
    pub fn mean(&self) -> impl Iterator<Item = f32> + 'a {
        let mean = &self.bytes[self.layout.mean..][..4 * self.layout.dimension];
        mean.chunks_exact(4).map(|value| f32_at(value, 0))
    }

    /// One level.
    pub fn level(&self, level: usize) -> Level<'a> {
        let (nodes, degree) = (self.layout.nodes(level), self.layout.degree(level));
        let lists = &self.bytes[self.layout.levels[level]..][..nodes * degree * 4];
        let upper = (level > 0).then(|| &self.bytes[self.layout.upper..][..4 * nodes]);
        Level { lists, degree, nodes, upper }
    }
}

/// The lists of neighbours of one level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level<'a> {
    lists: &'a [u8],
    pub degree: usize,
    nodes: usize,
    /// The rows of the nodes; on level 0 they are the nodes themselves.
    upper: Option<&'a [u8]>,
}

impl<'a> Level<'a> {
    /// The neighbours of a node, the nearest first; all of them are nodes of this level.
    #[inline]
    pub fn neighbours(&self, node: u32) -> impl Iterator<Item = u32> + 'a {
        let width = 4 * self.degree;
        let nodes = self.nodes;
        let list = &self.lists[node as usize * width..][..width];
        list.chunks_exact(4).map(|place| u32_at(place, 0)).take_while(move |node| (*node as usize) < nodes)
    }

    /// Asks memory for the neighbours of a node.
    #[inline]
    pub fn prefetch(&self, node: u32) {
        let width = 4 * self.degree;
        prefetch(&self.lists[node as usize * width..][..width]);
    }

    /// Whether nodes are not rows.
    pub fn is_upper(&self) -> bool {
        self.upper.is_some()
    }

    /// The row of a node; of damaged bytes, it may be one that there is not.
    #[inline]
    pub fn row(&self, node: u32) -> u32 {
        match self.upper {
            None => node,
            Some(rows) => u32_at(rows, 4 * node as usize),
        }
    }
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

#[inline]
pub(super) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}
