//! From texts to terms: the same for rows and queries.
//!
//! A text is cut into words ([`words`]). A word is brought into one form (Unicode NFKC, small letters),
//! left out if it is a stop word, stemmed, and its letters are folded ([`fold`]). Stemming comes before
//! folding because stems depend on accents. A word that is left out keeps its position, so phrases fit
//! around it.

mod fold;
mod stop_words;
mod words;

use std::ops::Range;

use frostem::{Algorithm, Stemmer};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use self::stop_words::StopWords;
pub use self::words::{Shape, Word, words};
use crate::types::text::{FulltextParams, Language};

/// Bytes of a term. Longer ones are left out, like stop words.
pub const MAX_TERM: usize = 255;

/// Bytes of a word that is looked at: what is longer cannot become a term that is short enough.
const MAX_WORD: usize = 4 * MAX_TERM;

/// Turns words into terms.
#[derive(Clone)]
pub struct Analyzer {
    stemmer: Option<Stemmer>,
    stop_words: Option<&'static StopWords>,
    folds: bool,
    lowers: bool,
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyzer").finish_non_exhaustive()
    }
}

/// A term of a text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The term.
    pub term: String,
    /// How many words are before it.
    pub position: u32,
    /// Its word, in bytes of the text.
    pub range: Range<usize>,
    /// What its word is.
    pub shape: Shape,
}

impl Analyzer {
    /// The analyzer for parameters.
    pub fn new(params: &FulltextParams) -> Self {
        Self {
            stemmer: algorithm(params.language).filter(|_| params.stemming).map(Stemmer::new),
            stop_words: stop_words::stop_words(params.language).filter(|_| params.stop_words),
            folds: params.ascii_folding,
            lowers: !params.case_sensitive,
        }
    }

    /// Puts the term of a word into `term`; whether there is one.
    pub fn term(&self, word: &str, term: &mut String) -> bool {
        term.clear();
        if word.len() > MAX_WORD {
            return false;
        }
        let word = self.normalized(word);
        if self.stop_words.is_some_and(|stop_words| stop_words.contains(&*word)) {
            return false;
        }
        match &self.stemmer {
            Some(stemmer) => self.folded(&stemmer.stem(&word), term),
            None => self.folded(&word, term),
        }
        !term.is_empty() && term.len() <= MAX_TERM
    }

    /// The term that the terms of words begin with which begin with `word`: not stemmed.
    pub fn prefix(&self, word: &str) -> String {
        let mut prefix = String::new();
        self.folded(&self.normalized(word), &mut prefix);
        prefix
    }

    /// The terms of a text.
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        let (mut tokens, mut term) = (Vec::new(), String::new());
        for (position, word) in words(text).enumerate() {
            if self.term(&text[word.range.clone()], &mut term) {
                let Word { range, shape } = word;
                tokens.push(Token { term: term.clone(), position: position as u32, range, shape });
            }
        }
        tokens
    }

    fn normalized(&self, word: &str) -> String {
        if word.is_ascii() {
            return if self.lowers { word.to_ascii_lowercase() } else { word.to_owned() };
        }
        let mut normal = match is_nfkc_quick(word.chars()) {
            IsNormalized::Yes => word.to_owned(),
            _ => word.nfkc().collect(),
        };
        if self.lowers {
            normal = normal.to_lowercase().replace('ς', "σ");
        }
        // The apostrophe that stemmers know.
        normal.replace('’', "'")
    }

    fn folded(&self, word: &str, term: &mut String) {
        if self.folds && !word.is_ascii() { fold::fold(word, term) } else { term.push_str(word) }
    }
}

macro_rules! algorithms {
    ($($language:ident)*) => {
        fn algorithm(language: Language) -> Option<Algorithm> {
            match language {
                $(Language::$language => Some(Algorithm::$language),)*
                Language::None => None,
            }
        }
    };
}

algorithms! {
    Arabic Armenian Basque Catalan Czech Danish Dutch English Esperanto Estonian Finnish French German
    Greek Hindi Hungarian Indonesian Irish Italian Lithuanian Nepali Norwegian Persian Polish Portuguese
    Romanian Russian Serbian Spanish Swedish Tamil Turkish Yiddish
}

#[cfg(test)]
mod tests;
