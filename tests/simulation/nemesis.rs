//! What happens to machines: they pause, for longer than the protocol trusts a look at the manifest;
//! they die and come back; their clocks jump.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::SmallRng};
use tokio::time::sleep;

use super::{node::Node, world::World};

/// Troubles nodes until it is dropped. With no trouble in mind it only waits.
pub async fn trouble(world: Arc<World>, nodes: Arc<Vec<Node>>) {
    let mut chance = world.chance(7);
    let longest = world.weather.trouble.as_millis() as u64;
    loop {
        sleep(Duration::from_millis(chance.random_range(1..longest))).await;
        let node = chance.random_range(0..nodes.len());
        match chance.random_range(0..4) {
            0 => nodes[node].pause(world.pause(&mut chance)).await,
            1 => {
                nodes[node].kill();
                sleep(Duration::from_millis(chance.random_range(0..5000))).await;
                nodes[node].restart();
            }
            2 => nodes[node].jump(jump(&mut chance)),
            _ => {
                // Two at once: what one knows goes while another is asleep.
                let other = (node + 1) % nodes.len();
                let pause = nodes[other].pause(world.pause(&mut chance));
                let crash = async {
                    sleep(Duration::from_millis(chance.random_range(0..5000))).await;
                    nodes[node].kill();
                    sleep(Duration::from_millis(chance.random_range(0..5000))).await;
                    nodes[node].restart();
                };
                tokio::join!(pause, crash);
            }
        }
    }
}

fn jump(chance: &mut SmallRng) -> i64 {
    let bound = [1000, 60_000, 4_000_000][chance.random_range(0..3)];
    chance.random_range(-bound..bound)
}
