use proptest::prelude::*;

use super::{super::codebooks::Codebooks, *};
use crate::engine::index::{codes::Factors, random::Numbers};

/// A function that estimates the rows of a list.
type Estimator = fn(&Tables, &Codes<'_>, f32, &mut [f32]) -> f32;

/// All that this processor can run.
fn estimators() -> Vec<(&'static str, Estimator)> {
    let mut estimators: Vec<(&'static str, Estimator)> = vec![
        ("scalar", scalar::estimate),
        ("detected", |tables, list, base, estimates| tables.estimate(list, base, estimates)),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has these instructions, and the callers bring what is needed.
            let avx512: Estimator =
                |tables, list, base, estimates| unsafe { avx512::estimate(tables, list, base, estimates) };
            estimators.push(("avx512", avx512));
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            let avx2: Estimator =
                |tables, list, base, estimates| unsafe { avx2::estimate(tables, list, base, estimates) };
            estimators.push(("avx2", avx2));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: as above.
        let neon: Estimator =
            |tables, list, base, estimates| unsafe { neon::estimate(tables, list, base, estimates) };
        estimators.push(("neon", neon));
    }
    estimators
}

/// Codes, tables and factors that are all chance.
struct Case {
    tables: Tables,
    codes: Vec<Vec<u8>>,
    factors: Vec<Factors>,
}

impl Case {
    fn new(subspaces: usize, rows: usize, seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let mut levels = |bound: usize, count: usize| -> Vec<u8> {
            (0..count).map(|_| numbers.below(bound) as u8).collect()
        };
        let table = |levels: &[u8]| <[u8; CENTROIDS]>::try_from(levels).unwrap();
        let columns = (0..subspaces / 2).map(|_| [table(&levels(64, 16)), table(&levels(64, 16))]).collect();
        let codes = (0..rows).map(|_| levels(16, subspaces)).collect();
        let number = |level: u8| f32::from(level) / 8.0 - 3.0;
        let factors = levels(64, 2 * rows)
            .chunks(2)
            .map(|pair| Factors { scale: number(pair[0]), add: number(pair[1]) })
            .collect();
        Self { tables: Tables { columns, step: 0.37, bias: -1.25 }, codes, factors }
    }

    /// The estimate of a row, lookup by lookup.
    fn expected(&self, row: usize, base: f32) -> f32 {
        let pairs = self.codes[row].chunks(2).zip(&self.tables.columns);
        let lookup = |(codes, [low, high]): (&[u8], &[[u8; CENTROIDS]; 2])| {
            u32::from(low[codes[0] as usize]) + u32::from(high[codes[1] as usize])
        };
        let product = self.tables.bias + self.tables.step * pairs.map(lookup).sum::<u32>() as f32;
        base + self.factors[row].add + self.factors[row].scale * product
    }

    /// Every instruction set finds what is expected, to the bit.
    fn check(&self) -> Result<(), TestCaseError> {
        let list = Codes::list(self.factors.iter().copied(), &pack(&self.codes));
        // At an odd address and not a byte longer, so that a read beyond the end leaves the allocation.
        let mut bytes = vec![0_u8; 1];
        bytes.extend(&list);
        let bytes = bytes.into_boxed_slice();
        let codes = Codes::of_list(&bytes[1..], self.codes.len());
        let expected: Vec<f32> = (0..self.codes.len()).map(|row| self.expected(row, 0.5)).collect();
        let most = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (name, estimate) in estimators() {
            let mut estimates = vec![f32::NAN; self.codes.len()];
            let largest = estimate(&self.tables, &codes, 0.5, &mut estimates);
            prop_assert_eq!(&estimates, &expected, "{}", name);
            prop_assert_eq!(largest, most, "{}", name);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn estimates_are_sums_of_lookups(fours in 1_usize..40, rows in 0_usize..200, seed in any::<u64>()) {
        Case::new(4 * fours, rows, seed).check()?;
    }
}

/// The largest sums that there can be fit what they are added up in.
#[test]
fn the_largest_sums_do_not_overflow() {
    let mut case = Case::new(1024, 100, 3);
    case.tables.columns.as_flattened_mut().iter_mut().for_each(|table| table.fill(63));
    case.check().unwrap();
}

#[test]
fn every_number_of_rows() {
    for rows in 0..=130 {
        Case::new(12, rows, rows as u64).check().unwrap();
    }
}

/// Estimates are near the inner products with the values that codes stand for.
#[test]
fn six_bits_are_enough() {
    let (shape, mut numbers) = (Shape::new(128, 32).unwrap(), Numbers::new(9));
    let mut vectors = |count: usize| -> Vec<f32> {
        (0..count * 128).map(|_| numbers.below(2001) as f32 / 1000.0 - 1.0).collect()
    };
    let (rows, query) = (vectors(300), vectors(1));
    let codebooks = Codebooks::train(shape, &rows);
    let written = codebooks.encode();
    let tables = Tables::new(shape, written.as_chunks().0, &query);
    let codes: Vec<Vec<u8>> = rows.chunks(128).map(|row| codebooks.code(row)).collect();
    let list = Codes::list(codes.iter().map(|_| Factors { scale: 1.0, add: 0.0 }), &pack(&codes));
    let mut estimates = vec![0.0; codes.len()];
    tables.estimate(&Codes::of_list(&list, codes.len()), 0.0, &mut estimates);
    let product = |left: &mut dyn Iterator<Item = f64>| {
        left.zip(&query).map(|(left, right)| left * f64::from(*right)).sum::<f64>()
    };
    let (mut of_codes, mut of_tables) = (0.0, 0.0);
    for ((row, code), estimate) in rows.chunks(128).zip(&codes).zip(estimates) {
        let coded = product(&mut codebooks.values(code));
        let exact = product(&mut row.iter().map(|value| f64::from(*value)));
        of_codes += (coded - exact).powi(2);
        of_tables += (f64::from(estimate) - coded).powi(2);
    }
    assert!(of_tables < 0.02 * of_codes, "{of_tables} and {of_codes}");
}
