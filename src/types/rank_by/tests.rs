//! What is read as a ranking, what is not, and in which order rows come.

use proptest::prelude::*;

use super::*;
use crate::error::Error;

fn parse(text: &str) -> Result<RankBy> {
    RankBy::parse(text, "rank_by", &Limits { depth: 4, parts: 6, texts: 2, dimension: 3 })
}

#[test]
fn every_form_is_read_and_printed_as_itself() {
    for text in [
        r#"["ANN",[1,-0.5]]"#,
        r#"["kNN",[0.1]]"#,
        r#"["BM25","żółw"]"#,
        r#"["a.b","BM25","\"x\""]"#,
        r#"["Sum",[["ANN",[1]],["Product",0.5,["BM25","x"]]]]"#,
        r#"["Max",[["kNN",[1]],["Sum",[["text","BM25","x"]]]]]"#,
    ] {
        let ranking = parse(text).unwrap();
        assert!(matches!(ranking, RankBy::Score(_)), "{text}");
        assert_eq!(ranking.to_string(), text);
    }
    for (text, printed) in [
        (r#"["year","asc"]"#, r#"[["year","asc"]]"#),
        (r#" [ [ "year" , "desc" ] , [ "a.b","asc" ] ] "#, r#"[["year","desc"],["a.b","asc"]]"#),
        (r#"["asc","desc"]"#, r#"[["asc","desc"]]"#),
        (r#"["vector","ANN",[1]]"#, r#"["ANN",[1]]"#),
        (r#"["BM25","a","x"]"#, r#"["a","BM25","x"]"#),
        // The name of a function is that of a field only where no function can be.
        (r#"["BM25","asc"]"#, r#"["BM25","asc"]"#),
        (r#"[["BM25","asc"],["Sum","desc"]]"#, r#"[["BM25","asc"],["Sum","desc"]]"#),
    ] {
        let ranking = parse(text).unwrap();
        assert_eq!(ranking.to_string(), printed);
        assert_eq!(parse(printed).unwrap(), ranking);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, place) in [
        ("{}", "rank_by"),
        ("[", "rank_by"),
        ("[]", "rank_by"),
        (r#"["year"]"#, "rank_by"),
        (r#"["year","up"]"#, "rank_by"),
        (r#"["a..b","asc"]"#, "rank_by[0]"),
        (r#"[["year","asc"],["ANN",[1]]]"#, "rank_by[1]"),
        (r#"[["year","asc"],7]"#, "rank_by[1]"),
        (r#"["ANN"]"#, "rank_by"),
        (r#"["ANN","x"]"#, "rank_by[1]"),
        (r#"["ANN",[1,"x"]]"#, "rank_by[1][1]"),
        (r#"["ANN",[1e39]]"#, "rank_by[1][0]"),
        (r#"["ANN",[]]"#, "rank_by[1]"),
        (r#"["ANN",[1,2,3,4]]"#, "rank_by[1]"),
        (r#"["image","ANN",[1]]"#, "rank_by[0]"),
        (r#"["text","BM25",1]"#, "rank_by[2]"),
        (r#"["Sum",["ANN",[1]]]"#, "rank_by[1][0]"),
        (r#"["Sum",[]]"#, "rank_by[1]"),
        (r#"["Sum",[["ANN",[1]],["year","asc"]]]"#, "rank_by[1][1]"),
        (r#"["Product",["ANN",[1]],2]"#, "rank_by[1]"),
        (r#"["Product",-1,["ANN",[1]]]"#, "rank_by[1]"),
        (r#"["Product",2,["Max",[["BM25",null]]]]"#, "rank_by[2][1][0][1]"),
        (r#"["Max",[["Max",[["Max",[["Max",[["ANN",[1]]]]]]]]]]"#, "rank_by[1][0][1][0][1][0][1][0]"),
        (
            r#"["Max",[["ANN",[1]],["ANN",[1]],["ANN",[1]],["ANN",[1]],["ANN",[1]],["ANN",[1]]]]"#,
            "rank_by[1][5]",
        ),
    ] {
        let field = match parse(text) {
            Err(
                Error::Invalid { field, .. }
                | Error::EmptyVector { field }
                | Error::LimitExceeded { field, .. },
            ) => field,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(field, place, "{text}");
    }
}

#[test]
fn an_order_has_no_functions() {
    let limits = Limits { depth: 4, parts: 2, texts: 2, dimension: 3 };
    let parse = |text: &str| OrderBy::parse_all(text, "order_by", &limits);
    for (text, printed) in [
        (r#"["Sum","asc"]"#, r#"[["Sum","asc"]]"#),
        (r#"[["a.b","desc"],["ANN","asc"]]"#, r#"[["a.b","desc"],["ANN","asc"]]"#),
    ] {
        assert_eq!(RankBy::Order(parse(text).unwrap()).to_string(), printed);
    }
    for (text, place) in [
        ("{}", "order_by"),
        ("[", "order_by"),
        ("[]", "order_by"),
        (r#"["a","up"]"#, "order_by"),
        (r#"["ANN",[1]]"#, "order_by"),
        (r#"["a..b","asc"]"#, "order_by[0]"),
        (r#"[["a","asc"],["ANN",[1]]]"#, "order_by[1]"),
        (r#"[["a","asc"],["b","asc"],["c","asc"]]"#, "order_by[2]"),
    ] {
        assert!(matches!(parse(text), Err(Error::Invalid { field, .. }) if field == place), "{text}");
    }
}

#[test]
fn deep_text_is_refused_without_recursion() {
    let deep = r#"["Max",["#.repeat(100_000) + &"]]".repeat(100_000);
    assert!(parse(&deep).is_err());
    assert!(parse(&"[".repeat(100_000)).is_err());
}

fn order(text: &str) -> Vec<OrderBy> {
    match parse(text).unwrap() {
        RankBy::Order(order) => order,
        RankBy::Score(_) => panic!("{text}"),
    }
}

/// The ids in the order of their metadata.
fn sorted(by: &str, rows: &[(&'static str, &str)]) -> String {
    let order = order(by);
    let mut rows: Vec<_> =
        rows.iter().map(|(id, metadata)| (Position::of(&order, id, Some(metadata)), *id)).collect();
    rows.sort();
    for (position, id) in &rows {
        let read = Position::parse(&order, &position.to_string());
        assert_eq!(read.as_ref(), Some(position), "{id}");
    }
    rows.iter().map(|(_, id)| *id).collect()
}

#[test]
fn missing_values_come_last_and_equal_rows_by_id() {
    let rows = [
        ("a", r#"{"n":2}"#),
        ("b", r#"{"n":null}"#),
        ("c", r#"{"n":-1.5}"#),
        ("d", r#"{"n":"10"}"#),
        ("e", "{}"),
        ("f", r#"{"n":2.0}"#),
        ("g", r#"{"n":true}"#),
        ("h", r#"{"n":9007199254740993}"#),
        ("i", r#"{"n":9007199254740992}"#),
        ("j", r#"{"n":{"x":1}}"#),
    ];
    assert_eq!(sorted(r#"["n","asc"]"#, &rows), "gcafihdjbe");
    assert_eq!(sorted(r#"["n","desc"]"#, &rows), "jdhiafcgbe");
}

#[test]
fn of_several_values_the_one_that_comes_first_counts() {
    let rows =
        [("a", r#"{"n":[5,1,null]}"#), ("b", r#"{"n":[]}"#), ("c", r#"{"n":[2,9]}"#), ("d", r#"{"n":3}"#)];
    assert_eq!(sorted(r#"["n","asc"]"#, &rows), "acdb");
    assert_eq!(sorted(r#"["n","desc"]"#, &rows), "cadb");
}

#[test]
fn fields_order_one_after_the_other() {
    let rows = [
        ("a", r#"{"g":"x","o":{"n":1}}"#),
        ("b", r#"{"g":"x","o":{"n":2}}"#),
        ("c", r#"{"g":"y"}"#),
        ("d", r#"{"o":{"n":3}}"#),
        ("e", r#"{"g":"y","o":{"n":1}}"#),
    ];
    assert_eq!(sorted(r#"[["g","desc"],["o.n","asc"]]"#, &rows), "ecabd");
    assert_eq!(sorted(r#"[["o.n","desc"],["g","asc"]]"#, &rows), "dbaec");
}

#[test]
fn a_position_of_another_order_is_refused() {
    let by = order(r#"["n","asc"]"#);
    for bad in ["", "[]", "[1]", r#"[1,2]"#, r#"[1,2,"a"]"#, r#"{"a":1}"#, r#"[1,"a"#, "\"a\""] {
        assert_eq!(Position::parse(&by, bad), None, "{bad}");
    }
}

fn score() -> impl Strategy<Value = Score> {
    let near = (prop::collection::vec(-1e3f32..1e3, 1..4), any::<bool>());
    let leaf = prop_oneof![
        near.prop_map(|(vector, exact)| Score::Near(Near { vector, exact, place: "".into() })),
        (prop::option::of("[a-c]{1,2}"), any::<String>()).prop_map(|(field, text)| {
            let field = field.map(|field| Path::parse(&field).unwrap());
            Score::Words(Words { field, text: text.into(), place: "".into() })
        }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts().prop_map(Score::Sum),
            parts().prop_map(Score::Max),
            (0.0f32..1e6, inner.clone()).prop_map(|(factor, part)| Score::Product(factor, Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn printing_keeps_the_ranking(score in score()) {
        let ranking = RankBy::Score(score);
        prop_assert_eq!(RankBy::parse(&ranking.to_string(), "rank_by", &Limits::default()).unwrap(), ranking);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",.0-9ANBM25SumMaxasc ]{0,40}") {
        let _ = parse(&text);
    }
}

#[test]
fn scores_of_text_are_bounded() {
    let sum = |texts: usize| {
        let parts = [r#"["BM25", "a"]"#, r#"["text", "BM25", "a"]"#, r#"["BM25", "c"]"#];
        format!(r#"["Sum", [{}]]"#, parts[..texts].join(","))
    };
    parse(&sum(2)).unwrap();
    match parse(&sum(3)).unwrap_err() {
        Error::LimitExceeded { field, limit, max, actual } => {
            assert_eq!((&*field, limit, max, actual), ("rank_by[1][2]", "limits.rank_by_texts", 2, 3));
        }
        other => panic!("{other}"),
    }
}
