//! Any of some leaves: the usual query.
//!
//! As MaxScore does (Turtle and Flood, "Query Evaluation: Strategies and Optimizations", 1995), with
//! ceilings for each window: leaves that together cannot lift a row among the best are only asked about
//! rows that other leaves found. What a row needs to be among the best is known before the first one: as
//! many rows as are wanted have what the best rows of the best leaf have.

use std::ops::Range;

use super::{
    floor::Floor,
    sums,
    sums::Sums,
    term::{ROWS_PER_LOOKUP, Term},
};
use crate::engine::index::{Best, Mask, fulltext::file::Damage};

/// Postings that a window is to have, roughly.
const POSTINGS: usize = 4096;

/// Leaves of which a row has one at least.
pub struct Disjunction<'a> {
    terms: Vec<Term<'a>>,
    rows: u32,
    /// What each leaf can add in the window at most, the least first, and which leaf it is.
    ceilings: Vec<(f32, usize)>,
    /// Rows of the window that may be among the best, and their scores so far.
    candidates: Vec<(u32, f64)>,
}

impl<'a> Disjunction<'a> {
    /// In an index of so many rows.
    pub fn new(terms: Vec<Term<'a>>, rows: u32) -> Self {
        Self { terms, rows, ceilings: Vec::new(), candidates: Vec::new() }
    }

    /// See [`super::search`].
    pub fn search(
        mut self,
        mask: Mask<'_>,
        best: &mut Best<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, Damage> {
        let mut floor = Floor::new(best, self.least(best.limit(), mask)?);
        let (mut from, length) = (0, self.window_length());
        sums::with(|sums| {
            while let Some(next) = self.terms.iter_mut().filter_map(|term| term.next_row(from)).min() {
                if next >= self.rows {
                    break;
                }
                if stop() {
                    return Ok(false);
                }
                let window = next..next.saturating_add(length).min(self.rows);
                sums.begin(next);
                self.window(&window, mask, sums, &mut floor)?;
                from = window.end;
            }
            Ok(true)
        })
    }

    /// A score that so many rows have at least, of those that a mask admits.
    fn least(&mut self, rows: usize, mask: Mask<'_>) -> Result<f32, Damage> {
        let mut least = 0.0;
        self.terms.sort_by(|left, right| right.most().total_cmp(&left.most()));
        for term in &mut self.terms {
            if term.most() > least {
                least = term.floor(rows, mask)?.max(least);
            }
        }
        Ok(least)
    }

    /// Windows are short where there is much in them, so that their ceilings say something.
    fn window_length(&self) -> u32 {
        let postings: usize = self.terms.iter().map(Term::len).sum();
        let length = (self.rows as usize).saturating_mul(POSTINGS) / postings.max(1);
        length.clamp(sums::WINDOW / 8, sums::WINDOW) as u32
    }

    fn window(
        &mut self,
        window: &Range<u32>,
        mask: Mask<'_>,
        sums: &mut Sums,
        floor: &mut Floor<'_, '_>,
    ) -> Result<(), Damage> {
        self.ceilings.clear();
        for (place, term) in self.terms.iter_mut().enumerate() {
            self.ceilings.extend(term.ceiling(window).map(|ceiling| (ceiling, place)));
        }
        self.ceilings.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        let (optional, mut missing) = self.optional(floor.value());
        let all: f64 = self.ceilings.iter().map(|(ceiling, _)| f64::from(*ceiling)).sum();
        for (ceiling, place) in &self.ceilings[optional..] {
            let needed = floor.sum() - (all - f64::from(*ceiling));
            self.terms[*place].fill(window, needed, sums)?;
        }
        let mut rest = optional;
        while let Some((ceiling, place)) = self.ceilings[..rest].last()
            && self.terms[*place].rows_in(window) < sums.len() * ROWS_PER_LOOKUP
        {
            self.terms[*place].fill(
                window,
                floor.sum() - (all - f64::from(*ceiling)),
                &mut sums.those_there(),
            )?;
            missing -= f64::from(*ceiling);
            rest -= 1;
        }
        sums.drain(floor.sum() - missing, &mut self.candidates);
        self.candidates.retain(|(row, _)| mask.admits(*row));
        for (ceiling, place) in self.ceilings[..rest].iter().rev() {
            self.terms[*place].add_to(&mut self.candidates, |_| {})?;
            missing -= f64::from(*ceiling);
            self.candidates.retain(|(_, score)| score + missing >= floor.sum());
        }
        floor.offer(&self.candidates);
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
