//! Any of some leaves: the usual query.
//!
//! As MaxScore does (Turtle and Flood, "Query Evaluation: Strategies and Optimizations", 1995), with
//! ceilings for each window: leaves that together cannot lift a row among the best are only asked about
//! rows that other leaves found.

use std::ops::Range;

use super::{floor::Floor, hits::WINDOW, sums::Sums, term::Term};
use crate::engine::index::{Best, Mask, fulltext::file::Damage};

/// Rows of the first window.
const FIRST: u32 = 512;

/// Leaves of which a row has one at least.
pub struct Disjunction<'a> {
    terms: Vec<Term<'a>>,
    rows: u32,
    sums: Sums,
    /// What each leaf can add in the window at most, the least first, and which leaf it is.
    ceilings: Vec<(f32, usize)>,
    /// Rows of the window that may be among the best, and their scores so far.
    candidates: Vec<(u32, f64)>,
}

impl<'a> Disjunction<'a> {
    /// In an index of so many rows.
    pub fn new(terms: Vec<Term<'a>>, rows: u32) -> Self {
        Self { terms, rows, sums: Sums::new(), ceilings: Vec::new(), candidates: Vec::new() }
    }

    /// See [`super::search`].
    pub fn search(
        mut self,
        mask: Mask<'_>,
        best: &mut Best<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, Damage> {
        // The first windows are small: the sooner there is a floor, the less is looked at in vain.
        let (mut from, mut length, mut floor) = (0, FIRST, Floor::new(best));
        while let Some(next) = self.terms.iter_mut().filter_map(|term| term.next_row(from)).min() {
            if next >= self.rows {
                break;
            }
            if stop() {
                return Ok(false);
            }
            self.sums.begin(next);
            let window = next..next.saturating_add(length).min(self.rows);
            self.window(&window, mask, &mut floor)?;
            from = window.end;
            length = (length * 2).min(WINDOW as u32);
        }
        Ok(true)
    }

    fn window(
        &mut self,
        window: &Range<u32>,
        mask: Mask<'_>,
        floor: &mut Floor<'_, '_>,
    ) -> Result<(), Damage> {
        self.ceilings.clear();
        for (place, term) in self.terms.iter_mut().enumerate() {
            let ceiling = term.ceiling(window);
            if ceiling > 0.0 || term.is_in(window) {
                self.ceilings.push((ceiling, place));
            }
        }
        self.ceilings.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        let (optional, mut missing) = self.optional(floor.value());
        if optional == self.ceilings.len() {
            return Ok(());
        }
        for (_, place) in &self.ceilings[optional..] {
            self.terms[*place].fill(window, &mut self.sums)?;
        }
        self.sums.drain(floor.sum() - missing, &mut self.candidates);
        self.candidates.retain(|(row, _)| mask.admits(*row));
        for (ceiling, place) in self.ceilings[..optional].iter().rev() {
            self.terms[*place].add_to(&mut self.candidates, |_| {})?;
            missing -= f64::from(*ceiling);
            self.candidates.retain(|(_, score)| score + missing >= floor.sum());
        }
        self.candidates.iter().for_each(|(row, score)| floor.push(*row, *score));
        Ok(())
    }

    /// How many of the leaves, the least first, cannot reach a score together, and what they reach.
    fn optional(&self, threshold: f32) -> (usize, f64) {
        let mut sum = 0.0;
        for (place, (ceiling, _)) in self.ceilings.iter().enumerate() {
            let next = sum + f64::from(*ceiling);
            // Equal scores are decided by the collector.
            if next as f32 >= threshold {
                return (place, sum);
            }
            sum = next;
        }
        (self.ceilings.len(), sum)
    }
}
