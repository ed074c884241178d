//! Rows spread over indexes, some of them dead, searched as a namespace is.

use std::ops::Range;

use super::super::*;
use crate::{
    engine::index::{Best, Mask, top::TopK},
    error::Result,
    types::text::{FulltextParams, Limits, TextQuery},
};

/// The places of all fields.
pub fn all_fields(params: &FulltextParams) -> Vec<usize> {
    (0..params.fields.len()).collect()
}

/// Metadata of rows.
#[derive(Debug, Clone)]
pub struct Texts(pub Vec<Option<String>>);

impl MetadataSource for Texts {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn metadata(&self, row: usize) -> Result<Option<&str>> {
        Ok(self.0[row].as_deref())
    }
}

/// The metadata of a row whose only text is this.
pub fn text(text: &str) -> Option<String> {
    Some(serde_json::json!({ "text": text }).to_string())
}

pub fn open(rows: &Texts, params: &FulltextParams) -> Fulltext {
    Fulltext::open(build(rows, params).unwrap(), params).unwrap()
}

pub struct Collection {
    params: FulltextParams,
    parts: Vec<(Fulltext, Range<usize>)>,
    /// A bit for each row of each part.
    live: Vec<Vec<u64>>,
}

impl Collection {
    /// Cuts rows where `cuts` say.
    pub fn new(rows: &Texts, params: &FulltextParams, cuts: &[usize], dead: &[usize]) -> Self {
        let mut ends: Vec<usize> =
            cuts.iter().map(|cut| cut % (rows.rows() + 1)).chain([rows.rows()]).collect();
        ends.sort_unstable();
        let (mut start, mut parts, mut live) = (0, Vec::new(), Vec::new());
        for end in ends {
            parts.push((open(&Texts(rows.0[start..end].to_vec()), params), start..end));
            let mut words = vec![0; (end - start).div_ceil(64)];
            for row in (start..end).filter(|row| !dead.contains(row)) {
                words[(row - start) / 64] |= 1 << ((row - start) % 64);
            }
            live.push(words);
            start = end;
        }
        Self { params: params.clone(), parts, live }
    }

    pub fn whole(rows: &Texts, params: &FulltextParams) -> Self {
        Self::new(rows, params, &[], &[])
    }

    /// The best rows of those that `admits` lets through, the best first.
    pub fn search_among(
        &self,
        query: &TextQuery,
        top_k: usize,
        admits: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Vec<(usize, f32)>> {
        let limits = Limits::default();
        let mut plan = Plan::new(
            &all_fields(&self.params),
            query,
            "query",
            &Analyzer::new(&self.params),
            &self.params,
            &limits,
        )?;
        let lives: Vec<Live<'_>> = self
            .parts
            .iter()
            .zip(&self.live)
            .map(|((index, _), words)| Live::new(Mask::Bits(words), index.rows() as usize))
            .collect();
        let indexes: Vec<(&Fulltext, &Live<'_>)> =
            self.parts.iter().map(|(index, _)| index).zip(&lives).collect();
        expand(&mut plan, &indexes, "query", &limits, &|| false)?;
        let asked: Vec<Asked<'_>> =
            indexes.iter().map(|(index, _)| Asked::new(index, &plan)).collect::<Result<_>>()?;
        let mut statistics = Statistics::none(&plan, self.params.fields.len());
        for (asked, live) in asked.iter().zip(&lives) {
            statistics += &asked.statistics(live)?;
        }
        let weights = Weights::new(&plan, &statistics, &self.params);
        let tie = |left: u64, right: u64| left.cmp(&right);
        let mut top = TopK::new(top_k);
        for ((asked, live), (_, rows)) in asked.iter().zip(&lives).zip(&self.parts) {
            let number = |row: u32| (rows.start + row as usize) as u64;
            let is_wanted = |row: u32| live.has(row) && admits(rows.start + row as usize);
            let done = asked.search(
                &weights,
                Mask::Only(&is_wanted),
                &mut Best::new(&mut top, &number, &tie),
                &|| false,
            )?;
            assert!(done);
        }
        Ok(top.into_sorted(&tie).into_iter().map(|found| (found.row as usize, found.score)).collect())
    }

    pub fn search(&self, query: &str, top_k: usize) -> Result<Vec<(usize, f32)>> {
        self.search_among(&TextQuery::parse(query, "query", &Limits::default())?, top_k, &|_| true)
    }

    /// The rows that match, ascending.
    pub fn rows(&self, query: &str) -> Vec<usize> {
        let mut rows: Vec<usize> =
            self.search(query, 10_000).unwrap().into_iter().map(|(row, _)| row).collect();
        rows.sort_unstable();
        rows
    }
}
