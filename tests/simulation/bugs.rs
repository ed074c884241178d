//! Where planted bugs are looked for: among the seeds whose theme is what the broken rule is about.

use quiver::planted::{Bug, plant};

use super::scenario::Theme;

/// Seeds within which a bug must be found.
pub const PATIENCE: usize = 1000;

/// In which seeds to look for a bug.
pub fn theme(bug: Bug) -> Theme {
    match bug {
        Bug::FoldClaimsMore | Bug::FoldForgetsDeletes | Bug::MergeForgetsDeletes => Theme::Compaction,
        Bug::TriedOnSuccessor | Bug::WritesAfterSeal | Bug::ReusesIncarnation | Bug::TombstoneForgets => {
            Theme::Lives
        }
        Bug::GhostCounts
        | Bug::FateIsNotJudged
        | Bug::LooksNeverAge
        | Bug::NoFence
        | Bug::SparedIsCondemned => Theme::Garbage,
        Bug::NeverRefreshes => Theme::Idle,
        _ => Theme::Rush,
    }
}

/// Plants the bug that `QUIVER_SIM_BUG` names, if it does, on this thread.
pub fn plant_named() {
    let Ok(name) = std::env::var("QUIVER_SIM_BUG") else { return };
    let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == name);
    plant(Some(*bug.unwrap_or_else(|| panic!("{name} is none of {:?}", Bug::ALL))));
}
