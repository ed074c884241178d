//! Searching an index: window by window of the rows, so that scores are collected in a cache.

mod disjunction;
mod floor;
mod hits;
mod lists;
mod matcher;
mod sums;
mod term;

use self::{
    disjunction::Disjunction,
    lists::{any, phrase},
    matcher::Matcher,
    term::{Source, Term},
};
use super::{
    asked::{Asked, Terms},
    file::Damage,
    pack::BLOCK,
    plan::{Find, Leaf, Node},
    statistics::Weights,
};
use crate::engine::index::{Best, Mask, top::TopK};

/// Offers the rows that match to `best`; false if it was stopped before it was done.
pub fn search(
    asked: &Asked<'_>,
    weights: &Weights,
    mask: Mask<'_>,
    best: &mut Best<'_>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<bool, Damage> {
    let (Some(root), rows) = (&asked.plan.root, asked.file.rows()) else { return Ok(true) };
    let index = Index { asked, weights };
    match alternatives(root) {
        Some(leaves) => {
            let terms =
                leaves.into_iter().map(|(leaf, times)| index.term(leaf, times)).collect::<Result<_, _>>()?;
            Disjunction::new(terms, rows).search(mask, best, stop)
        }
        None => Matcher::new(&index, root)?.search(rows, mask, best, stop),
    }
}

/// The scores of some rows, ascending; none for those that do not match.
pub fn scores(
    asked: &Asked<'_>,
    weights: &Weights,
    rows: &[u32],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Option<f32>>, Damage> {
    let leaves = asked.plan.root.as_ref().and_then(alternatives);
    let Some(leaves) = leaves else { return scores_of_found(asked, weights, rows, stop) };
    let index = Index { asked, weights };
    let mut scores: Vec<(u32, f64)> = rows.iter().map(|row| (*row, 0.0)).collect();
    let mut matches = vec![false; rows.len()];
    for (leaf, times) in leaves {
        let mut term = index.term(leaf, times)?;
        term.add_to(&mut scores, |place| matches[place] = true)?;
    }
    let scores = scores.into_iter().zip(matches);
    Ok(scores.map(|((_, score), matches)| matches.then_some(score as f32)).collect())
}

/// [`scores`] by a search that admits no others.
fn scores_of_found(
    asked: &Asked<'_>,
    weights: &Weights,
    rows: &[u32],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Option<f32>>, Damage> {
    let (tie, mut top) = (|left: u64, right: u64| left.cmp(&right), TopK::new(rows.len()));
    let is_wanted = |row: u32| rows.binary_search(&row).is_ok();
    let mut best = Best::new(&mut top, &u64::from, &tie);
    search(asked, weights, Mask::Only(&is_wanted), &mut best, stop)?;
    let mut scores = vec![None; rows.len()];
    for found in top.into_sorted(&tie) {
        if let Ok(place) = rows.binary_search(&(found.row as u32)) {
            scores[place] = Some(found.score);
        }
    }
    Ok(scores)
}

/// The leaves, if any of them will do.
fn alternatives(root: &Node) -> Option<Vec<(usize, u32)>> {
    let leaf = |node: &Node| if let Node::Leaf(leaf, times) = node { Some((*leaf, *times)) } else { None };
    match root {
        Node::Group { must, should, must_not } if must.is_empty() && must_not.is_empty() => {
            should.iter().map(leaf).collect::<Option<Vec<_>>>().filter(|leaves| !leaves.is_empty())
        }
        node => leaf(node).map(|leaf| vec![leaf]),
    }
}

/// What is looked for in an index, and what it is worth.
struct Index<'a> {
    asked: &'a Asked<'a>,
    weights: &'a Weights,
}

impl<'a> Index<'a> {
    /// A leaf, asked for so many times.
    fn term(&self, leaf: usize, times: u32) -> Result<Term<'a>, Damage> {
        let (what, terms) = (&self.asked.plan.leaves[leaf], self.asked.terms(leaf));
        let weight = self.weights.leaf(leaf) * times as f32;
        Ok(Term::new(source(what, terms)?, weight, self.weights.norms(what.field), terms.field.lengths))
    }
}

fn source<'a>(leaf: &Leaf, terms: &Terms<'a>) -> Result<Source<'a>, Damage> {
    let cursors =
        terms.entries.iter().map(|entry| entry.as_ref().map(|entry| terms.cursor(entry)).transpose());
    let list = match &leaf.find {
        Find::Phrase(words) => {
            let cursors = cursors.collect::<Result<Option<Vec<_>>, _>>()?.unwrap_or_default();
            phrase(words.iter().map(|(offset, _)| *offset).zip(cursors).collect())?
        }
        _ => {
            let mut cursors = cursors.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
            if let [only] = &cursors[..]
                && only.len() as usize >= BLOCK
            {
                return Ok(Source::Postings(cursors.swap_remove(0)));
            }
            any(cursors)?
        }
    };
    Ok(Source::List(list))
}
