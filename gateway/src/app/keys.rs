//! Idempotency keys over restarts: what the journal has of them goes back to memory and to the store, and what the store
//! has of earlier lives is learned, so that it is asked only where it may have an answer.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::desk;
use crate::accept::{self, Found, Idempotency};
use crate::clock::{Clock, Wall};
use crate::ids::MessageId;
use crate::journal::record::{Accepted, Batch};
use crate::journal::store::{Finished, Store};

/// Idempotency keys kept in memory, with their answers: 20 MB. Older ones are looked up in the store.
pub(super) const IN_MEMORY: usize = 200_000;
/// So many keys in a row that the store has mean that it has all that are older: it takes them in their order, and what
/// it has not got yet when a gateway dies is less than is kept in memory.
const KNOWN: usize = 4_096;

/// The idempotency key of a message found in the journal, while it counts.
pub(super) fn of_message(id: MessageId, accepted: &Accepted<'_>, now: Wall) -> Option<(String, String, Found)> {
    let key = accepted.idempotency_key?;
    if accept::idempotency::outdated(now, accepted.at) {
        return None;
    }
    let found = Found {
        id,
        body_hash: accepted.body_hash,
        parts: accepted.parts,
        encoding: accepted.encoding.to_owned().into(),
        accepted_at: accepted.at,
    };
    Some((accepted.app.to_owned(), key.to_owned(), found))
}

/// The same for a batch.
pub(super) fn of_batch(id: MessageId, batch: &Batch<'_>, now: Wall) -> Option<(String, String, Found)> {
    let key = batch.idempotency_key.filter(|_| !accept::idempotency::outdated(now, batch.at))?;
    Some((batch.app.to_owned(), key.to_owned(), Found::batch(id, batch.body_hash, batch.at)))
}

/// Has the store take the keys that it does not have: the newest, or all where it is not certain that it has what is older
/// than these.
pub(super) fn store(store: &Store, keys: &VecDeque<(String, String, Found)>, now: Wall) {
    let (mut missing, mut known) = (Vec::new(), 0);
    for (app, key, found) in keys.iter().rev().filter(|(.., found)| !found.is_batch()) {
        let (name, value) = desk::key_record(app, key, found);
        if !store.has_holes() && store.idempotency(&name, since(now)).is_some() {
            known += 1;
            if known >= KNOWN {
                break;
            }
        } else {
            known = 0;
            missing.push((found.id.0, name, value));
        }
    }
    for (id, name, value) in missing.into_iter().rev() {
        store.put(&Finished { id, idempotency: Some((&name, &value)), ..Finished::default() });
    }
}

/// Of since when keys are asked for: a day more than they count, as the clock may be ahead now and set back later.
pub(super) fn since(now: Wall) -> Wall {
    Wall(now.0.saturating_sub(2 * accept::idempotency::KEPT.as_millis() as u64))
}

/// Has the keys read that the store has from earlier lives, beside everything else.
pub(super) fn learn(idempotency: &Arc<Idempotency>, store: &Store, clock: Clock) -> io::Result<JoinHandle<()>> {
    let (keys, store) = (Arc::downgrade(idempotency), store.clone());
    let learn = move || {
        let now = clock.now();
        let Some(learning) = keys.upgrade() else { return };
        learning.learn(now.time, |tell| {
            // This thread's own is the last one when the gateway has stopped.
            store.idempotency_keys(since(now.wall), &mut |name| tell(name) && keys.strong_count() > 1)
        });
    };
    std::thread::Builder::new().name("learn-keys".into()).spawn(learn)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::accept::idempotency::Claim;
    use crate::ids::Ids;
    use crate::journal::disk::Files;
    use crate::journal::store::{Pace, StoreSettings};

    type Key = (String, String, Found);

    fn open(dir: &Path) -> (Store, Receiver<Vec<u64>>) {
        let (tell, persisted) = channel();
        let settings = StoreSettings { dir: dir.into(), history: Duration::from_secs(3 * 86_400) };
        let pace = Pace { fresh: 500, pause: Duration::from_millis(1) };
        let now = Clock::start().now().wall;
        let store = Store::open_on(
            Arc::new(Files),
            &settings,
            pace,
            move || now,
            move |ids: &[u64]| {
                drop(tell.send(ids.to_vec()));
            },
        );
        (store.unwrap(), persisted)
    }

    fn keys(ids: &Ids, at: Wall, count: usize) -> VecDeque<Key> {
        let found =
            |_| Found { id: ids.next(at), body_hash: [7; 16], parts: 1, encoding: "gsm7".into(), accepted_at: at };
        (0..count).map(found).map(|found| ("app".to_owned(), format!("key {}", found.id), found)).collect()
    }

    fn has(store: &Store, (app, key, found): &Key) -> bool {
        let (name, value) = desk::key_record(app, key, found);
        store.idempotency(&name, Wall(0)) == Some(value)
    }

    fn put<'k>(store: &Store, keys: impl IntoIterator<Item = &'k Key>) {
        for (app, key, found) in keys {
            let (name, value) = desk::key_record(app, key, found);
            store.put(&Finished { id: found.id.0, idempotency: Some((&name, &value)), ..Finished::default() });
        }
    }

    /// What a gateway dying left in the journal and not in the store goes there, and nothing is looked up beyond what is
    /// known in a row.
    #[test]
    fn the_store_takes_the_newest_keys_it_has_not_got_and_looks_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let all = keys(&Ids::default(), Clock::start().now().wall, 3 * KNOWN);
        let (store, _persisted) = open(dir.path());
        // One in the beginning, some in the midst and the newest are missing.
        let missing = |n: usize| n == 10 || n == 2 * KNOWN || n >= 3 * KNOWN - 100;
        put(&store, all.iter().enumerate().filter(|(n, _)| !missing(*n)).map(|(_, key)| key));
        store.close();
        let (store, _persisted) = open(dir.path());
        assert!(!store.has_holes());
        super::store(&store, &all, Clock::start().now().wall);
        assert_eq!(store.backlog(), 101, "what is there is not put again");
        store.close();
        let (store, _persisted) = open(dir.path());
        assert!(
            (0..all.len()).all(|n| has(&store, &all[n]) != (n == 10)),
            "all but what is older than thousands known"
        );
        store.close();
        // Once the store may have later ones without earlier ones, it takes them all.
        let file = std::fs::read_dir(dir.path().join("days")).unwrap().map(|entry| entry.unwrap().path());
        let file = file.filter(|path| path.extension().is_some_and(|sort| sort == "records")).max().unwrap();
        let mut octets = std::fs::read(&file).unwrap();
        let last = octets.len() - 500;
        octets[last] ^= 1;
        std::fs::write(&file, octets).unwrap();
        let (store, _persisted) = open(dir.path());
        assert!(store.has_holes());
        super::store(&store, &all, Clock::start().now().wall);
        store.close();
        let (store, _persisted) = open(dir.path());
        assert!(all.iter().all(|key| has(&store, key)));
    }

    /// Every key of an earlier life is asked for once all are learned, whatever the index suffered; hardly any other is.
    #[test]
    fn keys_of_earlier_lives_are_learned_from_the_store_whatever_its_index_suffered() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, ids) = (Clock::start(), Ids::default());
        let now = clock.now().wall;
        let yesterday = keys(&Ids::default(), Wall(now.0 - 86_400_000), 700);
        let today = keys(&ids, now, 2_600);
        let (store, _persisted) = open(dir.path());
        put(&store, yesterday.iter().chain(&today));
        store.close();
        let (store, _persisted) = open(dir.path());
        put(&store, &keys(&ids, now, 1));
        for damaged in [false, true] {
            if damaged {
                let runs = std::fs::read_dir(dir.path().join("days")).unwrap().map(|entry| entry.unwrap().path());
                let runs: Vec<_> = runs.filter(|path| path.extension().is_some_and(|sort| sort == "run")).collect();
                assert!(!runs.is_empty());
                for run in runs {
                    let mut octets = std::fs::read(&run).unwrap();
                    octets[4_096..].iter_mut().step_by(4_096).for_each(|octet| *octet ^= 8);
                    std::fs::write(&run, octets).unwrap();
                }
            }
            let memory = Idempotency::new(100);
            learn(&memory, &store, clock).unwrap().join().unwrap();
            let unsure = |(app, key, _): &Key| matches!(memory.claim(clock.now(), app, key), Claim::Unsure(_));
            assert!(yesterday.iter().chain(&today).all(unsure), "damaged: {damaged}");
            let vain = keys(&ids, now, 1_000).iter().filter(|key| unsure(key)).count();
            assert!(vain < 10, "{vain} of a thousand new keys are asked for in vain");
            assert!(today.iter().all(|key| has(&store, key)));
        }
    }
}
