//! Whether what was read of two rows, which one request wrote and one request deletes, can have
//! happened: together or not at all, there once it was acknowledged, gone once that was, never back.

use std::time::Duration;

use crate::register::{Outcome, Span};

/// What happened to two rows that share their fate.
#[derive(Debug, Default)]
pub struct Pair {
    written: Option<(Span, Outcome)>,
    deleted: Option<(Span, Outcome)>,
    reads: Vec<(Span, [bool; 2])>,
}

impl Pair {
    pub fn wrote(&mut self, span: Span, outcome: Outcome) {
        assert!(self.written.replace((span, outcome)).is_none(), "written twice");
    }

    pub fn deleted(&mut self, span: Span, outcome: Outcome) {
        assert!(self.deleted.replace((span, outcome)).is_none(), "deleted twice");
    }

    /// Which of the two rows were there.
    pub fn read(&mut self, rows: [bool; 2], span: Span) {
        self.reads.push((span, rows));
    }

    /// What cannot have happened, if anything.
    pub fn check(&self) -> Result<(), String> {
        let may_be_there_from = match self.written {
            Some(((start, _), outcome)) if outcome != Outcome::Refused => start,
            _ => Duration::MAX,
        };
        let may_be_gone_from = match self.deleted {
            Some(((start, _), outcome)) if outcome != Outcome::Refused => start,
            _ => Duration::MAX,
        };
        for &((_, end), rows) in &self.reads {
            if rows[0] != rows[1] {
                return Err(format!("half a request was read at {end:?}: {rows:?}"));
            }
            if rows[0] && end < may_be_there_from {
                return Err(format!("it was read at {end:?}, but never written or only later"));
            }
        }
        let Some(there) = self.there() else { return Ok(()) };
        for &((start, end), rows) in &self.reads {
            if !rows[0] && start > there && end < may_be_gone_from {
                return Err(format!("it was there at {there:?}, not deleted, and gone at {end:?}"));
            }
        }
        let Some(gone) = self.gone(there) else { return Ok(()) };
        match self.reads.iter().find(|((start, _), rows)| rows[0] && *start > gone) {
            Some(((start, _), _)) => Err(format!("it was gone at {gone:?}, and back at {start:?}")),
            None => Ok(()),
        }
    }

    /// The first moment at which it certainly had been written.
    fn there(&self) -> Option<Duration> {
        let seen = self.reads.iter().filter(|(_, rows)| rows[0]).map(|((_, end), _)| *end);
        seen.chain(acknowledged(self.written)).min()
    }

    /// The first moment at which it certainly had been deleted.
    fn gone(&self, there: Duration) -> Option<Duration> {
        let missed = self.reads.iter().filter(|((start, _), rows)| !rows[0] && *start > there);
        missed.map(|((_, end), _)| *end).chain(acknowledged(self.deleted)).min()
    }
}

fn acknowledged(done: Option<(Span, Outcome)>) -> Option<Duration> {
    done.filter(|(_, outcome)| *outcome == Outcome::Acknowledged).map(|((_, end), _)| end)
}

#[cfg(test)]
mod tests {
    use super::{Outcome::*, *};

    const GONE: [bool; 2] = [false, false];
    const THERE: [bool; 2] = [true, true];

    type Done = Option<(u64, u64, Outcome)>;

    fn check(written: Done, deleted: Done, reads: &[([bool; 2], u64, u64)]) -> Result<(), String> {
        let span = |start, end| (Duration::from_secs(start), Duration::from_secs(end));
        let done = |done: Done| done.map(|(start, end, outcome)| (span(start, end), outcome));
        let reads = reads.iter().map(|&(rows, start, end)| (span(start, end), rows)).collect();
        Pair { written: done(written), deleted: done(deleted), reads }.check()
    }

    #[test]
    fn what_can_have_happened_passes() {
        let (written, deleted) = (Some((2, 5, Acknowledged)), Some((10, 15, Acknowledged)));
        check(
            written,
            deleted,
            &[(GONE, 3, 4), (THERE, 3, 4), (THERE, 6, 7), (THERE, 11, 12), (GONE, 11, 12), (GONE, 16, 17)],
        )
        .unwrap();
        // A delete whose outcome is unknown takes its time.
        check(written, Some((10, 11, Unknown)), &[(THERE, 30, 31), (GONE, 40, 41)]).unwrap();
        check(Some((2, 3, Unknown)), None, &[(GONE, 4, 5), (THERE, 8, 9)]).unwrap();
        check(Some((2, 3, Refused)), None, &[(GONE, 4, 5)]).unwrap();
    }

    #[test]
    fn what_cannot_is_named() {
        let (written, deleted) = (Some((2, 5, Acknowledged)), Some((10, 15, Acknowledged)));
        let wrong = |written, deleted, reads: &[_], part: &str| {
            let error = check(written, deleted, reads).expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        wrong(written, None, &[([true, false], 6, 7)], "half a request");
        wrong(written, deleted, &[(GONE, 6, 7)], "not deleted");
        wrong(written, Some((10, 15, Refused)), &[(GONE, 16, 17)], "not deleted");
        wrong(written, deleted, &[(THERE, 16, 17)], "back");
        wrong(written, Some((10, 15, Unknown)), &[(GONE, 16, 17), (THERE, 18, 19)], "back");
        wrong(Some((2, 3, Refused)), None, &[(THERE, 4, 5)], "never written");
        wrong(Some((2, 3, Unknown)), None, &[(THERE, 4, 5), (GONE, 8, 9)], "not deleted");
        wrong(written, deleted, &[(THERE, 0, 1)], "only later");
    }
}
