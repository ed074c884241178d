//! What clients were told, against the log: strict serialisability of whole requests.
//!
//! Every request takes effect at one step of the timeline. A request that began after another was
//! answered comes after it; a strong read shows exactly the rows of its step, and so does an eventual
//! one, only that its step may be older. What was refused is nowhere. What depends on a condition did
//! ([`super::decisions`]) what the rows right before its changes say, whether or not the client heard of it.

use std::collections::HashSet;

use super::{
    condition::Condition,
    decisions::{self, End},
    history::{Contents, Freshness, Record, Reply, Request},
    timeline::{Place, Step, Timeline, What},
};

/// How old an eventual read may be in true milliseconds: a minute on the slowest clock.
const EVENTUAL: u64 = 2 * 60_000 + 100;

struct Witness<'a> {
    timeline: &'a Timeline,
    /// When requests were answered, and the step by which they had happened.
    done: Vec<(&'a Record, usize)>,
    clears: usize,
    violations: Vec<String>,
}

/// Everything that contradicts the timeline.
pub fn contradictions(timeline: &Timeline, records: &[Record]) -> Vec<String> {
    let mut order: Vec<&Record> = records.iter().collect();
    order.sort_by_key(|record| record.invoked);
    let mut witness = Witness { timeline, done: Vec::new(), clears: 0, violations: Vec::new() };
    for record in order {
        if let Err(violation) = witness.judge(record) {
            witness.violations.push(format!("{violation}\n    {record}"));
        }
    }
    let drops = |wanted: fn(&Reply) -> bool| {
        records.iter().filter(|record| record.request == Request::Drop && wanted(&record.reply)).count()
    };
    if timeline.seals.len() > drops(Reply::is_answer) + drops(|reply| matches!(reply, Reply::Unknown(_))) {
        witness.violations.push("the namespace was deleted by a request that was refused".into());
    }
    let unexplained = witness.unexplained_deletes(records);
    witness.violations.extend(unexplained);
    witness.violations
}

impl<'a> Witness<'a> {
    fn judge(&mut self, record: &'a Record) -> Result<(), String> {
        let from = self.step_before(record);
        let step = match (&record.request, &record.reply) {
            (_, Reply::Wrong(what)) => return Err(format!("a wrong answer: {what}")),
            (Request::UpsertIf { ids, condition, .. }, Reply::Admitted { ids: written, .. })
                if written.is_empty() =>
            {
                let none = |rows: &Contents| decisions::admitted(ids, *condition, rows).is_empty();
                self.find(record, from, |step| step.stages().any(|(rows, _)| none(rows)))?
            }
            (
                Request::Upsert { .. }
                | Request::Documents { .. }
                | Request::UpsertIf { .. }
                | Request::Delete { .. },
                reply,
            ) => {
                let Some(place) = self.place_of(record)? else { return self.absent(record, from) };
                let effect = decisions::effect(self.timeline, place, &record.request)?;
                match reply {
                    Reply::Written { changes, found } => {
                        self.written(record, place, effect, (*changes, *found))?
                    }
                    Reply::Admitted { ids, found } => {
                        self.written(record, place, effect, (ids.len() as u64, *found))?;
                        decisions::wrote(self.timeline, place, ids)?
                    }
                    _ => return Ok(()),
                }
            }
            (Request::DeleteIf { ids, condition }, Reply::Spared { deleted, skipped }) => {
                let fits = |step: &Step| decisions::spares(step, ids, *condition, *deleted, skipped);
                self.find(record, from, fits)?
            }
            (Request::UpdateMatching { condition, value }, reply) => {
                let places = self.timeline.places.get(value).map_or(&[] as &[Place], Vec::as_slice);
                let in_log = places.iter().map(|place| place.count as u64).sum::<u64>();
                let (changed, end) = match reply {
                    Reply::Changed { changed, next } => (*changed, End::of(*next)),
                    Reply::Unknown(_) => (in_log, End::Open),
                    _ if in_log > 0 => return Err("a refused write is in the log".into()),
                    _ => return self.absent(record, from),
                };
                if changed != in_log {
                    return Err(format!("the log says that {in_log} rows were changed"));
                }
                let step = self.bulk(record, from, *condition, Some(*value), changed, end)?;
                if end == End::Open {
                    return Ok(());
                }
                step
            }
            (Request::DeleteMatching { condition }, Reply::Changed { changed, next }) => {
                self.bulk(record, from, *condition, None, *changed, End::of(*next))?
            }
            (Request::Clear, Reply::Written { changes, found }) => {
                let place = self.timeline.clears.get(self.clears).copied();
                self.clears += 1;
                let place = place.ok_or("an acknowledged clear is not in the log")?;
                let cleared = self.timeline.steps[place.step].changes[place.first].before.len() as u64;
                self.written(record, place, (1, cleared), (*changes, *found))?
            }
            (Request::Drop, Reply::Done) => self.one_of(&self.timeline.seals, record, from)?,
            (Request::Create, Reply::Created(true)) => self.one_of(&self.timeline.births, record, from)?,
            (_, Reply::Refused(_) | Reply::Unknown(_)) | (Request::Collect, _) => return Ok(()),
            _ => self.find(record, from, |step| shows(step, record))?,
        };
        if step < from {
            return Err(format!("it took effect at step {step}, but an answer before it knew step {from}"));
        }
        if !is_eventual(&record.request) {
            self.done.push((record, step));
        }
        Ok(())
    }

    /// The earliest step that a request may see or make.
    fn step_before(&self, record: &Record) -> usize {
        let known = |(other, _): &&(&Record, usize)| match is_eventual(&record.request) {
            true => other.replied.millis + EVENTUAL < record.invoked.millis,
            false => other.replied < record.invoked,
        };
        self.done.iter().filter(known).map(|(_, step)| *step).max().unwrap_or(0)
    }

    /// Where the log has an upsert or delete: once if it was acknowledged, at most once if its
    /// outcome is unknown, nowhere if it was refused.
    fn place_of(&self, record: &Record) -> Result<Option<Place>, String> {
        let (Request::Upsert { value: mark, .. }
        | Request::Documents { value: mark, .. }
        | Request::UpsertIf { value: mark, .. }
        | Request::Delete { marker: mark, .. }) = &record.request
        else {
            return Ok(None);
        };
        let places = self.timeline.places.get(mark).map_or(&[] as &[Place], Vec::as_slice);
        let acknowledged = matches!(record.reply, Reply::Written { .. } | Reply::Admitted { .. });
        let possible = acknowledged || matches!(record.reply, Reply::Unknown(_));
        match places {
            [] if acknowledged => Err("an acknowledged write is not in the log".into()),
            [] => Ok(None),
            [place] if possible => Ok(Some(*place)),
            [_] => Err("a refused write is in the log".into()),
            places => Err(format!("a write took effect {} times", places.len())),
        }
    }

    /// Whether the log says of changes, and of rows that they met, what the client was told.
    fn written(
        &self,
        record: &Record,
        place: Place,
        effect: (u64, u64),
        told: (u64, u64),
    ) -> Result<usize, String> {
        if self.timeline.steps[place.step].seen > record.replied {
            return Err("it was acknowledged before it was in the log".into());
        }
        match effect == told {
            true => Ok(place.step),
            false => Err(format!("the log says {effect:?} at {place:?}")),
        }
    }

    /// The last step that a change of all rows for which a condition holds made or saw.
    fn bulk(
        &self,
        record: &Record,
        from: usize,
        condition: Condition,
        value: Option<u32>,
        changed: u64,
        end: End,
    ) -> Result<usize, String> {
        let known = |step: &&Step| end == End::Open || step.seen < record.replied;
        let until = from + self.timeline.steps[from..].iter().take_while(known).count();
        let parts = decisions::Parts { steps: &self.timeline.steps[..until], condition, value, end };
        parts.last(from, None, changed).ok_or("no entries of the log are what it did".into())
    }

    /// Deletes without a marker must be those of requests with conditions that may have made them.
    fn unexplained_deletes(&self, records: &[Record]) -> Vec<String> {
        let mut marked = HashSet::new();
        for record in records {
            let Request::Delete { ids, marker } = &record.request else { continue };
            for place in self.timeline.places.get(marker).into_iter().flatten() {
                marked
                    .extend((place.first.saturating_sub(ids.len())..place.first).map(|at| (place.step, at)));
            }
        }
        let steps = self.timeline.steps.iter().enumerate();
        let changes = steps.flat_map(|(step, entry)| {
            entry.changes.iter().enumerate().map(move |(at, change)| ((step, at), change))
        });
        let unexplained = changes.filter_map(|(at, change)| match change.what {
            What::Gone(row) if !marked.contains(&at) => {
                let value = change.before.get(&row).map(|cell| cell.value);
                let explained = records.iter().any(|record| decisions::may_delete(record, row, value));
                (!explained).then(|| format!("nobody deleted row {row} with {value:?} at {at:?}"))
            }
            _ => None,
        });
        unexplained.collect()
    }

    /// A write that was not made: the namespace must have been missing if that is what was said.
    fn absent(&mut self, record: &'a Record, from: usize) -> Result<(), String> {
        if record.reply == Reply::NotFound {
            let step = self.find(record, from, |step| step.contents.is_none())?;
            self.done.push((record, step));
        }
        Ok(())
    }

    fn one_of(&self, steps: &[usize], record: &Record, from: usize) -> Result<usize, String> {
        let fits = |step: &&usize| **step >= from && self.timeline.steps[**step].seen < record.replied;
        steps.iter().find(fits).copied().ok_or("it was acknowledged, but did not happen".into())
    }

    /// The first step from `from` on, that was known when the answer came, and fits it.
    fn find(&self, record: &Record, from: usize, fits: impl Fn(&Step) -> bool) -> Result<usize, String> {
        let steps = &self.timeline.steps;
        let found = (from..steps.len()).find(|step| fits(&steps[*step]));
        match found {
            Some(step) if steps[step].seen < record.replied => Ok(step),
            Some(step) => Err(format!("it shows step {step}, which was not committed yet")),
            None => Err(match (0..from).rev().find(|step| fits(&steps[*step])) {
                Some(step) => format!("it shows step {step}, but an answer before it knew step {from}"),
                None => "it shows what never was".into(),
            }),
        }
    }
}

/// Whether an answer is what a read at this step gives.
fn shows(step: &Step, record: &Record) -> bool {
    let Some(contents) = &step.contents else {
        return record.reply == Reply::NotFound;
    };
    match (&record.request, &record.reply) {
        (Request::Fetch { ids, .. }, Reply::Rows(rows)) => {
            let wanted = contents.iter().filter(|(id, _)| ids.contains(id));
            *rows == wanted.map(|(id, cell)| (*id, *cell)).collect::<Contents>()
        }
        (Request::Page, Reply::Rows(rows)) => rows == contents,
        (Request::Count { condition, .. }, Reply::Count(count)) => {
            let counts = |value| condition.is_none_or(|condition| condition.selects(Some(value)));
            *count == contents.values().filter(|cell| counts(cell.value)).count() as u64
        }
        (Request::Describe, Reply::Described { count, head, folded }) => {
            *count == contents.len() as u64 && *head == step.seq && folded <= head
        }
        (Request::Compact, Reply::Done) | (Request::Create, Reply::Created(false)) => true,
        _ => false,
    }
}

fn is_eventual(request: &Request) -> bool {
    matches!(
        request,
        Request::Count { freshness: Freshness::Eventual, .. }
            | Request::Fetch { freshness: Freshness::Eventual, .. }
    )
}
