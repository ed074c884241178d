//! Searching by a vector and by words at once.
//!
//! Both searches see the same rows. Each finds its best candidates; what a candidate of one scores by the other
//! is looked up, exactly, so that the fused order of the candidates does not depend on which search found them.

use std::{cmp::Ordering, collections::HashSet, sync::Arc, time::Duration};

use super::{
    Consistency, Engine, Query, TextHit, TextSearch,
    contents::{Block, Snapshot},
    fulltext::Showing,
    index::{self, flat},
    namespace::Namespace,
    query::{Fusion, Scores, Target, TextAnswer, fuse},
    search::check_dimensions,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::{NamespaceName, text::FulltextParams},
};

/// A search by a vector and by words.
#[derive(Debug, Clone)]
pub struct HybridSearch {
    /// The words, and what is common to both: how many rows, which, and what is returned of them.
    pub text: TextSearch,
    /// The vector; the words alone count if missing.
    pub vector: Option<VectorSide>,
    /// How the two become one.
    pub fusion: Fusion,
}

/// The vector of a hybrid search.
#[derive(Debug, Clone)]
pub struct VectorSide {
    /// It, and how near to an exact search its candidates are to come.
    pub query: Query,
    /// How much it counts, from 0 (the words alone) to 1 (the vector alone).
    pub weight: f32,
    /// How many rows each of the two searches contributes; at least as many as are wanted.
    pub candidates: usize,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct HybridHit {
    /// The row, with the score by which rows are ordered.
    pub hit: TextHit,
    /// What it scores for the vector, if that counts.
    pub vector_score: Option<f32>,
    /// What it scores for the words, if these count and it matches.
    pub text_score: Option<f32>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct HybridResult {
    /// Best first, equal scores in id order.
    pub hits: Vec<HybridHit>,
    /// Time spent searching.
    pub elapsed: Duration,
}

/// A candidate, and what it scores.
struct Candidate {
    block: Block,
    row: usize,
    scores: Scores,
}

impl Engine {
    /// The rows that are best by both.
    ///
    /// # Errors
    /// As [`Engine::query`] for the vector, and as [`Engine::search_texts`] for the words, where these count.
    pub async fn search_hybrid(
        &self,
        name: &NamespaceName,
        search: HybridSearch,
        consistency: Consistency,
    ) -> Result<HybridResult> {
        let namespace = self.read(name, consistency).await?;
        let HybridSearch { text, vector, fusion } = search;
        let only_vector = vector.as_ref().is_some_and(|vector| vector.weight >= 1.0);
        // Texts are shown, and fields looked at, also where words do not count.
        let shown = match namespace.text_params() {
            Ok(params) => Some(params),
            Err(Error::IndexNotFound { .. }) if only_vector => None,
            Err(error) => return Err(error),
        };
        let fields = shown.as_ref().map(|params| text.places(params)).transpose()?.unwrap_or_default();
        let params = shown.clone().filter(|_| !only_vector);
        let vector = vector.filter(|vector| vector.weight > 0.0);
        let (snapshot, now) = (namespace.snapshot(), self.context.clock.now());
        let target = vector.as_ref().map(|vector| self.vector_target(&namespace, vector, text.top_k));
        let target = target.transpose()?.filter(|_| !snapshot.is_empty());
        let candidates = match &target {
            Some(target) => self.near(&snapshot, target, now.wall).await?,
            None => Vec::new(),
        };
        let mut words = None;
        if let Some(params) = &params {
            let count = target.as_ref().map_or(text.top_k, |target| target.top_k);
            words = Some(self.matching(&snapshot, params, &text, count, &candidates, now.wall).await?);
        }
        let weight = match (&target, &params) {
            (Some(_), Some(_)) => vector.as_ref().map(|vector| vector.weight),
            _ => None,
        };
        let (rows, top_k) = (snapshot.clone(), text.top_k);
        let rank = move || {
            let candidates = match &words {
                Some(answer) => together(&rows, candidates, answer, target.as_ref())?,
                None => candidates,
            };
            let ranked = rank(&rows, candidates, fusion, weight, top_k)?;
            Ok((ranked, words.map(|answer| answer.plan)))
        };
        let (ranked, plan) = self.searchers.run(rank).await?;
        let elapsed = now.age(self.context.clock.now());
        let showing = Showing {
            fields,
            params: shown.unwrap_or_default(),
            plan,
            projection: text.projection,
            highlight: text.highlight,
        };
        let found = ranked.iter().map(|(score, row)| (*score, row.block, row.row)).collect();
        let hits = self.show(snapshot, found, showing).await?.into_iter().zip(ranked);
        let hits = hits.map(|(hit, (_, row))| HybridHit {
            hit,
            vector_score: row.scores.vector,
            text_score: row.scores.text,
        });
        Ok(HybridResult { hits: hits.collect(), elapsed })
    }

    /// The search for the vector.
    fn vector_target(&self, namespace: &Namespace, side: &VectorSide, top_k: usize) -> Result<Target> {
        let (dimension, distance) = {
            let state = namespace.state();
            (state.dimension, state.manifest.config.distance)
        };
        if let Some(expected) = dimension {
            check_dimensions(std::slice::from_ref(&side.query), expected)?;
        }
        if let Some(index) = side.query.index {
            namespace.check_wanted(index)?;
        }
        let query = Query { top_k: side.candidates.max(top_k), ..side.query.clone() };
        Ok(self.target(query, distance))
    }

    /// The candidates of the vector.
    async fn near(
        &self,
        snapshot: &Arc<Snapshot>,
        target: &Target,
        now: Timestamp,
    ) -> Result<Vec<Candidate>> {
        let answers = self.searchers.search(snapshot.clone(), vec![target.clone()], now).await?;
        let found = answers.into_iter().flat_map(|answer| answer.found);
        let candidate = |found: super::query::Found| Candidate {
            block: found.block,
            row: found.row,
            scores: Scores { vector: Some(found.score), text: None },
        };
        Ok(found.map(candidate).collect())
    }

    /// The candidates of the words, and what the others score by them.
    async fn matching(
        &self,
        snapshot: &Arc<Snapshot>,
        params: &Arc<FulltextParams>,
        text: &TextSearch,
        count: usize,
        others: &[Candidate],
        now: Timestamp,
    ) -> Result<TextAnswer> {
        self.prepare_texts(snapshot, params).await?;
        let mut target = text.target(params)?;
        target.top_k = count;
        target.others = others.iter().map(|candidate| (candidate.block, candidate.row)).collect();
        self.searchers.search_texts(snapshot.clone(), target, now).await
    }
}

/// The candidates of the vector and those of the words, each with what it scores by the other. Reads vectors, so it
/// is left to the threads that search.
fn together(
    snapshot: &Snapshot,
    mut candidates: Vec<Candidate>,
    answer: &TextAnswer,
    target: Option<&Target>,
) -> Result<Vec<Candidate>> {
    debug_assert!(rayon::current_thread_index().is_some(), "rows are read on an async worker");
    for (candidate, score) in candidates.iter_mut().zip(&answer.others) {
        candidate.scores.text = *score;
    }
    let place = |block: Block, row: usize| match block {
        Block::Batch(segment, batch) => (0, segment, batch, row),
        Block::Chunk(chunk) => (1, chunk, 0, row),
    };
    let known: HashSet<_> =
        candidates.iter().map(|candidate| place(candidate.block, candidate.row)).collect();
    let query = target.map(|target| index::Query::new(target.distance, &target.vector));
    for found in answer.found.iter().filter(|found| !known.contains(&place(found.block, found.row))) {
        let vector = match &query {
            Some(query) => {
                let row = snapshot.row(found.block, found.row)?;
                (!row.vector.is_empty()).then(|| flat::score(query, row.vector, row.inverse_norm))
            }
            None => None,
        };
        let scores = Scores { vector, text: Some(found.score) };
        candidates.push(Candidate { block: found.block, row: found.row, scores });
    }
    Ok(candidates)
}

/// The best candidates with their scores. Without a weight only one side counts, and its scores are left as
/// they are.
fn rank(
    snapshot: &Snapshot,
    candidates: Vec<Candidate>,
    fusion: Fusion,
    weight: Option<f32>,
    top_k: usize,
) -> Result<Vec<(f32, Candidate)>> {
    let scores: Vec<Scores> = candidates.iter().map(|candidate| candidate.scores).collect();
    let fused = match weight {
        Some(weight) => fuse(fusion, weight, &scores),
        None => scores.iter().map(|scores| scores.vector.or(scores.text).unwrap_or_default()).collect(),
    };
    let with_id = |(score, candidate): (f32, Candidate)| {
        let id = snapshot.id(candidate.block, candidate.row)?;
        Ok((id, score, candidate))
    };
    let mut ranked = fused.into_iter().zip(candidates).map(with_id).collect::<Result<Vec<_>>>()?;
    ranked.sort_unstable_by(|left, right| -> Ordering {
        right.1.total_cmp(&left.1).then_with(|| left.0.cmp(right.0))
    });
    ranked.truncate(top_k);
    Ok(ranked.into_iter().map(|(_, score, candidate)| (score, candidate)).collect())
}
