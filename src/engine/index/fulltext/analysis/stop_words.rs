//! The commonest words of languages: the lists of the Snowball project, and that of Lucene for English
//! (`stop_words/LICENSE`). Languages without a list have no stop words.

use std::sync::OnceLock;

use hashbrown::HashSet;

use crate::types::text::Language;

/// Words in small letters.
pub type StopWords = HashSet<&'static str>;

macro_rules! lists {
    ($($language:ident $file:literal)*) => {
        /// The stop words of a language.
        pub fn stop_words(language: Language) -> Option<&'static StopWords> {
            match language {
                $(Language::$language => {
                    static WORDS: OnceLock<StopWords> = OnceLock::new();
                    Some(WORDS.get_or_init(|| include_str!(concat!("stop_words/", $file)).lines().collect()))
                })*
                _ => None,
            }
        }
    };
}

lists! {
    Danish "danish.txt"
    Dutch "dutch.txt"
    English "english.txt"
    Finnish "finnish.txt"
    French "french.txt"
    German "german.txt"
    Hungarian "hungarian.txt"
    Italian "italian.txt"
    Norwegian "norwegian.txt"
    Portuguese "portuguese.txt"
    Russian "russian.txt"
    Spanish "spanish.txt"
    Swedish "swedish.txt"
}
