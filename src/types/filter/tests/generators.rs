//! Random filters and documents of the same few keys and values, so that matches are frequent.

use proptest::{prelude::*, sample::select};
use rand::{RngExt, rngs::SmallRng};
use serde_json::{Value, json};

const KEYS: [&str; 4] = ["a", "b", "0", "1"];

fn scalar() -> impl Strategy<Value = Value> {
    select(vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.0),
        json!(0.5),
        json!(-1),
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("Ab"),
        json!("b\"\\\n"),
        json!("żółw"),
        json!("2024-01-01T00:00:00Z"),
        json!("2024-01-01T01:00:00+01:00"),
        json!("2024-01-01T00:00:00.5Z"),
        json!("2024"),
    ])
}

/// Any JSON value.
pub fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner),]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((select(&KEYS[..]), value), 0..4).prop_map(|members| {
        Value::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    })
}

/// The metadata of a row.
pub fn document() -> impl Strategy<Value = Value> {
    object(value())
}

fn operators() -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(prop_oneof![3 => scalar(), 1 => value()], 0..4).prop_map(Value::from);
    let one = prop_oneof![
        (select(vec!["$eq", "$ne", "$arrayContains"]), prop_oneof![3 => scalar(), 1 => value()]),
        (select(vec!["$in", "$nin", "$arrayContainsAll", "$arrayContainsAny"]), list()),
        (
            select(vec!["$gt", "$gte", "$lt", "$lte"]),
            scalar().prop_filter("no order", |value| value.is_number() || value.is_string())
        ),
        (Just("$exists"), any::<bool>().prop_map(Value::from)),
        (
            select(vec!["$contains", "$icontains", "$startsWith", "$endsWith", "$glob", "$regex"]),
            "[abAż]{0,2}".prop_map(Value::from)
        ),
        (Just("$glob"), "[ab*?]{0,3}".prop_map(Value::from)),
        (Just("$regex"), "\\^?[ab.]{0,2}\\$?".prop_map(Value::from)),
    ];
    let several = |one: BoxedStrategy<(&'static str, Value)>| {
        prop::collection::vec(one, 1..3).prop_map(|all| {
            Value::Object(all.into_iter().map(|(name, value)| (name.into(), value)).collect())
        })
    };
    let one = one.boxed();
    several(one.clone()).prop_recursive(2, 4, 2, move |inner| {
        several(prop_oneof![one.clone(), inner.prop_map(|inner| ("$not", inner))].boxed())
    })
}

/// A filter, as JSON.
pub fn any_filter() -> impl Strategy<Value = Value> {
    let path = prop::collection::vec(select(&KEYS[..]), 1..4).prop_map(|parts| parts.join("."));
    let condition = prop_oneof![
        3 => operators(),
        1 => value().prop_filter("is read as operators", |value| !value.is_object()),
    ];
    let fields = prop::collection::btree_map(path, condition, 0..3)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()));
    fields.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({ "$and": parts })),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({ "$or": parts })),
            inner.clone().prop_map(|part| json!({ "$not": part })),
            (inner.clone(), inner).prop_map(|(left, right)| json!({ "$not": left, "$or": [right] })),
        ]
    })
}

/// A document's JSON with what writers may do to it: spaces, escapes, keys that are written again later.
pub fn written(value: &Value, random: &mut SmallRng) -> String {
    let space = |random: &mut SmallRng| if random.random_range(0..6) == 0 { " \n" } else { "" };
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements
                .iter()
                .map(|element| format!("{}{}{}", space(random), written(element, random), space(random)))
                .collect();
            format!("[{}]", elements.join(","))
        }
        Value::Object(members) => {
            let mut parts = Vec::new();
            for (key, value) in members {
                if random.random_range(0..4) == 0 {
                    parts.insert(0, format!("{}:[1,{{\"a\":\"]}}\\\"\"}}]", string(key, random)));
                }
                let value = written(value, random);
                parts.push(format!("{}{}:{}{value}", string(key, random), space(random), space(random)));
            }
            format!("{{{}{}}}", parts.join(","), space(random))
        }
        Value::String(text) => string(text, random),
        scalar => scalar.to_string(),
    }
}

fn string(text: &str, random: &mut SmallRng) -> String {
    if random.random_range(0..4) == 0 {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        return format!("\"{units}\"");
    }
    serde_json::to_string(text).unwrap()
}
