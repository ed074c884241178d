//! What every command that touches data begins with: logs, the store, the engine.

use std::sync::Arc;

use super::Failure;
use crate::{
    clock::{SharedClock, SystemClock},
    config::{Loaded, LogFormat},
    engine::Engine,
    storage::Store,
    telemetry::{Metrics, logging},
};

/// Begins to log. Commands other than `serve` are quiet unless told otherwise.
pub(super) fn start_logging(loaded: &Loaded, usual_filter: &str) -> Result<(), Failure> {
    let telemetry = &loaded.config.telemetry;
    let style = match telemetry.format {
        LogFormat::Pretty => logging::Style::Pretty,
        LogFormat::Json => logging::Style::Json,
    };
    let is_set = loaded.sources.contains_key("telemetry.filter");
    let filter = if is_set { telemetry.filter.as_str() } else { usual_filter };
    Ok(logging::init(style, filter)?)
}

/// What a command does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It only reads, and needs no permission to write.
    Read,
    /// It writes as well.
    Write,
}

/// An engine on the configured store.
pub(super) struct Node {
    pub engine: Engine,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub clock: SharedClock,
}

impl Node {
    /// Opens the store. Before anything is written to it, it is checked that it keeps its contract.
    pub async fn open(loaded: &Loaded, access: Access) -> Result<Self, Failure> {
        let metrics = Arc::new(Metrics::default());
        let store = Store::open(&loaded.config.storage, Arc::clone(&metrics))?;
        if access == Access::Write {
            store.probe().await?;
        }
        let clock = SystemClock::shared();
        let engine = Engine::new(store.clone(), Arc::clone(&clock), &loaded.config, Arc::clone(&metrics))?;
        Ok(Self { engine, store, metrics, clock })
    }
}
