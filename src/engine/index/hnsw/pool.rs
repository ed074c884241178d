//! The memory of a walk: the best candidates so far, and which nodes were seen.
//!
//! It is taken from the thread for a walk and given back afterwards, so that nothing is allocated
//! once a thread has searched.

use std::cell::Cell;

/// Set in the node of a candidate whose neighbours were looked at.
const EXPANDED: u32 = 1 << 31;
/// Room for candidates beside the best, at the least, until they are cut.
const SLACK: usize = 32;

/// A node and how similar it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Higher is better.
    pub similarity: f32,
    node: u32,
}

impl Candidate {
    /// The number of the node.
    pub fn node(&self) -> u32 {
        self.node & !EXPANDED
    }
}

/// The best candidates, the best first: a sorted list. For the few hundred of most searches that is
/// faster than two heaps, and it is one thing instead of two.
#[derive(Debug, Default)]
pub(super) struct Pool {
    limit: usize,
    candidates: Vec<Candidate>,
    /// All candidates before it were expanded.
    next: usize,
}

impl Pool {
    /// Empties it, and lets it keep `limit` candidates.
    pub fn reset(&mut self, limit: usize) {
        self.limit = limit;
        self.next = 0;
        self.candidates.clear();
    }

    /// Adds a node unless so many are better. Of equal ones, the lower number is better.
    #[inline]
    pub fn push(&mut self, similarity: f32, node: u32) {
        let full = self.candidates.len() >= self.limit;
        if full && self.candidates.last().is_none_or(|worst| !before(similarity, node, worst)) {
            return;
        }
        let place = self.candidates.partition_point(|other| !before(similarity, node, other));
        if full {
            self.candidates.pop();
        }
        self.candidates.insert(place, Candidate { similarity, node });
        self.next = self.next.min(place);
    }

    /// The best node that was not expanded, marked as expanded.
    #[inline]
    pub fn expand(&mut self) -> Option<u32> {
        while let Some(candidate) = self.candidates.get_mut(self.next) {
            self.next += 1;
            if candidate.node & EXPANDED == 0 {
                candidate.node |= EXPANDED;
                return Some(candidate.node());
            }
        }
        None
    }

    /// The node that is likely to be expanded next.
    #[inline]
    pub fn upcoming(&self) -> Option<u32> {
        self.candidates.get(self.next).map(Candidate::node)
    }

    /// The candidates, the best first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl Candidate {
    /// One that is not expanded.
    pub fn new(similarity: f32, node: u32) -> Self {
        Self { similarity, node }
    }

    /// Numbers in the order of a pool: the best has the least.
    pub fn place(&self) -> u64 {
        let bits = self.similarity.to_bits();
        // Positive ones are in the order of their bits, negative ones in the opposite.
        let descending = if bits >> 31 == 1 { bits } else { !bits & !(1 << 31) };
        u64::from(descending) << 32 | u64::from(self.node())
    }
}

/// Whether a node comes before a candidate.
#[inline]
fn before(similarity: f32, node: u32, other: &Candidate) -> bool {
    similarity > other.similarity || (similarity == other.similarity && node < other.node())
}

/// Brings the best `count` to the front; how many there are of them.
///
/// The best so far and room for as many more stay in front. Once it is full, it is cut, and its worst is what the
/// next have to beat: few do, and to turn one away is one comparison.
pub(super) fn part_best(candidates: &mut [Candidate], count: usize) -> usize {
    if count == 0 || count >= candidates.len() {
        return count.min(candidates.len());
    }
    let room = (2 * count).max(count + SLACK);
    let (mut filled, mut least) = (0, f32::NEG_INFINITY);
    for place in 0..candidates.len() {
        if candidates[place].similarity >= least {
            candidates.swap(place, filled);
            filled += 1;
            if filled == room {
                candidates[..filled].select_nth_unstable_by_key(count - 1, Candidate::place);
                (filled, least) = (count, candidates[count - 1].similarity);
            }
        }
    }
    if filled > count {
        candidates[..filled].select_nth_unstable_by_key(count, Candidate::place);
    }
    count
}

/// Brings those that are at least as similar to the front; how many there are of them.
pub(super) fn part_from(candidates: &mut [Candidate], least: f32) -> usize {
    let mut count = 0;
    for place in 0..candidates.len() {
        if candidates[place].similarity >= least {
            candidates.swap(place, count);
            count += 1;
        }
    }
    count
}

/// Which nodes were seen, by the number of the walk that saw them last: nothing is cleared but once
/// in 255 walks.
#[derive(Debug, Default)]
pub(super) struct Visited {
    walk: u8,
    stamps: Vec<u8>,
}

impl Visited {
    /// Forgets all nodes, and has room for `nodes`.
    pub fn reset(&mut self, nodes: usize) {
        if self.stamps.len() < nodes {
            self.stamps.resize(nodes, 0);
        }
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.stamps.fill(0);
            self.walk = 1;
        }
    }

    /// Marks a node; whether it had not been seen.
    #[inline]
    pub fn insert(&mut self, node: u32) -> bool {
        let stamp = &mut self.stamps[node as usize];
        let new = *stamp != self.walk;
        *stamp = self.walk;
        new
    }

    /// Whether a node was seen.
    #[inline]
    pub fn contains(&self, node: u32) -> bool {
        self.stamps[node as usize] == self.walk
    }
}

/// What a walk needs, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub visited: Visited,
    pub pool: Pool,
    /// Nodes to score.
    pub fresh: Vec<u32>,
    /// Their rows, where they have other numbers.
    pub rows: Vec<u32>,
    /// Nodes that the mask does not admit.
    pub blocked: Vec<u32>,
    /// Room for products of bytes.
    pub products: Vec<i32>,
    /// Of the nodes to score.
    pub similarities: Vec<f32>,
    /// Room for the admitted rows among some.
    pub listed: Vec<u32>,
    /// All that a scan has seen.
    pub scanned: Vec<Candidate>,
    /// The bytes of the query.
    pub code: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Runs with the scratch of this thread, or with a new one if that is in use further up.
    pub fn with<T>(run: impl FnOnce(&mut Self) -> T) -> T {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let result = run(&mut scratch);
        SCRATCH.set(Some(scratch));
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few similarities make ties, of which later ones are better, and many candidates make cuts.
        #[test]
        fn the_best_are_parted_from_the_rest(
            similarities in prop::collection::vec((-9_i8..9).prop_map(f32::from), 0..500),
            count in 0_usize..70,
            least in -9_i8..9,
        ) {
            let candidates = similarities.iter().zip((0..500).rev()).map(|(similarity, node)| Candidate::new(*similarity, node));
            let mut candidates: Vec<Candidate> = candidates.collect();
            let places = |candidates: &[Candidate]| {
                let mut places: Vec<u64> = candidates.iter().map(Candidate::place).collect();
                places.sort_unstable();
                places
            };
            let all = places(&candidates);
            let best = part_best(&mut candidates, count);
            prop_assert_eq!(best, count.min(all.len()));
            prop_assert_eq!(places(&candidates[..best]), &all[..best]);
            prop_assert_eq!(places(&candidates), all);
            let least = f32::from(least);
            let others = &mut candidates[best..];
            let expected = others.iter().filter(|candidate| candidate.similarity >= least).count();
            prop_assert_eq!(part_from(others, least), expected);
            prop_assert!(others[..expected].iter().all(|candidate| candidate.similarity >= least));
        }

        /// The place of a candidate says what the pool says.
        #[test]
        fn the_best_candidate_has_the_first_place(left in any::<(u32, u8)>(), right in any::<(u32, u8)>()) {
            let [left, right] = [left, right].map(|(bits, node)| Candidate::new(f32::from_bits(bits), node.into()));
            let better = right.similarity.total_cmp(&left.similarity).then(left.node.cmp(&right.node));
            prop_assert_eq!(left.place().cmp(&right.place()), better);
        }
    }
}
