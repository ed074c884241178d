//! The fast evaluation agrees with the slow one, on random filters and documents.

use std::cell::Cell;

use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{
    Filter, filter,
    generators::{any_filter, document, value, written},
    reference,
};

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
