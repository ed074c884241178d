//! How queries are read, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::error::Error;

fn parse(text: &str) -> crate::error::Result<TextQuery> {
    TextQuery::parse(text, "query", &Limits { depth: 4, terms: 10, expansions: 1 })
}

/// A query with all groups and kinds in signs of their own.
fn written(group: &Group) -> String {
    let list = |sign: &str, clauses: &[Clause]| -> Vec<String> {
        let clause = |clause: &Clause| match clause {
            Clause::Group(group) => format!("{sign}({})", written(group)),
            Clause::Part(part) => {
                let field = part.field.as_ref().map_or(String::new(), |field| format!("{}=", field.name));
                let text = &part.text;
                sign.to_owned()
                    + &match part.kind {
                        Kind::Words => format!("{field}{text}"),
                        Kind::Phrase => format!("{field}<{text}>"),
                        Kind::Prefix => format!("{field}{text}…"),
                        Kind::Fuzzy(distance) => format!("{field}{text}≈{distance}"),
                    }
            }
        };
        clauses.iter().map(clause).collect()
    };
    [list("+", &group.must), list("", &group.should), list("-", &group.must_not)].concat().join(" ")
}

#[test]
fn queries_are_read() {
    for (text, expected) in [
        ("a b", "a b"),
        ("a OR b", "a b"),
        ("a AND b", "(+a +b)"),
        ("a AND b c", "(+a +b) c"),
        ("a b AND NOT c", "a (+b -c)"),
        ("+a -b c", "+a c -b"),
        ("NOT a b", "b -a"),
        ("a -(b c)", "a -(b c)"),
        (r#""a b" c* d~ e~1 f~2"#, "<a b> c… d≈1 e≈1 f≈2"),
        (r#"t:a t:"b c" t:(d e*) u.v:f"#, "t=a t=<b c> (t=d t=e…) u.v=f"),
        (r#"a\*b \"c\" \(d t\:e \AND"#, r#"a*b "c" (d t:e AND"#),
        (
            "well-known a+b c- - + http://x 12:30 x: :y a::b",
            "well-known a+b c- - + http://x 12:30 x: :y a::b",
        ),
        ("and or not", "and or not"),
        (r#""say \"hi\"""#, r#"<say "hi">"#),
        ("", ""),
    ] {
        assert_eq!(written(&parse(text).unwrap().root), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_at_its_place() {
    for (text, character, about) in [
        ("a \"b", 3, "quotation mark"),
        ("é (b", 3, "parenthesis"),
        ("a) b", 2, "parenthesis"),
        ("()", 2, "between"),
        ("a AND", 6, "missing"),
        ("AND a", 1, "operator"),
        ("a OR", 5, "after"),
        ("a OR NOT b", 6, "OR"),
        ("a OR -b", 6, "OR"),
        ("+-a", 2, "second sign"),
        ("*", 1, "star"),
        ("a*b", 2, "star"),
        ("a~3", 2, "tilde"),
        ("~", 1, "tilde"),
        ("t:u:a", 3, "within"),
        ("t:(u:a)", 4, "within"),
        ("a\\", 2, "backslash"),
        ("(NOT )", 6, "missing"),
    ] {
        let Err(Error::Invalid { field, message }) = parse(text) else { panic!("{text} was read") };
        assert!(
            field == "query" && message.starts_with(&format!("character {character},")),
            "{text}: {message}"
        );
        assert!(message.contains(about), "{text}: {message}");
    }
}

#[test]
fn size_is_limited() {
    for (text, limit) in
        [("((((a))))", "limits.text_query_depth"), (&*"a ".repeat(11), "limits.text_query_terms")]
    {
        assert!(
            matches!(parse(text), Err(Error::LimitExceeded { limit: found, .. }) if found == limit),
            "{text}"
        );
    }
    assert!(parse("(((a)))").is_ok() && parse(&"a ".repeat(10)).is_ok());
    assert!(parse(&"(".repeat(1_000_000)).is_err());
}

#[test]
fn parameters_are_checked() {
    let check = |json: serde_json::Value| -> Result<(), String> {
        let params: FulltextParams = serde_json::from_value(json).map_err(|error| error.to_string())?;
        params.validate().map_err(|error| error.to_string())
    };
    use serde_json::json;
    for good in
        [json!({}), json!({"fields": ["a.b", "c"], "weights": {"c": 2}, "language": "none", "k1": 0, "b": 1})]
    {
        assert_eq!(check(good.clone()), Ok(()), "{good}");
    }
    let many: Vec<String> = (0..33).map(|field| format!("f{field}")).collect();
    for (bad, about) in [
        (json!({"fields": []}), "fields"),
        (json!({"fields": many}), "32"),
        (json!({"fields": ["a", "a"]}), "fields[1]"),
        (json!({"fields": ["a."]}), "fields[0]"),
        (json!({"weights": {"title": 2}}), "title"),
        (json!({"weights": {"text": 1001}}), "1000"),
        (json!({"weights": {"text": -1}}), "at least 0"),
        (json!({"k1": 101}), "k1"),
        (json!({"b": 1.5}), "b is at most 1"),
        (json!({"language": "klingon"}), "klingon"),
        (json!({"stemer": true}), "stemer"),
    ] {
        let message = check(bad.clone()).unwrap_err();
        assert!(message.contains(about), "{bad}: {message}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"([+\-~*:"()\\ ]|AND |OR |NOT |[aé東1])*"#) {
        if let Err(error) = parse(&text) {
            let known = matches!(error, Error::Invalid { .. } | Error::LimitExceeded { .. });
            prop_assert!(known);
        }
    }
}
