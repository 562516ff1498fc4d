//! Accepted records at hand for sending: a bounded cache of recent ones, and a thread that reads the others, so that
//! the line never waits for the disk.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;

use super::{At, Journal};
use crate::ids::{IdHasher, MessageId};
use crate::vital::Vital;

/// Octets kept at most.
const CACHE_BYTES: usize = 32 << 20;
/// Octets an entry costs besides its body.
const ENTRY_BYTES: usize = 64;

/// Recent bodies; the oldest go first.
#[derive(Default)]
pub struct Bodies {
    cache: HashMap<u64, Bytes, BuildHasherDefault<IdHasher>>,
    order: VecDeque<u64>,
    octets: usize,
}

impl Bodies {
    /// Keeps a body.
    pub fn insert(&mut self, id: MessageId, body: Bytes) {
        self.octets += body.len() + ENTRY_BYTES;
        if let Some(before) = self.cache.insert(id.0, body) {
            self.octets -= before.len() + ENTRY_BYTES;
        } else {
            self.order.push_back(id.0);
        }
        while self.octets > CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(MessageId(oldest));
        }
        // Ids of bodies that were removed by name stay in the row until they would be the oldest.
        if self.order.len() > 2 * self.cache.len() + 1024 {
            self.order.retain(|id| self.cache.contains_key(id));
        }
    }

    /// The body, if it is here.
    pub fn find(&self, id: MessageId) -> Option<Bytes> {
        self.cache.get(&id.0).cloned()
    }

    /// Drops a body that is not needed any more.
    pub fn remove(&mut self, id: MessageId) {
        if let Some(body) = self.cache.remove(&id.0) {
            self.octets -= body.len() + ENTRY_BYTES;
        }
    }
}

/// A body asked for, with what it is for.
pub struct Wanted<T> {
    /// Whose.
    pub id: MessageId,
    /// Where it is.
    pub at: At,
    /// Given back with it.
    pub purpose: T,
}

/// What the reading thread brings.
pub type Brought<T> = Vec<(Wanted<T>, Option<Bytes>)>;

/// The thread that reads bodies.
pub struct Reader<T> {
    wanted: Option<mpsc::Sender<Wanted<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Reader<T> {
    /// Starts the thread; `bring` is called with as many bodies as one wake-up found wanted.
    pub fn spawn<A: Send + 'static>(
        journal: Journal<A>,
        mut bring: impl FnMut(Brought<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        // Bounded by the windows: each wanted body holds reserved slots of a link, or belongs to a message that ends.
        let (sender, receiver) = mpsc::channel::<Wanted<T>>();
        let thread = std::thread::Builder::new().name("bodies".into()).spawn(move || {
            let _vital = Vital("the reading thread");
            while let Ok(first) = receiver.recv() {
                let wanted = std::iter::once(first).chain(receiver.try_iter().take(255));
                bring(wanted.map(|w| (journal.read(w.id.0, w.at).ok(), w)).map(|(b, w)| (w, b)).collect());
            }
        })?;
        Ok(Reader { wanted: Some(sender), thread: Some(thread) })
    }

    /// Asks for a body.
    pub fn want(&self, wanted: Wanted<T>) {
        if let Some(sender) = &self.wanted {
            // The thread lives as long as this handle.
            let _ = sender.send(wanted);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_drops_the_oldest() {
        let mut bodies = Bodies::default();
        let body = Bytes::from(vec![0u8; 1 << 20]);
        for id in 0..200 {
            bodies.insert(MessageId(id), body.clone());
        }
        assert!(bodies.octets <= CACHE_BYTES);
        assert!(bodies.find(MessageId(0)).is_none());
        assert!(bodies.find(MessageId(199)).is_some());
        for id in 0..200 {
            bodies.remove(MessageId(id));
        }
        assert_eq!(bodies.octets, 0);
    }
}
