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
};

/// After this long without an answer a node gives an attempt up. The network does it, not the store's
/// own timeout, which would strike in a paused node, too.
pub const TIMEOUT: Duration = Duration::from_secs(4);
const NEVER: Duration = Duration::from_secs(1 << 30);

const HOUR: Duration = Duration::from_secs(3600);

/// How long things take that take long: pauses of clients and nodes, writes that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Requests follow each other closely, and nothing becomes garbage.
    Seconds,
    /// Pauses are longer than a look at the manifest is trusted, and than garbage is kept.
    Minutes,
    /// Mostly nothing happens.
    Hours,
}

/// How likely each fault is, per attempt of a store operation.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub unavailable: f64,
    pub lost_request: f64,
    pub lost_reply: f64,
    pub late: f64,
    pub slow: f64,
    pub stalled: f64,
    /// How long a write may be under way.
    pub latest: Duration,
}

impl Weather {
    fn draw(rng: &mut SmallRng, pace: Pace) -> Self {
        let mut rate = || [0.0, 0.01, 0.05, 0.2][rng.random_range(0..4)];
        let (unavailable, lost_request, lost_reply, late, slow) = (rate(), rate(), rate(), rate(), rate());
        let latest = match pace {
            Pace::Seconds => Duration::from_secs([5, 60][rng.random_range(0..2)]),
            Pace::Minutes => Duration::from_secs([60, 400][rng.random_range(0..2)]),
            Pace::Hours => 4 * HOUR,
        };
        let stalled = [0.0, 0.003, 0.01, 0.03][rng.random_range(0..4)];
        Self { unavailable, lost_request, lost_reply, late, slow, stalled, latest }
    }
}

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub time: TrueTime,
    /// The objects themselves: no faults, no delays.
    pub store: Store,
    pub config: Config,
    pub pace: Pace,
    pub weather: Weather,
    calm: AtomicBool,
    ticks: AtomicU64,
    archive: Mutex<Archive>,
    trace: Mutex<String>,
    records: Mutex<Vec<Record>>,
}

impl World {
    /// Everything that differs between simulations follows from the seed.
    pub fn new(seed: u64) -> Self {
        let time = TrueTime::begin();
        let mut rng = SmallRng::seed_from_u64(seed);
        let pace = match rng.random_range(0..6) {
            0..2 => Pace::Seconds,
            2..5 => Pace::Minutes,
            _ => Pace::Hours,
        };
        let mut config = Config {
            storage: StorageConfig {
                backend: BackendConfig::Memory {},
                retry: RetryConfig {
                    tries: 3,
                    min_delay: Duration::from_millis(100),
                    max_delay: Duration::from_secs(2),
                    factor: 2.0,
                },
                timeout: Some(NEVER),
                concurrency: None,
            },
            ..Config::default()
        };
        config.search.threads = 1;
        config.log.settle_timeout = Duration::from_secs([1, 5, 20][rng.random_range(0..3)]);
        config.compaction.fold_entries = rng.random_range(1..9);
        config.compaction.fan_in = rng.random_range(2..4);
        config.compaction.fold_interval = Duration::from_secs(rng.random_range(0..2));
        let shortest = 2 * config.log.safe_age + Duration::from_secs(1);
        config.garbage.grace = if pace == Pace::Minutes { shortest } else { HOUR };
        let clock: SharedClock = std::sync::Arc::new(time.clone());
        // The store draws its pauses from nowhere that a seed reaches, so it makes none.
        let mut storage = config.storage.clone();
        (storage.retry.min_delay, storage.retry.max_delay) = (Duration::ZERO, Duration::ZERO);
        let beneath = Beneath { clock: Some(clock), ..Beneath::default() };
        let store = Store::open_over(&storage, std::sync::Arc::default(), &beneath).expect("memory always opens");
        Self {
            seed,
            time,
            store,
            config,
            pace,
            weather: Weather::draw(&mut rng, pace),
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

    /// The longest pause: of two, one is a few seconds at most.
    pub fn pause(&self, chance: &mut SmallRng) -> Duration {
        let safe = self.config.log.safe_age;
        let longest = match self.pace {
            Pace::Seconds => 4 * safe,
            Pace::Minutes => 10 * safe,
            Pace::Hours => 4 * HOUR,
        };
        let bound = if chance.random_bool(0.5) { safe / 4 } else { longest };
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
