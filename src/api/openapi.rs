//! The OpenAPI document: what is common to all operations.
//!
//! Handlers declare what is particular to them. Which errors an operation can answer with follows
//! from what it takes (a body, a namespace, a key, …), and is added here by rule, so that no
//! handler can forget one.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    OpenApi,
    openapi::{
        Content, Header, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem},
        schema::{AdditionalProperties, Object, Schema, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::dto::ErrorBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quiver",
        description = "A vector-store server whose only durable state is an object store.\n\n\
            Every path is served with and without the prefix `/v1`. Request and response bodies may be \
            compressed with gzip or zstd. Unknown body fields are refused by name; unknown query parameters \
            are ignored. Bounds in the schemas are those of the default configuration; `GET /capabilities` \
            tells the ones of a server. Errors carry a stable `code`; 429 and 503 carry `Retry-After`. \
            Every response carries `x-request-id`, the client's own if it sent one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/v1", description = "Version 1"), (url = "/", description = "Without a version: the newest")),
    components(schemas(ErrorBody)),
    tags(
        (name = "namespaces", description = "Named sets of vectors of one dimension and metric"),
        (name = "vectors", description = "Rows: an id, a vector, metadata"),
        (name = "search", description = "Nearest neighbours"),
        (name = "indexes", description = "Indexes that clients built, kept as bytes"),
        (name = "system", description = "The server itself"),
    )
)]
struct Document;

/// The document before any route is added.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The text of the document, as it is checked in and served.
pub(super) fn to_json() -> String {
    let document = super::openapi();
    // Serialising our own document cannot fail: it has string keys and no special floats.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// An error that operations have in common.
struct Shared {
    status: u16,
    name: &'static str,
    description: &'static str,
}

const fn shared(status: u16, name: &'static str, description: &'static str) -> Shared {
    Shared { status, name, description }
}

const SHARED: [Shared; 13] = [
    shared(400, "BadRequest", "The request breaks a rule or a limit; `details` says which."),
    shared(401, "Unauthorized", "No API key, or not a valid one."),
    shared(403, "Forbidden", "The API key lacks the scope, or does not cover the namespace."),
    shared(404, "NotFound", "It does not exist; `resource` says what."),
    shared(408, "RequestTimeout", "The request body stopped arriving."),
    shared(409, "Conflict", "The state of the namespace does not allow it."),
    shared(413, "PayloadTooLarge", "The request body is over a limit."),
    shared(415, "UnsupportedMediaType", "The request's content type or encoding is not taken here."),
    shared(422, "UnprocessableContent", "The body has the wrong shape; `details.field` says where."),
    shared(429, "TooManyRequests", "Too much waits already. Nothing was done."),
    shared(500, "InternalServerError", "The store refused, data is corrupt, or the server has a bug."),
    shared(
        503,
        "ServiceUnavailable",
        "Busy, or the store cannot be reached: nothing was done, unless `code` is `OUTCOME_UNKNOWN`.",
    ),
    shared(504, "GatewayTimeout", "The request passed its deadline."),
];

/// Adds what the operations have in common.
pub(super) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let api_key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(api_key));
    for shared in &SHARED {
        components.responses.insert(shared.name.into(), response(shared).into());
    }
    components.schemas.values_mut().for_each(close_variants);
    let examples = examples(&components.schemas);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_example(operation, &examples);
            make_body_optional(operation);
            let statuses = statuses(&method, path, operation);
            for shared in SHARED.iter().filter(|shared| statuses.contains(&shared.status)) {
                let reference = RefOr::Ref(Ref::from_response_name(shared.name));
                operation.responses.responses.entry(shared.status.to_string()).or_insert(reference);
            }
        }
    }
    document
}

/// Where a value is an object with one of several names, another name is refused as everywhere else.
fn close_variants(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(variants)) = schema else { return };
    for variant in &mut variants.items {
        if let RefOr::T(Schema::Object(variant)) = variant
            && variant.properties.len() == 1
        {
            variant.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// The first example of each schema that has one.
fn examples(schemas: &BTreeMap<String, RefOr<Schema>>) -> BTreeMap<String, Value> {
    let example = |(name, schema): (&String, &RefOr<Schema>)| {
        let RefOr::T(Schema::Object(object)) = schema else { return None };
        Some((format!("#/components/schemas/{name}"), object.examples.first()?.clone()))
    };
    schemas.iter().filter_map(example).collect()
}

/// Shows the schema's example where a body is described, which is where tools look for it.
fn add_example(operation: &mut Operation, examples: &BTreeMap<String, Value>) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::Ref(schema)) = &content.schema
            && let Some(example) = examples.get(&schema.ref_location)
        {
            content.example = Some(example.clone());
        }
    }
}

/// Where everything in a body has a default, or no bytes are bytes too, the body may be left out.
fn make_body_optional(operation: &mut Operation) {
    let optional = matches!(
        operation.operation_id.as_deref(),
        Some(
            "compact_namespace"
                | "count_vectors"
                | "export_vectors"
                | "sample_vectors"
                | "put_index"
                | "put_index_blob"
                | "warm_cache"
                | "measure_recall"
        )
    );
    if let Some(RefOr::T(body)) = operation.request_body.as_mut().filter(|_| optional) {
        body.required = Some(Required::False);
    }
}

fn response(shared: &Shared) -> Response {
    let error = Content::new(Some(Ref::from_schema_name("Error")));
    let builder = ResponseBuilder::new().description(shared.description).content("application/json", error);
    if !matches!(shared.status, 429 | 503) {
        return builder.build();
    }
    let seconds = Object::builder().schema_type(Type::Integer).minimum(Some(0));
    let mut retry_after = Header::new(seconds.build());
    retry_after.description = Some("Seconds to wait before the request is repeated".into());
    builder.header("Retry-After", retry_after).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Head, &mut item.head),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The errors that an operation can answer with.
fn statuses(method: &HttpMethod, path: &str, operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![415, 500];
    let is_public = path.starts_with("/health") || path.starts_with("/docs") || path == "/openapi.json";
    if !is_public {
        statuses.extend([401, 403, 503, 504]);
    }
    let parameters = operation.parameters.iter().flatten();
    let mut takes_input = false;
    for parameter in parameters {
        takes_input = true;
        if matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path) {
            statuses.push(404);
        }
    }
    if operation.request_body.is_some() {
        takes_input = true;
        statuses.extend([408, 413, 422]);
    }
    if takes_input {
        statuses.push(400);
    }
    let reads = matches!(method, HttpMethod::Get | HttpMethod::Head)
        || [
            "query",
            "batch-query",
            "fetch",
            "batch",
            "export",
            "sample",
            "count",
            "fulltext/search",
            "hybrid",
        ]
        .iter()
        .any(|action| path.ends_with(action));
    if !reads {
        statuses.extend([409, 429]);
    }
    statuses
}
