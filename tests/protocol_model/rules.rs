//! The rules of the protocol as switches, so that a test can take each one away.
//!
//! Numbers are those of `ARCHITECTURE.md`: 1 to 8 are committing and reading, F folding, C the
//! collection of garbage, S SEAL and creation.

/// One rule, or one part of a rule that can be forgotten alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// 2: an entry is applied only after the manifest that makes it valid was confirmed.
    ConfirmBeforeApply,
    /// 2: a fold at the very place of an entry that was read already voids it.
    JudgeByPlaceRead,
    /// 4: the store lets one put-if-absent win.
    StoreRefusesSecondPut,
    /// 5: a PUT that took effect counts only if the manifest has not passed its place.
    ConfirmAfterPut,
    /// 5: a fold that moved, but not past the place, leaves the entry committed.
    FoldBelowPlaceCommits,
    /// 5: past the fold, the ring says whose entry it was.
    RingDecides,
    /// 5: a place that the ring has forgotten is an unknown outcome.
    ForgottenIsUnknown,
    /// 5: an incarnation that another has replaced cannot tell the outcome.
    EndedIsUnknown,
    /// 6: after a conflict the place is read back, since the winner may be ourselves.
    ReadBackAfterConflict,
    /// 6: what was read back counts only if the manifest has not passed its place.
    ConfirmAfterReadBack,
    /// 6: a batch stays at its place until that is known to be another's.
    SamePlaceRetry,
    /// 6: "unknown" is said only if a PUT may have reached the store.
    UnknownOnlyIfSent,
    /// 7: "nothing there" counts only if the manifest has not passed the place.
    ConfirmAfterRead,
    /// 7: "nothing there" ends a refresh only of the view that asked, not of one that was loaded since.
    RefreshIsOfOneView,
    /// 7: a read shares only a refresh that began after it.
    RefreshBeginsAfterRead,
    /// 8: what is trusted without a look is younger than anything that is deleted.
    SafeAgeBelowGcAge,
    /// F: a swap of the manifest fails if another came first.
    StoreRefusesStaleSwap,
    /// F: the segments of a swap with an unknown outcome are not the folder's to delete.
    KeepSegmentsOfUnknownSwap,
    /// F: segments begun before a fence are abandoned, never swapped in.
    FoldRespectsFence,
    /// F: an exception to a fence does not bring back what an older fence has shut out.
    SparingRevivesNobody,
    /// C: nothing is deleted before a mark that condemned it has grown old, however old it is itself.
    MarkMustBeOld,
    /// C: objects are listed before the manifest that condemns them is read.
    ListBeforeManifest,
    /// C: a fence in the manifest goes before a mark that condemns segments.
    FenceBeforeMark,
    /// C: what a fence spares is left out of the mark.
    SparedIsNotCondemned,
    /// C: an exception to a fence ends with the next one that does not repeat it.
    ExceptionEndsWithItsFence,
    /// C: a missing segment of an old manifest is a reason to look again.
    MissingSegmentRefreshes,
    /// S: nothing is put after a SEAL.
    RefuseAfterSeal,
    /// S: a fold ends before a SEAL.
    FoldStopsAtSeal,
    /// S: the tombstone folds the log up to the SEAL and carries its ring.
    TombstoneFoldsLog,
    /// S: that an incarnation is over says nothing of an entry before its SEAL; the ring does.
    TombstoneIsNoVerdict,
    /// S: a namespace is created again under a new incarnation.
    NewIncarnation,
}

impl Rule {
    /// Every rule.
    pub const ALL: &[Self] = &[
        Self::ConfirmBeforeApply,
        Self::JudgeByPlaceRead,
        Self::StoreRefusesSecondPut,
        Self::ConfirmAfterPut,
        Self::FoldBelowPlaceCommits,
        Self::RingDecides,
        Self::ForgottenIsUnknown,
        Self::EndedIsUnknown,
        Self::ReadBackAfterConflict,
        Self::ConfirmAfterReadBack,
        Self::SamePlaceRetry,
        Self::UnknownOnlyIfSent,
        Self::ConfirmAfterRead,
        Self::RefreshIsOfOneView,
        Self::RefreshBeginsAfterRead,
        Self::SafeAgeBelowGcAge,
        Self::StoreRefusesStaleSwap,
        Self::KeepSegmentsOfUnknownSwap,
        Self::FoldRespectsFence,
        Self::SparingRevivesNobody,
        Self::MarkMustBeOld,
        Self::ListBeforeManifest,
        Self::FenceBeforeMark,
        Self::SparedIsNotCondemned,
        Self::ExceptionEndsWithItsFence,
        Self::MissingSegmentRefreshes,
        Self::RefuseAfterSeal,
        Self::FoldStopsAtSeal,
        Self::TombstoneFoldsLog,
        Self::TombstoneIsNoVerdict,
        Self::NewIncarnation,
    ];
}

/// Which rules hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    removed: Option<Rule>,
}

impl Rules {
    /// All rules but one.
    pub const fn without(rule: Rule) -> Self {
        Self { removed: Some(rule) }
    }

    /// Whether the rule holds.
    pub fn hold(self, rule: Rule) -> bool {
        self.removed != Some(rule)
    }
}
