//! Reads JSON text piece by piece, without a tree.
//!
//! A filter looks at a few fields of each row's metadata. Objects and arrays are passed over by
//! their brackets and handed out as the text that they are; strings are borrowed unless they have
//! escapes. The text was checked when it was written and is not checked again here: what is passed
//! over may be anything, and what cannot be read is [`Unreadable`], never a panic.

use std::borrow::Cow;

use super::{escapes::unescaped, number::Number};

/// Why text cannot be read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// The result of reading.
pub type Read<T> = Result<T, Unreadable>;

/// A JSON value; what is in an array or object is still text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, without its escapes.
    String(Cow<'a, str>),
    /// An array's text with its brackets.
    Array(&'a str),
    /// An object's text with its braces.
    Object(&'a str),
}

impl<'a> Value<'a> {
    /// The value that `text` is.
    pub fn of(text: &'a str) -> Read<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value that `text` is, if it ends where the value ends: arrays and objects are not read.
    fn of_exactly(text: &'a str) -> Read<Self> {
        match text.as_bytes().first() {
            Some(b'[') => Ok(Self::Array(text)),
            Some(b'{') => Ok(Self::Object(text)),
            _ => Reader { text, at: 0 }.value(),
        }
    }
}

/// A value that was passed over.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Its text.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// The value.
    pub fn read(self) -> Read<Value<'a>> {
        Value::of_exactly(self.0)
    }
}

/// The members of an object or the elements of an array, one after the other.
#[derive(Debug)]
pub struct Items<'a> {
    reader: Reader<'a>,
    is_first: bool,
}

impl<'a> Items<'a> {
    /// Those of `text`, which begins with the opening bracket.
    pub fn of(text: &'a str) -> Self {
        Self { reader: Reader { text, at: 1 }, is_first: true }
    }

    /// The members of an object of which neither the beginning nor the end is known.
    pub fn of_object(text: &'a str) -> Read<Self> {
        let mut reader = Reader { text, at: 0 };
        if reader.take(b'{') {
            Ok(Self { reader, is_first: true })
        } else {
            Err(Unreadable("an object is missing"))
        }
    }

    /// The key of the next member; its value must be taken before the next key.
    pub fn key(&mut self) -> Read<Option<Cow<'a, str>>> {
        Ok(self.written_key()?.map(|(key, _)| key))
    }

    /// The same, and how it is written, with its quotes.
    pub fn written_key(&mut self) -> Read<Option<(Cow<'a, str>, &'a str)>> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        self.reader.skip_space();
        let start = self.reader.at;
        let key = self.reader.string()?;
        let written = self.reader.since(start);
        if !self.reader.take(b':') {
            return Err(Unreadable("a key without a value"));
        }
        Ok(Some((key, written)))
    }

    /// The value of the member whose key was just taken.
    pub fn value(&mut self) -> Read<Value<'a>> {
        self.reader.value()
    }

    /// Passes over that value.
    pub fn skip(&mut self) -> Read<Raw<'a>> {
        self.reader.skip_space();
        let start = self.reader.at;
        self.reader.skip()?;
        Ok(Raw(self.reader.since(start)))
    }

    /// The next element.
    pub fn element(&mut self) -> Read<Option<Value<'a>>> {
        if self.advance(b']')? { self.value().map(Some) } else { Ok(None) }
    }

    /// Checks, after the last of them, that nothing follows.
    pub fn end(mut self) -> Read<()> {
        self.reader.end()
    }

    fn advance(&mut self, close: u8) -> Read<bool> {
        if self.reader.take(close) {
            return Ok(false);
        }
        if !std::mem::take(&mut self.is_first) && !self.reader.take(b',') {
            return Err(Unreadable("a comma is missing"));
        }
        Ok(true)
    }
}

#[derive(Debug)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// Checks that nothing follows.
    fn end(&mut self) -> Read<()> {
        self.skip_space();
        if self.at < self.text.len() { Err(Unreadable("something follows the value")) } else { Ok(()) }
    }

    /// Passes over `byte`, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// The text from `start` to here. All places are beside ASCII characters.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self) -> Read<Value<'a>> {
        self.skip_space();
        let start = self.at;
        match self.byte() {
            Some(b'"') => return self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => return self.number().map(Value::Number),
            _ => self.skip()?,
        }
        match self.since(start) {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            array if array.starts_with('[') => Ok(Value::Array(array)),
            object if object.starts_with('{') => Ok(Value::Object(object)),
            _ => Err(Unreadable("a value is missing")),
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.skip_space();
        if self.byte() != Some(b'"') {
            return Err(Unreadable("a string is missing"));
        }
        let start = self.at + 1;
        let has_escapes = self.skip_string()?;
        let text = self.text.get(start..self.at - 1).unwrap_or_default();
        if has_escapes { unescaped(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
    }

    fn number(&mut self) -> Read<Number> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.byte() {
            self.at += 1;
        }
        Number::parse(self.since(start)).ok_or(Unreadable("a number beyond the range of a 64-bit float"))
    }

    /// Passes over one value.
    fn skip(&mut self) -> Read<()> {
        self.skip_space();
        match self.byte() {
            Some(b'"') => self.skip_string().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => {
                while let Some(byte) = self.byte()
                    && !matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    fn skip_nested(&mut self) -> Read<()> {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Unreadable("an array or object does not end"))
    }

    /// Passes over a string, which begins here; whether it has escapes.
    fn skip_string(&mut self) -> Read<bool> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let length = plain_length(rest);
            self.at += length;
            match rest.get(length) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(_) => {
                    has_escapes = true;
                    self.at += 2;
                }
                None => return Err(Unreadable("a string does not end")),
            }
        }
    }
}

/// How many bytes come before the first quote or backslash. Eight at a time: most of the text of
/// rows is in strings.
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 8).and_then(|word| word.try_into().ok()) {
        let word = u64::from_le_bytes(word);
        let found = bytes_equal(word, b'"') | bytes_equal(word, b'\\');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &bytes[at.min(bytes.len())..];
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// The high bit of each byte of `word` that equals `byte`; above the lowest such byte there may be
/// more bits.
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let differences = word ^ (ONES * u64::from(byte));
    differences.wrapping_sub(ONES) & !differences & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_they_stand() {
        let text = r#" { "a" : [ 1 , -2.5e3 , "x\"y" ] , "\u0062\ud83d\ude00" : null , "c":true } "#;
        let Ok(Value::Object(object)) = Value::of(text) else { panic!("an object") };
        let mut items = Items::of(object);
        assert_eq!(items.key(), Ok(Some("a".into())));
        let Ok(Value::Array(array)) = items.value() else { panic!("an array") };
        assert_eq!(items.key(), Ok(Some("b😀".into())));
        assert_eq!(items.value(), Ok(Value::Null));
        assert_eq!(items.key(), Ok(Some("c".into())));
        assert_eq!(items.skip().and_then(Raw::read), Ok(Value::Bool(true)));
        assert_eq!(items.key(), Ok(None));
        let mut elements = Items::of(array);
        assert_eq!(elements.element(), Ok(Some(Value::Number(Number::Int(1)))));
        assert_eq!(elements.element(), Ok(Some(Value::Number(Number::Float(-2500.0)))));
        assert_eq!(elements.element(), Ok(Some(Value::String("x\"y".into()))));
        assert_eq!(elements.element(), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for bad in
            ["", " ", "nul", "\"", "\"\\", "\"\\ud800\"", "\"\\x\"", "[1", "{", "}", "]", "1e999", "1 2", "-"]
        {
            assert!(Value::of(bad).is_err(), "{bad:?}");
        }
        for bad in ["[1 2]", "[,1]", "[1,]"] {
            let mut items = Items::of(bad);
            let all = std::iter::from_fn(|| items.element().transpose()).take(9);
            assert!(all.collect::<Read<Vec<_>>>().is_err(), "{bad}");
        }
        for bad in ["{\"a\"}", "{1:2}", "{\"a\":1,}", "{\"a\":1 \"b\":2}"] {
            let mut items = Items::of(bad);
            let all = std::iter::from_fn(|| match items.key() {
                Ok(None) => None,
                key => Some(key.and_then(|_| items.value())),
            });
            assert!(all.take(9).collect::<Read<Vec<_>>>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_reads_them(text in any::<String>(), is_ascii: bool) {
            let mut json = serde_json::to_string(&text).unwrap();
            if is_ascii {
                json = json.encode_utf16().map(|unit| match unit {
                    0..=127 => char::from(unit as u8).to_string(),
                    _ => format!("\\u{unit:04x}"),
                }).collect();
            }
            prop_assert_eq!(Value::of(&json), Ok(Value::String(text.into())));
        }

        #[test]
        fn plain_text_ends_at_the_first_quote_or_backslash(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), any::<u8>(), Just(b'#'), Just(b'!')], 0..40)) {
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(plain_length(&bytes), expected.unwrap_or(bytes.len()));
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:\\\\u0-9a-fnul ]{0,40}") {
            let _ = Value::of(&text);
            let (mut members, mut elements) = (Items::of(&text), Items::of(&text));
            while let Ok(Some(_)) = members.key() && members.value().is_ok() {}
            while let Ok(Some(_)) = elements.element() {}
        }
    }
}
