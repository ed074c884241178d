//! Rankings of every kind: near a vector, by words, by fields of the metadata, by scores that are made of several.

use std::{sync::Arc, time::Duration};

use super::{
    Consistency, Cut, Engine, Query,
    contents::Snapshot,
    namespace::Namespace,
    query::{Composed, Found, Ordered, Target, TextTarget, Work},
    rows::Reader,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::{
        Filter, NamespaceName, Row,
        filter::Path,
        rank_by::{OrderBy, Position, RankBy, Score, Words},
        text::{Limits, TextQuery},
    },
};

/// A ranking of the rows of a namespace.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// By what.
    pub by: RankBy,
    /// What it is like as a query, but for its vector.
    pub like: Query,
    /// [`Listing::next`] of the answer before, of the same order of fields.
    pub after: Option<String>,
    /// How large the queries of its texts may become.
    pub texts: Limits,
}

/// The answer to a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The rows, the first one first.
    pub rows: Vec<Listed>,
    /// Where the next ones begin, if they are ordered by fields and more follow.
    pub next: Option<String>,
    /// Time spent searching.
    pub elapsed: Duration,
}

/// A row of a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Higher is better; none where fields order.
    pub score: Option<f32>,
    /// The row.
    pub row: Row,
}

/// What finds the first rows.
pub(super) enum Ranker {
    /// A search near a vector.
    Near(Target),
    /// A search by words.
    Words(TextTarget),
    /// An order of fields, from a position on.
    Order(Vec<OrderBy>, Option<Position>),
    /// A score that is made of several.
    Composed(Composed),
}

impl Engine {
    /// The first rows of a ranking.
    ///
    /// # Errors
    /// As [`Engine::query`]; [`Error::IndexNotFound`] for text if there is no full-text index, [`Error::Invalid`] for
    /// a field that it is not over, and for a position that is not one of the order.
    pub async fn rank(
        &self,
        name: &NamespaceName,
        ranking: Ranking,
        consistency: Consistency,
    ) -> Result<Listing> {
        let Ranking { by, like, after, texts } = ranking;
        let score = match by {
            RankBy::Order(order) => {
                return Box::pin(self.rank_by_fields(name, order, like, after, consistency)).await;
            }
            RankBy::Score(score) => score,
        };
        if after.is_some() {
            return Err(Error::invalid("cursor", "only an order of fields has one; use offset"));
        }
        match score {
            Score::Near(near) => {
                let accuracy = if near.exact { Some(super::Accuracy::Exact) } else { like.accuracy };
                let query = Query { vector: near.vector, accuracy, ..like };
                let results = self.query(name, vec![query], consistency).await;
                let result = results.map_err(|error| at(&near.place, error))?.pop();
                let result = result.ok_or_else(|| Error::internal("one query had no answer"))?;
                let listed = |hit: super::Hit| Listed { score: Some(hit.score), row: hit.row };
                let rows = result.hits.into_iter().map(listed).collect();
                Ok(Listing { rows, next: None, elapsed: result.elapsed })
            }
            score => Box::pin(self.rank_by_scores(name, score, like, texts, consistency)).await,
        }
    }

    async fn rank_by_fields(
        &self,
        name: &NamespaceName,
        order: Vec<OrderBy>,
        like: Query,
        after: Option<String>,
        consistency: Consistency,
    ) -> Result<Listing> {
        if after.is_some() && like.cut.group_by.is_some() {
            return Err(Error::invalid("cursor", "groups have none; use offset"));
        }
        let name_of_order = order.iter().map(ToString::to_string).collect::<String>();
        let position = |text: String| {
            let position = text.strip_prefix(&name_of_order).and_then(|text| Position::parse(&order, text));
            position.ok_or_else(|| Error::invalid("cursor", "is not a cursor of this order"))
        };
        let after = after.map(position).transpose()?;
        let snapshot = self.read(name, consistency).await?.snapshot();
        let now = self.context.clock.now();
        let shown = like.top_k.saturating_add(like.cut.offset);
        // One more tells whether more follow.
        let wanted = shown.saturating_add(usize::from(like.cut.group_by.is_none()));
        let ranker = Ranker::Order(order.clone(), after);
        let found = self.cut(&snapshot, &ranker, &like, wanted, now.wall).await?;
        let last = (found.len() > shown && shown > 0).then(|| found[shown - 1]);
        let next = last.map(|last| -> Result<String> {
            let row = snapshot.row(last.block, last.row)?;
            Ok(format!("{name_of_order}{}", Position::of(&order, row.id, row.metadata)))
        });
        let elapsed = now.age(self.context.clock.now());
        let mut reader = Reader::new(self);
        let rows = like.cut.page(found, like.top_k, |found| found.score).map(|found| {
            let row = reader.read(&snapshot.row(found.block, found.row)?, like.projection)?;
            Ok(Listed { score: None, row })
        });
        Ok(Listing { rows: rows.collect::<Result<_>>()?, next: next.transpose()?, elapsed })
    }

    async fn rank_by_scores(
        &self,
        name: &NamespaceName,
        score: Score,
        like: Query,
        texts: Limits,
        consistency: Consistency,
    ) -> Result<Listing> {
        let namespace = self.read(name, consistency).await?;
        let (dimension, distance) = {
            let state = namespace.state();
            (state.dimension, state.manifest.config.distance)
        };
        let fits = |actual: usize| dimension.is_none_or(|expected| expected == actual);
        if let Some(near) = score.vectors().iter().find(|near| !fits(near.vector.len())) {
            let (field, actual) = (near.place.to_string(), near.vector.len());
            return Err(Error::DimensionMismatch { field, expected: dimension.unwrap_or(0), actual });
        }
        if let Some(index) = like.index {
            namespace.check_wanted(index)?;
        }
        let snapshot = namespace.snapshot();
        let texts = self.text_targets(&namespace, &snapshot, &score, texts).await?;
        let now = self.context.clock.now();
        let target = self.target(like.clone(), distance);
        let (distance, accuracy, index) = (target.distance, target.accuracy, target.index);
        let ranker = Ranker::Composed(Composed { score: Arc::new(score), distance, accuracy, index, texts });
        let wanted = like.top_k.saturating_add(like.cut.offset);
        let found = self.cut(&snapshot, &ranker, &like, wanted, now.wall).await?;
        let page = self.page_of(&snapshot, &like.cut, found, like.top_k).await?;
        let elapsed = now.age(self.context.clock.now());
        let mut reader = Reader::new(self);
        let rows = page.into_iter().map(|found| {
            let row = reader.read(&snapshot.row(found.block, found.row)?, like.projection)?;
            Ok(Listed { score: Some(found.score), row })
        });
        Ok(Listing { rows: rows.collect::<Result<_>>()?, next: None, elapsed })
    }

    /// The searches for the texts of a score.
    async fn text_targets(
        &self,
        namespace: &Namespace,
        snapshot: &Arc<Snapshot>,
        score: &Score,
        limits: Limits,
    ) -> Result<Vec<TextTarget>> {
        let words = score.words();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let params = namespace.text_params()?;
        self.prepare_texts(snapshot, &params).await?;
        let target = |words: &&Words| {
            let fields = match &words.field {
                None => (0..params.fields.len()).collect(),
                Some(field) => vec![place_of(field, &params.fields, &words.place)?],
            };
            let (query, params) = (TextQuery::plain(&words.text), params.clone());
            let (place, filter, others) = ("rank_by", None, Vec::new());
            Ok(TextTarget { query, place, params, fields, limits, top_k: 0, filter, others })
        };
        words.iter().map(target).collect()
    }

    /// The first rows that count, with those that the page begins after.
    async fn cut(
        &self,
        snapshot: &Arc<Snapshot>,
        ranker: &Ranker,
        like: &Query,
        wanted: usize,
        now: Timestamp,
    ) -> Result<Vec<Found>> {
        let filter = like.filter.clone().filter(|filter| !filter.is_everything());
        let (found, work) = self.best(snapshot, ranker, filter.clone(), wanted, now).await?;
        Ok(self.grouped(snapshot, ranker, filter, &like.cut, (found, work, wanted), now).await?.0)
    }

    /// The first rows of a ranking, of those that match, and what was looked at, as far as searches near one vector
    /// tell.
    pub(super) async fn best(
        &self,
        snapshot: &Arc<Snapshot>,
        ranker: &Ranker,
        filter: Option<Arc<Filter>>,
        size: usize,
        now: Timestamp,
    ) -> Result<(Vec<Found>, Work)> {
        let snapshot = snapshot.clone();
        match ranker {
            Ranker::Near(target) => {
                let target = Target { top_k: size, filter, ..target.clone() };
                let mut answers = self.searchers.search(snapshot, vec![target], now).await?;
                Ok(answers.pop().map(|answer| (answer.found, answer.work)).unwrap_or_default())
            }
            Ranker::Words(target) => {
                let target = TextTarget { top_k: size, filter, ..target.clone() };
                let answer = self.searchers.search_texts(snapshot, target, now).await?;
                Ok((answer.found, Work::default()))
            }
            Ranker::Order(by, after) => {
                let max_bytes = self.context.answer_bytes;
                let ordered = Ordered { by: by.clone(), after: after.clone(), limit: size, max_bytes };
                let rows = self.searchers.ordered(snapshot, ordered, filter, now).await?;
                let found = rows.into_iter().map(|(block, row)| Found { score: 0.0, block, row });
                Ok((found.collect(), Work::default()))
            }
            Ranker::Composed(composed) => {
                let found = self.searchers.composed(snapshot, composed.clone(), filter, size, now).await?;
                Ok((found, Work::default()))
            }
        }
    }
}

impl Engine {
    /// The rows that are answered, of the first ones of a ranking, in the order in which they are.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] if the values by which they are ordered are too long.
    pub(super) async fn page_of(
        &self,
        snapshot: &Arc<Snapshot>,
        cut: &Cut,
        found: Vec<Found>,
        top_k: usize,
    ) -> Result<Vec<Found>> {
        let page: Vec<Found> = cut.page(found, top_k, |found| found.score).collect();
        if cut.order_by.is_empty() {
            return Ok(page);
        }
        let (snapshot, order, max) = (snapshot.clone(), cut.order_by.clone(), self.context.answer_bytes);
        let position = move |found: &Found| {
            let row = snapshot.row(found.block, found.row)?;
            Ok(Position::of(&order, row.id, row.metadata))
        };
        self.searchers.run(move || in_order(page, position, max)).await
    }
}

/// Rows in the order of their positions. Looks at metadata, so it is left to the threads that search.
///
/// # Errors
/// [`Error::AnswerTooLarge`] if the values of the positions have more than `max` bytes.
pub(super) fn in_order<R>(
    page: Vec<R>,
    position: impl Fn(&R) -> Result<Position>,
    max: u64,
) -> Result<Vec<R>> {
    debug_assert!(rayon::current_thread_index().is_some(), "metadata is read on an async worker");
    let (mut rows, mut bytes) = (Vec::with_capacity(page.len()), 0);
    for row in page {
        let position = position(&row)?;
        bytes += position.bytes() as u64;
        if bytes > max {
            return Err(Error::AnswerTooLarge { limit: "limits.answer_bytes", max });
        }
        rows.push((position, row));
    }
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

impl Cut {
    /// The rows that are answered, of the first ones.
    pub(super) fn page<R>(
        &self,
        ranked: impl IntoIterator<Item = R>,
        top_k: usize,
        score: impl Fn(&R) -> f32,
    ) -> impl Iterator<Item = R> {
        let threshold = self.score_threshold.unwrap_or(f32::NEG_INFINITY);
        ranked.into_iter().take_while(move |row| score(row) >= threshold).skip(self.offset).take(top_k)
    }
}

/// The place of a field among those of an index.
fn place_of(field: &Path, fields: &[String], place: &str) -> Result<usize> {
    let is_it = |known: &String| Path::parse(known).is_ok_and(|known| known == *field);
    fields.iter().position(is_it).ok_or_else(|| {
        let known = fields.join(", ");
        Error::invalid(place, format!("the full-text index is over {known}, not over {field}"))
    })
}

/// An error about the one vector, which stands elsewhere here.
fn at(place: &str, error: Error) -> Error {
    match error {
        Error::DimensionMismatch { expected, actual, .. } => {
            Error::DimensionMismatch { field: place.to_owned(), expected, actual }
        }
        error => error,
    }
}
