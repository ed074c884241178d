//! What filters mean, and that the fast evaluation agrees with a slow one.

#[path = "tests/agreement.rs"]
mod agreement;
#[path = "tests/generators.rs"]
pub mod generators;
#[path = "tests/meanings.rs"]
mod meanings;
#[path = "tests/parsing.rs"]
mod parsing;
#[path = "tests/reference.rs"]
pub(super) mod reference;

use super::*;

fn filter(text: &str) -> Filter {
    Filter::parse(text, "filter", &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}
