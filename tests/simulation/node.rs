//! A node: the real engine, behind a network and clocks of its own. It can be paused, and killed and
//! started anew.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use quiver::{clock::SharedClock, engine::Engine, random::Random, telemetry::Metrics};
use rand::RngExt;

use super::{
    clock::NodeClock,
    network::{Machine, Network},
    world::World,
};

/// The clock of a node that is wrong, besides running fast or slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The wall clock jumps.
    WallJumps,
    /// The monotonic clock stands still while the machine is paused.
    MonotonicSleeps,
}

/// One life of a node.
#[derive(Debug, Clone)]
pub struct Life {
    pub engine: Engine,
    pub network: Arc<Network>,
}

#[derive(Debug)]
pub struct Node {
    pub number: usize,
    world: Arc<World>,
    clock: Arc<NodeClock>,
    pub flaw: Flaw,
    life: Mutex<(u64, Life)>,
}

impl Node {
    pub fn start(world: &Arc<World>, number: usize) -> Self {
        let mut chance = world.chance(100 + number as u64);
        let rate = [0.5, 0.9, 1.0, 1.0, 1.1, 2.0][chance.random_range(0..6)];
        let flaw = if chance.random_bool(0.5) { Flaw::WallJumps } else { Flaw::MonotonicSleeps };
        let clock = NodeClock::new(world.time.clone(), rate);
        let life = begin(world, number, &clock, 0);
        Self { number, world: world.clone(), clock, flaw, life: Mutex::new((0, life)) }
    }

    /// What runs now.
    pub fn life(&self) -> Life {
        self.life.lock().expect("no panic while held").1.clone()
    }

    /// The process dies: nothing that it has not sent yet is sent, and no answer reaches it.
    pub fn kill(&self) {
        self.life().network.set(Machine::Dead);
        self.clock.wake();
        self.world.trace(format_args!("node {} dies", self.number));
    }

    /// A new process, which remembers nothing.
    pub fn restart(&self) {
        let mut life = self.life.lock().expect("no panic while held");
        life.0 += 1;
        life.1 = begin(&self.world, self.number, &self.clock, life.0);
        self.world.trace(format_args!("node {} starts", self.number));
    }

    /// Whatever happened to it, it runs.
    pub fn recover(&self) {
        self.clock.wake();
        let network = self.life().network;
        network.set(Machine::Runs);
        if network.machine() == Machine::Dead {
            self.restart();
        }
    }

    /// The process stands still for a while.
    pub async fn pause(&self, length: Duration) {
        let network = self.life().network;
        network.set(Machine::Paused);
        self.world.trace(format_args!("node {} pauses for {length:?}", self.number));
        if self.flaw == Flaw::MonotonicSleeps {
            self.clock.sleep();
        }
        tokio::time::sleep(length).await;
        self.clock.wake();
        self.world.trace(format_args!("node {} goes on", self.number));
        network.set(Machine::Runs);
    }

    /// The wall clock jumps.
    pub fn jump(&self, millis: i64) {
        if self.flaw == Flaw::WallJumps {
            self.world.trace(format_args!("the wall clock of node {} jumps by {millis} ms", self.number));
            self.clock.jump(millis);
        }
    }
}

fn begin(world: &Arc<World>, number: usize, clock: &Arc<NodeClock>, life: u64) -> Life {
    let network = Network::new(world.clone(), number, life);
    let metrics = Arc::new(Metrics::default());
    let store = world.store.as_seen_by(metrics.clone(), Some(network.hook()));
    let clock: SharedClock = clock.clone();
    let random = Random::seeded(world.seed ^ ((number as u64) << 32) ^ (life << 48) ^ (1 << 63));
    let engine =
        Engine::with_random(store, clock, random, &world.config, metrics).expect("threads to search with");
    Life { engine, network }
}
