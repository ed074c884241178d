//! The terms of a whole namespace, each once.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    Fulltext,
    dictionary::Terms,
    file::{Damage, Field},
    live::Live,
    postings::Cursor,
};
use crate::error::Result;

/// Terms that are counted before it is asked whether to stop.
const TERMS_BETWEEN_STOPS: u64 = 256;

/// How many terms the live rows have in a field, whichever of the indexes they are in; none if it was stopped
/// before it was done. The dictionaries are gone through side by side, so that none of them is in memory.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if the bytes of an index are damaged.
pub fn distinct_terms(
    parts: &[(&Fulltext, &Live<'_>)],
    field: usize,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<u64>> {
    let mut sources = Vec::new();
    let mut heads = BinaryHeap::new();
    for (place, (index, live)) in parts.iter().enumerate() {
        let field = index.file.field(field)?;
        let mut terms = field.dictionary.terms(0);
        if terms.next()? {
            heads.push(Reverse((terms.term().to_vec(), place)));
        }
        sources.push(Source { field, terms, live, rows: index.file.rows() });
    }
    let (mut distinct, mut current, mut is_live, mut looked_at) = (0, None, false, 0_u64);
    while let Some(Reverse((term, place))) = heads.pop() {
        if looked_at.is_multiple_of(TERMS_BETWEEN_STOPS) && stop() {
            return Ok(None);
        }
        looked_at += 1;
        if current.as_ref() != Some(&term) {
            distinct += u64::from(is_live);
            is_live = false;
        }
        let source = &mut sources[place];
        is_live = is_live || source.is_live()?;
        if source.terms.next()? {
            heads.push(Reverse((source.terms.term().to_vec(), place)));
        }
        current = Some(term);
    }
    Ok(Some(distinct + u64::from(is_live)))
}

/// An index, and how far it was gone through.
struct Source<'a> {
    field: Field<'a>,
    terms: Terms<'a>,
    live: &'a Live<'a>,
    rows: u32,
}

impl Source<'_> {
    /// Whether a live row has the current term.
    fn is_live(&self) -> Result<bool, Damage> {
        if self.live.is_everything() {
            return Ok(true);
        }
        let entry = &self.terms.entry;
        let (postings, positions) =
            (self.field.postings(&entry.postings)?, self.field.positions(&entry.positions)?);
        Ok(self.live.count(&mut Cursor::new(entry.rows, self.rows, postings, positions)?)? > 0)
    }
}
