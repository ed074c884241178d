//! The HTTP API, driven in process over the memory backend, and over a real connection where the
//! connection itself matters.

#[path = "http/support.rs"]
mod support;

#[path = "http/aggregate.rs"]
mod aggregate;
#[path = "http/auth.rs"]
mod auth;
#[path = "http/batch.rs"]
mod batch;
#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/bulk.rs"]
mod bulk;
#[path = "http/conditions.rs"]
mod conditions;
#[path = "http/cuts.rs"]
mod cuts;
#[path = "http/errors.rs"]
mod errors;
#[path = "http/filters.rs"]
mod filters;
#[path = "http/fulltext.rs"]
mod fulltext;
#[path = "http/indexes.rs"]
mod indexes;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/multi.rs"]
mod multi;
#[path = "http/namespaces.rs"]
mod namespaces;
#[path = "http/openapi.rs"]
mod openapi;
#[path = "http/ranking.rs"]
mod ranking;
#[path = "http/search.rs"]
mod search;
#[path = "http/system.rs"]
mod system;
#[path = "http/vectors.rs"]
mod vectors;
