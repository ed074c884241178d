//! Random filters on random documents of the same few keys and values, so that matches are frequent.

use std::cell::Cell;

use proptest::{prelude::*, sample::select};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{Filter, filter, reference};

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

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner),]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((select(&KEYS[..]), value), 0..4).prop_map(|members| {
        Value::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    })
}

fn document() -> impl Strategy<Value = Value> {
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

fn any_filter() -> impl Strategy<Value = Value> {
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
fn written(value: &Value, random: &mut SmallRng) -> String {
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

thread_local! {
    /// How often filters that do not match everything matched, and did not.
    static OUTCOMES: Cell<[u32; 2]> = const { Cell::new([0; 2]) };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    fn agree(
        filters in prop::collection::vec(any_filter(), 1..6),
        documents in prop::collection::vec(document(), 1..6),
        seed: u64,
    ) {
        let mut random = SmallRng::seed_from_u64(seed);
        for json in &filters {
            let filter = filter(&json.to_string());
            prop_assert_eq!(filter.matches(None), reference::matches(json, &json!({})));
            for document in &documents {
                let text = written(document, &mut random);
                let expected = reference::matches(json, document);
                prop_assert_eq!(filter.matches(Some(&text)), expected, "{} on {}", json, text);
                if !filter.is_everything() {
                    let mut outcomes = OUTCOMES.get();
                    outcomes[usize::from(expected)] += 1;
                    OUTCOMES.set(outcomes);
                }
            }
        }
    }

    #[test]
    fn a_printed_filter_is_read_as_the_same(json in any_filter(), documents in prop::collection::vec(document(), 1..4)) {
        let read = filter(&json.to_string());
        let again = filter(&read.to_string());
        prop_assert_eq!(&again, &read, "{}", json);
        prop_assert_eq!(again.to_string(), read.to_string());
        for document in documents {
            let text = document.to_string();
            prop_assert_eq!(again.matches(Some(&text)), read.matches(Some(&text)));
        }
    }

    #[test]
    fn a_negation_is_the_complement(json in any_filter(), document in document()) {
        let text = document.to_string();
        let negated = filter(&json!({ "$not": json }).to_string());
        prop_assert_ne!(negated.matches(Some(&text)), filter(&json.to_string()).matches(Some(&text)));
    }

    #[test]
    fn text_that_is_cut_matches_nothing_and_no_text_panics(json in any_filter(), document in document(), cut: prop::sample::Index, garbage in "[\\[\\]{}\",:\\\\u0-1abnul ]{0,30}") {
        let text = document.to_string();
        let filter = filter(&json.to_string());
        let cut = (0..text.len()).filter(|at| text.is_char_boundary(*at)).nth(cut.index(text.chars().count())).unwrap();
        prop_assert!(!filter.matches(Some(&text[..cut])), "{}", &text[..cut]);
        filter.matches(Some(&garbage));
        filter.matches(Some(&format!("{{\"a\":{garbage}}}")));
    }

    #[test]
    fn any_json_is_read_or_refused(mut json in prop_oneof![value(), document(), any_filter()], swap in any::<(prop::sample::Index, prop::sample::Index)>()) {
        for json in [json.clone(), { exchange(&mut json, swap); json }] {
            if let Ok(read) = Filter::parse(&json.to_string(), "filter", &super::Limits::default()) {
                prop_assert!(json.is_object());
                prop_assert_eq!(filter(&read.to_string()), read);
            }
        }
    }
}

/// Puts the value at one place of `json` to another.
fn exchange(json: &mut Value, (from, to): (prop::sample::Index, prop::sample::Index)) {
    fn places(value: &Value) -> usize {
        1 + match value {
            Value::Array(elements) => elements.iter().map(places).sum(),
            Value::Object(members) => members.values().map(places).sum::<usize>(),
            _ => 0,
        }
    }
    fn at<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
        if *place == 0 {
            return Some(value);
        }
        *place -= 1;
        match value {
            Value::Array(elements) => elements.iter_mut().find_map(|element| at(element, place)),
            Value::Object(members) => members.values_mut().find_map(|member| at(member, place)),
            _ => None,
        }
    }
    let count = places(json);
    let taken = at(json, &mut from.index(count)).cloned();
    if let (Some(taken), Some(place)) = (taken, at(json, &mut to.index(count))) {
        *place = taken;
    }
}

#[test]
fn the_fast_evaluation_agrees_with_the_slow_one() {
    agree();
    let [no, yes] = OUTCOMES.get();
    assert!(yes.min(no) * 4 > yes.max(no), "{yes} matches, {no} others: the agreement proves little");
}
