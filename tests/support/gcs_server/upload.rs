//! Uploads: in one request, in one request with metadata, and resumable.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Conditions, Failure, Shared, batch::split_parts, lock};

/// A chunk that is not the last must be a multiple of this.
const CHUNK: usize = 256 * 1024;

/// A resumable upload.
#[derive(Debug)]
pub(super) struct Upload {
    name: String,
    conditions: Conditions,
    content_type: String,
    received: Vec<u8>,
    /// The object's description, once it is made.
    done: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InsertOptions {
    upload_type: String,
    name: String,
}

/// A whole object in one request, or the begin of a resumable upload.
pub(super) async fn insert(
    State(shared): State<Shared>,
    Path(bucket): Path<String>,
    Query(options): Query<InsertOptions>,
    Query(conditions): Query<Conditions>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = "application/octet-stream";
    let mut stored = lock(&shared);
    let made = match options.upload_type.as_str() {
        "media" => {
            let content_type = text("content-type").unwrap_or(plain);
            stored.write(&bucket, &options.name, conditions, content_type, body)?
        }
        "multipart" => {
            let parts = split_parts(&headers, &body).ok_or(Failure::INVALID)?;
            let [_metadata, (about, media)] = <[_; 2]>::try_from(parts).map_err(|_| Failure::INVALID)?;
            let content_type = about.lines().find_map(|line| line.strip_prefix("content-type: "));
            let content_type = content_type.unwrap_or(plain);
            stored.write(&bucket, &options.name, conditions, content_type, media)?
        }
        "resumable" => {
            conditions.check(stored.bucket(&bucket)?.get(&options.name))?;
            let id = uuid::Uuid::new_v4().simple().to_string();
            let host = text("host").ok_or(Failure::INVALID)?;
            let location =
                format!("http://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={id}");
            let content_type = text("x-upload-content-type").unwrap_or(plain).to_owned();
            let name = options.name;
            let upload = Upload { name, conditions, content_type, received: Vec::new(), done: None };
            stored.uploads.insert(id, upload);
            return Ok([(header::LOCATION, location)].into_response());
        }
        _ => return Err(Failure::INVALID),
    };
    Ok(Json(made).into_response())
}

#[derive(Deserialize)]
pub(super) struct UploadId {
    upload_id: String,
}

/// The next chunk of a resumable upload, its last one, or the question how far it is.
pub(super) async fn continue_upload(
    State(shared): State<Shared>,
    Path(bucket): Path<String>,
    Query(UploadId { upload_id }): Query<UploadId>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let (start, total) = content_range(range.ok_or(Failure::INVALID)?).ok_or(Failure::INVALID)?;
    let mut stored = lock(&shared);
    let upload = stored.uploads.get_mut(&upload_id).ok_or(Failure::NOT_FOUND)?;
    if let Some(done) = &upload.done {
        return Ok(Json(done.clone()).into_response());
    }
    let start = start.unwrap_or(upload.received.len());
    let known = upload.received.len().checked_sub(start).ok_or(Failure::INVALID)?;
    if total.is_none() && (body.is_empty() || !body.len().is_multiple_of(CHUNK)) {
        return Err(Failure::INVALID);
    }
    upload.received.extend_from_slice(body.get(known..).unwrap_or_default());
    let length = upload.received.len();
    if total != Some(length) {
        let so_far = StatusCode::PERMANENT_REDIRECT;
        return Ok(match length.checked_sub(1) {
            Some(last) => (so_far, [(header::RANGE, format!("bytes=0-{last}"))]).into_response(),
            None => so_far.into_response(),
        });
    }
    let Upload { name, conditions, content_type, received, .. } =
        stored.uploads.remove(&upload_id).ok_or(Failure::NOT_FOUND)?;
    let made = stored.write(&bucket, &name, conditions, &content_type, received.into())?;
    let done = Upload { name, conditions, content_type, received: Vec::new(), done: Some(made.clone()) };
    stored.uploads.insert(upload_id, done);
    Ok(Json(made).into_response())
}

/// `bytes 0-99/100`, `bytes 0-99/*` or `bytes */100`: where a chunk starts, and the total.
fn content_range(header: &str) -> Option<(Option<usize>, Option<usize>)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    let start = match range.split_once('-') {
        Some((start, _)) => Some(start.parse().ok()?),
        None if range == "*" => None,
        None => return None,
    };
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start, total))
}

pub(super) async fn cancel_upload(
    State(shared): State<Shared>,
    Query(UploadId { upload_id }): Query<UploadId>,
) -> Answer {
    lock(&shared).uploads.remove(&upload_id).ok_or(Failure::NOT_FOUND)?;
    Ok(StatusCode::from_u16(499).map_err(|_| Failure::INVALID)?.into_response())
}
