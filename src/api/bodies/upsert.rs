//! The body of an upsert, in whichever form it comes.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};

use super::{Pieces, arrow_rows, body_limit, json_rows, ndjson::Lines, parse_off_thread, read_body};
use crate::{
    api::{
        AppState,
        extract::{is_json, media_type},
    },
    engine::Precondition,
    error::{Error, Result},
    types::Rows,
};

/// The media types of an upsert's body.
const ACCEPTED: &str = "application/json, application/x-ndjson, application/vnd.apache.arrow.stream";

/// The rows of an upsert, and for which of them it counts. Whatever the form, they are one atomic batch; only JSON
/// has conditions.
#[derive(Debug)]
pub(in crate::api) struct Upsert(pub Rows, pub Precondition);

impl FromRequest<Arc<AppState>> for Upsert {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self> {
        let limit = body_limit(state);
        let limits = Arc::clone(&state.limits);
        let (rows, condition) = match media_type(&request).as_deref() {
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
                let mut lines = Lines::new(&limits);
                let mut pieces = Pieces::of(request, state, limit)?;
                while let Some(piece) = pieces.next().await? {
                    lines.push(&piece)?;
                }
                (lines.finish()?, Precondition::default())
            }
            Some("application/vnd.apache.arrow.stream") => {
                let body = read_body(request, state, limit).await?;
                let rows = parse_off_thread(body, move |body| arrow_rows::parse(&limits, body)).await?;
                (rows, Precondition::default())
            }
            Some(actual) if !is_json(actual) => {
                return Err(Error::UnsupportedMediaType { actual: actual.into(), accepted: ACCEPTED });
            }
            _ => {
                let body = read_body(request, state, limit).await?;
                parse_off_thread(body, move |body| json_rows::parse(&limits, body)).await?
            }
        };
        Ok(Self(rows, condition))
    }
}
