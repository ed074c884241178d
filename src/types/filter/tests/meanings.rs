//! The tables of `docs/filters.md`, row by row.

use super::filter;

/// Checks which of the documents a filter matches.
fn check(text: &str, yes: &[&str], no: &[&str]) {
    let filter = filter(text);
    for (documents, expected) in [(yes, true), (no, false)] {
        for document in documents {
            assert_eq!(filter.matches(Some(document)), expected, "{text} on {document}");
        }
    }
}

/// The table of types: each operand against a value of each type that matches it, if one of that type can.
#[test]
fn types() {
    let columns = [
        "{}",
        r#"{"a":null}"#,
        r#"{"a":true}"#,
        r#"{"a":5}"#,
        r#"{"a":"b"}"#,
        r#"{"a":"2024-05-01T12:00:00Z"}"#,
        r#"{"a":[null,true,5,"b","2024-05-01T12:00:00Z",[7],{"k":1}]}"#,
        r#"{"a":[]}"#,
        r#"{"a":{"k":1}}"#,
    ];
    for (condition, row) in [
        (r#"{"$eq":null}"#, "yy....y.."),
        (r#"{"$in":[0,null]}"#, "yy....y.."),
        (r#"{"$eq":true}"#, "..y...y.."),
        (r#"{"$eq":5}"#, "...y..y.."),
        (r#"{"$eq":"b"}"#, "....y.y.."),
        (r#"{"$eq":"2024-05-01T12:00:00Z"}"#, ".....yy.."),
        (r#"{"$eq":[7]}"#, "......y.."),
        (r#"{"$eq":[]}"#, ".......y."),
        (r#"{"$eq":{"k":1}}"#, "......y.y"),
        (r#"{"$gte":5}"#, "...y..y.."),
        (r#"{"$lte":5}"#, "...y..y.."),
        (r#"{"$gte":""}"#, "....yyy.."),
        (r#"{"$lte":"c"}"#, "....yyy.."),
        (r#"{"$gte":"2024-05-01T14:00:00+02:00"}"#, ".....yy.."),
        (r#"{"$lte":"2024-05-01T14:00:00+02:00"}"#, ".....yy.."),
        (r#"{"$contains":""}"#, "....yyy.."),
        (r#"{"$icontains":""}"#, "....yyy.."),
        (r#"{"$startsWith":""}"#, "....yyy.."),
        (r#"{"$endsWith":""}"#, "....yyy.."),
        (r#"{"$glob":"*"}"#, "....yyy.."),
        (r#"{"$regex":""}"#, "....yyy.."),
        (r#"{"$arrayContains":5}"#, "......y.."),
        (r#"{"$arrayContainsAny":[5,9]}"#, "......y.."),
        (r#"{"$arrayContainsAll":[5,"b"]}"#, "......y.."),
        (r#"{"$exists":true}"#, ".yyyyyyyy"),
        (r#"{"$exists":false}"#, "y........"),
    ] {
        let opposite = filter(&format!(r#"{{"a":{{"$not":{condition}}}}}"#));
        let filter = filter(&format!(r#"{{"a":{condition}}}"#));
        for (document, cell) in columns.into_iter().zip(row.chars()) {
            assert_eq!(filter.matches(Some(document)), cell == 'y', "{filter} on {document}");
            assert_eq!(opposite.matches(Some(document)), cell != 'y', "{opposite} on {document}");
        }
    }
}

#[test]
fn equality() {
    check(
        r#"{"a":1}"#,
        &[r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":1e0}"#, r#"{"a":[2,1]}"#],
        &[
            r#"{"a":2}"#,
            r#"{"a":"1"}"#,
            r#"{"a":true}"#,
            r#"{"a":null}"#,
            "{}",
            r#"{"a":[[1]]}"#,
            r#"{"a":{"a":1}}"#,
        ],
    );
    check(r#"{"a":{"$eq":"x"}}"#, &[r#"{"a":"x"}"#, r#"{"a":"\u0078"}"#], &[r#"{"a":"X"}"#, r#"{"a":"x "}"#]);
    check(r#"{"a":true}"#, &[r#"{"a":true}"#], &[r#"{"a":1}"#, r#"{"a":"true"}"#, r#"{"a":false}"#]);
    check(
        r#"{"a":["x",1]}"#,
        &[r#"{"a":["x",1]}"#, r#"{"a":[["x",1.0]]}"#],
        &[r#"{"a":[1,"x"]}"#, r#"{"a":["x"]}"#, r#"{"a":"x"}"#],
    );
    check(
        r#"{"a":{"$eq":{"x":1,"y":[]}}}"#,
        &[r#"{"a":{"y":[],"x":1}}"#, r#"{"a":[{"x":1,"y":[]}]}"#],
        &[r#"{"a":{"x":1}}"#, r#"{"a":{"x":1,"y":[],"z":0}}"#],
    );
}

#[test]
fn integers_are_exact_to_64_bits() {
    check(
        r#"{"a":9007199254740993}"#,
        &[r#"{"a":9007199254740993}"#],
        &[r#"{"a":9007199254740992}"#, r#"{"a":9007199254740992.0}"#],
    );
    check(
        r#"{"a":{"$gt":18446744073709551614}}"#,
        &[r#"{"a":18446744073709551615}"#],
        &[r#"{"a":18446744073709551614}"#],
    );
    check(
        r#"{"a":{"$lt":-9223372036854775807}}"#,
        &[r#"{"a":-9223372036854775808}"#],
        &[r#"{"a":-9223372036854775807}"#],
    );
    check(
        r#"{"a":{"$lt":9007199254740993}}"#,
        &[r#"{"a":9007199254740992.0}"#],
        &[r#"{"a":9007199254740994.0}"#],
    );
    check(
        r#"{"a":0.1}"#,
        &[r#"{"a":0.1}"#, r#"{"a":1e-1}"#, r#"{"a":0.1000000000000000055}"#],
        &[r#"{"a":0.10000000000000002}"#],
    );
}

#[test]
fn null_is_also_what_is_missing() {
    for null in [r#"{"a":null}"#, r#"{"a":{"$in":[1,null]}}"#] {
        check(
            null,
            &["{}", r#"{"a":null}"#, r#"{"a":[2,null]}"#],
            &[r#"{"a":0}"#, r#"{"a":""}"#, r#"{"a":[]}"#],
        );
    }
    check(r#"{"a":{"$ne":null}}"#, &[r#"{"a":0}"#, r#"{"a":[]}"#], &["{}", r#"{"a":null}"#]);
    check(
        r#"{"a.b":null}"#,
        &["{}", r#"{"a":1}"#, r#"{"a":{}}"#, r#"{"a":[]}"#, r#"{"a":[{"b":null}]}"#],
        &[r#"{"a":[{},{"b":1}]}"#],
    );
    check(
        r#"{"a":{"$exists":true}}"#,
        &[r#"{"a":null}"#, r#"{"a":[]}"#, r#"{"a":0}"#],
        &["{}", r#"{"b":1}"#],
    );
    check(r#"{"a":{"$exists":false}}"#, &["{}", r#"{"b":{"a":1}}"#], &[r#"{"a":null}"#]);
    check(r#"{"a":{"$eq":null,"$exists":true}}"#, &[r#"{"a":null}"#], &["{}"]);
}

#[test]
fn negations_match_what_is_missing_and_other_types() {
    let others = &["{}", r#"{"a":null}"#, r#"{"a":"1"}"#, r#"{"a":{}}"#, r#"{"a":[]}"#];
    for negation in [
        r#"{"a":{"$ne":1}}"#,
        r#"{"a":{"$nin":[1,2]}}"#,
        r#"{"a":{"$not":{"$gte":1}}}"#,
        r#"{"$not":{"a":1}}"#,
    ] {
        check(negation, others, &[r#"{"a":1}"#, r#"{"a":[5,1]}"#]);
    }
    assert!(filter(r#"{"a":{"$ne":1}}"#).matches(None) && !filter(r#"{"a":1}"#).matches(None));
}

#[test]
fn order_is_within_one_kind() {
    check(
        r#"{"a":{"$gte":5}}"#,
        &[r#"{"a":5}"#, r#"{"a":5.5}"#, r#"{"a":[1,6]}"#],
        &[
            r#"{"a":4}"#,
            r#"{"a":"6"}"#,
            r#"{"a":true}"#,
            r#"{"a":null}"#,
            "{}",
            r#"{"a":{"a":6}}"#,
            r#"{"a":[[6]]}"#,
        ],
    );
    check(r#"{"a":{"$gt":1,"$lt":3}}"#, &[r#"{"a":2}"#, r#"{"a":[0,9]}"#], &[r#"{"a":1}"#, r#"{"a":3}"#]);
    check(
        r#"{"a":{"$lte":"b"}}"#,
        &[r#"{"a":"b"}"#, r#"{"a":"B"}"#, r#"{"a":""}"#],
        &[r#"{"a":"ba"}"#, r#"{"a":"é"}"#, r#"{"a":1}"#],
    );
}

#[test]
fn times_are_compared_as_times() {
    check(
        r#"{"a":{"$gt":"2024-01-01T00:00:00Z"}}"#,
        &[r#"{"a":"2023-12-31T23:00:00.5-01:00"}"#, r#"{"a":["x","2025-01-01T00:00:00Z"]}"#],
        &[
            r#"{"a":"2024-01-01T00:30:00+01:00"}"#,
            r#"{"a":"2024-01-01T01:00:00+01:00"}"#,
            r#"{"a":"2025"}"#,
            r#"{"a":"x"}"#,
            r#"{"a":1735689600}"#,
        ],
    );
    check(
        r#"{"a":{"$gte":"2024-01-01T00:00:00Z","$lte":"2024-01-01T00:00:00Z"}}"#,
        &[r#"{"a":"2024-01-01T00:00:00Z"}"#, r#"{"a":"2024-01-01T01:00:00.000+01:00"}"#],
        &[r#"{"a":"2024-01-01T00:00:00.001Z"}"#],
    );
    // Equality is that of text; a bound that is no time is text.
    check(
        r#"{"a":"2024-01-01T00:00:00Z"}"#,
        &[r#"{"a":"2024-01-01T00:00:00Z"}"#],
        &[r#"{"a":"2024-01-01T00:00:00+00:00"}"#],
    );
    check(
        r#"{"a":{"$gte":"2024-02","$lt":"2024-03"}}"#,
        &[r#"{"a":"2024-02-29T23:59:59Z"}"#, r#"{"a":"2024-02"}"#],
        &[r#"{"a":"2024-03-01T00:00:00Z"}"#],
    );
}

#[test]
fn text_operators_ask_for_text() {
    let others =
        [r#"{"a":1}"#, r#"{"a":true}"#, r#"{"a":null}"#, "{}", r#"{"a":{"a":"xyz"}}"#, r#"{"a":[["xyz"]]}"#];
    for (operator, yes, no) in [
        (r#"{"$contains":"y"}"#, r#"{"a":"xyz"}"#, r#"{"a":"xYz"}"#),
        (r#"{"$icontains":"Ÿ"}"#, r#"{"a":"xÿz"}"#, r#"{"a":"xyz"}"#),
        (r#"{"$startsWith":"x"}"#, r#"{"a":"xy"}"#, r#"{"a":"yx"}"#),
        (r#"{"$endsWith":"x"}"#, r#"{"a":"yx"}"#, r#"{"a":"xy"}"#),
        (r#"{"$glob":"*y?"}"#, r#"{"a":"xyz"}"#, r#"{"a":"xy"}"#),
        (r#"{"$regex":"y.$"}"#, r#"{"a":"xyz"}"#, r#"{"a":"xy"}"#),
        (r#"{"$contains":"\u0041"}"#, r#"{"a":"\u0041"}"#, r#"{"a":"a"}"#),
        (r#"{"$contains":""}"#, r#"{"a":""}"#, r#"{"a":0}"#),
    ] {
        let text = format!(r#"{{"a":{operator}}}"#);
        check(&text, &[yes, &yes.replace(":", ":[0,").replace('}', "]}")], &[no]);
        check(&text, &[], &others);
    }
}

#[test]
fn array_operators_ask_for_arrays() {
    check(
        r#"{"a":{"$arrayContains":"x"}}"#,
        &[r#"{"a":["y","x"]}"#],
        &[r#"{"a":"x"}"#, r#"{"a":["xy"]}"#, r#"{"a":[["x"]]}"#, r#"{"a":[]}"#, "{}", r#"{"a":{"0":"x"}}"#],
    );
    check(r#"{"a":{"$arrayContains":null}}"#, &[r#"{"a":[null]}"#], &["{}", r#"{"a":null}"#, r#"{"a":[]}"#]);
    check(r#"{"a":{"$arrayContains":["x"]}}"#, &[r#"{"a":[["x"]]}"#], &[r#"{"a":["x"]}"#]);
    check(
        r#"{"a":{"$arrayContainsAll":["x",1,"x"]}}"#,
        &[r#"{"a":[1.0,2,"x"]}"#],
        &[r#"{"a":["x","x"]}"#, r#"{"a":[1]}"#, r#"{"a":"x"}"#],
    );
    check(
        r#"{"a":{"$arrayContainsAny":["x",1]}}"#,
        &[r#"{"a":[1]}"#, r#"{"a":["y","x"]}"#],
        &[r#"{"a":["y"]}"#, r#"{"a":1}"#],
    );
    check(r#"{"a":{"$arrayContainsAll":[]}}"#, &[r#"{"a":[]}"#, r#"{"a":[1]}"#], &[r#"{"a":1}"#, "{}"]);
    check(r#"{"a":{"$arrayContainsAny":[]}}"#, &[], &[r#"{"a":[]}"#, r#"{"a":[1]}"#, "{}"]);
    check(r#"{"a":{"$in":[]}}"#, &[], &[r#"{"a":[]}"#, "{}", r#"{"a":null}"#]);
    check(r#"{"a":{"$nin":[]}}"#, &[r#"{"a":1}"#, "{}"], &[]);
}

#[test]
fn paths_lead_through_objects_and_arrays() {
    check(
        r#"{"a.b":1}"#,
        &[r#"{"a":{"b":1}}"#, r#"{"a":[{"b":0},{"b":1}]}"#, r#"{"a":{"b":[1]}}"#],
        &[r#"{"a.b":1}"#, r#"{"a":[[{"b":1}]]}"#, r#"{"b":1}"#, r#"{"a":"b"}"#],
    );
    check(r#"{"a\\.b":1}"#, &[r#"{"a.b":1}"#], &[r#"{"a":{"b":1}}"#]);
    check(r#"{"\\$a":1}"#, &[r#"{"$a":1}"#], &[r#"{"a":1}"#]);
    check(
        r#"{"a.1":1}"#,
        &[r#"{"a":[0,1]}"#, r#"{"a":{"1":1}}"#, r#"{"a":[{"1":1}]}"#],
        &[r#"{"a":[1,0]}"#, r#"{"a":[1]}"#],
    );
    check(r#"{"a.01":1}"#, &[r#"{"a":{"01":1}}"#], &[r#"{"a":[0,1]}"#]);
    check(r#"{"a.0.b":1}"#, &[r#"{"a":[{"b":1}]}"#, r#"{"a":[[{"b":1}]]}"#], &[r#"{"a":[0,{"b":1}]}"#]);
    check(r#"{"a.b":{"$gt":1,"$lt":3}}"#, &[r#"{"a":[{"b":0},{"b":9}]}"#], &[r#"{"a":[{"b":0}]}"#]);
}

#[test]
fn of_equal_keys_the_last_counts() {
    check(
        r#"{"a":1}"#,
        &[r#"{"a":2,"a":1}"#, r#"{"a":2,"\u0061":1}"#],
        &[r#"{"a":1,"a":2}"#, r#"{"a":1,"b":1,"\u0061":null}"#],
    );
    check(
        r#"{"a.b":1}"#,
        &[r#"{"a":[{"b":1},{"b":1,"b":2}]}"#],
        &[r#"{"a":{"b":1},"a":{}}"#, r#"{"a":[{"b":1,"b":2}]}"#],
    );
    check(r#"{"a":{"$exists":true}}"#, &[r#"{"a":1,"a":null}"#], &[]);
}

#[test]
fn logic() {
    check(r#"{}"#, &["{}", r#"{"a":1}"#], &[]);
    check(r#"{"a":1,"b":2}"#, &[r#"{"b":2,"a":1}"#], &[r#"{"a":1}"#, r#"{"b":2}"#]);
    check(r#"{"$or":[{"a":1},{"b":2}]}"#, &[r#"{"a":1}"#, r#"{"b":2}"#], &["{}"]);
    check(
        r#"{"$and":[{"a":1},{"b":2}],"c":3}"#,
        &[r#"{"a":1,"b":2,"c":3}"#],
        &[r#"{"a":1,"b":2}"#, r#"{"a":1,"c":3}"#],
    );
    check(r#"{"$not":{"a":1,"b":2}}"#, &[r#"{"a":1}"#, "{}"], &[r#"{"a":1,"b":2}"#]);
    check(r#"{"a":{"$not":{"$gt":1,"$lt":3}}}"#, &[r#"{"a":1}"#, "{}"], &[r#"{"a":2}"#]);
    check(r#"{"$not":{"$or":[{"a":1},{"$and":[{"b":2},{}]}]}}"#, &["{}"], &[r#"{"a":1}"#, r#"{"b":2}"#]);
    assert!(filter("{}").is_everything() && !filter(r#"{"$not":{}}"#).is_everything());
}

#[test]
fn metadata_that_cannot_be_read_matches_nothing() {
    for text in
        [r#"{"b":1}"#, r#"{"b":{"$ne":1}}"#, r#"{"$not":{"b":1}}"#, "{}", r#"{"b":{"$exists":false}}"#]
    {
        for broken in ["", "[]", "1", "{", r#"{"a":1"#, r#"{"a" 1}"#, r#"{"a":1}x"#, r#"{"a":1 "c":2}"#] {
            assert!(!filter(text).matches(Some(broken)), "{text} on {broken}");
        }
    }
    assert!(!filter(r#"{"$not":{"b":1}}"#).matches(Some(r#"{"b":1e999}"#)));
    assert!(!filter(r#"{"$not":{"b":"x"}}"#).matches(Some(r#"{"b":"\ud800"}"#)));
}

#[test]
fn many_conditions_are_decided_in_one_pass() {
    let fields: Vec<String> = (0..1000).map(|field| format!(r#""f{field}.x":{field}"#)).collect();
    let all = filter(&format!("{{{}}}", fields.join(",")));
    let members: Vec<String> =
        (0..1000).rev().map(|field| format!(r#""f{field}":[{{"x":{field}}}]"#)).collect();
    assert!(all.matches(Some(&format!("{{{}}}", members.join(",")))));
    assert!(!all.matches(Some(&format!("{{{}}}", members[1..].join(",")))));
    let most = super::Limits { nodes: 5000, ..super::Limits::default() };
    let more: Vec<String> = (0..4000).map(|field| format!(r#"{{"f":{{"$ne":{field}}}}}"#)).collect();
    let more = super::Filter::parse(&format!(r#"{{"$and":[{}]}}"#, more.join(",")), "filter", &most).unwrap();
    assert!(more.matches(Some(r#"{"f":4000}"#)) && !more.matches(Some(r#"{"f":3999}"#)));
}
