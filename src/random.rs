//! Chance as a value that is passed in, so that a simulation repeats itself for a seed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use uuid::Uuid;

/// A shared source of randomness; cheap to clone.
#[derive(Debug, Clone)]
pub struct Random(Arc<Mutex<SmallRng>>);

impl Random {
    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// Seeded by a number: the same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.draw()).into_uuid()
    }

    /// A duration drawn evenly between zero and `bound` ("full jitter").
    pub fn jitter(&self, bound: Duration) -> Duration {
        bound.mul_f64(f64::from(self.draw::<u32>()) / f64::from(u32::MAX))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&self, bound: usize) -> usize {
        ((u128::from(self.draw::<u64>()) * bound as u128) >> 64) as usize
    }

    fn draw<T>(&self) -> T
    where
        rand::distr::StandardUniform: rand::distr::Distribution<T>,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}
