//! Quiver: a vector-store server whose only durable state is an object store.
//!
//! A map of the crate, lowest layer first. A module may use the ones above it in this list and
//! never the ones below; `tests/architecture.rs` reads the `use` lines and enforces it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`error`], [`clock`], [`random`], [`telemetry`] | the error enum, time and chance as values passed in, logs and metrics |
//! | [`planted`] | bugs that a test plants; none in a release |
//! | [`types`] | namespace names, vector ids, rows, distances, filters: validated on construction |
//! | [`config`] | every setting, its default, and where it may come from |
//! | [`storage`] | one `Store` over five object stores, with conditional writes that hold |
//! | [`cache`] | immutable objects as local bytes: mapped, on disk, in memory |
//! | [`engine`] | log, manifest, tail, search: the commit protocol and everything that reads it |
//! | [`service`] | limits and admission between a request and the engine |
//! | [`api`] | routes, bodies, status codes, OpenAPI |
//! | [`cli`] | the commands of the `quiver` binary |
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod planted;
pub mod random;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod types;
