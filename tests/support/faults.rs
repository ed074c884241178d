//! Faults beneath a store, under its retries and timeouts, on every backend.
//!
//! A [`Faults`] is a hook that the store calls before and after each attempt of each operation.
//! Faults are scripted one by one ([`Faults::script`]), drawn at random from a seed
//! ([`Faults::random`]), or both (scripts go first). A random decision depends only on the seed,
//! the operation, the key and how often that operation met that key, so the same run of
//! operations meets the same faults however its tasks interleave.
//!
//! ```ignore
//! let faults = Faults::new(7);
//! let store = Store::open_over(&config, metrics, &faults.beneath())?;
//! // Or a second node on the same store, memory included, with faults of its own:
//! let flaky = store.as_seen_by(Arc::default(), Some(faults.hook()));
//!
//! // The first commit's reply is lost; the second try of the next one lands five seconds late.
//! faults.script(Rule::on(Operation::PutIfAbsent).key("/log/").inject(Fault::LostReply));
//! faults.script(Rule::on(Operation::PutIfAbsent).skip(1).inject(Fault::LandLater(Duration::from_secs(5))));
//! // Every third manifest read fails, for as long as this test runs:
//! faults.script(Rule::on(Operation::GetIfChanged).key("/manifest").every(3).inject(Fault::Unavailable));
//! // And a storm of everything:
//! faults.random(Rates::storm(0.1));
//! // …
//! faults.calm();
//! assert!(faults.injected() > 0);
//! ```
//!
//! A hang ends when the store's timeout strikes: set `storage.timeout` to something short.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use quiver::storage::{Attempt, Beneath, Hook, Operation, Stage, StoreErrorKind, Verdict};

/// One thing that can go wrong with one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before the effect: unreachable or throttled. Nothing was done, and the store says so.
    Unavailable,
    /// Before the effect: a permanent refusal. Nothing was done, and the store says so.
    Refused,
    /// Before the effect: the request was lost. Nothing was done, but nobody knows.
    LostRequest,
    /// After the effect: the reply was lost.
    LostReply,
    /// Before the effect: no answer until the timeout, and no effect.
    Hang,
    /// After the effect: no answer until the timeout.
    HangAfter,
    /// Before the effect: the operation takes this much longer.
    Delay(Duration),
    /// The caller is told that no answer came; the write takes effect this much later.
    LandLater(Duration),
}

impl Fault {
    fn stage(self) -> Stage {
        match self {
            Self::LostReply | Self::HangAfter => Stage::After,
            _ => Stage::Before,
        }
    }
}

/// When a scripted fault strikes.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<Operation>,
    key: String,
    skip: u64,
    times: u64,
    every: u64,
    fault: Fault,
    met: u64,
}

impl Rule {
    /// Strikes one operation, once, unless told otherwise.
    pub fn on(operation: Operation) -> Self {
        Self { operation: Some(operation), ..Self::on_any() }
    }

    /// Strikes any operation, once, unless told otherwise.
    pub fn on_any() -> Self {
        let fault = Fault::Unavailable;
        Self { operation: None, key: String::new(), skip: 0, times: 1, every: 1, fault, met: 0 }
    }

    /// Only keys that contain this.
    pub fn key(self, part: impl Into<String>) -> Self {
        Self { key: part.into(), ..self }
    }

    /// Lets this many matching attempts pass first.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Strikes this often.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Strikes every `every`-th matching attempt, without end.
    pub fn every(self, every: u64) -> Self {
        Self { every, times: u64::MAX, ..self }
    }

    /// Strikes every matching attempt, without end.
    pub fn always(self) -> Self {
        self.every(1)
    }

    /// What happens.
    pub fn inject(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    fn strikes(&mut self, attempt: &Attempt) -> bool {
        let matches = self.operation.is_none_or(|operation| operation == attempt.operation)
            && self.fault.stage() == attempt.stage
            && attempt.key.contains(&self.key);
        if !matches || self.times == 0 {
            return false;
        }
        self.met += 1;
        let strikes = self.met > self.skip && (self.met - self.skip).is_multiple_of(self.every);
        if strikes && self.times != u64::MAX {
            self.times -= 1;
        }
        strikes
    }
}

/// How likely each fault is, per attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    pub unavailable: f64,
    pub lost_request: f64,
    pub lost_reply: f64,
    pub hang: f64,
    pub hang_after: f64,
    pub delay: f64,
    pub land_later: f64,
    /// The longest delay.
    pub longest: Duration,
}

impl Rates {
    /// Everything but hangs, each with this probability.
    pub fn storm(rate: f64) -> Self {
        Self {
            unavailable: rate,
            lost_request: rate,
            lost_reply: rate,
            hang: 0.0,
            hang_after: 0.0,
            delay: rate,
            land_later: rate,
            longest: Duration::from_millis(20),
        }
    }
}

/// Faults to put beneath a store; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    rates: Option<Rates>,
    /// How often each (operation, key, stage) was met.
    met: HashMap<(Operation, Arc<str>, Stage), u64>,
    injected: Vec<(Operation, Arc<str>, Fault)>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner { seed, state: Mutex::default() }))
    }

    /// Adds a scripted fault. Rules are asked in order; the first that strikes decides.
    pub fn script(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Draws faults at random from now on.
    pub fn random(&self, rates: Rates) {
        self.state().rates = Some(rates);
    }

    /// No more faults: forgets scripts and rates. What is on its way still lands.
    pub fn calm(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.rates = None;
    }

    /// How many faults struck so far.
    pub fn injected(&self) -> usize {
        self.state().injected.len()
    }

    /// Every fault that struck so far.
    pub fn log(&self) -> Vec<(Operation, Arc<str>, Fault)> {
        self.state().injected.clone()
    }

    /// Attempts of an operation so far that reached the backend or a fault, retries included.
    pub fn attempts(&self, operation: Operation) -> u64 {
        self.attempts_at(operation, "")
    }

    /// The same, only at keys that contain this.
    pub fn attempts_at(&self, operation: Operation, part: &str) -> u64 {
        let state = self.state();
        let before = |(of, key, stage): &(Operation, Arc<str>, Stage)| {
            *of == operation && *stage == Stage::Before && key.contains(part)
        };
        state.met.iter().filter(|(met, _)| before(met)).map(|(_, count)| count).sum()
    }

    /// For [`quiver::storage::Store::as_seen_by`].
    pub fn hook(&self) -> Hook {
        let faults = self.clone();
        Arc::new(move |attempt| {
            let fault = faults.decide(&attempt);
            async move {
                match fault {
                    None => Verdict::Proceed,
                    Some(fault) => act(fault, &attempt).await,
                }
            }
            .boxed()
        })
    }

    /// For [`quiver::storage::Store::open_over`].
    pub fn beneath(&self) -> Beneath {
        Beneath { hook: Some(self.hook()), ..Beneath::default() }
    }

    fn decide(&self, attempt: &Attempt) -> Option<Fault> {
        let mut state = self.state();
        let met = state.met.entry((attempt.operation, attempt.key.clone(), attempt.stage)).or_default();
        *met += 1;
        let nth = *met;
        let scripted = state.rules.iter_mut().find_map(|rule| rule.strikes(attempt).then_some(rule.fault));
        let fault = scripted.or_else(|| draw(state.rates?, self.0.seed, attempt, nth))?;
        state.injected.push((attempt.operation, attempt.key.clone(), fault));
        Some(fault)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }
}

async fn act(fault: Fault, attempt: &Attempt) -> Verdict {
    let no_answer = match attempt.operation.is_write() {
        true => StoreErrorKind::Unknown,
        false => StoreErrorKind::Unavailable,
    };
    match fault {
        Fault::Unavailable => Verdict::Fail(StoreErrorKind::Unavailable, "injected: slow down".into()),
        Fault::Refused => Verdict::Fail(StoreErrorKind::Refused, "injected: permission denied".into()),
        Fault::LostRequest => Verdict::Fail(no_answer, "injected: request lost".into()),
        Fault::LostReply => Verdict::Fail(no_answer, "injected: reply lost".into()),
        Fault::Hang | Fault::HangAfter => std::future::pending().await,
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Verdict::Proceed
        }
        Fault::LandLater(delay) => Verdict::LandLater(delay),
    }
}

/// A decision that depends on nothing but its arguments.
fn draw(rates: Rates, seed: u64, attempt: &Attempt, nth: u64) -> Option<Fault> {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, attempt.operation, &*attempt.key, attempt.stage, nth, salt).hash(&mut hasher);
        hasher.finish() as f64 / u64::MAX as f64
    };
    let length = rates.longest.mul_f64(hash(1));
    let landing = if attempt.operation.is_write() { rates.land_later } else { 0.0 };
    let choices: &[(f64, Fault)] = match attempt.stage {
        Stage::Before => &[
            (rates.unavailable, Fault::Unavailable),
            (rates.lost_request, Fault::LostRequest),
            (rates.hang, Fault::Hang),
            (rates.delay, Fault::Delay(length)),
            (landing, Fault::LandLater(length)),
        ],
        Stage::After => &[(rates.lost_reply, Fault::LostReply), (rates.hang_after, Fault::HangAfter)],
    };
    let mut point = hash(0);
    for (rate, fault) in choices {
        if point < *rate {
            return Some(*fault);
        }
        point -= rate;
    }
    None
}
