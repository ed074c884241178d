//! The one map from an error to what a client sees: status, stable code, details, Retry-After.
//!
//! Codes and statuses are part of the API. Codes follow Dakera's where it has one. The map is
//! exhaustive, so a new kind of error does not compile until its answer is decided.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::dto::{ErrorBody, ErrorDetails};
use crate::error::Error;

/// The error that became a response, kept beside it for the log line.
#[derive(Debug, Clone)]
pub(super) struct Cause(pub Arc<Error>);

/// What a client may conclude from an error.
pub(super) struct Answer {
    pub status: StatusCode,
    pub code: &'static str,
    /// What was not found, on a 404.
    pub resource: Option<&'static str>,
    pub retry_after: Option<Duration>,
}

/// The status, code and advice for an error.
pub(super) fn answer(error: &Error) -> Answer {
    use StatusCode as S;
    let plain = |status, code| Answer { status, code, resource: None, retry_after: None };
    let missing = |code, resource| Answer { resource: Some(resource), ..plain(S::NOT_FOUND, code) };
    let later = |status, code, after| Answer { retry_after: Some(after), ..plain(status, code) };
    match error {
        Error::Invalid { .. } => plain(S::BAD_REQUEST, "INVALID_REQUEST"),
        Error::EmptyVector { .. } => plain(S::BAD_REQUEST, "EMPTY_VECTOR"),
        Error::DimensionMismatch { .. } => plain(S::BAD_REQUEST, "DIMENSION_MISMATCH"),
        Error::LimitExceeded { .. } => plain(S::BAD_REQUEST, "LIMIT_EXCEEDED"),
        Error::AnswerTooLarge { .. } => plain(S::BAD_REQUEST, "LIMIT_EXCEEDED"),
        Error::BodyTooLarge { .. } => plain(S::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
        Error::BodyTimeout { .. } => plain(S::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"),
        Error::WrongShape { .. } => plain(S::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_CONTENT"),
        Error::UnsupportedMediaType { .. } => plain(S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
        Error::Unauthenticated { .. } => plain(S::UNAUTHORIZED, "AUTHENTICATION_REQUIRED"),
        Error::InvalidApiKey => plain(S::UNAUTHORIZED, "INVALID_API_KEY"),
        Error::Forbidden { .. } => plain(S::FORBIDDEN, "INSUFFICIENT_SCOPE"),
        Error::NamespaceDenied { .. } => plain(S::FORBIDDEN, "NAMESPACE_ACCESS_DENIED"),
        Error::NamespaceNotFound { .. } => missing("NAMESPACE_NOT_FOUND", "namespace"),
        Error::VectorNotFound { .. } => missing("VECTOR_NOT_FOUND", "vector"),
        Error::IndexNotFound { .. } => missing("INDEX_NOT_FOUND", "index"),
        Error::RouteNotFound { .. } => missing("ROUTE_NOT_FOUND", "route"),
        Error::MethodNotAllowed { .. } => plain(S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
        Error::NamespaceExists { .. } => plain(S::CONFLICT, "CONFLICT"),
        Error::ReadOnly { .. } => plain(S::CONFLICT, "NAMESPACE_READ_ONLY"),
        Error::Overloaded { retry_after, .. } => {
            later(S::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", *retry_after)
        }
        Error::Busy { retry_after, .. } | Error::Unavailable { retry_after, .. } => {
            later(S::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", *retry_after)
        }
        Error::StoreRefused { .. } => plain(S::INTERNAL_SERVER_ERROR, "STORAGE_ERROR"),
        // Upserts and deletes by id may be repeated, so the advice to retry stands here too.
        Error::OutcomeUnknown { .. } => {
            later(S::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN", Duration::from_secs(1))
        }
        Error::DeadlineExceeded { .. } => plain(S::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Error::Corrupt { .. } => plain(S::INTERNAL_SERVER_ERROR, "CORRUPT_DATA"),
        Error::Internal(_) => plain(S::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
    }
}

/// The facts of an error as fields, for programs.
fn details(error: &Error) -> Option<ErrorDetails> {
    let mut details = ErrorDetails::default();
    match error {
        Error::Invalid { field, .. } | Error::EmptyVector { field } | Error::WrongShape { field, .. } => {
            details.field = Some(field.clone());
        }
        Error::DimensionMismatch { field, expected, actual } => {
            details.field = Some(field.clone());
            details.expected = Some(*expected as u64);
            details.actual = Some(*actual as u64);
        }
        Error::LimitExceeded { field, limit, max, actual } => {
            details.field = Some(field.clone());
            details.limit = Some((*limit).into());
            details.max = Some(*max);
            details.actual = Some(*actual);
        }
        Error::AnswerTooLarge { limit, max }
        | Error::BodyTooLarge { limit, max }
        | Error::Busy { limit, max, .. } => {
            details.limit = Some((*limit).into());
            details.max = Some(*max);
        }
        Error::UnsupportedMediaType { accepted, .. } => details.accepted = Some((*accepted).into()),
        Error::Forbidden { needed, .. } => details.scope = Some((*needed).into()),
        Error::NamespaceNotFound { namespace }
        | Error::NamespaceDenied { namespace }
        | Error::NamespaceExists { namespace, .. }
        | Error::ReadOnly { namespace, .. }
        | Error::IndexNotFound { namespace, .. } => details.namespace = Some(namespace.clone()),
        Error::VectorNotFound { namespace, id } => {
            details.namespace = Some(namespace.clone());
            details.id = Some(id.clone());
        }
        Error::Overloaded { limit, .. } => details.limit = Some(limit.clone()),
        Error::Corrupt { object, .. } => details.object = Some(object.clone()),
        Error::BodyTimeout { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidApiKey
        | Error::RouteNotFound { .. }
        | Error::MethodNotAllowed { .. }
        | Error::Unavailable { .. }
        | Error::StoreRefused { .. }
        | Error::OutcomeUnknown { .. }
        | Error::DeadlineExceeded { .. }
        | Error::Internal(_) => return None,
    }
    Some(details)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Answer { status, code, resource, retry_after } = answer(&self);
        let body = ErrorBody {
            error: self.to_string(),
            code: code.into(),
            resource: resource.map(Into::into),
            details: details(&self),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(after) = retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(after));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Cause(Arc::new(self)));
        response
    }
}

/// Retry-After has no fractions; half a second must not become "at once".
pub(super) fn whole_seconds(after: Duration) -> HeaderValue {
    HeaderValue::from(after.as_secs() + u64::from(after.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind, with the answer that clients depend on.
    fn table() -> Vec<(Error, u16, &'static str)> {
        let text = String::new;
        let second = Duration::from_secs(1);
        vec![
            (Error::invalid("a", "b"), 400, "INVALID_REQUEST"),
            (Error::EmptyVector { field: text() }, 400, "EMPTY_VECTOR"),
            (Error::DimensionMismatch { field: text(), expected: 1, actual: 2 }, 400, "DIMENSION_MISMATCH"),
            (Error::LimitExceeded { field: text(), limit: "l", max: 1, actual: 2 }, 400, "LIMIT_EXCEEDED"),
            (Error::AnswerTooLarge { limit: "l", max: 1 }, 400, "LIMIT_EXCEEDED"),
            (Error::BodyTooLarge { limit: "l", max: 1 }, 413, "PAYLOAD_TOO_LARGE"),
            (Error::BodyTimeout { after: second }, 408, "REQUEST_TIMEOUT"),
            (Error::WrongShape { field: text(), message: text() }, 422, "UNPROCESSABLE_CONTENT"),
            (Error::UnsupportedMediaType { actual: text(), accepted: "x" }, 415, "UNSUPPORTED_MEDIA_TYPE"),
            (Error::Unauthenticated { message: "m" }, 401, "AUTHENTICATION_REQUIRED"),
            (Error::InvalidApiKey, 401, "INVALID_API_KEY"),
            (Error::Forbidden { needed: "write", resource: text() }, 403, "INSUFFICIENT_SCOPE"),
            (Error::NamespaceDenied { namespace: text() }, 403, "NAMESPACE_ACCESS_DENIED"),
            (Error::NamespaceNotFound { namespace: text() }, 404, "NAMESPACE_NOT_FOUND"),
            (Error::VectorNotFound { namespace: text(), id: text() }, 404, "VECTOR_NOT_FOUND"),
            (Error::IndexNotFound { namespace: text(), index: "pq" }, 404, "INDEX_NOT_FOUND"),
            (Error::RouteNotFound { path: text() }, 404, "ROUTE_NOT_FOUND"),
            (Error::MethodNotAllowed { method: text(), path: text() }, 405, "METHOD_NOT_ALLOWED"),
            (Error::NamespaceExists { namespace: text(), detail: text() }, 409, "CONFLICT"),
            (Error::ReadOnly { namespace: text(), reason: text() }, 409, "NAMESPACE_READ_ONLY"),
            (Error::Overloaded { what: "w", limit: text(), retry_after: second }, 429, "RATE_LIMIT_EXCEEDED"),
            (Error::Busy { limit: "l", max: 1, retry_after: second }, 503, "SERVICE_UNAVAILABLE"),
            (Error::Unavailable { reason: text(), retry_after: second }, 503, "SERVICE_UNAVAILABLE"),
            (Error::StoreRefused { reason: text() }, 500, "STORAGE_ERROR"),
            (Error::OutcomeUnknown { reason: text() }, 503, "OUTCOME_UNKNOWN"),
            (Error::DeadlineExceeded { after: second }, 504, "DEADLINE_EXCEEDED"),
            (Error::Corrupt { object: text(), reason: text() }, 500, "CORRUPT_DATA"),
            (Error::internal("x"), 500, "INTERNAL_ERROR"),
        ]
    }

    #[test]
    fn statuses_and_codes_are_stable() {
        for (error, status, code) in table() {
            let answer = answer(&error);
            assert_eq!((answer.status.as_u16(), answer.code), (status, code), "{error:?}");
        }
    }

    #[test]
    fn every_429_and_503_says_when_to_retry_and_every_404_what_is_missing() {
        for (error, status, _) in table() {
            let response = error.clone().into_response();
            let retry = response.headers().get(header::RETRY_AFTER);
            assert_eq!(retry.is_some(), matches!(status, 429 | 503), "{error:?}");
            assert_eq!(answer(&error).resource.is_some(), status == 404, "{error:?}");
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            assert_eq!(challenge.is_some(), status == 401, "{error:?}");
        }
    }

    #[test]
    fn a_part_of_a_second_rounds_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), "1");
        assert_eq!(whole_seconds(Duration::from_secs(2)), "2");
        assert_eq!(whole_seconds(Duration::from_millis(2001)), "3");
    }

    #[test]
    fn details_carry_the_limit_and_both_values() {
        let error = Error::LimitExceeded { field: "top_k".into(), limit: "limits.top_k", max: 5, actual: 9 };
        let json = serde_json::to_value(details(&error)).unwrap();
        let expected = serde_json::json!({"field": "top_k", "limit": "limits.top_k", "max": 5, "actual": 9});
        assert_eq!(json, expected);
    }
}
