//! One simulation from its seed to its verdict.

use std::{
    cell::RefCell,
    sync::{Arc, Once, atomic::AtomicU32},
    time::Duration,
};

use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    archive::Archive,
    history::{Record, Reply, Request},
    nemesis,
    node::Node,
    registers,
    scenario::Scenario,
    timeline::Timeline,
    witness,
    workload::{Client, send},
    world::World,
};

/// How long a healthy cluster may take to answer; on its slowest clock.
const RECOVERY: Duration = Duration::from_secs(300);

/// The value of the last write, which no other has.
const LAST: u32 = 1 << 20;

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub violations: Vec<String>,
    /// Everything that happened, as text.
    pub history: String,
    pub requests: usize,
    pub acknowledged: usize,
    pub entries: usize,
    /// Entries that were collected as garbage.
    pub collected: usize,
    /// Writes that landed where a collected entry had been.
    pub ghosts: usize,
    /// Merges that a fence spared and that came to their end.
    pub spared: usize,
    /// Indexes that a manifest has named.
    pub indexes: usize,
    /// Whether the namespace lives in the end, but is not listed.
    pub unlisted: bool,
}

/// Runs the simulation of a seed on this thread.
pub fn simulate(seed: u64) -> Outcome {
    note_panics();
    PANICS.take();
    // One thread, on which time stands still while there is something to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut outcome = runtime.expect("a runtime").block_on(live(seed));
    outcome.violations.extend(PANICS.take().into_iter().map(|panic| format!("a panic: {panic}")));
    outcome
}

async fn live(seed: u64) -> Outcome {
    let scenario = Scenario::of(seed);
    let (count, clients, habits) = (scenario.nodes, scenario.clients, scenario.habits);
    let world = Arc::new(World::new(seed, scenario));
    let nodes: Arc<Vec<Node>> = Arc::new((0..count).map(|node| Node::start(&world, node)).collect());
    let values = Arc::new(AtomicU32::new(1));
    let clients = (0..clients).map(|number| {
        let client = Client::new(number, world.clone(), nodes.clone(), values.clone(), habits);
        tokio::spawn(client.run())
    });
    let clients = join_all(clients.collect::<Vec<_>>());
    tokio::select! {
        biased;
        ended = clients => ended.into_iter().for_each(|client| client.expect("clients do not panic")),
        () = nemesis::trouble(world.clone(), nodes.clone()) => {}
    }
    let (mut violations, unlisted) = recover(&world, &nodes).await;
    let records = world.records();
    let spared = world.archive().spared();
    let indexes = world.archive().indexes();
    let timeline = Timeline::new(&world.archive());
    violations.extend(timeline.violations.iter().cloned());
    violations.extend(witness::contradictions(&timeline, &records));
    violations.extend(registers::disordered(&records, habits.ids));
    Outcome {
        seed,
        violations,
        history: world.history(),
        requests: records.len(),
        acknowledged: records.iter().filter(|record| record.reply.is_answer()).count(),
        entries: timeline.steps.len(),
        collected: world.archive().places.values().filter(|place| place.emptied.is_some()).count(),
        ghosts: timeline.ghosts,
        spared,
        indexes,
        unlisted,
    }
}

/// The weather clears up, and everything that was under way lands. Then every node, and one that
/// knows nothing, must tell the same, and the objects must be whole, without those that were condemned.
async fn recover(world: &Arc<World>, nodes: &Arc<Vec<Node>>) -> (Vec<String>, bool) {
    world.calm();
    nodes.iter().for_each(Node::recover);
    sleep(world.weather.latest + RECOVERY).await;
    let newcomer = Node::start(world, nodes.len());
    let mut violations = Vec::new();
    ask(world, &newcomer, Request::Collect).await;
    let write = Request::Upsert { ids: vec![0], value: LAST, dimension: dimension(world) };
    let reply = ask(world, &newcomer, write).await;
    if !matches!(reply, Reply::Written { .. }) {
        violations.push(format!("in the end nothing can be written: {reply:?}"));
    }
    let mut told: Vec<(usize, Reply)> = Vec::new();
    for (number, node) in nodes.iter().chain([&newcomer]).enumerate() {
        told.push((number, ask(world, node, Request::Page).await));
    }
    let repaired = newcomer.life().engine.repair_markers().await;
    let unlisted = repaired.as_ref().is_ok_and(|markers| markers.restored > 0);
    violations.extend(repaired.err().map(|error| format!("markers cannot be repaired: {error}")));
    violations.extend(verify(&newcomer).await);
    Archive::look_at_all(world);
    let timeline = Timeline::new(&world.archive());
    let end = match &timeline.end().contents {
        Some(contents) => Reply::Rows(contents.clone()),
        None => Reply::NotFound,
    };
    for (number, reply) in told.into_iter().filter(|(_, reply)| *reply != end) {
        violations.push(format!("in the end node {number} tells {reply:?}, the log {end:?}"));
    }
    (violations, unlisted)
}

/// What a node answers when nothing is in its way.
async fn ask(world: &World, node: &Node, request: Request) -> Reply {
    let invoked = world.moment();
    let answer = timeout(RECOVERY, send(&node.life().engine, &request)).await;
    let reply = answer.unwrap_or_else(|_| Reply::Wrong("no answer at all".into()));
    let (node, replied) = (node.number, world.moment());
    world.note(Record { client: usize::MAX, node, request, invoked, replied, reply: reply.clone() });
    reply
}

/// The dimension that the rows have, if there are any.
fn dimension(world: &World) -> usize {
    let archive = world.archive();
    let newest = archive.manifests.last().map(|(manifest, _)| manifest.incarnation);
    let places = archive.places.iter().filter(|((incarnation, _), _)| Some(*incarnation) == newest);
    let entries = places.flat_map(|(_, place)| place.entries.first());
    entries.map(|seen| seen.entry.changes.dimension).find(|dimension| *dimension != 0).unwrap_or(2)
}

async fn verify(node: &Node) -> Vec<String> {
    let engine = node.life().engine;
    match engine.verify(&World::namespace(), |_| {}).await {
        Ok(report) => report
            .problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.object, problem.reason))
            .collect(),
        Err(quiver::error::Error::NamespaceNotFound { .. }) => Vec::new(),
        Err(error) => vec![format!("the namespace cannot be verified: {error}")],
    }
}

thread_local! {
    /// Panics on this thread, wherever they were caught.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            default(info);
        }));
    });
}
