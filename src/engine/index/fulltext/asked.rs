//! An expanded plan and one index: where the terms are, what is known of them, and the search.

use super::{
    Fulltext,
    dictionary::Entry,
    file::{Damage, Field, File},
    live::Live,
    plan::{Find, Leaf, Plan},
    postings::Cursor,
    search,
    statistics::{Statistics, Weights},
    totals::Totals,
};
use crate::{
    engine::index::{Best, Mask},
    error::Result,
};

/// A plan whose terms were looked up in an index.
#[derive(Debug)]
pub struct Asked<'a> {
    pub(super) file: &'a File,
    totals: &'a Totals,
    pub(super) plan: &'a Plan,
    leaves: Vec<Terms<'a>>,
}

/// The terms of a leaf in an index.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    /// Their field.
    pub field: Field<'a>,
    /// Where their postings are, for those that are there.
    pub entries: Vec<Option<Entry>>,
    rows: u32,
}

impl<'a> Asked<'a> {
    /// Looks up the terms of an expanded plan.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if the bytes of the index are damaged.
    pub fn new(index: &'a Fulltext, plan: &'a Plan) -> Result<Self> {
        let file = &index.file;
        let leaves = plan.leaves.iter().map(|leaf| Terms::new(file, leaf)).collect::<Result<_, Damage>>()?;
        Ok(Self { file, totals: &index.totals, plan, leaves })
    }

    /// How many postings its terms have.
    pub fn postings(&self) -> u64 {
        let entries = self.leaves.iter().flat_map(|terms| terms.entries.iter().flatten());
        entries.map(|entry| u64::from(entry.rows)).sum()
    }

    /// The index's part of the statistics.
    ///
    /// # Errors
    /// As [`Asked::new`].
    pub fn statistics(&self, live: &Live<'_>) -> Result<Statistics> {
        let fields = self.totals.of(self.file, live)?.to_vec();
        let leaves = self.leaves.iter().zip(&self.plan.leaves).map(|(terms, leaf)| match leaf.find {
            Find::Terms(ref several) if several.len() != 1 => Ok(vec![terms.live_rows_of_any(live)?]),
            _ => terms.live_rows(live),
        });
        Ok(Statistics { fields, leaves: leaves.collect::<Result<_, Damage>>()? })
    }

    /// Offers the rows that match to `best`, of those that a mask admits; false if it was stopped before
    /// it was done.
    ///
    /// # Errors
    /// As [`Asked::new`].
    pub fn search(
        &self,
        weights: &Weights,
        mask: Mask<'_>,
        best: &mut Best<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        Ok(search::search(self, weights, mask, best, stop)?)
    }

    /// The scores of some rows, ascending; none for those that do not match.
    ///
    /// # Errors
    /// As [`Asked::new`].
    pub fn scores(
        &self,
        weights: &Weights,
        rows: &[u32],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Option<f32>>> {
        Ok(search::scores(self, weights, rows, stop)?)
    }

    /// The terms of a leaf.
    pub(super) fn terms(&self, leaf: usize) -> &Terms<'a> {
        &self.leaves[leaf]
    }
}

impl<'a> Terms<'a> {
    fn new(file: &'a File, leaf: &Leaf) -> Result<Self, Damage> {
        let field = file.field(leaf.field)?;
        let get = |term: &String| field.dictionary.get(term.as_bytes());
        let entries = match &leaf.find {
            Find::Terms(terms) => terms.iter().map(get).collect::<Result<_, _>>()?,
            Find::Phrase(terms) => terms.iter().map(|(_, term)| get(term)).collect::<Result<_, _>>()?,
            // What was not expanded stands for no term.
            Find::Prefix(_) | Find::Fuzzy(..) => vec![None],
        };
        Ok(Self { field, entries, rows: file.rows() })
    }

    /// Before the postings of a term.
    pub fn cursor(&self, entry: &Entry) -> Result<Cursor<'a>, Damage> {
        let (postings, positions) =
            (self.field.postings(&entry.postings)?, self.field.positions(&entry.positions)?);
        Cursor::new(entry.rows, self.rows, postings, positions)
    }

    /// Live rows that have a term, for each.
    fn live_rows(&self, live: &Live<'_>) -> Result<Vec<u64>, Damage> {
        let count = |entry: &Option<Entry>| match entry {
            Some(entry) if live.is_everything() => Ok(u64::from(entry.rows)),
            Some(entry) => live.count(&mut self.cursor(entry)?),
            None => Ok(0),
        };
        self.entries.iter().map(count).collect()
    }

    /// Live rows that have one of the terms.
    fn live_rows_of_any(&self, live: &Live<'_>) -> Result<u64, Damage> {
        let mut bits = vec![0_u64; (self.rows as usize).div_ceil(64)];
        for entry in self.entries.iter().flatten() {
            let mut cursor = self.cursor(entry)?;
            for block in 0..cursor.blocks() {
                for row in cursor.read(block)?.0.iter().filter(|row| live.has(**row)) {
                    bits[*row as usize / 64] |= 1 << (row % 64);
                }
            }
        }
        Ok(crate::types::count_bits(&bits))
    }
}
