//! Queries with conditions: groups inside each other, as [`crate::types::text::Group`] has them.

use std::ops::Range;

use super::{
    Index,
    floor::Floor,
    hits::{Bits, Hits, WINDOW},
    term::{Sink, Term},
};
use crate::engine::index::{
    Best, Mask,
    fulltext::{file::Damage, plan::Node},
};

/// A part of a query on one index.
pub enum Matcher<'a> {
    /// A leaf.
    Term(Box<Term<'a>>),
    /// Parts that are asked for together.
    Group {
        /// The rarest first.
        must: Vec<Matcher<'a>>,
        /// One of these, if nothing must.
        should: Vec<Matcher<'a>>,
        /// None of these.
        must_not: Vec<Matcher<'a>>,
    },
}

/// Room for hits, lent to groups.
type Pool = Vec<Box<Hits>>;

impl<'a> Matcher<'a> {
    /// The matcher for a part of a plan.
    pub fn new(index: &Index<'a>, node: &Node) -> Result<Self, Damage> {
        let all =
            |nodes: &[Node]| nodes.iter().map(|node| Self::new(index, node)).collect::<Result<Vec<_>, _>>();
        Ok(match node {
            Node::Leaf(leaf, times) => Self::Term(Box::new(index.term(*leaf, *times)?)),
            Node::Group { must, should, must_not } => {
                let mut must = all(must)?;
                must.sort_by_key(|part| part.len());
                Self::Group { must, should: all(should)?, must_not: all(must_not)? }
            }
        })
    }

    /// See [`super::search`].
    pub fn search(
        mut self,
        rows: u32,
        mask: Mask<'_>,
        best: &mut Best<'_>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, Damage> {
        let (mut hits, mut pool, mut found, mut from) = (Hits::new(), Pool::new(), Vec::new(), 0);
        let mut floor = Floor::new(best, 0.0);
        while let Some(next) = self.next_row(from).filter(|next| *next < rows) {
            if stop() {
                return Ok(false);
            }
            hits.base = next - next % WINDOW as u32;
            let window = hits.window(rows);
            self.fill(&window, None, &mut hits, &mut pool)?;
            hits.drain(floor.sum(), &mut found);
            found.retain(|(row, _)| mask.admits(*row));
            floor.offer(&found);
            from = window.end;
        }
        Ok(true)
    }

    /// How many rows it may match, roughly.
    fn len(&self) -> usize {
        match self {
            Self::Term(term) => term.len(),
            Self::Group { must, should, .. } => match must.first() {
                Some(rarest) => rarest.len(),
                None if should.is_empty() => usize::MAX,
                None => should.iter().map(Self::len).fold(0, usize::saturating_add),
            },
        }
    }

    /// As [`Term::next_row`].
    fn next_row(&mut self, from: u32) -> Option<u32> {
        match self {
            Self::Term(term) => term.next_row(from),
            Self::Group { must, should, .. } => match (must.is_empty(), should.is_empty()) {
                (true, true) => Some(from),
                (true, false) => should.iter_mut().filter_map(|part| part.next_row(from)).min(),
                (false, _) => must.iter_mut().try_fold(from, |next, part| part.next_row(next)),
            },
        }
    }

    /// Adds its rows in a window to `hits`, which has none; of some only, if it is told which.
    fn fill(
        &mut self,
        window: &Range<u32>,
        within: Option<&Bits>,
        hits: &mut Hits,
        pool: &mut Pool,
    ) -> Result<(), Damage> {
        match self {
            Self::Term(term) => match within {
                Some(within) => {
                    term.fill_within(window, within, hits)?;
                    hits.retain(within);
                }
                None => term.fill(window, 0.0, hits)?,
            },
            Self::Group { must, should, must_not } => {
                let mut others = lent(window, pool);
                match must.split_first_mut() {
                    Some((first, rest)) => {
                        first.fill(window, within, hits, pool)?;
                        for part in rest {
                            part.fill(window, Some(&hits.bits), &mut others, pool)?;
                            hits.retain(&others.bits);
                            hits.add_common(&others);
                            others.clear();
                        }
                        for part in should {
                            part.fill(window, Some(&hits.bits), &mut others, pool)?;
                            hits.add_common(&others);
                            others.clear();
                        }
                    }
                    None if should.is_empty() => match within {
                        Some(within) => hits.bits = *within,
                        None => window.clone().for_each(|row| hits.add(row, 0.0)),
                    },
                    None => {
                        for part in should {
                            part.fill(window, within, &mut others, pool)?;
                            hits.add_all(&others);
                            others.clear();
                        }
                    }
                }
                for part in must_not {
                    part.fill(window, Some(&hits.bits), &mut others, pool)?;
                    let rest: Bits = std::array::from_fn(|word| !others.bits[word]);
                    hits.retain(&rest);
                    others.clear();
                }
                pool.push(others);
            }
        }
        Ok(())
    }
}

/// Room for the hits of a window, of which there are none.
fn lent(window: &Range<u32>, pool: &mut Pool) -> Box<Hits> {
    let mut hits = pool.pop().unwrap_or_else(Hits::new);
    hits.base = window.start;
    hits
}
