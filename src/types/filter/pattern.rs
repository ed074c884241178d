//! Patterns that text is matched with, all by one engine, whose time grows with the length of the text
//! and of the pattern, never with their powers.

use regex::{Regex, RegexBuilder};

/// Bytes of a pattern.
const MAX_BYTES: usize = 1024;
/// Bytes of a compiled pattern. Room for some tens of Unicode classes such as `\w`.
const COMPILED_BYTES: usize = 1 << 20;
/// Bytes of states that one thread keeps of a pattern.
const CACHE_BYTES: usize = 1 << 18;
/// Groups inside each other.
const MAX_DEPTH: u32 = 64;

/// What a pattern is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// A regular expression, found anywhere in the text.
    Regex,
    /// `*` for any characters and `?` for one; the whole text.
    Glob,
    /// Text, found anywhere, whatever the case of its letters.
    IgnoreCase,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    syntax: Syntax,
    source: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub fn new(syntax: Syntax, source: &str) -> Result<Self, String> {
        if source.len() > MAX_BYTES {
            return Err(format!("a pattern has at most {MAX_BYTES} bytes, this one has {}", source.len()));
        }
        let regex = match syntax {
            Syntax::Regex => compile(source, false)?,
            Syntax::Glob => compile(&glob(source)?, false)?,
            Syntax::IgnoreCase => compile(&regex::escape(source), true)?,
        };
        Ok(Self { syntax, source: source.into(), regex })
    }

    /// What it is written in.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// What was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (self.syntax, &self.source) == (other.syntax, &other.source)
    }
}

impl Eq for Pattern {}

fn compile(source: &str, ignore_case: bool) -> Result<Regex, String> {
    let regex = RegexBuilder::new(source)
        .case_insensitive(ignore_case)
        .size_limit(COMPILED_BYTES)
        .dfa_size_limit(CACHE_BYTES)
        .nest_limit(MAX_DEPTH)
        .build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!(
                "takes more than {COMPILED_BYTES} bytes when compiled; repeat less, or use smaller classes"
            )
        }
        // The syntax error draws the pattern with a mark below; its last line says what is wrong.
        error => {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

/// The regular expression of a glob. A star at an end leaves that end open, which is faster than to
/// match what stands there.
fn glob(source: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut letters = source.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => match letters.next() {
                Some(escaped @ ('*' | '?' | '\\')) => literal(&mut out, escaped),
                _ => return Err(r"a backslash in a glob stands before *, ? or a backslash".into()),
            },
            letter => literal(&mut out, letter),
        }
    }
    let (begin, rest) = out.strip_prefix(".*").map_or((r"\A", &*out), |rest| ("", rest));
    let (rest, end) = rest.strip_suffix(".*").map_or((rest, r"\z"), |rest| (rest, ""));
    Ok(format!("(?s){begin}{rest}{end}"))
}

fn literal(out: &mut String, letter: char) {
    out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::filter::tests::reference::tried;

    fn matches(syntax: Syntax, pattern: &str, text: &str) -> bool {
        Pattern::new(syntax, pattern).unwrap().matches(text)
    }

    #[test]
    fn globs_match_the_whole_text() {
        for (glob, text) in [
            ("*", ""),
            ("a*c", "ac"),
            ("a*c", "a/b\nc"),
            ("?é", "żé"),
            (r"\*\?\\", r"*?\"),
            (r"*.*", "a.b"),
            (r".\*", ".*"),
            ("a.[b]{2}", "a.[b]{2}"),
            ("", ""),
        ] {
            assert!(matches(Syntax::Glob, glob, text), "{glob} and {text}");
        }
        for (glob, text) in [
            ("a", "ab"),
            ("b", "ab"),
            ("?", ""),
            ("?", "ab"),
            ("a.c", "abc"),
            ("", "a"),
            ("A", "a"),
            ("*.*", "ab"),
            (r".\*", ".."),
            ("*b", "ba"),
        ] {
            assert!(!matches(Syntax::Glob, glob, text), "{glob} and {text}");
        }
        assert!(Pattern::new(Syntax::Glob, "a\\").is_err());
        assert!(Pattern::new(Syntax::Glob, "a\\b").is_err());
    }

    #[test]
    fn regular_expressions_are_found_anywhere() {
        assert!(matches(Syntax::Regex, r"b+\d", "xxbb7xx"));
        assert!(matches(Syntax::Regex, "(?i)É", "café"));
        assert!(!matches(Syntax::Regex, "^b", "ab"));
    }

    #[test]
    fn case_is_ignored_in_every_script() {
        for (needle, text) in
            [("", ""), ("STRASSE", "die strasse"), ("Łódź", "łÓDŹ"), ("ΟΔΟΣ", "οδος"), ("a.b", "A.B")]
        {
            assert!(matches(Syntax::IgnoreCase, needle, text), "{needle} and {text}");
        }
        assert!(!matches(Syntax::IgnoreCase, "a.b", "axb"));
    }

    #[test]
    fn costly_patterns_are_refused() {
        let error = |pattern: &str| Pattern::new(Syntax::Regex, pattern).unwrap_err();
        for bad in [r"\w{1000}{1000}", "(((a{100}){100}){100})", "(?:){4294967295}x{4000000}"] {
            assert!(
                error(bad).contains("when compiled") || error(bad).contains("repetition"),
                "{bad}: {}",
                error(bad)
            );
        }
        assert!(error(&"a".repeat(1025)).contains("at most 1024 bytes"));
        assert!(error(&format!("{}a{}", "(".repeat(400), ")".repeat(400))).contains("nest"));
        assert_eq!(error("a(b"), "unclosed group");
        assert!(error(r"(a)\1").contains("backreferences"));
        assert!(error("(?=a)").contains("look-around"));
    }

    /// A pattern on which engines that backtrack take time that doubles with each letter.
    #[test]
    fn no_pattern_takes_exponential_time() {
        let text = "a".repeat(60_000);
        assert!(!matches(Syntax::Regex, "^(a|a)*(a+)+$b", &text));
        assert!(!matches(Syntax::Glob, &format!("{}b", "*a".repeat(100)), &text));
    }

    proptest! {
        #[test]
        fn globs_equal_a_search_by_trying(glob in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            prop_assert_eq!(matches(Syntax::Glob, &glob, &text), tried(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_pattern_panics(source in "\\PC{0,30}|[\\[\\](){}*+?^$|\\\\a-c0-9,:<>-]{0,30}", text in "\\PC*") {
            for syntax in [Syntax::Regex, Syntax::Glob, Syntax::IgnoreCase] {
                if let Ok(pattern) = Pattern::new(syntax, &source) {
                    pattern.matches(&text);
                }
            }
        }
    }
}
