//! Searching by a vector and by words at once.
//!
//! Both searches see the same rows. Each finds its best candidates; what a candidate of one scores by the other
//! is looked up, exactly, so that the fused order of the candidates does not depend on which search found them.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Consistency, Engine, Query, TextHit, TextSearch,
    contents::{Block, Snapshot},
    fulltext::Showing,
    grouped::first_of_groups,
    index::{self, flat},
    namespace::Namespace,
    query::{Found, Fusion, Scores, Target, TextAnswer, fuse},
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
    /// The words, and what is common to both: how many rows, which, which part of the ranking, and what is
    /// returned of them. Groups are made of the candidates.
    pub text: TextSearch,
    /// The vector; the words alone count if missing.
    pub vector: Option<VectorSide>,
    /// How the two become one.
    pub fusion: Fusion,
    /// How many rows each of the two searches contributes; at least as many as are wanted.
    pub candidates: usize,
}

/// The vector of a hybrid search.
#[derive(Debug, Clone)]
pub struct VectorSide {
    /// It, and how near to an exact search its candidates are to come.
    pub query: Query,
    /// How much it counts, from 0 (the words alone) to 1 (the vector alone).
    pub weight: f32,
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
    /// Best first, equal scores in id order, unless fields order them.
    pub hits: Vec<HybridHit>,
    /// Time spent searching.
    pub elapsed: Duration,
}

/// A candidate, and what it scores.
struct Candidate {
    found: Found,
    scores: Scores,
}

impl Candidate {
    fn place(&self) -> (Block, usize) {
        (self.found.block, self.found.row)
    }
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
        let HybridSearch { text, vector, fusion, candidates: count } = search;
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
        let wanted = text.top_k.saturating_add(text.cut.offset);
        // The best rows by words alone are the best rows.
        let only_best = vector.is_none() && text.cut.group_by.is_none();
        let count = if only_best { wanted } else { count.max(wanted) };
        let target = vector.as_ref().map(|vector| self.vector_target(&namespace, vector, count));
        let target = target.transpose()?.filter(|_| !snapshot.is_empty());
        let candidates = match &target {
            Some(target) => self.near(&snapshot, target, now.wall).await?,
            None => Vec::new(),
        };
        let mut words = None;
        if let Some(params) = &params {
            words = Some(self.matching(&snapshot, params, &text, count, &candidates, now.wall).await?);
        }
        let weight = match (&target, &params) {
            (Some(_), Some(_)) => vector.as_ref().map(|vector| vector.weight),
            _ => None,
        };
        let (rows, grouping) = (snapshot.clone(), text.cut.group_by.clone());
        let max_bytes = self.context.answer_bytes;
        let rank = move || {
            let candidates = match &words {
                Some(answer) => together(&rows, candidates, answer, target.as_ref())?,
                None => candidates,
            };
            let mut ranked = rank(&rows, candidates, fusion, weight)?;
            if grouping.is_none() {
                ranked.truncate(wanted);
            }
            let mut first: Vec<Found> = ranked.iter().map(|candidate| candidate.found).collect();
            if let Some(grouping) = grouping {
                first = first_of_groups(&rows, grouping, first, wanted, max_bytes)?;
            }
            let scores: HashMap<(Block, usize), Scores> =
                ranked.iter().map(|candidate| (candidate.place(), candidate.scores)).collect();
            Ok((first, scores, words.map(|answer| answer.plan)))
        };
        let (first, scores, plan) = self.searchers.run(rank).await?;
        let page = self.page_of(&snapshot, &text.cut, first, text.top_k).await?;
        let elapsed = now.age(self.context.clock.now());
        let showing = Showing {
            fields,
            params: shown.unwrap_or_default(),
            plan,
            projection: text.projection,
            highlight: text.highlight,
        };
        let of_page: Vec<Scores> = page.iter().map(|found| scores[&(found.block, found.row)]).collect();
        let hits = self.show(snapshot, page, showing).await?.into_iter().zip(of_page);
        let hits =
            hits.map(|(hit, scores)| HybridHit { hit, vector_score: scores.vector, text_score: scores.text });
        Ok(HybridResult { hits: hits.collect(), elapsed })
    }

    /// The search for the vector.
    fn vector_target(&self, namespace: &Namespace, side: &VectorSide, count: usize) -> Result<Target> {
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
        let query = Query { top_k: count, ..side.query.clone() };
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
        let candidate =
            |found: Found| Candidate { found, scores: Scores { vector: Some(found.score), text: None } };
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
        target.others = others.iter().map(Candidate::place).collect();
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
    let known: HashSet<(Block, usize)> = candidates.iter().map(Candidate::place).collect();
    let query = target.map(|target| index::Query::new(target.distance, &target.vector));
    for found in answer.found.iter().filter(|found| !known.contains(&(found.block, found.row))) {
        let vector = match &query {
            Some(query) => {
                let row = snapshot.row(found.block, found.row)?;
                (!row.vector.is_empty()).then(|| flat::score(query, row.vector, row.inverse_norm))
            }
            None => None,
        };
        candidates.push(Candidate { found: *found, scores: Scores { vector, text: Some(found.score) } });
    }
    Ok(candidates)
}

/// The candidates with their scores, the best one first. Without a weight only one side counts, and its scores are
/// left as they are.
fn rank(
    snapshot: &Snapshot,
    candidates: Vec<Candidate>,
    fusion: Fusion,
    weight: Option<f32>,
) -> Result<Vec<Candidate>> {
    let scores: Vec<Scores> = candidates.iter().map(|candidate| candidate.scores).collect();
    let fused = match weight {
        Some(weight) => fuse(fusion, weight, &scores),
        None => scores.iter().map(|scores| scores.vector.or(scores.text).unwrap_or_default()).collect(),
    };
    let with_id = |(score, mut candidate): (f32, Candidate)| {
        candidate.found.score = score;
        Ok((snapshot.id(candidate.found.block, candidate.found.row)?, candidate))
    };
    let mut ranked = fused.into_iter().zip(candidates).map(with_id).collect::<Result<Vec<_>>>()?;
    ranked.sort_unstable_by(|(left_id, left), (right_id, right)| -> Ordering {
        right.found.score.total_cmp(&left.found.score).then_with(|| left_id.cmp(right_id))
    });
    Ok(ranked.into_iter().map(|(_, candidate)| candidate).collect())
}
