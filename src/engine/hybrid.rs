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
    index::{self, flat, fulltext::Plan},
    namespace::Namespace,
    query::{Found, Fusion, Scores, Target, TextAnswer, fuse},
    ranking::Ranker,
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
    /// returned of them. Where both count, groups are made of the candidates.
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

/// The rows that the page is cut from, in their order.
#[derive(Default)]
struct Ranked {
    first: Vec<Found>,
    /// What each of them scores by the two sides.
    scores: HashMap<(Block, usize), Scores>,
    /// The words that were searched for.
    plan: Option<Plan>,
}

impl Ranked {
    /// By one side alone, whose scores are left as they are.
    fn alone(first: Vec<Found>, scores: impl Fn(f32) -> Scores, plan: Option<Plan>) -> Self {
        let of_row = |found: &Found| ((found.block, found.row), scores(found.score));
        Self { scores: first.iter().map(of_row).collect(), first, plan }
    }
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
    /// As [`Engine::query`] for the vector, and as [`Engine::search_texts`] for the words, also of what does not
    /// count; only that there is no index over texts is no error where the vector alone counts.
    pub async fn search_hybrid(
        &self,
        name: &NamespaceName,
        search: HybridSearch,
        consistency: Consistency,
    ) -> Result<HybridResult> {
        let namespace = self.read(name, consistency).await?;
        let HybridSearch { text, vector, fusion, candidates } = search;
        let only_vector = vector.as_ref().is_some_and(|vector| vector.weight >= 1.0);
        // Texts are shown, and fields looked at, also where words do not count.
        let shown = match namespace.text_params() {
            Ok(params) => Some(params),
            Err(Error::IndexNotFound { .. }) if only_vector => None,
            Err(error) => return Err(error),
        };
        let fields = shown.as_ref().map(|params| text.places(params)).transpose()?.unwrap_or_default();
        if let Some(params) = shown.as_ref().filter(|_| only_vector) {
            text.check(&fields, params)?;
        }
        let params = shown.clone().filter(|_| !only_vector);
        let (snapshot, now) = (namespace.snapshot(), self.context.clock.now());
        let weight = vector.as_ref().map_or(0.0, |vector| vector.weight);
        let target = vector.as_ref().map(|vector| self.vector_target(&namespace, vector, candidates));
        // Without a dimension no row has a vector, and the words alone count.
        let target = target.transpose()?.filter(|_| weight > 0.0 && snapshot.dimension > 0);
        let ranked = match (target, &params) {
            (Some(target), Some(params)) => {
                self.fused(&snapshot, params, &text, target, (fusion, weight), now.wall).await?
            }
            (Some(target), None) => self.by_vector(&snapshot, &text, target, now.wall).await?,
            (None, Some(params)) => {
                let (found, plan) = self.best_by_words(&snapshot, params, &text, now.wall).await?;
                Ranked::alone(found, |score| Scores { vector: None, text: Some(score) }, Some(plan))
            }
            (None, None) => Ranked::default(),
        };
        let page = self.page_of(&snapshot, &text.cut, ranked.first, text.top_k).await?;
        let elapsed = now.age(self.context.clock.now());
        let showing = Showing {
            fields,
            params: shown.unwrap_or_default(),
            plan: ranked.plan,
            projection: text.projection,
            highlight: text.highlight,
        };
        let scores: Vec<Scores> = page.iter().map(|found| ranked.scores[&(found.block, found.row)]).collect();
        let hits = self.show(snapshot, page, showing).await?.into_iter().zip(scores);
        let hits =
            hits.map(|(hit, scores)| HybridHit { hit, vector_score: scores.vector, text_score: scores.text });
        Ok(HybridResult { hits: hits.collect(), elapsed })
    }

    /// The best rows by the vector alone.
    async fn by_vector(
        &self,
        snapshot: &Arc<Snapshot>,
        text: &TextSearch,
        target: Target,
        now: Timestamp,
    ) -> Result<Ranked> {
        let (filter, size) = (target.filter.clone(), target.top_k);
        let ranker = Ranker::Near(target);
        let (found, work) = self.best(snapshot, &ranker, filter.clone(), size, now).await?;
        let first = (found, work, text.wanted());
        let (found, _) = self.grouped(snapshot, &ranker, filter, &text.cut, first, now).await?;
        Ok(Ranked::alone(found, |score| Scores { vector: Some(score), text: None }, None))
    }

    /// The best of the candidates of both.
    async fn fused(
        &self,
        snapshot: &Arc<Snapshot>,
        params: &Arc<FulltextParams>,
        text: &TextSearch,
        target: Target,
        (fusion, weight): (Fusion, f32),
        now: Timestamp,
    ) -> Result<Ranked> {
        let near = self.near(snapshot, &target, now).await?;
        let words = self.matching(snapshot, params, text, target.top_k, &near, now).await?;
        let (rows, grouping, wanted) = (snapshot.clone(), text.cut.group_by.clone(), text.wanted());
        let max_bytes = self.context.answer_bytes;
        let rank = move || {
            let mut ranked = rank(&rows, together(&rows, near, &words, &target)?, fusion, weight)?;
            if grouping.is_none() {
                ranked.truncate(wanted);
            }
            let mut first: Vec<Found> = ranked.iter().map(|candidate| candidate.found).collect();
            if let Some(grouping) = grouping {
                first = first_of_groups(&rows, grouping, first, wanted, max_bytes)?;
            }
            let scores = ranked.iter().map(|candidate| (candidate.place(), candidate.scores)).collect();
            Ok(Ranked { first, scores, plan: Some(words.plan) })
        };
        self.searchers.run(rank).await
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
    target: &Target,
) -> Result<Vec<Candidate>> {
    debug_assert!(rayon::current_thread_index().is_some(), "rows are read on an async worker");
    for (candidate, score) in candidates.iter_mut().zip(&answer.others) {
        candidate.scores.text = *score;
    }
    let known: HashSet<(Block, usize)> = candidates.iter().map(Candidate::place).collect();
    let query = index::Query::new(target.distance, &target.vector);
    for found in answer.found.iter().filter(|found| !known.contains(&(found.block, found.row))) {
        let row = snapshot.row(found.block, found.row)?;
        let vector = (!row.vector.is_empty()).then(|| flat::score(&query, row.vector, row.inverse_norm));
        candidates.push(Candidate { found: *found, scores: Scores { vector, text: Some(found.score) } });
    }
    Ok(candidates)
}

/// The candidates with their scores, the best one first.
fn rank(
    snapshot: &Snapshot,
    candidates: Vec<Candidate>,
    fusion: Fusion,
    weight: f32,
) -> Result<Vec<Candidate>> {
    let scores: Vec<Scores> = candidates.iter().map(|candidate| candidate.scores).collect();
    let with_id = |(score, mut candidate): (f32, Candidate)| {
        candidate.found.score = score;
        Ok((snapshot.id(candidate.found.block, candidate.found.row)?, candidate))
    };
    let fused = fuse(fusion, weight, &scores).into_iter().zip(candidates);
    let mut ranked = fused.map(with_id).collect::<Result<Vec<_>>>()?;
    ranked.sort_unstable_by(|(left_id, left), (right_id, right)| -> Ordering {
        right.found.score.total_cmp(&left.found.score).then_with(|| left_id.cmp(right_id))
    });
    Ok(ranked.into_iter().map(|(_, candidate)| candidate).collect())
}
