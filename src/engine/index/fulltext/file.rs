//! The bytes of an index.
//!
//! ```text
//! magic (8 bytes) · XXH3-128 of all that follows (16)
//! rows (u32) · fields (u32) · hash of the parameters that decide the content (u64)
//! for each field: rows with a text (u32) · terms (u32) · words (u64) · where each of its parts ends (6 × u64)
//! the parts of each field: lengths · excess · table · blocks · postings · positions
//! ```
//! Numbers have their lowest byte first. *Lengths* are a byte for each row; *excess* says by how much
//! the lengths of rows are longer than their bytes, as pairs of varints (the distance from the row before,
//! the excess); *table* and *blocks* are the dictionary.
//!
//! Bytes are checked as they are used: whatever they are, reading ends in a result or in [`Damage`].

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{dictionary::Dictionary, length};
use crate::{
    engine::index::Content,
    error::Error,
    types::text::{FulltextParams, MAX_FIELDS},
};

const MAGIC: &[u8; 8] = b"QVTEXT01";
const HEAD: usize = 40;
const FIELD: usize = 16 + 8 * PARTS;
const PARTS: usize = 6;

/// What is wrong with the bytes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage(pub &'static str);

impl From<Damage> for Error {
    #[cold]
    fn from(damage: Damage) -> Self {
        Self::Corrupt { object: "an index of texts".into(), reason: damage.0.into() }
    }
}

/// An index has more than its numbers can say: a term's postings, its positions, or the terms of a field are
/// 4 GiB or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl From<TooLarge> for Error {
    #[cold]
    fn from(TooLarge: TooLarge) -> Self {
        Self::internal("a segment has more texts than one index can be over")
    }
}

/// A place in bytes, as it is written.
pub fn place(bytes: usize) -> Result<u32, TooLarge> {
    u32::try_from(bytes).map_err(|_| TooLarge)
}

/// What is written of a field.
#[derive(Debug, Default)]
pub struct FieldParts {
    /// Exact lengths of the rows' texts, in words that have a term.
    pub lengths: Vec<u32>,
    /// Terms.
    pub terms: u32,
    /// See the module: table, blocks, postings, positions.
    pub parts: [Vec<u8>; 4],
}

/// The bytes of an index.
pub fn write(params: &FulltextParams, rows: u32, fields: Vec<FieldParts>) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend_from_slice(&rows.to_le_bytes());
    head.extend_from_slice(&(fields.len() as u32).to_le_bytes());
    head.extend_from_slice(&fingerprint(params).to_le_bytes());
    let mut end = (HEAD + FIELD * fields.len()) as u64;
    let mut parts = Vec::new();
    for field in fields {
        let words: u64 = field.lengths.iter().map(|length| u64::from(*length)).sum();
        let with_text = field.lengths.iter().filter(|length| **length > 0).count() as u32;
        head.extend_from_slice(&with_text.to_le_bytes());
        head.extend_from_slice(&field.terms.to_le_bytes());
        head.extend_from_slice(&words.to_le_bytes());
        let lengths = field.lengths.iter().map(|length| length::to_byte(*length)).collect();
        let of_field = [lengths, length::excess(&field.lengths)].into_iter().chain(field.parts);
        for part in of_field {
            end += part.len() as u64;
            head.extend_from_slice(&end.to_le_bytes());
            parts.push(part);
        }
    }
    let mut bytes = Vec::with_capacity(end as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&head);
    parts.into_iter().for_each(|part| bytes.extend_from_slice(&part));
    let hash = xxh3_128(&bytes[24..]);
    bytes[8..24].copy_from_slice(&hash.to_le_bytes());
    bytes
}

/// A hash of what decides the content of an index.
fn fingerprint(params: &FulltextParams) -> u64 {
    let content = FulltextParams { weights: Default::default(), ..params.clone() };
    let content = FulltextParams { k1: Default::default(), b: Default::default(), ..content };
    xxh3_64(&serde_json::to_vec(&content).unwrap_or_default())
}

/// An index, opened.
#[derive(Debug, Clone)]
pub struct File {
    content: Content,
    rows: u32,
    fields: Vec<FieldHead>,
}

#[derive(Debug, Clone)]
struct FieldHead {
    rows: u32,
    terms: u32,
    words: u64,
    parts: [Range<usize>; PARTS],
}

/// A field of an index.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    content: &'a Content,
    head: &'a FieldHead,
    /// A byte for each row.
    pub lengths: &'a [u8],
    /// Its terms.
    pub dictionary: Dictionary<'a>,
}

impl File {
    /// Opens an index built with such parameters, or says what is wrong.
    pub fn open(content: Content, params: &FulltextParams) -> Result<Self, String> {
        let file = Self::read(content).ok_or("it is no index of texts")?;
        let made_for = file.content.all()[32..40].to_vec();
        if made_for != fingerprint(params).to_le_bytes() || file.fields.len() != params.fields.len() {
            return Err("it was built with other parameters".into());
        }
        Ok(file)
    }

    fn read(content: Content) -> Option<Self> {
        let size = content.size();
        if size < HEAD {
            return None;
        }
        let head = content.read(0..HEAD);
        let (rows, fields) = (u32_at(head, 24)?, u32_at(head, 28)? as usize);
        if !head.starts_with(MAGIC) || fields > MAX_FIELDS || size < HEAD + FIELD * fields {
            return None;
        }
        let heads = content.read(HEAD..HEAD + FIELD * fields);
        let mut end = HEAD + FIELD * fields;
        let heads: Option<Vec<_>> =
            heads.chunks_exact(FIELD).map(|head| field_head(head, &mut end, size)).collect();
        let fields = heads?;
        let has_all = fields.iter().all(|field| field.parts[0].len() == rows as usize && field.rows <= rows);
        (has_all && end == size).then_some(Self { content, rows, fields })
    }

    /// Compares the bytes with their hash.
    pub fn check(&self) -> Result<(), String> {
        let bytes = self.content.read(0..self.content.size());
        if xxh3_128(&bytes[24..]).to_le_bytes() == bytes[8..24] {
            Ok(())
        } else {
            Err("its hash is another".into())
        }
    }

    /// The bytes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// How many rows it is over.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.content.size()
    }

    /// How many fields.
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// How many terms, in all fields.
    pub fn terms(&self) -> u64 {
        self.fields.iter().map(|field| u64::from(field.terms)).sum()
    }

    /// A field by its place among the parameters' fields.
    pub fn field(&self, field: usize) -> Result<Field<'_>, Damage> {
        let head = self.fields.get(field).ok_or(Damage("a field is missing"))?;
        let part = |part: usize| self.content.read(head.parts[part].clone());
        let dictionary = Dictionary::new(part(2), part(3), head.terms);
        Ok(Field { content: &self.content, head, lengths: part(0), dictionary })
    }
}

impl<'a> Field<'a> {
    /// Rows that have a word in it, in any state.
    pub fn rows(&self) -> u32 {
        self.head.rows
    }

    /// Words in it, in all rows.
    pub fn words(&self) -> u64 {
        self.head.words
    }

    /// How many terms it has.
    pub fn terms(&self) -> u32 {
        self.head.terms
    }

    /// By how much rows are longer than their bytes say: pairs of row and excess, ascending.
    pub fn excess(&self) -> impl Iterator<Item = (u32, u32)> + 'a {
        length::read_excess(self.content.read(self.head.parts[1].clone()))
    }

    /// A part of the postings.
    pub fn postings(&self, range: &Range<usize>) -> Result<&'a [u8], Damage> {
        self.part(4, range)
    }

    /// A part of the positions.
    pub fn positions(&self, range: &Range<usize>) -> Result<&'a [u8], Damage> {
        self.part(5, range)
    }

    fn part(&self, part: usize, range: &Range<usize>) -> Result<&'a [u8], Damage> {
        let whole = &self.head.parts[part];
        if range.start > range.end || range.end > whole.len() {
            return Err(Damage("its dictionary is damaged"));
        }
        Ok(self.content.read(whole.start + range.start..whole.start + range.end))
    }
}

fn field_head(head: &[u8], end: &mut usize, size: usize) -> Option<FieldHead> {
    let mut parts = [const { 0..0 }; PARTS];
    for (place, part) in parts.iter_mut().enumerate() {
        let next = usize::try_from(u64_at(head, 16 + 8 * place)?).ok()?;
        if next < *end || next > size {
            return None;
        }
        *part = *end..next;
        *end = next;
    }
    Some(FieldHead { rows: u32_at(head, 0)?, terms: u32_at(head, 4)?, words: u64_at(head, 8)?, parts })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
