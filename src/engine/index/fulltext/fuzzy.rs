//! Terms that differ from another by a few letters: added, left out, other, or two swapped that stand
//! side by side (Damerau's distance, in its restricted form).
//!
//! A row of the table of distances is kept for each letter of the term that is looked at (Wagner and
//! Fischer, "The String-to-String Correction Problem", 1974). If all of a row is too far, so is every
//! term that begins like that; blocks of a dictionary are passed over by what their terms begin with.

use super::{dictionary::Dictionary, file::Damage};

/// A term and how far others may be from it.
#[derive(Debug)]
pub struct Fuzzy {
    letters: Vec<char>,
    distance: usize,
}

impl Fuzzy {
    /// Terms at most so far from `term`.
    pub fn new(term: &str, distance: u8) -> Self {
        Self { letters: term.chars().collect(), distance: distance.into() }
    }

    /// Whether a term is near enough.
    pub fn accepts(&self, term: &[u8]) -> bool {
        let Ok(term) = std::str::from_utf8(term) else { return false };
        // A letter has at most four bytes.
        if term.len() > 4 * (self.letters.len() + self.distance) {
            return false;
        }
        let last = self.last_row(term);
        last.is_some_and(|row| row.last().is_some_and(|distance| *distance <= self.distance))
    }

    /// Whether a block may have a term that is near enough.
    pub fn may_be_in(&self, dictionary: &Dictionary<'_>, block: usize) -> Result<bool, Damage> {
        if block + 1 >= dictionary.blocks() {
            return Ok(true);
        }
        let (first, next) = (dictionary.first(block)?, dictionary.first(block + 1)?);
        // All terms of the block begin with what its first one and the one after it have in common.
        let length = first.iter().zip(next).take_while(|(left, right)| left == right).count();
        let common = &first[..length];
        let common = match std::str::from_utf8(common) {
            Ok(common) => common,
            Err(error) => std::str::from_utf8(&common[..error.valid_up_to()]).unwrap_or_default(),
        };
        Ok(self.last_row(common).is_some())
    }

    /// The distances of the beginnings of the term from `other`; none if all are too large for whatever
    /// begins with `other`.
    fn last_row(&self, other: &str) -> Option<Vec<usize>> {
        let width = self.letters.len() + 1;
        let (mut before, mut last, mut next) =
            (vec![usize::MAX; width], (0..width).collect::<Vec<_>>(), vec![0; width]);
        let mut letter_before = None;
        for letter in other.chars() {
            next[0] = last[0] + 1;
            for at in 1..width {
                let same = usize::from(self.letters[at - 1] != letter);
                next[at] = (last[at - 1] + same).min(last[at] + 1).min(next[at - 1] + 1);
                let is_swapped =
                    at > 1 && Some(self.letters[at - 1]) == letter_before && self.letters[at - 2] == letter;
                if is_swapped {
                    next[at] = next[at].min(before[at - 2] + 1);
                }
            }
            // A swap reaches back over one row.
            if next.iter().chain(&last).all(|distance| *distance > self.distance) {
                return None;
            }
            (before, last, next) = (last, next, before);
            letter_before = Some(letter);
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_letter_counts_one() {
        for (left, right, distance) in [
            ("", "", 0),
            ("house", "house", 0),
            ("house", "hose", 1),
            ("house", "houuse", 1),
            ("house", "mouse", 1),
            ("house", "huose", 1),
            ("house", "huos", 2),
            ("house", "ouseh", 2),
            ("ca", "abc", 3),
            ("größe", "grösse", 2),
            ("東京", "東都", 1),
            ("a", "", 1),
            ("", "ab", 2),
            ("abcd", "badc", 2),
        ] {
            for allowed in 0..4 {
                let (forth, back) = (Fuzzy::new(left, allowed), Fuzzy::new(right, allowed));
                assert_eq!(
                    forth.accepts(right.as_bytes()),
                    usize::from(allowed) >= distance,
                    "{left} {right} {allowed}"
                );
                assert_eq!(
                    back.accepts(left.as_bytes()),
                    usize::from(allowed) >= distance,
                    "{right} {left} {allowed}"
                );
            }
        }
        assert!(!Fuzzy::new("a", 2).accepts(&[0xff]));
    }
}
