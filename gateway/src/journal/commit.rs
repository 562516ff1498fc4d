//! The commit thread: writes what was appended, syncs it outside every lock, and tells who waited.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::tail::{LAZY, Stop};
use super::{COMMIT_BOUNDS, Settled, Shared, Tail, TailGuard};

/// Longest that a write waits for a segment being made.
const PREPARING: Duration = Duration::from_secs(2);

/// What the commit thread is to do.
enum Turn {
    /// Write and sync the first chunks.
    Commit,
    /// Only tell.
    Tell,
    /// Tell, and end.
    End,
    /// End as if the process had died.
    Abandon,
}

/// Runs until stopped.
pub(super) fn run<A: Send>(shared: &Shared<A>, deliver: &mut (dyn FnMut(Settled<A>) + Send)) {
    loop {
        let (mut tail, turn) = wait(shared);
        let settled = match turn {
            Turn::Commit => commit(shared, tail),
            Turn::Tell | Turn::End => {
                let settled = std::mem::take(&mut tail.settled);
                drop(tail);
                settled
            }
            Turn::Abandon => return,
        };
        if !settled.is_empty() {
            deliver(settled);
        }
        if matches!(turn, Turn::End) {
            shared.tail().over = true;
            shared.upkeep.notify_all();
            return;
        }
    }
}

/// Waits until there is something to do.
fn wait<A>(shared: &Shared<A>) -> (TailGuard<'_, A>, Turn) {
    let mut tail = shared.tail();
    let mut rested = false;
    loop {
        let now = Instant::now();
        if tail.fault {
            shared.repair(&mut tail, now);
        }
        if tail.no_room {
            tail.refuse_unwritten();
        }
        if let Some(turn) = turn(&mut tail, now) {
            return (tail, turn);
        }
        let pause = due(&tail, now).filter(|_| tail.is_next_prepared()).map(|due| due.saturating_duration_since(now));
        // After work it looks once more by itself, in time for records that nobody waits for: they need not wake it.
        let pause = pause.or((!rested).then_some(LAZY));
        rested = true;
        (tail.idle, tail.looks) = (true, pause.is_some());
        tail = shared.sleep(&shared.work, tail, pause);
        tail.idle = false;
    }
}

fn turn<A>(tail: &mut Tail<A>, now: Instant) -> Option<Turn> {
    let closing = tail.stop == Some(Stop::Close);
    if tail.stop == Some(Stop::Abandon) {
        return Some(Turn::Abandon);
    }
    let no_segment = tail.segment_tries == 0 && !tail.is_next_prepared();
    let stuck = tail.failures >= tail.last_failure || no_segment;
    if closing && (tail.chunks.is_empty() || stuck) {
        tail.give_up();
        return Some(Turn::End);
    }
    if tail.is_next_prepared() && due(tail, now).is_some_and(|due| due <= now) {
        return Some(Turn::Commit);
    }
    (!tail.settled.is_empty()).then_some(Turn::Tell)
}

/// When the next commit is to begin, if there is anything to commit.
fn due<A>(tail: &Tail<A>, now: Instant) -> Option<Instant> {
    tail.chunks.front()?;
    let hurry = tail.waiting > 0 || tail.stop.is_some();
    let due = if hurry { now } else { tail.lazy_since? + LAZY };
    Some(tail.retry_at.map_or(due, |at| due.max(at)))
}

/// Commits the first chunks; gives what is settled.
fn commit<A>(shared: &Shared<A>, mut tail: TailGuard<'_, A>) -> Settled<A> {
    let began = Instant::now();
    let count = tail.take_batch();
    tail.lazy_since = (tail.chunks.len() > count).then_some(began);
    if let Err(error) = write(shared, &mut tail, count) {
        tracing::error!(%error, "a journal write failed; going on in a new segment");
        return failed(shared, tail);
    }
    let numbers = tail.chunks.iter().take(count).map(|chunk| chunk.segment);
    let numbers: BTreeSet<u32> = numbers.collect();
    drop(tail);
    let synced = numbers.into_iter().try_for_each(|number| shared.shelf.file(number)?.sync());
    let took = began.elapsed();
    let mut tail = shared.tail();
    if let Err(error) = synced {
        tracing::error!(%error, "a journal sync failed; going on in a new segment");
        return failed(shared, tail);
    }
    let (mended, before) = (tail.failures > 0, tail.segment);
    tail.took = took;
    let discards = tail.finish(count, Instant::now());
    let settled = std::mem::take(&mut tail.settled);
    let rolled = tail.segment != before;
    drop(tail);
    if rolled {
        shared.upkeep.notify_all();
    }
    if mended {
        tracing::info!("the journal can write again");
    }
    shared.shelf.discard(&discards);
    let bucket = COMMIT_BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(COMMIT_BOUNDS.len());
    shared.counts.commits[bucket].fetch_add(1, Relaxed);
    shared.counts.commit_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    settled
}

fn failed<A>(shared: &Shared<A>, mut tail: TailGuard<'_, A>) -> Settled<A> {
    shared.repair(&mut tail, Instant::now());
    std::mem::take(&mut tail.settled)
}

/// Hands the first `count` chunks to the kernel; their segments exist.
fn write<A>(shared: &Shared<A>, tail: &mut Tail<A>, count: usize) -> io::Result<()> {
    for chunk in tail.chunks.iter_mut().take(count).filter(|chunk| !chunk.is_written()) {
        let file = shared.shelf.file(chunk.segment)?;
        chunk.hand_over(|octets, offset| file.write_at(octets, offset))?;
    }
    Ok(())
}

/// Hands everything appended to the kernel; what [`super::Journal::write_out`] does.
pub(super) fn write_out<A>(shared: &Shared<A>) -> io::Result<()> {
    let began = Instant::now();
    let mut tail = shared.tail();
    loop {
        let now = Instant::now();
        if tail.fault || tail.retry_at.is_some_and(|at| at > now) {
            return Err(io::Error::other("the journal is failing"));
        }
        let count = tail.chunks.iter().take_while(|chunk| chunk.segment <= tail.prepared).count();
        if let Err(error) = write(shared, &mut tail, count) {
            tail.fault = true;
            shared.work.notify_one();
            return Err(error);
        }
        if count == tail.chunks.len() {
            return Ok(());
        }
        if tail.no_room || now.duration_since(began) > PREPARING {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no further journal segment"));
        }
        tail = shared.sleep(&shared.ready, tail, Some(PREPARING));
    }
}

/// Makes the segments that come next, until the commit thread needs none any more: even its last records may have to be
/// laid out in a new one.
pub(super) fn prepare<A>(shared: &Shared<A>) {
    const PAUSE: Duration = Duration::from_millis(200);
    let mut tail = shared.tail();
    while tail.stop != Some(Stop::Abandon) && !tail.over {
        // One ahead, but for the end.
        if tail.prepared >= tail.segment + u32::from(tail.stop.is_none()) {
            tail = shared.sleep(&shared.upkeep, tail, None);
            continue;
        }
        let number = tail.prepared + 1;
        drop(tail);
        let made = shared.shelf.prepare(number);
        tail = shared.tail();
        match made {
            Ok(()) => (tail.prepared, tail.no_room) = (number, false),
            Err(error) => {
                if !tail.no_room {
                    tracing::error!(%error, "no further journal segment can be made");
                }
                tail.no_room = true;
                shared.counts.failures.fetch_add(1, Relaxed);
            }
        }
        if tail.no_room && tail.stop.is_some() {
            tail.segment_tries = tail.segment_tries.saturating_sub(1);
        }
        shared.ready.notify_all();
        shared.work.notify_one();
        if tail.no_room && tail.segment_tries == 0 {
            return;
        }
        if tail.no_room {
            tail = shared.sleep(&shared.upkeep, tail, Some(PAUSE));
        }
    }
}
