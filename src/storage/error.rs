//! What a store operation can answer, classified by what the caller may conclude from it.
//!
//! The classification is the foundation of the commit protocol: for a write, every kind but
//! [`StoreErrorKind::Unknown`] promises that nothing was done and nothing will be done later, so
//! anything that may have reached the store without a definite answer is `Unknown`.

use std::{error::Error as StdError, io, sync::Arc};

use super::{operation::Operation, wire::Sent};

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failed store operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {key}: {message}")]
pub struct StoreError {
    /// What may be concluded.
    pub kind: StoreErrorKind,
    /// The operation's name as in metrics: `get`, `put_if_absent`, ….
    pub operation: &'static str,
    /// The object's key.
    pub key: Arc<str>,
    /// What the backend said, with secrets left out.
    pub message: Arc<str>,
}

/// What a caller may conclude from a failed store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// The condition of a conditional write did not hold.
    Conflict,
    /// The store is unreachable, busy or throttling. Nothing was done; try again later.
    Unavailable,
    /// The store refuses for a reason that a retry does not mend: permissions, configuration, a
    /// full or read-only disk, a name or an object that is too long. Nothing was done.
    Refused,
    /// A write was sent and no definite answer came: it may have taken effect, or still may.
    Unknown,
}

impl StoreErrorKind {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A failed attempt, before operation and key are attached to it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub kind: StoreErrorKind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// No answer, or none that decides anything: open for a write, harmless for a read.
    pub fn no_answer(operation: Operation, message: impl Into<String>) -> Self {
        let kind = if operation.is_write() { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
        Self::new(kind, message)
    }

    /// A file operation that failed before it could change what readers see.
    pub fn from_io(error: &io::Error) -> Self {
        Self::new(io_kind(error), error.to_string())
    }

    /// A file operation that failed after the object may have become visible.
    pub fn from_io_after_effect(error: &io::Error) -> Self {
        Self::new(StoreErrorKind::Unknown, format!("written, but not known to be durable: {error}"))
    }

    /// An OpenDAL operation that failed; `sent` is what became of its last HTTP request.
    pub fn from_opendal(operation: Operation, error: &opendal::Error, sent: Sent) -> Self {
        let kind = if operation.is_write() { write_kind(error, sent) } else { read_kind(error, sent) };
        Self::new(kind, describe(error))
    }

    pub fn attach(self, operation: Operation, key: Arc<str>) -> StoreError {
        let message = self.message.into();
        StoreError { kind: self.kind, operation: operation.as_str(), key, message }
    }
}

/// The kind of an io error that had no effect. What no retry mends is refused; the rest may pass.
fn io_kind(error: &io::Error) -> StoreErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => StoreErrorKind::NotFound,
        Io::AlreadyExists => StoreErrorKind::Conflict,
        Io::PermissionDenied
        | Io::StorageFull
        | Io::QuotaExceeded
        | Io::ReadOnlyFilesystem
        | Io::FileTooLarge
        | Io::InvalidFilename
        | Io::InvalidInput
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::CrossesDevices
        | Io::TooManyLinks
        | Io::Unsupported
        | Io::UnexpectedEof => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    }
}

fn read_kind(error: &opendal::Error, sent: Sent) -> StoreErrorKind {
    use opendal::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound if names_missing_container(error) => StoreErrorKind::Refused,
        Kind::NotFound => StoreErrorKind::NotFound,
        Kind::ConditionNotMatch => StoreErrorKind::Conflict,
        Kind::RangeNotSatisfied
        | Kind::PermissionDenied
        | Kind::ConfigInvalid
        | Kind::Unsupported
        | Kind::IsADirectory
        | Kind::NotADirectory => StoreErrorKind::Refused,
        _ => match sent {
            _ if error.is_temporary() => StoreErrorKind::Unavailable,
            // Connection trouble, or an answer cut short: a read may simply be repeated.
            Sent::Unreachable | Sent::Lost | Sent::Answered(200..=299) => StoreErrorKind::Unavailable,
            Sent::Nothing | Sent::Answered(_) => StoreErrorKind::Refused,
        },
    }
}

fn write_kind(error: &opendal::Error, sent: Sent) -> StoreErrorKind {
    use opendal::ErrorKind as Kind;
    if error.kind() == Kind::ConditionNotMatch {
        return StoreErrorKind::Conflict;
    }
    match sent {
        Sent::Unreachable => StoreErrorKind::Unavailable,
        Sent::Nothing if error.is_temporary() => StoreErrorKind::Unavailable,
        Sent::Nothing => StoreErrorKind::Refused,
        Sent::Lost => StoreErrorKind::Unknown,
        Sent::Answered(status) => match status {
            // Throttled (429; 503 SlowDown), or in the way of a concurrent write (409), or the
            // body came too slowly (400 RequestTimeout): the store says that it did nothing.
            _ if error.kind() == Kind::RateLimited => StoreErrorKind::Unavailable,
            409 | 429 => StoreErrorKind::Unavailable,
            400 if error.is_temporary() => StoreErrorKind::Unavailable,
            300..=399 | 501 | 505 => StoreErrorKind::Refused,
            408 | 499 => StoreErrorKind::Unknown,
            400..=498 => StoreErrorKind::Refused,
            _ => StoreErrorKind::Unknown,
        },
    }
}

/// Stores answer 404 for a missing container as for a missing object, but it is no absence of data.
fn names_missing_container(error: &opendal::Error) -> bool {
    ["ContainerNotFound", "NoSuchBucket", "bucket does not exist"]
        .iter()
        .any(|sign| error.message().contains(sign))
}

/// Whether a connection could not be established, so that nothing was sent.
pub(super) fn is_connect_error(error: &opendal::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            return true;
        }
        cause = error.source();
    }
    false
}

const MAX_MESSAGE: usize = 500;

/// An OpenDAL error in words, without its context, which holds URLs and headers.
fn describe(error: &opendal::Error) -> String {
    let mut text = format!("{}: {}", error.kind(), error.message());
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let mut text = without_queries(&text);
    if text.len() > MAX_MESSAGE {
        let end = text.floor_char_boundary(MAX_MESSAGE);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Cuts what may carry a signature: queries of URLs, and `sig=…` wherever it stands.
fn without_queries(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '<' | '>' | ',' | '}');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = [rest.find('?'), rest.find("sig=")].into_iter().flatten().min() {
        let (before, query) = rest.split_at(start);
        clean.push_str(before);
        let end = query.find(ends).unwrap_or(query.len());
        if end > 1 {
            clean.push('…');
        } else {
            clean.push_str(&query[..end]);
        }
        rest = &query[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_no_signatures() {
        let text = "send (https://a.blob/c/k?sv=1&sig=SECRET%3D) failed, sig=SECRET, why? because";
        assert_eq!(without_queries(text), "send (https://a.blob/c/k…) failed, …, why? because");
    }

    #[test]
    fn long_messages_are_cut() {
        let error = opendal::Error::new(opendal::ErrorKind::Unexpected, "é".repeat(2_000));
        assert!(describe(&error).len() <= MAX_MESSAGE + '…'.len_utf8());
    }

    #[test]
    fn io_errors_that_no_retry_mends_are_refused() {
        // ENOSPC, EROFS, EDQUOT, ENAMETOOLONG, EACCES, EPERM, EFBIG on Linux.
        for errno in [28, 30, 122, 36, 13, 1, 27] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(io_kind(&error), StoreErrorKind::Refused, "{error}");
        }
        // EMFILE, EIO, EINTR, EAGAIN.
        for errno in [24, 5, 4, 11] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(io_kind(&error), StoreErrorKind::Unavailable, "{error}");
        }
    }

    #[test]
    fn a_write_is_only_known_to_be_undone_when_the_answer_says_so() {
        use StoreErrorKind::{Conflict, Refused, Unavailable, Unknown};
        let unexpected = |temporary: bool| {
            opendal::Error::new(opendal::ErrorKind::Unexpected, "x").with_temporary(temporary)
        };
        let limited = opendal::Error::new(opendal::ErrorKind::RateLimited, "SlowDown").set_temporary();
        let condition = opendal::Error::new(opendal::ErrorKind::ConditionNotMatch, "412");
        let cases = [
            (&unexpected(true), Sent::Unreachable, Unavailable),
            (&unexpected(true), Sent::Lost, Unknown),
            (&unexpected(false), Sent::Lost, Unknown),
            (&unexpected(true), Sent::Answered(500), Unknown),
            (&unexpected(true), Sent::Answered(503), Unknown),
            (&limited, Sent::Answered(503), Unavailable),
            (&limited, Sent::Answered(429), Unavailable),
            (&unexpected(false), Sent::Answered(200), Unknown),
            (&unexpected(false), Sent::Answered(400), Refused),
            (&unexpected(true), Sent::Answered(400), Unavailable),
            (&unexpected(false), Sent::Answered(403), Refused),
            (&unexpected(false), Sent::Answered(501), Refused),
            (&unexpected(true), Sent::Nothing, Unavailable),
            (&unexpected(false), Sent::Nothing, Refused),
            (&condition, Sent::Answered(412), Conflict),
        ];
        for (error, sent, kind) in cases {
            assert_eq!(write_kind(error, sent), kind, "{error} {sent:?}");
        }
    }
}
