//! The body of an upsert, in whichever form it comes.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;

use super::{Pieces, arrow_rows, body_limit, json_rows, ndjson::Lines, parse_off_thread, read_body};
use crate::{
    api::{
        AppState,
        dto::ConditionParams,
        extract::{Params, is_json, media_type},
    },
    engine::Precondition,
    error::{Error, Result},
    types::Rows,
};

/// The media types of an upsert's body.
const ACCEPTED: &str = "application/json, application/x-ndjson, application/vnd.apache.arrow.stream";

/// The rows of an upsert, and for which of them it counts. Whatever the form, they are one atomic batch; conditions
/// stand in the query string, or in a JSON body.
#[derive(Debug)]
pub(in crate::api) struct Upsert(pub Rows, pub Precondition);

impl FromRequest<Arc<AppState>> for Upsert {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self> {
        let limit = body_limit(state);
        let limits = Arc::clone(&state.limits);
        let (mut parts, body) = request.into_parts();
        let Params(params) = Params::<ConditionParams>::from_request_parts(&mut parts, state).await?;
        let request = Request::from_parts(parts, body);
        let condition = params.into_condition()?;
        // What is wrong with it is said before the body is read.
        let precondition = condition.precondition(&limits)?;
        let (rows, precondition) = match media_type(&request).as_deref() {
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
                let mut lines = Lines::new(&limits);
                let mut pieces = Pieces::of(request, state, limit)?;
                while let Some(piece) = pieces.next().await? {
                    lines.push(&piece)?;
                }
                (lines.finish()?, precondition)
            }
            Some("application/vnd.apache.arrow.stream") => {
                let body = read_body(request, state, limit).await?;
                let rows = parse_off_thread(body, move |body| arrow_rows::parse(&limits, body)).await?;
                (rows, precondition)
            }
            Some(actual) if !is_json(actual) => {
                return Err(Error::UnsupportedMediaType { actual: actual.into(), accepted: ACCEPTED });
            }
            _ => {
                let body = read_body(request, state, limit).await?;
                let parse = move |body: &Bytes| {
                    let (rows, beside) = json_rows::parse(&limits, body)?;
                    Ok((rows, beside.and(condition)?.precondition(&limits)?))
                };
                parse_off_thread(body, parse).await?
            }
        };
        Ok(Self(rows, precondition))
    }
}
