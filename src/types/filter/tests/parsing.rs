//! What is refused, where, and with which words.

use crate::error::Error;

use super::{Filter, Limits, filter};

fn refused(text: &str) -> String {
    match Filter::parse(text, "filter", &Limits::default()) {
        Err(error @ Error::Invalid { .. }) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn errors_name_the_place_and_what_would_do() {
    for (text, expected) in [
        ("", "filter: malformed JSON: EOF while parsing a value at line 1 column 0"),
        ("{\"a\":01}", "filter: malformed JSON: invalid number at line 1 column 7"),
        ("null", r#"filter: found null; expected an object such as {"year": {"$gte": 2000}}"#),
        (r#"[{"a":1}]"#, r#"filter: found an array; expected an object such as {"year": {"$gte": 2000}}"#),
        (r#"{"$and":{"a":1}}"#, "filter.$and: found an object; expected an array of filters"),
        (r#"{"$or":[]}"#, "filter.$or: found an empty array; expected at least one filter"),
        (
            r#"{"$and":[{"a":1},5]}"#,
            r#"filter.$and[1]: found a number; expected an object such as {"year": {"$gte": 2000}}"#,
        ),
        (
            r#"{"$or":[{"a":{"$gt":null}}]}"#,
            "filter.$or[0].a.$gt: found null; expected a number, or a string (text or an RFC 3339 time)",
        ),
        (r#"{"a":{"$in":5}}"#, "filter.a.$in: found a number; expected an array of values"),
        (r#"{"a.b":{"$exists":1}}"#, "filter.a.b.$exists: found a number; expected true or false"),
        (r#"{"a":{"$contains":["x"]}}"#, "filter.a.$contains: found an array; expected a string"),
        (
            r#"{"a":{"$not":5}}"#,
            r#"filter.a.$not: found a number; expected an object of operators such as {"$gte": 2000}"#,
        ),
        (
            r#"{"a":{}}"#,
            r#"filter.a: found an empty object; expected an object of operators such as {"$gte": 2000}, or {"$eq": {}}"#,
        ),
        (
            r#"{"a":{"b":1}}"#,
            r#"filter.a.b: expected an operator; a nested field is written "a.b", and an object to compare with {"$eq": {…}}"#,
        ),
        (r#"{"a":{"$and":[]}}"#, r#"filter.a.$and: $and stands beside fields: {"$and": [{"field": …}, …]}"#),
        (
            r#"{"a":{"$regex":"x","$options":"i"}}"#,
            r#"filter.a.$options: flags stand in the pattern: {"$regex": "(?i)…"}"#,
        ),
        (r#"{"$gte":1}"#, r#"filter.$gte: $gte stands inside of a field: {"field": {"$gte": …}}"#),
        (r#"{"a":{"$eq":1,"$eq":2}}"#, "filter.a.$eq: stands here twice; put the conditions into $and"),
        (r#"{"a":1,"\u0061":2}"#, "filter.a: stands here twice; put the conditions into $and"),
        (r#"{"a":{"$regex":"a("}}"#, "filter.a.$regex: unclosed group"),
        (
            r#"{"a":{"$glob":"a\\"}}"#,
            r"filter.a.$glob: a backslash in a glob stands before *, ? or a backslash",
        ),
        (r#"{"a":{"$gt":1e999}}"#, "filter.a: cannot be read: a number beyond the range of a 64-bit float"),
        (r#"{"a":{"$in":["\ud800"]}}"#, "filter.a.$in: cannot be read: half of a surrogate pair in a string"),
        (
            r#"{"a..b":1}"#,
            r"filter.a..b: a field's name has an empty part; dots stand between the keys of nested objects, and a dot inside of a key is written \.",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn unknown_operators_find_what_was_meant() {
    for (operator, meant) in [
        ("$gte2", "$gte"),
        ("$startswith", "$startsWith"),
        ("$notin", "$not"),
        ("$regexp", "$regex"),
        ("$array_contains", "$arrayContains"),
        ("$arrayContainAny", "$arrayContainsAny"),
    ] {
        let error = refused(&format!(r#"{{"a":{{"{operator}":1}}}}"#));
        let expected =
            format!("filter.a.{operator}: unknown operator; did you mean {meant}? The operators are $eq $ne");
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = refused(r#"{"$orr":[]}"#);
    assert!(
        error.starts_with("filter.$orr: unknown operator; did you mean $or? Here stand $and $or $not"),
        "{error}"
    );
    assert!(refused(r#"{"$nor":[]}"#).contains(r#"{"$not": {"$or": […]}}"#));
    let error = refused(r#"{"a":{"$where":1}}"#);
    assert!(error.starts_with("filter.a.$where: unknown operator. The operators are"), "{error}");
    let long = refused(&format!(r#"{{"a":{{"${}":1}}}}"#, "é".repeat(100_000)));
    assert!(long.len() < 1000);
}

#[test]
fn limits_are_named() {
    let nested =
        |levels: usize| format!(r#"{}{{"a":1}}{}"#, r#"{"$not":"#.repeat(levels), "}".repeat(levels));
    let several = |count: usize| {
        let all: Vec<String> = (0..count).map(|field| format!(r#""f{field}":1"#)).collect();
        format!("{{{}}}", all.join(","))
    };
    let or = |count: usize| format!(r#"{{"$or":[{}]}}"#, vec![r#"{"a":1}"#; count].join(","));
    let values = |count: usize| format!(r#"{{"a":{{"$in":[{}]}}}}"#, vec!["1"; count].join(","));
    let inside = |count: usize| format!(r#"{{"a":[[{}]]}}"#, vec!["1"; count].join(","));
    let patterns =
        |count: usize| format!(r#"{{"$or":[{}]}}"#, vec![r#"{"a":{"$glob":"*"}}"#; count].join(","));
    for (good, bad, place, limit) in [
        (nested(31), nested(32), format!("filter{}.a", ".$not".repeat(32)), "depth"),
        (several(1023), several(1024), "filter.f1023".into(), "nodes"),
        (or(1023), or(1024), "filter.$or[1023].a".into(), "nodes"),
        (values(10_000), values(10_001), "filter.a.$in".into(), "values"),
        (inside(9998), inside(9999), "filter.a".into(), "values"),
        (patterns(32), patterns(33), "filter.$or[32].a.$glob".into(), "patterns"),
    ] {
        filter(&good);
        match Filter::parse(&bad, "filter", &Limits::default()) {
            Err(Error::LimitExceeded { field, limit: name, max, actual }) => {
                assert_eq!((field, name), (place, format!("limits.filter_{limit}").leak() as &str));
                assert_eq!(actual, max + 1);
            }
            other => panic!("{limit}: {:?}", other.map(|filter| filter.to_string().len())),
        }
    }
}

/// Text this deep would overflow the stack of a reader that follows it all the way.
#[test]
fn deep_text_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"{"$not":"#, "}"), (r#"{"$and":["#, "]}")] {
        let deep = format!(r#"{}{{}}{}"#, open.repeat(200_000), close.repeat(200_000));
        for text in [deep.clone(), format!(r#"{{"a":{{"$eq":{deep}}}}}"#)] {
            assert!(Filter::parse(&text, "filter", &Limits::default()).is_err(), "{open}");
        }
    }
}

#[test]
fn printing_uses_the_plainest_operator() {
    for (text, printed) in [
        ("{ }", "{}"),
        (r#"{"a":1.0}"#, r#"{"a":{"$eq":1.0}}"#),
        (r#"{"a":{"$in":[2]}}"#, r#"{"a":{"$eq":2}}"#),
        (r#"{"a":{"$in":["x",2,null,2.0]}}"#, r#"{"a":{"$in":[null,2,"x"]}}"#),
        (r#"{"a":{"$not":{"$in":[1,2]}}}"#, r#"{"a":{"$nin":[1,2]}}"#),
        (r#"{"a":{"$exists":false}}"#, r#"{"a":{"$exists":false}}"#),
        (r#"{"a\\.b.\\$c":{"$not":{"$gt":1}}}"#, r#"{"$not":{"a\\.b.\\$c":{"$gt":1}}}"#),
        (
            r#"{"a":{"$gt":1,"$lt":2},"$or":[{"b":"é"}]}"#,
            r#"{"$and":[{"$and":[{"a":{"$gt":1}},{"a":{"$lt":2}}]},{"b":{"$eq":"é"}}]}"#,
        ),
        (r#"{"a":{"$gte":"2024-01-01T00:00:00Z"}}"#, r#"{"a":{"$gte":"2024-01-01T00:00:00Z"}}"#),
        (r#"{"a":{"$arrayContainsAny":[1]}}"#, r#"{"a":{"$arrayContains":1}}"#),
    ] {
        assert_eq!(filter(text).to_string(), printed);
    }
}
