//! Numbers that look random and follow from a seed, the same on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// `count` different numbers below `bound`, ascending; all of them if there are not more.
    pub(super) fn sample(&mut self, count: usize, bound: usize) -> Vec<usize> {
        // Each number is taken with the chance that is left for it (Knuth, TAOCP 2, 3.4.2, S).
        let mut wanted = count.min(bound);
        let mut sample = Vec::with_capacity(wanted);
        for number in 0..bound {
            if self.below(bound - number) < wanted {
                sample.push(number);
                wanted -= 1;
            }
        }
        sample
    }
}
