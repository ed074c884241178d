//! What a query does, and how good approximate answers are: for people.

use std::{collections::HashSet, time::Duration};

use super::{
    Accuracy, Consistency, Engine, Projection, Query,
    query::{Step, Work, plan},
};
use crate::{
    clock::Instant,
    error::{Error, Result},
    types::NamespaceName,
};

/// What a query does.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// How each part of the namespace is searched.
    pub steps: Vec<Step>,
    /// What was looked at.
    pub work: Work,
    /// Rows that were found.
    pub found: usize,
    /// How long making sure took that nothing newer is missed.
    pub refresh: Duration,
    /// Finding the rows.
    pub search: Duration,
    /// Reading the rows that were found.
    pub fetch: Duration,
}

/// How good approximate answers are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// Queries that were compared.
    pub queries: usize,
    /// Their rows that an exact search finds and the other does too, of all that it finds.
    pub mean: f64,
    /// The same of the worst query.
    pub worst: f64,
    /// Mean time of an exact search and of the other.
    pub exact: Duration,
    /// Mean time of the search that is not exact.
    pub approximate: Duration,
}

impl Engine {
    /// Answers a query and tells how.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn explain(
        &self,
        name: &NamespaceName,
        query: Query,
        consistency: Consistency,
    ) -> Result<Explanation> {
        let began = self.context.clock.now();
        let namespace = self.read(name, consistency).await?;
        let read = self.context.clock.now();
        let distance = namespace.state().manifest.config.distance;
        let target = self.target(query.clone(), distance);
        let snapshot = namespace.snapshot();
        let matches = match target.filter.clone() {
            Some(filter) => Some(self.searchers.matches(snapshot.clone(), filter, read.wall).await?),
            None => None,
        };
        let steps = plan(&snapshot, &target, matches.as_ref());
        let planned = self.context.clock.now();
        let mut results = self.query(name, vec![query], Consistency::Eventual).await?;
        let result = results.pop().ok_or_else(|| Error::internal("one query had no answer"))?;
        let rest = self.elapsed(planned);
        Ok(Explanation {
            steps,
            work: result.work,
            found: result.hits.len(),
            refresh: began.age(read),
            search: result.elapsed,
            fetch: rest.saturating_sub(result.elapsed),
        })
    }

    /// Compares the answers to queries that are `like` this one with exact ones: for these vectors, or
    /// for `samples` rows of the namespace, each kept out of its own answers.
    ///
    /// # Errors
    /// As [`Engine::query`]; [`Error::Invalid`] if there are no rows to sample.
    pub async fn measure_recall(
        &self,
        name: &NamespaceName,
        vectors: Option<Vec<Vec<f32>>>,
        samples: usize,
        like: &Query,
    ) -> Result<Recall> {
        self.read(name, Consistency::Strong).await?;
        let sampled = vectors.is_none();
        let vectors = match vectors {
            Some(vectors) => vectors,
            None => self.sample_vectors(name, samples).await?,
        };
        if vectors.is_empty() {
            return Err(Error::invalid("vectors", "the namespace has no vectors to take queries from"));
        }
        let mut recall = Recall {
            queries: vectors.len(),
            mean: 0.0,
            worst: 1.0,
            exact: Duration::ZERO,
            approximate: Duration::ZERO,
        };
        let exactly = Query { accuracy: Some(Accuracy::Exact), ..like.clone() };
        let share = 1.0 / vectors.len() as f64;
        for vector in vectors {
            let began = self.context.clock.now();
            let exact = self.nearest(name, &vector, &exactly, sampled).await?;
            recall.exact += self.elapsed(began).mul_f64(share);
            let began = self.context.clock.now();
            let near = self.nearest(name, &vector, like, sampled).await?;
            recall.approximate += self.elapsed(began).mul_f64(share);
            let hits = exact.intersection(&near).count();
            let of_this = if exact.is_empty() { 1.0 } else { hits as f64 / exact.len() as f64 };
            recall.mean += of_this * share;
            recall.worst = recall.worst.min(of_this);
        }
        Ok(recall)
    }

    /// The ids nearest to a vector; if it is a row's, without the nearest, which is that row.
    async fn nearest(
        &self,
        name: &NamespaceName,
        vector: &[f32],
        like: &Query,
        sampled: bool,
    ) -> Result<HashSet<String>> {
        let query = Query {
            vector: vector.to_vec(),
            top_k: like.top_k + usize::from(sampled),
            projection: Projection { vectors: false, metadata: false },
            ..like.clone()
        };
        let results = self.query(name, vec![query], Consistency::Eventual).await?;
        let hits = results.into_iter().flat_map(|result| result.hits).skip(usize::from(sampled));
        Ok(hits.map(|hit| hit.row.id.to_string()).collect())
    }

    fn elapsed(&self, since: Instant) -> Duration {
        since.age(self.context.clock.now())
    }
}
