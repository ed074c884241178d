//! Flags that set configuration, the same for every command.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Inputs, Loaded};

/// Flags that set configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ConfigOptions {
    /// Read this file instead of ./quiver.toml or ./config/quiver.toml; may be repeated, later files win
    #[arg(long, global = true, value_name = "FILE", env = "QUIVER_CONFIG")]
    config: Vec<PathBuf>,
    /// Keep data in this directory (storage.backend = fs) [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Set any setting, such as limits.top_k=100; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Log lines for people or for machines: pretty or json [default: pretty]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What to log, such as debug or quiver=debug,warn [default: info for serve, else warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log_filter: Option<String>,
}

impl ConfigOptions {
    /// The configuration with these flags, and `more` of the command itself.
    pub fn load(&self, more: &[(&str, String, &str)]) -> Result<Loaded, Failure> {
        let owned = |(path, text, flag): (&str, String, &str)| (path.to_owned(), text, flag.to_owned());
        let mut flags = Vec::new();
        if let Some(data) = &self.data {
            // A path that is no UTF-8 cannot stand in a TOML file either.
            let data = data.to_str().ok_or_else(|| Failure::usage("--data is not UTF-8"))?;
            flags.push(owned(("storage.backend.type", "fs".into(), "--data")));
            flags.push(owned(("storage.backend.root", data.into(), "--data")));
        }
        flags.extend(self.log_format.clone().map(|text| owned(("telemetry.format", text, "--log-format"))));
        flags.extend(self.log_filter.clone().map(|text| owned(("telemetry.filter", text, "--log-filter"))));
        flags.extend(more.iter().cloned().map(owned));
        for setting in &self.set {
            let (path, text) = setting
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {setting}: expected KEY=VALUE")))?;
            flags.push(owned((path.trim(), text.to_owned(), "--set")));
        }
        let inputs = Inputs { files: self.config.clone(), flags };
        Ok(inputs.load()?)
    }
}
