//! The start-up probe: does the store keep the contract that the commit protocol stands on?
//!
//! Some stores accept a conditional write and silently ignore its condition (Google's through its
//! S3 endpoint, several S3 clones, emulators). On such a store acknowledged writes get lost, so
//! a server must not start on it. The probe writes under `probe/<random>/` and cleans up.

use bytes::Bytes;
use uuid::Uuid;

use super::{Key, ProbeError, Store, StoreError, StoreErrorKind, Tag, keys};

/// Rounds of racing writers; a store without atomic conditions passes a single round by chance.
const ROUNDS: usize = 4;

const ONE_WINNER: &str = "of concurrent put-if-absent writes to one key exactly one succeeds";
const NO_OVERWRITE: &str = "put-if-absent to an existing key fails";
const READ_WINNER: &str = "a read returns what the winning write wrote";
const CAS_CURRENT: &str = "compare-and-swap on the current version succeeds";
const CAS_STALE: &str = "compare-and-swap on a stale version fails";
const CAS_ONE_WINNER: &str = "of concurrent compare-and-swaps from one version exactly one succeeds";

pub(super) async fn probe(store: &Store) -> Result<(), ProbeError> {
    let run = Uuid::new_v4();
    let keys: Vec<Key> = (0..ROUNDS).map(|round| keys::probe(run, &round.to_string())).collect();
    let rounds = async {
        for key in &keys {
            round(store, key).await?;
        }
        Ok(())
    };
    let outcome: Result<(), ProbeError> = rounds.await;
    let cleaned = store.delete_many(&keys).await;
    outcome?;
    Ok(cleaned?)
}

async fn round(store: &Store, key: &Key) -> Result<(), ProbeError> {
    let probe = Probe { store, key };
    let bodies = [Bytes::from(format!("{key} first")), Bytes::from(format!("{key} second"))];
    let (first, second) = tokio::join!(
        store.put_if_absent(key, bodies[0].clone()),
        store.put_if_absent(key, bodies[1].clone()),
    );
    let (winner, tag) = probe.one_winner(ONE_WINNER, [first, second])?;
    probe.reads(&bodies[winner]).await?;

    let late = store.put_if_absent(key, Bytes::from_static(b"late")).await;
    probe.loses(NO_OVERWRITE, late)?;

    let swapped = Bytes::from(format!("{key} swapped"));
    let current = match store.cas(key, &tag, swapped.clone()).await {
        Ok(current) => current,
        Err(error) if error.kind == StoreErrorKind::Conflict => {
            return Err(probe.broken(CAS_CURRENT, "it failed although nobody else wrote"));
        }
        Err(error) => return Err(error.into()),
    };
    let stale = store.cas(key, &tag, Bytes::from_static(b"stale")).await;
    probe.loses(CAS_STALE, stale)?;
    probe.reads(&swapped).await?;

    let bodies = [Bytes::from(format!("{key} third")), Bytes::from(format!("{key} fourth"))];
    let (third, fourth) = tokio::join!(
        store.cas(key, &current, bodies[0].clone()),
        store.cas(key, &current, bodies[1].clone()),
    );
    let (winner, _) = probe.one_winner(CAS_ONE_WINNER, [third, fourth])?;
    probe.reads(&bodies[winner]).await
}

struct Probe<'a> {
    store: &'a Store,
    key: &'a Key,
}

impl Probe<'_> {
    fn one_winner(
        &self,
        rule: &'static str,
        results: [Result<Tag, StoreError>; 2],
    ) -> Result<(usize, Tag), ProbeError> {
        let mut winners = Vec::new();
        let mut failed = None;
        for (writer, result) in results.into_iter().enumerate() {
            match result {
                Ok(tag) => winners.push((writer, tag)),
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => failed = Some(error),
            }
        }
        match (winners.len(), failed) {
            (2, _) => Err(self.broken(rule, "both succeeded")),
            (_, Some(error)) => Err(error.into()),
            _ => winners.pop().ok_or_else(|| self.broken(rule, "both failed")),
        }
    }

    fn loses(&self, rule: &'static str, result: Result<Tag, StoreError>) -> Result<(), ProbeError> {
        match result {
            Ok(_) => Err(self.broken(rule, "it succeeded")),
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn reads(&self, expected: &Bytes) -> Result<(), ProbeError> {
        match self.store.get(self.key).await {
            Ok(object) if object.bytes == *expected => Ok(()),
            Ok(object) => {
                Err(self.broken(READ_WINNER, &format!("it returned {} other bytes", object.bytes.len())))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Err(self.broken(READ_WINNER, "there was no object"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn broken(&self, rule: &'static str, observed: &str) -> ProbeError {
        ProbeError::BrokenContract { store: self.store.location(), rule, observed: observed.to_owned() }
    }
}
