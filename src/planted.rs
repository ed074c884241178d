//! Bugs that a test plants, to see that the simulation finds them.
//!
//! Each takes away one rule of the commit protocol, at the line that keeps it. Builds without debug
//! assertions, which every release is, contain none of them: there [`planted`] is `false` for the
//! compiler. A bug is planted on one thread, so that a test beside it is not disturbed.

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Rule 4: the store's put-if-absent overwrites.
    PutOverwrites,
    /// Rule 4: the store's compare-and-swap does not compare.
    SwapIgnoresTag,
    /// Rule 3: a condition counts although an entry came after the state on which it was asked.
    DecidedOnOlderState,
    /// Rule 3: a change of all rows that match takes no note of rows that were written since it began.
    BulkMissesNewRows,
    /// Rule 4: what has nothing to put on the state that is known counts without a look at the log.
    NothingIsNotConfirmed,
    /// Rule 4: rows are shown before their entry is in the log.
    ApplyBeforePut,
    /// Rule 6: a PUT without an answer counts as done.
    LostReplyIsSuccess,
    /// Rule 6: after a conflict the place is not read back, though the winner may be ourselves.
    ConflictIsAnothers,
    /// Rule 6: a batch whose PUT may be under way moves to another place.
    BatchMoves,
    /// Rule 6: an outcome that is unknown is answered as "nothing was done".
    UnknownIsUnavailable,
    /// Rule 6: a batch of an incarnation that was replaced is tried on the successor.
    TriedOnSuccessor,
    /// Rule 7: an entry that cannot be read is one that does not exist.
    FailureIsAbsence,
    /// Rule 7: a read shares a refresh that began before it.
    SharesOlderRefresh,
    /// An eventual read is as old as it may be.
    NeverRefreshes,
    /// Rule 10: writing goes on after a SEAL.
    WritesAfterSeal,
    /// Rule 10: a namespace is created anew under the old incarnation.
    ReusesIncarnation,
    /// Rule 13: a fold claims entries that came while it ran.
    FoldClaimsMore,
    /// Rule 13: a fold forgets the rows that it replaced or removed in older segments.
    FoldForgetsDeletes,
    /// Rule 13: a merge forgets the rows that a fold removed meanwhile.
    MergeForgetsDeletes,
    /// Rule 2: an entry counts although its place was folded before it was read.
    GhostCounts,
    /// Rule 5: a PUT that took effect counts, whatever the manifest says of its place.
    FateIsNotJudged,
    /// Rule 8: a look at the manifest never gets too old.
    LooksNeverAge,
    /// Rule S: the tombstone folds nothing and remembers no entry.
    TombstoneForgets,
    /// Rule C: no fence keeps a merge that is under way from naming what was condemned.
    NoFence,
    /// Rule C: what the fence spares is condemned all the same.
    SparedIsCondemned,
}

impl Bug {
    /// Every bug.
    pub const ALL: &[Self] = &[
        Self::PutOverwrites,
        Self::SwapIgnoresTag,
        Self::DecidedOnOlderState,
        Self::BulkMissesNewRows,
        Self::NothingIsNotConfirmed,
        Self::ApplyBeforePut,
        Self::LostReplyIsSuccess,
        Self::ConflictIsAnothers,
        Self::BatchMoves,
        Self::UnknownIsUnavailable,
        Self::TriedOnSuccessor,
        Self::FailureIsAbsence,
        Self::SharesOlderRefresh,
        Self::NeverRefreshes,
        Self::WritesAfterSeal,
        Self::ReusesIncarnation,
        Self::FoldClaimsMore,
        Self::FoldForgetsDeletes,
        Self::MergeForgetsDeletes,
        Self::GhostCounts,
        Self::FateIsNotJudged,
        Self::LooksNeverAge,
        Self::TombstoneForgets,
        Self::NoFence,
        Self::SparedIsCondemned,
    ];
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug on this thread, instead of the one that was; `None` for none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the code that asks has this bug.
#[cfg(debug_assertions)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether the code that asks has this bug.
#[cfg(not(debug_assertions))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
