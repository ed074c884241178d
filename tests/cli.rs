//! The `quiver` binary, run as people run it.

#[allow(dead_code)]
#[path = "support/process.rs"]
mod process;
#[path = "cli/support.rs"]
mod support;

#[path = "support/ports.rs"]
mod ports;

#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/verify.rs"]
mod verify;
