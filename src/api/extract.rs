//! Extractors and the JSON responder: requests become checked values here, or errors in our shape.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    AppState,
    bodies::{body_limit, json_error, parse_off_thread, read_body},
    dto::Object,
};
use crate::{
    error::{Error, Result},
    types::{IndexType, NamespaceName, VectorId},
};

const JSON: &str = "application/json";

/// A JSON body, in and out.
#[derive(Debug)]
pub(super) struct Json<T>(pub T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub T);

/// Query parameters. Unknown ones are ignored.
#[derive(Debug)]
pub(super) struct Params<T>(pub T);

/// The namespace in the path.
#[derive(Debug)]
pub(super) struct Namespace(pub NamespaceName);

/// The namespace and the row in the path.
#[derive(Debug)]
pub(super) struct RowPath(pub NamespaceName, pub VectorId);

/// The namespace and the index type in the path.
#[derive(Debug)]
pub(super) struct IndexPath(pub NamespaceName, pub IndexType);

/// The media type of a request body without its parameters, in lower case; nothing if there is none.
pub(super) fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(media_type)
}

/// Whether a media type is JSON. `curl -d` without a header says it sends a form; that is refused,
/// since a browser can send forms to another origin without asking.
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == JSON || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

async fn read_json<T: DeserializeOwned + Send + 'static>(body: Bytes) -> Result<T> {
    parse_off_thread(body, |body| {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let value = Object::<T>::deserialize(&mut deserializer);
        let value = value.and_then(|Object(value)| deserializer.end().map(|()| value));
        // Parsed a second time for the path of what is wrong, which is not tracked where all is well.
        value.map_err(|error| {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            let path = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer)
                .map_or_else(|error| error.path().to_string(), |_| ".".into());
            json_error(&path, &error)
        })
    })
    .await
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<AppState>> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self> {
        if let Some(actual) = media_type(&request).filter(|media_type| !is_json(media_type)) {
            return Err(Error::UnsupportedMediaType { actual, accepted: JSON });
        }
        let body = read_body(request, state, body_limit(state)).await?;
        if body.is_empty() {
            return Err(Error::invalid("body", "is empty; send JSON"));
        }
        read_json(body).await.map(Self)
    }
}

impl<T: DeserializeOwned + Default + Send + 'static> FromRequest<Arc<AppState>> for OptionalJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self> {
        let media_type = media_type(&request);
        let body = read_body(request, state, body_limit(state)).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if let Some(actual) = media_type.filter(|media_type| !is_json(media_type)) {
            return Err(Error::UnsupportedMediaType { actual, accepted: JSON });
        }
        read_json(body).await.map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
            Err(error) => {
                Error::internal(format_args!("an answer that is not JSON: {error}")).into_response()
            }
        }
    }
}

impl<T: Serialize + Send + 'static> Json<T> {
    /// The response, serialised off the async workers: for answers that may be long.
    pub async fn respond(self) -> Response {
        let response = tokio::task::spawn_blocking(move || self.into_response()).await;
        response.unwrap_or_else(|error| Error::internal(error).into_response())
    }
}

/// A status other than 200 with a JSON body.
pub(super) type Reply<T> = (StatusCode, Json<T>);

impl<T: DeserializeOwned + 'static> FromRequestParts<Arc<AppState>> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AppState>) -> Result<Self> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            // The rejection's source says "<parameter>: <what is wrong>".
            let source = std::error::Error::source(&rejection).map(ToString::to_string).unwrap_or_default();
            match source.split_once(": ") {
                Some((field, message)) => Error::invalid(field, message),
                None => Error::invalid("query string", source),
            }
        })?;
        Ok(Self(params))
    }
}

/// One decoded path parameter. Empty if the route does not have it, which no rule below accepts.
async fn path_param(parts: &mut Parts, state: &Arc<AppState>, wanted: &str) -> Result<String> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Error::invalid("path", "percent-encoded bytes must be UTF-8"))?;
    let found = params.iter().find_map(|(name, value)| (name == wanted).then(|| value.to_owned()));
    Ok(found.unwrap_or_default())
}

async fn namespace(parts: &mut Parts, state: &Arc<AppState>) -> Result<NamespaceName> {
    NamespaceName::parse(&path_param(parts, state, "ns").await?, "namespace")
}

impl FromRequestParts<Arc<AppState>> for Namespace {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self> {
        namespace(parts, state).await.map(Self)
    }
}

impl FromRequestParts<Arc<AppState>> for RowPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self> {
        let namespace = namespace(parts, state).await?;
        let mut id = path_param(parts, state, "id").await?;
        if id.is_empty() {
            // The routes of actions, whose last segment is the id when it is meant as one.
            id = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        }
        let id = VectorId::parse(&id, state.limits.id_bytes, || "id".into())?;
        Ok(Self(namespace, id))
    }
}

impl FromRequestParts<Arc<AppState>> for IndexPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self> {
        let namespace = namespace(parts, state).await?;
        let name = path_param(parts, state, "type").await?;
        let index = IndexType::parse(&name).ok_or_else(|| {
            let types: Vec<_> = IndexType::ALL.iter().map(|index| index.as_str()).collect();
            Error::invalid("type", format!("unknown index type {name:?}; it is one of {}", types.join(", ")))
        })?;
        Ok(Self(namespace, index))
    }
}
