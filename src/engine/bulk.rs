//! Changing the rows that match a filter.

use std::{sync::Arc, time::Duration};

use super::{
    Engine,
    namespace::{Progress, RowChange, SHOWN, Selection, Write, Written},
};
use crate::{
    error::{Error, Result},
    types::{Filter, NamespaceName, VectorId},
};

/// Which rows to change, and how many with one request.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// Which.
    pub filter: Arc<Filter>,
    /// Only those with a greater id.
    pub after: Option<VectorId>,
    /// How many at most; all if missing.
    pub limit: Option<u64>,
    /// How long the request may take; what is left to do then is left to the next one.
    pub time: Duration,
}

/// What became of rows that match.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Rows that matched.
    pub matched: u64,
    /// Of these, rows that were changed.
    pub changed: u64,
    /// Of these, rows that could not be.
    pub refused: u64,
    /// The first hundred of those, and why.
    pub errors: Vec<(VectorId, Error)>,
    /// The last id that was looked at, if rows after it may match, too.
    pub next: Option<VectorId>,
    /// Rows whose metadata was read to decide which rows match: each once, however many parts there were, and
    /// those that were written meanwhile.
    pub read: u64,
}

impl Engine {
    /// Deletes rows. Those that one entry of the log holds disappear together; of more, those with the least
    /// ids come first, and each part is decided on the state that it changes.
    ///
    /// # Errors
    /// As for other writes, if nothing was changed before, or if that is not known.
    pub async fn delete_matching(&self, name: &NamespaceName, bulk: Bulk) -> Result<Changed> {
        self.change_matching(name, bulk, RowChange::Delete).await
    }

    /// Gives rows other metadata: what `edit` makes of that which they have, if it is not the same. Their
    /// vectors and the times at which they expire stay. In parts as [`Engine::delete_matching`].
    ///
    /// # Errors
    /// As [`Engine::delete_matching`]. What `edit` refuses is told of in the answer.
    pub async fn update_matching(
        &self,
        name: &NamespaceName,
        bulk: Bulk,
        edit: impl Fn(Option<&str>) -> Result<Option<Arc<str>>> + Send + Sync + 'static,
    ) -> Result<Changed> {
        self.change_matching(name, bulk, RowChange::Edit(Arc::new(edit))).await
    }

    async fn change_matching(&self, name: &NamespaceName, bulk: Bulk, change: RowChange) -> Result<Changed> {
        let began = self.context.clock.now();
        let mut all = Changed { next: bulk.after, ..Changed::default() };
        let known = Progress::default();
        loop {
            let limit = bulk.limit.unwrap_or(u64::MAX) - all.matched;
            let selection = Selection {
                filter: bulk.filter.clone(),
                after: all.next.clone(),
                limit,
                change: change.clone(),
                known: known.clone(),
            };
            let write = Write::Matching(Arc::new(selection));
            match self.write(name, write).await {
                Ok(written) => all.add(written),
                Err(error) if all.matched > 0 && left_nothing(&error) => return Ok(all),
                Err(error) => return Err(error),
            }
            let is_late = began.age(self.context.clock.now()) + self.context.log.settle_timeout >= bulk.time;
            if all.next.is_none() || is_late || bulk.limit.is_some_and(|limit| all.matched >= limit) {
                return Ok(all);
            }
        }
    }
}

/// Whether the part that failed changed nothing for certain: what was changed before is told then, and the next
/// request, which goes on from there, is told what is wrong.
fn left_nothing(error: &Error) -> bool {
    !matches!(error, Error::OutcomeUnknown { .. })
}

impl Changed {
    /// Adds what the next part did.
    fn add(&mut self, Written { changes, report, .. }: Written) {
        self.changed += changes;
        self.matched += report.matched;
        self.refused += report.refused;
        self.read += report.read;
        self.errors.extend(report.errors);
        self.errors.truncate(SHOWN);
        self.next = report.last;
    }
}
