//! What the index says agrees with [`Filter::matches`] on every row.

use std::cell::Cell;

use proptest::{prelude::*, sample::select};
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{build::build_in_runs, *};
use crate::{
    engine::index::{RowSource, Table, VectorSource},
    types::filter::{Limits, tests::generators},
};

fn index(rows: &Table) -> Attributes {
    Attributes::open(build(rows).unwrap()).unwrap()
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, "filter", &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Some of the strings, in documents as in filters, become as long as what is kept, or longer.
fn lengthened(value: Value) -> Value {
    let text = |length: usize, end: &str| Value::from(format!("{}{end}", "a".repeat(length)));
    match value {
        Value::String(short) => match short.as_str() {
            "ab" => text(64, ""),
            "Ab" => text(63, "b"),
            "żółw" => text(64, "b"),
            "" => text(64, "c"),
            "aa" => text(63, "ż"),
            "ba" => text(70, ""),
            _ => Value::String(short),
        },
        Value::Array(elements) => elements.into_iter().map(lengthened).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, lengthened(value))).collect(),
        scalar => scalar,
    }
}

/// Metadata that cannot be read in all of its parts, or hardly.
fn odd() -> impl Strategy<Value = String> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    prop_oneof![
        "[\\[\\]{}\",:\\\\u0-1abnul ]{0,30}",
        "[\\[\\]{}\",:\\\\u0-1abnul ]{0,30}".prop_map(|garbage| format!("{{\"a\":1,\"b\":{garbage}}}")),
        select(vec![
            r#"{"a":1e999,"b":1}"#.to_owned(),
            r#"{"b":1,"a":{"b":1e999,"b":1}}"#.to_owned(),
            r#"{"b":1,"a":[[1e999]]}"#.to_owned(),
            r#"{"b":1,"a":[{"b":"\ud800"}]}"#.to_owned(),
            r#"{"a":1} "#.to_owned(),
            r#"{"a":1}}"#.to_owned(),
            format!(r#"{{"b":1,"a":{}}}"#, deep(45)),
            format!(r#"{{"b":1,"a":{}}}"#, deep(64)),
            format!(r#"{{"b":1,"a":{}}}"#, deep(90)),
            format!(r#"{{"b":1,"a":{{"a":{}}}}}"#, deep(70)),
        ]),
    ]
}

thread_local! {
    /// Rows that an index decided, and rows that were to be read.
    static OUTCOMES: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
}

/// Checks a filter on all rows.
fn agrees(index: &Attributes, rows: &Table, filter: &Filter) -> std::result::Result<[u64; 2], TestCaseError> {
    let decided = index.decide(filter);
    let (certain, possible) = (decided.certain(), decided.possible());
    for row in 0..rows.rows() {
        let metadata = rows.metadata(row as u32).unwrap();
        let matches = filter.matches(metadata);
        let known = (certain.has(row as u32), possible.has(row as u32));
        prop_assert!(!known.0 || matches, "{} does not match {:?}", filter, metadata);
        prop_assert!(known.1 || !matches, "{} matches {:?}", filter, metadata);
    }
    let open = possible.count() - certain.count();
    Ok([rows.rows() as u64 - open, open])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    fn random_rows_and_filters(
        filters in prop::collection::vec(generators::any_filter(), 1..9),
        documents in prop::collection::vec(prop::option::weighted(0.9, generators::document()), 1..90),
        strange in prop::collection::vec(odd(), 0..3),
        is_long: bool,
        run_rows in 1_usize..40,
        seed: u64,
    ) {
        let mut random = SmallRng::seed_from_u64(seed);
        let change = |value| if is_long { lengthened(value) } else { value };
        let texts = documents.into_iter().map(|document| document.map(|document| generators::written(&change(document), &mut random)));
        let rows = Table::of_metadata(texts.chain(strange.into_iter().map(Some)).collect());
        let bytes = build(&rows).unwrap();
        prop_assert_eq!(&build_in_runs(&rows, run_rows).unwrap(), &bytes, "the same in runs of {}", run_rows);
        let index = Attributes::open(bytes).unwrap();
        for json in filters {
            let text = change(json).to_string();
            let [decided, open] = agrees(&index, &rows, &filter(&text))?;
            let [all_decided, all_open] = OUTCOMES.get();
            OUTCOMES.set([all_decided + decided, all_open + open]);
        }
    }
}

#[test]
fn the_index_agrees_with_the_evaluator() {
    random_rows_and_filters();
    let [decided, open] = OUTCOMES.get();
    println!("{decided} rows were decided, {open} were not");
    assert!(decided > 5 * open, "{decided} rows were decided, {open} were not: what is the index for?");
}

/// What needs no reading.
#[test]
fn scalars_short_text_times_and_arrays_are_decided() {
    let documents = [
        json!({"n": 9_007_199_254_740_993_u64, "s": "abc", "t": "2024-01-01T00:00:00Z", "l": ["x", 1, null]}),
        json!({"n": -0.5, "s": "b", "t": "2024-01-01T02:00:00+01:00", "l": [], "o": {"k": true}}),
        json!({"n": null, "s": ["abc", "d"], "o": [{"k": 1}, {"k": 2}]}),
        json!({"x": "a".repeat(100)}),
    ];
    let rows = Table::of_metadata(
        documents.iter().map(|document| Some(document.to_string())).chain([None]).collect(),
    );
    let index = index(&rows);
    let long = "a".repeat(70);
    for text in [
        r#"{"n": 9007199254740993}"#,
        r#"{"n": {"$gt": -1, "$lte": 9007199254740992}}"#,
        r#"{"n": null}"#,
        r#"{"n": {"$ne": null}}"#,
        r#"{"s": {"$in": ["abc", "b", 7]}}"#,
        r#"{"s": {"$startsWith": "ab"}}"#,
        r#"{"s": {"$regex": "^a.c$"}}"#,
        r#"{"s": {"$gte": "abd"}}"#,
        r#"{"t": {"$lt": "2024-01-01T00:30:00Z"}}"#,
        r#"{"l": {"$arrayContainsAll": ["x", 1]}}"#,
        r#"{"l": {"$arrayContains": null}}"#,
        r#"{"l": {"$arrayContainsAll": []}}"#,
        r#"{"o.k": {"$gte": 2}}"#,
        r#"{"$not": {"$or": [{"o.k": {"$exists": true}}, {"s": "b"}]}}"#,
        r#"{"x": {"$contains": "aaa"}}"#,
        r#"{"x": {"$startsWith": "aaa"}}"#,
        r#"{"x": {"$lt": "b"}}"#,
    ] {
        assert_eq!(agrees(&index, &rows, &filter(text)).unwrap(), [5, 0], "{text}");
    }
    // And what does.
    for text in [
        format!(r#"{{"x": {{"$eq": "{long}"}}}}"#),
        r#"{"x": {"$endsWith": "a"}}"#.into(),
        r#"{"o": {"$eq": {"k": true}}}"#.into(),
        r#"{"l": {"$eq": []}}"#.into(),
        r#"{"o.0.k": 1}"#.into(),
    ] {
        let [decided, open] = agrees(&index, &rows, &filter(&text)).unwrap();
        assert!(open > 0 && decided > 1, "{text}: {decided} and {open}");
    }
}

/// Which element is in which of the arrays at a path is not kept.
#[test]
fn whether_one_of_several_arrays_has_all_is_left_open() {
    let documents = [
        json!({"o": [{"k": ["x", "y"]}, {"k": ["z"]}]}),
        json!({"o": [{"k": ["x"]}, {"k": ["y"]}]}),
        json!({"o": {"k": ["x", "y", "z"]}}),
        json!({"o": {"k": ["x"]}}),
    ];
    let rows = Table::of_metadata(documents.iter().map(|document| Some(document.to_string())).collect());
    let all = r#"{"o.k": {"$arrayContainsAll": ["x", "y"]}}"#;
    let not_all = format!(r#"{{"$not": {all}}}"#);
    for text in [all, &not_all] {
        assert_eq!(agrees(&index(&rows), &rows, &filter(text)).unwrap(), [2, 2], "{text}");
    }
}

/// Documents of the slice that is in this repository.
#[test]
fn real_metadata_is_decided() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wordnet/docs.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = Table::of_metadata(text.lines().map(|line| Some(line.to_owned())).collect());
    let index = index(&rows);
    for text in [
        r#"{"pos": "noun"}"#,
        r#"{"domain": {"$in": ["noun.animal", "verb.motion"]}}"#,
        r#"{"domain": {"$startsWith": "noun."}, "pos": {"$ne": "noun"}}"#,
        r#"{"text": {"$icontains": "water"}}"#,
        r#"{"text": {"$startsWith": "a"}}"#,
        r#"{"text": {"$gt": "m", "$lt": "n"}}"#,
        r#"{"id": {"$gte": "1"}}"#,
    ] {
        agrees(&index, &rows, &filter(text)).unwrap();
    }
}

/// No bytes lead astray.
#[test]
fn damaged_bytes_are_refused_or_harmless() {
    let documents = (0..40).map(|row| json!({"a": row % 7, "b": {"c": ["x", row]}, "d": "text"}).to_string());
    let rows = Table::of_metadata(documents.map(Some).collect());
    let whole = build(&rows).unwrap();
    let filter =
        filter(r#"{"$or": [{"a": {"$gte": 3}}, {"b.c": "x"}, {"$not": {"d": {"$contains": "e"}}}]}"#);
    for end in 0..whole.len() {
        assert!(Attributes::open(whole[..end].to_vec()).is_err(), "cut at {end}");
    }
    for at in 0..whole.len() {
        for change in [0xff, 0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            if let Ok(index) = Attributes::open(damaged) {
                let decided = index.decide(&filter);
                let (certain, possible) = (decided.certain(), decided.possible());
                assert!(certain.iter().chain(possible.iter()).all(|row| (row as usize) < index.rows()));
            }
        }
    }
}
