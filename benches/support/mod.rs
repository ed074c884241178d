//! What the benches share: real embeddings, a server process, and figures of repeated runs.
#![allow(dead_code)]

pub mod classic;
pub mod client;
pub mod data;

use std::time::Duration;

/// Whether this is a measurement. `cargo test --all-targets` starts benches too, without
/// optimisation, and nobody would believe their figures.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The machine and the data, which belong beside every figure.
pub fn headline(what: &str) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(':')).map_or("unknown CPU", |(_, name)| name.trim());
    println!("\n== {what}: {cores} cores, {model}");
}

/// Times of repeated runs.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn extend(&mut self, times: Times) {
        self.0.extend(times.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of the runs did not exceed.
    pub fn percentile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let index = (share * (self.0.len() - 1) as f64).round() as usize;
        self.0[index]
    }
}
