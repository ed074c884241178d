//! `quiver openapi`

use clap::Args;

use super::{Failure, print};
use crate::api;

/// Prints the OpenAPI 3.1 document of the HTTP API, as the server has it at /openapi.json.
#[derive(Debug, Args)]
pub(super) struct Openapi {}

impl Openapi {
    pub fn run(&self) -> Result<(), Failure> {
        let text = api::openapi().to_pretty_json();
        let text = text.map_err(|error| Failure::new(format!("the document does not serialise: {error}")))?;
        print(&format!("{text}\n"))
    }
}
