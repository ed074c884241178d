//! The commands of the `quiver` binary.
//!
//! Results go to stdout, everything about how they came about (progress, logs, errors) to stderr.
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod allocator;
mod backup;
mod config;
mod export;
mod failure;
mod health;
mod import;
mod keygen;
mod node;
mod openapi;
mod options;
mod progress;
mod serve;
mod signals;
mod vectors;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{failure::Failure, options::ConfigOptions};

const EXAMPLES: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver serve                                        serve ./data on 127.0.0.1:7700
  quiver serve --config config/s3.toml                serve a bucket
  quiver import articles vectors.npy --metadata articles.jsonl
  quiver export articles -o articles.arrow

\x1b[1;4mConfiguration:\x1b[0m
  Defaults < file < environment < flags. The file is ./quiver.toml or ./config/quiver.toml, or what
  --config names. Every setting has a variable: QUIVER_SERVER__LISTEN is server.listen. `quiver
  config --defaults` prints all settings with their documentation, `quiver config` what is in effect.

\x1b[1;4mExit codes:\x1b[0m
  0 done, 1 failed, 2 wrong usage or configuration";

/// A vector-store server whose only durable state is an object store.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    config: ConfigOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    Serve(serve::Serve),
    /// Ask the server on this machine whether it should get requests
    Health(health::Health),
    /// Write the rows of a file (.npy, .jsonl, .parquet, .arrow), or of a bucket in another layout
    Import(Box<import::Import>),
    /// Write the rows of a namespace to a file (.jsonl, .arrow)
    Export(export::Export),
    /// Write namespaces to another store
    Backup(backup::Backup),
    /// Read namespaces from another store
    Restore(backup::Restore),
    /// Check that what the store holds is whole
    Verify(verify::Verify),
    /// Print the OpenAPI document of the HTTP API
    Openapi(openapi::Openapi),
    /// Print the configuration in effect, and who set what
    Config(config::PrintConfig),
    /// Make an API key, and the configuration that makes it valid
    Keygen(keygen::Keygen),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    allocator::keep_little();
    // Wrong usage is reported, and ends the process with 2, in here.
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Serve(serve) => serve.run(&cli.config),
        Command::Health(health) => health.run(&cli.config),
        Command::Import(import) => import.run(&cli.config),
        Command::Export(export) => export.run(&cli.config),
        Command::Backup(backup) => backup.run(&cli.config),
        Command::Restore(restore) => restore.run(&cli.config),
        Command::Verify(verify) => verify.run(&cli.config),
        Command::Openapi(openapi) => openapi.run(),
        Command::Config(print) => print.run(&cli.config),
        Command::Keygen(keygen) => keygen.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a command that does input and output on a runtime of its own.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(command);
    // A thread that is stuck in a system call must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
