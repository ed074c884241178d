//! Prefixes and fuzzy words as the terms that they stand for.
//!
//! These are the terms of the live rows of a whole namespace. More than a limit is an error: with some
//! left out, rows would be missing.

use std::collections::BTreeSet;

use super::{
    Fulltext,
    file::{Damage, Field},
    fuzzy::Fuzzy,
    live::Live,
    plan::{Find, Plan},
    postings::Cursor,
};
use crate::{
    error::{Error, Result},
    types::text::Limits,
};

/// Terms that are looked at before it is asked whether to stop.
const TERMS_BETWEEN_STOPS: usize = 256;

/// Replaces them in a plan; false if it was stopped before it was done. `parts` are the indexes of a namespace
/// with their live rows.
///
/// # Errors
/// `LimitExceeded` if they stand for more terms than `limits.text_expansions`, together.
pub fn expand(
    plan: &mut Plan,
    parts: &[(&Fulltext, &Live<'_>)],
    place: &str,
    limits: &Limits,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<bool> {
    let mut rest = limits.expansions;
    for leaf in &mut plan.leaves {
        let Some(wanted) = Wanted::of(&leaf.find) else { continue };
        let mut terms = BTreeSet::new();
        for (index, live) in parts {
            let field = index.file.field(leaf.field)?;
            if !wanted.find(&field, (index.file.rows(), live), rest, &mut terms, stop)? {
                return Ok(false);
            }
            if terms.len() > rest {
                return Err(too_many(place, limits));
            }
        }
        rest -= terms.len();
        leaf.find = Find::Terms(terms.into_iter().collect());
    }
    Ok(true)
}

fn too_many(place: &str, limits: &Limits) -> Error {
    Error::LimitExceeded {
        field: place.into(),
        limit: "limits.text_expansions",
        max: limits.expansions as u64,
        actual: limits.expansions as u64 + 1,
    }
}

/// What terms are to be found.
enum Wanted {
    Prefix(String),
    Fuzzy(Fuzzy),
}

impl Wanted {
    fn of(find: &Find) -> Option<Self> {
        match find {
            Find::Prefix(prefix) => Some(Self::Prefix(prefix.clone())),
            Find::Fuzzy(term, distance) => Some(Self::Fuzzy(Fuzzy::new(term, *distance))),
            Find::Terms(_) | Find::Phrase(_) => None,
        }
    }

    /// Adds the terms of live rows, of so many, to `terms`, until these are more than `limit`; false if it was
    /// stopped.
    fn find(
        &self,
        field: &Field<'_>,
        (rows, live): (u32, &Live<'_>),
        limit: usize,
        terms: &mut BTreeSet<String>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, Damage> {
        let dictionary = &field.dictionary;
        let mut found = match self {
            Self::Prefix(prefix) => dictionary.at_or_after(prefix.as_bytes())?,
            Self::Fuzzy(_) => dictionary.terms(0),
        };
        for looked_at in 0_usize.. {
            if terms.len() > limit {
                break;
            }
            if looked_at.is_multiple_of(TERMS_BETWEEN_STOPS) && stop() {
                return Ok(false);
            }
            if let Self::Fuzzy(fuzzy) = self {
                while found.is_at_block() && !fuzzy.may_be_in(dictionary, found.block())? {
                    found = dictionary.terms(found.block() + 1);
                }
            }
            if !found.next()? {
                break;
            }
            let is_wanted = match self {
                Self::Prefix(prefix) if !found.term().starts_with(prefix.as_bytes()) => break,
                Self::Prefix(_) => true,
                Self::Fuzzy(fuzzy) => fuzzy.accepts(found.term()),
            };
            let Some(term) =
                std::str::from_utf8(found.term()).ok().filter(|term| is_wanted && !terms.contains(*term))
            else {
                continue;
            };
            let (postings, positions) = (&found.entry.postings, &found.entry.positions);
            let mut cursor =
                Cursor::new(found.entry.rows, rows, field.postings(postings)?, field.positions(positions)?)?;
            if live.count(&mut cursor)? > 0 {
                terms.insert(term.to_owned());
            }
        }
        Ok(true)
    }
}
