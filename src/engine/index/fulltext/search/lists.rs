//! Leaves that are made of several terms, as lists of rows in memory.

use crate::engine::index::fulltext::{file::Damage, postings::Cursor};

/// Rows, ascending, and how often each has what is looked for.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Rows.
    pub rows: Vec<u32>,
    /// For each of them.
    pub counts: Vec<u32>,
}

/// Rows that have any of the terms: how often they have them all together.
pub fn any(mut cursors: Vec<Cursor<'_>>) -> Result<List, Damage> {
    let mut list = List::default();
    if let [only] = &mut cursors[..] {
        for block in 0..only.blocks() {
            let (rows, counts) = only.read(block)?;
            list.rows.extend_from_slice(rows);
            list.counts.extend_from_slice(counts);
        }
        return Ok(list);
    }
    let mut postings: Vec<(u32, u32)> = Vec::new();
    for cursor in &mut cursors {
        for block in 0..cursor.blocks() {
            let (rows, counts) = cursor.read(block)?;
            postings.extend(rows.iter().copied().zip(counts.iter().copied()));
        }
    }
    postings.sort_unstable();
    for same in postings.chunk_by(|left, right| left.0 == right.0) {
        list.rows.push(same[0].0);
        list.counts.push(same.iter().fold(0, |sum: u32, (_, count)| sum.saturating_add(*count)));
    }
    Ok(list)
}

/// Rows that have the terms at these distances from the first one: how often.
pub fn phrase(terms: Vec<(u32, Cursor<'_>)>) -> Result<List, Damage> {
    let mut terms: Vec<Positioned<'_>> =
        terms.into_iter().map(|(offset, cursor)| Positioned::new(offset, cursor)).collect();
    // The rarest term leads.
    terms.sort_by_key(|term| term.cursor.len());
    let mut list = List::default();
    let Some((lead, others)) = terms.split_first_mut() else { return Ok(list) };
    for block in 0..lead.cursor.blocks() {
        let rows = lead.cursor.read(block)?.0.to_vec();
        for (place, row) in rows.into_iter().enumerate() {
            let mut is_there = true;
            for other in &mut *others {
                is_there = is_there && other.seek(row)?;
            }
            if is_there {
                lead.place = (block, place);
                let count = occurrences(lead, others)?;
                if count > 0 {
                    list.rows.push(row);
                    list.counts.push(count);
                }
            }
        }
    }
    Ok(list)
}

/// How often the terms stand at their distances, in the row that all are at.
fn occurrences(lead: &mut Positioned<'_>, others: &mut [Positioned<'_>]) -> Result<u32, Damage> {
    lead.read_positions()?;
    for other in &mut *others {
        other.read_positions()?;
    }
    let starts = lead.here().iter().filter_map(|position| position.checked_sub(lead.offset));
    let stands = |start: &u32| {
        others.iter().all(|other| {
            start
                .checked_add(other.offset)
                .is_some_and(|position| other.here().binary_search(&position).is_ok())
        })
    };
    Ok(starts.filter(stands).count() as u32)
}

/// A term whose positions are read too.
struct Positioned<'a> {
    offset: u32,
    cursor: Cursor<'a>,
    /// The block and the place in it of the current row.
    place: (usize, usize),
    /// The block whose positions are read.
    block: Option<usize>,
    positions: Vec<u32>,
    /// Where those of each row begin.
    starts: Vec<usize>,
}

impl<'a> Positioned<'a> {
    fn new(offset: u32, cursor: Cursor<'a>) -> Self {
        Self { offset, cursor, place: (0, 0), block: None, positions: Vec::new(), starts: Vec::new() }
    }

    /// Goes to a row after the current one; whether it has the term.
    fn seek(&mut self, row: u32) -> Result<bool, Damage> {
        let block = self.cursor.seek(self.place.0, row);
        self.place.0 = block;
        if block >= self.cursor.blocks() {
            return Ok(false);
        }
        let found = self.cursor.read(block)?.0.binary_search(&row);
        self.place.1 = found.unwrap_or_default();
        Ok(found.is_ok())
    }

    fn read_positions(&mut self) -> Result<(), Damage> {
        let block = self.place.0;
        if self.block == Some(block) {
            return Ok(());
        }
        let counts = self.cursor.read(block)?.1.to_vec();
        self.cursor.positions(block, &counts, &mut self.positions)?;
        self.starts.clear();
        self.starts.push(0);
        for count in counts {
            self.starts.push(self.starts.last().map_or(0, |last| last + count as usize));
        }
        self.block = Some(block);
        Ok(())
    }

    /// The positions in the current row.
    fn here(&self) -> &[u32] {
        let place = self.place.1;
        match (self.starts.get(place), self.starts.get(place + 1)) {
            (Some(start), Some(end)) => self.positions.get(*start..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}
