//! Rows by chance: what a map of a namespace or a measurement of recall looks at instead of everything.
//!
//! Nothing is read but the rows that are drawn. Invariant: every set of so many of the rows is as likely as any
//! other, however they lie in segments and tail, and whatever dead rows lie between them.

use std::{collections::BTreeSet, sync::Arc};

use super::{Consistency, Engine, Page, Projection, contents::Matches, rows::Reader};
use crate::{
    error::Result,
    random::Random,
    types::{Filter, NamespaceName, count_bits, set_bits},
};

impl Engine {
    /// So many of the rows that match, by chance, or all if there are fewer; in id order.
    ///
    /// # Errors
    /// [`crate::error::Error::AnswerTooLarge`] if they are more than one answer may have.
    pub async fn sample(
        &self,
        name: &NamespaceName,
        filter: Option<Arc<Filter>>,
        count: usize,
        projection: Projection,
        consistency: Consistency,
    ) -> Result<Page> {
        let snapshot = self.read(name, consistency).await?.snapshot();
        let (now, random) = (self.context.clock.now().wall, self.context.random.clone());
        let mut reader = Reader::new(self);
        let sample = move || {
            let blocks = match filter.filter(|filter| !filter.is_everything()) {
                Some(filter) => Matches::of(&snapshot, &filter, now)?.by_block(&snapshot),
                None => snapshot.visible(now),
            };
            let rows = draw(&blocks, count, &random).into_iter();
            let rows = rows.map(|(block, row)| reader.read(&snapshot.row(block, row)?, projection));
            let mut rows = rows.collect::<Result<Vec<_>>>()?;
            rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            Ok(Page { rows, next: None, total: blocks.iter().map(|(_, rows)| count_bits(rows)).sum() })
        };
        self.searchers.run(sample).await
    }

    /// Vectors of so many rows by chance, or of all.
    pub(super) async fn sample_vectors(&self, name: &NamespaceName, count: usize) -> Result<Vec<Vec<f32>>> {
        let snapshot = self.read(name, Consistency::Eventual).await?.snapshot();
        let (now, random) = (self.context.clock.now().wall, self.context.random.clone());
        let sample = move || {
            let mut blocks = snapshot.visible(now);
            blocks.retain(|(block, _)| snapshot.has_vectors(*block));
            let rows = draw(&blocks, count, &random).into_iter();
            rows.map(|(block, row)| Ok(snapshot.row(block, row)?.vector.to_vec())).collect()
        };
        self.searchers.run(sample).await
    }
}

/// The places of `count` of these rows, or of all.
fn draw<B: Copy>(blocks: &[(B, Vec<u64>)], count: usize, random: &Random) -> Vec<(B, usize)> {
    let total = blocks.iter().map(|(_, rows)| count_bits(rows) as usize).sum();
    let mut numbers = distinct(count.min(total), total, random).into_iter().peekable();
    let mut places = Vec::with_capacity(numbers.len());
    let mut before = 0;
    for (block, rows) in blocks {
        let after = before + count_bits(rows) as usize;
        let mut of_block = set_bits(rows);
        let mut next = before;
        while let Some(number) = numbers.next_if(|number| *number < after) {
            places.extend(of_block.nth(number - next).map(|row| (*block, row as usize)));
            next = number + 1;
        }
        before = after;
    }
    places
}

/// So many different numbers below `bound`, which is at least as much.
///
/// Robert Floyd's algorithm (Bentley and Floyd, "Programming Pearls: A Sample of Brilliance", CACM 30:9,
/// 1987): one draw for each, and no list of those that are left.
fn distinct(count: usize, bound: usize, random: &Random) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    for last in bound - count..bound {
        if !numbers.insert(random.below(last + 1)) {
            numbers.insert(last);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven rows of ten, in blocks with gaps between them.
    fn blocks() -> [(u8, Vec<u64>); 4] {
        [(0, vec![0b1011]), (1, vec![]), (2, vec![0, 0b1]), (3, vec![1 << 63, 0b11])]
    }

    #[test]
    fn every_row_is_as_likely_and_none_comes_twice() {
        let random = Random::seeded(7);
        let all = draw(&blocks(), 100, &random);
        assert_eq!(all, [(0, 0), (0, 1), (0, 3), (2, 64), (3, 63), (3, 64), (3, 65)]);
        let mut times = vec![0; all.len()];
        for _ in 0..7000 {
            let drawn = draw(&blocks(), 3, &random);
            assert!(drawn.len() == 3 && drawn.is_sorted_by(|one, next| one < next), "{drawn:?}");
            for place in drawn {
                times[all.binary_search(&place).unwrap()] += 1;
            }
        }
        // 3,000 each; five standard deviations are 207.
        assert!(times.iter().all(|times| (2793..3207).contains(times)), "{times:?}");
    }

    #[test]
    fn of_nothing_nothing_is_drawn() {
        assert!(draw::<u8>(&[], 5, &Random::seeded(1)).is_empty());
        assert!(draw(&blocks(), 0, &Random::seeded(1)).is_empty());
    }
}
