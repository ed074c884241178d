//! Answers whose rows differ from each other: maximal marginal relevance (J. Carbonell and J. Goldstein,
//! "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries", 1998).

use crate::{
    engine::index::{Query, flat::score},
    types::{Distance, inverse_norm},
};

/// A row that may be part of the answer.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its vector.
    pub vector: &'a [f32],
    /// How near it is to what was asked.
    pub relevance: f32,
}

/// The candidates in the order in which they are chosen, at most `count`, each with `lambda` times its
/// relevance less `1 - lambda` times how near it is to the nearest of those chosen before it: the row is
/// taken for which that is greatest, and of equal ones the earlier. Takes `count` times as many scores as
/// there are candidates.
pub fn diversify(
    distance: Distance,
    candidates: &[Candidate<'_>],
    lambda: f32,
    count: usize,
) -> Vec<(usize, f32)> {
    let norms: Vec<f32> = candidates.iter().map(|candidate| inverse_norm(candidate.vector)).collect();
    let mut nearest: Vec<Option<f32>> = vec![None; candidates.len()];
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut chosen = Vec::with_capacity(count.min(candidates.len()));
    while chosen.len() < count {
        let gain = |place: usize| {
            let repeated = nearest[place].map_or(0.0, |nearest| (1.0 - lambda) * nearest);
            lambda * candidates[place].relevance - repeated
        };
        // Strictly greater, so that the earlier of equal ones stays.
        let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
        let gains = left.iter().enumerate().map(|(at, place)| (at, gain(*place)));
        let Some((at, gained)) = gains.reduce(better) else { break };
        let place = left.remove(at);
        chosen.push((place, gained));
        let query = Query::new(distance, candidates[place].vector);
        for other in &left {
            let near = score(&query, candidates[*other].vector, norms[*other]);
            nearest[*other] = Some(nearest[*other].map_or(near, |nearest| nearest.max(near)));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(distance: Distance, lambda: f32, rows: &[([f32; 2], f32)]) -> Vec<usize> {
        let candidates: Vec<_> =
            rows.iter().map(|(vector, relevance)| Candidate { vector, relevance: *relevance }).collect();
        diversify(distance, &candidates, lambda, rows.len()).into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn what_repeats_comes_later_the_less_relevance_counts() {
        // The second row is nearly the first; the third is less relevant and another direction.
        let rows = [([1.0, 0.0], 0.9), ([1.0, 0.01], 0.89), ([0.0, 1.0], 0.5)];
        assert_eq!(order(Distance::Cosine, 1.0, &rows), [0, 1, 2]);
        assert_eq!(order(Distance::Cosine, 0.5, &rows), [0, 2, 1]);
        assert_eq!(order(Distance::Cosine, 0.0, &rows), [0, 2, 1]);
        let rows = [([0.0, 0.0], -1.0), ([0.0, 0.1], -1.1), ([5.0, 0.0], -2.0)];
        assert_eq!(order(Distance::Euclidean, 1.0, &rows), [0, 1, 2]);
        assert_eq!(order(Distance::Euclidean, 0.5, &rows), [0, 2, 1]);
    }

    #[test]
    fn gains_are_those_of_the_definition() {
        let vectors = [[1.0, 0.0], [0.6, 0.8]];
        let candidates = vectors.each_ref().map(|vector| Candidate { vector, relevance: 0.8 });
        let chosen = diversify(Distance::Cosine, &candidates, 0.75, 5);
        let expected = [(0, 0.75 * 0.8), (1, 0.75 * 0.8 - 0.25 * 0.6)];
        assert_eq!(chosen.len(), 2);
        for ((place, gain), (expected_place, expected)) in chosen.into_iter().zip(expected) {
            assert_eq!(place, expected_place);
            assert!((gain - expected).abs() < 1e-6, "{gain} {expected}");
        }
    }

    #[test]
    fn nothing_and_zero_vectors_do_no_harm() {
        assert_eq!(order(Distance::Cosine, 0.5, &[]), [0; 0]);
        assert_eq!(order(Distance::Cosine, 0.5, &[([0.0, 0.0], 0.0), ([0.0, 0.0], 0.0)]), [0, 1]);
    }
}
