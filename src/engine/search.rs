//! Nearest-neighbour queries.

use super::{Consistency, Engine, Hit, Query, QueryResult, rows::read_row};
use crate::{
    error::{Error, Result},
    types::NamespaceName,
};

impl Engine {
    /// Answers in the order of the queries, all on the same state.
    pub async fn query(
        &self,
        name: &NamespaceName,
        queries: Vec<Query>,
        consistency: Consistency,
    ) -> Result<Vec<QueryResult>> {
        let namespace = self.read(name, consistency).await?;
        let _snapshot = namespace.snapshot();
        let _ = (queries, Hit { score: 0.0, row: todo!() }, read_row, Error::internal("x"));
    }
}
