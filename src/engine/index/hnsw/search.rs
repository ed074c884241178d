//! A search: a walk of the graph or a scan of the admitted rows by their bytes, then exact scores of
//! the best.

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
        let walks = admitted > ef.saturating_mul(scanned);
        if walks {
            self.walk(&mut walk, request, starts, ef);
        }
        let found = walk.scratch.pool.candidates().len();
        if !walks || (found < limit.min(admitted) && !walk.cost.stopped) {
            walk.scan(request, reranked(ef, limit));
        }
        let mut cost = walk.cost;
        let candidates = scratch.pool.candidates();
        let candidates = &candidates[..reranked(candidates.len(), limit)];
        for (position, candidate) in candidates.iter().enumerate() {
            if position % BLOCK == BLOCK - 1 && (request.stop)() {
                cost.stopped = true;
                break;
            }
            if let Some(ahead) = candidates.get(position + AHEAD) {
                prefetch(request.rows.row(ahead.node())?.0);
            }
            best.score(request, candidate.node())?;
            cost.scored += 1;
        }
        scratch.code = code;
        Ok(cost)
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
    let sampled = SAMPLED.min(rows);
    let (mut hits, mut found) = (0, 0);
    for index in 0..sampled {
        let row = (index * rows / sampled) as u32;
        if mask.admits(row) {
            hits += 1;
            if found < STARTS {
                starts[found] = row;
                found += 1;
            }
        }
    }
    (mask.count(rows).unwrap_or(hits * rows / sampled), &starts[..found])
}

impl Walk<'_> {
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
