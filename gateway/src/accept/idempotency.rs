//! `Idempotency-Key`: the first request with a key is carried out, its repetitions get the first answer.
//!
//! Recent keys are in memory, as hashes, bounded in number ([`Answers`]); older ones are found through [`Remembered`],
//! which is asked unless [`Bygone`] is certain that it does not have the key. A client that goes away while its message is
//! being written leaves the pending answer behind in the table, so a repetition that comes at once neither sends twice nor
//! has to guess.
//!
//! Every key that leaves the table and may be on disk goes to [`Bygone`]: for want of room, with age, and where nobody
//! knows what became of its commit.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::BoxFuture;
use super::answers::Answers;
use super::bygone::{Bygone, Mark};
use super::commit::Committed;
use super::seal::Seal;
use crate::clock::{Moment, Time, Wall};
use crate::ids::{IdHasher, MessageId};

/// How long a key is remembered.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Longest key, in visible ASCII characters.
pub const KEY_LIMIT: usize = 255;
/// Between an app's id and its key.
const NUL: &[u8] = b"\0";

/// First 16 octets of a request body's SHA-256.
pub type BodyHash = [u8; 16];

/// The hash under which a body is remembered.
pub fn body_hash(body: &[u8]) -> BodyHash {
    first_half(Sha256::digest(body).into())
}

/// The hash of a body that came in pieces.
pub(super) fn digest_hash(digest: Sha256) -> BodyHash {
    first_half(digest.finalize().into())
}

/// What the first answer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The message's id, or the batch's.
    pub id: MessageId,
    /// Hash of the body it was asked with.
    pub body_hash: BodyHash,
    /// Quoted parts; 0 for a batch.
    pub parts: u8,
    /// Quoted encoding; empty for a batch.
    pub encoding: Cow<'static, str>,
    /// When it was accepted.
    pub accepted_at: Wall,
}

impl Found {
    /// A batch accepted.
    pub fn batch(id: MessageId, body_hash: BodyHash, accepted_at: Wall) -> Found {
        Found { id, body_hash, parts: 0, encoding: Cow::Borrowed(""), accepted_at }
    }

    /// Whether it is a batch: a message has at least one part.
    pub fn is_batch(&self) -> bool {
        self.parts == 0
    }
}

/// The durable memory of keys, asked only for keys that are not in memory.
pub trait Remembered: Send + Sync {
    /// The message accepted under this key of this app, if any.
    fn find<'a>(&'a self, app: &'a str, key: &'a str) -> BoxFuture<'a, Option<Found>>;
}

/// The keys in memory.
pub struct Idempotency {
    seal: Seal,
    table: Mutex<Table>,
    most: usize,
}

struct Table {
    /// Keys of requests that are not answered yet.
    open: HashMap<Key, Open, BuildHasherDefault<IdHasher>>,
    answers: Answers,
    /// Keys whose client went away, oldest first.
    abandoned: VecDeque<Key>,
    /// Keys that were here.
    bygone: Bygone,
    /// The last claim's time.
    now: Time,
}

/// Hash of app and key: fixed size whatever the client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key(Mark);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

enum Open {
    /// Being carried out.
    Claimed,
    /// Being written; nobody waits for the answer.
    Abandoned(Box<(oneshot::Receiver<Committed>, Found)>),
}

/// What is known of a key.
#[derive(Debug)]
pub enum Claim {
    /// Used for the first time: it is the caller's now.
    New(Hold),
    /// The caller's as well; but it may have been used before, so [`Remembered`] is to be asked next.
    Unsure(Hold),
    /// Answered before.
    Done(Found),
    /// Another request holds it.
    InProgress,
}

impl Idempotency {
    /// An empty table for at most `most` answered keys.
    pub fn new(most: usize) -> Arc<Self> {
        let table = Table {
            open: HashMap::default(),
            answers: Answers::new(),
            abandoned: VecDeque::new(),
            bygone: Bygone::new(),
            now: Time::default(),
        };
        Arc::new(Idempotency { seal: Seal::default(), table: Mutex::new(table), most })
    }

    /// Puts an answer back that was given before a restart. In order of acceptance.
    pub fn recall(&self, app: &str, key: &str, found: Found) {
        let key = self.key(app, key);
        self.lock().finish(key, found, self.most);
    }

    /// Learns which keys of earlier lives the durable memory has. `read` shows each by its [`name`] until it is told
    /// that this is enough, and returns whether it has shown them all; where not, the durable memory is asked for
    /// every new key until none of theirs counts any more. Takes as long as `read` does, and holds nobody up.
    pub fn learn(&self, now: Time, read: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) {
        let mut earlier = Bygone::new();
        let all = read(&mut |name| {
            earlier.add(now, self.seal.of(&[name]));
            !earlier.is_crowded()
        });
        if all {
            self.lock().bygone.learn(earlier);
        }
    }

    /// Claims a key for one request.
    pub fn claim(self: &Arc<Self>, now: Moment, app: &str, key: &str) -> Claim {
        let key = self.key(app, key);
        let mut table = self.lock();
        table.now = now.time;
        table.sweep(now.wall, self.most);
        table.settle(key, self.most);
        if let Some(found) = table.answers.get(key.0) {
            return Claim::Done(found.clone());
        }
        match table.open.entry(key) {
            Entry::Occupied(_) => return Claim::InProgress,
            Entry::Vacant(free) => drop(free.insert(Open::Claimed)),
        }
        let unsure = table.bygone.may_hold(now.time, key.0);
        drop(table);
        let hold = Hold { owner: self.clone(), key, pending: None, over: false };
        if unsure { Claim::Unsure(hold) } else { Claim::New(hold) }
    }

    fn key(&self, app: &str, key: &str) -> Key {
        Key(self.seal.of(&[app.as_bytes(), NUL, key.as_bytes()]))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under which name the durable memory keeps a key: app ids hold no NUL, so the pair cannot be read another way.
pub fn name(app: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Vec<u8> {
    let mut name = Vec::new();
    put_name(&mut name, app.as_ref(), key.as_ref());
    name
}

/// The same, appended.
pub fn put_name(name: &mut Vec<u8>, app: &[u8], key: &[u8]) {
    let parts = [app, NUL, key];
    name.reserve(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| name.extend_from_slice(part));
}

impl Table {
    /// Remembers an answer, at the cost of the oldest one where there are too many.
    fn finish(&mut self, key: Key, found: Found, most: usize) {
        self.open.remove(&key);
        self.answers.give(key.0, found);
        while self.answers.len() > most {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(mark) = self.answers.forget_oldest() {
            self.bygone.add(self.now, mark);
        }
    }

    /// Drops what is too old, and settles what nobody waits for; both from the front, so it costs what it finds.
    fn sweep(&mut self, now: Wall, most: usize) {
        while self.answers.oldest().is_some_and(|at| outdated(now, at)) {
            self.forget_oldest();
        }
        while let Some(key) = self.abandoned.front().copied() {
            if !self.settle(key, most) {
                break;
            }
            self.abandoned.pop_front();
        }
    }

    /// Takes an abandoned key's answer if it is there. True where nothing is left to wait for.
    fn settle(&mut self, key: Key, most: usize) -> bool {
        let Some(Open::Abandoned(pending)) = self.open.get_mut(&key) else { return true };
        let (answer, found) = &mut **pending;
        let committed = match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return false,
            Ok(committed) => committed,
            Err(oneshot::error::TryRecvError::Closed) => Committed::Unknown,
        };
        let found = found.clone();
        self.conclude(key, found, committed, most);
        true
    }

    fn conclude(&mut self, key: Key, found: Found, committed: Committed, most: usize) {
        match committed {
            Committed::Durable => self.finish(key, found, most),
            Committed::Refused => drop(self.open.remove(&key)),
            Committed::Unknown => {
                self.open.remove(&key);
                self.bygone.add(self.now, key.0);
            }
        }
    }
}

/// Whether an answer of that time is forgotten now.
pub fn outdated(now: Wall, at: Wall) -> bool {
    Duration::from_millis(now.0.saturating_sub(at.0)) >= KEPT
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// A claimed key. Dropped without an answer, it is free again; dropped while the answer is under way, the table waits
/// for it.
pub struct Hold {
    owner: Arc<Idempotency>,
    key: Key,
    pending: Option<(oneshot::Receiver<Committed>, Found)>,
    over: bool,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("pending", &self.pending.is_some()).finish()
    }
}

impl Hold {
    /// The durable memory knew it.
    pub fn known(mut self, found: Found) {
        self.over = true;
        self.owner.lock().finish(self.key, found, self.owner.most);
    }

    /// Waits for the commit of what was asked under this key.
    pub async fn committed(mut self, answer: oneshot::Receiver<Committed>, found: Found) -> Committed {
        let (answer, _) = self.pending.insert((answer, found));
        let committed = poll_fn(|cx| Pin::new(&mut *answer).poll(cx)).await.unwrap_or(Committed::Unknown);
        if let Some((_, found)) = self.pending.take() {
            self.over = true;
            self.owner.lock().conclude(self.key, found, committed, self.owner.most);
        }
        committed
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut table = self.owner.lock();
        match self.pending.take() {
            Some(pending) => {
                table.open.insert(self.key, Open::Abandoned(Box::new(pending)));
                table.abandoned.push_back(self.key);
            }
            None => {
                table.open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(at: u64) -> Found {
        Found { id: MessageId(at), body_hash: [1; 16], parts: 1, encoding: "gsm7".into(), accepted_at: Wall(at) }
    }

    fn at(ms: u64) -> Moment {
        Moment { time: Time(ms * 1_000), wall: Wall(ms) }
    }

    fn mine(keys: &Arc<Idempotency>, key: &str) -> Hold {
        match keys.claim(at(0), "shop", key) {
            Claim::New(hold) | Claim::Unsure(hold) => hold,
            other => panic!("{other:?}"),
        }
    }

    /// A table that knows that there was nothing before it.
    fn first(most: usize) -> Arc<Idempotency> {
        let keys = Idempotency::new(most);
        keys.learn(Time(1), |_| true);
        keys
    }

    fn is_new(keys: &Arc<Idempotency>, now: u64, key: &str) -> bool {
        match keys.claim(at(now), "shop", key) {
            Claim::New(_) => true,
            Claim::Unsure(_) => false,
            other => panic!("{other:?}"),
        }
    }

    fn poll_once(future: Pin<&mut impl Future<Output = Committed>>) -> bool {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn a_failed_request_frees_its_key() {
        let keys = Idempotency::new(10);
        let hold = mine(&keys, "k");
        assert!(matches!(keys.claim(at(0), "shop", "k"), Claim::InProgress));
        assert!(matches!(keys.claim(at(0), "bank", "k"), Claim::Unsure(_)), "keys belong to apps");
        drop(hold);
        mine(&keys, "k");
    }

    #[test]
    fn a_client_that_leaves_during_the_commit_changes_nothing() {
        for (committed, want_done) in
            [(Some(Committed::Durable), true), (Some(Committed::Refused), false), (None, false)]
        {
            let keys = first(10);
            let (answer, wait) = oneshot::channel();
            let mut request = Box::pin(mine(&keys, "k").committed(wait, found(7)));
            assert!(!poll_once(request.as_mut()));
            drop(request);
            assert!(matches!(keys.claim(at(7), "shop", "k"), Claim::InProgress));
            match committed {
                Some(committed) => answer.send(committed).expect("the table waits"),
                None => drop(answer),
            }
            match keys.claim(at(7), "shop", "k") {
                Claim::Done(f) => assert!(want_done && f == found(7)),
                Claim::New(_) => assert!(committed == Some(Committed::Refused)),
                Claim::Unsure(_) => assert!(committed.is_none(), "it may be on disk"),
                Claim::InProgress => panic!("settled"),
            }
            assert!(keys.lock().abandoned.is_empty());
        }
    }

    #[test]
    fn abandoned_keys_are_cleared_by_other_traffic() {
        let keys = Idempotency::new(10);
        for i in 0..100 {
            let (answer, wait) = oneshot::channel();
            let mut request = Box::pin(mine(&keys, &i.to_string()).committed(wait, found(i)));
            assert!(!poll_once(request.as_mut()));
            drop(request);
            drop(answer);
        }
        drop(mine(&keys, "other"));
        assert!(keys.lock().open.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_a_day_long() {
        let keys = Idempotency::new(3);
        for i in 0..5 {
            keys.recall("shop", &i.to_string(), found(i));
        }
        assert_eq!(keys.lock().answers.len(), 3);
        assert!(keys.lock().open.is_empty());
        assert!(matches!(keys.claim(at(9), "shop", "1"), Claim::Unsure(_)));
        assert!(matches!(keys.claim(at(9), "shop", "2"), Claim::Done(_)));
        let tomorrow = at(2 + KEPT.as_millis() as u64);
        assert!(matches!(keys.claim(tomorrow, "shop", "2"), Claim::Unsure(_)));
        assert!(matches!(keys.claim(tomorrow, "shop", "3"), Claim::Done(_)));
    }

    #[test]
    fn only_a_key_that_was_never_here_is_certainly_new() {
        let keys = first(3);
        (0..5).for_each(|i| keys.recall("shop", &i.to_string(), found(i)));
        assert!(is_new(&keys, 9, "9") && is_new(&keys, 9, "9"), "refused requests leave no trace");
        assert!(!is_new(&keys, 9, "0") && !is_new(&keys, 9, "1"), "the table was full");
        let tomorrow = 2 + KEPT.as_millis() as u64;
        assert!(!is_new(&keys, tomorrow, "2"), "by the wall clock it is forgotten, but that may jump back");
        assert!(is_new(&keys, tomorrow, "10"));
    }

    #[test]
    fn a_key_whose_commit_nobody_knows_is_asked_for() {
        for (committed, new) in [(Some(Committed::Refused), true), (Some(Committed::Unknown), false), (None, false)] {
            let keys = first(3);
            let (answer, wait) = oneshot::channel();
            match committed {
                Some(committed) => answer.send(committed).expect("it waits"),
                None => drop(answer),
            }
            assert!(poll_once(Box::pin(mine(&keys, "k").committed(wait, found(7))).as_mut()));
            assert_eq!(is_new(&keys, 7, "k"), new, "{committed:?}");
        }
    }

    #[test]
    fn earlier_lives_are_asked_about_unless_they_were_learned() {
        let keys = Idempotency::new(3);
        assert!(!is_new(&keys, 1, "a"), "nothing is known yet");
        keys.learn(Time(1), |_| false);
        assert!(!is_new(&keys, 1, "a"), "it was not all");
        keys.learn(Time(1), |tell| tell(&name("shop", "b")));
        assert!(is_new(&keys, 1, "a") && !is_new(&keys, 1, "b"));
    }
}
