//! Filters in requests. They stay text until their place in the request and the limits are known.

use std::{collections::HashMap, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    config::LimitsConfig,
    error::{Error, Result},
    types::Filter,
};

/// The filter of a request, if it has one; `place` is where it stands there.
///
/// # Errors
/// As [`Filter::parse`].
pub(in crate::api) fn filter(
    text: Option<&RawValue>,
    place: &str,
    limits: &LimitsConfig,
) -> Result<Option<Arc<Filter>>> {
    Filters::new(limits).read(text, place)
}

/// The filters of a request with several: the same text is the same filter, read once.
pub(super) struct Filters<'t> {
    limits: &'t LimitsConfig,
    known: HashMap<&'t str, Arc<Filter>>,
    patterns: usize,
}

impl<'t> Filters<'t> {
    /// None so far.
    pub fn new(limits: &'t LimitsConfig) -> Self {
        Self { limits, known: HashMap::new(), patterns: 0 }
    }

    /// The next one, if it is one.
    ///
    /// # Errors
    /// As [`Filter::parse`], and `LimitExceeded` if all of them have more patterns than one may have.
    pub fn read(&mut self, text: Option<&'t RawValue>, place: &str) -> Result<Option<Arc<Filter>>> {
        let Some(text) = text.map(RawValue::get) else { return Ok(None) };
        if let Some(known) = self.known.get(text) {
            return Ok(Some(known.clone()));
        }
        let filter = Arc::new(Filter::parse(text, place, &self.limits.filters())?);
        self.patterns += filter.patterns();
        let (max, actual) = (self.limits.filter_patterns as u64, self.patterns as u64);
        if actual > max {
            let limit = "limits.filter_patterns";
            return Err(Error::LimitExceeded { field: place.to_owned(), limit, max, actual });
        }
        self.known.insert(text, filter.clone());
        Ok(Some(filter))
    }
}
