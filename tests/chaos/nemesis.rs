//! What happens to the nodes: killed and started again, or paused for longer than `log.safe_age` and
//! sometimes for longer than what they know stays in the store.

use std::{ops::Add, time::Duration};

use tokio::{task::block_in_place, time::sleep};

use crate::shared::node::Node;

/// What was done to a node.
#[derive(Debug, Default, Clone, Copy)]
pub struct Harm {
    pub kills: u64,
    pub pauses: u64,
    /// Starts that failed, because the store did.
    pub failed_starts: u64,
}

impl Add for Harm {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            kills: self.kills + other.kills,
            pauses: self.pauses + other.pauses,
            failed_starts: self.failed_starts + other.failed_starts,
        }
    }
}

fn between(least: u64, most: u64) -> Duration {
    Duration::from_millis(rand::random_range(least..most))
}

/// Harms a node in turns for this long, and leaves it running.
pub async fn harm(node: &mut Node, kill_first: bool, time: Duration) -> Harm {
    let (end, mut harm) = (tokio::time::Instant::now() + time, Harm::default());
    let mut kill = kill_first;
    while tokio::time::Instant::now() < end {
        sleep(between(500, 4000)).await;
        if kill {
            node.kill();
            harm.kills += 1;
            sleep(between(0, 1000)).await;
            harm.failed_starts += start(node).await;
        } else {
            node.server().signal("STOP");
            harm.pauses += 1;
            let long = rand::random_ratio(1, 3);
            sleep(if long { between(6000, 9000) } else { between(1200, 3000) }).await;
            node.server().signal("CONT");
        }
        kill = !kill;
    }
    harm
}

/// Starts the node as a supervisor would, until it stays. How often it did not.
pub async fn start(node: &mut Node) -> u64 {
    for failed in 0..60 {
        match block_in_place(|| node.try_start()) {
            Ok(()) => return failed,
            Err(output) => assert!(output.contains("store"), "{output}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("a node does not start");
}
