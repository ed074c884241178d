//! The length of a vector, as its segment keeps it.

/// `1 / ‖vector‖₂`; 0 for a zero vector. The same bits on every machine.
///
/// In f64, so that the norm of any finite f32 vector is finite. A norm whose inverse is no f32
/// (denormal vectors) is treated as the smallest one that has one.
pub fn inverse_norm(vector: &[f32]) -> f32 {
    let squares: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    if squares == 0.0 { 0.0 } else { (1.0 / squares.sqrt()).min(f64::from(f32::MAX)) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_extreme_vectors_stay_finite() {
        assert_eq!(inverse_norm(&[0.0; 4]), 0.0);
        assert_eq!(inverse_norm(&[3.0, 4.0]), 0.2);
        assert!(inverse_norm(&[f32::MAX; 64]) > 0.0);
        assert!(inverse_norm(&[f32::from_bits(1)]).is_finite());
    }
}
