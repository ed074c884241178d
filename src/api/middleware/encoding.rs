//! Request encodings that are not understood are refused in our own words.

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::error::{Error, Result};

/// The layer that decompresses knows names in lower case only, and answers others without a body;
/// it is given the name that it knows.
pub(super) async fn known_encodings(mut request: Request, next: Next) -> Result<Response> {
    let encodings: Vec<_> = request.headers().get_all(header::CONTENT_ENCODING).iter().cloned().collect();
    let is = |encoding: &HeaderValue, name: &str| encoding.as_bytes().eq_ignore_ascii_case(name.as_bytes());
    let known = match encodings.as_slice() {
        [] => return Ok(next.run(request).await),
        [one] if is(one, "gzip") => Some("gzip"),
        [one] if is(one, "zstd") => Some("zstd"),
        [one] if is(one, "identity") => None,
        [first, ..] => {
            let actual = format!("Content-Encoding: {}", String::from_utf8_lossy(first.as_bytes()));
            return Err(Error::UnsupportedMediaType { actual, accepted: "gzip, zstd, identity" });
        }
    };
    request.headers_mut().remove(header::CONTENT_ENCODING);
    if let Some(known) = known {
        request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(known));
    }
    Ok(next.run(request).await)
}
