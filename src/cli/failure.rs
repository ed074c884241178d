//! Why a command failed, as people read it.

use std::{fmt, io::Write, process::ExitCode};

use crate::{
    config::ConfigError, error::Error, storage::ProbeError, storage::StoreError,
    telemetry::logging::LoggingError,
};

/// A failed command: what went wrong and, where there is something to do about it, a hint.
#[derive(Debug)]
pub(super) struct Failure {
    messages: Vec<String>,
    hint: Option<String>,
    is_usage: bool,
    is_passing: bool,
}

impl Failure {
    /// A failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self { messages: vec![message.into()], hint: None, is_usage: false, is_passing: false }
    }

    /// Arguments or configuration that make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { is_usage: true, ..Self::new(message) }
    }

    /// A server that did not answer.
    pub fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        // reqwest keeps the reason, such as "connection refused", at the bottom.
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Self::new(format!("cannot reach {url}: {reason}"))
    }

    /// The other side cannot now: whatever is asked of it next would fail as well.
    pub fn passing(self) -> Self {
        Self { is_passing: true, ..self }
    }

    /// Whether it was marked as [`Failure::passing`].
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// The message alone.
    pub fn into_message(self) -> String {
        self.messages.join("; ")
    }

    /// What to do about it, unless something is said about that already.
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it and says how the process ends.
    pub fn report(&self) -> ExitCode {
        // If stderr is gone, nobody is left to tell.
        let _ = write!(std::io::stderr().lock(), "{self}");
        if self.is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "error: {message}")?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { messages: error.problems, ..Self::usage("") }
            .hint("`quiver config --defaults` prints every setting with its documentation")
    }
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
            .hint("`quiver config` prints the storage settings in effect and who set them")
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Store(_) => Self::new(error.to_string())
                .hint("`quiver config` prints the storage settings in effect and who set them"),
            ProbeError::BrokenContract { .. } => Self::new(error.to_string())
                .hint("use a store with conditional writes: AWS S3, Azure Blob Storage, Google Cloud Storage (JSON API), MinIO, SeaweedFS, a local directory"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            Error::LimitExceeded { limit, .. } => failure.hint(format!("raise it with --set {limit}=…")),
            Error::NamespaceExists { .. } => {
                failure.hint("leave out --distance, or choose another namespace")
            }
            Error::Unavailable { .. } | Error::OutcomeUnknown { .. } => {
                failure.hint("try again: writing the same rows twice is safe")
            }
            _ => failure,
        }
    }
}
