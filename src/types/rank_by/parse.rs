//! Rankings from JSON: arrays whose first word, or second after the name of a field, is a function.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Limits, Near, OrderBy, RankBy, Score, Words};
use crate::{
    error::{Error, Result},
    types::filter::{Items, Number, Path, Unreadable, Value},
};

/// What may stand there.
const FORMS: &str = r#"["ANN", vector], ["kNN", vector], ["BM25", text], [field, "BM25", text], ["Sum", [rankings]], ["Max", [rankings]], ["Product", factor, ranking]"#;
/// What may stand there if it is not a part of another.
const ORDERS: &str = r#"[field, "asc"], [field, "desc"] or an array of these"#;

/// Reads the ranking that `text` is. `place` is where it stands in the request.
pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<RankBy> {
    let words = whole(text, place, limits)?;
    match &*words {
        [Value::Array(_), ..] => orders_of(place, &words, limits).map(RankBy::Order),
        // The name of a function stands for the function here, and for a field in an array of orders.
        [Value::String(name), ..] if is_function(name) => score(place, &words, limits),
        _ => match order(place, &words)? {
            Some(order) => Ok(RankBy::Order(vec![order])),
            None => score(place, &words, limits),
        },
    }
}

/// Reads the order of fields that `text` is.
pub fn parse_order(text: &str, place: &str, limits: &Limits) -> Result<Vec<OrderBy>> {
    let words = whole(text, place, limits)?;
    match &*words {
        [Value::Array(_), ..] => orders_of(place, &words, limits),
        _ => match order(place, &words)? {
            Some(order) => Ok(vec![order]),
            None => Err(Error::invalid(place, format!("is no order; expected {ORDERS}"))),
        },
    }
}

/// The elements of the array that `text` is.
fn whole<'a>(text: &'a str, place: &str, limits: &Limits) -> Result<Vec<Value<'a>>> {
    // Syntax is checked as a whole first, without recursion; the reader below takes it for granted.
    serde_json::from_str::<&RawValue>(text)
        .map_err(|error| Error::invalid(place, format!("malformed JSON: {error}")))?;
    let value = Value::of(text).map_err(|reason| unreadable(place, reason))?;
    elements(place, &value, limits)
}

fn score(place: &str, words: &[Value<'_>], limits: &Limits) -> Result<RankBy> {
    Parser { limits, parts: 0, texts: 0 }.score(place, words, 1).map(RankBy::Score)
}

/// Fields with their directions, one after the other.
fn orders_of(place: &str, orders: &[Value<'_>], limits: &Limits) -> Result<Vec<OrderBy>> {
    let mut parser = Parser { limits, parts: 0, texts: 0 };
    let orders = orders.iter().enumerate().map(|(at, value)| {
        let place = format!("{place}[{at}]");
        parser.part(&place)?;
        let words = elements(&place, value, limits)?;
        order(&place, &words)?.ok_or_else(|| wrong(&place, r#"[field, "asc"] or [field, "desc"]"#))
    });
    orders.collect()
}

/// A field with its direction, if it is one.
fn order(place: &str, words: &[Value<'_>]) -> Result<Option<OrderBy>> {
    let [Value::String(field), Value::String(direction)] = words else { return Ok(None) };
    if !matches!(&**direction, "asc" | "desc") {
        return Ok(None);
    }
    let field = path(&format!("{place}[0]"), field)?;
    Ok(Some(OrderBy { field, descending: direction == "desc" }))
}

fn is_function(word: &str) -> bool {
    matches!(word, "ANN" | "kNN" | "BM25" | "Sum" | "Max" | "Product")
}

struct Parser<'a> {
    limits: &'a Limits,
    parts: usize,
    texts: usize,
}

impl Parser<'_> {
    /// A score, given as the elements of its array.
    fn score(&mut self, place: &str, words: &[Value<'_>], depth: usize) -> Result<Score> {
        self.part(place)?;
        if depth > self.limits.depth {
            let message = format!("is nested more than {} deep", self.limits.depth);
            return Err(Error::invalid(place, message));
        }
        let at = |word: usize| format!("{place}[{word}]");
        match words {
            [Value::String(name), rest @ ..] if is_function(name) => match (&**name, rest) {
                ("ANN", [vector]) => self.near(&at(1), vector, false),
                ("kNN", [vector]) => self.near(&at(1), vector, true),
                ("BM25", [query]) => {
                    self.text(place)?;
                    Ok(Score::Words(Words { field: None, text: text(&at(1), query)?, place: place.into() }))
                }
                ("BM25", [field, query]) => self.words(place, (&at(1), field), (&at(2), query)),
                ("Sum", [parts]) => self.scores(&at(1), parts, depth).map(Score::Sum),
                ("Max", [parts]) => self.scores(&at(1), parts, depth).map(Score::Max),
                ("Product", [factor, part]) => {
                    let factor = self::factor(&at(1), factor)?;
                    let part = self.nested(&at(2), part, depth)?;
                    Ok(Score::Product(factor, Box::new(part)))
                }
                (name, _) => Err(Error::invalid(place, format!("expected {}", form(name)))),
            },
            [field, Value::String(name), query] if name == "BM25" => {
                self.words(place, (&at(0), field), (&at(2), query))
            }
            [Value::String(field), Value::String(name), vector] if matches!(&**name, "ANN" | "kNN") => {
                if field != "vector" {
                    return Err(Error::invalid(at(0), r#"a row has one vector; its name is "vector""#));
                }
                self.near(&at(2), vector, name == "kNN")
            }
            [Value::String(_), Value::String(direction)] if matches!(&**direction, "asc" | "desc") => {
                Err(Error::invalid(place, "an order of a field is no score, and no part of one"))
            }
            _ if depth == 1 => Err(wrong(place, &format!("one of {FORMS}, {ORDERS}"))),
            _ => Err(wrong(place, &format!("one of {FORMS}"))),
        }
    }

    fn nested(&mut self, place: &str, value: &Value<'_>, depth: usize) -> Result<Score> {
        self.score(place, &elements(place, value, self.limits)?, depth + 1)
    }

    fn scores(&mut self, place: &str, value: &Value<'_>, depth: usize) -> Result<Vec<Score>> {
        let parts = elements(place, value, self.limits)?;
        if parts.is_empty() {
            return Err(Error::invalid(place, "found an empty array; expected at least one ranking"));
        }
        let parts = parts.iter().enumerate();
        parts.map(|(at, part)| self.nested(&format!("{place}[{at}]"), part, depth)).collect()
    }

    fn words(
        &mut self,
        place: &str,
        (field_at, field): (&str, &Value<'_>),
        (text_at, query): (&str, &Value<'_>),
    ) -> Result<Score> {
        self.text(place)?;
        let field = path(field_at, &text(field_at, field)?)?;
        Ok(Score::Words(Words { field: Some(field), text: text(text_at, query)?, place: place.into() }))
    }

    fn near(&self, place: &str, value: &Value<'_>, exact: bool) -> Result<Score> {
        let Value::Array(array) = value else { return Err(unexpected(place, value, "an array of numbers")) };
        let (mut items, mut vector) = (Items::of(array), Vec::new());
        while let Some(value) = items.element().map_err(|reason| unreadable(place, reason))? {
            if vector.len() == self.limits.dimension {
                let (max, actual) = (self.limits.dimension as u64, vector.len() as u64 + 1);
                let limit = "limits.dimension";
                return Err(Error::LimitExceeded { field: place.into(), limit, max, actual });
            }
            vector.push(float(&format!("{place}[{}]", vector.len()), &value)?);
        }
        if vector.is_empty() {
            return Err(Error::EmptyVector { field: place.into() });
        }
        Ok(Score::Near(Near { vector, exact, place: place.into() }))
    }

    /// Counts a score of text.
    fn text(&mut self, place: &str) -> Result<()> {
        self.texts += 1;
        let (max, actual) = (self.limits.texts as u64, self.texts as u64);
        if actual > max {
            let limit = "limits.rank_by_texts";
            return Err(Error::LimitExceeded { field: place.into(), limit, max, actual });
        }
        Ok(())
    }

    fn part(&mut self, place: &str) -> Result<()> {
        self.parts += 1;
        if self.parts > self.limits.parts {
            let message = format!("there are more than {} rankings in it", self.limits.parts);
            return Err(Error::invalid(place, message));
        }
        Ok(())
    }
}

fn form(name: &str) -> &'static str {
    match name {
        "ANN" => r#"["ANN", vector]"#,
        "kNN" => r#"["kNN", vector]"#,
        "BM25" => r#"["BM25", text] or [field, "BM25", text]"#,
        "Sum" => r#"["Sum", [rankings]]"#,
        "Max" => r#"["Max", [rankings]]"#,
        _ => r#"["Product", factor, ranking]"#,
    }
}

/// The elements of an array. One with more than a ranking may have parts is refused for that by whoever looks at
/// them, so what comes after is not read.
fn elements<'a>(place: &str, value: &Value<'a>, limits: &Limits) -> Result<Vec<Value<'a>>> {
    let Value::Array(array) = value else {
        return Err(unexpected(place, value, r#"an array such as ["ANN", [0.1, 0.2]]"#));
    };
    let (mut items, mut elements) = (Items::of(array), Vec::new());
    while let Some(element) = items.element().map_err(|reason| unreadable(place, reason))? {
        elements.push(element);
        if elements.len() > limits.parts {
            break;
        }
    }
    Ok(elements)
}

fn path(place: &str, text: &str) -> Result<Path> {
    Path::parse(text).map_err(|message| Error::invalid(place, message))
}

fn text(place: &str, value: &Value<'_>) -> Result<Box<str>> {
    match value {
        Value::String(text) => Ok(Cow::as_ref(text).into()),
        _ => Err(unexpected(place, value, "a string")),
    }
}

fn float(place: &str, value: &Value<'_>) -> Result<f32> {
    let Value::Number(number) = value else { return Err(unexpected(place, value, "a number")) };
    let float = match number {
        Number::Int(integer) => *integer as f32,
        Number::Float(float) => *float as f32,
    };
    if !float.is_finite() {
        return Err(Error::invalid(place, "must be a finite number in the range of a 32-bit float"));
    }
    // Adding zero turns -0 into 0, which is printed as it is read.
    Ok(float + 0.0)
}

fn factor(place: &str, value: &Value<'_>) -> Result<f32> {
    let factor = float(place, value)?;
    if factor < 0.0 {
        return Err(Error::invalid(place, "must be 0 or more"));
    }
    Ok(factor)
}

fn wrong(place: &str, expected: &str) -> Error {
    Error::invalid(place, format!("is no ranking; expected {expected}"))
}

fn unreadable(place: &str, Unreadable(reason): Unreadable) -> Error {
    Error::invalid(place, format!("cannot be read: {reason}"))
}

fn unexpected(place: &str, found: &Value<'_>, expected: &str) -> Error {
    Error::invalid(place, format!("found {}; expected {expected}", found.kind()))
}
