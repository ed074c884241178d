//! Limits on what a request may ask for. Each is answered with its name and value.

use std::time::Duration;

use crate::{
    config::LimitsConfig,
    engine::{Accuracy, Query},
    error::{Error, Result},
    types::VectorId,
};

/// The longest time to live, in seconds: a hundred years.
pub const MAX_TTL_SECONDS: u64 = 100 * 365 * 24 * 60 * 60;

/// Checks the number of rows, ids or queries in one request against `limits.batch_rows`.
pub fn check_batch(limits: &LimitsConfig, field: &str, count: usize) -> Result<()> {
    at_most(|| field.to_owned(), "limits.batch_rows", limits.batch_rows, count)
}

/// Checks the number of searches in one request against `limits.batch_requests`.
pub fn check_batch_requests(limits: &LimitsConfig, field: &str, count: usize) -> Result<()> {
    at_most(|| field.to_owned(), "limits.batch_requests", limits.batch_requests, count)
}

/// The size of a page: `asked`, or `default`, from 1 to `limits.page_rows`.
pub fn page_rows(limits: &LimitsConfig, field: &str, asked: Option<usize>, default: usize) -> Result<usize> {
    let rows = asked.unwrap_or(default.min(limits.page_rows));
    if rows == 0 {
        return Err(Error::invalid(field, "a page has at least one row"));
    }
    at_most(|| field.to_owned(), "limits.page_rows", limits.page_rows, rows)?;
    Ok(rows)
}

/// Checks ids, and how many there are.
pub fn parse_ids(limits: &LimitsConfig, field: &str, ids: &[String]) -> Result<Vec<VectorId>> {
    check_batch(limits, field, ids.len())?;
    let parse =
        |(row, id): (usize, &String)| VectorId::parse(id, limits.id_bytes, || format!("{field}[{row}]"));
    ids.iter().enumerate().map(parse).collect()
}

/// Checks one query. `prefix` is where it stands in the request, such as `queries[3].`, or nothing.
pub fn check_query(limits: &LimitsConfig, prefix: &str, query: &Query) -> Result<()> {
    check_vector(limits, || format!("{prefix}vector"), &query.vector)?;
    check_top_k(limits, prefix, query)
}

/// Checks a vector to search with.
pub fn check_vector(limits: &LimitsConfig, field: impl Fn() -> String, vector: &[f32]) -> Result<()> {
    if vector.is_empty() {
        return Err(Error::EmptyVector { field: field() });
    }
    at_most(&field, "limits.dimension", limits.dimension, vector.len())?;
    match vector.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(not_finite(format!("{}[{index}]", field()))),
        None => Ok(()),
    }
}

/// Checks how many rows are asked for.
pub fn check_top_rows(limits: &LimitsConfig, field: &str, rows: usize) -> Result<()> {
    if rows == 0 {
        return Err(Error::invalid(field, "must be at least 1"));
    }
    at_most(|| field.to_owned(), "limits.top_k", limits.top_k, rows)
}

/// Checks the length of a query over texts.
pub fn check_text(limits: &LimitsConfig, field: &str, text: &str) -> Result<()> {
    at_most(|| field.to_owned(), "limits.text_query_bytes", limits.text_query_bytes, text.len())
}

/// Checks what a query asks for, but for its vector.
pub fn check_top_k(limits: &LimitsConfig, prefix: &str, query: &Query) -> Result<()> {
    check_page(limits, prefix, query.top_k, query.cut.offset)?;
    check_accuracy(prefix, query.accuracy)
}

/// Checks how many rows are asked for, those before the first one included.
pub fn check_page(limits: &LimitsConfig, prefix: &str, top_k: usize, offset: usize) -> Result<()> {
    check_top_rows(limits, &format!("{prefix}top_k"), top_k)?;
    at_most(|| format!("{prefix}offset"), "limits.top_k", limits.top_k, top_k.saturating_add(offset))
}

fn check_accuracy(prefix: &str, accuracy: Option<Accuracy>) -> Result<()> {
    let wrong = |field, what| Err(Error::invalid(format!("{prefix}{field}"), what));
    match accuracy {
        Some(Accuracy::Recall(share)) if !(share > 0.0 && share <= 1.0) => {
            wrong("recall_target", "must be more than 0 and at most 1")
        }
        Some(Accuracy::Effort(effort)) if !(0.0..=1.0).contains(&effort) => {
            wrong("effort", "must be from 0 to 1")
        }
        _ => Ok(()),
    }
}

/// Checks a batch of queries, each and together.
pub fn check_queries(limits: &LimitsConfig, field: &str, queries: &[Query]) -> Result<()> {
    check_batch(limits, field, queries.len())?;
    for (row, query) in queries.iter().enumerate() {
        check_query(limits, &format!("{field}[{row}]."), query)?;
    }
    let results = queries.iter().map(|query| query.top_k + query.cut.offset).fold(0, usize::saturating_add);
    at_most(|| field.to_owned(), "limits.batch_results", limits.batch_results, results)
}

/// A time to live. `seconds` is from 1 to [`MAX_TTL_SECONDS`].
pub fn ttl(field: impl FnOnce() -> String, seconds: u64) -> Result<Duration> {
    if !(1..=MAX_TTL_SECONDS).contains(&seconds) {
        let message = format!("must be from 1 to {MAX_TTL_SECONDS} seconds (100 years)");
        return Err(Error::invalid(field(), message));
    }
    Ok(Duration::from_secs(seconds))
}

pub(super) fn not_finite(field: String) -> Error {
    Error::invalid(field, "must be a finite number in the range of a 32-bit float")
}

/// The field is a closure, because its path is only wanted in the error.
pub(super) fn at_most(
    field: impl FnOnce() -> String,
    limit: &'static str,
    max: usize,
    actual: usize,
) -> Result<()> {
    if actual > max {
        let (max, actual) = (max as u64, actual as u64);
        return Err(Error::LimitExceeded { field: field(), limit, max, actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Cut, Projection};

    fn query(vector: Vec<f32>, top_k: usize) -> Query {
        let projection = Projection { vectors: false, metadata: true };
        let cut = Cut::default();
        Query { vector, top_k, distance: None, accuracy: None, index: None, projection, filter: None, cut }
    }

    fn limits() -> LimitsConfig {
        LimitsConfig {
            dimension: 2,
            top_k: 5,
            batch_rows: 3,
            batch_results: 9,
            page_rows: 4,
            ..LimitsConfig::default()
        }
    }

    fn exceeded(result: Result<impl std::fmt::Debug>) -> (String, &'static str, u64, u64) {
        match result {
            Err(Error::LimitExceeded { field, limit, max, actual }) => (field, limit, max, actual),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_limit_names_itself_the_field_and_both_values() {
        let limits = limits();
        assert!(check_query(&limits, "", &query(vec![1.0, 2.0], 5)).is_ok());
        assert_eq!(
            exceeded(check_query(&limits, "queries[1].", &query(vec![0.0; 3], 5))),
            ("queries[1].vector".into(), "limits.dimension", 2, 3)
        );
        assert_eq!(
            exceeded(check_query(&limits, "", &query(vec![0.0], 6))),
            ("top_k".into(), "limits.top_k", 5, 6)
        );
        assert_eq!(
            exceeded(check_queries(&limits, "queries", &vec![query(vec![0.0], 1); 4])),
            ("queries".into(), "limits.batch_rows", 3, 4)
        );
        assert_eq!(
            exceeded(check_queries(&limits, "queries", &vec![query(vec![0.0], 5); 2])),
            ("queries".into(), "limits.batch_results", 9, 10)
        );
        assert_eq!(
            exceeded(page_rows(&limits, "limit", Some(5), 100)),
            ("limit".into(), "limits.page_rows", 4, 5)
        );
        assert_eq!(page_rows(&limits, "limit", None, 100).unwrap(), 4);
        assert_eq!(
            exceeded(parse_ids(&limits, "ids", &vec!["a".to_owned(); 4])),
            ("ids".into(), "limits.batch_rows", 3, 4)
        );
        let long = "x".repeat(513);
        assert_eq!(
            exceeded(parse_ids(&limits, "ids", &["a".into(), long])),
            ("ids[1]".into(), "limits.id_bytes", 512, 513)
        );
    }

    #[test]
    fn a_query_without_a_usable_vector_is_refused_by_name() {
        let limits = limits();
        let empty = check_query(&limits, "queries[0].", &query(vec![], 1)).unwrap_err();
        assert!(matches!(empty, Error::EmptyVector { field } if field == "queries[0].vector"));
        let infinite = check_query(&limits, "", &query(vec![0.0, f32::INFINITY], 1)).unwrap_err();
        assert!(matches!(infinite, Error::Invalid { field, .. } if field == "vector[1]"));
        assert!(check_query(&limits, "", &query(vec![0.0], 0)).is_err());
    }

    #[test]
    fn a_time_to_live_is_positive_and_bounded() {
        assert_eq!(ttl(String::new, 1).unwrap(), Duration::from_secs(1));
        assert!(ttl(String::new, 0).is_err());
        assert!(ttl(String::new, MAX_TTL_SECONDS).is_ok());
        assert!(ttl(String::new, u64::MAX).is_err());
    }
}
