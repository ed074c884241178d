//! Everything that the clients sent and were told.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    pair::Pair,
    register::{Outcome, Register, Span},
};

/// The history of one namespace.
#[derive(Debug)]
pub struct History {
    began: Instant,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    registers: BTreeMap<String, Register>,
    pairs: BTreeMap<String, Pair>,
    counts: Counts,
    unexpected: Vec<String>,
}

/// Requests by what came of them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub acknowledged: u64,
    pub unknown: u64,
    pub refused: u64,
    pub reads: u64,
    pub failed_reads: u64,
}

/// The two ids of a pair.
pub fn halves(pair: &str) -> [String; 2] {
    ["a", "b"].map(|half| format!("{pair}-{half}"))
}

/// What a read found: by id, the value in the row.
pub type Found = BTreeMap<String, u64>;

impl History {
    pub fn begin() -> Self {
        Self { began: Instant::now(), records: Mutex::default() }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn wrote(&self, registers: &[String], value: u64, span: Span, outcome: Outcome) {
        self.record(|records| {
            records.counts.wrote(outcome);
            for id in registers {
                records.registers.entry(id.clone()).or_default().wrote(value, span, outcome);
            }
        });
    }

    pub fn wrote_pair(&self, pair: &str, span: Span, outcome: Outcome) {
        self.record(|records| {
            records.counts.wrote(outcome);
            records.pairs.entry(pair.to_owned()).or_default().wrote(span, outcome);
        });
    }

    pub fn deleted_pair(&self, pair: &str, span: Span, outcome: Outcome) {
        self.record(|records| {
            records.counts.wrote(outcome);
            records.pairs.entry(pair.to_owned()).or_default().deleted(span, outcome);
        });
    }

    /// One strong read of these rows.
    pub fn read(&self, registers: &[String], pairs: &[String], found: &Found, span: Span) {
        self.record(|records| {
            records.counts.reads += 1;
            for id in registers {
                records.registers.entry(id.clone()).or_default().read(found.get(id).copied(), span);
            }
            for pair in pairs {
                let rows = halves(pair).map(|half| found.contains_key(&half));
                records.pairs.entry(pair.clone()).or_default().read(rows, span);
            }
        });
    }

    /// A strong read of the whole namespace.
    pub fn read_all(&self, found: &Found, span: Span) {
        let (registers, pairs): (Vec<_>, Vec<_>) = self.record(|records| {
            (records.registers.keys().cloned().collect(), records.pairs.keys().cloned().collect())
        });
        let mut known: Vec<String> = pairs.iter().flat_map(|pair| halves(pair)).collect();
        known.extend_from_slice(&registers);
        known.sort();
        for id in found.keys().filter(|id| known.binary_search(id).is_err()) {
            self.unexpected(format!("{id} is there, which nobody wrote"));
        }
        self.read(&registers, &pairs, found, span);
    }

    pub fn could_not_read(&self) {
        self.record(|records| records.counts.failed_reads += 1);
    }

    /// An answer that no client should get.
    pub fn unexpected(&self, what: String) {
        self.record(|records| records.unexpected.push(what));
    }

    pub fn counts(&self) -> Counts {
        self.record(|records| records.counts)
    }

    /// Everything that cannot have happened.
    pub fn violations(&self) -> Vec<String> {
        self.record(|records| {
            let registers = records.registers.iter().map(|(id, register)| (id, register.check()));
            let pairs = records.pairs.iter().map(|(id, pair)| (id, pair.check()));
            let wrong =
                registers.chain(pairs).filter_map(|(id, done)| Some(format!("{id}: {}", done.err()?)));
            records.unexpected.iter().cloned().chain(wrong).collect()
        })
    }

    fn record<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        change(&mut self.records.lock().unwrap())
    }
}

impl Counts {
    fn wrote(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }
}
