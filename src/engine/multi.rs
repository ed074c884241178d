//! Searching near several vectors and away from others.
//!
//! The weighted mean of cosine similarities, or of dot products, to several vectors is a multiple of that
//! to one vector, their weighted sum: one search answers, with any index, and its score is exactly that
//! mean. Distances have no such vector; there, one is looked for near the mean of the positive examples,
//! as far beyond it as the mean of the negative ones is before it.

use super::{
    Consistency, Cut, Engine, Hit, Projection, Query,
    query::{Candidate, diversify},
    ranking::in_order,
};
use crate::{
    error::{Error, Result},
    types::{Distance, NamespaceName, rank_by::Position},
};

/// A vector to search near, or away from.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The vector.
    pub vector: Vec<f32>,
    /// How much it counts, 0 or more.
    pub weight: f32,
}

/// A search by examples.
#[derive(Debug, Clone)]
pub struct ByExamples {
    /// To be near; at least one, with weights that are not all 0.
    pub positive: Vec<Example>,
    /// To be away from.
    pub negative: Vec<Example>,
    /// What the search is like, but for its vector.
    pub like: Query,
    /// Rows with a lower score are left out.
    pub score_threshold: Option<f32>,
    /// Whether the rows of the answer are to differ from each other.
    pub diversity: Option<Diversity>,
}

/// How much the rows of an answer are to differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity {
    /// From 1, which is not at all, to 0.
    pub lambda: f32,
    /// Among how many of the best rows they are chosen.
    pub candidates: usize,
}

/// A row that was found by examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The row, with its score.
    pub hit: Hit,
    /// By which it was chosen, if rows were to differ.
    pub mmr_score: Option<f32>,
}

impl Engine {
    /// The rows nearest to the examples.
    ///
    /// # Errors
    /// As [`Engine::query`], and [`Error::Invalid`] if the examples leave no direction to search in.
    pub async fn query_by_examples(
        &self,
        name: &NamespaceName,
        search: ByExamples,
        consistency: Consistency,
    ) -> Result<Vec<Ranked>> {
        let (distance, consistency) = match search.like.distance {
            Some(distance) => (distance, consistency),
            // What the log has to be asked is asked once.
            None => {
                let namespace = self.read(name, consistency).await?;
                (namespace.state().manifest.config.distance, Consistency::Eventual)
            }
        };
        let (vector, scale) = combined(distance, &search.positive, &search.negative)?;
        let is_far =
            |hit: &Hit| search.score_threshold.is_some_and(|threshold| hit.score * scale < threshold);
        // Lower by more than rounding; what is between is taken away when the scores are those of the examples.
        let score_threshold = search.score_threshold.map(|threshold| {
            let threshold = threshold / scale;
            threshold - threshold.abs() * 1e-6
        });
        let cut = Cut { score_threshold, ..search.like.cut.clone() };
        let query = Query { vector, cut, ..search.like.clone() };
        let Some(diversity) = search.diversity else {
            let mut hits = self.hits(name, query, consistency).await?;
            hits.retain(|hit| !is_far(hit));
            let ranked = |mut hit: Hit| {
                hit.score *= scale;
                Ranked { hit, mmr_score: None }
            };
            return Ok(hits.into_iter().map(ranked).collect());
        };
        let Query { top_k, projection, cut: Cut { offset, order_by, .. }, .. } = search.like;
        let wanted = top_k.saturating_add(offset);
        let metadata = projection.metadata || !order_by.is_empty();
        let query = Query {
            top_k: diversity.candidates.max(wanted),
            projection: Projection { vectors: true, metadata },
            cut: Cut { offset: 0, order_by: Vec::new(), ..query.cut },
            ..query
        };
        let mut hits = self.hits(name, query, consistency).await?;
        hits.retain(|hit| !is_far(hit));
        let max = self.context.answer_bytes;
        let choose = move || {
            let chosen = chosen(distance, &hits, diversity.lambda, wanted);
            let ranked = |(place, mmr_score): (usize, Option<f32>)| {
                let mut hit = hits[place].clone();
                hit.score *= scale;
                Ranked { hit, mmr_score }
            };
            let page: Vec<Ranked> = chosen.into_iter().skip(offset).map(ranked).collect();
            let position = |Ranked { hit, .. }: &Ranked| {
                Ok(Position::of(&order_by, hit.row.id.as_str(), hit.row.metadata.as_deref()))
            };
            if order_by.is_empty() { Ok(page) } else { in_order(page, position, max) }
        };
        let mut page = self.searchers.run(choose).await?;
        for Ranked { hit, .. } in &mut page {
            hit.row.vector = hit.row.vector.take().filter(|_| projection.vectors);
            hit.row.metadata = hit.row.metadata.take().filter(|_| projection.metadata);
        }
        Ok(page)
    }

    /// The rows that one query finds.
    async fn hits(&self, name: &NamespaceName, query: Query, consistency: Consistency) -> Result<Vec<Hit>> {
        let results = self.query(name, vec![query], consistency).await.map_err(of_examples)?;
        Ok(results.into_iter().flat_map(|result| result.hits).collect())
    }
}

fn candidate(hit: &Hit) -> Candidate<'_> {
    Candidate { vector: hit.row.vector.as_deref().unwrap_or_default(), relevance: hit.score }
}

/// All examples are of the dimension of the first one, so that is the one to name.
fn of_examples(error: Error) -> Error {
    match error {
        Error::DimensionMismatch { expected, actual, .. } => {
            Error::DimensionMismatch { field: "positive_vectors[0]".to_owned(), expected, actual }
        }
        error => error,
    }
}

fn chosen(distance: Distance, hits: &[Hit], lambda: f32, count: usize) -> Vec<(usize, Option<f32>)> {
    let candidates: Vec<Candidate<'_>> = hits.iter().map(candidate).collect();
    let chosen = diversify(distance, &candidates, lambda, count);
    chosen.into_iter().map(|(place, score)| (place, Some(score))).collect()
}

/// The vector that stands for examples, and what to multiply its scores by to get theirs.
fn combined(distance: Distance, positive: &[Example], negative: &[Example]) -> Result<(Vec<f32>, f32)> {
    let dimension = positive.first().map_or(0, |example| example.vector.len());
    for (field, examples) in [("positive_vectors", positive), ("negative_vectors", negative)] {
        if let Some(place) = examples.iter().position(|example| example.vector.len() != dimension) {
            let (field, actual) = (format!("{field}[{place}]"), examples[place].vector.len());
            return Err(Error::DimensionMismatch { field, expected: dimension, actual });
        }
    }
    let (near, away) = (weight(positive), weight(negative));
    let sum = match distance {
        Distance::Cosine | Distance::DotProduct => {
            let mut sum = vec![0.0; dimension];
            add(&mut sum, distance, positive, 1.0 / (near + away));
            add(&mut sum, distance, negative, -1.0 / (near + away));
            sum
        }
        Distance::Euclidean => {
            let mut sum = vec![0.0; dimension];
            // p + (p - n), or p alone if there is nothing to be away from.
            let against = if away > 0.0 { 1.0 } else { 0.0 };
            add(&mut sum, distance, positive, (1.0 + against) / near);
            if away > 0.0 {
                add(&mut sum, distance, negative, -1.0 / away);
            }
            sum
        }
    };
    let vector: Vec<f32> = sum.iter().map(|value| *value as f32).collect();
    if vector.iter().any(|value| !value.is_finite()) {
        return Err(Error::invalid("positive_vectors", "the examples together are out of range"));
    }
    if distance != Distance::Cosine {
        return Ok((vector, 1.0));
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    // What rounding leaves of vectors that cancel each other out is no direction.
    if length < 1e-6 {
        let wrong = "the examples cancel each other out, so that no direction is left to search in";
        return Err(Error::invalid("positive_vectors", wrong));
    }
    Ok((vector, length as f32))
}

fn weight(examples: &[Example]) -> f64 {
    examples.iter().map(|example| f64::from(example.weight)).sum()
}

fn add(sum: &mut [f64], distance: Distance, examples: &[Example], factor: f64) {
    for Example { vector, weight } in examples {
        let length = match distance {
            Distance::Cosine => vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt(),
            Distance::DotProduct | Distance::Euclidean => 1.0,
        };
        // A zero vector has no direction: its cosine similarity to everything is 0.
        let factor = if length > 0.0 { factor * f64::from(*weight) / length } else { 0.0 };
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += factor * f64::from(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(vectors: &[(&[f32], f32)]) -> Vec<Example> {
        vectors.iter().map(|(vector, weight)| Example { vector: vector.to_vec(), weight: *weight }).collect()
    }

    #[test]
    fn one_vector_has_the_mean_of_all_similarities() {
        let positive = examples(&[(&[3.0, 4.0], 2.0), (&[0.0, 2.0], 1.0)]);
        let negative = examples(&[(&[1.0, 0.0], 1.0)]);
        let row = [0.6, 0.8];
        let (vector, scale) = combined(Distance::Cosine, &positive, &negative).unwrap();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let cosine = (vector[0] * row[0] + vector[1] * row[1]) / length;
        assert!((cosine * scale - (2.0 * 1.0 + 0.8 - 0.6) / 4.0).abs() < 1e-6);
        let (vector, scale) = combined(Distance::DotProduct, &positive, &negative).unwrap();
        let dot = vector[0] * row[0] + vector[1] * row[1];
        assert!((dot * scale - (2.0 * 5.0 + 1.6 - 0.6) / 4.0).abs() < 1e-6);
    }

    #[test]
    fn by_distance_it_is_beyond_the_mean() {
        let positive = examples(&[(&[1.0, 0.0], 1.0), (&[3.0, 0.0], 1.0)]);
        assert_eq!(combined(Distance::Euclidean, &positive, &[]).unwrap(), (vec![2.0, 0.0], 1.0));
        let negative = examples(&[(&[1.0, 1.0], 5.0)]);
        assert_eq!(combined(Distance::Euclidean, &positive, &negative).unwrap(), (vec![3.0, -1.0], 1.0));
    }

    #[test]
    fn what_leaves_no_direction_is_refused() {
        let one = examples(&[(&[1.0, 0.0], 1.0)]);
        assert!(matches!(combined(Distance::Cosine, &one, &one), Err(Error::Invalid { .. })));
        assert!(matches!(
            combined(Distance::Cosine, &one, &examples(&[(&[1.0], 1.0)])),
            Err(Error::DimensionMismatch { field, .. }) if field == "negative_vectors[0]"
        ));
    }
}
