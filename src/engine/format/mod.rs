//! The bytes of a log entry, and the trailer that ends every object which is ours alone to read.
//!
//! An entry is an Arrow IPC *stream* that any Arrow reader opens, followed by a [`trailer`] that
//! Arrow readers never reach. The header travels as schema metadata, so one object says all about
//! itself: where it belongs, what it follows and what it changes.

mod changes;
pub mod checked_json;
mod entry;
mod ipc;
mod trailer;

pub use self::{
    changes::{Change, Changes},
    entry::{Entry, EntryKind, Header, decode, encode},
    ipc::{Unreadable, check_batch, check_stream},
    trailer::{Hash, Hasher, Kind, hash, open, seal},
};
