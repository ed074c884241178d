//! The rows with the best estimates, before they are scored exactly.
//!
//! Like [`super::top`], but for estimates: they need no ids to break ties, a row may come twice
//! (from two lists), and whole lists of them are compared with the threshold at once.

use super::Mask;

/// Estimates that are compared with the threshold at once.
const COMPARED: usize = 16;

/// Collects the rows with the best estimates.
#[derive(Debug)]
pub(super) struct Shortlist {
    limit: usize,
    threshold: f32,
    /// Estimates and rows, so that the smallest number is the best one.
    keys: Vec<u64>,
}

impl Shortlist {
    /// Of at most `limit` rows; at least 1.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), threshold: f32::NEG_INFINITY, keys: Vec::new() }
    }

    /// How many rows are in it; one that came twice may count twice.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The estimate at a place among the best, from 1 on; the lowest one if there are not as many yet.
    pub(super) fn estimate_at(&mut self, place: usize) -> f32 {
        if place == 0 || self.keys.len() < place {
            return f32::NEG_INFINITY;
        }
        let (_, key, _) = self.keys.select_nth_unstable(place - 1);
        ascending((*key >> 32) as u32)
    }

    /// Rows with a lower estimate are certainly not among the best.
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers rows (as u32 in bytes) with their estimates, of which those count that the mask admits.
    pub(super) fn offer(&mut self, mask: &Mask<'_>, estimates: &[f32], rows: &[[u8; 4]]) {
        for (estimates, rows) in estimates.chunks(COMPARED).zip(rows.chunks(COMPARED)) {
            let threshold = self.threshold;
            // Without an early exit, so that it vectorises. A NaN is not below anything.
            if estimates.iter().fold(true, |all, estimate| all & (*estimate < threshold)) {
                continue;
            }
            for (estimate, row) in estimates.iter().zip(rows) {
                let row = u32::from_le_bytes(*row);
                if *estimate < self.threshold || !mask.admits(row) {
                    continue;
                }
                self.keys.push(u64::from(descending(*estimate)) << 32 | u64::from(row));
                if self.keys.len() >= self.limit.saturating_mul(2).max(64) {
                    self.cut();
                }
            }
        }
    }

    /// The rows, each once, with their estimates: the best first, equal ones in order.
    pub(super) fn finish(mut self) -> Vec<(f32, u32)> {
        self.cut();
        self.keys.sort_unstable();
        let mut rows = Rows::of(self.keys.len());
        self.keys.retain(|key| rows.insert(*key as u32));
        self.keys.iter().map(|key| (ascending((key >> 32) as u32), *key as u32)).collect()
    }

    fn cut(&mut self) {
        if self.keys.len() <= self.limit {
            return;
        }
        let (_, worst, _) = self.keys.select_nth_unstable(self.limit - 1);
        self.threshold = ascending((*worst >> 32) as u32);
        self.keys.truncate(self.limit);
    }
}

/// A set of rows: an open table, half of it empty, where a row is looked for from a place on that its
/// number says.
struct Rows(Vec<Option<u32>>);

impl Rows {
    /// For so many rows at most.
    fn of(count: usize) -> Self {
        Self(vec![None; (2 * count).next_power_of_two()])
    }

    /// Adds a row, and says whether it is new.
    fn insert(&mut self, row: u32) -> bool {
        let mask = self.0.len() - 1;
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): rows of a list are near each other.
        let mut place = (u64::from(row).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        loop {
            match self.0[place] {
                None => break self.0[place] = Some(row),
                Some(other) if other == row => return false,
                Some(_) => place = (place + 1) & mask,
            }
        }
        true
    }
}

/// Bits of a number that are smaller the larger it is; a NaN is like negative infinity.
pub(super) fn descending(value: f32) -> u32 {
    let bits = if value.is_nan() { f32::NEG_INFINITY } else { value + 0.0 }.to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

/// The number of such bits.
pub(super) fn ascending(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_kept(left in any::<f32>(), right in any::<f32>()) {
            prop_assume!(!left.is_nan() && !right.is_nan());
            prop_assert_eq!(descending(left).cmp(&descending(right)), (right + 0.0).total_cmp(&(left + 0.0)));
            prop_assert_eq!(ascending(descending(left)).to_bits(), (left + 0.0).to_bits());
        }

        #[test]
        fn keeps_the_best_of_each_row(
            offered in prop::collection::vec((-50_i8..50, 0_u32..40), 0..400),
            limit in 1_usize..60,
            banned in 0_u32..40,
        ) {
            let admits = |row: u32| row != banned;
            let mut shortlist = Shortlist::new(limit);
            for list in offered.chunks(37) {
                let estimates: Vec<f32> = list.iter().map(|(estimate, _)| f32::from(*estimate)).collect();
                let rows: Vec<[u8; 4]> = list.iter().map(|(_, row)| row.to_le_bytes()).collect();
                shortlist.offer(&Mask::Only(&admits), &estimates, &rows);
            }
            let mut all: Vec<i8> =
                offered.iter().filter(|(_, row)| *row != banned).map(|(estimate, _)| *estimate).collect();
            all.sort_unstable_by(|left, right| right.cmp(left));
            for place in 0..limit + 2 {
                let expected = all.get(place.wrapping_sub(1)).map_or(f32::NEG_INFINITY, |at| f32::from(*at));
                if place <= limit {
                    prop_assert_eq!(shortlist.estimate_at(place), expected);
                }
            }
            let found = shortlist.finish();
            // A row that comes twice takes two places until the end, so some rows may be missing, but
            // the first half of the limit is there.
            let mut expected: std::collections::BTreeMap<u32, i8> = std::collections::BTreeMap::new();
            for (estimate, row) in offered.iter().filter(|(_, row)| *row != banned) {
                let best = expected.entry(*row).or_insert(*estimate);
                *best = (*best).max(*estimate);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].0 > pair[1].0 || (pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1));
            }
            for (estimate, row) in &found {
                prop_assert_eq!(*estimate, f32::from(expected[row]));
            }
            prop_assert!(found.len() <= limit);
            if let Some((best, _)) = found.first() {
                prop_assert_eq!(*best, f32::from(*expected.values().max().unwrap()));
            }
            prop_assert_eq!(found.is_empty(), expected.is_empty());
        }
    }
}
