//! Request bodies: read within limits, then parsed straight into the form that the engine takes.

mod arrow_rows;
mod columns;
mod json_rows;
mod ndjson;
mod upsert;

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, http::header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::AppState;
use crate::error::{Error, Result};

pub(super) use self::{columns::Columns, upsert::Upsert};

/// What is read, and for how long, of a body that is over its limit.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// A body limit and the name of its setting.
pub(super) type BodyLimit = (&'static str, u64);

/// Longer than this, a body is parsed off the async workers, which other requests wait for.
const PARSE_INLINE: usize = 64 * 1024;

/// Errors are read by people; serde's may quote any amount of input.
const MAX_MESSAGE: usize = 200;

/// The limit of every body but an index blob.
pub(super) fn body_limit(state: &AppState) -> BodyLimit {
    ("limits.body_bytes", state.limits.body_bytes.as_u64())
}

/// The limit of an index blob.
pub(super) fn index_blob_limit(state: &AppState) -> BodyLimit {
    ("limits.index_blob_bytes", state.limits.index_blob_bytes.as_u64())
}

/// Reads a body whole. The limit holds after decompression, so that a small body cannot become a
/// large one.
pub(super) async fn read_body(request: Request, state: &Arc<AppState>, limit: BodyLimit) -> Result<Bytes> {
    let mut pieces = Pieces::of(request, state, limit)?;
    let first = pieces.next().await?.unwrap_or_default();
    let Some(second) = pieces.next().await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(pieces.expected().max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = pieces.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// A body read piece by piece within its limits of size and time.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    state: Arc<AppState>,
    limit: BodyLimit,
    declared: usize,
    read: u64,
}

impl Pieces {
    /// Refuses a body whose declared length is over the limit without reading any of it.
    pub fn of(request: Request, state: &Arc<AppState>, limit: BodyLimit) -> Result<Self> {
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or_default();
        if declared > limit.1 {
            return Err(Error::BodyTooLarge { limit: limit.0, max: limit.1 });
        }
        let declared = usize::try_from(declared).unwrap_or_default();
        Ok(Self { body: request.into_body(), state: Arc::clone(state), limit, declared, read: 0 })
    }

    /// Bytes that the client announced, if it did and as far as memory is worth reserving for it.
    fn expected(&self) -> usize {
        const RESERVE_AT_MOST: usize = 1024 * 1024;
        self.declared.min(RESERVE_AT_MOST)
    }

    /// The next piece; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let after = self.state.server.body_read_timeout;
        loop {
            let frame = tokio::time::timeout(after, self.body.frame())
                .await
                .map_err(|_| Error::BodyTimeout { after })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                Error::invalid("body", shorten(format!("could not be read: {}", root_cause(&error))))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            self.read += data.len() as u64;
            if self.read > self.limit.1 {
                self.drain().await;
                return Err(Error::BodyTooLarge { limit: self.limit.0, max: self.limit.1 });
            }
            return Ok(Some(data));
        }
    }

    /// Reads on for a moment and drops what comes. A client that is still sending when the
    /// connection closes sees a broken pipe instead of the answer that says why.
    async fn drain(&mut self) {
        let mut dropped = 0;
        let drop_pieces = async {
            while let Some(Ok(frame)) = self.body.frame().await {
                dropped += frame.data_ref().map_or(0, Bytes::len);
                if dropped > DRAIN_BYTES {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, drop_pieces).await;
    }
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Runs a parser over a body: in place if it is short, else where blocking hurts nobody.
pub(super) async fn parse_off_thread<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&Bytes) -> Result<T> + Send + 'static,
) -> Result<T> {
    if body.len() <= PARSE_INLINE {
        return parse(&body);
    }
    match tokio::task::spawn_blocking(move || parse(&body)).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(error)),
    }
}

/// What serde_json found, as our error: malformed, or of the wrong shape at `path`.
pub(super) fn json_error(path: &str, error: &serde_json::Error) -> Error {
    let message = shorten(error.to_string());
    if error.is_data() {
        let field = if path == "." { "body" } else { path };
        return Error::WrongShape { field: shorten(field.into()), message };
    }
    Error::invalid("body", format!("malformed JSON: {message}"))
}

/// Cuts a message to a length that fits a log line, at a character boundary.
pub(super) fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_a_character() {
        assert_eq!(shorten("short".into()), "short");
        let cut = shorten("é".repeat(500));
        assert!(cut.len() <= MAX_MESSAGE + '…'.len_utf8() && cut.ends_with("é…"));
    }

    #[test]
    fn malformed_and_misshapen_json_are_told_apart() {
        let error = serde_json::from_str::<Vec<u32>>("[1,").unwrap_err();
        assert!(matches!(json_error("[1]", &error), Error::Invalid { field, .. } if field == "body"));
        let error = serde_json::from_str::<Vec<u32>>("[1,\"x\"]").unwrap_err();
        assert!(matches!(json_error("[1]", &error), Error::WrongShape { field, .. } if field == "[1]"));
    }
}
