//! Searching by words.

use std::{sync::Arc, time::Duration};

use super::{
    Consistency, Cut, Engine, Hit, Projection,
    contents::Snapshot,
    context::offload,
    index::fulltext::{Analyzer, Extractor, Highlighter, Plan, Style},
    namespace::Namespace,
    query::{Found, TextStatistics, TextTarget, Work},
    ranking::Ranker,
    rows::Reader,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::{
        Filter, IndexSpec, IndexType, NamespaceName,
        text::{FulltextParams, Limits, TextQuery},
    },
};

/// Rows without an index that a search builds one over by itself; for more it waits for its turn.
const LITTLE_ROWS: usize = 2048;

/// Rows, and bytes of their metadata, of which texts are shown where the query came in.
const FEW_ROWS: usize = 100;
const FEW_BYTES: usize = 32 << 10;

/// How words that were found are shown.
pub type Highlight = Style;

/// A search by words.
#[derive(Debug, Clone)]
pub struct TextSearch {
    /// What is looked for.
    pub query: TextQuery,
    /// Where that stands in the request, for errors.
    pub place: &'static str,
    /// Where words are looked for that name no field; in all fields of the index if missing.
    pub fields: Option<Vec<String>>,
    /// How large the query may become.
    pub limits: Limits,
    /// How many rows at most.
    pub top_k: usize,
    /// Which rows may be found; all if missing.
    pub filter: Option<Arc<Filter>>,
    /// Which part of the ranking to return.
    pub cut: Cut,
    /// Columns to return.
    pub projection: Projection,
    /// How fragments of the texts are cut and marked, if they are wanted.
    pub highlight: Option<Highlight>,
}

/// A row found by its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TextHit {
    /// The row.
    pub hit: Hit,
    /// Its first text, if the metadata is wanted.
    pub content: Option<String>,
    /// Fragments of its texts.
    pub highlights: Vec<String>,
}

/// The answer to a search by words.
#[derive(Debug, Clone, PartialEq)]
pub struct TextResult {
    /// Best first, equal scores in id order, unless fields order them.
    pub hits: Vec<TextHit>,
    /// Time spent searching.
    pub elapsed: Duration,
}

/// What texts of rows are shown, and how.
pub(super) struct Showing {
    /// What was searched for, if anything was.
    pub plan: Option<Plan>,
    pub params: Arc<FulltextParams>,
    pub fields: Vec<usize>,
    pub projection: Projection,
    pub highlight: Option<Highlight>,
}

impl Engine {
    /// The rows that match best.
    ///
    /// # Errors
    /// [`Error::IndexNotFound`] if the namespace is not to have an index over texts, [`Error::Invalid`] for a
    /// query that names a field which that has not, [`Error::LimitExceeded`] for one that becomes too large,
    /// and [`Error::AnswerTooLarge`] if the rows found are more than one answer may have.
    pub async fn search_texts(
        &self,
        name: &NamespaceName,
        search: TextSearch,
        consistency: Consistency,
    ) -> Result<TextResult> {
        let namespace = self.read(name, consistency).await?;
        let params = namespace.text_params()?;
        let snapshot = namespace.snapshot();
        let now = self.context.clock.now();
        let fields = search.places(&params)?;
        let (found, plan) = self.best_by_words(&snapshot, &params, &search, now.wall).await?;
        let page = self.page_of(&snapshot, &search.cut, found, search.top_k).await?;
        let elapsed = now.age(self.context.clock.now());
        let TextSearch { projection, highlight, .. } = search;
        let showing = Showing { plan: Some(plan), params, fields, projection, highlight };
        Ok(TextResult { hits: self.show(snapshot, page, showing).await?, elapsed })
    }

    /// The best rows by words alone, with those that the page begins after; and what was searched for.
    pub(super) async fn best_by_words(
        &self,
        snapshot: &Arc<Snapshot>,
        params: &Arc<FulltextParams>,
        search: &TextSearch,
        now: Timestamp,
    ) -> Result<(Vec<Found>, Plan)> {
        self.prepare_texts(snapshot, params).await?;
        let target = search.target(params)?;
        let again = search.cut.group_by.is_some().then(|| target.clone());
        let answer = self.searchers.search_texts(snapshot.clone(), target, now).await?;
        let Some(target) = again else { return Ok((answer.found, answer.plan)) };
        let first = (answer.found, Work::default(), target.top_k);
        let (filter, ranker) = (target.filter.clone(), Ranker::Words(target));
        let (found, _) = self.grouped(snapshot, &ranker, filter, &search.cut, first, now).await?;
        Ok((found, answer.plan))
    }

    /// What is known of the texts of a namespace, and what they are indexed with.
    ///
    /// # Errors
    /// [`Error::IndexNotFound`] if the namespace is not to have an index over texts.
    pub async fn text_statistics(
        &self,
        name: &NamespaceName,
        consistency: Consistency,
    ) -> Result<(Arc<FulltextParams>, TextStatistics)> {
        let namespace = self.read(name, consistency).await?;
        let params = namespace.text_params()?;
        let snapshot = namespace.snapshot();
        let now = self.context.clock.now().wall;
        self.prepare_texts(&snapshot, &params).await?;
        Ok((params.clone(), self.searchers.text_statistics(snapshot, params, now).await?))
    }

    /// Builds indexes over many rows that have none, on the threads that build, and once for all who wait.
    pub(super) async fn prepare_texts(
        &self,
        snapshot: &Arc<Snapshot>,
        params: &Arc<FulltextParams>,
    ) -> Result<()> {
        let is_little = || snapshot.texts.missing_rows(snapshot, params) <= LITTLE_ROWS;
        if is_little() {
            return Ok(());
        }
        let turn = snapshot.texts.turn().await;
        if is_little() {
            return Ok(());
        }
        let (snapshot, params, builders) = (snapshot.clone(), params.clone(), self.context.builders.clone());
        let build = move || {
            let _turn = turn;
            builders.install(|| snapshot.texts.parts(&snapshot, &params).map(drop))
        };
        offload(u64::MAX, build).await?
    }

    /// The rows at places of a snapshot, with their texts.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`]
    pub(super) async fn show(
        &self,
        snapshot: Arc<Snapshot>,
        found: Vec<Found>,
        showing: Showing,
    ) -> Result<Vec<TextHit>> {
        let mut reader = Reader::new(self);
        // Handing few over takes longer than showing them.
        if found.len() <= FEW_ROWS && metadata_bytes(&snapshot, &found)? <= FEW_BYTES {
            return showing.rows(&snapshot, &found, &mut reader);
        }
        self.searchers.run(move || showing.rows(&snapshot, &found, &mut reader)).await
    }
}

fn metadata_bytes(snapshot: &Snapshot, found: &[Found]) -> Result<usize> {
    let of_row = |found: &Found| Ok(snapshot.row(found.block, found.row)?.metadata.map_or(0, str::len));
    found.iter().map(of_row).sum()
}

impl TextSearch {
    /// How many rows the page needs, with those that it begins after.
    pub(super) fn wanted(&self) -> usize {
        self.top_k.saturating_add(self.cut.offset)
    }

    /// The search of a namespace whose texts are indexed like this.
    pub(super) fn target(&self, params: &Arc<FulltextParams>) -> Result<TextTarget> {
        Ok(TextTarget {
            query: self.query.clone(),
            place: self.place,
            fields: self.places(params)?,
            params: params.clone(),
            limits: self.limits,
            top_k: self.wanted(),
            // What matches everything is no filter.
            filter: self.filter.clone().filter(|filter| !filter.is_everything()),
            others: Vec::new(),
        })
    }

    /// Says what a search in these fields would refuse, where there is none because words do not count.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(super) fn check(&self, fields: &[usize], params: &FulltextParams) -> Result<()> {
        let analyzer = Analyzer::new(params);
        Plan::new(fields, &self.query, self.place, &analyzer, params, &self.limits).map(drop)
    }

    /// The places of the fields in which words are looked for.
    pub(super) fn places(&self, params: &FulltextParams) -> Result<Vec<usize>> {
        let Some(wanted) = &self.fields else { return Ok((0..params.fields.len()).collect()) };
        let place = |(at, name): (usize, &String)| {
            let missing = || {
                let known = params.fields.join(", ");
                Error::invalid(
                    format!("fields[{at}]"),
                    format!("the index is over {known}, not over {name:?}"),
                )
            };
            params.fields.iter().position(|field| field == name).ok_or_else(missing)
        };
        let mut fields = wanted.iter().enumerate().map(place).collect::<Result<Vec<_>>>()?;
        fields.sort_unstable();
        fields.dedup();
        Ok(fields)
    }
}

impl Showing {
    fn rows(&self, snapshot: &Snapshot, found: &[Found], reader: &mut Reader) -> Result<Vec<TextHit>> {
        let analyzer = Analyzer::new(&self.params);
        let extractor = Extractor::new(&self.params).map_err(Error::internal)?;
        let marks = self.plan.as_ref().zip(self.highlight.as_ref());
        let highlighter = marks.map(|(plan, style)| Highlighter::new(plan, &analyzer, &self.params, style));
        let highlighter = highlighter.transpose().map_err(Error::internal)?;
        let show = |found: &Found| {
            let row = snapshot.row(found.block, found.row)?;
            let metadata = row.metadata.unwrap_or("{}");
            let content = self.projection.metadata.then(|| self.first_text(&extractor, metadata)).flatten();
            let fragments = highlighter.as_ref().map(|marks| marks.fragments(metadata)).unwrap_or_default();
            let highlights: Vec<String> = fragments.into_iter().flatten().collect();
            let texts = content.iter().chain(&highlights).map(String::len).sum::<usize>();
            let row = reader.read(&row, self.projection)?;
            reader.take(texts as u64)?;
            Ok(TextHit { hit: Hit { score: found.score, row }, content, highlights })
        };
        found.iter().map(show).collect()
    }

    /// The first text of a row in the fields that were searched.
    fn first_text(&self, extractor: &Extractor, metadata: &str) -> Option<String> {
        let mut first = None;
        extractor.visit(metadata, &mut |field, text| {
            if first.is_none() && self.fields.contains(&field) {
                first = Some(text.to_owned());
            }
        });
        first
    }
}

impl Namespace {
    /// What the texts of the namespace are to be indexed with.
    ///
    /// # Errors
    /// [`Error::IndexNotFound`]
    pub(super) fn text_params(&self) -> Result<Arc<FulltextParams>> {
        let state = self.state();
        let params = state.manifest.wanted_indexes().iter().find_map(|spec| match spec {
            IndexSpec::Fulltext(params) => Some(Arc::new(params.clone())),
            _ => None,
        });
        let missing = || Error::IndexNotFound {
            namespace: self.name().to_string(),
            index: IndexType::Fulltext.as_str(),
        };
        params.ok_or_else(missing)
    }
}
