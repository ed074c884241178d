//! The values of a field, for what is no condition: sums, groups, order.
//!
//! A path reaches here what it reaches for a condition ([`super::Filter`]), and an array that it ends at
//! counts as its elements.

use super::{
    Path,
    path::index,
    reader::{Items, Raw, Read, Value},
};

impl Path {
    /// Hands over every value that the path reaches in an object, given as JSON text; nothing if there is
    /// none.
    ///
    /// # Errors
    /// If the text cannot be read; some values may have been handed over.
    pub fn visit(&self, object: &str, take: &mut impl FnMut(&Value<'_>)) -> Read<()> {
        let items = Items::of_object(object)?;
        descend_member(items, self.parts(), take)
    }
}

fn descend(value: &Value<'_>, parts: &[Box<str>], take: &mut impl FnMut(&Value<'_>)) -> Read<()> {
    match (value, parts) {
        (Value::Array(text), []) => {
            let mut items = Items::of(text);
            while let Some(element) = items.element()? {
                take(&element);
            }
            Ok(())
        }
        (value, []) => {
            take(value);
            Ok(())
        }
        (Value::Object(text), _) => descend_member(Items::of(text), parts, take),
        (Value::Array(text), [part, rest @ ..]) => {
            let (mut items, wanted) = (Items::of(text), index(part));
            let mut place = 0;
            while let Some(element) = items.element()? {
                if wanted == Some(place) {
                    descend(&element, rest, take)?;
                }
                if let Value::Object(text) = element {
                    descend_member(Items::of(text), parts, take)?;
                }
                place += 1;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Goes on in the member that the first part names; of several the last one counts.
fn descend_member(mut items: Items<'_>, parts: &[Box<str>], take: &mut impl FnMut(&Value<'_>)) -> Read<()> {
    let [part, rest @ ..] = parts else { return Ok(()) };
    let mut found: Option<Raw<'_>> = None;
    while let Some(key) = items.key()? {
        let value = items.skip()?;
        if *key == **part {
            found = Some(value);
        }
    }
    found.map_or(Ok(()), |value| descend(&value.read()?, rest, take))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &str, object: &str) -> Vec<String> {
        let mut found = Vec::new();
        let path = Path::parse(path).unwrap();
        path.visit(object, &mut |value| found.push(format!("{value:?}"))).unwrap();
        found
    }

    #[test]
    fn a_path_reaches_what_it_reaches_for_a_condition() {
        let number = |number: &str| format!("Number(Int({number}))");
        assert_eq!(values("a", r#"{"a": 1}"#), [number("1")]);
        assert_eq!(values("a", r#"{"a": 1, "a": 2}"#), [number("2")]);
        assert_eq!(values("a.b", r#"{"a": {"b": 1}}"#), [number("1")]);
        assert_eq!(values("a", r#"{"a": [1, 2]}"#), [number("1"), number("2")]);
        assert_eq!(values("a.b", r#"{"a": [{"b": 1}, {"c": 3}, {"b": [2]}]}"#), [number("1"), number("2")]);
        assert_eq!(values("a.1", r#"{"a": [1, 2]}"#), [number("2")]);
        assert_eq!(values("a.b", r#"{"a": 1}"#), [""; 0]);
        assert_eq!(values("a", r#"{"a": null}"#), ["Null"]);
        assert_eq!(values("b", r#"{"a": null}"#), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let path = Path::parse("a.b").unwrap();
        for text in ["", "[]", r#"{"a""#, r#"{"a": {"b" 1}}"#] {
            assert!(path.visit(text, &mut |_| ()).is_err(), "{text}");
        }
    }
}
