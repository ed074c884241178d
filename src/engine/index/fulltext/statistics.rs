//! What scores depend on beyond the row: how many rows there are, how long their texts are, and how
//! many have a term. All of it is of the live rows of a whole namespace, so that the score of a row says
//! nothing of the segment that it is in.

use std::ops::AddAssign;

use super::{
    length,
    plan::{Find, Plan},
};
use crate::types::text::FulltextParams;

/// Of the rows of some parts of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// For each field: rows with a text in it, and the words of these.
    pub fields: Vec<(u64, u64)>,
    /// For each leaf: rows that have one of its terms; of a phrase, for each of its terms.
    pub leaves: Vec<Vec<u64>>,
}

impl Statistics {
    /// Of no rows.
    pub fn none(plan: &Plan, fields: usize) -> Self {
        let terms = |find: &Find| if let Find::Phrase(terms) = find { terms.len() } else { 1 };
        Self {
            fields: vec![(0, 0); fields],
            leaves: plan.leaves.iter().map(|leaf| vec![0; terms(&leaf.find)]).collect(),
        }
    }
}

impl AddAssign<&Self> for Statistics {
    fn add_assign(&mut self, other: &Self) {
        for (sum, number) in self.fields.iter_mut().zip(&other.fields) {
            *sum = (sum.0 + number.0, sum.1 + number.1);
        }
        for (sums, numbers) in self.leaves.iter_mut().zip(&other.leaves) {
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
    }
}

/// What a term's presence is worth, and what lengths are: BM25 as Robertson and Zaragoza write it ("The
/// Probabilistic Relevance Framework: BM25 and Beyond", 2009), with the idf of Lucene, which is
/// never negative.
#[derive(Debug, Clone)]
pub struct Weights {
    leaves: Vec<f32>,
    /// For each field, `k1 · (1 − b + b · length / average)` by the byte of a length.
    norms: Vec<[f32; 256]>,
}

impl Weights {
    /// For the statistics of all parts.
    pub fn new(plan: &Plan, statistics: &Statistics, params: &FulltextParams) -> Self {
        let (k1, b) = (params.k1.value(), params.b.value());
        let norms = statistics.fields.iter().map(|(rows, words)| {
            let average = if *words == 0 { 1.0 } else { *words as f32 / *rows as f32 };
            std::array::from_fn(|byte| k1 * (1.0 - b + b * length::of_byte(byte as u8) as f32 / average))
        });
        let leaves = plan.leaves.iter().zip(&statistics.leaves).map(|(leaf, rows)| {
            let all = statistics.fields.get(leaf.field).map_or(0, |field| field.0);
            let idf: f32 = rows.iter().map(|rows| idf(*rows, all)).sum();
            idf * (1.0 + k1) * params.weight(leaf.field)
        });
        Self { leaves: leaves.collect(), norms: norms.collect() }
    }

    /// What a leaf's presence is worth at most.
    pub fn leaf(&self, leaf: usize) -> f32 {
        self.leaves.get(leaf).copied().unwrap_or_default()
    }

    /// By the byte of a length.
    pub fn norms(&self, field: usize) -> &[f32; 256] {
        self.norms.get(field).unwrap_or(&[1.0; 256])
    }
}

/// The score of a row that has something so many times, by its weight and the norm of its length.
#[inline]
pub fn score(weight: f32, norm: f32, count: u32) -> f32 {
    let count = count as f32;
    weight * (count / (count + norm))
}

fn idf(rows: u64, all: u64) -> f32 {
    (1.0 + (all.saturating_sub(rows) as f32 + 0.5) / (rows as f32 + 0.5)).ln()
}
