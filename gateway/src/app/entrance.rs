//! The way into the journal for messages.
//!
//! Posts that came together go in together. What the doors hand over is gathered while each round of the runtime over
//! the connections that are ready brings more; the first round that brings none ends it, so that a post that comes alone
//! waits for nobody. One lock, one wake-up of the commit thread and one sync serve them all: under load a sync, with its
//! wake-ups, costs as much as several messages.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::Waiting;
use crate::accept::{Commit, Flock, Fresh};
use crate::journal::record::kind;
use crate::journal::{Journal, Priority};
use crate::vital::Vital;

/// Longest that a post waits for those behind it, looked at once a round. Only a runtime without a pause gets there.
const LONGEST: Duration = Duration::from_millis(1);
/// With so many gathered they go: what one commit takes.
const MOST: usize = 256;

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

impl Gathered {
    fn posts(&self) -> MutexGuard<'_, Vec<Fresh>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, fresh: Fresh) {
        let mut posts = self.posts();
        posts.push(fresh);
        if posts.len() == 1 {
            self.first.notify_one();
        }
    }

    /// Swaps `posts`, which is empty, for those that go in together: once a round of the runtime has brought no more of
    /// them, or they are many or have waited long enough.
    async fn take(&self, posts: &mut Vec<Fresh>) {
        self.first.notified().await;
        let (began, mut before) = (Instant::now(), 0);
        loop {
            let now = self.posts().len();
            if now == before || now >= MOST || began.elapsed() >= LONGEST {
                break;
            }
            before = now;
            yield_now().await;
        }
        std::mem::swap(posts, &mut *self.posts());
    }
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
            self.gathered.take(&mut posts).await;
            self.journal.append_each(Priority::Admission, posts.drain(..), Fresh::says, Waiting::app);
        }
    }
}

impl Commit for Entrance {
    fn commit(&self, fresh: Fresh) {
        self.gathered.add(fresh);
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
        Fresh { message, body: b"accepted".to_vec(), routing: 0, callback: false, answer: oneshot::channel().0 }
    }

    /// What is gathered in this way, until a thousand rounds of the runtime bring no more.
    async fn groups(add: impl AsyncFnOnce(&Gathered)) -> Vec<Vec<u64>> {
        let (gathered, groups) = (Arc::new(Gathered::default()), Arc::new(Mutex::new(Vec::new())));
        let (taken, told) = (gathered.clone(), groups.clone());
        let taking = tokio::spawn(async move {
            let mut posts = Vec::new();
            loop {
                taken.take(&mut posts).await;
                told.lock().unwrap().push(posts.drain(..).map(|fresh| fresh.message.id.0).collect());
            }
        });
        add(&gathered).await;
        for _ in 0..1_000 {
            yield_now().await;
        }
        taking.abort();
        assert!(gathered.posts().is_empty());
        let groups = groups.lock().unwrap().clone();
        assert!(groups.iter().flatten().copied().eq(0..groups.iter().flatten().count() as u64), "in their order");
        groups
    }

    fn sizes(groups: &[Vec<u64>]) -> Vec<usize> {
        groups.iter().map(Vec::len).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn posts_go_in_together_while_each_round_brings_more() {
        let alone = groups(async |gathered| gathered.add(fresh(0))).await;
        assert_eq!(sizes(&alone), [1]);
        let at_once = groups(async |gathered| (0..300).for_each(|id| gathered.add(fresh(id)))).await;
        assert_eq!(sizes(&at_once), [300]);
        let one_after_the_other = groups(async |gathered| {
            for id in 0..300 {
                gathered.add(fresh(id));
                yield_now().await;
            }
        });
        let sizes = sizes(&one_after_the_other.await);
        assert!(sizes[0] >= MOST && sizes.len() == 2, "{sizes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_without_a_post_ends_it_and_so_does_a_millisecond() {
        let with_pauses = groups(async |gathered| {
            for id in 0..5 {
                gathered.add(fresh(id));
                for _ in 0..3 {
                    yield_now().await;
                }
            }
        });
        assert_eq!(sizes(&with_pauses.await), [1, 1, 1, 1, 1]);
        let slowly = groups(async |gathered| {
            for id in 0..50 {
                gathered.add(fresh(id));
                tokio::time::advance(LONGEST / 10).await;
            }
        });
        let sizes = sizes(&slowly.await);
        assert!(sizes.iter().all(|size| (1..=12).contains(size)), "{sizes:?}");
    }

    #[tokio::test]
    async fn what_is_gathered_is_in_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            Settings { dir: dir.path().join("journal"), segment_bytes: 1 << 20, max_bytes: 8 << 20, end_kind: 15 };
        let (tell, settled) = channel();
        let (journal, _) = Journal::open(settings, &mut |_| {}, move |acks| drop(tell.send(acks))).unwrap();
        let entrance = Entrance::new(journal.clone());
        let running = tokio::spawn(entrance.clone().run());
        (0..300).for_each(|id| entrance.commit(fresh(id)));
        while !entrance.gathered.posts().is_empty() {
            yield_now().await;
        }
        let mut known = Vec::new();
        while known.len() < 300 {
            let acks: Vec<(Waiting, _)> = settled.recv_timeout(Duration::from_secs(20)).unwrap();
            known.extend(acks.into_iter().map(|(waiting, result)| match (waiting, result) {
                (Waiting::App(fresh), Ok(_)) => fresh.message.id.0,
                _ => panic!("a post is not on disk"),
            }));
        }
        assert_eq!(known, (0..300).collect::<Vec<_>>());
        running.abort();
        journal.close();
    }
}
