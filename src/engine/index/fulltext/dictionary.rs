//! The terms of a field, sorted by their bytes, and where their postings are.
//!
//! Blocks of 16 terms; a term is written as what differs from the one before it in the block, its
//! number of rows, and the sizes of its postings and positions, which lie one after the other. A table
//! of the blocks' places is searched by their first terms.

use std::ops::Range;

use super::{
    file::{Damage, TooLarge, place},
    varint,
};

/// Terms in a block.
const TERMS: usize = 16;

/// Where a term's postings are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Rows that have it.
    pub rows: u32,
    /// Its postings, in bytes of those of the field.
    pub postings: Range<usize>,
    /// Its positions, likewise.
    pub positions: Range<usize>,
}

/// Writes a dictionary.
#[derive(Debug, Default)]
pub struct Writer {
    /// The places of blocks.
    pub table: Vec<u8>,
    /// The blocks.
    pub blocks: Vec<u8>,
    /// How many terms.
    pub terms: u32,
    last: Vec<u8>,
}

impl Writer {
    /// Adds a term, which is after all others.
    pub fn push(&mut self, term: &[u8], entry: &Entry) -> Result<(), TooLarge> {
        let mut shared = 0;
        if (self.terms as usize).is_multiple_of(TERMS) {
            self.table.extend_from_slice(&place(self.blocks.len())?.to_le_bytes());
            varint::write(entry.postings.start as u64, &mut self.blocks);
            varint::write(entry.positions.start as u64, &mut self.blocks);
        } else {
            shared = self.last.iter().zip(term).take_while(|(left, right)| left == right).count();
        }
        for number in [shared, term.len() - shared] {
            varint::write(number as u64, &mut self.blocks);
        }
        self.blocks.extend_from_slice(&term[shared..]);
        for number in [entry.rows as usize, entry.postings.len(), entry.positions.len()] {
            varint::write(number as u64, &mut self.blocks);
        }
        self.last = term.to_vec();
        self.terms = self.terms.checked_add(1).ok_or(TooLarge)?;
        Ok(())
    }
}

/// A dictionary, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Dictionary<'a> {
    table: &'a [u8],
    blocks: &'a [u8],
    terms: u32,
}

impl<'a> Dictionary<'a> {
    /// The dictionary of these parts of a file.
    pub fn new(table: &'a [u8], blocks: &'a [u8], terms: u32) -> Self {
        Self { table, blocks, terms }
    }

    /// Where a term's postings are, if it is here.
    pub fn get(&self, term: &[u8]) -> Result<Option<Entry>, Damage> {
        let mut terms = self.at_or_after(term)?;
        let is_here = terms.next()? && terms.term() == term;
        Ok(is_here.then(|| terms.entry.clone()))
    }

    /// The terms from this one on.
    pub fn at_or_after(&self, term: &[u8]) -> Result<Terms<'a>, Damage> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first(middle)? <= term { low = middle + 1 } else { high = middle }
        }
        let mut terms = self.terms(low.saturating_sub(1));
        while terms.next()? {
            if terms.term() >= term {
                terms.is_kept = true;
                break;
            }
        }
        Ok(terms)
    }

    /// The terms from a block on.
    pub fn terms(&self, block: usize) -> Terms<'a> {
        let next = block.saturating_mul(TERMS);
        let entry = Entry { rows: 0, postings: 0..0, positions: 0..0 };
        Terms { dictionary: *self, next, rest: &[], term: Vec::new(), entry, is_kept: false }
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        (self.terms as usize).div_ceil(TERMS)
    }

    /// The first term of a block.
    pub fn first(&self, block: usize) -> Result<&'a [u8], Damage> {
        let mut rest = self.block(block)?;
        let mut head = || {
            varint::read(&mut rest)?;
            varint::read(&mut rest)?;
            varint::read(&mut rest).filter(|shared| *shared == 0)?;
            let length = varint::read_u32(&mut rest)? as usize;
            varint::take(&mut rest, length)
        };
        head().ok_or(DAMAGE)
    }

    fn block(&self, block: usize) -> Result<&'a [u8], Damage> {
        let place = self.table.get(4 * block..4 * block + 4).and_then(|bytes| bytes.try_into().ok());
        place.and_then(|place| self.blocks.get(u32::from_le_bytes(place) as usize..)).ok_or(DAMAGE)
    }
}

const DAMAGE: Damage = Damage("its dictionary is damaged");

/// Terms one after the other.
#[derive(Debug)]
pub struct Terms<'a> {
    dictionary: Dictionary<'a>,
    next: usize,
    rest: &'a [u8],
    term: Vec<u8>,
    /// Where the postings of the current term are.
    pub entry: Entry,
    /// Whether the current term is to be returned again.
    is_kept: bool,
}

impl Terms<'_> {
    /// Goes to the next term; whether there is one.
    pub fn next(&mut self) -> Result<bool, Damage> {
        if std::mem::take(&mut self.is_kept) {
            return Ok(true);
        }
        if self.next >= self.dictionary.terms as usize {
            return Ok(false);
        }
        self.read().ok_or(DAMAGE)?
    }

    /// The current term.
    pub fn term(&self) -> &[u8] {
        &self.term
    }

    /// The block of the next term.
    pub fn block(&self) -> usize {
        self.next / TERMS
    }

    /// Whether the next term is the first of a block.
    pub fn is_at_block(&self) -> bool {
        !self.is_kept && self.next.is_multiple_of(TERMS) && self.next < self.dictionary.terms as usize
    }

    fn read(&mut self) -> Option<Result<bool, Damage>> {
        let is_first = self.next.is_multiple_of(TERMS);
        if is_first {
            match self.dictionary.block(self.next / TERMS) {
                Ok(block) => self.rest = block,
                Err(damage) => return Some(Err(damage)),
            }
            let start = |rest: &mut _| varint::read(rest).and_then(|start| usize::try_from(start).ok());
            self.entry.postings.end = start(&mut self.rest)?;
            self.entry.positions.end = start(&mut self.rest)?;
        }
        let mut number = || varint::read_u32(&mut self.rest).map(|number| number as usize);
        let (shared, length) = (number()?, number()?);
        if shared > if is_first { 0 } else { self.term.len() } {
            return None;
        }
        self.term.truncate(shared);
        self.term.extend_from_slice(varint::take(&mut self.rest, length)?);
        self.entry.rows = varint::read_u32(&mut self.rest)?;
        for range in [&mut self.entry.postings, &mut self.entry.positions] {
            let size = usize::try_from(varint::read(&mut self.rest)?).ok()?;
            *range = range.end..range.end.checked_add(size)?;
        }
        self.next += 1;
        Some(Ok(true))
    }
}
