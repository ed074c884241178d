//! Searches of every kind in one request: each goes to the handler of its own route, so that nothing about it
//! can differ.

use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;

use super::{State, aggregate, fulltext, search, vectors};
use crate::{
    api::{
        dto::{BatchAnswer, BatchItem, BatchRequest, BatchResponse},
        extract::{Json, Namespace, OptionalJson},
    },
    error::{Error, Result},
    service::check_batch_requests,
    types::NamespaceName,
};

/// Searches that are under way at once: the others wait, so that a batch takes no more of the machine than a few
/// clients do.
const CONCURRENT: usize = 4;

/// Search in several ways
///
/// Each search is answered as by its own route, with a status of its own: one that is refused does not keep the
/// others from being answered. Each is as fresh as its `consistency` says. All answers together have at most
/// `limits.answer_bytes`.
#[utoipa::path(post, path = "/namespaces/{ns}/batch", operation_id = "batch", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = BatchRequest,
    responses((status = 200, description = "One answer per search, in their order.", body = BatchResponse)))]
pub(in crate::api) async fn batch(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<BatchRequest>,
) -> Result<Response> {
    check_batch_requests(&state.limits, "requests", request.requests.len())?;
    let max = state.limits.answer_bytes.as_u64();
    let answers = stream::iter(request.requests).map(|search| answer(state.clone(), name.clone(), search));
    let (results, _) = answers
        .buffered(CONCURRENT)
        .try_fold((Vec::new(), 0), async |(mut results, taken), answer| {
            let taken = taken + answer.body.get().len() as u64;
            results.push(answer);
            let fits = taken <= max;
            let too_large = || Error::AnswerTooLarge { limit: "limits.answer_bytes", max };
            fits.then_some((results, taken)).ok_or_else(too_large)
        })
        .await?;
    Ok(Json(BatchResponse { results }).respond().await)
}

async fn answer(state: State, name: NamespaceName, search: BatchItem) -> Result<BatchAnswer> {
    let name = Namespace(name);
    let response = match search {
        BatchItem::Query(request) => search::query(state, name, Json(*request)).await.into_response(),
        BatchItem::FulltextSearch(request) => {
            fulltext::search(state, name, Json(*request)).await.into_response()
        }
        BatchItem::Hybrid(request) => fulltext::hybrid(state, name, Json(*request)).await.into_response(),
        BatchItem::UnifiedQuery(request) => {
            search::unified_query(state, name, Json(*request)).await.into_response()
        }
        BatchItem::MultiVector(request) => {
            search::multi_vector(state, name, Json(*request)).await.into_response()
        }
        BatchItem::Aggregate(request) => {
            aggregate::aggregate(state, name, Json(*request)).await.into_response()
        }
        BatchItem::Count(request) => {
            vectors::count(state, name, OptionalJson(*request)).await.into_response()
        }
    };
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.map_err(Error::internal)?;
    let body = String::from_utf8(body.into()).map_err(Error::internal)?;
    Ok(BatchAnswer { status, body: RawValue::from_string(body).map_err(Error::internal)? })
}
