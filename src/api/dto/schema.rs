//! Schemas that attributes cannot express.

use serde_json::json;
use utoipa::{
    ToSchema,
    openapi::{
        Array, KnownFormat, Object, SchemaFormat,
        schema::{ArrayBuilder, ArrayItems, SchemaType, Type},
    },
};

use crate::{config::LimitsConfig, types::rank_by};

/// The bounds that schemas have.
fn limits() -> LimitsConfig {
    LimitsConfig::default()
}

/// Bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "only its schema is used")]
pub(in crate::api) struct Binary(Vec<u8>);

/// A filter that may be left out.
pub(super) fn filter() -> Object {
    filter_of(SchemaType::from_iter([Type::Object, Type::Null]))
}

/// A filter.
pub(super) fn required_filter() -> Object {
    filter_of(Type::Object.into())
}

fn filter_of(types: SchemaType) -> Object {
    Object::builder()
        .schema_type(types)
        .description(Some(
            "Which rows, by their metadata: an object of fields, each with a value that it equals or with \
             operators, all of which must hold. At a field: `$eq` `$ne` `$gt` `$gte` `$lt` `$lte` `$in` `$nin` \
             `$exists` `$contains` `$icontains` `$startsWith` `$endsWith` `$glob` `$regex` `$arrayContains` \
             `$arrayContainsAll` `$arrayContainsAny` `$not`; beside fields: `$and` `$or` `$not`. A nested field \
             is written `a.b`. `{}` and null match every row.",
        ))
        .examples([json!({"year": {"$gte": 2000}, "tags": {"$arrayContains": "x"}})])
        .build()
}

/// A ranking.
pub(super) fn rank_by() -> Array {
    ArrayBuilder::new()
        .items(ArrayItems::from(Object::builder().schema_type(SchemaType::AnyValue).build()))
        .min_items(Some(1))
        .description(Some(
            "By what: `[\"ANN\", vector]`, `[\"kNN\", vector]` (exactly), `[\"BM25\", text]`, `[field, \"BM25\", text]`, \
             `[\"Sum\", [rankings]]`, `[\"Max\", [rankings]]`, `[\"Product\", factor, ranking]`; or in the order of \
             fields of the metadata, `[field, \"asc\"]`, `[field, \"desc\"]` or an array of these. A field that is named \
             like a function is one in such an array only.",
        ))
        .examples([json!(["ANN", [0.12, -0.5, 0.33]]), json!([["year", "desc"], ["title", "asc"]])])
        .build()
}

/// An order of the rows of an answer.
pub(super) fn order_by() -> Array {
    let direction = Object::builder().schema_type(SchemaType::AnyValue).build();
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(ArrayItems::from(direction))
        .min_items(Some(1))
        .max_items(Some(rank_by::Limits::default().parts))
        .description(Some(
            "In which order the results are returned, if not by their scores: `[field, \"asc\"]`, `[field, \"desc\"]` or \
             an array of these, with fields of the metadata. Which results these are does not depend on it.",
        ))
        .examples([json!([["year", "desc"], ["title", "asc"]])])
        .build()
}

/// A filter on the stored row.
pub(super) fn condition() -> Object {
    let mut filter = filter();
    filter.description = Some(
        "Only for ids whose stored row matches this filter, as it is when the request is committed. An id without a \
         stored row is treated like a row without metadata."
            .into(),
    );
    filter.examples = vec![json!({"version": {"$eq": 3}})];
    filter
}

/// An id.
pub(super) fn id() -> Object {
    Object::builder()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(limits().id_bytes))
        .description(Some(format!("Any UTF-8 text of at most {} bytes.", limits().id_bytes)))
        .build()
}

/// Ids.
pub(super) fn ids() -> Array {
    ArrayBuilder::new().items(ArrayItems::from(id())).max_items(Some(limits().batch_rows)).build()
}

/// A vector.
pub(super) fn vector() -> Array {
    vector_builder().build()
}

/// A vector, or null for a row that has none.
pub(super) fn vector_or_null() -> Array {
    vector_or_null_builder().build()
}

fn vector_or_null_builder() -> ArrayBuilder {
    vector_builder()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .description(Some("Finite 32-bit floats, as many as the namespace's dimension; null: no vector."))
}

fn vector_builder() -> ArrayBuilder {
    let value = Object::builder()
        .schema_type(Type::Number)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Float)))
        .minimum(Some(f64::from(f32::MIN)))
        .maximum(Some(f64::from(f32::MAX)));
    ArrayBuilder::new()
        .items(ArrayItems::from(value.build()))
        .min_items(Some(1))
        .max_items(Some(limits().dimension))
        .description(Some("Finite 32-bit floats, as many as the namespace's dimension."))
}

/// Vectors.
pub(super) fn vectors() -> Array {
    ArrayBuilder::new().items(ArrayItems::from(vector_builder())).max_items(Some(limits().batch_rows)).build()
}

/// The vectors of rows, some of which may have none.
pub(super) fn vectors_or_nulls() -> Array {
    ArrayBuilder::new()
        .items(ArrayItems::from(vector_or_null_builder()))
        .max_items(Some(limits().batch_rows))
        .build()
}
