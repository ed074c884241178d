//! What the index knows of a filter: which rows match for certain, and which may.
//!
//! Invariant: `certain` ⊆ the rows that match ⊆ `possible`. It holds for a condition because each of its values
//! is looked up by what the index has of it, and for the logic above because a negation swaps the two.

use std::{borrow::Cow, ops::Range};

use super::{
    file::File,
    key::{
        ARRAY, ELEMENT, EXISTS, KEPT, Key, LONG, NESTED, NULL, NUMBER, OBJECT, SEVERAL, TEXT, TIME, UNSURE,
    },
};
use crate::types::{
    Bits,
    filter::{Bound, Condition, Json, Node, Path, Set, Side, Test, Value, place_in_array},
};

/// What is known of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    certain: Bits,
    /// As `certain` if missing, which saves most filters half of the work.
    possible: Option<Bits>,
}

impl Decided {
    fn exactly(rows: Bits) -> Self {
        Self { certain: rows, possible: None }
    }

    /// Rows that match.
    pub fn certain(&self) -> &Bits {
        &self.certain
    }

    /// Rows that match, and those of which it is not known.
    pub fn possible(&self) -> &Bits {
        self.possible.as_ref().unwrap_or(&self.certain)
    }

    /// Rows that match; and apart from them those of which it is not known, if there may be any.
    pub fn into_parts(self) -> (Bits, Option<Bits>) {
        let Self { certain, possible } = self;
        let open = possible.map(|mut open| {
            open.subtract(&certain);
            open
        });
        (certain, open)
    }

    /// Adds rows of which it is not known.
    fn open(&mut self, rows: &Bits) {
        self.possible.get_or_insert_with(|| self.certain.clone()).add(rows);
    }

    /// Takes back what is known of rows that match.
    fn doubt(&mut self, rows: &Bits) {
        self.possible.get_or_insert_with(|| self.certain.clone());
        self.certain.subtract(rows);
    }

    fn negated(mut self) -> Self {
        self.certain.negate();
        match self.possible {
            None => self,
            Some(mut possible) => {
                possible.negate();
                Self { certain: possible, possible: Some(self.certain) }
            }
        }
    }

    fn and(&mut self, other: &Self) {
        self.join(other, Bits::keep);
    }

    fn or(&mut self, other: &Self) {
        self.join(other, Bits::add);
    }

    fn join(&mut self, other: &Self, join: fn(&mut Bits, &Bits)) {
        if self.possible.is_some() || other.possible.is_some() {
            join(self.possible.get_or_insert_with(|| self.certain.clone()), other.possible());
        }
        join(&mut self.certain, &other.certain);
    }
}

/// What is found of one condition.
struct Found {
    /// Rows that match.
    certain: Bits,
    /// Rows of which it is not known, if there are any; and some that match.
    open: Option<Bits>,
}

impl From<Found> for Decided {
    fn from(found: Found) -> Self {
        let mut decided = Self::exactly(found.certain);
        if let Some(open) = &found.open {
            decided.open(open);
        }
        decided
    }
}

/// What is known of a filter.
pub fn decide(file: &File, node: &Node) -> Decided {
    let mut decided = logic(file, node);
    let root = At { file, keys: file.keys(0) };
    let unsure = root.kind(UNSURE);
    if !unsure.is_empty() {
        let unsure = root.rows(unsure);
        decided.doubt(&unsure);
        decided.open(&unsure);
    }
    decided
}

fn logic(file: &File, node: &Node) -> Decided {
    let all = |nodes: &[Node], start: Bits, join: fn(&mut Decided, &Decided)| {
        let mut decided = Decided::exactly(start);
        nodes.iter().for_each(|node| join(&mut decided, &logic(file, node)));
        decided
    };
    match node {
        Node::All(nodes) => all(nodes, Bits::all(file.rows()), Decided::and),
        Node::Any(nodes) => all(nodes, Bits::none(file.rows()), Decided::or),
        Node::Not(node) => logic(file, node).negated(),
        Node::Condition(condition) => condition_of(file, condition),
    }
}

fn condition_of(file: &File, condition: &Condition) -> Decided {
    let place = find(file, &condition.path);
    let Condition { test, .. } = condition;
    let mut decided = match &place.at {
        Some(at) => at.test(test),
        None => Decided::exactly(Bits::none(file.rows())),
    };
    if let Some(open) = &place.open {
        decided.open(open);
    }
    if test.accepts_nothing() {
        let there = place.at.as_ref().map_or_else(|| Bits::none(file.rows()), |at| at.of_kind(EXISTS));
        let mut there = Decided::exactly(there);
        if let Some(open) = &place.open {
            there.open(open);
        }
        decided.or(&there.negated());
    }
    decided
}

/// Where a path leads to.
struct Place<'f> {
    at: Option<At<'f>>,
    /// Rows in which it may lead elsewhere as well, if there may be any: through a place in an array.
    open: Option<Bits>,
}

fn find<'f>(file: &'f File, path: &Path) -> Place<'f> {
    let (mut at, mut open) = (Some(0), None);
    for part in path.parts() {
        let Some(path) = at else { break };
        if path != 0 && place_in_array(part).is_some() {
            let arrays = At { file, keys: file.keys(path) }.of_kind(ARRAY);
            open.get_or_insert_with(|| Bits::none(file.rows())).add(&arrays);
        }
        at = file.child(path, part);
    }
    Place { at: at.map(|path| At { file, keys: file.keys(path) }), open }
}

/// The keys of one path.
struct At<'f> {
    file: &'f File,
    keys: Range<usize>,
}

impl At<'_> {
    fn none(&self) -> Bits {
        Bits::none(self.file.rows())
    }

    /// The rows of some keys.
    fn rows(&self, keys: Range<usize>) -> Bits {
        let mut rows = self.none();
        self.file.add_rows(keys, &mut rows);
        rows
    }

    /// The keys of a kind.
    fn kind(&self, kind: u8) -> Range<usize> {
        let start = self.start_of(self.keys.clone(), kind);
        start..self.end_of(start..self.keys.end, kind)
    }

    /// Where the keys of a kind begin, among keys of which none comes after it.
    fn start_of(&self, keys: Range<usize>, kind: u8) -> usize {
        self.file.partition(keys, |key| key < &[kind][..])
    }

    /// Where they end, among keys of which none comes before it.
    fn end_of(&self, keys: Range<usize>, kind: u8) -> usize {
        self.file.partition(keys, |key| key < &[kind + 1][..])
    }

    fn of_kind(&self, kind: u8) -> Bits {
        self.rows(self.kind(kind))
    }

    /// A key, if it is there.
    fn key(&self, key: &Key) -> Range<usize> {
        let start = self.file.partition(self.keys.clone(), |other| other < key.bytes());
        let is_there = start < self.keys.end && self.file.key(start) == key.bytes();
        start..start + usize::from(is_there)
    }

    fn test(&self, test: &Test) -> Decided {
        let mut found = Found { certain: self.none(), open: None };
        match test {
            Test::Exists => found.certain = self.of_kind(EXISTS),
            Test::ArrayAny(set) => {
                set.values().iter().for_each(|json| self.add_equal(ELEMENT, json, &mut found))
            }
            Test::ArrayAll(set) => return self.has_all(set),
            test => [0, ELEMENT].into_iter().for_each(|element| self.add_accepted(element, test, &mut found)),
        }
        found.into()
    }

    /// Adds the rows with a value that a test accepts which asks elements of arrays as it asks other values: of
    /// the kinds for elements, or of the others.
    fn add_accepted(&self, element: u8, test: &Test, found: &mut Found) {
        match test {
            Test::OneOf(set) => set.values().iter().for_each(|json| self.add_equal(element, json, found)),
            Test::Compare(side, bound) => self.add_compared(element, *side, bound, found),
            Test::StartsWith(start) => self.add_beginning(element, start, found),
            Test::Contains(_) | Test::EndsWith(_) | Test::Matches(_) => self.add_tested(element, test, found),
            Test::Exists | Test::ArrayAny(_) | Test::ArrayAll(_) => {}
        }
    }

    /// Adds the rows with a value equal to `json`: of the kinds for elements of arrays, or of the others.
    fn add_equal(&self, element: u8, json: &Json, found: &mut Found) {
        let (key, is_exact) = match json {
            Json::Null => (Key::of_kind(element + NULL), true),
            Json::Bool(value) => (Key::of_bool(element, *value), true),
            Json::Number(number) => (Key::of_number(element, number), true),
            Json::String(text) => (Key::of_text(element, text), text.len() <= KEPT),
            Json::Array(_) if element == 0 => (Key::of_kind(ARRAY), false),
            Json::Array(_) => (Key::of_kind(element + NESTED), false),
            Json::Object(_) => (Key::of_kind(element + OBJECT), false),
        };
        self.add(self.key(&key), is_exact, found);
    }

    /// Adds the rows of keys: rows that match, or rows that may.
    fn add(&self, keys: Range<usize>, is_exact: bool, found: &mut Found) {
        let rows = if is_exact { &mut found.certain } else { found.open.get_or_insert_with(|| self.none()) };
        self.file.add_rows(keys, rows);
    }

    /// Rows with an array that has all of these. Where there are several arrays, each may have some.
    fn has_all(&self, set: &Set) -> Decided {
        let mut decided = Decided::exactly(self.of_kind(ARRAY));
        for json in set.values() {
            let mut one = Found { certain: self.none(), open: None };
            self.add_equal(ELEMENT, json, &mut one);
            decided.and(&one.into());
        }
        if set.values().len() > 1 {
            decided.doubt(&self.of_kind(SEVERAL));
        }
        decided
    }

    fn add_compared(&self, element: u8, side: Side, bound: &Bound, found: &mut Found) {
        match bound {
            Bound::Number(number) => {
                let keys = self.on_side(element + NUMBER, side, Key::of_number(element, number).bytes());
                self.add(keys, true, found);
            }
            Bound::Time(time, _) => {
                let keys = self.on_side(element + TIME, side, Key::of_time(element, *time).bytes());
                self.add(keys, true, found);
            }
            Bound::Text(text) => {
                let bytes = text.as_bytes();
                let short = with_kind(element + TEXT, bytes);
                self.add(self.on_side(element + TEXT, side, &short), true, found);
                // Longer text that begins as the bound does may be on either side.
                let long = with_kind(element + LONG, &bytes[..bytes.len().min(KEPT)]);
                let equal = if bytes.len() >= KEPT { self.beginning(&long) } else { 0..0 };
                self.add(equal.clone(), false, found);
                let kind = self.kind(element + LONG);
                let at = self.file.partition(kind.clone(), |key| key < &long[..]);
                let keys = match side {
                    Side::Above | Side::From => at.max(equal.end)..kind.end,
                    Side::Below | Side::UpTo => kind.start..at,
                };
                self.add(keys, true, found);
            }
        }
    }

    /// The keys of a kind on one side of a key.
    fn on_side(&self, kind: u8, side: Side, bound: &[u8]) -> Range<usize> {
        let includes = matches!(side, Side::Above | Side::UpTo);
        let is_before = |key: &[u8]| if includes { key <= bound } else { key < bound };
        let at = self.file.partition(self.keys.clone(), is_before);
        match side {
            Side::Above | Side::From => at..self.end_of(at..self.keys.end, kind),
            Side::Below | Side::UpTo => self.start_of(self.keys.start..at, kind)..at,
        }
    }

    /// The keys that begin so.
    fn beginning(&self, with: &[u8]) -> Range<usize> {
        let start = self.file.partition(self.keys.clone(), |key| key < with);
        let end = self.file.partition(start..self.keys.end, |key| key.starts_with(with));
        start..end
    }

    fn add_beginning(&self, element: u8, start: &str, found: &mut Found) {
        let bytes = start.as_bytes();
        let kept = &bytes[..bytes.len().min(KEPT)];
        let long = with_kind(element + LONG, kept);
        self.add(self.beginning(&long), bytes.len() <= KEPT, found);
        if bytes.len() <= KEPT {
            let short = with_kind(element + TEXT, bytes);
            self.add(self.beginning(&short), true, found);
        }
    }

    /// Tests each text once. What is known of longer text is not enough.
    fn add_tested(&self, element: u8, test: &Test, found: &mut Found) {
        for key in self.kind(element + TEXT) {
            let text = std::str::from_utf8(&self.file.key(key)[1..]).unwrap_or_default();
            let is_accepted = test.accepts(&Value::String(Cow::Borrowed(text))).unwrap_or(false);
            if is_accepted {
                self.add(key..key + 1, true, found);
            }
        }
        let long = self.kind(element + LONG);
        if let Test::Contains(part) = test {
            for key in long.clone().filter(|key| has(&self.file.key(*key)[1..], part.as_bytes())) {
                self.add(key..key + 1, true, found);
            }
        }
        self.add(long, false, found);
    }
}

/// Whether `part` is in `text`.
fn has(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn with_kind(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + bytes.len());
    key.push(kind);
    key.extend_from_slice(bytes);
    key
}
