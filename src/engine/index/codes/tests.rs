use proptest::prelude::*;

use super::*;
use crate::engine::index::{random::Numbers, rotation::Rotation};

/// A rotated vector of length 1.
fn placed(dimension: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers::new(seed);
    let vector: Vec<f32> = (0..dimension).map(|_| numbers.below(2001) as f32 / 1000.0 - 1.0).collect();
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let rotation = Rotation::new(dimension, 1);
    let mut placed = vec![0.0; rotation.rotated_dimension()];
    rotation.rotate(&vector, 1.0 / norm, &mut placed);
    placed
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
}

/// The estimates of coded rows, and the largest.
fn estimate(code_type: CodeType, rows: &[Coded], query: &[f32], base: f32) -> (Vec<f32>, f32) {
    // At an odd address, as in a file.
    let mut bytes = vec![0];
    bytes.extend(pack(code_type, rows));
    let scales: Vec<[u8; 4]> = rows.iter().map(|row| row.factors.scale.to_le_bytes()).collect();
    let adds: Vec<[u8; 4]> = rows.iter().map(|row| row.factors.add.to_le_bytes()).collect();
    let mut estimates = vec![f32::NAN; rows.len()];
    let list = Codes { codes: &bytes[1..], scales: &scales, adds: &adds };
    let largest = CodeQuery::new(code_type, query).estimate(&list, base, &mut estimates);
    (estimates, largest)
}

proptest! {
    #[test]
    fn unpacking_is_the_inverse_of_packing(dimension in 1_usize..400, count in 0_usize..40, seed in any::<u64>()) {
        let centroid: Vec<f32> = placed(dimension, seed ^ 1).iter().map(|value| value * 0.5).collect();
        for code_type in CodeType::ALL {
            let rows: Vec<Coded> = (0..count as u64)
                .map(|row| Coded::new(code_type, &placed(dimension, seed ^ (row + 2)), &centroid, 0.25))
                .collect();
            let list = Codes::list(rows.iter().map(|row| row.factors), &pack(code_type, &rows));
            let unpacked = unpack(code_type, &Codes::of_list(&list, count), centroid.len());
            prop_assert_eq!(unpacked.len(), count);
            for (left, right) in rows.iter().zip(&unpacked) {
                prop_assert_eq!((&left.code, left.factors), (&right.code, right.factors));
            }
        }
    }

    /// Packing, planes and masks do what multiplying level by level does.
    #[test]
    fn estimates_are_sums_over_levels(dimension in 1_usize..400, count in 0_usize..40, seed in any::<u64>()) {
        let query = placed(dimension, seed);
        let centroid: Vec<f32> = placed(dimension, seed ^ 1).iter().map(|value| value * 0.5).collect();
        for code_type in CodeType::ALL {
            let rows: Vec<Coded> = (0..count as u64)
                .map(|row| Coded::new(code_type, &placed(dimension, seed ^ (row + 2)), &centroid, 0.25))
                .collect();
            let (estimates, largest) = estimate(code_type, &rows, &query, 0.5);
            for (row, estimate) in rows.iter().zip(&estimates) {
                let levels: Vec<f32> = row.code.iter().map(|level| f32::from(*level)).collect();
                let exact = 0.5 + f64::from(row.factors.add) + f64::from(row.factors.scale) * dot(&levels, &query);
                // The query is rounded to four or eight bits a value.
                let step = if code_type == CodeType::One { 0.1 } else { 0.01 };
                let length = dot(&levels, &levels).sqrt() * f64::from(row.factors.scale);
                prop_assert!((exact - f64::from(*estimate)).abs() <= 4.0 * step * length + 1e-5, "{code_type:?}: {exact}, {estimate}");
            }
            let expected = estimates.iter().fold(f32::NEG_INFINITY, |largest, estimate| largest.max(*estimate));
            prop_assert_eq!(largest, expected);
        }
    }

    /// All processors give the same bits.
    #[test]
    fn the_plain_loops_agree_with_the_registers(dimension in 1_usize..500, count in 1_usize..30, seed in any::<u64>()) {
        let query = placed(dimension, seed);
        let rows: Vec<Coded> =
            (0..count as u64).map(|row| Coded::new(CodeType::One, &placed(dimension, seed ^ (row + 2)), &vec![0.0; query.len()], 0.0)).collect();
        let (estimates, _) = estimate(CodeType::One, &rows, &query, 0.5);
        let mut plain = vec![0.0; count];
        let prepared = one_bit::Query::new(&query);
        prepared.sums_anywhere(&pack(CodeType::One, &rows), &mut plain);
        for ((plain, estimate), row) in plain.iter().zip(&estimates).zip(&rows) {
            prop_assert_eq!(0.5 + row.factors.add + row.factors.scale * plain, *estimate);
        }
    }
}

/// More bits, less error; and none on average.
#[test]
fn estimates_are_near_the_products() {
    let dimension = 384;
    let query = placed(dimension, 1);
    let centroid: Vec<f32> = placed(dimension, 2).iter().map(|value| value * 0.3).collect();
    let base = dot(&query, &centroid) as f32;
    for (code_type, bound) in [(CodeType::One, 0.05), (CodeType::Four, 0.008), (CodeType::Eight, 0.0008)] {
        let vectors: Vec<Vec<f32>> = (10..510).map(|seed| placed(dimension, seed)).collect();
        let rows: Vec<Coded> =
            vectors.iter().map(|vector| Coded::new(code_type, vector, &centroid, 0.0)).collect();
        let (estimates, _) = estimate(code_type, &rows, &query, base);
        let errors: Vec<f64> = vectors
            .iter()
            .zip(estimates)
            .map(|(vector, estimate)| f64::from(estimate) - dot(vector, &query))
            .collect();
        let root_mean_square = (errors.iter().map(|error| error * error).sum::<f64>() / 500.0).sqrt();
        let mean = errors.iter().sum::<f64>() / 500.0;
        assert!(root_mean_square < bound, "{code_type:?}: {root_mean_square}");
        assert!(mean.abs() < bound / 5.0, "{code_type:?}: {mean}");
    }
}

#[test]
fn a_row_that_is_its_centroid_or_nothing_is_exact() {
    let (query, centroid) = (placed(100, 1), placed(100, 2));
    for code_type in CodeType::ALL {
        for row in [centroid.clone(), vec![0.0; centroid.len()]] {
            let coded = Coded::new(code_type, &row, &centroid, 0.0);
            let base = dot(&query, &centroid) as f32;
            let (estimates, _) = estimate(code_type, &[coded], &query, base);
            assert!(
                (f64::from(estimates[0]) - dot(&row, &query)).abs() < 0.2,
                "{code_type:?}: {estimates:?}"
            );
        }
    }
}
