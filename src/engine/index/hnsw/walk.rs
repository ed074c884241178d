//! Walking the graph: down the levels greedily, then along the best candidates of one level.
//!
//! Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
//! Navigable Small World graphs" (2018), Algorithm 2 (the beam) and Algorithm 5 (the descent).
//!
//! A walk under a mask scores admitted rows alone. Where the mask has removed a neighbour, its own
//! neighbours are looked at in its place, nearest first, until there are as many to score as a whole
//! list has: so the rows that are left stay connected, as in ACORN (Patel et al. 2024, section 5.2,
//! the two-hop expansion), and no hop scores more than one without a mask.

use super::{
    super::{Cost, Mask},
    codes::Probe,
    layout::{Graph, Level},
    pool::Scratch,
};

/// Hops from one question whether to stop to the next.
const HOPS: u64 = 8;

/// One walk.
pub(super) struct Walk<'a> {
    pub graph: Graph<'a>,
    pub probe: Probe<'a>,
    pub scratch: &'a mut Scratch,
    pub stop: &'a (dyn Fn() -> bool + Sync),
    pub cost: Cost,
}

impl Walk<'_> {
    /// The most similar node that is found on the levels above `bottom`, by its number there.
    ///
    /// The index has at least one row.
    pub fn descend(&mut self, bottom: usize) -> u32 {
        let mut node = 0;
        for number in (bottom + 1..self.graph.layout.levels()).rev() {
            let level = self.graph.level(number);
            node = self.climb(&level, node);
            if number == 1 {
                node = level.row(node);
            }
        }
        node
    }

    /// Moves to the most similar neighbour as long as there is a better one.
    fn climb(&mut self, level: &Level<'_>, mut node: u32) -> u32 {
        let mut best = f32::NEG_INFINITY;
        self.scratch.fresh.clear();
        self.scratch.fresh.push(node);
        loop {
            self.score(level);
            let mut better = None;
            let scored = self.scratch.fresh.iter().zip(&self.scratch.similarities);
            for (node, similarity) in scored {
                if *similarity > best {
                    (best, better) = (*similarity, Some(*node));
                }
            }
            let Some(next) = better else { return node };
            node = next;
            self.cost.visited += 1;
            self.scratch.fresh.clear();
            self.scratch.fresh.extend(level.neighbours(node));
        }
    }

    /// Begins a walk of a level that keeps the best `limit` nodes.
    pub fn begin(&mut self, limit: usize) {
        self.scratch.visited.reset(self.graph.layout.rows);
        self.scratch.pool.reset(limit);
        self.scratch.fresh.clear();
    }

    /// Adds a node to begin from, to be scored together with others.
    pub fn start_at(&mut self, node: u32) {
        // Of damaged bytes, it may be none.
        if (node as usize) < self.graph.layout.rows && self.scratch.visited.insert(node) {
            self.scratch.fresh.push(node);
        }
    }

    /// Looks at the neighbours of a node that the mask does not admit.
    pub fn start_around(&mut self, level: &Level<'_>, node: u32, mask: &Mask<'_>) {
        if (node as usize) < self.graph.layout.rows {
            self.scratch.visited.insert(node);
            self.gather_admitted(level, node, mask);
            self.score_into_pool(level);
        }
    }

    /// Goes on from the best candidates until no candidate has unseen neighbours.
    pub fn run(&mut self, level: &Level<'_>, mask: &Mask<'_>) {
        let mut hops = 0;
        while let Some(node) = self.scratch.pool.expand() {
            if hops % HOPS == 0 && (self.stop)() {
                self.cost.stopped = true;
                break;
            }
            hops += 1;
            match mask {
                Mask::All => self.gather(level, node),
                mask => self.gather_admitted(level, node, mask),
            }
            if let Some(next) = self.scratch.pool.upcoming() {
                level.prefetch(next);
            }
            self.score_into_pool(level);
        }
        self.cost.visited += hops;
    }

    fn gather(&mut self, level: &Level<'_>, node: u32) {
        let codes = self.graph.codes;
        let Scratch { visited, fresh, .. } = &mut *self.scratch;
        // Every neighbour is written and the unseen ones counted: about half were seen, so a branch
        // would be guessed wrong as often.
        fresh.resize(level.degree, 0);
        let mut unseen = 0;
        for neighbour in level.neighbours(node) {
            fresh[unseen] = neighbour;
            codes.prefetch_terms(neighbour);
            unseen += usize::from(visited.insert(neighbour));
        }
        fresh.truncate(unseen);
    }

    fn gather_admitted(&mut self, level: &Level<'_>, node: u32, mask: &Mask<'_>) {
        let Scratch { visited, fresh, blocked, .. } = &mut *self.scratch;
        fresh.clear();
        blocked.clear();
        for neighbour in level.neighbours(node) {
            if visited.insert(neighbour) {
                if mask.admits(neighbour) {
                    fresh.push(neighbour);
                } else {
                    level.prefetch(neighbour);
                    blocked.push(neighbour);
                }
            }
        }
        for detour in blocked {
            if fresh.len() >= level.degree {
                break;
            }
            for neighbour in level.neighbours(*detour) {
                if !visited.contains(neighbour) && mask.admits(neighbour) {
                    visited.insert(neighbour);
                    fresh.push(neighbour);
                }
            }
        }
    }

    /// Scores the fresh nodes and keeps the best.
    pub fn score_into_pool(&mut self, level: &Level<'_>) {
        self.score(level);
        let Scratch { pool, fresh, similarities, .. } = &mut *self.scratch;
        for (node, similarity) in fresh.iter().zip(&*similarities) {
            pool.push(*similarity, *node);
        }
    }

    /// The similarities of the fresh nodes.
    pub fn similarities(&mut self, level: &Level<'_>) -> &[f32] {
        self.score(level);
        &self.scratch.similarities
    }

    /// Computes the similarities of the fresh nodes.
    fn score(&mut self, level: &Level<'_>) {
        let Scratch { fresh, rows, products, similarities, .. } = &mut *self.scratch;
        self.cost.estimated += fresh.len() as u64;
        if level.is_upper() {
            // Of damaged bytes, nodes may have rows that there are not.
            let count = self.graph.layout.rows;
            fresh.retain(|node| (level.row(*node) as usize) < count);
            rows.clear();
            rows.extend(fresh.iter().map(|node| level.row(*node)));
        }
        let rows = if level.is_upper() { rows } else { fresh };
        similarities.clear();
        let scored = self.graph.codes.similarities(&self.probe, rows, products);
        similarities.extend(scored.map(|(_, similarity)| similarity));
    }
}
