//! What can be asked of a store, by name: for metrics, errors, retries and fault injection.

/// One kind of store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`super::Store::get`]
    Get,
    /// [`super::Store::get_settled`]
    GetSettled,
    /// [`super::Store::get_range`]
    GetRange,
    /// [`super::Store::get_ranges`]
    GetRanges,
    /// [`super::Store::get_if_changed`]
    GetIfChanged,
    /// [`super::Store::size`]
    Size,
    /// [`super::Store::list`]
    List,
    /// [`super::Store::check`]
    Check,
    /// [`super::Store::put`]
    Put,
    /// A step of [`super::Store::upload`] that is too large to be one [`Operation::Put`].
    Upload,
    /// [`super::Store::put_if_absent`]
    PutIfAbsent,
    /// [`super::Store::cas`]
    Cas,
    /// [`super::Store::delete_many`]
    Delete,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 13] = [
        Self::Get,
        Self::GetSettled,
        Self::GetRange,
        Self::GetRanges,
        Self::GetIfChanged,
        Self::Size,
        Self::List,
        Self::Check,
        Self::Put,
        Self::Upload,
        Self::PutIfAbsent,
        Self::Cas,
        Self::Delete,
    ];

    /// The name in metrics, logs and errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetSettled => "get_settled",
            Self::GetRange => "get_range",
            Self::GetRanges => "get_ranges",
            Self::GetIfChanged => "get_if_changed",
            Self::Size => "size",
            Self::List => "list",
            Self::Check => "check",
            Self::Put => "put",
            Self::Upload => "upload",
            Self::PutIfAbsent => "put_if_absent",
            Self::Cas => "cas",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes the store, so that a lost answer leaves its outcome open.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Upload | Self::PutIfAbsent | Self::Cas | Self::Delete)
    }

    /// Whether a repetition is harmless. Conditional writes are not repeated: after a lost answer
    /// the second try would report the first one's success as a conflict. A readiness check is
    /// not either, since its caller asks again anyway. The parts of an upload are, but further down,
    /// where one part can be sent again without the others.
    pub(super) const fn is_retried(self) -> bool {
        !matches!(self, Self::Upload | Self::PutIfAbsent | Self::Cas | Self::Check)
    }
}
