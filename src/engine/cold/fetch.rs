//! Ranges of an object, near ones by one request.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    engine::{context::Context, namespace::judged},
    error::Result,
    storage::Key,
};

/// Bytes between two ranges that are read rather than asked around: a request takes longer.
const GAP: u64 = 8 << 10;

/// Ranges that are to be read.
#[derive(Debug, Default)]
pub struct Ranges {
    /// Ascending, apart from each other.
    runs: Vec<Range<u64>>,
}

impl Ranges {
    /// Of any ranges, in any order.
    pub fn new(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        let mut runs: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match runs.last_mut() {
                Some(run) if range.start <= run.end.saturating_add(GAP) => run.end = run.end.max(range.end),
                _ => runs.push(range),
            }
        }
        Self { runs }
    }

    /// How many requests they take.
    pub fn requests(&self) -> u64 {
        self.runs.len() as u64
    }

    /// How many bytes they bring.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Reads them all at once: as many are in flight as `storage.concurrency` lets.
    ///
    /// # Errors
    /// As of any read; an object that is shorter is damaged.
    pub async fn read(self, context: &Context, key: &Key) -> Result<Pieces> {
        let reads = self.runs.into_iter().map(async |run| {
            let start = run.start;
            let bytes = context
                .store
                .get_range(key, run)
                .await
                .map_err(|error| judged(context, key, error.into()))?;
            Ok::<_, crate::error::Error>((start, bytes))
        });
        Ok(Pieces { runs: futures::future::try_join_all(reads).await? })
    }
}

/// What was read.
#[derive(Debug)]
pub struct Pieces {
    /// Where each begins, ascending.
    runs: Vec<(u64, Bytes)>,
}

impl Pieces {
    /// The bytes of a range, if they were read.
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let run = self.runs.partition_point(|(start, _)| *start <= range.start).checked_sub(1)?;
        let (start, bytes) = &self.runs[run];
        let (from, to) = (range.start - start, range.end.checked_sub(*start)?);
        (from <= to && to <= bytes.len() as u64).then(|| bytes.slice(from as usize..to as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn near_ranges_go_together_and_each_is_found(
            starts in prop::collection::vec((0_u64..200_000, 0_u64..9000), 0..40),
        ) {
            let ranges: Vec<_> = starts.iter().map(|(start, length)| *start..start + length).collect();
            let wanted = Ranges::new(ranges.clone());
            for pair in wanted.runs.windows(2) {
                prop_assert!(pair[0].end + GAP < pair[1].start);
            }
            let byte = |at: u64| (at % 251) as u8;
            let runs = wanted.runs.iter().map(|run| (run.start, run.clone().map(byte).collect::<Bytes>()));
            let pieces = Pieces { runs: runs.collect() };
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                let expected: Vec<u8> = range.clone().map(byte).collect();
                prop_assert_eq!(pieces.get(range).unwrap(), expected);
            }
            prop_assert_eq!(pieces.get(&(300_000..300_001)), None);
        }
    }
}
