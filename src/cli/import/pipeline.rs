//! Reading, checking and writing at the same time.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{
    sink::Sink,
    source::{ReadError, RowSource},
};
use crate::{
    cli::{Failure, progress::Progress},
    config::LimitsConfig,
    error::Error,
    service::RowsBuilder,
    types::{NamespaceName, Rows, VectorId},
};

/// A batch ends with the row that takes it past this.
const BATCH_BYTES: u64 = 8 << 20;
/// What rows are called in the paths of the builder's errors.
const ROOT: &str = "row";

/// How an import runs.
pub(super) struct Pipeline {
    pub limits: Arc<LimitsConfig>,
    pub batch_rows: usize,
    pub in_flight: usize,
    pub limit: u64,
}

/// What an import did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    /// Rows that were acknowledged.
    pub rows: u64,
    /// Distinct ids of each batch, added up.
    pub upserted: u64,
    /// Of these, ids that were new; nothing if the server did not say.
    pub inserted: Option<u64>,
}

/// A batch of rows on its way.
struct Batch {
    rows: Rows,
    bytes: u64,
    position: u64,
}

impl Pipeline {
    /// Runs it. Returns what was done, and how that reads.
    pub async fn run(
        self,
        source: Box<dyn RowSource>,
        sink: &Sink,
        namespace: &NamespaceName,
    ) -> Result<(Totals, String), Failure> {
        // With --limit the end of the file says nothing about the end of the work.
        let total = (self.limit == u64::MAX).then(|| source.total()).filter(|total| *total > 0);
        let mut progress = Progress::start("rows", total);
        let (sender, batches) = mpsc::channel(2);
        let in_flight = self.in_flight;
        let reader = tokio::task::spawn_blocking(move || self.read(source, &sender));
        let mut totals = Totals { inserted: Some(0), ..Totals::default() };
        let written = write(batches, sink, namespace, in_flight, &mut progress, &mut totals).await;
        // The sending side has ended, or ends with its next batch, as nobody receives any more.
        let read = reader.await;
        let summary = progress.finish();
        let done =
            format!("imported before it broke off: {} rows; repeating the import is safe", totals.rows);
        written.map_err(|failure| failure.or_hint(done.clone()))?;
        match read {
            Ok(Ok(())) => Ok((totals, summary)),
            Ok(Err(failure)) => Err(failure.or_hint(done)),
            Err(_) => {
                Err(Failure::new("the file could not be read: its reader gave up, it is probably damaged")
                    .hint(done))
            }
        }
    }

    /// Reads the file to its end, or until nobody takes batches any more.
    fn read(self, mut source: Box<dyn RowSource>, batches: &mpsc::Sender<Batch>) -> Result<(), Failure> {
        let batch_rows = self.batch_rows.min(self.limits.batch_rows);
        let (mut left, mut dimension, mut at_end) = (self.limit, None, false);
        while !at_end && left > 0 {
            let mut rows = RowsBuilder::new(&self.limits, ROOT);
            rows.reserve(batch_rows.min(4096), dimension.unwrap_or(0));
            let mut bytes = 0;
            while rows.len() < batch_rows && bytes < BATCH_BYTES && left > 0 {
                match next_row(source.as_mut(), &mut rows, &mut dimension) {
                    Ok(Some(row)) => bytes += row,
                    Ok(None) => {
                        at_end = true;
                        break;
                    }
                    Err(error) => {
                        // What comes before the broken row is written, so that the report is right.
                        let failure = explain(error, source.as_ref(), &rows);
                        let _ = send(batches, rows, bytes, source.position());
                        return Err(failure);
                    }
                }
                left -= 1;
            }
            if send(batches, rows, bytes, source.position()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn send(batches: &mpsc::Sender<Batch>, rows: RowsBuilder<'_>, bytes: u64, position: u64) -> Result<(), ()> {
    if rows.is_empty() {
        return Ok(());
    }
    batches.blocking_send(Batch { rows: rows.finish(), bytes, position }).map_err(drop)
}

/// Reads a row, and holds it to the dimension of the file's first.
fn next_row(
    source: &mut dyn RowSource,
    rows: &mut RowsBuilder<'_>,
    dimension: &mut Option<usize>,
) -> Result<Option<u64>, ReadError> {
    let bytes = source.next_row(rows)?;
    let actual = rows.row_values();
    // A row without a vector has none.
    if bytes.is_some() && actual > 0 {
        let expected = *dimension.get_or_insert(actual);
        if actual != expected {
            rows.remove_last();
            return Err(Error::DimensionMismatch { field: "values".into(), expected, actual }.into());
        }
    }
    Ok(bytes)
}

/// Says where in the file the error is, instead of where in a batch.
fn explain(error: ReadError, source: &dyn RowSource, rows: &RowsBuilder<'_>) -> Failure {
    let place = source.place();
    match error {
        ReadError::File(message) => Failure::new(format!("{place}: {message}")),
        ReadError::Row(error) => {
            let text = Failure::from(error).into_message();
            let in_batch =
                [format!("{ROOT}[{}].", rows.len()), format!("{ROOT}[{}].", rows.len().saturating_sub(1))];
            let text = in_batch.iter().fold(text, |text, path| text.replace(path.as_str(), ""));
            Failure::new(format!("{place}: {text}"))
        }
    }
}

async fn write(
    mut batches: mpsc::Receiver<Batch>,
    sink: &Sink,
    namespace: &NamespaceName,
    in_flight: usize,
    progress: &mut Progress,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let mut under_way = FuturesUnordered::new();
    let mut ids: HashSet<VectorId> = HashSet::new();
    let (mut next, mut at_end) = (None::<Batch>, false);
    loop {
        let fits = |batch: &mut Batch| {
            under_way.len() < in_flight && !batch.rows.ids.iter().any(|id| ids.contains(id))
        };
        if let Some(batch) = next.take_if(fits) {
            ids.extend(batch.rows.ids.iter().cloned());
            under_way.push(async move { (sink.upsert(namespace, &batch.rows).await, batch) });
            continue;
        }
        let wants_batch = next.is_none() && !at_end;
        if under_way.is_empty() && !wants_batch {
            return Ok(());
        }
        tokio::select! {
            batch = batches.recv(), if wants_batch => {
                at_end = batch.is_none();
                next = batch;
            }
            Some((done, batch)) = under_way.next() => {
                let upserted = done?;
                for id in &batch.rows.ids {
                    ids.remove(id);
                }
                totals.rows += batch.rows.len() as u64;
                totals.upserted += upserted.upserted;
                totals.inserted = totals.inserted.zip(upserted.inserted).map(|(sum, inserted)| sum + inserted);
                progress.advance(batch.rows.len() as u64, batch.bytes, batch.position);
            }
        }
    }
}
