//! A search: a walk of the graph or a scan of the admitted rows by their bytes, then exact scores of
//! the best.

use std::ops::Range;

use super::{
    super::{Best, Cost, Effort, Mask, Request, VectorIndex, kernel::prefetch, search::AHEAD},
    Hnsw,
    calibrate::NEIGHBOURS,
    codes::Probe,
    pool::Scratch,
    walk::Walk,
};
use crate::{
    error::{Error, Result},
    types::Distance,
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
/// If candidates of a scan may not have been enough, so many times as many are scored exactly.
const WIDER: usize = 8;
/// By how much of the range of their errors the rows that were not scored may be better than those that were.
const UNSEEN: f32 = 0.5;
/// Rows that are scanned, or scored exactly, from one question whether to stop to the next.
const BLOCK: usize = 128;

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

impl Hnsw {
    fn search_codes(
        &self,
        request: &Request<'_>,
        best: &mut Best<'_>,
        scratch: &mut Scratch,
    ) -> Result<Cost> {
        let mut code = std::mem::take(&mut scratch.code);
        code.resize(self.layout.dimension, 0);
        let terms = self.frame.encode(request.query.vector(), &mut code);
        let limit = best.limit().min(self.layout.rows);
        let mut sample = [0; STARTS];
        let (admitted, starts) = admitted(&request.mask, self.layout.rows, &mut sample);
        let (ef, scanned) = match request.mask {
            Mask::All => (ef(request.effort, limit), SCANNED),
            _ => {
                let share = admitted as f32 / self.layout.rows as f32;
                let ef = ef(request.effort, limit) as f32 * (SPARSE / share).max(1.0);
                (ef as usize, SCANNED_MASKED)
            }
        };
        let (graph, probe) = (self.graph(), Probe::new(&code, terms));
        let mut walk = Walk { graph, probe, scratch, stop: request.stop, cost: Cost::default() };
        let mut scans = admitted <= ef.saturating_mul(scanned);
        if !scans {
            self.walk(&mut walk, request, starts, ef);
            let found = walk.scratch.pool.candidates().len();
            scans = !walk.cost.stopped
                && (found < limit.min(admitted) || walk.is_astray(request, limit, admitted));
        }
        if scans {
            self.scan(&mut walk, request, best, reranked(ef, limit))?;
        } else {
            let found = reranked(walk.scratch.pool.candidates().len(), limit);
            walk.rerank(request, best, 0..found, |_, _| ())?;
        }
        let cost = walk.cost;
        scratch.code = code;
        Ok(cost)
    }

    /// Scores admitted rows by their bytes, and exactly as many of the best as it takes to miss none for how
    /// far bytes are off: under a mask there may be many of about the same score.
    fn scan(
        &self,
        walk: &mut Walk<'_>,
        request: &Request<'_>,
        best: &mut Best<'_>,
        mut kept: usize,
    ) -> Result<()> {
        let unit = self.frame.unit_of_similarities();
        let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut done = 0;
        loop {
            walk.scan(request, kept);
            let candidates = walk.scratch.pool.candidates();
            let (found, last) = (candidates.len(), candidates.last().map(|last| last.similarity));
            // With more candidates, the best of them are those that there were with fewer.
            walk.rerank(request, best, done..found, |similarity, score| {
                let above = similarity - unit * request.query.product_of(score);
                (least, most) = (least.min(above), most.max(above));
            })?;
            // Those that are scored look better than they are; others may be so much better than they look.
            let further = (most - least) * UNSEEN - least;
            let may_miss = |last: f32| last + further >= unit * request.query.product_of(best.threshold());
            let is_masked = !matches!(request.mask, Mask::All);
            let is_cut = found == kept && found > done;
            if walk.cost.stopped || !(is_masked && is_cut && last.is_some_and(may_miss)) {
                return Ok(());
            }
            done = found;
            kept = kept.saturating_mul(WIDER);
        }
    }

    fn walk(&self, walk: &mut Walk<'_>, request: &Request<'_>, starts: &[u32], ef: usize) {
        let entry = walk.descend(0);
        let level = walk.graph.level(0);
        walk.begin(ef);
        starts.iter().for_each(|row| walk.start_at(*row));
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

/// About how many rows a mask admits (of bits, exactly), and some of them.
fn admitted<'s>(mask: &Mask<'_>, rows: usize, starts: &'s mut [u32; STARTS]) -> (usize, &'s [u32]) {
    if matches!(mask, Mask::All) {
        return (rows, &[]);
    }
    let (mut hits, mut found) = (0, 0);
    for row in sample(rows) {
        if mask.admits(row) {
            hits += 1;
            if found < STARTS {
                starts[found] = row;
                found += 1;
            }
        }
    }
    (mask.count(rows).unwrap_or(hits * rows / SAMPLED.min(rows)), &starts[..found])
}

/// Rows evenly spread over all.
fn sample(rows: usize) -> impl Iterator<Item = u32> {
    let sampled = SAMPLED.min(rows);
    (0..sampled).map(move |index| (index * rows / sampled) as u32)
}

impl Walk<'_> {
    /// Scores some of the candidates exactly, and tells what each looked like and what it is.
    fn rerank(
        &mut self,
        request: &Request<'_>,
        best: &mut Best<'_>,
        which: Range<usize>,
        mut tell: impl FnMut(f32, f32),
    ) -> Result<()> {
        let candidates = &self.scratch.pool.candidates()[which];
        for (position, candidate) in candidates.iter().enumerate() {
            if position % BLOCK == BLOCK - 1 && (request.stop)() {
                self.cost.stopped = true;
                break;
            }
            if let Some(ahead) = candidates.get(position + AHEAD) {
                prefetch(request.rows.row(ahead.node())?.0);
            }
            tell(candidate.similarity, best.score(request, candidate.node())?);
            self.cost.scored += 1;
        }
        Ok(())
    }

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

    /// Scores all admitted rows by their bytes and keeps the best `limit`.
    fn scan(&mut self, request: &Request<'_>, limit: usize) {
        self.scratch.pool.reset(limit);
        self.scratch.fresh.clear();
        let rows = self.graph.layout.rows;
        for first in (0..rows).step_by(64) {
            let mut bits = admitted_of_64(&request.mask, first, rows);
            while bits != 0 {
                self.scratch.fresh.push(first as u32 + bits.trailing_zeros());
                bits &= bits - 1;
            }
            if self.scratch.fresh.len() >= BLOCK && !self.score_block() {
                return;
            }
        }
        self.score_block();
    }

    /// Scores the rows gathered so far, unless it is time to stop.
    fn score_block(&mut self) -> bool {
        self.cost.stopped = (self.stop)();
        if !self.cost.stopped {
            self.score_into_pool(&self.graph.level(0));
            self.scratch.fresh.clear();
        }
        !self.cost.stopped
    }
}

/// A bit for each admitted row of the 64 from `first` on.
fn admitted_of_64(mask: &Mask<'_>, first: usize, rows: usize) -> u64 {
    let inside = u64::MAX >> 64_usize.saturating_sub(rows - first);
    match mask {
        Mask::All => inside,
        Mask::Bits(words) => words.get(first / 64).copied().unwrap_or(0) & inside,
        Mask::Only(admits) => (first..rows.min(first + 64))
            .filter(|row| admits(*row as u32))
            .fold(0, |bits, row| bits | 1 << (row - first)),
    }
}
