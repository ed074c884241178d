//! Random queries on random texts of the same few words, so that matches are frequent.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    collection::{Collection, Texts},
    reference::Reference,
};
use crate::types::text::{Factor, FulltextParams, Language, Limits, TextQuery};

const WORDS: [&str; 20] = [
    "run",
    "runs",
    "Running",
    "rune",
    "café",
    "cafe",
    "the",
    "of",
    "dog's",
    "x1",
    "naïve",
    "wolf",
    "wold",
    "東京都",
    "東",
    "京都に",
    "ж",
    "жук",
    "well-known",
    "ΟΔΟΣ",
];

fn sentence(words: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(select(&WORDS[..]), words).prop_map(|words| words.join(" "))
}

fn metadata() -> impl Strategy<Value = Option<String>> {
    let value = || {
        prop_oneof![
            6 => sentence(0..9).prop_map(Value::from),
            2 => prop::collection::vec(sentence(0..4), 0..3).prop_map(Value::from),
            1 => select(vec![json!(null), json!(7), json!({"a": "run"}), json!([1, "run", ["wolf"], null])]),
        ]
    };
    prop_oneof![
        1 => Just(None),
        9 => (value(), value()).prop_map(|(text, title)| Some(json!({"text": text, "title": title, "x": "run"}).to_string())),
    ]
}

fn part() -> impl Strategy<Value = String> {
    let word = || select(&WORDS[..]).prop_map(String::from);
    let found = prop_oneof![
        5 => word(),
        2 => (word(), 1..3).prop_map(|(word, distance)| format!("{word}~{distance}")),
        2 => select(vec!["r*", "ru*", "run*", "ca*", "東*", "ж*", "w*", "well-k*", "zz*", "the*"]).prop_map(String::from),
        3 => sentence(1..4).prop_map(|words| format!("\"{words}\"")),
    ];
    (select(vec!["", "", "", "title:", "text:"]), found).prop_map(|(field, found)| format!("{field}{found}"))
}

fn query() -> impl Strategy<Value = String> {
    part()
        .prop_recursive(3, 12, 4, |inner| {
            let signed = (select(vec!["", "", "", "+", "-", "NOT "]), inner.clone())
                .prop_map(|(sign, part)| format!("{sign}{part}"));
            let list =
                |separator: &'static str| move |parts: Vec<String>| format!("({})", parts.join(separator));
            prop_oneof![
                3 => prop::collection::vec(signed.clone(), 1..5).prop_map(list(" ")),
                1 => prop::collection::vec(signed, 2..4).prop_map(list(" AND ")),
                1 => prop::collection::vec(inner, 2..4).prop_map(list(" OR ")),
            ]
        })
        // A field within a field is refused.
        .prop_map(|query| {
            query
                .strip_prefix('(')
                .and_then(|query| query.strip_suffix(')'))
                .map_or(query.clone(), String::from)
        })
}

fn params() -> impl Strategy<Value = FulltextParams> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = (select(vec![0.0, 1.2, 2.0]), select(vec![0.0, 0.75, 1.0]), select(vec![1.0, 0.5, 3.0]));
    (switches, numbers, select(vec![Language::English, Language::German, Language::None]), any::<bool>())
        .prop_map(
            |((stemming, stop_words, ascii_folding, case_sensitive), (k1, b, weight), language, two)| {
                FulltextParams {
                    fields: ["title", "text"]
                        .map(String::from)
                        .into_iter()
                        .take(1 + usize::from(two))
                        .collect(),
                    weights: BTreeMap::from([("title".to_owned(), Factor::new(weight).unwrap())]),
                    language,
                    stemming,
                    stop_words,
                    ascii_folding,
                    case_sensitive,
                    k1: Factor::new(k1).unwrap(),
                    b: Factor::new(b).unwrap(),
                }
            },
        )
}

fn parsed(query: &str, params: &FulltextParams) -> Option<TextQuery> {
    let query = query.replace("text:", if params.fields.len() > 1 { "text:" } else { "" });
    TextQuery::parse(&query, "query", &Limits::default()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_index_finds_what_a_slow_search_finds(
        rows in prop::collection::vec(metadata(), 0..40),
        dead in prop::collection::vec(0_usize..40, 0..12),
        cuts in prop::collection::vec(0_usize..100, 0..4),
        others in prop::collection::vec(0_usize..100, 0..4),
        query in query(),
        params in params(),
        top_k in 1_usize..8,
    ) {
        let Some(query) = parsed(&query, &params) else { return Ok(()) };
        let rows = Texts(rows);
        let expected: BTreeMap<usize, f64> = Reference::new(&rows, &params, &dead).search(&query).into_iter().collect();
        let collection = Collection::new(&rows, &params, &cuts, &dead);
        let found = collection.search_among(&query, 1000, &|_| true).unwrap();
        let by_row: BTreeMap<usize, f32> = found.iter().copied().collect();
        prop_assert_eq!(by_row.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (row, score) in &by_row {
            prop_assert!((f64::from(*score) - expected[row]).abs() < 1e-4, "row {}: {} {}", row, score, expected[row]);
        }
        // Spread otherwise, rows have the same scores, to the bit; and fewer are the first of more.
        let spread = Collection::new(&rows, &params, &others, &dead);
        prop_assert_eq!(&spread.search_among(&query, 1000, &|_| true).unwrap(), &found);
        let first: Vec<_> = found.iter().copied().take(top_k).collect();
        prop_assert_eq!(spread.search_among(&query, top_k, &|_| true).unwrap(), first);
        // What a filter lets through has the scores that it has without one.
        let odd: Vec<_> = found.iter().copied().filter(|(row, _)| row % 2 == 1).take(top_k).collect();
        prop_assert_eq!(collection.search_among(&query, top_k, &|row| row % 2 == 1).unwrap(), odd);
    }
}

/// Enough rows for many blocks and windows, so that what cannot be among the best is passed over.
#[test]
fn what_is_passed_over_is_not_missed() {
    let params = FulltextParams { stop_words: false, ..FulltextParams::default() };
    let mut state = 1_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let rows: Vec<_> = (0..30_000)
        .map(|_| {
            let length = 1 + next(12);
            // Word n occurs about half as often as word n - 1.
            let words: Vec<String> =
                (0..length).map(|_| format!("w{}", next(u64::MAX >> 34).leading_zeros() - 34)).collect();
            super::collection::text(&words.join(" "))
        })
        .collect();
    let rows = Texts(rows);
    let dead: Vec<usize> = (0..30_000).filter(|row| row % 7 == 3 || (9000..18_000).contains(row)).collect();
    let whole = Collection::new(&rows, &params, &[], &dead);
    let parts = Collection::new(&rows, &params, &[10_007, 12_000], &dead);
    for query in [
        "w0 w1 w2 w9",
        "w0",
        "w12 w0 w0 w1",
        "w3 w4 w5 w6 w7 w8",
        "+w0 +w9 w3",
        "w0 AND w5 AND NOT w1",
        "\"w0 w1\" w9",
        "w1* w7",
        "w8~1 -w0",
        "(w0 w3) AND (w8 w9)",
        "+(w2 w4) -(w0 AND w1) w9",
    ] {
        let all = whole.search(query, 100_000).unwrap();
        assert!(all.len() > 10, "{query}");
        assert!(
            all.windows(2)
                .all(|pair| (pair[1].1, pair[0].0) <= (pair[0].1, pair[1].0) || pair[1].1 < pair[0].1)
        );
        for top_k in [1, 10, 100] {
            assert_eq!(parts.search(query, top_k).unwrap(), all[..top_k.min(all.len())], "{query} {top_k}");
            assert_eq!(whole.search(query, top_k).unwrap(), all[..top_k.min(all.len())], "{query} {top_k}");
        }
    }
}
