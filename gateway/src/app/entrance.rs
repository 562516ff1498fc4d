//! The way into the journal for messages.
//!
//! Posts that came together go in together: what the doors hand over while the runtime works through the connections
//! that are ready is gathered, and the task that writes it down, woken by the first, has its turn after them. One lock, one
//! wake-up of the commit thread and one sync serve them all, and a post that comes alone waits for nobody.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Waiting;
use crate::accept::{Commit, Flock, Fresh};
use crate::journal::record::kind;
use crate::journal::{Entry, Journal, Priority};
use crate::vital::Vital;

/// See the module; clones are the same.
#[derive(Clone)]
pub(super) struct Entrance {
    journal: Journal<Waiting>,
    gathered: Arc<Gathered>,
}

/// Posts on their way in: at most one for each open connection.
#[derive(Default)]
struct Gathered {
    posts: Mutex<Vec<Fresh>>,
    first: Notify,
}

impl Entrance {
    pub(super) fn new(journal: Journal<Waiting>) -> Self {
        Entrance { journal, gathered: Arc::default() }
    }

    /// Writes down what is gathered, until it is dropped.
    pub(super) async fn run(self) {
        let _vital = Vital("the entrance");
        let mut posts = Vec::new();
        loop {
            self.gathered.first.notified().await;
            std::mem::swap(&mut posts, &mut *self.gathered.posts.lock().unwrap_or_else(PoisonError::into_inner));
            let bodies: Vec<_> = posts.iter().map(|fresh| fresh.body.clone()).collect();
            self.journal.append_each(
                Priority::Admission,
                posts.drain(..).zip(&bodies).map(|(fresh, body)| {
                    let id = fresh.message.id.0;
                    Entry { kind: kind::ACCEPTED, id, body, ack: Waiting::App(fresh) }
                }),
            );
        }
    }
}

impl Commit for Entrance {
    fn commit(&self, fresh: Fresh) {
        let mut posts = self.gathered.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.push(fresh);
        if posts.len() == 1 {
            self.gathered.first.notify_one();
        }
    }

    fn commit_batch(&self, flock: Flock) {
        let (id, members, octets, own) =
            (flock.id.0, flock.members.clone(), flock.octets.clone(), flock.record.clone());
        let body = |at: &Range<u32>| octets.get(at.start as usize..at.end as usize).unwrap_or_default();
        let messages = members.iter().map(|member| (kind::ACCEPTED, member.message.id.0, body(&member.octets)));
        let records = messages.chain(std::iter::once((kind::BATCH, id, body(&own))));
        self.journal.append_whole(Priority::Admission, records, Waiting::Batch(Box::new(flock)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Time;
    use crate::config::plan::{AppId, GroupId, TierId};
    use crate::ids::MessageId;
    use crate::journal::Settings;
    use crate::switch::Message;

    fn fresh(id: u64) -> Fresh {
        let (app, group, tier) = (AppId(0), GroupId(0), TierId(0));
        let message = Message { id: MessageId(id), app, group, tier, parts: 1, expires: Time(0), accepted: Time(0) };
        let body = Bytes::from_static(b"accepted");
        Fresh { message, body, routing: 0, callback: false, answer: oneshot::channel().0 }
    }

    #[tokio::test]
    async fn posts_that_come_together_share_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            Settings { dir: dir.path().join("journal"), segment_bytes: 1 << 20, max_bytes: 8 << 20, end_kind: 15 };
        let (tell, settled) = channel();
        let (journal, _) = Journal::open(settings, &mut |_| {}, move |acks| drop(tell.send(acks))).unwrap();
        let entrance = Entrance::new(journal.clone());
        let running = tokio::spawn(entrance.clone().run());
        for posts in [1u64..6, 6..7, 7..307] {
            posts.clone().for_each(|id| entrance.commit(fresh(id)));
            // The task has its turn once, and everything is on its way.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert!(entrance.gathered.posts.lock().unwrap().is_empty());
            let mut known = Vec::new();
            while known.len() < posts.clone().count() {
                let acks: Vec<(Waiting, _)> = settled.recv_timeout(Duration::from_secs(20)).unwrap();
                // A commit takes 256 records at most.
                assert_eq!(acks.len(), (posts.clone().count() - known.len()).min(256));
                known.extend(acks.into_iter().map(|(waiting, result)| match (waiting, result) {
                    (Waiting::App(fresh), Ok(_)) => fresh.message.id.0,
                    _ => panic!("a post is not on disk"),
                }));
            }
            assert_eq!(known, posts.collect::<Vec<_>>(), "in their order");
        }
        running.abort();
        journal.close();
    }
}
