//! What queries and parameters mean, by example.

use super::{
    super::*,
    collection::{Collection, Texts, all_fields, open, text},
};
use crate::types::text::{FulltextParams, Language, Limits, TextQuery};

fn of(texts: &[&str], params: &FulltextParams) -> Collection {
    Collection::whole(&Texts(texts.iter().map(|words| text(words)).collect()), params)
}

#[test]
fn queries_mean_what_the_guide_says() {
    let collection = of(
        &[
            "The quick brown fox jumps over the lazy dog", // 0
            "A quick dog is not a lazy fox",               // 1
            "Brown bread and café au lait",                // 2
            "Foxes jumped; dogs ran. Well-known facts",    // 3
            "version 2.0 of C++ at http://example.com",    // 4
        ],
        &FulltextParams::default(),
    );
    for (query, rows) in [
        ("fox", &[0, 1, 3][..]),
        ("FOXES jumping", &[0, 1, 3]),
        ("bread dog", &[0, 1, 2, 3]),
        ("\"quick brown\"", &[0]),
        ("\"brown quick\"", &[]),
        ("\"jumps over the lazy\"", &[0]),
        ("\"quick dog is not a lazy fox\"", &[1]),
        ("qui*", &[0, 1]),
        ("quikc~", &[0, 1]),
        ("qiuk~1", &[]),
        ("qiuk~2", &[0, 1]),
        ("+fox -jump", &[1]),
        ("fox NOT jump", &[1]),
        ("fox AND jump", &[0, 3]),
        ("fox AND NOT lazy", &[3]),
        ("fox AND (brown OR ran)", &[0, 3]),
        ("bread OR ran", &[2, 3]),
        ("-fox", &[2, 4]),
        ("NOT (fox OR bread)", &[4]),
        ("+lazy brown", &[0, 1]),
        ("the", &[]),
        ("+the +bread", &[2]),
        ("the -fox", &[]),
        ("-the", &[]),
        ("(-the) lait", &[2]),
        ("lait -(-the)", &[2]),
        ("cafe", &[2]),
        ("CAFÉ", &[2]),
        ("+well-known", &[3]),
        ("well\\-known", &[3]),
        ("text:lait", &[2]),
        ("text:(lait ran)", &[2, 3]),
        ("2.0", &[4]),
        ("http://example.com", &[4]),
        ("+ -", &[]),
        ("", &[]),
        ("and or not", &[]),
        ("c\\+\\+", &[4]),
    ] {
        assert_eq!(collection.rows(query), rows, "{query}");
    }
    let plain = TextQuery::plain("-fox \"bread (ran~ *");
    let found = collection.search_among(&plain, 10, &|_| true).unwrap();
    assert_eq!(found.len(), 4);
}

#[test]
fn a_query_that_names_no_field_of_the_index_is_refused() {
    let collection = of(&["a"], &FulltextParams::default());
    let error = collection.search("titel:a", 1).unwrap_err().to_string();
    assert!(error.contains("titel") && error.contains("text"), "{error}");
}

#[test]
fn scripts_without_spaces_are_found_by_parts_of_words() {
    let collection = of(
        &["東京都に住む", "京都は古い", "서울특별시 한국", "ภาษาไทยง่าย", "ﾊﾞｽ停 ＡＢＣ", "北京 Beijing 大学"],
        &FulltextParams { language: Language::None, ..FulltextParams::default() },
    );
    for (query, rows) in [
        ("東京", &[0][..]),
        ("京都", &[0, 1]),
        ("\"東京都\"", &[0]),
        ("+京都は", &[1]),
        ("京", &[0, 1, 5]),
        ("む", &[0]),
        ("特別", &[]),
        ("특별", &[2]),
        ("ไทย", &[3]),
        ("バス", &[4]),
        ("abc", &[4]),
        ("beijing", &[5]),
    ] {
        assert_eq!(collection.rows(query), rows, "{query}");
    }
}

#[test]
fn parameters_change_what_is_the_same_word() {
    let texts = ["Running cafés", "run café", "the RUN", "Häuser Straße"];
    let base = FulltextParams::default();
    let none = FulltextParams { stemming: false, stop_words: false, ascii_folding: false, ..base.clone() };
    let cased = FulltextParams { case_sensitive: true, ..none.clone() };
    let german = FulltextParams { language: Language::German, ..base.clone() };
    for (params, query, rows) in [
        (&base, "runs", &[0, 1, 2][..]),
        (&none, "run", &[1, 2]),
        (&none, "the", &[2]),
        (&none, "cafe", &[]),
        (&none, "café", &[1]),
        (&cased, "run", &[1]),
        (&cased, "RUN", &[2]),
        (&german, "Haus", &[3]),
        (&german, "strasse", &[3]),
    ] {
        assert_eq!(of(&texts, params).rows(query), rows, "{params:?} {query}");
    }
}

#[test]
fn texts_are_found_where_paths_lead() {
    let rows = [
        r#"{"a": {"b": "one"}}"#,
        r#"{"a": {"b": ["two", 3, "three"]}}"#,
        r#"{"a": [{"b": "four"}, {"b": ["five"]}, "six"]}"#,
        r#"{"a.b": "seven", "b": "eight"}"#,
        r#"{"a": {"b": {"c": "nine"}}, "a": {"b": "ten"}}"#,
        r#"{"a": {"b": "eleven tw\u0065lve"}}"#,
    ];
    let rows = Texts(rows.map(|row| Some(row.into())).into());
    let params = FulltextParams { fields: vec!["a.b".into()], ..FulltextParams::default() };
    let collection = Collection::whole(&rows, &params);
    for (query, found) in [
        ("one", &[0][..]),
        ("two", &[1]),
        ("three", &[1]),
        ("four", &[2]),
        ("five", &[2]),
        ("six", &[]),
        ("seven", &[]),
        ("eight", &[]),
        ("nine", &[]),
        ("ten", &[4]),
        ("twelve", &[5]),
        ("a.b:one", &[0]),
        ("\"two three\"", &[]),
    ] {
        assert_eq!(collection.rows(query), found, "{query}");
    }
}

#[test]
fn a_rare_word_a_short_text_and_a_heavy_field_count_more() {
    let texts = ["wolf", "wolf moon", "wolf wolf moon sun", "sun", "sun", "sun moon and much more of it"];
    let collection = of(&texts, &FulltextParams::default());
    let best = |query: &str| collection.search(query, 1).unwrap()[0].0;
    assert_eq!((best("wolf"), best("moon"), best("sun moon")), (0, 1, 2));
    let rows = Texts(vec![
        Some(r#"{"a": "wolf", "b": "moon"}"#.into()),
        Some(r#"{"a": "moon", "b": "wolf"}"#.into()),
    ]);
    for (weight, first) in [(2.0, 0), (0.5, 1)] {
        let weights = [("a".to_owned(), crate::types::text::Factor::new(weight).unwrap())].into();
        let params =
            FulltextParams { fields: vec!["a".into(), "b".into()], weights, ..FulltextParams::default() };
        assert_eq!(Collection::whole(&rows, &params).search("wolf", 1).unwrap()[0].0, first);
    }
}

#[test]
fn too_many_terms_are_an_error_and_not_a_shorter_answer() {
    let texts: Vec<String> = (0..5000).map(|word| format!("word{word}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let collection = of(&texts, &FulltextParams::default());
    let error = collection.search("word*", 1).unwrap_err().to_string();
    assert!(error.contains("limits.text_expansions"), "{error}");
    assert_eq!(collection.rows("word1*").len(), 1111);
    let many: Vec<String> = (0..1100).map(|word| format!("x{word}")).collect();
    let error =
        collection.search_among(&TextQuery::plain(&many.join(" ")), 1, &|_| true).unwrap_err().to_string();
    assert!(error.contains("limits.text_query_terms"), "{error}");
}

#[test]
fn the_same_rows_give_the_same_bytes_whatever_the_threads_do() {
    let rows =
        Texts((0..40_000).map(|row| text(&format!("w{} w{} 東京 {}", row % 13, row % 1700, row))).collect());
    let params = FulltextParams::default();
    let build = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| build(&rows, &params).unwrap())
    };
    let one = build(1);
    assert!(one == build(3));
    let index = Fulltext::open(one.clone(), &params).unwrap();
    assert_eq!((index.rows(), index.check()), (40_000, Ok(())));
    let mut other = one;
    *other.last_mut().unwrap() ^= 1;
    assert!(Fulltext::open(other, &params).unwrap().check().is_err());
}

#[test]
fn an_index_serves_the_parameters_that_it_was_built_for() {
    let params = FulltextParams::default();
    let bytes = build(&Texts(vec![text("a b")]), &params).unwrap();
    let heavier = FulltextParams { k1: crate::types::text::Factor::new(2.0).unwrap(), ..params.clone() };
    assert!(heavier.indexes_as(&params) && Fulltext::open(bytes.clone(), &heavier).is_ok());
    let other = FulltextParams { language: Language::French, ..params.clone() };
    assert!(!other.indexes_as(&params) && Fulltext::open(bytes, &other).is_err());
}

#[test]
fn expansion_asks_for_live_terms_only() {
    let rows = Texts(vec![text("apple"), text("apply")]);
    let params = FulltextParams { stemming: false, ..FulltextParams::default() };
    let index = open(&rows, &params);
    let live = Live::new(crate::engine::index::Mask::Bits(&[0b10]), 2);
    let limits = Limits { expansions: 1, ..Limits::default() };
    let query = TextQuery::parse("app*", "query", &limits).unwrap();
    let mut plan =
        Plan::new(&all_fields(&params), &query, "query", &Analyzer::new(&params), &params, &limits).unwrap();
    expand(&mut plan, &[(&index, &live)], "query", &limits, &|| false).unwrap();
    assert_eq!(Asked::new(&index, &plan).unwrap().statistics(&live).unwrap().leaves, [[1]]);
}

/// Planning asks for each word once, wherever it stands in however many.
#[test]
fn equal_leaves_of_many_are_one() {
    let params = FulltextParams { stop_words: false, stemming: false, ..FulltextParams::default() };
    let limits = Limits { terms: 200_000, ..Limits::default() };
    let words: Vec<String> = (0..200_000).map(|word| format!("w{}", word % 150_000)).collect();
    let query = TextQuery::plain(&words.join(" "));
    let plan = Plan::new(&all_fields(&params), &query, "query", &Analyzer::new(&params), &params, &limits);
    let plan = plan.unwrap();
    assert_eq!(plan.leaves.len(), 150_000);
    let Some(plan::Node::Group { should, .. }) = plan.root else { panic!("several words") };
    assert_eq!((&should[7], &should[149_999]), (&plan::Node::Leaf(7, 2), &plan::Node::Leaf(149_999, 1)));
}

#[test]
fn expanding_and_counting_end_when_nobody_waits() {
    let rows = Texts((0..3000).map(|row| text(&format!("word{row}"))).collect());
    let params = FulltextParams::default();
    let index = open(&rows, &params);
    let live = Live::new(crate::engine::index::Mask::All, 3000);
    let parts = [(&index, &live)];
    let limits = Limits::default();
    for query in ["word*", "word1~2"] {
        let query = TextQuery::parse(query, "query", &limits).unwrap();
        let analyzer = Analyzer::new(&params);
        let plan = Plan::new(&all_fields(&params), &query, "query", &analyzer, &params, &limits).unwrap();
        for (stops_after, is_done) in [(1, false), (1000, true)] {
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= stops_after;
            assert_eq!(expand(&mut plan.clone(), &parts, "query", &limits, &stop).unwrap(), is_done);
            asked.store(0, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(distinct_terms(&parts, 0, &stop).unwrap(), is_done.then_some(3000));
        }
    }
}

#[test]
fn a_prefix_of_pairs_of_letters_asks_for_all_pairs() {
    let collection = of(&["東京都に住む", "東北と京都", "東京タワー"], &FulltextParams::default());
    assert_eq!(collection.rows("東京都*"), [0]);
    assert_eq!(collection.rows("東京*"), [0, 2]);
    assert_eq!(collection.rows("東*"), [0, 1, 2]);
    // A letter alone begins pairs; in a phrase it is one that ends its run.
    let collection = of(&["東京都", "東 京都", "北東 京都"], &FulltextParams::default());
    assert_eq!(collection.rows("東"), [0, 1, 2]);
    assert_eq!(collection.rows("\"東 京都\""), [1, 2]);
}

#[test]
fn negations_alone_are_not_of_words() {
    let (params, limits) = (FulltextParams::default(), Limits::default());
    for (query, is_of_words) in [
        ("fox", true),
        ("fox -dog", true),
        ("-dog", false),
        ("fox OR (-dog)", false),
        ("+fox (-dog)", true),
        ("fo*", false),
        ("the", true),
    ] {
        let query = TextQuery::parse(query, "query", &limits).unwrap();
        let plan =
            Plan::new(&all_fields(&params), &query, "query", &Analyzer::new(&params), &params, &limits);
        assert_eq!(plan.unwrap().is_of_words(), is_of_words, "{query:?}");
    }
}
