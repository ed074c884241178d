//! Log lines: where they go, how they look, and that a panic is one of them.
//!
//! Lines go to stderr, so that stdout stays the output of commands.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people; colourful if stderr is a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("telemetry.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// This process logs already.
    #[error("logging is set up already")]
    Twice,
}

/// Sends this process's log lines that pass `filter` to stderr, and panics with them.
pub fn init(style: Style, filter: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = fmt().with_env_filter(filter).with_writer(stderr);
    let installed = match style {
        Style::Pretty => lines.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        Style::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    installed.map_err(|_| LoggingError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let backtrace = std::backtrace::Backtrace::capture();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(target: "quiver::panic", %location, thread, %backtrace, "panic: {message}");
}
