//! Queries over texts, and indexes over them: whatever a query says, it is refused with a reason or finds rows
//! that its negation does not; whatever bytes say, opening them fails, or searches end with rows that there are.

use std::{collections::BTreeSet, sync::LazyLock};

use quiver::{
    engine::index::{
        Best, Mask, Table,
        fulltext::{
            Analyzer, Asked, Fulltext, Live, MetadataOf, Plan, Statistics, Weights, build, distinct_terms,
            expand,
        },
        top::TopK,
    },
    error::Result,
    types::text::{FulltextParams, Limits, TextQuery},
};

use super::run::{Input, Target};

pub struct TextQueries;
pub struct TextIndexes;

fn params() -> FulltextParams {
    FulltextParams { fields: vec!["text".into(), "title".into()], ..FulltextParams::default() }
}

/// Rows of several shapes.
fn rows(number: u8) -> Table {
    let text = |row: usize| match number % 4 {
        0 => format!(
            r#"{{"text":"quick {} fox w{row}","title":["lazy dog","{}"]}}"#,
            row % 7,
            "fox ".repeat(row % 9)
        ),
        1 => format!(r#"{{"text":"żółw 東京都 naïve’s a{}b"}}"#, row % 5),
        2 => r#"{"title":"the of and"}"#.into(),
        _ => format!(r#"{{"text":"{}"}}"#, "fox dog ".repeat(row)),
    };
    let count = [300, 40, 1, 60][usize::from(number) % 4];
    Table::of_metadata((0..count).map(|row| Some(text(row))).collect())
}

/// What a query finds.
#[derive(Debug, PartialEq)]
pub struct Found {
    rows: BTreeSet<u64>,
    /// Those that have a score when each is asked for its own.
    scored: BTreeSet<u64>,
    /// How many terms there are.
    terms: u64,
    /// Whether nothing is left of the query that could match.
    is_nothing: bool,
}

fn search(index: &Fulltext, query: &str) -> Result<Found> {
    let (params, limits) = (params(), Limits::default());
    let query = TextQuery::parse(query, "query", &limits)?;
    let fields: Vec<usize> = (0..params.fields.len()).collect();
    let mut plan = Plan::new(&fields, &query, "query", &Analyzer::new(&params), &params, &limits)?;
    let live = Live::new(Mask::All, index.rows() as usize);
    expand(&mut plan, &[(index, &live)], "query", &limits, &|| false)?;
    let asked = Asked::new(index, &plan)?;
    let mut sums = Statistics::none(&plan, params.fields.len());
    sums += &asked.statistics(&live)?;
    let weights = Weights::new(&plan, &sums, &params);
    let tie = |left: u64, right: u64| left.cmp(&right);
    let mut top = TopK::new(1000);
    asked.search(&weights, Mask::All, &mut Best::new(&mut top, &u64::from, &tie), &|| false)?;
    let found: BTreeSet<u64> = top.into_sorted(&tie).into_iter().map(|found| found.row).collect();
    assert!(found.iter().all(|row| *row < u64::from(index.rows())), "a row that there is not");
    let wanted: Vec<u32> = (0..index.rows()).collect();
    let scores = asked.scores(&weights, &wanted, &|| false)?;
    let scored = scores.iter().enumerate().filter(|(_, score)| score.is_some());
    let scored: BTreeSet<u64> = scored.map(|(row, _)| row as u64).collect();
    let terms = distinct_terms(&[(index, &live)], 0, &|| false)?.unwrap_or_default();
    Ok(Found { rows: found, scored, terms, is_nothing: plan.root.is_none() })
}

impl Target for TextQueries {
    type Value = BTreeSet<u64>;
    const NAME: &'static str = "text_queries";
    const IS_TEXT: bool = true;
    const IS_SEALED: bool = false;
    const REASONS: usize = 12;
    const SHARE: u64 = 4;

    fn corpus(&self) -> Vec<Input> {
        let queries = [
            "quick fox",
            "\"lazy dog\" OR fo* -lazy",
            "fox~ qiuck~2 +fox -w12 (dog AND NOT fox)",
            "title:fox text:\"quick 3 fox\" title:(lazy OR w1*)",
            "\\-x a\\:b \\\"q\\\" \\*",
            "żółw 東京 naive's* AND (a (b (c (d))))",
            "the of \"the fox of\"",
            "+(a OR b) -(c d) NOT e",
        ];
        queries.iter().map(|query| vec![query.as_bytes().to_vec()]).collect()
    }

    fn read(&self, objects: &Input) -> std::result::Result<Self::Value, String> {
        static INDEX: LazyLock<Fulltext> = LazyLock::new(|| {
            Fulltext::open(build(&MetadataOf(&rows(0)), &params()).unwrap(), &params()).unwrap()
        });
        let query = String::from_utf8(objects[0].clone()).map_err(|error| error.to_string())?;
        let Found { rows: found, scored, is_nothing, .. } =
            search(&INDEX, &query).map_err(|error| error.to_string())?;
        assert_eq!(found, scored, "{query}");
        // A query may be too large or too deep to be negated.
        if let Ok(Found { rows: others, .. }) = search(&INDEX, &format!("-({query})")) {
            let both = found.intersection(&others).count();
            let all = found.len() + others.len();
            // Of stop words alone nothing is left, whatever their sign.
            let expected = if is_nothing { 0 } else { INDEX.rows() };
            assert!(both == 0 && all as u32 == expected, "{query}: {both} in both, {all} in either");
        }
        Ok(found)
    }
}

impl Target for TextIndexes {
    type Value = Vec<Found>;
    const NAME: &'static str = "text_indexes";
    // The manifest has their checksum.
    const IS_SEALED: bool = false;
    const REASONS: usize = 3;
    const SHARE: u64 = 10;

    fn corpus(&self) -> Vec<Input> {
        (0..4).map(|number| vec![build(&MetadataOf(&rows(number)), &params()).unwrap()]).collect()
    }

    fn read(&self, objects: &Input) -> std::result::Result<Self::Value, String> {
        let index = Fulltext::open(objects[0].clone(), &params())?;
        let queries =
            ["quick fox w7", "+fox +dog -lazy", "\"lazy dog\"", "w1*", "fxo~1", "-fox", "東京 żółw"];
        let found = queries.iter().map(|query| search(&index, query).map_err(|error| error.to_string()));
        found.collect()
    }
}
