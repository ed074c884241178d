//! Batch requests and other bodies of several parts.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Answer, Conditions, Failure, Shared, lock};

/// Requests in a batch, at most.
const BATCH: usize = 100;

pub(super) async fn delete_batch(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    let deletes = batch_deletes(&headers, &body).ok_or(Failure::INVALID)?;
    if deletes.len() > BATCH {
        return Err(Failure::INVALID);
    }
    let mut answers = Vec::new();
    for (bucket, name) in deletes {
        let removed = lock(&shared).remove(&bucket, &name, Conditions::default());
        answers.push(removed.map_or_else(|Failure(status, _)| status, |()| StatusCode::NO_CONTENT));
    }
    Ok(batch_answer(&answers))
}

/// The bucket and name of each `DELETE` of a batch. OpenDAL sends no conditions in batches.
fn batch_deletes(headers: &HeaderMap, body: &Bytes) -> Option<Vec<(String, String)>> {
    split_parts(headers, body)?.iter().map(|(_, request)| delete_request(request)).collect()
}

/// `DELETE /storage/v1/b/BUCKET/o/NAME HTTP/1.1`, the name percent-encoded.
fn delete_request(request: &[u8]) -> Option<(String, String)> {
    let line = std::str::from_utf8(request).ok()?.lines().next()?;
    let path = line.strip_prefix("DELETE /storage/v1/b/")?.split(' ').next()?;
    let (bucket, name) = path.split_once("/o/")?;
    Some((bucket.to_owned(), percent_decoded(name)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn batch_answer(statuses: &[StatusCode]) -> Response {
    let mut body = String::new();
    for (index, status) in statuses.iter().enumerate() {
        body += &format!(
            "--batch\r\nContent-Type: application/http\r\nContent-ID: response-{index}\r\n\r\n\
             HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n\r\n"
        );
    }
    body += "--batch--\r\n";
    ([(header::CONTENT_TYPE, "multipart/mixed; boundary=batch")], body).into_response()
}

/// The parts of a multipart body: each one's headers and content.
pub(super) fn split_parts(headers: &HeaderMap, body: &Bytes) -> Option<Vec<(String, Bytes)>> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = format!("--{}", content_type.split_once("boundary=")?.1);
    let mut parts = Vec::new();
    let mut at = find(body, boundary.as_bytes())? + boundary.len();
    while !body[at..].starts_with(b"--") {
        // Right after the boundary's line end, unless the part has no headers at all.
        let end = at + find(&body[at..], boundary.as_bytes())?;
        let part = body.slice(at..end);
        let blank = find(&part, b"\r\n\r\n")?;
        let content = part.slice(blank + 4..);
        let content = content.slice(..content.len() - usize::from(content.ends_with(b"\r\n")) * 2);
        parts.push((String::from_utf8(part[..blank].to_vec()).ok()?, content));
        at = end + boundary.len();
    }
    Some(parts)
}

fn find(body: &[u8], wanted: &[u8]) -> Option<usize> {
    body.windows(wanted.len()).position(|window| window == wanted)
}
