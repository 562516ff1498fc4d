//! Look-ups for receipts whose message only the store knows, on a thread of their own: they may read the disk, and the
//! line must not wait for that.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::uplink::Delivered;
use crate::ids::MessageId;
use crate::journal::store::Store;
use crate::vital::Vital;

/// Most answers in one batch.
const BATCH: usize = 256;

/// Something to be looked up.
pub(super) enum Wish {
    /// The message that a receipt speaks of, by the first of these keys that the store knows.
    Message(MessageId, Vec<Vec<u8>>),
    /// A message's history.
    History(MessageId),
    /// The history of a message from a handset that is listed as unmatched, for whoever wants it delivered.
    Uplink(MessageId, oneshot::Sender<Delivered>),
}

/// What was found.
pub enum Sought {
    /// For the receipt of that id.
    Message(MessageId, Option<MessageId>),
    /// Of that message.
    History(MessageId, Option<Vec<u8>>),
    /// Of that unmatched message from a handset.
    Uplink(MessageId, Option<Vec<u8>>, oneshot::Sender<Delivered>),
}

/// The thread. Its queue is bounded by the receipts that wait.
pub(super) struct Seeker {
    wishes: Option<mpsc::Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
}

impl Seeker {
    /// Starts it; `bring` gets the answers in order.
    pub(super) fn spawn(store: Store, mut bring: impl FnMut(Vec<Sought>) + Send + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("seek".into()).spawn(move || {
            let _vital = Vital("the seeking thread");
            while let Ok(first) = receiver.recv() {
                let wishes = std::iter::once(first).chain(receiver.try_iter().take(BATCH - 1));
                bring(wishes.map(|wish| look(&store, wish)).collect());
            }
        })?;
        Ok(Seeker { wishes: Some(sender), thread: Some(thread) })
    }

    /// Asks; the answer comes through `bring`.
    pub(super) fn seek(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes {
            // The thread lives as long as this handle.
            let _ = wishes.send(wish);
        }
    }
}

fn look(store: &Store, wish: Wish) -> Sought {
    match wish {
        Wish::Message(orphan, keys) => {
            Sought::Message(orphan, keys.iter().find_map(|key| store.correlate(key)).map(MessageId))
        }
        Wish::History(id) => Sought::History(id, store.history(id.0)),
        Wish::Uplink(id, asker) => {
            let history = store.is_unmatched(id.0).then(|| store.history(id.0)).flatten();
            Sought::Uplink(id, history, asker)
        }
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        drop(self.wishes.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
