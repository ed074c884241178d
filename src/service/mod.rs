//! What stands between a request and the engine: limits, validation and admission.
//!
//! Whatever the form in which rows arrive (JSON, NDJSON, Arrow, columns, a file that is imported),
//! they are built by [`RowsBuilder`], so that each form is held to the same limits and answers with
//! the same errors. Nothing in here forwards: an operation that needs no check goes from the API
//! to the engine directly.

mod admission;
mod limits;
mod metadata;
mod patch;
mod rows;

pub use self::{
    admission::{Admission, Admitted},
    limits::{
        check_batch, check_batch_requests, check_page, check_queries, check_query, check_text, check_top_k,
        check_top_rows, check_vector, page_rows, parse_ids, ttl,
    },
    metadata::compact_metadata,
    patch::Patch,
    rows::RowsBuilder,
};
