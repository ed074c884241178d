//! A search: a walk of the graph or a scan of the admitted rows by their bytes, then exact scores of
//! the best.

use std::ops::Range;

use super::{
    super::{Best, Cost, Effort, Mask, Request, VectorIndex},
    Hnsw,
    calibrate::NEIGHBOURS,
    codes::{Probe, Terms},
    pool::{Candidate, Scratch, part_best, part_from},
    walk::Walk,
};
use crate::{
    error::{Error, Result},
    types::{Distance, list_set_bits},
};

/// Candidates that a walk keeps at the least and at the most effort but full.
const EF: std::ops::RangeInclusive<f32> = 8.0..=2048.0;
/// The most effort that is not full.
const LARGEST: f32 = 0.999;
/// For more than the measured number of neighbours, candidates grow as this power of the number: for
/// a recall of .95 among 100 neighbours it took 140 on embeddings of sentences, among 10, 47.
const WIDENING: f32 = 0.48;
/// Rows that are looked at, evenly spread, to see how many a mask admits.
const SAMPLED: usize = 256;
/// Of those that are admitted, where a walk begins besides.
const STARTS: usize = 16;
/// If so many rows per candidate of a walk are admitted, scanning them takes as long as the walk, or
/// less: without a mask,
const SCANNED: usize = 16;
/// and with one, where walks are longer and rows further apart.
const SCANNED_MASKED: usize = 192;
/// Below this share of admitted rows, walks keep more candidates, the more the fewer there are: their
/// graph has lost neighbours that two hops do not make up for.
const SPARSE: f32 = 0.125;
/// Rows whose mask is looked at together, and admitted ones that are scanned at the least from one question
/// whether to stop to the next: each time, memory is waited for anew.
const BLOCK: usize = 4096;

impl VectorIndex for Hnsw {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        let rows = request.rows;
        if rows.rows() != self.layout.rows || rows.dimension() != self.layout.dimension {
            return Err(Error::internal("an index of other rows than it is searched with"));
        }
        if request.query.vector().len() != self.layout.dimension
            || request.query.distance() != self.layout.distance
        {
            return Err(Error::internal("an index of another kind of vectors than the query"));
        }
        if best.limit() == 0 || rows.rows() == 0 {
            return Ok(Cost::default());
        }
        if request.effort.is_full() {
            return best.score_all(request);
        }
        Scratch::with(|scratch| self.search_codes(request, best, scratch))
    }

    fn effort_for(&self, recall: f32, top_k: usize) -> Effort {
        let effort = self.layout.ladder.effort_for(recall);
        if effort.is_full() || top_k <= NEIGHBOURS {
            return effort;
        }
        let wider = (top_k as f32 / NEIGHBOURS as f32).powf(WIDENING);
        Effort::new((effort.value() + wider.ln() / (EF.end() / EF.start()).ln()).min(LARGEST))
    }

    fn distance(&self) -> Distance {
        self.layout.distance
    }

    fn shape(&self) -> (usize, usize) {
        (self.layout.rows, self.layout.dimension)
    }

    fn resident_bytes(&self) -> u64 {
        self.content.size() as u64
    }
}

/// How many candidates a walk keeps at an effort that is not full.
fn ef(effort: Effort, limit: usize) -> usize {
    let (least, most) = (*EF.start(), *EF.end());
    let ef = least * (most / least).powf(effort.value());
    (ef as usize).max(limit)
}

/// Of so many candidates, how many are scored exactly. The order by bytes is nearly the exact one on
/// real embeddings; with more effort, less is taken for granted.
fn reranked(candidates: usize, limit: usize) -> usize {
    candidates.min((limit + limit / 2 + 5).max(candidates / 8))
}

/// A query in bytes.
struct Encoded<'a> {
    terms: Terms,
    first: &'a [u8],
    /// Room for its second bytes.
    rest: &'a mut [u8],
}

impl Hnsw {
    fn search_codes(
        &self,
        request: &Request<'_>,
        best: &mut Best<'_>,
        scratch: &mut Scratch,
    ) -> Result<Cost> {
        let mut code = std::mem::take(&mut scratch.code);
        code.resize(2 * self.layout.dimension, 0);
        let (first, rest) = code.split_at_mut(self.layout.dimension);
        let terms = self.frame.encode(request.query.vector(), first);
        let limit = best.limit().min(self.layout.rows);
        let admitted = admitted(&request.mask, self.layout.rows);
        let usual = ef(request.effort, limit);
        let (ef, scanned) = match request.mask {
            Mask::All => (usual, SCANNED),
            _ => {
                let share = admitted.max(1) as f32 / self.layout.rows as f32;
                ((usual as f32 * (SPARSE / share).max(1.0)) as usize, SCANNED_MASKED)
            }
        };
        let (graph, probe) = (self.graph(), Probe::new(first, terms));
        let mut walk = Walk { graph, probe, scratch, stop: request.stop, cost: Cost::default() };
        let mut scans = admitted <= ef.saturating_mul(scanned);
        if !scans {
            self.walk(&mut walk, request, ef);
            let found = walk.scratch.pool.candidates().len();
            scans = !walk.cost.stopped
                && (found < limit.min(admitted) || walk.is_astray(request, limit, admitted));
        }
        if scans {
            self.scan(&mut walk, request, best, reranked(usual, limit), Encoded { terms, first, rest })?;
        } else {
            let found = reranked(walk.scratch.pool.candidates().len(), limit);
            let candidates = &walk.scratch.pool.candidates()[..found];
            walk.cost += best.score_each(request, candidates.iter().map(Candidate::node))?;
        }
        let cost = walk.cost;
        scratch.code = code;
        Ok(cost)
    }

    /// Scores admitted rows by their bytes and the best `kept` exactly; under a mask, then all others that may
    /// be better for how far bytes are off, until there are none: there may be many of about the same score.
    fn scan(
        &self,
        walk: &mut Walk<'_>,
        request: &Request<'_>,
        best: &mut Best<'_>,
        kept: usize,
        Encoded { terms, first, rest }: Encoded<'_>,
    ) -> Result<()> {
        let is_masked = !matches!(request.mask, Mask::All);
        walk.scan(request, is_masked);
        let mut next = part_best(&mut walk.scratch.scanned, kept);
        let mut done = 0;
        while next > 0 {
            let candidates = walk.scratch.scanned[done..done + next].iter();
            walk.cost += best.score_each(request, candidates.map(Candidate::node))?;
            if walk.cost.stopped || !is_masked {
                break;
            }
            let is_first_round = done == 0;
            done += next;
            let least = self.frame.similarity_of(&terms, best.settle());
            next = part_from(&mut walk.scratch.scanned[done..], least);
            if next > 0 && is_first_round {
                self.frame.encode_rest(request.query.vector(), &terms, first, rest);
            }
            // A closer look is cheaper than an exact score, whose vector is in no cache. What it leaves out stays
            // out: scores to be reached only rise.
            walk.look_closer(done..done + next, rest);
            next = part_from(&mut walk.scratch.scanned[done..done + next], least);
        }
        Ok(())
    }

    fn walk(&self, walk: &mut Walk<'_>, request: &Request<'_>, ef: usize) {
        let entry = walk.descend(0);
        let level = walk.graph.level(0);
        walk.begin(ef);
        if !matches!(request.mask, Mask::All) {
            let admitted = sample(self.layout.rows).filter(|row| request.mask.admits(*row));
            admitted.take(STARTS).for_each(|row| walk.start_at(row));
        }
        if request.mask.admits(entry) {
            walk.start_at(entry);
        }
        walk.score_into_pool(&level);
        if !request.mask.admits(entry) {
            walk.start_around(&level, entry, &request.mask);
        }
        walk.run(&level, &request.mask);
    }
}

/// How many rows a mask admits: exactly, or as a sample tells.
fn admitted(mask: &Mask<'_>, rows: usize) -> usize {
    mask.count(rows).unwrap_or_else(|| {
        let hits = sample(rows).filter(|row| mask.admits(*row)).count();
        hits * rows / SAMPLED.min(rows)
    })
}

/// Rows evenly spread over all.
fn sample(rows: usize) -> impl Iterator<Item = u32> {
    let sampled = SAMPLED.min(rows);
    (0..sampled).map(move |index| (index * rows / sampled) as u32)
}

impl Walk<'_> {
    /// Whether a walk under a mask ended far from what it was to find, as it does if all admitted rows are
    /// far from the query: there are so many of about the same similarity then that no way leads to the
    /// best. It shows in a sample of all rows: if the mask lies anywhere, those that come before the last
    /// row that was found are as many as it leaves out, and else they are more.
    fn is_astray(&mut self, request: &Request<'_>, limit: usize, admitted: usize) -> bool {
        if matches!(request.mask, Mask::All) {
            return false;
        }
        let Some(last) = self.scratch.pool.candidates().get(limit - 1).map(|last| last.similarity) else {
            return false;
        };
        let rows = self.graph.layout.rows;
        let expected = SAMPLED.min(rows) as f32 * limit as f32 / admitted as f32;
        self.scratch.fresh.clear();
        self.scratch.fresh.extend(sample(rows));
        let similarities = self.similarities(&self.graph.level(0));
        let before = similarities.iter().filter(|similarity| **similarity > last).count();
        before as f32 > 1.0 + 2.0 * expected
    }

    /// Scores all admitted rows by their bytes, or by what may be true `at_best`, and keeps all of them.
    fn scan(&mut self, request: &Request<'_>, at_best: bool) {
        self.scratch.scanned.clear();
        self.each_block(request, |walk| {
            walk.scratch.fresh.iter().for_each(|row| walk.graph.codes.prefetch_terms(*row));
            let Scratch { scanned, fresh, products, .. } = &mut *walk.scratch;
            walk.cost.estimated += fresh.len() as u64;
            walk.graph.codes.multiply(&walk.probe, fresh, products);
            // Once, so that it can be taken away again; and now that the bytes of rows are in the cache.
            if at_best && scanned.is_empty() {
                walk.graph.codes.allow_for_errors(&mut walk.probe, fresh);
            }
            let scored = walk.graph.codes.by_products(&walk.probe, fresh, products);
            scanned.extend(scored.map(|(node, similarity)| Candidate::new(similarity, node)));
        });
    }

    /// Looks at second bytes of the query for some of what was scanned.
    fn look_closer(&mut self, some: Range<usize>, rest: &[u8]) {
        let Scratch { scanned, fresh, products, .. } = &mut *self.scratch;
        let candidates = &mut scanned[some];
        fresh.clear();
        fresh.extend(candidates.iter().map(Candidate::node));
        let less = self.graph.codes.less_at_best(&self.probe, rest, fresh, products);
        candidates.iter_mut().zip(less).for_each(|(candidate, less)| candidate.similarity -= less);
    }

    /// Gathers the admitted rows, block by block, unless it is time to stop.
    fn each_block(&mut self, request: &Request<'_>, mut score: impl FnMut(&mut Self)) {
        let rows = self.graph.layout.rows;
        self.scratch.fresh.clear();
        for first in (0..rows).step_by(BLOCK) {
            let end = rows.min(first + BLOCK);
            let Scratch { listed, fresh, .. } = &mut *self.scratch;
            listed.resize(BLOCK, 0);
            let count = gather(&request.mask, first..end, listed);
            fresh.extend_from_slice(&listed[..count]);
            if fresh.len() >= BLOCK || end == rows {
                self.cost.stopped = (self.stop)();
                if self.cost.stopped {
                    return;
                }
                score(self);
                self.scratch.fresh.clear();
            }
        }
    }
}

/// Lists those of some rows that a mask admits, ascending; returns how many. There is room for all of them, and
/// the first is a multiple of 64.
fn gather(mask: &Mask<'_>, rows: Range<usize>, places: &mut [u32]) -> usize {
    match mask {
        Mask::All => list(rows.map(|row| row as u32), places),
        Mask::Bits(words) => {
            let words = &words[words.len().min(rows.start / 64)..words.len().min(rows.end.div_ceil(64))];
            let count = list_set_bits(words, rows.start as u32, places);
            // The last word may have bits for rows that there are not.
            places[..count].partition_point(|row| (*row as usize) < rows.end)
        }
        Mask::Only(admits) => list(rows.map(|row| row as u32).filter(|row| admits(*row)), places),
    }
}

fn list(rows: impl Iterator<Item = u32>, places: &mut [u32]) -> usize {
    rows.zip(places).map(|(row, place)| *place = row).count()
}
