//! Bringing a namespace onto this machine before anybody asks for it.

use super::{Consistency, Engine, context::offload};
use crate::{error::Result, types::NamespaceName};

/// What was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Warmed {
    /// Rows of segments that were read and checked.
    pub rows: u64,
    /// Rows that had been before, or are in memory anyhow.
    pub skipped: u64,
}

impl Engine {
    /// Loads a namespace, brings its segments into the cache and checks every part of them, so that
    /// the next query waits for nothing. What is over the budgets of the cache is let go again, the
    /// oldest first.
    pub async fn warm(&self, name: &NamespaceName) -> Result<Warmed> {
        let snapshot = self.read(name, Consistency::Strong).await?.snapshot();
        let mut warmed = Warmed::default();
        for view in &snapshot.segments {
            let segment = view.segment().clone();
            let (rows, skipped) = offload(segment.reference().bytes(), move || {
                let (mut rows, mut skipped) = (0, 0);
                for batch in 0..segment.batch_count() {
                    let counter = if segment.is_read(batch) { &mut skipped } else { &mut rows };
                    *counter += segment.batch_rows(batch) as u64;
                    segment.batch(batch)?;
                }
                Ok::<_, crate::error::Error>((rows, skipped))
            })
            .await??;
            warmed.rows += rows;
            warmed.skipped += skipped;
        }
        warmed.skipped += snapshot.tail_rows(self.context.clock.now().wall).count() as u64;
        Ok(warmed)
    }
}
