//! An index of which only parts are here finds what the whole one finds, or says that a part is missing.

use super::super::*;
use super::fixture::*;
use crate::types::{IndexType, SpfreshParams};

/// The index by its head, with the lists that a search wants but for `missing` of them.
fn in_parts(
    index_type: IndexType,
    built: &Built,
    request: &Request<'_>,
    limit: usize,
    missing: usize,
) -> Option<Box<dyn InParts>> {
    let head = head_bytes(index_type, &built.bytes).unwrap();
    let mut index = open_head(index_type, &built.bytes.slice(..head), built.bytes.len() as u64).unwrap();
    for part in index.wanted(request, limit)?.into_iter().skip(missing) {
        let bytes = built.bytes.slice(part.range.start as usize..part.range.end as usize);
        let mut damaged = bytes.to_vec();
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 4;
            assert!(index.supply(part.number, damaged.into()).unwrap_err().contains("hash"));
        }
        index.supply(part.number, bytes).unwrap();
    }
    Some(index)
}

#[test]
fn with_the_lists_that_it_wants_a_search_finds_the_same() {
    let lists = SpfreshParams { list_rows: 40, closure_percent: 15, code_bits: None };
    let third = |row: u32| row.is_multiple_of(3);
    let few = |row: u32| row % 500 == 7;
    let mut complete = 0;
    for kind in [
        Kind::built(IndexSpec::Spfresh(lists)),
        Kind::built(IndexSpec::Pq(crate::types::PqParams { list_rows: 40, subquantizers: None })),
    ] {
        for distance in DISTANCES {
            let built = Built::new(&kind, table(24, 4000, 5), distance);
            built.index.check().unwrap();
            let queries = table(24, 4, 6);
            for (row, effort) in (0..4).flat_map(|row| [0.1, 0.4, 0.7].map(|effort| (row, effort))) {
                let query = Query::new(distance, queries.row(row).unwrap().0);
                for mask in [Mask::All, Mask::Only(&third), Mask::Only(&few)] {
                    for limit in [1, 10, 60] {
                        let effort = Effort::new(effort);
                        let request =
                            Request { query: &query, rows: &built.rows, mask, effort, stop: &|| false };
                        let index = in_parts(kind.spec.index_type(), &built, &request, limit, 0).unwrap();
                        // None: the lists hold too few rows that are admitted.
                        let Some(shortlisted) = index.shortlist(&request, limit, 0).unwrap() else {
                            continue;
                        };
                        complete += 1;
                        let tie = |left: u64, right: u64| left.cmp(&right);
                        let mut top = top::TopK::new(limit);
                        let mut cost = shortlisted.cost;
                        let mut best = Best::new(&mut top, &u64::from, &tie);
                        index.rerank(&request, &shortlisted.candidates, &mut best, &mut cost).unwrap();
                        let whole = search(&built, &query, mask, effort, limit);
                        assert_eq!((top.into_sorted(&tie), cost), whole);
                        let wider = index.shortlist(&request, limit, 5).unwrap().unwrap();
                        assert!(wider.candidates.starts_with(&shortlisted.candidates));
                        let lacking = in_parts(kind.spec.index_type(), &built, &request, limit, 1).unwrap();
                        assert!(lacking.shortlist(&request, limit, 0).unwrap().is_none());
                    }
                }
            }
            let query = Query::new(distance, queries.row(0).unwrap().0);
            let (rows, mask, effort) = (&built.rows, Mask::All, Effort::FULL);
            let request = Request { query: &query, rows, mask, effort, stop: &|| false };
            assert!(
                in_parts(kind.spec.index_type(), &built, &request, 10, 0).is_none(),
                "everything is wanted"
            );
        }
    }
    assert!(complete > 150, "{complete}");
}

#[test]
fn a_head_of_another_length_is_refused() {
    for kind in TYPES {
        let built = Built::new(kind, table(12, 600, 5), Distance::Cosine);
        let Some(head) = head_bytes(kind.spec.index_type(), &built.bytes) else {
            assert!(!has_parts(kind.spec.index_type()));
            continue;
        };
        let length = built.bytes.len() as u64;
        let open =
            |head, length| open_head(kind.spec.index_type(), &built.bytes.slice(..head), length).is_ok();
        assert!(open(head, length));
        for (head, length) in [(head - 1, length), (head + 1, length), (head, length - 1), (0, length)] {
            assert!(!open(head, length), "{head} {length}");
        }
    }
}
