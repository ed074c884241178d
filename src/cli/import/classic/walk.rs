//! Walking a namespace: its objects in key order, those that hold vectors with their content.
//!
//! Invariant: every object under the prefix is handed on, kept as an index, or a finding. Memory is
//! bounded by a page of keys and the reads that run at once.

use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{
    SharedFindings,
    layout::{self, Part},
    locked,
};
use crate::{
    storage::{ForeignKey, ForeignObject, ForeignStore, StoreErrorKind},
    types::IndexType,
};

/// Keys listed at once: few at first, so that work begins, then many, because on some stores every
/// page is looked for from the beginning.
const FIRST_PAGE: usize = 1_000;
const LARGEST_PAGE: usize = 64_000;
/// A vector of the largest dimension and its metadata are far shorter.
const MAX_OBJECT_BYTES: u64 = 16 << 20;

/// An object that holds a vector, or the end of the walk before its time.
pub(super) enum Fetched {
    /// Its content, or why there is none.
    Object { key: ForeignKey, content: Result<bytes::Bytes, String> },
    /// The store does not answer any more.
    Broken(String),
}

/// An index that was found.
pub(super) struct FoundIndex {
    pub index: IndexType,
    pub object: ForeignObject,
}

/// Walks a namespace. Returns its indexes. Ends early if nobody takes objects any more.
pub(super) async fn walk(
    store: ForeignStore,
    namespace: String,
    findings: SharedFindings,
    objects: mpsc::Sender<Fetched>,
) -> Vec<FoundIndex> {
    let prefix = layout::prefix(&namespace);
    let mut indexes = Vec::new();
    let mut pages = Pages::new(&store, &prefix);
    loop {
        let page = match pages.next().await {
            Ok(page) if page.is_empty() => return indexes,
            Ok(page) => page,
            Err(error) => {
                let _ = objects.send(Fetched::Broken(error)).await;
                return indexes;
            }
        };
        let vectors = sort(&prefix, page, &findings, &mut indexes);
        let mut fetched =
            stream::iter(vectors).map(|object| fetch(&store, object)).buffered(store.concurrency());
        while let Some(object) = fetched.next().await {
            if objects.send(object).await.is_err() {
                return indexes;
            }
        }
    }
}

/// Whether anything under the prefix is of the classic layout, or at least not of ours.
pub(super) async fn has_classic(store: &ForeignStore, namespace: &str) -> Result<bool, String> {
    let prefix = layout::prefix(namespace);
    let mut pages = Pages::new(store, &prefix);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(false);
        }
        if page.iter().any(|object| part(&prefix, object) != Part::Ours) {
            return Ok(true);
        }
    }
}

fn part(prefix: &str, object: &ForeignObject) -> Part {
    object.key.as_str().strip_prefix(prefix).map_or(Part::Stranger, layout::part)
}

/// Takes from a page what needs no reading; the rest holds vectors.
fn sort(
    prefix: &str,
    page: Vec<ForeignObject>,
    findings: &SharedFindings,
    indexes: &mut Vec<FoundIndex>,
) -> Vec<ForeignObject> {
    let mut findings = locked(findings);
    let mut vectors = Vec::with_capacity(page.len());
    for object in page {
        match part(prefix, &object) {
            Part::Row => {
                findings.vector();
                vectors.push(object);
            }
            Part::Index(index) => indexes.push(FoundIndex { index, object }),
            Part::Leftover => findings.leftover(object.key.as_str()),
            Part::Stranger => {
                findings.bad(object.key.as_str(), "is nothing that the classic layout has");
            }
            Part::Meta | Part::Ours => {}
        }
    }
    vectors
}

async fn fetch(store: &ForeignStore, object: ForeignObject) -> Fetched {
    let ForeignObject { key, size } = object;
    if size > MAX_OBJECT_BYTES {
        let reason = format!("has {size} bytes, which no vector needs");
        return Fetched::Object { key, content: Err(reason) };
    }
    match store.get(&key).await {
        Ok(content) => Fetched::Object { key, content: Ok(content) },
        Err(error) if error.kind == StoreErrorKind::Unavailable => Fetched::Broken(error.to_string()),
        Err(error) => Fetched::Object { key, content: Err(format!("cannot be read: {}", error.message)) },
    }
}

/// Pages of a listing, an empty one at its end.
struct Pages<'a> {
    store: &'a ForeignStore,
    prefix: &'a str,
    after: Option<String>,
    size: usize,
    at_end: bool,
}

impl<'a> Pages<'a> {
    fn new(store: &'a ForeignStore, prefix: &'a str) -> Self {
        Self { store, prefix, after: None, size: FIRST_PAGE, at_end: false }
    }

    async fn next(&mut self) -> Result<Vec<ForeignObject>, String> {
        if self.at_end {
            return Ok(Vec::new());
        }
        let page = self.store.list(self.prefix, self.after.as_deref(), self.size).await;
        let page = page.map_err(|error| error.to_string())?;
        self.at_end = page.len() < self.size;
        self.after = page.last().map(|object| object.key.as_str().to_owned());
        self.size = (self.size * 2).min(LARGEST_PAGE);
        Ok(page)
    }
}
