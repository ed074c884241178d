//! Clients: each sends one request at a time to some node and writes down what it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quiver::{
    engine::{Bulk, Changed, Consistency, Engine, IfExists, NamespaceSpec, Projection},
    error::Result,
    types::{Row, Rows, VectorId},
};
use rand::{RngExt, rngs::SmallRng};
use tokio::time::sleep;

use super::{
    condition::{COLOURS, Condition, metadata, value_in},
    history::{Cell, Contents, Freshness, Record, Reply, Request},
    network::Machine,
    node::Node,
    scenario::Habits,
    world::World,
};

const ALL: Projection = Projection { vectors: true, metadata: true };

/// How long a change of all rows for which a condition holds may take.
const BULK: Duration = Duration::from_secs(30);

/// A client. Only the first one clears the namespace, and no more after a clear of which it does not
/// know the outcome, so that clears are found again in the log by their order.
pub struct Client {
    number: usize,
    world: Arc<World>,
    nodes: Arc<Vec<Node>>,
    values: Arc<AtomicU32>,
    habits: Habits,
    chance: SmallRng,
    clears: bool,
    /// A value that it has seen, for conditions.
    seen: u32,
}

impl Client {
    pub fn new(
        number: usize,
        world: Arc<World>,
        nodes: Arc<Vec<Node>>,
        values: Arc<AtomicU32>,
        habits: Habits,
    ) -> Self {
        let chance = world.chance(500 + number as u64);
        Self { number, world, nodes, values, habits, chance, clears: number == 0, seen: 0 }
    }

    pub async fn run(mut self) {
        for _ in 0..self.habits.requests {
            self.think().await;
            let node = self.chance.random_range(0..self.nodes.len());
            let request = self.choose();
            self.ask(node, request).await;
        }
    }

    async fn think(&mut self) {
        let pause = match self.habits.patient && self.chance.random_bool(0.05) {
            true => self.world.pause(&mut self.chance),
            false => {
                let longest = self.habits.think.as_millis() as u64;
                Duration::from_millis(self.chance.random_range(0..longest))
            }
        };
        sleep(pause).await;
    }

    fn choose(&mut self) -> Request {
        let eventual = self.chance.random_bool(self.habits.eventual);
        let freshness = if eventual { Freshness::Eventual } else { Freshness::Strong };
        if self.chance.random_range(0..100) < self.habits.lives {
            return if self.chance.random_bool(0.5) { Request::Create } else { Request::Drop };
        }
        if self.chance.random_range(0..100) < self.habits.compacts {
            return Request::Compact;
        }
        if self.chance.random_range(0..100) < self.habits.collects {
            return Request::Collect;
        }
        match self.chance.random_range(0..100) {
            0..14 => {
                let presence = [Condition::Absent, Condition::Present][self.chance.random_range(0..2)];
                let condition = if self.chance.random_bool(0.5) { presence } else { self.condition() };
                Request::UpsertIf { ids: self.ids(3), value: self.value(), condition }
            }
            14..18 => Request::UpdateMatching { condition: self.condition(), value: self.value() },
            18..20 => Request::DeleteMatching { condition: self.condition() },
            20..38 => {
                let dimension = if self.chance.random_bool(0.95) { 2 } else { 3 };
                Request::Upsert { ids: self.ids(3), value: self.value(), dimension }
            }
            38..44 => Request::DeleteIf { ids: self.ids(3), condition: self.condition() },
            44..50 => Request::Delete { ids: self.ids(2), marker: self.value() },
            50..54 if self.clears => Request::Clear,
            54..72 => Request::Fetch { ids: self.ids(self.habits.ids), freshness },
            72..86 => Request::Page,
            86..94 => {
                let condition = self.chance.random_bool(0.5).then(|| self.condition());
                Request::Count { condition, freshness }
            }
            _ => Request::Describe,
        }
    }

    /// Distinct ids, at least one and at most `most`.
    fn ids(&mut self, most: u8) -> Vec<u8> {
        let count = self.chance.random_range(1..=most.min(self.habits.ids));
        let mut ids: Vec<u8> = (0..self.habits.ids).collect();
        for place in 0..usize::from(count) {
            let other = self.chance.random_range(place..ids.len());
            ids.swap(place, other);
        }
        ids.truncate(count.into());
        ids
    }

    /// What a filter can say.
    fn condition(&mut self) -> Condition {
        let colour = self.chance.random_range(0..COLOURS);
        match self.chance.random_range(0..5) {
            0..2 => Condition::Colour(colour),
            2 => Condition::NotColour(colour),
            _ => Condition::Value(self.seen),
        }
    }

    /// Remembers one of the values of an answer.
    fn remember(&mut self, reply: &Reply) {
        if let Reply::Rows(rows) = reply
            && !rows.is_empty()
        {
            let at = self.chance.random_range(0..rows.len());
            self.seen = rows.values().nth(at).map_or(self.seen, |cell| cell.value);
        }
    }

    fn value(&self) -> u32 {
        self.values.fetch_add(1, Ordering::SeqCst)
    }

    /// Sends a request and waits for the answer, unless the client loses patience or the node dies.
    async fn ask(&mut self, node: usize, request: Request) {
        let life = self.nodes[node].life();
        if life.network.machine() == Machine::Dead {
            return;
        }
        let patience = match self.chance.random_range(0..20) {
            0 => 1,
            1..10 if self.habits.patient => 1 << 16,
            _ => 60,
        };
        let invoked = self.world.moment();
        let answer = async {
            let reply = send(&life.engine, &request).await;
            // A paused node answers when it goes on.
            life.network.runs().await;
            reply
        };
        let answer = tokio::select! {
            biased;
            reply = answer => reply,
            () = life.network.died() => Reply::Unknown("the node died".into()),
            () = sleep(Duration::from_secs(patience)) => Reply::Unknown("the client went away".into()),
        };
        self.remember(&answer);
        self.clears &= !matches!((&request, &answer), (Request::Clear, Reply::Unknown(_)));
        let replied = self.world.moment();
        self.world.note(Record { client: self.number, node, request, invoked, replied, reply: answer });
    }
}

/// Carries a request out.
pub async fn send(engine: &Engine, request: &Request) -> Reply {
    let reply: Result<Reply> = async {
        let name = World::namespace();
        Ok(match request {
            Request::Upsert { ids, value, dimension } => {
                let done = engine.upsert(&name, rows(ids, *value, *dimension)).await?;
                Reply::Written { changes: done.upserted, found: done.upserted - done.inserted }
            }
            Request::UpsertIf { ids, value, condition } => {
                let done = engine.upsert_if(&name, rows(ids, *value, 2), condition.precondition()).await?;
                let skipped = |id: &&u8| done.skipped.contains(&row_id(**id));
                let admitted: Vec<u8> = ids.iter().filter(|id| !skipped(id)).copied().collect();
                match done.upserted == admitted.len() as u64 && done.inserted <= done.upserted {
                    true => Reply::Admitted { ids: admitted, found: done.upserted - done.inserted },
                    false => Reply::Wrong(format!("{done:?}")),
                }
            }
            Request::DeleteIf { ids, condition } => {
                let ids = ids.iter().map(|id| row_id(*id)).collect();
                let done = engine.delete_if(&name, ids, condition.precondition()).await?;
                let skipped = done.skipped.iter().filter_map(row_number).collect();
                Reply::Spared { deleted: done.deleted, skipped }
            }
            Request::UpdateMatching { condition, value } => {
                let new = metadata(*value);
                let edit = move |_: Option<&str>| Ok(Some(new.clone()));
                changed(&engine.update_matching(&name, bulk(*condition), edit).await?)
            }
            Request::DeleteMatching { condition } => {
                changed(&engine.delete_matching(&name, bulk(*condition)).await?)
            }
            Request::Delete { ids, marker } => {
                let mut all: Vec<VectorId> = ids.iter().map(|id| row_id(*id)).collect();
                all.push(VectorId::trusted(&format!("marker-{marker}")));
                Reply::Written { changes: all.len() as u64, found: engine.delete(&name, all).await? }
            }
            Request::Clear => Reply::Written { changes: 1, found: engine.delete_all(&name).await? },
            Request::Fetch { ids, freshness } => {
                let ids: Vec<VectorId> = ids.iter().map(|id| row_id(*id)).collect();
                contents(&engine.fetch(&name, &ids, consistency(*freshness), ALL).await?)
            }
            Request::Page => {
                let page = engine.page(&name, None, 1000, ALL).await?;
                match page.total == page.rows.len() as u64 {
                    true => contents(&page.rows),
                    false => Reply::Wrong(format!("{} rows, but a total of {}", page.rows.len(), page.total)),
                }
            }
            Request::Count { condition, freshness } => {
                let filter = condition.and_then(Condition::filter);
                Reply::Count(engine.count_matching(&name, filter, consistency(*freshness)).await?)
            }
            Request::Describe => {
                let info = engine.describe(&name).await?;
                Reply::Described { count: info.count, head: info.head_seq, folded: info.folded_seq }
            }
            Request::Compact => engine.compact(&name).await.map(|_| Reply::Done)?,
            Request::Collect => {
                engine.collect_garbage().await?;
                Reply::Done
            }
            Request::Create => {
                let spec = NamespaceSpec::default();
                Reply::Created(engine.create_namespace(&name, spec, IfExists::Return).await?.1)
            }
            Request::Drop => engine.delete_namespace(&name).await.map(|()| Reply::Done)?,
        })
    }
    .await;
    match (request, reply) {
        (_, Ok(reply)) => reply,
        // The message may name a scratch object, the only kind whose key is not drawn from the seed.
        (Request::Collect, Err(_)) => Reply::Unknown("not all garbage was collected".into()),
        (_, Err(error)) => Reply::of(&error),
    }
}

fn consistency(freshness: Freshness) -> Consistency {
    match freshness {
        Freshness::Strong => Consistency::Strong,
        Freshness::Eventual => Consistency::Eventual,
    }
}

fn row_id(id: u8) -> VectorId {
    VectorId::trusted(&format!("row-{id}"))
}

/// The number of a row, if it is one.
pub fn row_number(id: &VectorId) -> Option<u8> {
    id.as_str().strip_prefix("row-")?.parse().ok()
}

/// The marker of a delete, if it is one.
pub fn marker_number(id: &VectorId) -> Option<u32> {
    id.as_str().strip_prefix("marker-")?.parse().ok()
}

/// A value as the first component of a vector; whole numbers of this size are exact.
pub fn value_of(vector: &[f32]) -> u32 {
    vector[0] as u32
}

/// Rows of which some have no vector.
fn rows(ids: &[u8], value: u32, dimension: usize) -> Rows {
    let mut vector = vec![1.0; dimension];
    vector[0] = value as f32;
    let without_vector: Vec<usize> = (0..ids.len()).filter(|row| (value as usize + row) % 4 == 1).collect();
    let with_vector = ids.len() - without_vector.len();
    Rows {
        dimension: if with_vector == 0 { 0 } else { dimension },
        ids: ids.iter().map(|id| row_id(*id)).collect(),
        without_vector,
        vectors: vector.repeat(with_vector),
        metadata: vec![Some(metadata(value)); ids.len()],
        ttl: vec![None; ids.len()],
    }
}

fn bulk(condition: Condition) -> Bulk {
    let filter = condition.filter().expect("only what a filter can say is asked of all rows");
    Bulk { filter, after: None, limit: None, time: BULK }
}

fn changed(done: &Changed) -> Reply {
    let next = done.next.as_ref().map(row_number);
    match (done.matched == done.changed && done.refused == 0, next) {
        (true, None | Some(Some(_))) => Reply::Changed { changed: done.changed, next: next.flatten() },
        _ => Reply::Wrong(format!("{done:?}")),
    }
}

fn contents(rows: &[Row]) -> Reply {
    let mut contents = Contents::new();
    for row in rows {
        let value = row.metadata.as_deref().and_then(value_in);
        let (Some(id), Some(value)) = (row_number(&row.id), value) else {
            return Reply::Wrong(format!("a row that nobody wrote: {row:?}"));
        };
        let cell = Cell { value, vector: row.vector.as_deref().map(value_of) };
        if contents.insert(id, cell).is_some() {
            return Reply::Wrong(format!("row {id} is there twice"));
        }
    }
    Reply::Rows(contents)
}
