//! The rows that have a term: how often, and where in the text.
//!
//! Blocks of 128 rows ([`super::pack`]): distances between rows, then counts, both less one. A table
//! before them tells of each block its last row, where it and its positions begin, and bounds of the
//! scores in it ([`Bounds`]); the rest, and the rows of rarer terms, are varints.
//!
//! Positions are varints, for each row the distances from one to the next.

use super::{
    bounds::Bounds,
    file::{Damage, TooLarge, place},
    pack::{self, BLOCK},
    varint,
};

/// Bytes of a block's entry in the table: its last row, where it begins, where its positions begin,
/// bounds, and the widths of its numbers.
const ENTRY: usize = 20;

/// Distances of so many bits add up to less than 2³² in a block.
const NARROW: u8 = 24;

const DAMAGE: Damage = Damage("its postings are damaged");

/// Writes the postings of a term.
#[derive(Debug, Default)]
pub struct Writer {
    rows: Vec<u32>,
    counts: Vec<u32>,
    /// Where the positions of every 128th row begin.
    positions: Vec<usize>,
    bounds: Vec<Bounds>,
}

impl Writer {
    /// Adds a row, which is after all others: how often it has the term, the byte of its length, and
    /// where in the positions of the term its own begin.
    pub fn push(&mut self, row: u32, count: u32, length: u8, positions: usize) {
        if self.rows.len().is_multiple_of(BLOCK) {
            self.positions.push(positions);
            self.bounds.push(Bounds::default());
        }
        if let Some(bounds) = self.bounds.last_mut() {
            bounds.add(count, length);
        }
        self.rows.push(row);
        self.counts.push(count);
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Appends the postings, and begins anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let (mut table, mut data) = (Vec::new(), Vec::new());
        let mut before = None;
        let blocks = self.rows.chunks(BLOCK).zip(self.counts.chunks(BLOCK)).enumerate();
        for (block, (rows, counts)) in blocks {
            let begin = place(data.len())?;
            let widths = write_block(rows, counts, before, &mut data);
            before = rows.last().copied();
            table.extend_from_slice(&before.unwrap_or_default().to_le_bytes());
            table.extend_from_slice(&begin.to_le_bytes());
            table.extend_from_slice(&place(self.positions[block])?.to_le_bytes());
            table.extend_from_slice(&self.bounds[block].to_bytes());
            table.extend_from_slice(&[widths.0, widths.1, 0]);
        }
        if self.rows.len() >= BLOCK {
            out.extend_from_slice(&table);
        }
        out.extend_from_slice(&data);
        *self = Self::default();
        Ok(())
    }
}

/// Appends a block; the widths of its numbers.
fn write_block(rows: &[u32], counts: &[u32], before: Option<u32>, data: &mut Vec<u8>) -> (u8, u8) {
    let mut next = before.map_or(0, |row| row + 1);
    let distances = rows.iter().map(|row| row - std::mem::replace(&mut next, row + 1));
    if rows.len() < BLOCK {
        for (distance, count) in distances.zip(counts) {
            varint::write(u64::from(distance) << 1 | u64::from(*count == 1), data);
            if *count != 1 {
                varint::write(u64::from(*count), data);
            }
        }
        return (0, 0);
    }
    let (mut of_rows, mut of_counts) = ([0; BLOCK], [0; BLOCK]);
    distances.zip(&mut of_rows).for_each(|(distance, number)| *number = distance);
    counts.iter().zip(&mut of_counts).for_each(|(count, number)| *number = count - 1);
    let widths = (pack::width(&of_rows), pack::width(&of_counts));
    pack::pack(&of_rows, widths.0, data);
    pack::pack(&of_counts, widths.1, data);
    widths
}

/// Makes rows of their distances, less one, from the row before; how far the last one is from that, if
/// this is less than 2³².
fn sum_up(rows: &mut [u32; BLOCK], before: u32) -> u32 {
    let mut last = before;
    for four in rows.as_chunks_mut::<4>().0 {
        // So that not each row waits for the one before it, but each four.
        let [one, two, three, fourth] = four.map(|distance| distance.wrapping_add(1));
        let (half, rest) = (one.wrapping_add(two), three.wrapping_add(fourth));
        *four =
            [one, half, half.wrapping_add(three), half.wrapping_add(rest)].map(|sum| last.wrapping_add(sum));
        last = four[3];
    }
    last.wrapping_sub(before)
}

/// Goes through the postings of a term, block by block.
#[derive(Clone)]
pub struct Cursor<'a> {
    rows: u32,
    table: &'a [u8],
    data: &'a [u8],
    positions: &'a [u8],
    /// Rows of the index: no posting is beyond.
    limit: u32,
    /// The block that was read last.
    block: Option<usize>,
    length: usize,
    read: Box<Block>,
}

/// Rows and counts of a block.
#[derive(Clone)]
struct Block {
    rows: [u32; BLOCK],
    counts: [u32; BLOCK],
}

impl<'a> Cursor<'a> {
    /// Before the first block of the postings of a term that so many rows have, in an index over `limit`.
    pub fn new(rows: u32, limit: u32, postings: &'a [u8], positions: &'a [u8]) -> Result<Self, Damage> {
        let table = if rows as usize >= BLOCK { (rows as usize).div_ceil(BLOCK) * ENTRY } else { 0 };
        let (table, data) = postings.split_at_checked(table).ok_or(DAMAGE)?;
        if rows > limit {
            return Err(DAMAGE);
        }
        let read = Box::new(Block { rows: [0; BLOCK], counts: [0; BLOCK] });
        Ok(Self { rows, table, data, positions, limit, block: None, length: 0, read })
    }

    /// Rows that have the term.
    pub fn len(&self) -> u32 {
        self.rows
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        (self.rows as usize).div_ceil(BLOCK)
    }

    /// Rows in a block.
    pub fn rows_in(&self, block: usize) -> u64 {
        (self.rows as usize).saturating_sub(block * BLOCK).min(BLOCK) as u64
    }

    /// The last row of a block, if that is known before it is read.
    pub fn last_row(&self, block: usize) -> Option<u32> {
        self.number(block, 0)
    }

    /// The bounds of a block, if they are known before it is read.
    pub fn bounds(&self, block: usize) -> Option<Bounds> {
        let entry = self.table.get(block * ENTRY..(block + 1) * ENTRY)?;
        Some(Bounds::from_bytes(entry[12..17].try_into().ok()?))
    }

    /// The first block from `block` on that has a row from `row` on; the number of blocks if none has.
    pub fn seek(&self, block: usize, row: u32) -> usize {
        let mut low = block;
        let mut step = 1;
        // What is sought is near most of the time.
        while self.last_row(low + step - 1).is_some_and(|last| last < row) {
            low += step;
            step *= 2;
        }
        let mut high = (low + step - 1).min(self.blocks());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.last_row(middle).is_some_and(|last| last < row) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    }

    /// Reads a block: its rows, ascending, and how often each has the term.
    pub fn read(&mut self, block: usize) -> Result<(&[u32], &[u32]), Damage> {
        if self.block != Some(block) {
            self.block = None;
            self.decode(block).ok_or(DAMAGE)?;
            self.block = Some(block);
        }
        Ok((&self.read.rows[..self.length], &self.read.counts[..self.length]))
    }

    fn number(&self, block: usize, at: usize) -> Option<u32> {
        let at = block * ENTRY + at;
        Some(u32::from_le_bytes(self.table.get(at..at + 4)?.try_into().ok()?))
    }

    fn decode(&mut self, block: usize) -> Option<()> {
        let next = match block.checked_sub(1) {
            Some(before) => self.last_row(before)?.checked_add(1)?,
            None => 0,
        };
        let place = if self.table.is_empty() { 0 } else { self.number(block, 4)? as usize };
        let data = self.data.get(place..)?;
        self.length = (self.rows as usize).checked_sub(block * BLOCK)?.min(BLOCK);
        if self.length < BLOCK { self.decode_rest(data, next) } else { self.decode_packed(block, data, next) }
    }

    fn decode_packed(&mut self, block: usize, data: &[u8], next: u32) -> Option<()> {
        let widths = &self.table[block * ENTRY + 17..block * ENTRY + 19];
        pack::unpack(data, widths[0], &mut self.read.rows)?;
        pack::unpack(data.get(pack::size(widths[0])..)?, widths[1], &mut self.read.counts)?;
        let last = self.last_row(block).filter(|last| *last < self.limit)?;
        let wide = (widths[0] > NARROW)
            .then(|| self.read.rows.iter().map(|distance| u64::from(*distance) + 1).sum::<u64>());
        let sum = sum_up(&mut self.read.rows, next.wrapping_sub(1));
        // If the distances lead to the last row exactly, none of them wrapped around.
        if u64::from(next) + wide.unwrap_or(sum.into()) != u64::from(last) + 1 {
            return None;
        }
        if widths[1] == 32 && self.read.counts.contains(&u32::MAX) {
            return None;
        }
        self.read.counts.iter_mut().for_each(|count| *count = count.wrapping_add(1));
        Some(())
    }

    fn decode_rest(&mut self, mut data: &[u8], mut next: u32) -> Option<()> {
        for place in 0..self.length {
            let number = varint::read(&mut data)?;
            let row = u32::try_from(number >> 1).ok()?.checked_add(next).filter(|row| *row < self.limit)?;
            self.read.rows[place] = row;
            self.read.counts[place] = if number & 1 == 1 { 1 } else { varint::read_u32(&mut data)? };
            next = row + 1;
        }
        Some(())
    }

    /// Reads the positions of the rows of a block into `out`, one after the other. At most as many as
    /// there are bytes.
    pub fn positions(&self, block: usize, counts: &[u32], out: &mut Vec<u32>) -> Result<(), Damage> {
        out.clear();
        let place = if self.table.is_empty() { Some(0) } else { self.number(block, 8) };
        let mut bytes = place.and_then(|place| self.positions.get(place as usize..)).ok_or(DAMAGE)?;
        for count in counts {
            let mut position = 0_u32;
            for _ in 0..*count {
                let distance = varint::read_u32(&mut bytes).ok_or(DAMAGE)?;
                position = position.checked_add(distance).ok_or(DAMAGE)?;
                out.push(position);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numbers_cannot_say_is_not_written() {
        let write = |positions| {
            let mut writer = Writer::default();
            for row in 0..BLOCK as u32 {
                writer.push(row, 1, 1, positions);
            }
            writer.finish(&mut Vec::new())
        };
        assert_eq!(write(u32::MAX as usize), Ok(()));
        assert_eq!(write(u32::MAX as usize + 1), Err(TooLarge));
        assert_eq!((place(7), place(1 << 32)), (Ok(7), Err(TooLarge)));
    }
}
