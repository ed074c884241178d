//! `quiver config`

use clap::Args;

use super::{ConfigOptions, Failure, print};

/// Prints the configuration in effect as TOML: secrets hidden, and behind every value that is not
/// the default the file, variable or flag that set it.
#[derive(Debug, Args)]
pub(super) struct PrintConfig {
    /// Print every setting with its default and its documentation instead
    #[arg(long)]
    defaults: bool,
}

impl PrintConfig {
    pub fn run(&self, options: &ConfigOptions) -> Result<(), Failure> {
        if self.defaults {
            return print(include_str!("../../config/default.toml"));
        }
        print(&options.load(&[])?.to_toml())
    }
}
