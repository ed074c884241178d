//! Building the graph: in batches, in parallel, the same for a seed on any number of threads.
//!
//! The rows are shuffled; each level has a beginning of that order, with one in `m` of the nodes of
//! the level below (the expected number of the paper's random levels), so higher nodes come first
//! and there is one place where walks begin from the first row on. Rows are inserted in batches
//! (Manohar et al., "ParlayANN", 2024, section 3): every row of a batch looks for its neighbours in
//! the graph as it was before the batch, in parallel; then every node that was chosen as a neighbour
//! takes the edges back, in parallel by node. Who does it when changes nothing.
//!
//! Neighbours are selected by the heuristic of Malkov and Yashunin (2018), Algorithm 4: a candidate
//! that is more similar to one already selected than to the node itself is reached through that one.

use rayon::prelude::*;

use super::{
    super::{Cost, Mask, VectorSource, random::Numbers},
    codes::{Frame, Probe},
    layout::{Graph, Layout, Level},
    pool::Scratch,
    walk::Walk,
};
use crate::{
    error::{Error, Result},
    types::{Distance, HnswParams},
};

/// A batch has at most one in so many of the rows inserted before it: members of a batch do not see
/// each other.
const SHARE: usize = 16;
/// A batch has at most one in so many of all rows.
const LARGEST: usize = 50;
/// Selected neighbours that a candidate is compared with at once.
const COMPARED: usize = 4;

/// The bytes of a graph, without its ladder.
pub(super) fn build(
    rows: &dyn VectorSource,
    distance: Distance,
    params: &HnswParams,
    seed: u64,
) -> Result<(Layout, Vec<u8>)> {
    let mut layout = Layout::new(distance, rows.dimension(), rows.rows(), params.m as usize)
        .ok_or_else(|| Error::internal("more rows or values than an HNSW index can hold"))?;
    let frame = Frame::learn(rows, distance)?;
    layout.unit = frame.unit;
    let mut bytes = vec![0; layout.len];
    layout.write_mean(&mut bytes, &frame.mean);
    let (terms, codes) = layout.codes_mut(&mut bytes);
    frame.encode_all(rows, codes, terms)?;

    let mut builder = Builder { layout, bytes, order: shuffled(rows.rows(), seed), params: *params };
    builder.clear();
    let mut done = 1;
    while done < rows.rows() {
        let size = (done / SHARE).min(rows.rows() / LARGEST).max(1);
        let end = rows.rows().min(done + size);
        builder.insert(done, end);
        done = end;
    }
    Ok((builder.layout, builder.bytes))
}

fn shuffled(rows: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let mut numbers = Numbers::new(seed);
    // Fisher and Yates.
    for end in (1..rows).rev() {
        order.swap(end, numbers.below(end + 1));
    }
    order
}

struct Builder {
    layout: Layout,
    bytes: Vec<u8>,
    /// The rows in the order in which they are inserted.
    order: Vec<u32>,
    params: HnswParams,
}

/// New neighbours of a node.
struct Links {
    level: usize,
    node: u32,
    neighbours: Vec<u32>,
}

impl Builder {
    /// Makes all lists empty.
    fn clear(&mut self) {
        for (node, row) in self.order[..self.upper_nodes()].iter().enumerate() {
            self.layout.write_upper(&mut self.bytes, node, *row);
        }
        for level in 0..self.layout.levels() {
            for node in 0..self.layout.nodes(level) {
                self.layout.write_neighbours(&mut self.bytes, level, node as u32, &[]);
            }
        }
    }

    fn upper_nodes(&self) -> usize {
        if self.layout.levels() > 1 { self.layout.nodes(1) } else { 0 }
    }

    fn graph(&self) -> Graph<'_> {
        Graph::new(&self.layout, &self.bytes)
    }

    /// Inserts the rows at these places of the order.
    fn insert(&mut self, start: usize, end: usize) {
        let links: Vec<Links> =
            (start..end).into_par_iter().flat_map_iter(|place| self.links_of(place)).collect();
        let mut edges: Vec<(usize, u32, u32)> = links
            .iter()
            .flat_map(|links| links.neighbours.iter().map(|to| (links.level, *to, links.node)))
            .collect();
        edges.par_sort_unstable();
        let by_target: Vec<&[(usize, u32, u32)]> =
            edges.chunk_by(|left, right| (left.0, left.1) == (right.0, right.1)).collect();
        let returned: Vec<Links> = by_target.into_par_iter().map(|edges| self.links_back(edges)).collect();
        for links in links.iter().chain(&returned) {
            self.layout.write_neighbours(&mut self.bytes, links.level, links.node, &links.neighbours);
        }
    }

    /// The neighbours of a new row, on all its levels.
    fn links_of(&self, place: usize) -> Vec<Links> {
        let graph = self.graph();
        let row = self.order[place];
        let top =
            (0..self.layout.levels()).rev().find(|level| place < self.layout.nodes(*level)).unwrap_or(0);
        Scratch::with(|scratch| {
            let probe = graph.codes.probe(row);
            let mut walk = Walk { graph, probe, scratch, stop: &|| false, cost: Cost::default() };
            let mut starts = vec![walk.descend(top)];
            let mut found = Vec::with_capacity(top + 1);
            for number in (0..=top).rev() {
                let level = graph.level(number);
                walk.begin(self.params.ef_construction as usize);
                starts.iter().for_each(|node| walk.start_at(*node));
                walk.score_into_pool(&level);
                walk.run(&level, &Mask::All);
                let candidates: Vec<(f32, u32)> = walk
                    .scratch
                    .pool
                    .candidates()
                    .iter()
                    .map(|candidate| (candidate.similarity + probe.bias, candidate.node()))
                    .collect();
                let neighbours = select(&graph, &level, &candidates, self.layout.m, walk.scratch);
                starts.clear();
                starts.extend(candidates.iter().map(|(_, node)| match number {
                    1 => level.row(*node),
                    _ => *node,
                }));
                let node = if number == 0 { row } else { place as u32 };
                found.push(Links { level: number, node, neighbours });
            }
            found
        })
    }

    /// The neighbours of a node that others have chosen, of the old ones and of these.
    fn links_back(&self, edges: &[(usize, u32, u32)]) -> Links {
        let (number, node, _) = edges[0];
        let graph = self.graph();
        let level = graph.level(number);
        Scratch::with(|scratch| {
            let mut nodes: Vec<u32> = level.neighbours(node).collect();
            nodes.extend(edges.iter().map(|(_, _, from)| *from));
            let rows: Vec<u32> = nodes.iter().map(|node| level.row(*node)).collect();
            let probe = graph.codes.probe(level.row(node));
            let scored = graph.codes.similarities(&probe, &rows, &mut scratch.products);
            let similarities = scored.map(|(_, similarity)| similarity + probe.bias);
            let mut candidates: Vec<(f32, u32)> = similarities.zip(nodes).collect();
            candidates.sort_unstable_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            let neighbours = if candidates.len() <= level.degree {
                candidates.into_iter().map(|(_, node)| node).collect()
            } else {
                select(&graph, &level, &candidates, level.degree, scratch)
            };
            Links { level: number, node, neighbours }
        })
    }
}

/// At most `limit` of the candidates, which come with their similarities to a node, the best first.
fn select(
    graph: &Graph<'_>,
    level: &Level<'_>,
    candidates: &[(f32, u32)],
    limit: usize,
    scratch: &mut Scratch,
) -> Vec<u32> {
    let mut selected = Vec::with_capacity(limit);
    let mut rows: Vec<u32> = Vec::with_capacity(limit);
    for (similarity, node) in candidates {
        if selected.len() == limit {
            break;
        }
        let row = level.row(*node);
        if !is_reached(graph, &graph.codes.probe(row), *similarity, &rows, scratch) {
            selected.push(*node);
            rows.push(row);
        }
    }
    selected
}

/// Whether a candidate is more similar to one of the rows than to the node that it is a candidate for.
fn is_reached(
    graph: &Graph<'_>,
    candidate: &Probe<'_>,
    similarity: f32,
    rows: &[u32],
    scratch: &mut Scratch,
) -> bool {
    rows.chunks(COMPARED).any(|rows| {
        let mut scored = graph.codes.similarities(candidate, rows, &mut scratch.products);
        scored.any(|(_, other)| other + candidate.bias > similarity)
    })
}
