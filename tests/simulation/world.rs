//! What all nodes of a simulation share: the store, true time, the weather, and the record of
//! everything that happened.

use std::{
    fmt::Write,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quiver::{
    clock::SharedClock,
    config::{BackendConfig, Config, RetryConfig, StorageConfig},
    storage::{Beneath, Store},
    types::NamespaceName,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    archive::Archive,
    clock::TrueTime,
    history::{Moment, Record},
    scenario::{Scenario, Weather},
};

/// After this long without an answer a node gives an attempt up. The network does it, not the store's
/// own timeout, which would strike in a paused node, too.
pub const TIMEOUT: Duration = Duration::from_secs(4);
const NEVER: Duration = Duration::from_secs(1 << 30);

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub time: TrueTime,
    /// The objects themselves: no faults, no delays.
    pub store: Store,
    pub config: Config,
    pub weather: Weather,
    calm: AtomicBool,
    ticks: AtomicU64,
    archive: Mutex<Archive>,
    trace: Mutex<String>,
    records: Mutex<Vec<Record>>,
}

impl World {
    /// Everything that differs between simulations follows from the seed.
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        let time = TrueTime::begin();
        let Scenario { weather, mut config, .. } = scenario;
        config.storage = StorageConfig {
            backend: BackendConfig::Memory {},
            retry: RetryConfig {
                tries: 3,
                min_delay: Duration::from_millis(100),
                max_delay: Duration::from_secs(2),
                factor: 2.0,
            },
            timeout: Some(NEVER),
            concurrency: None,
        };
        let clock: SharedClock = std::sync::Arc::new(time.clone());
        // The store draws its pauses from nowhere that a seed reaches, so it makes none.
        let mut storage = config.storage.clone();
        (storage.retry.min_delay, storage.retry.max_delay) = (Duration::ZERO, Duration::ZERO);
        let beneath = Beneath { clock: Some(clock), ..Beneath::default() };
        let store =
            Store::open_over(&storage, std::sync::Arc::default(), &beneath).expect("memory always opens");
        Self {
            seed,
            time,
            store,
            config,
            weather,
            calm: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
            archive: Mutex::default(),
            trace: Mutex::default(),
            records: Mutex::default(),
        }
    }

    /// The namespace that everything is about.
    pub fn namespace() -> NamespaceName {
        NamespaceName::parse("sim", "name").expect("a name")
    }

    /// A source of chance for one purpose.
    pub fn chance(&self, purpose: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
    }

    /// The next moment.
    pub fn moment(&self) -> Moment {
        Moment { tick: self.ticks.fetch_add(1, Ordering::SeqCst), millis: self.time.millis() }
    }

    /// How long something stands still: every other time a few seconds at most.
    pub fn pause(&self, chance: &mut SmallRng) -> Duration {
        let few = Duration::from_secs(8);
        let bound = if chance.random_bool(0.5) { few } else { self.weather.pause };
        Duration::from_millis(chance.random_range(1..bound.as_millis() as u64))
    }

    /// No more faults; what is under way still lands.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub fn archive(&self) -> MutexGuard<'_, Archive> {
        self.archive.lock().expect("no panic while held")
    }

    pub fn note(&self, record: Record) {
        self.records.lock().expect("no panic while held").push(record);
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().expect("no panic while held").clone()
    }

    /// Adds a line to the trace of everything that happens besides requests.
    pub fn trace(&self, event: std::fmt::Arguments<'_>) {
        let millis = self.time.millis();
        let tick = self.ticks.load(Ordering::SeqCst);
        let mut trace = self.trace.lock().expect("no panic while held");
        writeln!(trace, "{millis:>8} ms  [{tick}]  {event}").expect("a string takes everything");
    }

    /// The whole history as text: requests by the time of their answers, then all events.
    pub fn history(&self) -> String {
        let records = self.records();
        let trace = self.trace.lock().expect("no panic while held");
        let mut text = String::new();
        records.iter().for_each(|record| text.push_str(&format!("{record}\n")));
        text.push_str(&trace);
        text
    }
}
