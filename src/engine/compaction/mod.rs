//! Which segments to merge: a pure decision on their sizes.
//!
//! Tiered compaction (as in Cassandra's size-tiered strategy and the LSM literature: O'Neil et al.,
//! "The Log-Structured Merge-Tree", 1996): segments fall into tiers by size, each tier `fan_in`
//! times as large as the one below, and a tier that has `fan_in` segments is merged into one of the
//! next. So there are at most `fan_in - 1` segments a tier once all merges are done, besides those
//! that are too large to be merged, and a row is rewritten once a tier.

/// Below this many bytes all segments are in the first tier.
const FIRST_TIER: u64 = 1 << 20;

/// What the decision needs of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of its live rows.
    pub bytes: u64,
    /// Live rows.
    pub live: u64,
    /// Rows, dead ones included.
    pub rows: u64,
}

/// The bounds of merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// Segments of a tier that are merged; at least 2.
    pub fan_in: usize,
    /// The most bytes of a merged segment.
    pub max_bytes: u64,
    /// The most rows of a merged segment.
    pub max_rows: u64,
}

impl Tiers {
    /// The segments to merge into one next, ascending; empty if all is well. A lone segment is to
    /// be rewritten because most of its rows are dead.
    pub fn choose(&self, segments: &[Size]) -> Vec<usize> {
        self.full_tier(segments).or_else(|| wasteful(segments)).unwrap_or_default()
    }

    /// The segments to merge into one next if there are to be as few as possible, whatever it costs: the
    /// smallest that fit into one.
    pub fn choose_all(&self, segments: &[Size]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..segments.len()).collect();
        order.sort_by_key(|index| segments[*index].bytes);
        self.fitting(&order, segments, 2).or_else(|| wasteful(segments)).unwrap_or_default()
    }

    /// The lowest tier that is full. Dead rows do not count, so tiers empty by themselves.
    fn full_tier(&self, segments: &[Size]) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..segments.len()).collect();
        order.sort_by_key(|index| segments[*index].bytes);
        let mut tiers =
            order.chunk_by(|left, right| self.tier(&segments[*left]) == self.tier(&segments[*right]));
        tiers.find_map(|tier| self.fitting(tier, segments, self.fan_in))
    }

    /// The smallest of some segments, which are in the order of their sizes, that fit into one, if they are
    /// at least so many.
    fn fitting(&self, tier: &[usize], segments: &[Size], least: usize) -> Option<Vec<usize>> {
        let (mut bytes, mut rows) = (0, 0);
        let fits = |index: &&usize| {
            bytes += segments[**index].bytes;
            rows += segments[**index].live;
            bytes <= self.max_bytes && rows <= self.max_rows
        };
        let mut chosen: Vec<usize> = tier.iter().take_while(fits).copied().collect();
        chosen.sort_unstable();
        (chosen.len() >= least).then_some(chosen)
    }

    fn tier(&self, segment: &Size) -> u32 {
        (segment.bytes / FIRST_TIER).max(1).ilog(self.fan_in as u64)
    }
}

/// A segment that is mostly dead.
fn wasteful(segments: &[Size]) -> Option<Vec<usize>> {
    segments.iter().position(|segment| segment.live * 2 < segment.rows).map(|index| vec![index])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIERS: Tiers = Tiers { fan_in: 4, max_bytes: 2 << 30, max_rows: 2_000_000 };

    fn full(mib: u64) -> Size {
        Size { bytes: mib << 20, live: mib * 600, rows: mib * 600 }
    }

    #[test]
    fn a_full_tier_is_merged_and_a_wasteful_segment_rewritten() {
        assert_eq!(TIERS.choose(&[]), [0; 0]);
        assert_eq!(TIERS.choose(&[full(64), full(70), full(90)]), [0; 0]);
        assert_eq!(TIERS.choose(&[full(64), full(400), full(70), full(90), full(65)]), [0, 2, 3, 4]);
        let half_dead = Size { live: 100, rows: 201, bytes: 1 << 20 };
        assert_eq!(TIERS.choose(&[full(64), half_dead]), [1]);
        assert_eq!(TIERS.choose(&[full(64), Size { live: 101, ..half_dead }]), [0; 0]);
        assert_eq!(TIERS.choose(&[full(1100); 8]), [0; 0], "too large to be merged");
    }

    #[test]
    fn all_that_fit_are_merged_on_demand() {
        assert_eq!(TIERS.choose_all(&[]), [0; 0]);
        assert_eq!(TIERS.choose_all(&[full(64)]), [0; 0]);
        assert_eq!(TIERS.choose_all(&[full(400), full(64), full(3)]), [0, 1, 2]);
        assert_eq!(TIERS.choose_all(&[full(1800), full(64), full(300)]), [1, 2], "all do not fit");
        assert_eq!(TIERS.choose_all(&[full(1800), full(364)]), [0; 0]);
        let half_dead = Size { live: 100, rows: 201, bytes: 1 << 20 };
        assert_eq!(TIERS.choose_all(&[half_dead]), [0]);
    }

    proptest! {
        /// Folds of any size, each followed by all merges: few segments, and few rewrites.
        #[test]
        fn segments_and_rewrites_stay_few(folds in prop::collection::vec(1u64..100, 1..400)) {
            let mut segments: Vec<Size> = Vec::new();
            let (mut folded, mut written) = (0, 0);
            for mib in folds {
                segments.push(full(mib));
                folded += mib << 20;
                written += mib << 20;
                loop {
                    let chosen = TIERS.choose(&segments);
                    if chosen.is_empty() {
                        break;
                    }
                    prop_assert!(chosen.len() > 1 && chosen.is_sorted());
                    let merged: Vec<Size> = chosen.iter().rev().map(|index| segments.remove(*index)).collect();
                    let bytes: u64 = merged.iter().map(|size| size.bytes).sum();
                    let rows = merged.iter().map(|size| size.rows).sum();
                    prop_assert!(bytes <= TIERS.max_bytes && rows <= TIERS.max_rows);
                    segments.push(Size { bytes, live: rows, rows });
                    written += bytes;
                }
            }
            // Three of each of the six tiers below 2 GiB, and what is too large to be merged further.
            let large = folded / (TIERS.max_bytes / 4) + 1;
            prop_assert!(segments.len() as u64 <= 18 + large, "{} segments", segments.len());
            prop_assert!(written <= 7 * folded, "written {written} for {folded}");
        }
    }
}
