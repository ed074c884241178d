//! Letters that resemble an ASCII letter, as that letter.
//!
//! Marks go where they stand on an ASCII letter (`é`, `ầ`); letters of other scripts keep theirs, for
//! there they make another letter (`й`, `が`).

use unicode_normalization::UnicodeNormalization;

/// Letters that have no decomposition, and what they are written as.
const LETTERS: [(char, &str); 32] = [
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ø', "o"),
    ('Ø', "O"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "TH"),
    ('ł', "l"),
    ('Ł', "L"),
    ('ı', "i"),
    ('ħ', "h"),
    ('Ħ', "H"),
    ('ŋ', "n"),
    ('Ŋ', "N"),
    ('ŧ', "t"),
    ('Ŧ', "T"),
    ('ĸ', "k"),
    ('ƒ', "f"),
    ('ə', "a"),
    ('Ə', "A"),
    ('ɓ', "b"),
    ('ɗ', "d"),
    ('ƙ', "k"),
    ('ǝ', "e"),
    ('ʼ', "'"),
];

/// Appends `word` to `out` with its letters folded.
pub fn fold(word: &str, out: &mut String) {
    for letter in word.chars() {
        let is_on_ascii = out.ends_with(|last: char| last.is_ascii_alphabetic());
        if letter.is_ascii() {
            out.push(letter);
        } else if let Some((_, written)) = LETTERS.iter().find(|(from, _)| *from == letter) {
            out.push_str(written);
        } else if !(is_on_ascii && is_mark(letter)) {
            // What a letter with a mark decomposes into begins with the letter.
            let base = [letter].into_iter().nfd().next().filter(char::is_ascii_alphabetic);
            out.push(base.unwrap_or(letter));
        }
    }
}

/// A mark that stands on Latin letters, among others.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}')
}
