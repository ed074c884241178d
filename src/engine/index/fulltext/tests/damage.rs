//! Whatever the bytes are, opening and searching ends in an answer or an error.

use proptest::prelude::*;

use super::{
    super::*,
    collection::{Texts, all_fields, text},
};
use crate::{
    engine::index::{Best, Mask, top::TopK},
    error::{Error, Result},
    types::text::{FulltextParams, Limits, TextQuery},
};

/// More than two cells of rows whose dead are counted.
const ROWS: usize = 9000;

fn rows() -> Texts {
    let words = |row: usize| format!("a{} b{} w{} fox dog", row % 3, row % 40, row % 700);
    Texts((0..ROWS).map(|row| text(&words(row))).collect())
}

fn ask(bytes: Vec<u8>, params: &FulltextParams) -> Result<()> {
    let Ok(index) = Fulltext::open(bytes, params) else { return Ok(()) };
    let limits = Limits::default();
    // Of one cell all are live.
    let words: Vec<u64> = (0..ROWS / 64).map(|word| if word < 70 { u64::MAX } else { 0x55 }).collect();
    for live in [Mask::All, Mask::Bits(&words)] {
        let live = Live::new(live, index.rows() as usize);
        for query in ["a0 a1 b7 w9 fox", "+fox +b7 -a1", "\"fox dog\"", "b1*", "w12~1", "-fox", "w* a0"] {
            let query = TextQuery::parse(query, "query", &limits)?;
            let mut plan =
                Plan::new(&all_fields(params), &query, "query", &Analyzer::new(params), params, &limits)?;
            expand(&mut plan, &[(&index, &live)], "query", &limits, &|| false)?;
            let asked = Asked::new(&index, &plan)?;
            let weights = Weights::new(&plan, &asked.statistics(&live)?, params);
            let tie = |left: u64, right: u64| left.cmp(&right);
            let mut top = TopK::new(5);
            asked.search(&weights, Mask::All, &mut Best::new(&mut top, &u64::from, &tie), &|| false)?;
            for found in top.into_sorted(&tie) {
                assert!(found.row < u64::from(index.rows()));
            }
        }
    }
    Ok(())
}

#[test]
fn no_bytes_make_it_panic() {
    let params = FulltextParams::default();
    let bytes = build(&rows(), &params).unwrap();
    ask(bytes.clone(), &params).unwrap();
    let errors = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
    let change = (0..bytes.len(), any::<u8>(), 0..bytes.len(), select_value());
    let result = runner.run(&change, |(at, byte, cut, value)| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        if let Some(value) = value {
            let at = cut.min(changed.len() - 4);
            changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        } else {
            changed.truncate(changed.len() - cut % 50);
        }
        match ask(changed, &params) {
            Err(Error::Corrupt { .. }) => errors.set(errors.get() + 1),
            Err(Error::LimitExceeded { .. }) | Ok(()) => {}
            Err(other) => panic!("{other}"),
        }
        Ok(())
    });
    result.unwrap();
    assert!(errors.get() > 20, "only {} changes were noticed", errors.get());
}

fn select_value() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        1 => Just(None),
        3 => prop::sample::select(vec![0, 1, 127, 128, 1 << 20, u32::MAX, u32::MAX - 1, 0x8080_8080]).prop_map(Some),
    ]
}
