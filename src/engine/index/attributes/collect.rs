//! The keys of a run of rows, gathered and sorted.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{
    key::{Key, SEVERAL, UNSURE},
    walk::{Found, walk},
};

/// No row.
const NONE: u32 = u32::MAX;

/// A path by the one that it continues, and how.
pub type Step = (u32, Box<str>);

/// Gathers the keys of rows, which come in ascending order.
#[derive(Default)]
pub struct Collector {
    row: u32,
    paths: Paths,
    /// The last row that had a value at each path.
    seen: Vec<u32>,
    keys: Vec<Place>,
    bytes: Vec<u8>,
    /// Keys by path and bytes.
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The last row that had each key.
    last: Vec<u32>,
    /// Keys and the rows that have them.
    postings: Vec<(u32, u32)>,
}

/// A key: its path, and where its bytes are.
#[derive(Clone, Copy)]
struct Place {
    path: u32,
    at: u32,
    length: u8,
}

/// The sorted keys of a run of rows.
pub struct Run {
    /// The paths, each after the one that it continues; the first is the root.
    pub paths: Vec<Step>,
    /// Sorted by path, then by their bytes.
    keys: Vec<Place>,
    bytes: Vec<u8>,
    /// Where the rows of each key begin, and where those of the last end.
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Collector {
    /// Adds a row by its metadata.
    pub fn add(&mut self, row: u32, metadata: Option<&str>) {
        self.row = row;
        if let Some(object) = metadata
            && walk(object, self).is_err()
        {
            self.key(0, &Key::of_kind(UNSURE));
        }
    }

    /// Sorts what was gathered.
    pub fn finish(self) -> Run {
        let Self { paths, keys, bytes, postings, .. } = self;
        let of = |place: &Place| (place.path, &bytes[place.at as usize..][..usize::from(place.length)]);
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by(|left, right| of(&keys[*left as usize]).cmp(&of(&keys[*right as usize])));
        let mut ranks = vec![0; keys.len()];
        order.iter().enumerate().for_each(|(rank, key)| ranks[*key as usize] = rank);
        let mut starts = vec![0_u32; keys.len() + 1];
        postings.iter().for_each(|(key, _)| starts[ranks[*key as usize] + 1] += 1);
        for rank in 0..keys.len() {
            starts[rank + 1] += starts[rank];
        }
        let mut rows = vec![0; postings.len()];
        let mut next = starts.clone();
        for (key, row) in postings {
            let next = &mut next[ranks[key as usize]];
            rows[*next as usize] = row;
            *next += 1;
        }
        let keys = order.iter().map(|key| keys[*key as usize]).collect();
        Run { paths: paths.steps, keys, bytes, starts, rows }
    }
}

impl Found for Collector {
    fn child(&mut self, parent: u32, key: &str) -> u32 {
        self.paths.child(parent, key)
    }

    fn value(&mut self, path: u32) {
        self.seen.resize(self.seen.len().max(path as usize + 1), NONE);
        if std::mem::replace(&mut self.seen[path as usize], self.row) == self.row {
            self.key(path, &Key::of_kind(SEVERAL));
        }
    }

    fn key(&mut self, path: u32, key: &Key) {
        let (keys, bytes, key) = (&self.keys, &self.bytes, key.bytes());
        let of = |number: u32| {
            let place = keys[number as usize];
            (place.path, &bytes[place.at as usize..][..usize::from(place.length)])
        };
        let hash = self.hasher.hash_one((path, key));
        let number = match self.known.find(hash, |known| of(*known) == (path, key)) {
            Some(number) => *number,
            None => {
                let number = keys.len() as u32;
                self.known.insert_unique(hash, number, |known| self.hasher.hash_one(of(*known)));
                self.keys.push(Place { path, at: bytes.len() as u32, length: key.len() as u8 });
                self.bytes.extend_from_slice(key);
                self.last.push(NONE);
                number
            }
        };
        if std::mem::replace(&mut self.last[number as usize], self.row) != self.row {
            self.postings.push((number, self.row));
        }
    }
}

impl Run {
    /// The keys of paths: of which, and the numbers of the keys.
    pub fn by_path(&self) -> impl Iterator<Item = (u32, std::ops::Range<usize>)> + '_ {
        let mut start = 0;
        self.keys.chunk_by(|left, right| left.path == right.path).map(move |keys| {
            start += keys.len();
            (keys[0].path, start - keys.len()..start)
        })
    }

    /// The bytes of a key.
    pub fn key(&self, key: usize) -> &[u8] {
        let place = self.keys[key];
        &self.bytes[place.at as usize..][..usize::from(place.length)]
    }

    /// The rows that have a key, ascending.
    pub fn rows(&self, key: usize) -> &[u32] {
        &self.rows[self.starts[key] as usize..self.starts[key + 1] as usize]
    }
}

/// Paths, numbered as they come.
pub struct Paths {
    /// Each after the one that it continues.
    pub steps: Vec<Step>,
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Default for Paths {
    /// The root alone.
    fn default() -> Self {
        Self { steps: vec![(0, "".into())], known: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl Paths {
    /// The number of a path.
    pub fn child(&mut self, parent: u32, key: &str) -> u32 {
        let hash = self.hasher.hash_one((parent, key));
        let (steps, hasher) = (&self.steps, &self.hasher);
        let is_same = |known: &u32| {
            let (other, name) = &steps[*known as usize];
            *other == parent && **name == *key
        };
        if let Some(number) = self.known.find(hash, is_same) {
            return *number;
        }
        let number = steps.len() as u32;
        self.known.insert_unique(hash, number, |known| {
            let (parent, key) = &steps[*known as usize];
            hasher.hash_one((*parent, &**key))
        });
        self.steps.push((parent, key.into()));
        number
    }
}
