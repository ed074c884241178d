//! Sums that do not depend on the order of what is added.
//!
//! Whole numbers are added exactly. Others are kept as a sum of floats that do not overlap, which is
//! exact too, and rounded once, at the end (J. R. Shewchuk, "Adaptive Precision Floating-Point
//! Arithmetic and Fast Robust Geometric Predicates", 1997, section 2.4), so that rows in other segments
//! give the same last digit. That holds as long as no part of the sum is beyond the range of a float.

use crate::types::filter::Number;

/// A sum of numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    whole: i128,
    /// Ascending in magnitude; no two have bits of the same weight.
    parts: Vec<f64>,
    /// Numbers that were added.
    pub count: u64,
}

impl Sum {
    /// Adds a number.
    pub fn add(&mut self, number: Number) {
        self.count += 1;
        match number {
            // Of 64 bits each: 2⁶³ of them fit.
            Number::Int(whole) => self.whole += whole,
            Number::Float(float) => grow(&mut self.parts, float),
        }
    }

    /// Adds what another sum has.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.whole += other.whole;
        other.parts.iter().for_each(|part| grow(&mut self.parts, *part));
    }

    /// The sum; none if it is beyond the range of a 64-bit float.
    pub fn total(&self) -> Option<Number> {
        if self.parts.is_empty() && i64::try_from(self.whole).is_ok() | u64::try_from(self.whole).is_ok() {
            return Some(Number::Int(self.whole));
        }
        let float = self.float();
        float.is_finite().then_some(Number::Float(float))
    }

    /// The mean; none of nothing, or beyond the range.
    pub fn mean(&self) -> Option<f64> {
        let mean = self.float() / self.count as f64;
        (self.count > 0 && mean.is_finite()).then_some(mean)
    }

    fn float(&self) -> f64 {
        let mut parts = self.parts.clone();
        // Pieces of 52 bits are exact as floats.
        let (mut rest, mut weight) = (self.whole.unsigned_abs(), 1.0_f64);
        while rest > 0 {
            let piece = (rest & ((1 << 52) - 1)) as f64 * weight;
            grow(&mut parts, if self.whole < 0 { -piece } else { piece });
            rest >>= 52;
            weight *= (1_u64 << 52) as f64;
        }
        rounded(&parts)
    }
}

/// Adds a float to a sum of floats that do not overlap, exactly.
fn grow(parts: &mut Vec<f64>, mut added: f64) {
    let mut kept = 0;
    for place in 0..parts.len() {
        let mut part = parts[place];
        if added.abs() < part.abs() {
            std::mem::swap(&mut added, &mut part);
        }
        let sum = added + part;
        let lost = part - (sum - added);
        if lost != 0.0 {
            parts[kept] = lost;
            kept += 1;
        }
        added = sum;
    }
    parts.truncate(kept);
    parts.push(added);
}

/// The float nearest to a sum of floats that do not overlap; of two the even one.
fn rounded(parts: &[f64]) -> f64 {
    let mut rest = parts.iter().rev();
    let mut high = rest.next().copied().unwrap_or(0.0);
    let mut low = 0.0;
    for part in rest.by_ref() {
        let before = high;
        high = before + part;
        low = part - (high - before);
        if low != 0.0 {
            break;
        }
    }
    // Half way between two floats, what is left decides.
    if let Some(next) = rest.next()
        && (low < 0.0 && *next < 0.0 || low > 0.0 && *next > 0.0)
    {
        let doubled = low * 2.0;
        let up = high + doubled;
        if doubled == up - high {
            high = up;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(numbers: &[Number]) -> Sum {
        let mut sum = Sum::default();
        numbers.iter().for_each(|number| sum.add(*number));
        sum
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        let float = |numbers: &[f64]| sum(&numbers.iter().map(|n| Number::Float(*n)).collect::<Vec<_>>());
        assert_eq!(float(&[1e100, 1.0, -1e100]).total(), Some(Number::Float(1.0)));
        assert_eq!(float(&[0.1; 10]).total(), Some(Number::Float(1.0)));
        assert_eq!(float(&[1e16, 1.0, 1e-16]).total(), Some(Number::Float(1e16 + 2.0)));
        let mixed = sum(&[Number::Int(i128::from(u64::MAX)), Number::Float(0.5), Number::Int(-1)]);
        assert_eq!(mixed.total(), Some(Number::Float(u64::MAX as f64)));
        assert_eq!(float(&[f64::MAX, f64::MAX]).total(), None);
        assert_eq!(Sum::default().mean(), None);
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let max = Number::Int(i128::from(u64::MAX));
        assert_eq!(format!("{:?}", sum(&[max, Number::Int(-1)]).total()), "Some(Int(18446744073709551614))");
        assert_eq!(sum(&[max, max]).total(), Some(Number::Float(2.0 * u64::MAX as f64)));
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(
            floats in prop::collection::vec(-1e18..1e18, 0..40),
            whole in prop::collection::vec(any::<i64>(), 0..10),
            cut in 0_usize..50,
            seed in any::<u64>(),
        ) {
            let mut numbers: Vec<Number> = floats.into_iter().map(Number::Float).collect();
            numbers.extend(whole.into_iter().map(|number| Number::Int(i128::from(number))));
            let straight = sum(&numbers);
            let mut state = seed | 1;
            numbers.sort_by_cached_key(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            });
            let (left, right) = numbers.split_at(cut.min(numbers.len()));
            let mut merged = sum(left);
            merged.merge(&sum(right));
            prop_assert_eq!(merged.total(), straight.total());
            prop_assert_eq!(merged.mean(), straight.mean());
        }
    }
}
