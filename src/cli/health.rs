//! `quiver health`

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{ConfigOptions, Failure, block_on, print, serve::reachable};
use crate::storage::http_client;

const AFTER: &str =
    "Exit code: 0 yes, 1 no. For health checks of containers, which have no other client: it asks the
server.listen of the same configuration that the server has.";

/// A check that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the server on this machine whether it should get requests.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Health {
    /// Ask only whether the process answers, whatever the store and a shutdown say
    #[arg(long)]
    live: bool,
}

impl Health {
    pub fn run(&self, options: &ConfigOptions) -> Result<(), Failure> {
        let address = reachable(options.load(&[])?.config.server.listen);
        let check = if self.live { "live" } else { "ready" };
        block_on(async {
            let said = ask(&format!("http://{address}/health/{check}")).await?;
            print(&format!("{said}\n"))
        })
    }
}

/// What a healthy server says.
async fn ask(url: &str) -> Result<String, Failure> {
    let failed = |error: reqwest::Error| Failure::unreachable(url, &error);
    // The server is on this machine, whatever proxy the environment names.
    let client = http_client().no_proxy().timeout(TIMEOUT).build().map_err(failed)?;
    let answer = client.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    let said = answer.text().await.map_err(failed)?;
    if status.is_success() {
        return Ok(said);
    }
    Err(Failure::new(format!("{url}: {status}: {}", reasons(&said))))
}

/// The checks that failed; anything that is not a readiness report as it is.
fn reasons(said: &str) -> String {
    let report: Value = serde_json::from_str(said).unwrap_or_default();
    let checks = report["checks"].as_object().into_iter().flatten();
    let failed = checks.filter_map(|(name, check)| Some(format!("{name}: {}", check["message"].as_str()?)));
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() { said.to_owned() } else { failed.join("; ") }
}
