//! What an import met besides rows: every object that it did not take is named here.
//!
//! Memory does not grow with their number: the first ones are kept for people, all of them go into
//! the report file as they are met.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::cli::{Failure, progress::say};

/// Objects of a kind that stderr names.
const SHOWN: usize = 20;
/// Names of unknown fields that are kept; a bucket of other things may have any number.
const FIELDS: usize = 20;

/// Why an object is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// It should have been imported and could not be.
    NotImported,
    /// A killed writer left it behind; it never was part of the namespace.
    Leftover,
    /// Something about a namespace that people should know.
    Warning,
}

/// One line of the report.
#[derive(Serialize)]
struct Line<'a> {
    kind: Kind,
    key: &'a str,
    reason: &'a str,
}

/// What was met in one namespace.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    /// Objects that should hold a vector.
    pub vectors: u64,
    /// Objects that were not imported and should have been.
    pub bad: u64,
    /// Objects that were left behind.
    pub leftovers: u64,
    /// Unknown fields, and in how many objects.
    pub ignored: BTreeMap<String, u64>,
}

/// What was met so far.
#[derive(Debug)]
pub(super) struct Findings {
    report: Option<Report>,
    /// The first ones, as stderr shows them.
    bad: Vec<String>,
    leftovers: Vec<String>,
    warnings: Vec<String>,
    total_bad: u64,
    total_leftovers: u64,
    current: Counts,
}

#[derive(Debug)]
struct Report {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<io::Error>,
}

impl Findings {
    /// Begins, with a report file if one is wanted.
    pub fn new(report: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| -> Result<Report, Failure> {
            let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
            Ok(Report { path: path.to_owned(), file: BufWriter::new(file), failed: None })
        };
        Ok(Self {
            report: report.map(open).transpose()?,
            bad: Vec::new(),
            leftovers: Vec::new(),
            warnings: Vec::new(),
            total_bad: 0,
            total_leftovers: 0,
            current: Counts::default(),
        })
    }

    /// An object that should have been imported, and why it was not.
    pub fn bad(&mut self, key: &str, reason: &str) {
        self.current.bad += 1;
        self.total_bad += 1;
        self.write(Kind::NotImported, key, reason);
        if self.bad.len() < SHOWN {
            self.bad.push(format!("not imported: {}: {reason}", shown(key)));
        }
    }

    /// An object that a killed writer left behind.
    pub fn leftover(&mut self, key: &str) {
        self.current.leftovers += 1;
        self.total_leftovers += 1;
        self.write(Kind::Leftover, key, "a killed writer left it behind");
        if self.leftovers.len() < SHOWN {
            self.leftovers.push(format!("leftover of a killed writer, not imported: {}", shown(key)));
        }
    }

    /// Something about a namespace, whose prefix is `key`.
    pub fn warn(&mut self, key: &str, reason: &str) {
        self.write(Kind::Warning, key, reason);
        self.warnings.push(format!("warning: {}: {reason}", shown(key)));
    }

    /// An object that should hold a vector.
    pub fn vector(&mut self) {
        self.current.vectors += 1;
    }

    /// A row that was imported had this field, which Quiver has no place for.
    pub fn ignored(&mut self, field: String) {
        let ignored = &mut self.current.ignored;
        let name = if ignored.len() < FIELDS || ignored.contains_key(&field) { field } else { "…".into() };
        *ignored.entry(name).or_default() += 1;
    }

    /// What was met since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.current)
    }

    /// Whether nothing at all was met.
    pub fn is_clean(&self) -> bool {
        self.total_bad == 0 && self.total_leftovers == 0
    }

    /// Tells people, completes the report file, and returns how many objects were not imported.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let shown = |lines: &[String], total: u64| {
            lines.iter().for_each(|line| say(line));
            let more = total - lines.len() as u64;
            if more > 0 {
                say(&format!("… and {more} more"));
            }
        };
        shown(&self.warnings, self.warnings.len() as u64);
        shown(&self.leftovers, self.total_leftovers);
        shown(&self.bad, self.total_bad);
        if let Some(mut report) = self.report.take() {
            let flushed = report.file.flush().err();
            if let Some(error) = report.failed.take().or(flushed) {
                return Err(cannot_write(&report.path, &error));
            }
        }
        Ok(self.total_bad)
    }

    fn write(&mut self, kind: Kind, key: &str, reason: &str) {
        let Some(report) = self.report.as_mut().filter(|report| report.failed.is_none()) else { return };
        let line = serde_json::to_string(&Line { kind, key, reason }).map_err(io::Error::other);
        report.failed = line.and_then(|line| writeln!(report.file, "{line}")).err();
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}

/// A key on one line: what would break it is escaped.
pub(super) fn shown(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for char in key.chars() {
        match char.is_control() {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    out
}
