//! What a seed decides in advance: how many nodes and clients there are, what they are like, and how
//! bad the weather is. Seeds take turns at the themes, so that each kind of trouble gets its share.

use std::time::Duration;

use bytesize::ByteSize;
use quiver::config::Config;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const HOUR: Duration = Duration::from_secs(3600);

/// What a simulation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Requests follow each other closely.
    Rush,
    /// Folds and merges everywhere, at the same time.
    Compaction,
    /// The namespace is deleted and created again and again.
    Lives,
    /// Garbage is collected as early as it may be; pauses are longer than that.
    Garbage,
    /// Mostly nothing happens, for hours.
    Idle,
}

impl Theme {
    pub const ALL: [Self; 5] = [Self::Rush, Self::Compaction, Self::Lives, Self::Garbage, Self::Idle];

    /// The theme of a seed.
    pub fn of(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// The seeds of this theme.
    pub fn seeds(self) -> impl Iterator<Item = u64> {
        (0..).filter(move |seed| Self::of(*seed) == self)
    }
}

/// What clients are like.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub requests: usize,
    /// Ids that there are.
    pub ids: u8,
    /// The longest time between two requests.
    pub think: Duration,
    /// Out of a hundred requests, how many create or delete the namespace; of the others, how many
    /// compact it; of the others, how many collect garbage.
    pub lives: u32,
    pub compacts: u32,
    pub collects: u32,
    /// How many of the reads that may be are eventual.
    pub eventual: f64,
    /// Whether some wait for an answer for as long as it takes.
    pub patient: bool,
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
    /// The longest pause of a node.
    pub pause: Duration,
    /// The longest time between two troubles of machines.
    pub trouble: Duration,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub nodes: usize,
    pub clients: usize,
    pub habits: Habits,
    pub weather: Weather,
    pub config: Config,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let theme = Theme::of(seed);
        let mut chance = SmallRng::seed_from_u64(seed);
        let busy = matches!(theme, Theme::Compaction | Theme::Garbage);
        Self {
            nodes: chance.random_range(if busy { 2..5 } else { 1..5 }),
            clients: chance.random_range(2..7),
            habits: habits(theme, &mut chance),
            weather: weather(theme, &mut chance),
            config: config(theme, &mut chance),
        }
    }
}

/// One of several, as likely as the others.
fn one<T: Copy>(chance: &mut SmallRng, of: &[T]) -> T {
    of[chance.random_range(0..of.len())]
}

fn habits(theme: Theme, chance: &mut SmallRng) -> Habits {
    Habits {
        requests: chance.random_range(10..60),
        ids: chance.random_range(2..7),
        think: Duration::from_millis(match theme {
            Theme::Rush | Theme::Compaction => one(chance, &[200, 1000, 3000]),
            Theme::Lives => one(chance, &[1000, 5000, 20_000]),
            Theme::Garbage => one(chance, &[5000, 20_000]),
            Theme::Idle => one(chance, &[5000, 60_000]),
        }),
        lives: match theme {
            Theme::Compaction => 0,
            Theme::Lives => 30,
            _ => one(chance, &[0, 3]),
        },
        compacts: match theme {
            Theme::Compaction | Theme::Garbage => 15,
            _ => one(chance, &[0, 5]),
        },
        collects: match theme {
            Theme::Rush | Theme::Compaction => 0,
            Theme::Garbage => one(chance, &[15, 30]),
            Theme::Lives | Theme::Idle => one(chance, &[5, 15]),
        },
        eventual: one(chance, &[0.1, 0.3, 0.9]),
        patient: !matches!(theme, Theme::Rush | Theme::Compaction),
    }
}

fn weather(theme: Theme, chance: &mut SmallRng) -> Weather {
    let seconds = |seconds| Duration::from_secs(seconds);
    let mut rate = || one(chance, &[0.0, 0.01, 0.05, 0.2]);
    let (unavailable, lost_request, lost_reply, late, slow) = (rate(), rate(), rate(), rate(), rate());
    Weather {
        unavailable,
        lost_request,
        lost_reply,
        late,
        slow,
        stalled: match theme {
            Theme::Compaction | Theme::Lives | Theme::Garbage => one(chance, &[0.003, 0.01, 0.03]),
            _ => one(chance, &[0.0, 0.003, 0.01]),
        },
        latest: match theme {
            Theme::Rush | Theme::Compaction => seconds(one(chance, &[5, 60])),
            Theme::Lives | Theme::Garbage => seconds(one(chance, &[60, 400])),
            Theme::Idle => 4 * HOUR,
        },
        pause: match theme {
            Theme::Rush => seconds(120),
            Theme::Compaction => seconds(20),
            Theme::Lives | Theme::Garbage => seconds(300),
            Theme::Idle => 4 * HOUR,
        },
        trouble: seconds(match theme {
            Theme::Rush | Theme::Compaction => one(chance, &[5, 20, 1 << 20]),
            Theme::Lives | Theme::Garbage => one(chance, &[10, 60, 300]),
            Theme::Idle => one(chance, &[20, 1 << 12, 1 << 14]),
        }),
    }
}

fn config(theme: Theme, chance: &mut SmallRng) -> Config {
    let mut config = Config::default();
    config.search.threads = 1;
    config.log.settle_timeout = Duration::from_secs(one(chance, &[1, 5, 20]));
    let busy = matches!(theme, Theme::Compaction | Theme::Garbage);
    config.compaction.fold_entries = chance.random_range(if busy { 1..4 } else { 1..9 });
    config.compaction.fan_in = if busy { 2 } else { chance.random_range(2..4) };
    config.compaction.fold_interval = Duration::from_secs(chance.random_range(0..2));
    config.garbage.grace = match theme {
        // No shorter one is allowed.
        Theme::Lives | Theme::Garbage => 2 * config.log.safe_age + Duration::from_secs(1),
        _ => HOUR,
    };
    // Nodes that leave work to each other race less, so half of them do not.
    config.compaction.lease = Duration::from_millis(one(chance, &[0, 0, 1000, 30_000]));
    // Changes of many rows take one entry, or one for each row; the vectors of a request always fit.
    config.log.entry_bytes = one(chance, &[config.log.entry_bytes, config.log.entry_bytes, ByteSize::b(40)]);
    // Where segments have indexes, these are built, named, continued and collected, too.
    config.index.min_rows = one(chance, &[1, 5000]);
    config.index.threads = 1;
    config
}
