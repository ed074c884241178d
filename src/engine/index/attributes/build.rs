//! Building: rows in runs of a bounded number, in parallel, and the runs merged into one.
//!
//! What the bytes are depends on the rows alone. Memory: the runs, which take about as much as the index, the
//! index itself, and 24 bytes for each value of the one path that is merged.

use rayon::prelude::*;

use super::{
    collect::{Collector, Paths, Run, Step},
    file::Writer,
    key::{Key, UNSURE},
};
use crate::{engine::index::RowSource, error::Result};

/// Rows of a run.
const RUN_ROWS: usize = 16 << 10;

/// Builds an index over the metadata of all rows.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn build(source: &dyn RowSource) -> Result<Vec<u8>> {
    build_in_runs(source, RUN_ROWS)
}

/// The same, in runs of so many rows.
pub(super) fn build_in_runs(source: &dyn RowSource, run_rows: usize) -> Result<Vec<u8>> {
    let rows = source.rows();
    let runs = (0..rows.div_ceil(run_rows)).into_par_iter().map(|run| {
        let mut collector = Collector::default();
        for row in run * run_rows..rows.min((run + 1) * run_rows) {
            collector.add(row as u32, source.metadata(row as u32)?);
        }
        Ok(collector.finish())
    });
    let runs: Vec<Run> = runs.collect::<Result<_>>()?;
    Ok(merge(rows, &runs).unwrap_or_else(|| unsure(rows)))
}

/// An index that knows nothing.
fn unsure(rows: usize) -> Vec<u8> {
    let mut writer = Writer::new(rows, &[(0, "".into())]);
    writer.begin_path();
    let all: Vec<u32> = (0..rows as u32).collect();
    writer.add(Key::of_kind(UNSURE).bytes(), std::iter::once(&all[..]));
    writer.finish().unwrap_or_default()
}

/// The keys of one path in one run.
struct Keys<'r> {
    path: u32,
    run: &'r Run,
    keys: std::ops::Range<usize>,
}

/// One index of all runs. None if its parts are longer than it has numbers for.
fn merge(rows: usize, runs: &[Run]) -> Option<Vec<u8>> {
    let (paths, numbers) = number_paths(runs);
    let mut parts: Vec<Keys<'_>> = Vec::new();
    for (run, numbers) in runs.iter().zip(&numbers) {
        parts.extend(run.by_path().map(|(path, keys)| Keys { path: numbers[path as usize], run, keys }));
    }
    // In a stable order: the rows of an earlier run come first.
    parts.sort_by_key(|part| part.path);
    let mut writer = Writer::new(rows, &paths);
    let mut parts = parts.as_slice();
    for path in 0..paths.len() as u32 {
        let (of_path, rest) = parts.split_at(parts.partition_point(|part| part.path == path));
        parts = rest;
        writer.begin_path();
        merge_path(of_path, &mut writer);
    }
    writer.finish()
}

fn merge_path(parts: &[Keys<'_>], writer: &mut Writer) {
    let keys = parts.iter().enumerate().flat_map(|(part, keys)| {
        keys.keys.clone().map(move |key| (keys.run.key(key), part as u32, key as u32))
    });
    let mut keys: Vec<(&[u8], u32, u32)> = keys.collect();
    if parts.len() > 1 {
        keys.par_sort_unstable();
    }
    for same in keys.chunk_by(|left, right| left.0 == right.0) {
        let rows = same.iter().map(|(_, part, key)| parts[*part as usize].run.rows(*key as usize));
        writer.add(same[0].0, rows);
    }
}

/// All paths, sorted by the number of the one that they continue and then by name, and the number of each
/// run's paths among them.
fn number_paths(runs: &[Run]) -> (Vec<Step>, Vec<Vec<u32>>) {
    let mut all = Paths::default();
    let known: Vec<Vec<u32>> = runs
        .iter()
        .map(|run| {
            let mut known: Vec<u32> = Vec::with_capacity(run.paths.len());
            for (parent, name) in &run.paths {
                // The root continues itself.
                let path = known.get(*parent as usize).map_or(0, |parent| all.child(*parent, name));
                known.push(path);
            }
            known
        })
        .collect();
    let mut children = vec![Vec::new(); all.steps.len()];
    for (path, (parent, _)) in all.steps.iter().enumerate().skip(1) {
        children[*parent as usize].push(path);
    }
    // Level after level, so that a path's number is greater than that of the one it continues.
    let (mut order, mut numbers, mut next) = (vec![0], vec![0; all.steps.len()], 0);
    while let Some(path) = order.get(next).copied() {
        let mut children = std::mem::take(&mut children[path]);
        children.sort_unstable_by(|left, right| all.steps[*left].1.cmp(&all.steps[*right].1));
        for child in children {
            numbers[child] = order.len() as u32;
            order.push(child);
        }
        next += 1;
    }
    let step = |path: &usize| {
        let (parent, name) = &all.steps[*path];
        (numbers[*parent as usize], name.clone())
    };
    let paths = order.iter().map(step).collect();
    let numbers = known.into_iter().map(|known| known.iter().map(|path| numbers[*path as usize]).collect());
    (paths, numbers.collect())
}
