//! Aggregations over a namespace.

use super::{
    Consistency, Engine,
    query::{Aggregation, Groups},
};
use crate::{error::Result, types::NamespaceName};

impl Engine {
    /// Counts, sums and the like over the rows that match, exactly, all on the same state.
    ///
    /// # Errors
    /// [`crate::error::Error::LimitExceeded`] if there are too many groups.
    pub async fn aggregate(
        &self,
        name: &NamespaceName,
        aggregation: Aggregation,
        consistency: Consistency,
    ) -> Result<Groups> {
        let namespace = self.read(name, consistency).await?;
        let now = self.context.clock.now().wall;
        self.searchers.aggregate(namespace.snapshot(), aggregation, now).await
    }
}
