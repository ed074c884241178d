//! Building an index.
//!
//! Rows are read in parallel, a run of them at a time. What a run gives is written down sorted by term,
//! compactly, and in the end the runs are merged, term by term in the order of the rows: so the bytes are
//! the same whatever the threads did. At no time is more in memory than about three times the index (what
//! runs give, and what they are merged into, which grows by doubling) and what [`RUN_BYTES`] of text per thread
//! become.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use hashbrown::HashMap;
use rayon::prelude::*;

use super::{
    analysis::{Analyzer, words},
    dictionary::{self, Entry},
    extract::Extractor,
    file::{self, Damage, FieldParts, TooLarge},
    length, postings, varint,
};
use crate::{
    engine::index::RowSource,
    error::{Error, Result},
    types::text::FulltextParams,
};

/// Rows of a task.
const TASK_ROWS: usize = 1 << 14;
/// Bytes of text of a run, at least, unless the task ends before.
const RUN_BYTES: usize = 16 << 20;
/// Positions between the texts of a field, so that no phrase begins in one and ends in the next.
pub const GAP: u32 = 100;

/// Rows with metadata.
pub trait MetadataSource: Sync {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The metadata of a row, JSON text of an object.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is damaged.
    fn metadata(&self, row: usize) -> Result<Option<&str>>;
}

/// The metadata of rows that have vectors as well.
pub struct MetadataOf<'a>(pub &'a dyn RowSource);

impl std::fmt::Debug for MetadataOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataOf").finish_non_exhaustive()
    }
}

impl MetadataSource for MetadataOf<'_> {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn metadata(&self, row: usize) -> Result<Option<&str>> {
        self.0.metadata(row as u32)
    }
}

/// Builds an index over all rows, on the threads of the pool that this is called on. The same rows and
/// parameters give the same bytes.
///
/// # Errors
/// [`Error::Corrupt`] if a row is damaged, [`Error::Internal`] if there are more rows or longer texts than one
/// index can be over.
pub fn build(rows: &dyn MetadataSource, params: &FulltextParams) -> Result<Vec<u8>> {
    let (analyzer, extractor) = (Analyzer::new(params), Extractor::new(params).map_err(Error::internal)?);
    let count = file::place(rows.rows())?;
    let tasks = rows.rows().div_ceil(TASK_ROWS);
    let runs: Vec<Vec<Run>> = (0..tasks)
        .into_par_iter()
        .map(|task| {
            let range = task * TASK_ROWS..((task + 1) * TASK_ROWS).min(rows.rows());
            runs(rows, range, &analyzer, &extractor, params.fields.len())
        })
        .collect::<Result<_>>()?;
    let runs: Vec<Run> = runs.into_iter().flatten().collect();
    let fields =
        (0..params.fields.len()).into_par_iter().map(|field| merge(&runs, field)).collect::<Result<_>>()?;
    drop(runs);
    Ok(file::write(params, count, fields))
}

/// What some rows give, for each field.
struct Run {
    fields: Vec<RunField>,
}

/// Terms, sorted, as bytes: for each its length and itself, its rows, the sizes of its postings and of
/// its positions, and these. Postings are distances of rows (from the first of the run) and counts.
struct RunField {
    first_row: u32,
    terms: Vec<u8>,
    lengths: Vec<u32>,
}

fn runs(
    rows: &dyn MetadataSource,
    range: Range<usize>,
    analyzer: &Analyzer,
    extractor: &Extractor,
    fields: usize,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut collector = Collector::new(range.start, fields);
    for row in range.clone() {
        if let Some(metadata) = rows.metadata(row)? {
            extractor.visit(metadata, &mut |field, text| collector.text(analyzer, field, text));
        }
        collector.end_row();
        if collector.bytes >= RUN_BYTES && row + 1 < range.end {
            runs.push(std::mem::replace(&mut collector, Collector::new(row + 1, fields)).finish());
        }
    }
    runs.push(collector.finish());
    Ok(runs)
}

/// Collects the terms of a run.
struct Collector {
    first_row: u32,
    rows: u32,
    bytes: usize,
    /// The number of each word's term; none if it has no term.
    words: HashMap<Box<str>, Option<u32>>,
    numbers: HashMap<Box<str>, u32>,
    fields: Vec<Inverted>,
    term: String,
}

/// What a run gives for a field.
#[derive(Default)]
struct Inverted {
    /// By the number of the term.
    lists: Vec<List>,
    lengths: Vec<u32>,
    /// The terms of the row that is read, with their positions.
    row: Vec<(u32, u32)>,
    next_position: u32,
}

#[derive(Default, Clone)]
struct List {
    rows: u32,
    next_row: u32,
    postings: Vec<u8>,
    positions: Vec<u8>,
}

impl Collector {
    fn new(first_row: usize, fields: usize) -> Self {
        Self {
            first_row: first_row as u32,
            rows: 0,
            bytes: 0,
            words: HashMap::new(),
            numbers: HashMap::new(),
            fields: std::iter::repeat_with(Inverted::default).take(fields).collect(),
            term: String::new(),
        }
    }

    fn text(&mut self, analyzer: &Analyzer, field: usize, text: &str) {
        self.bytes += text.len();
        let start = self.fields[field].next_position;
        let mut end = start;
        for word in words(text) {
            if let Some(number) = self.number(analyzer, &text[word.range]) {
                self.fields[field].row.push((number, end));
            }
            end += 1;
        }
        if end > start {
            self.fields[field].next_position = end + GAP;
        }
    }

    /// The number of a word's term.
    fn number(&mut self, analyzer: &Analyzer, word: &str) -> Option<u32> {
        if let Some(number) = self.words.get(word) {
            return *number;
        }
        let number = analyzer.term(word, &mut self.term).then(|| match self.numbers.get(&*self.term) {
            Some(number) => *number,
            None => {
                let next = self.numbers.len() as u32;
                self.numbers.insert(self.term.as_str().into(), next);
                next
            }
        });
        self.words.insert(word.into(), number);
        number
    }

    fn end_row(&mut self) {
        for field in &mut self.fields {
            field.end_row(self.rows);
        }
        self.rows += 1;
    }

    fn finish(self) -> Run {
        let mut terms: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        terms.sort_unstable();
        let fields = self.fields.into_iter().map(|field| field.finish(&terms, self.first_row)).collect();
        Run { fields }
    }
}

impl Inverted {
    fn end_row(&mut self, row: u32) {
        self.row.sort_unstable();
        for same in self.row.chunk_by(|left, right| left.0 == right.0) {
            let number = same[0].0 as usize;
            if number >= self.lists.len() {
                self.lists.resize(number + 1, List::default());
            }
            self.lists[number].push(row, same);
        }
        self.lengths.push(self.row.len() as u32);
        self.row.clear();
        self.next_position = 0;
    }

    fn finish(self, terms: &[(Box<str>, u32)], first_row: u32) -> RunField {
        let mut out = Vec::new();
        for (term, number) in terms {
            let Some(list) = self.lists.get(*number as usize).filter(|list| list.rows > 0) else { continue };
            varint::write(term.len() as u64, &mut out);
            out.extend_from_slice(term.as_bytes());
            for number in [list.rows as usize, list.postings.len(), list.positions.len()] {
                varint::write(number as u64, &mut out);
            }
            out.extend_from_slice(&list.postings);
            out.extend_from_slice(&list.positions);
        }
        out.shrink_to_fit();
        RunField { first_row, terms: out, lengths: self.lengths }
    }
}

impl List {
    fn push(&mut self, row: u32, occurrences: &[(u32, u32)]) {
        varint::write(u64::from(row - self.next_row), &mut self.postings);
        varint::write(occurrences.len() as u64, &mut self.postings);
        let mut last = 0;
        for (_, position) in occurrences {
            varint::write(u64::from(position - last), &mut self.positions);
            last = *position;
        }
        self.rows += 1;
        self.next_row = row + 1;
    }
}

/// The term that a run is at.
struct Listed<'a> {
    term: &'a [u8],
    rows: u32,
    postings: &'a [u8],
    positions: &'a [u8],
}

impl<'a> Listed<'a> {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let length = varint::read_u32(bytes)? as usize;
        let term = varint::take(bytes, length)?;
        let rows = varint::read_u32(bytes)?;
        let (postings, positions) = (varint::read(bytes)? as usize, varint::read(bytes)? as usize);
        Some(Self {
            term,
            rows,
            postings: varint::take(bytes, postings)?,
            positions: varint::take(bytes, positions)?,
        })
    }
}

/// One field of all runs.
fn merge(runs: &[Run], field: usize) -> Result<FieldParts> {
    let fields: Vec<&RunField> = runs.iter().map(|run| &run.fields[field]).collect();
    let mut rest: Vec<&[u8]> = fields.iter().map(|field| &field.terms[..]).collect();
    let mut current: Vec<Option<Listed<'_>>> = rest.iter_mut().map(Listed::take).collect();
    let next = |listed: &Option<Listed<'_>>, run: usize| {
        listed.as_ref().map(|listed| Reverse((listed.term.to_vec(), run)))
    };
    let mut heap: BinaryHeap<_> =
        current.iter().enumerate().filter_map(|(run, listed)| next(listed, run)).collect();
    let mut merged = Merged {
        lengths: fields.iter().flat_map(|field| field.lengths.iter().copied()).collect(),
        ..Merged::default()
    };
    while let Some(Reverse((term, run))) = heap.pop() {
        if let Some(listed) = current[run].take() {
            merged.add(&listed, fields[run].first_row).ok_or(Damage("a run is damaged"))?;
        }
        current[run] = Listed::take(&mut rest[run]);
        heap.extend(next(&current[run], run));
        if heap.peek().is_none_or(|Reverse((following, _))| *following != term) {
            merged.end_term(&term)?;
        }
    }
    Ok(merged.finish())
}

#[derive(Default)]
struct Merged {
    lengths: Vec<u32>,
    dictionary: dictionary::Writer,
    writer: postings::Writer,
    postings: Vec<u8>,
    positions: Vec<u8>,
    /// Where the positions of the term begin.
    positions_start: usize,
}

impl Merged {
    fn add(&mut self, listed: &Listed<'_>, first_row: u32) -> Option<()> {
        let (mut postings, mut row) = (listed.postings, first_row);
        let mut positions = listed.positions;
        for _ in 0..listed.rows {
            row += varint::read_u32(&mut postings)?;
            let count = varint::read_u32(&mut postings)?;
            let length = length::to_byte(*self.lengths.get(row as usize)?);
            self.writer.push(row, count, length, self.positions.len() - self.positions_start);
            let before = positions;
            (0..count).try_for_each(|_| varint::read(&mut positions).map(|_| ()))?;
            self.positions.extend_from_slice(&before[..before.len() - positions.len()]);
            row += 1;
        }
        Some(())
    }

    fn end_term(&mut self, term: &[u8]) -> Result<(), TooLarge> {
        let (rows, start) = (self.writer.rows(), self.postings.len());
        self.writer.finish(&mut self.postings)?;
        let (postings, positions) = (start..self.postings.len(), self.positions_start..self.positions.len());
        self.dictionary.push(term, &Entry { rows, postings, positions })?;
        self.positions_start = self.positions.len();
        Ok(())
    }

    fn finish(self) -> FieldParts {
        let dictionary::Writer { table, blocks, terms, .. } = self.dictionary;
        FieldParts { lengths: self.lengths, terms, parts: [table, blocks, self.postings, self.positions] }
    }
}
