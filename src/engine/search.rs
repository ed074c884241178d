//! Nearest-neighbour queries.

use super::{
    Consistency, Engine, Hit, Query, QueryResult,
    cold::Cold,
    query::{Accuracy, Target},
    ranking::Ranker,
    rows::Reader,
};
use crate::{
    error::{Error, Result},
    types::{Distance, NamespaceName},
};

impl Engine {
    /// Answers in the order of the queries, all on the same state.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`] if a query's vector does not fit the namespace, and
    /// [`Error::AnswerTooLarge`] if the rows found are more than one answer may have.
    pub async fn query(
        &self,
        name: &NamespaceName,
        queries: Vec<Query>,
        consistency: Consistency,
    ) -> Result<Vec<QueryResult>> {
        let namespace = match self.query_cold(name, &queries).await? {
            Cold::Answered(results) => return Ok(results),
            Cold::Whole(base) => self.read_from(name, consistency, base).await?,
        };
        let (dimension, distance) = {
            let state = namespace.state();
            (state.dimension, state.manifest.config.distance)
        };
        if let Some(expected) = dimension {
            check_dimensions(&queries, expected)?;
        }
        for index in queries.iter().filter_map(|query| query.index) {
            namespace.check_wanted(index)?;
        }
        let snapshot = namespace.snapshot();
        let now = self.context.clock.now();
        let shown: Vec<_> =
            queries.iter().map(|query| (query.projection, query.cut.clone(), query.top_k)).collect();
        let targets: Vec<Target> = queries.into_iter().map(|query| self.target(query, distance)).collect();
        let mut answers = self.searchers.search(snapshot.clone(), targets.clone(), now.wall).await?;
        for ((answer, target), (_, cut, _)) in answers.iter_mut().zip(targets).zip(&shown) {
            let first = (std::mem::take(&mut answer.found), answer.work, target.top_k);
            let (filter, ranker) = (target.filter.clone(), Ranker::Near(target));
            (answer.found, answer.work) =
                self.grouped(&snapshot, &ranker, filter, cut, first, now.wall).await?;
        }
        let mut pages = Vec::with_capacity(answers.len());
        for (answer, (_, cut, top_k)) in answers.iter_mut().zip(&shown) {
            pages.push(self.page_of(&snapshot, cut, std::mem::take(&mut answer.found), *top_k).await?);
        }
        let elapsed = now.age(self.context.clock.now());
        let mut reader = Reader::new(self);
        let results = answers.into_iter().zip(pages).zip(shown).map(|((answer, page), (projection, ..))| {
            let hits = page.into_iter().map(|found| {
                let row = reader.read(&snapshot.row(found.block, found.row)?, projection)?;
                Ok(Hit { score: found.score, row })
            });
            Ok(QueryResult { hits: hits.collect::<Result<_>>()?, work: answer.work, elapsed })
        });
        results.collect()
    }

    /// A query on a namespace of this metric, with what it leaves open.
    pub(super) fn target(&self, query: Query, distance: Distance) -> Target {
        Target {
            accuracy: query.accuracy.unwrap_or(Accuracy::Recall(self.context.recall_target)),
            index: query.index,
            distance: query.distance.unwrap_or(distance),
            top_k: query.top_k.saturating_add(query.cut.offset),
            vector: query.vector,
            // What matches everything is no filter.
            filter: query.filter.filter(|filter| !filter.is_everything()),
        }
    }
}

pub(super) fn check_dimensions(queries: &[Query], expected: usize) -> Result<()> {
    let wrong = queries.iter().enumerate().find(|(_, query)| query.vector.len() != expected);
    let Some((index, query)) = wrong else {
        return Ok(());
    };
    let field = if queries.len() == 1 { "vector".to_owned() } else { format!("queries[{index}].vector") };
    Err(Error::DimensionMismatch { field, expected, actual: query.vector.len() })
}
