//! The `quiver` binary, run as people run it.

#[path = "support/mod.rs"]
mod shared;

#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/classic.rs"]
mod classic;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/health.rs"]
mod health;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/stores.rs"]
mod stores;
#[path = "cli/verify.rs"]
mod verify;
