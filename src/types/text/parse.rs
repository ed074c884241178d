//! Queries from text: `a "b c" d* e~1 +f -g title:h (i AND NOT j)`.
//!
//! `AND` binds more tightly than what stands side by side, which is the same as `OR`. What cannot be
//! read is refused with its place, never left out.

use super::{
    Clause, Field, Group, Kind, Limits, Part,
    lexer::{Token, tokens},
};
use crate::error::{Error, Result};

/// Reads the query that `text` is. `place` is where it stands in the request.
pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<Group> {
    let source = Source { text, place };
    let tokens = tokens(text).map_err(|(at, message)| source.error(at, message))?;
    let mut parser = Parser { source, limits, tokens, next: 0, parts: 0, counted: (0, 1) };
    let group = parser.group(None, 1)?;
    match parser.peek() {
        None => Ok(group),
        Some(_) => Err(parser.error("this parenthesis has no partner")),
    }
}

/// What is read, for errors.
struct Source<'a> {
    text: &'a str,
    place: &'a str,
}

impl Source<'_> {
    fn error(&self, at: usize, message: &str) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let rest: String = self.text[before.len()..].chars().take(20).collect();
        let found = if rest.is_empty() { "at the end".into() } else { format!("at {rest:?}") };
        Error::invalid(self.place, format!("character {}, {found}: {message}", before.chars().count() + 1))
    }
}

struct Parser<'a> {
    source: Source<'a>,
    limits: &'a Limits,
    tokens: Vec<(usize, Token)>,
    next: usize,
    parts: usize,
    /// A byte, and the number of the character there; the first one is 1.
    counted: (usize, usize),
}

/// Whether something must, should or must not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occur {
    Must,
    Should,
    MustNot,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    /// Passes over `token`, if it is next.
    fn take(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.next += usize::from(is_next);
        is_next
    }

    /// The byte at which the next token begins.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.source.text.len(), |(at, _)| *at)
    }

    /// The number of the character at a byte that is not before the last one that was asked for.
    fn character(&mut self, at: usize) -> usize {
        let (byte, character) = self.counted;
        let between = self.source.text.get(byte..at).unwrap_or_default();
        self.counted = (at, character + between.chars().count());
        self.counted.1
    }

    fn error(&self, message: &str) -> Error {
        self.source.error(self.at(), message)
    }

    /// Parts up to the end or a closing parenthesis.
    fn group(&mut self, field: Option<&Field>, depth: usize) -> Result<Group> {
        if depth > self.limits.depth {
            return Err(self.over("limits.text_query_depth", self.limits.depth, depth));
        }
        let mut group = Group::default();
        let mut is_joined = false;
        while !matches!(self.peek(), None | Some(Token::Close)) {
            let at = self.at();
            let (occur, clause) = self.conjunction(field, depth)?;
            let is_followed = self.take(&Token::Or);
            if (is_joined || is_followed) && occur != Occur::Should {
                return Err(self.source.error(at, "OR joins what may match; +, - and NOT do not go with it"));
            }
            if is_followed && matches!(self.peek(), None | Some(Token::Close)) {
                return Err(self.error("OR needs something after it"));
            }
            group.list(occur).push(clause);
            is_joined = is_followed;
        }
        Ok(group)
    }

    /// Parts with `AND` between them.
    fn conjunction(&mut self, field: Option<&Field>, depth: usize) -> Result<(Occur, Clause)> {
        let first = self.signed(field, depth)?;
        if self.peek() != Some(&Token::And) {
            return Ok(first);
        }
        let mut group = Group::default();
        let mut add = |(occur, clause)| match occur {
            Occur::MustNot => group.must_not.push(clause),
            Occur::Must | Occur::Should => group.must.push(clause),
        };
        add(first);
        while self.take(&Token::And) {
            add(self.signed(field, depth)?);
        }
        Ok((Occur::Should, Clause::Group(group)))
    }

    /// A part with its sign.
    fn signed(&mut self, field: Option<&Field>, depth: usize) -> Result<(Occur, Clause)> {
        let occur = match self.peek() {
            Some(Token::Plus) => Occur::Must,
            Some(Token::Minus | Token::Not) => Occur::MustNot,
            _ => Occur::Should,
        };
        self.next += usize::from(occur != Occur::Should);
        Ok((occur, self.clause(field, depth)?))
    }

    fn clause(&mut self, field: Option<&Field>, depth: usize) -> Result<Clause> {
        let Some((at, token)) = self.tokens.get(self.next).cloned() else {
            return Err(self.error("something to look for is missing"));
        };
        let (kind, text) = match token {
            Token::Word(text) => (Kind::Words, text),
            Token::Phrase(text) => (Kind::Phrase, text),
            Token::Prefix(text) => (Kind::Prefix, text),
            Token::Fuzzy(text, distance) => (Kind::Fuzzy(distance), text),
            Token::Field(name) => {
                if field.is_some() {
                    return Err(self.error("a field within a field"));
                }
                self.next += 1;
                let character = self.character(at);
                return self.clause(Some(&Field { name: name.into(), character }), depth);
            }
            Token::Open => return self.parenthesis(field, depth),
            Token::Close => return Err(self.error("something to look for is missing before the parenthesis")),
            Token::And | Token::Or | Token::Not => {
                return Err(self.error("an operator where something to look for is expected; write it in small letters or quotation marks for the word"));
            }
            Token::Plus | Token::Minus => return Err(self.error("a second sign")),
        };
        self.next += 1;
        self.parts += 1;
        if self.parts > self.limits.terms {
            return Err(self.over("limits.text_query_terms", self.limits.terms, self.parts));
        }
        Ok(Clause::Part(Part { kind, text, field: field.cloned() }))
    }

    fn parenthesis(&mut self, field: Option<&Field>, depth: usize) -> Result<Clause> {
        let at = self.at();
        self.next += 1;
        if self.peek() == Some(&Token::Close) {
            return Err(self.error("nothing is between the parentheses"));
        }
        let group = self.group(field, depth + 1)?;
        if !self.take(&Token::Close) {
            return Err(self
                .source
                .error(at, "this parenthesis has no partner; write \\( for the character"));
        }
        Ok(Clause::Group(group))
    }

    fn over(&self, limit: &'static str, max: usize, actual: usize) -> Error {
        let field = self.source.place.into();
        Error::LimitExceeded { field, limit, max: max as u64, actual: actual as u64 }
    }
}

impl Group {
    fn list(&mut self, occur: Occur) -> &mut Vec<Clause> {
        match occur {
            Occur::Must => &mut self.must,
            Occur::Should => &mut self.should,
            Occur::MustNot => &mut self.must_not,
        }
    }
}
