//! What clients were told, against the log: strict serialisability of whole requests.
//!
//! Every request takes effect at one step of the timeline. A request that began after another was
//! answered comes after it; a strong read shows exactly the rows of its step, and so does an eventual
//! one, only that its step may be older. What was refused is nowhere.

use super::{
    history::{Contents, Freshness, Record, Reply, Request},
    timeline::{Effect, Step, Timeline},
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
    witness.violations
}

impl<'a> Witness<'a> {
    fn judge(&mut self, record: &'a Record) -> Result<(), String> {
        let from = self.step_before(record);
        let step = match (&record.request, &record.reply) {
            (_, Reply::Wrong(what)) => return Err(format!("a wrong answer: {what}")),
            (Request::Insert { ids, .. }, Reply::Inserted(inserted)) if inserted.is_empty() => {
                // All of them were there: before the entry of the request, or by what came before it in there.
                self.find(record, from, |step| ids.iter().all(|id| step.held.contains(id)))?
            }
            (Request::Upsert { .. } | Request::Insert { .. } | Request::Delete { .. }, reply) => {
                let Some(effect) = self.effect_of(record)? else { return self.absent(record, from) };
                match reply {
                    Reply::Written { changes, found } => self.written(record, effect, *changes, *found)?,
                    Reply::Inserted(ids) => self.written(record, effect, ids.len() as u64, 0)?,
                    _ => return Ok(()),
                }
            }
            (Request::Clear, Reply::Written { changes, found }) => {
                let effect = self.timeline.clears.get(self.clears).copied();
                self.clears += 1;
                self.written(
                    record,
                    effect.ok_or("an acknowledged clear is not in the log")?,
                    *changes,
                    *found,
                )?
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
    fn effect_of(&self, record: &Record) -> Result<Option<Effect>, String> {
        let (Request::Upsert { value: mark, .. }
        | Request::Insert { value: mark, .. }
        | Request::Delete { marker: mark, .. }) = &record.request
        else {
            return Ok(None);
        };
        let effects = self.timeline.effects.get(mark).map_or(&[] as &[Effect], Vec::as_slice);
        let acknowledged = matches!(record.reply, Reply::Written { .. } | Reply::Inserted(_));
        let possible = acknowledged || matches!(record.reply, Reply::Unknown(_));
        match effects {
            [] if acknowledged => Err("an acknowledged write is not in the log".into()),
            [] => Ok(None),
            [effect] if possible => Ok(Some(*effect)),
            [_] => Err("a refused write is in the log".into()),
            effects => Err(format!("a write took effect {} times", effects.len())),
        }
    }

    fn written(&self, record: &Record, effect: Effect, changes: u64, found: u64) -> Result<usize, String> {
        if self.timeline.steps[effect.step].seen > record.replied {
            return Err("it was acknowledged before it was in the log".into());
        }
        match (effect.changes, effect.found) == (changes, found) {
            true => Ok(effect.step),
            false => Err(format!("the log says {effect:?}")),
        }
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
            *rows == wanted.map(|(id, value)| (*id, *value)).collect::<Contents>()
        }
        (Request::Page, Reply::Rows(rows)) => rows == contents,
        (Request::Count(_), Reply::Count(count)) => *count == contents.len() as u64,
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
        Request::Count(Freshness::Eventual) | Request::Fetch { freshness: Freshness::Eventual, .. }
    )
}
