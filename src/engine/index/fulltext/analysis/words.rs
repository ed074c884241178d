//! Words of a text: by the word boundaries of Unicode (UAX #29); in scripts that put nothing between
//! words, each two letters beside each other.
//!
//! There a run of letters is a word for each pair, and one for its last letter alone: so each letter
//! begins one word, and a single one is found as a prefix.

use std::{iter::Peekable, ops::Range};

use unicode_segmentation::{GraphemeIndices, UnicodeSegmentation, UnicodeWordIndices};

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// In bytes of the text.
    pub range: Range<usize>,
    /// What it is.
    pub shape: Shape,
}

/// What a word consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Letters up to a boundary.
    Whole,
    /// Two letters of a script without boundaries.
    Pair,
    /// The last letter of a run of those, after others.
    Last,
    /// The only letter of a run.
    Only,
}

/// The words of a text, in their order.
pub fn words(text: &str) -> Words<'_> {
    Words { text, at: 0, run: Run::Done }
}

/// See [`words`].
pub struct Words<'a> {
    text: &'a str,
    /// Where the next run begins.
    at: usize,
    run: Run<'a>,
}

enum Run<'a> {
    Done,
    Words(usize, UnicodeWordIndices<'a>),
    /// Where the run begins, its letters, and whether one was before the next.
    Pairs(usize, Peekable<GraphemeIndices<'a>>, bool),
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            match &mut self.run {
                Run::Words(start, words) => {
                    if let Some((at, word)) = words.next() {
                        let begin = *start + at;
                        return Some(Word { range: begin..begin + word.len(), shape: Shape::Whole });
                    }
                }
                Run::Pairs(start, letters, is_later) => {
                    if let Some((at, letter)) = letters.next() {
                        let begin = *start + at;
                        let (end, shape) = match letters.peek() {
                            Some((next, second)) => (*start + next + second.len(), Shape::Pair),
                            None if *is_later => (begin + letter.len(), Shape::Last),
                            None => (begin + letter.len(), Shape::Only),
                        };
                        *is_later = true;
                        return Some(Word { range: begin..end, shape });
                    }
                }
                Run::Done => {}
            }
            self.run = self.next_run()?;
        }
    }
}

impl<'a> Words<'a> {
    fn next_run(&mut self) -> Option<Run<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let begins_dense = rest.starts_with(is_dense);
        let length = match begins_dense {
            false => rest.find(is_dense).unwrap_or(rest.len()),
            true => rest.find(|letter| !is_dense(letter) && !is_attached(letter)).unwrap_or(rest.len()),
        };
        let (start, run) = (self.at, &rest[..length]);
        self.at += length;
        Some(match begins_dense {
            false => Run::Words(start, run.unicode_word_indices()),
            true => Run::Pairs(start, run.grapheme_indices(true).peekable(), false),
        })
    }
}

/// A letter of a script that puts nothing between words, or of one whose words have endings that are
/// found best in pairs (Hangul).
fn is_dense(letter: char) -> bool {
    if letter < '\u{e00}' {
        return false;
    }
    matches!(
        letter,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' // Thai
        | '\u{e80}'..='\u{ecf}' | '\u{edc}'..='\u{edf}' // Lao
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}' // Myanmar
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' // Hangul
        | '\u{1780}'..='\u{17d3}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303c}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' // Hiragana
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ffdc}' // Katakana
        | '\u{3105}'..='\u{312f}' // Bopomofo
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
    )
}

/// A mark that belongs to the letter before it.
fn is_attached(letter: char) -> bool {
    matches!(
        letter,
        '\u{3099}' | '\u{309a}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    )
}
