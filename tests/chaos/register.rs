//! Whether what was read of one row can have happened in some order that agrees with time.
//!
//! A row is a register: writes set it, each to a value of its own, and reads return it. Since no two
//! writes have the same value, an exact check takes one sort (Gibbons and Korach, "Testing shared
//! memories", 1997). A write and the reads that return it form a cluster; its zone lies between the
//! first end and the last start in it. The history is linearizable exactly if no read comes before its
//! write, no two forward zones (first end < last start) overlap, and no backward zone lies within a
//! forward one.

use std::{collections::HashMap, time::Duration};

/// Times since the start of the history.
pub type Span = (Duration, Duration);

/// How a write was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Acknowledged,
    /// It had no effect, and never will.
    Refused,
    /// It may have an effect, at any time from its start.
    Unknown,
}

/// What happened to a row.
#[derive(Debug, Default)]
pub struct Register {
    writes: HashMap<u64, (Span, Outcome)>,
    reads: Vec<(Span, Option<u64>)>,
}

struct Cluster {
    first_end: Duration,
    last_start: Duration,
    value: Option<u64>,
}

impl Register {
    pub fn wrote(&mut self, value: u64, span: Span, outcome: Outcome) {
        assert!(self.writes.insert(value, (span, outcome)).is_none(), "value {value} is written twice");
    }

    /// Nothing if there was no row.
    pub fn read(&mut self, value: Option<u64>, span: Span) {
        self.reads.push((span, value));
    }

    /// What cannot have happened, if anything.
    pub fn check(&self) -> Result<(), String> {
        let (mut forward, backward): (Vec<_>, Vec<_>) =
            self.clusters()?.into_iter().partition(|cluster| cluster.first_end < cluster.last_start);
        forward.sort_by_key(|cluster| cluster.first_end);
        for pair in forward.windows(2) {
            if pair[1].first_end < pair[0].last_start {
                return Err(format!(
                    "{:?} was done at {:?} and still there at {:?}, but {:?} was done at {:?} and still there at {:?}",
                    pair[0].value,
                    pair[0].first_end,
                    pair[0].last_start,
                    pair[1].value,
                    pair[1].first_end,
                    pair[1].last_start,
                ));
            }
        }
        for inner in backward {
            let before = forward.partition_point(|outer| outer.first_end < inner.last_start);
            let outer = before.checked_sub(1).map(|index| &forward[index]);
            if let Some(outer) = outer.filter(|outer| inner.first_end < outer.last_start) {
                return Err(format!(
                    "{:?} was written and seen between {:?} and {:?}, when {:?} was there",
                    inner.value, inner.last_start, inner.first_end, outer.value,
                ));
            }
        }
        Ok(())
    }

    /// The writes that are known to have happened, each with its reads.
    fn clusters(&self) -> Result<Vec<Cluster>, String> {
        // Before everything there was no row.
        let zero = Duration::ZERO;
        let mut clusters =
            HashMap::from([(None, Cluster { first_end: zero, last_start: zero, value: None })]);
        for (&value, &((start, end), outcome)) in &self.writes {
            if outcome == Outcome::Acknowledged {
                let cluster = Cluster { first_end: end, last_start: start, value: Some(value) };
                clusters.insert(Some(value), cluster);
            }
        }
        for &((start, end), read) in &self.reads {
            if let Some(value) = read {
                let Some(&((began, _), outcome)) = self.writes.get(&value) else {
                    return Err(format!("{value} was read at {end:?}, which nobody wrote"));
                };
                if outcome == Outcome::Refused {
                    return Err(format!("{value} was read at {end:?}, but its write was refused"));
                }
                if end < began {
                    return Err(format!("{value} was read at {end:?}, and written at {began:?}"));
                }
                let unknown = Cluster { first_end: end, last_start: began, value: read };
                clusters.entry(read).or_insert(unknown);
            }
            let cluster = clusters.get_mut(&read).expect("all values were met");
            cluster.first_end = cluster.first_end.min(end);
            cluster.last_start = cluster.last_start.max(start);
        }
        Ok(clusters.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome::*, *};

    fn span(start: u64, end: u64) -> Span {
        (Duration::from_secs(start), Duration::from_secs(end))
    }

    type Writes<'a> = &'a [(u64, u64, u64, Outcome)];
    type Reads<'a> = &'a [(Option<u64>, u64, u64)];

    fn check(writes: Writes, reads: Reads) -> Result<(), String> {
        let mut register = Register::default();
        writes
            .iter()
            .for_each(|&(value, start, end, outcome)| register.wrote(value, span(start, end), outcome));
        reads.iter().for_each(|&(value, start, end)| register.read(value, span(start, end)));
        register.check()
    }

    #[test]
    fn what_can_have_happened_passes() {
        let (one, two) = ((1, 1, 4, Acknowledged), (2, 5, 8, Acknowledged));
        check(&[], &[(None, 1, 2)]).unwrap();
        // Under way, either is right; afterwards the new one is.
        check(
            &[one, two],
            &[(None, 2, 3), (Some(1), 2, 3), (Some(1), 6, 7), (Some(2), 6, 7), (Some(2), 9, 10)],
        )
        .unwrap();
        // Two at once end in either order.
        let both = [(1, 1, 9, Acknowledged), (2, 1, 9, Acknowledged)];
        check(&both, &[(Some(2), 2, 3), (Some(1), 4, 5), (Some(1), 10, 11)]).unwrap();
        // An unknown one may land at any time, or never.
        let unknown = [one, two, (3, 2, 3, Unknown)];
        check(&unknown, &[(Some(2), 10, 11), (Some(3), 12, 13), (Some(3), 14, 15)]).unwrap();
        check(&unknown, &[(Some(2), 10, 11)]).unwrap();
        check(&[one, (9, 2, 3, Refused)], &[(Some(1), 5, 6)]).unwrap();
    }

    #[test]
    fn what_cannot_is_named() {
        let (one, two) = ((1, 1, 4, Acknowledged), (2, 5, 8, Acknowledged));
        let wrong = |writes: Writes, reads: Reads, part: &str| {
            let error = check(writes, reads).expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        // Lost, and stale.
        wrong(&[one], &[(None, 5, 6)], "when None was there");
        wrong(&[one, two], &[(Some(1), 9, 10)], "when Some(1) was there");
        wrong(&[one, two], &[(Some(2), 6, 6), (Some(1), 7, 7)], "when Some(1) was there");
        // Back and forth.
        let both = [(1, 1, 9, Acknowledged), (2, 1, 9, Acknowledged)];
        wrong(&both, &[(Some(1), 2, 3), (Some(2), 4, 5), (Some(1), 6, 7)], "was there");
        wrong(&[one, two, (3, 2, 3, Unknown)], &[(Some(3), 10, 11), (Some(2), 12, 13)], "was");
        // No effect, and not before its start.
        wrong(&[(9, 2, 3, Refused)], &[(Some(9), 5, 6)], "refused");
        wrong(&[two], &[(Some(2), 1, 2)], "and written at");
        wrong(&[], &[(Some(7), 1, 2)], "nobody wrote");
    }
}
