//! Escapes in JSON strings.

use super::reader::{Read, Unreadable};

/// The string whose text between the quotes is `text`.
pub fn unescaped(text: &str) -> Read<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let letter = escape.bytes().next();
        let (character, length) = match letter {
            Some(b'u') => unicode_escape(escape).ok_or(Unreadable("half of a surrogate pair in a string"))?,
            Some(letter) => (short_escape(letter).ok_or(Unreadable("an unknown escape in a string"))?, 1),
            None => return Err(Unreadable("a string ends in an escape")),
        };
        out.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn short_escape(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The character of `uXXXX`, or of `uXXXX\uXXXX` for a pair of surrogates, and the escape's length.
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let high = unit(1)?;
    if let Some(character) = char::from_u32(u32::from(high)) {
        return Some((character, 5));
    }
    let low = text.get(5..7).filter(|next| *next == "\\u").and_then(|_| unit(7))?;
    let character = char::decode_utf16([high, low]).next()?.ok()?;
    Some((character, 11))
}
