//! Request encodings that are not understood are refused in our own words.

use axum::{extract::Request, http::header, middleware::Next, response::Response};

use crate::error::{Error, Result};

pub(super) async fn known_encodings(request: Request, next: Next) -> Result<Response> {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let known = |encoding: &[u8]| {
        ["gzip", "zstd", "identity"].iter().any(|known| encoding.eq_ignore_ascii_case(known.as_bytes()))
    };
    match (encodings.next(), encodings.next()) {
        (None, _) => {}
        (Some(one), None) if known(one.as_bytes()) => {}
        (Some(one), _) => {
            let actual = format!("Content-Encoding: {}", String::from_utf8_lossy(one.as_bytes()));
            return Err(Error::UnsupportedMediaType { actual, accepted: "gzip, zstd, identity" });
        }
    }
    Ok(next.run(request).await)
}
