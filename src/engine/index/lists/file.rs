//! Lists as bytes, and the lists of such bytes.
//!
//! ```text
//! "QVLISTS1", length of the header (u32), the header (JSON, then spaces), zeros up to a multiple of 64
//! centroids   a byte per value, rotated, 128 is zero; one centroid after the other
//! scales      f32 per centroid: the value of a step
//! offsets     f32 per centroid: what is added to its inner product with a query to rank the list
//! starts      u32 per list and one more: its first entry among all entries
//! hashes      u64 per list: XXH3-64 of its bytes
//! shared      what the type of index keeps once for all lists
//! lists       per entry of a list its row (u32), then what the type of index keeps of each row
//! ```
//!
//! Little-endian throughout, and nothing is copied: numbers are read where they lie, at any address.
//! A centroid *is* what its bytes say; what was trained is forgotten, so that residuals are exact.
//!
//! All before the lists is the *head*. It says which lists a query wants and where they lie, so a search
//! can do with the head and those lists, each checked against its hash.
//!
//! Invariant: an opened file has every section in full and starts that ascend, so no list lies
//! outside of it; row numbers are compared with the number of rows when a row is scored.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    clusters::Clusters,
    partition::{Division, PIECE_BYTES, Partition},
    space::Space,
};
use crate::{
    engine::index::{
        Content, Query, VectorSource,
        codes::{CodeQuery, CodeType, Codes, Estimate},
        kernel::prefetch,
        rotation::rotated_dimension,
        shortlist::descending,
    },
    error::Error,
    types::Distance,
};

const MAGIC: &[u8; 8] = b"QVLISTS1";
const ALIGNMENT: usize = 64;
/// Lists that are looked at in the order of their distances.
const ORDERED: usize = 32;
/// Room for the header, which is written last: what is measured of an index is measured in its bytes.
const HEADER_BYTES: usize = (4 << 10) - 12;
/// Whatever a header says of its length, no more of it is read.
const MAX_HEADER: usize = 64 << 10;
/// More than any vector has.
const MAX_DIMENSION: usize = 1 << 16;

/// What an index of lists says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The type of index.
    pub index: String,
    /// Values per row.
    pub dimension: usize,
    /// The metric.
    pub distance: Distance,
    /// Rows.
    pub rows: usize,
    /// Lists.
    pub lists: usize,
    /// Rows in lists; more than `rows`, if some are in two.
    pub entries: usize,
    /// Bytes that each row has in a list, besides its number.
    pub entry_bytes: usize,
    /// Bytes of what all lists share.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shared_bytes: usize,
    /// Bits per value of the codes; none if there are no such codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_bits: Option<u8>,
    /// Subspaces of product quantisation; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subquantizers: Option<usize>,
    /// How far estimates are off that matter: a row is not worth a look whose estimate is so much
    /// below the worst score that is kept.
    #[serde(default)]
    pub margin: f32,
    /// Efforts and the share of the best 10 rows that they found for rows of the index.
    #[serde(default)]
    pub calibration: Vec<(f32, f32)>,
    /// The same of the best 100.
    #[serde(default)]
    pub calibration_100: Vec<(f32, f32)>,
    /// Efforts and how far the rank of the last list that was looked at was below the tenth row that was
    /// found, on average.
    #[serde(default)]
    pub gaps: Vec<(f32, f32)>,
    /// Division parameters, for indexes that continue this one.
    pub list_rows: usize,
    /// The share of rows in a second list.
    pub closure: f32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl Header {
    /// Of the lists of a partition, before anything was measured; `entry_bytes` is what each row has
    /// besides its number.
    pub fn new(
        index: &str,
        source: &dyn VectorSource,
        distance: Distance,
        division: &Division,
        partition: &Partition,
        entry_bytes: usize,
    ) -> Self {
        Self {
            index: index.into(),
            dimension: source.dimension(),
            distance,
            rows: source.rows(),
            lists: partition.lists.len(),
            entries: partition.lists.iter().map(Vec::len).sum(),
            entry_bytes,
            shared_bytes: 0,
            code_bits: None,
            subquantizers: None,
            margin: f32::MAX,
            calibration: Vec::new(),
            calibration_100: Vec::new(),
            gaps: Vec::new(),
            list_rows: division.list_rows,
            closure: division.closure,
        }
    }
}

/// Lists in bytes.
#[derive(Debug, Clone)]
pub struct Lists {
    header: Header,
    space: Space,
    head: Content,
    centroids: Range<usize>,
    scales: Range<usize>,
    offsets: Range<usize>,
    starts: Range<usize>,
    hashes: Range<usize>,
    shared: Range<usize>,
    entries: Entries,
    longest: usize,
}

/// The bytes of the lists themselves.
#[derive(Debug, Clone)]
enum Entries {
    /// Of all, one after the other.
    All(Content),
    /// Of those that were supplied.
    Supplied(HashMap<usize, Bytes>),
}

/// A list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Row numbers, u32 each, ascending.
    pub rows: &'a [[u8; 4]],
    /// What else there is of the rows.
    pub rest: &'a [u8],
}

/// Centroids as they are written.
#[derive(Debug, Clone, Default)]
pub struct Quantized {
    codes: Vec<u8>,
    scales: Vec<f32>,
    /// What the bytes stand for.
    pub clusters: Clusters,
}

impl Quantized {
    /// The nearest that bytes can say.
    pub fn new(clusters: &Clusters) -> Self {
        Self::keeping(clusters, |_| None)
    }

    /// The same, but for those that are the centroids of lists: they have the bytes that they had.
    pub fn keeping<'a>(clusters: &Clusters, kept: impl Fn(usize) -> Option<(&'a Lists, usize)>) -> Self {
        let dimension = clusters.dimension();
        let mut quantized = Self { codes: Vec::new(), scales: Vec::new(), clusters: Clusters::default() };
        let mut values = Vec::with_capacity(clusters.values().len());
        for (list, centroid) in clusters.values().chunks_exact(dimension).enumerate() {
            if let Some((codes, scale)) = kept(list).map(|(lists, list)| lists.centroid(list)) {
                quantized.codes.extend_from_slice(codes);
                quantized.scales.push(scale);
                values.extend_from_slice(centroid);
                continue;
            }
            let largest = centroid.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let scale = largest / 127.0;
            let inverse = if scale > 0.0 && scale.is_finite() { 1.0 / scale } else { 0.0 };
            for value in centroid {
                let level = (value * inverse).round().clamp(-127.0, 127.0) as i16;
                quantized.codes.push((level + 128) as u8);
                values.push(f32::from(level) * scale);
            }
            quantized.scales.push(scale);
        }
        quantized.clusters = Clusters::new(dimension, values);
        quantized
    }

    /// A byte per value, then a scale per vector.
    pub fn bytes(&self) -> Vec<u8> {
        let scales = self.scales.iter().flat_map(|scale| scale.to_le_bytes());
        self.codes.iter().copied().chain(scales).collect()
    }
}

/// What a file is written from, but for its header and what lists have of their rows.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// The rows of each list.
    pub partition: &'a Partition,
    /// The centroids of the lists.
    pub centroids: &'a Quantized,
    /// What all lists share.
    pub shared: &'a [u8],
}

impl Written<'_> {
    /// The bytes of a file. `read` gets what it takes to code a run of lists, and `code` writes what one of
    /// them has of its rows besides their numbers. The file is in memory once, since it is most of what
    /// building an index needs.
    ///
    /// # Errors
    /// Those of `read`, and if the header is too long.
    pub fn encode<P: Sync>(
        &self,
        header: &Header,
        read: impl Fn(Range<usize>) -> crate::error::Result<P>,
        code: impl Fn(&P, usize, &mut [u8]) + Sync,
    ) -> crate::error::Result<Vec<u8>> {
        let lists = &self.partition.lists;
        let (mut file, entry) = (self.head(header), header.entry_bytes + 4);
        let head = file.len();
        file.reserve_exact(header.entries * entry);
        file.resize(head + header.entries * entry, 0);
        let (head, mut rest) = file.split_at_mut(head);
        let hashes = head.len() - self.shared.len() - lists.len() * 8;
        let mut places = Vec::with_capacity(lists.len());
        for rows in lists {
            places.push(rest.split_off_mut(..rows.len() * entry).unwrap_or_default());
        }
        let hashes = head[hashes..].as_chunks_mut::<8>().0;
        for run in self.runs(PIECE_BYTES / (self.centroids.clusters.dimension() * size_of::<f32>())) {
            let piece = read(run.clone())?;
            let places = places[run.clone()].par_iter_mut().zip(&mut hashes[run.clone()]);
            run.into_par_iter().zip(places).for_each(|(list, (place, hash))| {
                let rows = &lists[list];
                let (numbers, others) = place.split_at_mut(rows.len() * 4);
                let numbers = numbers.as_chunks_mut::<4>().0;
                numbers.iter_mut().zip(rows).for_each(|(place, row)| *place = row.to_le_bytes());
                code(&piece, list, others);
                *hash = xxh3_64(place).to_le_bytes();
            });
        }
        write_header(&mut file, header)?;
        Ok(file)
    }

    /// Runs of lists that have so many rows together, or a little more.
    fn runs(&self, rows: usize) -> Vec<Range<usize>> {
        let (mut runs, mut start, mut count) = (Vec::new(), 0, 0);
        for (list, members) in self.partition.lists.iter().enumerate() {
            count += members.len();
            if count >= rows {
                runs.push(start..list + 1);
                (start, count) = (list + 1, 0);
            }
        }
        runs.push(start..self.partition.lists.len());
        runs
    }

    /// All before the lists, with room for the header and the hashes.
    fn head(&self, header: &Header) -> Vec<u8> {
        let Self { partition, centroids, shared } = *self;
        let mut head = vec![0; (12 + HEADER_BYTES).next_multiple_of(ALIGNMENT)];
        head.extend(centroids.bytes());
        for centroid in centroids.clusters.values().chunks_exact(centroids.clusters.dimension()) {
            let half_square = centroid.iter().map(|value| value * value).sum::<f32>() / 2.0;
            let offset = if header.distance == Distance::DotProduct { 0.0 } else { -half_square };
            head.extend_from_slice(&offset.to_le_bytes());
        }
        let mut start = 0_u32;
        head.extend_from_slice(&start.to_le_bytes());
        for list in &partition.lists {
            start += list.len() as u32;
            head.extend_from_slice(&start.to_le_bytes());
        }
        head.resize(head.len() + partition.lists.len() * 8, 0);
        head.extend_from_slice(shared);
        head
    }
}

/// Writes the header of a file in its place.
///
/// # Errors
/// If it is too long for it.
pub fn write_header(file: &mut [u8], header: &Header) -> crate::error::Result<()> {
    let mut json = serde_json::to_vec(header).map_err(Error::internal)?;
    if json.len() > HEADER_BYTES {
        return Err(Error::internal("the header of an index is too long"));
    }
    json.resize(HEADER_BYTES, b' ');
    file[..8].copy_from_slice(MAGIC);
    file[8..12].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
    file[12..12 + HEADER_BYTES].copy_from_slice(&json);
    Ok(())
}

impl Lists {
    /// Opens a file, or says what is wrong with it.
    pub fn open(content: impl Into<Content>) -> Result<Self, String> {
        let content = content.into();
        let (mut lists, end) = Self::parse(&content)?;
        if end != content.size() {
            return Err(format!("it has {} bytes, its header says {end}", content.size()));
        }
        lists.entries = Entries::All(content.slice(lists.head.size()..end));
        Ok(lists)
    }

    /// Opens a file of `length` bytes of which only the head is here: no list is, until it is supplied.
    pub fn open_head(head: &Bytes, length: u64) -> Result<Self, String> {
        let (lists, end) = Self::parse(&head.clone().into())?;
        if end as u64 != length || lists.head.size() != head.len() {
            return Err(format!("it has {length} bytes, its header says {end}"));
        }
        Ok(lists)
    }

    /// Reads the head, and how long the file has to be.
    fn parse(content: &Content) -> Result<(Self, usize), String> {
        let bytes = content.all();
        let fixed =
            bytes.get(..12).filter(|start| start.starts_with(MAGIC)).ok_or("it is no file of lists")?;
        let length = u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]) as usize;
        let json = bytes.get(12..12 + length.min(MAX_HEADER)).ok_or("its header is cut off")?;
        let header: Header = serde_json::from_slice(json).map_err(|error| format!("its header: {error}"))?;
        if !(1..=MAX_DIMENSION).contains(&header.dimension) || header.rows > u32::MAX as usize {
            return Err("its header is beyond all bounds".into());
        }
        let values = rotated_dimension(header.dimension);
        let sizes = [
            header.lists.checked_mul(values),
            header.lists.checked_mul(4),
            header.lists.checked_mul(4),
            header.lists.checked_add(1).and_then(|starts| starts.checked_mul(4)),
            header.lists.checked_mul(8),
            Some(header.shared_bytes),
        ];
        let mut end = (12 + length).next_multiple_of(ALIGNMENT);
        let mut sections = [const { 0..0 }; 6];
        for (section, size) in sections.iter_mut().zip(sizes) {
            let start = end;
            end = size.and_then(|size| start.checked_add(size)).ok_or("its header is beyond all bounds")?;
            *section = start..end;
        }
        if end > bytes.len() {
            return Err(format!("it has {} bytes, its head alone {end}", bytes.len()));
        }
        let entries = header.entry_bytes.checked_add(4).and_then(|bytes| header.entries.checked_mul(bytes));
        let file = entries.and_then(|size| end.checked_add(size)).ok_or("its header is beyond all bounds")?;
        let [centroids, scales, offsets, starts, hashes, shared] = sections;
        let (head, entries) = (content.slice(0..end), Entries::Supplied(HashMap::new()));
        let space = Space::new(header.distance, header.dimension);
        let mut lists = Self {
            header,
            space,
            head,
            centroids,
            scales,
            offsets,
            starts,
            hashes,
            shared,
            entries,
            longest: 0,
        };
        let starts = words(lists.part(&lists.starts));
        let ends = [starts.first(), starts.last()]
            .map(|start| start.map(|start| u32::from_le_bytes(*start) as usize));
        let ascend = starts.is_sorted_by_key(|start| u32::from_le_bytes(*start));
        if !ascend || ends != [Some(0), Some(lists.header.entries)] {
            return Err("its lists overlap".into());
        }
        let length = |pair: &[[u8; 4]]| u32::from_le_bytes(pair[1]) - u32::from_le_bytes(pair[0]);
        lists.longest = starts.windows(2).map(length).max().unwrap_or(0) as usize;
        Ok((lists, file))
    }

    /// A section of the head.
    fn part(&self, section: &Range<usize>) -> &[u8] {
        self.head.read(section.clone())
    }

    /// Bytes of the head.
    pub fn head_bytes(&self) -> usize {
        self.head.size()
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.header.lists
    }

    /// In how many lists a row is at most.
    pub fn copies(&self) -> usize {
        if self.header.entries > self.header.rows { 2 } else { 1 }
    }

    /// Asks memory for a list.
    pub fn prefetch(&self, list: usize) {
        let list = self.list(list);
        prefetch(list.rows);
        prefetch(list.rest);
    }

    /// A list; an empty one in place of one that is not here.
    pub fn list(&self, list: usize) -> List<'_> {
        let (first, end) = self.bounds(list);
        let entry = self.header.entry_bytes + 4;
        let bytes = match &self.entries {
            Entries::All(content) => content.read(first * entry..end * entry),
            Entries::Supplied(lists) => match lists.get(&list) {
                Some(bytes) => &bytes[..],
                None => return List { rows: &[], rest: &[] },
            },
        };
        let (rows, rest) = bytes.split_at((end - first) * 4);
        List { rows: words(rows), rest }
    }

    /// Where a list lies in the file.
    pub fn range(&self, list: usize) -> Range<u64> {
        let (head, place) = (self.head.size(), self.place(list));
        (head + place.start) as u64..(head + place.end) as u64
    }

    /// The same file, of which only these lists are here.
    pub fn only(&self, lists: impl Iterator<Item = u32>) -> Self {
        let bytes = |list: usize| match &self.entries {
            Entries::All(content) => Some(content.slice(self.place(list)).into_bytes()),
            Entries::Supplied(lists) => lists.get(&list).cloned(),
        };
        let lists = lists.filter_map(|list| Some((list as usize, bytes(list as usize)?)));
        Self { entries: Entries::Supplied(lists.collect()), ..self.clone() }
    }

    /// Takes the bytes of a list, or says what is wrong with them.
    pub fn supply(&mut self, list: usize, bytes: Bytes) -> Result<(), String> {
        self.check(list, &bytes)?;
        if let Entries::Supplied(lists) = &mut self.entries {
            lists.insert(list, bytes);
        }
        Ok(())
    }

    /// Whether a list is here.
    pub fn is_here(&self, list: usize) -> bool {
        match &self.entries {
            Entries::All(_) => list < self.len(),
            Entries::Supplied(lists) => lists.contains_key(&list),
        }
    }

    /// Compares all lists that are here with their hashes.
    pub fn check_all(&self) -> Result<(), String> {
        match &self.entries {
            Entries::All(content) => {
                (0..self.len()).try_for_each(|list| self.check(list, content.read(self.place(list))))
            }
            Entries::Supplied(lists) => lists.iter().try_for_each(|(list, bytes)| self.check(*list, bytes)),
        }
    }

    fn check(&self, list: usize, bytes: &[u8]) -> Result<(), String> {
        let hashes = self.part(&self.hashes).as_chunks::<8>().0;
        let expected = hashes.get(list).map(|hash| u64::from_le_bytes(*hash));
        if expected != Some(xxh3_64(bytes)) || bytes.len() != self.place(list).len() {
            return Err(format!("its list {list} does not match its hash"));
        }
        Ok(())
    }

    /// Where a list lies behind the head.
    fn place(&self, list: usize) -> Range<usize> {
        let (first, end) = self.bounds(list);
        let entry = self.header.entry_bytes + 4;
        first * entry..end * entry
    }

    /// The first entry of a list among all, and the one after its last.
    fn bounds(&self, list: usize) -> (usize, usize) {
        let starts = words(self.part(&self.starts));
        let entry = |start: [u8; 4]| u32::from_le_bytes(start) as usize;
        (entry(starts[list]), entry(starts[list + 1]))
    }

    /// The bytes of a centroid, and the value of a step.
    fn centroid(&self, list: usize) -> (&[u8], f32) {
        let values = rotated_dimension(self.header.dimension);
        let codes = &self.part(&self.centroids)[list * values..(list + 1) * values];
        (codes, f32::from_le_bytes(words(self.part(&self.scales))[list]))
    }

    /// The centroids, as they were when the file was written.
    pub fn clusters(&self) -> Clusters {
        let value = |(code, scale): (&u8, f32)| f32::from(i16::from(*code) - 128) * scale;
        let values = (0..self.len()).flat_map(|list| {
            let (codes, scale) = self.centroid(list);
            codes.iter().map(move |code| value((code, scale)))
        });
        Clusters::new(rotated_dimension(self.header.dimension), values.collect())
    }

    /// The number of rows in the longest list.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// What all lists share.
    pub fn shared(&self) -> &[u8] {
        self.part(&self.shared)
    }

    /// Replaces [`Header::margin`], of an index that is being measured.
    pub fn set_margin(&mut self, margin: f32) {
        self.header.margin = margin;
    }

    /// The inner products of a placed query with all centroids.
    pub fn products(&self, placed: &[f32]) -> Vec<f32> {
        products(self.part(&self.centroids), words(self.part(&self.scales)), placed)
    }

    /// The inner products of a query with all centroids.
    pub fn products_with(&self, query: &Query) -> Vec<f32> {
        self.products(&self.space.query(query.vector()))
    }

    /// The `count` lists nearest to a query by its inner products with all centroids: the nearest few
    /// first and in order, so that what they hold sets the bar for the others, which follow as they lie.
    pub fn nearest(&self, products: &[f32], count: usize) -> Vec<u32> {
        let mut keys = self.keys(products);
        if count < keys.len() {
            keys.select_nth_unstable(count);
            keys.truncate(count);
        }
        let ordered = ORDERED.min(keys.len());
        if ordered < keys.len() {
            keys.select_nth_unstable(ordered);
        }
        keys[..ordered].sort_unstable();
        keys.into_iter().map(|key| key as u32).collect()
    }

    /// The lists that follow the `count` nearest, the nearest first, as far as they rank at least `floor`.
    pub fn further(&self, products: &[f32], count: usize, floor: f32) -> Vec<u32> {
        let mut keys = self.keys(products);
        let floor = u64::from(descending(floor)) << 32 | u64::from(u32::MAX);
        keys.retain(|key| *key <= floor);
        keys.sort_unstable();
        keys.into_iter().skip(count).map(|key| key as u32).collect()
    }

    /// By which lists are ranked: an estimate of the best of their rows, so to say, where a list is one
    /// row, its centroid.
    pub fn ranks(&self, products: &[f32]) -> Vec<f32> {
        let offsets = words(self.part(&self.offsets));
        products.iter().zip(offsets).map(|(product, offset)| product + f32::from_le_bytes(*offset)).collect()
    }

    /// For each list a number, smaller the higher it ranks, the lower half of which is the list.
    fn keys(&self, products: &[f32]) -> Vec<u64> {
        let offsets = words(self.part(&self.offsets));
        let key = |(list, (product, offset)): (usize, (&f32, &[u8; 4]))| {
            u64::from(descending(product + f32::from_le_bytes(*offset))) << 32 | list as u64
        };
        products.iter().zip(offsets).enumerate().map(key).collect()
    }

    /// Bytes that every search reads.
    pub fn resident_bytes(&self) -> u64 {
        let entries = match &self.entries {
            Entries::All(content) => content.size(),
            Entries::Supplied(lists) => lists.values().map(Bytes::len).sum(),
        };
        (self.head.size() + entries) as u64
    }

    /// The space of the rows.
    pub fn space(&self) -> &Space {
        &self.space
    }
}

/// The inner products of a vector with rows of bytes, as [`Quantized::bytes`] has them.
pub fn products(codes: &[u8], scales: &[[u8; 4]], vector: &[f32]) -> Vec<f32> {
    let mut products = vec![0.0; scales.len()];
    let zeros = &[[0; 4]; 256];
    let query = CodeQuery::new(CodeType::Eight, vector);
    let parts = codes.chunks(vector.len() * zeros.len()).zip(scales.chunks(zeros.len()));
    for (products, (codes, scales)) in products.chunks_mut(zeros.len()).zip(parts) {
        query.estimate(&Codes { codes, scales, adds: &zeros[..products.len()] }, 0.0, products);
    }
    products
}

/// Bytes as words of four; what does not fill one is left out.
pub fn words(bytes: &[u8]) -> &[[u8; 4]] {
    bytes.as_chunks::<4>().0
}
