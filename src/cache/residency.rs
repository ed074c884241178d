//! Keeps what maps take of this process's memory within a budget.
//!
//! A page of a mapped file counts as this process's memory once it was read, and Linux takes it back
//! only when memory runs out. So readers say what they touch ([`super::Watch`]), and when that
//! is more than the budget, regions that were not touched again lately are handed back. They can
//! still be read: that costs a page fault, or a read of the file if the system dropped the page.
//!
//! The order is that of the CLOCK algorithm: regions wait in a queue, and one that was touched since
//! it was queued last goes to its end once more. Touching what is resident takes no lock but a shared
//! one. The count errs by what is read without a touch, or while it is being handed back, and by what
//! is mapped beyond the border of a region.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use memmap2::{Mmap, UncheckedAdvice};

use super::held::{Held, Mapping};
use crate::telemetry::{CacheTier, Metrics};

/// What is counted and handed back at once, in bytes: the most that Linux maps where a page was touched,
/// since it may hold so much of a file in one piece and (from 6.18 on, whatever it is advised) maps such a
/// piece whole. Counting less would let the rest pile up, which nobody hands back.
const REGION: usize = 2 << 20;
/// Dead entries of the queue that do no harm.
const SLACK: usize = 1024;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
/// Present, and touched since it was queued.
const TOUCHED: u8 = 2;

pub(super) struct Residency {
    budget: u64,
    resident: AtomicU64,
    /// By address: where each map ends, and the map.
    maps: RwLock<BTreeMap<usize, (usize, Weak<Held>)>>,
    queue: Mutex<VecDeque<(Weak<Held>, usize)>>,
    /// How long the queue was when dead entries were last removed.
    swept: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// The state of each region of one map.
pub(super) struct Regions {
    residency: Arc<Residency>,
    start: usize,
    /// Of the map, in bytes.
    length: usize,
    states: Box<[AtomicU8]>,
}

impl Residency {
    pub fn new(budget: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            budget,
            resident: AtomicU64::new(0),
            maps: RwLock::default(),
            queue: Mutex::default(),
            swept: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Takes a map into account.
    pub fn admit(self: &Arc<Self>, map: Mmap) -> Arc<Held> {
        let start = map.as_ptr().addr();
        let end = start + map.len();
        let states = (0..map.len().div_ceil(REGION)).map(|_| AtomicU8::new(ABSENT)).collect();
        let regions = Regions { residency: self.clone(), start, length: map.len(), states };
        let held = Arc::new(Held::Mapped(Mapping { regions, map }));
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        maps.insert(start, (end, Arc::downgrade(&held)));
        held
    }

    /// The map that bytes lie in.
    pub fn find(&self, bytes: &[u8]) -> Option<Arc<Held>> {
        if bytes.is_empty() {
            return None;
        }
        let start = bytes.as_ptr().addr();
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        let (_, (end, held)) = maps.range(..=start).next_back()?;
        if start + bytes.len() <= *end { held.upgrade() } else { None }
    }

    /// Counts regions of a map as resident, and hands back others if that is too much. `reserved` is what
    /// else is taken of the budget.
    pub fn touched(&self, held: &Arc<Held>, regions: Range<usize>, reserved: u64) {
        let Held::Mapped(mapping) = &**held else { return };
        let new = mapping.regions.touch(regions);
        if new.is_empty() {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let added = new.iter().map(|region| mapping.regions.bytes(*region)).sum::<u64>();
        let resident = self.resident.fetch_add(added, Ordering::Relaxed) + added;
        queue.extend(new.into_iter().map(|region| (Arc::downgrade(held), region)));
        let budget = self.budget.saturating_sub(reserved);
        if resident > budget {
            // A little more than needed, so that the next touches have room.
            self.hand_back(&mut queue, budget - budget / 8);
        }
        if queue.len() > SLACK + 2 * self.swept.load(Ordering::Relaxed) {
            queue.retain(|(map, _)| map.strong_count() > 0);
            self.swept.store(queue.len(), Ordering::Relaxed);
        }
        drop(queue);
        self.report();
    }

    /// Bytes that count as resident.
    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }

    fn hand_back(&self, queue: &mut VecDeque<(Weak<Held>, usize)>, until: u64) {
        let mut chosen: BTreeMap<usize, (Arc<Held>, Vec<usize>)> = BTreeMap::new();
        // Twice round meets everything without its second chance, but for what is touched meanwhile.
        for _ in 0..2 * queue.len() {
            if self.resident() <= until {
                break;
            }
            let Some((weak, region)) = queue.pop_front() else { break };
            let Some(held) = weak.upgrade() else { continue };
            let Held::Mapped(mapping) = &*held else { continue };
            let state = &mapping.regions.states[region];
            // What was touched since it was queued, even at this moment, gets its second chance.
            if !change(state, PRESENT, ABSENT) {
                change(state, TOUCHED, PRESENT);
                queue.push_back((weak, region));
                continue;
            }
            self.resident.fetch_sub(mapping.regions.bytes(region), Ordering::Relaxed);
            let start = mapping.regions.start;
            chosen.entry(start).or_insert_with(|| (held.clone(), Vec::new())).1.push(region);
        }
        for (held, mut regions) in chosen.into_values() {
            regions.sort_unstable();
            if let Held::Mapped(mapping) = &*held {
                let bytes = regions.iter().map(|region| mapping.regions.bytes(*region)).sum();
                self.metrics.cache.evict(CacheTier::mapped, bytes);
                for run in regions.chunk_by(|a, b| a + 1 == *b) {
                    mapping.hand_back(run[0]..run[0] + run.len());
                }
            }
        }
    }

    fn report(&self) {
        self.metrics.cache.hold(CacheTier::mapped, self.resident());
    }
}

impl Mapping {
    #[expect(unsafe_code, reason = "for most kinds of memory this advice loses what was written")]
    fn hand_back(&self, regions: Range<usize>) {
        let start = regions.start * REGION;
        let length = (regions.end * REGION).min(self.map.len()) - start;
        // SAFETY: the map is of a file, read-only and never written to, so every page that is dropped
        // reads the same again.
        let advised = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
        if let Err(error) = advised {
            tracing::debug!(%error, "cannot hand back mapped pages");
        }
    }
}

impl Regions {
    /// What a region counts: the last one is shorter.
    fn bytes(&self, region: usize) -> u64 {
        (self.length - region * REGION).min(REGION) as u64
    }

    /// The regions that a part of the map lies in; none if it is no part of it.
    #[inline]
    pub fn of(&self, part: &[u8]) -> Range<usize> {
        let from = part.as_ptr().addr().wrapping_sub(self.start);
        match from.checked_add(part.len()) {
            Some(end) if end <= self.length && !part.is_empty() => from / REGION..end.div_ceil(REGION),
            _ => 0..0,
        }
    }

    /// Whether all of these have been touched since they were looked at last: then there is nothing to do.
    #[inline]
    pub fn are_touched(&self, regions: Range<usize>) -> bool {
        self.states[regions].iter().all(|state| state.load(Ordering::Relaxed) == TOUCHED)
    }

    /// Marks regions as touched; returns those that were not resident.
    fn touch(&self, regions: Range<usize>) -> Vec<usize> {
        let mut new = Vec::new();
        for region in regions {
            let state = &self.states[region];
            let seen = state.load(Ordering::Relaxed);
            if seen == TOUCHED || (seen == PRESENT && change(state, PRESENT, TOUCHED)) {
                continue;
            }
            // Whoever changes the state counts the region, and nobody else does.
            new.extend(change(state, ABSENT, PRESENT).then_some(region));
        }
        new
    }
}

fn change(state: &AtomicU8, from: u8, to: u8) -> bool {
    state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

impl Drop for Regions {
    fn drop(&mut self) {
        let residency = &self.residency;
        residency.maps.write().unwrap_or_else(PoisonError::into_inner).remove(&self.start);
        let present = (0..self.states.len())
            .filter(|region| self.states[*region].load(Ordering::Relaxed) != ABSENT)
            .map(|region| self.bytes(region));
        residency.resident.fetch_sub(present.sum(), Ordering::Relaxed);
        residency.report();
    }
}
