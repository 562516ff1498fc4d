//! The disk: a journal with group commit, whose syncs take time, fail, and lose their tail in a crash; and the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use carriers::CarrierId;
use gateway::ids::MessageId;
use gateway::journal::At;
use gateway::journal::record::{Record, kind};
use gateway::report::{Ack, Ledger};

/// Who waits for a record.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    /// An app, for its 202: the number of its request.
    App(usize, MessageId),
    /// Somebody behind the report.
    Report(Ack),
}

/// One record; an id's end has none.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) record: Option<(u8, Vec<u8>)>,
    /// Withdrawn after a failed sync: it never was.
    void: bool,
}

/// What the store has of a finished message.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) history: Vec<u8>,
    pub(crate) ids: Vec<(Arc<str>, CarrierId)>,
}

#[derive(Default)]
pub(crate) struct Disk {
    entries: Vec<Entry>,
    waiters: Vec<(usize, Waiter)>,
    bodies: HashMap<MessageId, usize>,
    /// How many the kernel has, how many the disk.
    written: usize,
    synced: usize,
    /// How many the sync under way will cover.
    pub(crate) syncing: Option<usize>,
    /// How many the kernel had when parts were last sent: a killed process leaves at least these.
    sent: usize,
    pub(crate) refuses_writes: bool,
    pub(crate) store: BTreeMap<MessageId, Kept>,
    by_id: HashMap<(Arc<str>, CarrierId), MessageId>,
    /// The highest id that any start has found: checkpoints keep it, whatever they forget.
    pub(crate) highest: u64,
}

impl Disk {
    fn push(&mut self, id: MessageId, record: &Record<'_>) {
        let mut octets = Vec::with_capacity(64);
        record.write(&mut octets);
        self.append(id, record.kind(), octets);
    }

    fn append(&mut self, id: MessageId, kind: u8, octets: Vec<u8>) {
        if kind == kind::ACCEPTED {
            self.bodies.insert(id, self.entries.len());
        }
        self.entries.push(Entry { id, record: Some((kind, octets)), void: false });
    }

    /// A message on its way to its 202.
    pub(crate) fn accept(&mut self, id: MessageId, record: &Record<'_>, request: usize) {
        self.push(id, record);
        self.waiters.push((self.entries.len() - 1, Waiter::App(request, id)));
    }

    /// What replay noted while the journal was not open yet.
    pub(crate) fn take(&mut self, id: MessageId, kind: u8, octets: Vec<u8>, ack: Option<Ack>) {
        self.append(id, kind, octets);
        self.waiters.extend(ack.map(|ack| (self.entries.len() - 1, Waiter::Report(ack))));
    }

    /// Where the next record will stand.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Name of a message's accepted record.
    pub(crate) fn at(&self, id: MessageId) -> At {
        At { segment: 0, offset: self.bodies.get(&id).copied().unwrap_or(0) as u32, len: 0 }
    }

    pub(crate) fn body(&self, id: MessageId) -> Option<Vec<u8>> {
        let entry = self.entries.get(*self.bodies.get(&id)?)?;
        entry.record.as_ref().map(|(_, octets)| octets.clone())
    }

    /// Hands everything to the kernel: what is new there, or nothing where the disk refuses.
    pub(crate) fn write_out(&mut self) -> Result<Vec<Entry>, ()> {
        if self.refuses_writes {
            return Err(());
        }
        let new = self.entries[self.written..].iter().filter(|entry| !entry.void).cloned().collect();
        self.written = self.entries.len();
        Ok(new)
    }

    /// Parts are about to leave that rest on what is written.
    pub(crate) fn mark_sent(&mut self) {
        self.sent = self.written;
    }

    /// Whether a sync should begin: nobody, somebody who waits, or what nobody waits for.
    pub(crate) fn due(&self) -> Option<bool> {
        if self.syncing.is_some() || self.synced == self.entries.len() {
            return None;
        }
        Some(!self.waiters.is_empty())
    }

    /// What the sync that ends now has put on disk, and who waited for it.
    pub(crate) fn synced(&mut self) -> (Vec<Entry>, Vec<Waiter>) {
        let Some(upto) = self.syncing.take() else { return (Vec::new(), Vec::new()) };
        let new = self.entries[self.synced..upto].iter().filter(|entry| !entry.void).cloned().collect();
        self.synced = upto;
        let (done, left) = std::mem::take(&mut self.waiters).into_iter().partition(|(at, _)| *at < upto);
        self.waiters = left;
        let done: Vec<(usize, Waiter)> = done;
        (new, done.into_iter().map(|(_, waiter)| waiter).collect())
    }

    /// The sync failed: records that somebody waits for are withdrawn, the others will be written again.
    pub(crate) fn failed(&mut self) -> Vec<Waiter> {
        self.syncing = None;
        let waiters = std::mem::take(&mut self.waiters);
        for (at, _) in &waiters {
            self.entries[*at].void = true;
        }
        waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// The least and the most that a crash may leave.
    pub(crate) fn bounds(&self, power: bool) -> (usize, usize) {
        (if power { self.synced } else { self.sent.max(self.synced).min(self.written) }, self.written)
    }

    /// A crash leaves that much. Returns what is lost, then what is found that nobody knew to be on disk.
    pub(crate) fn crash(&mut self, left: usize) -> (Vec<Entry>, Vec<Entry>) {
        let mut entries = std::mem::take(&mut self.entries);
        let lost = entries.split_off(left);
        let found = entries[self.synced.min(left)..].iter().filter(|entry| !entry.void).cloned().collect();
        entries.retain(|entry| !entry.void);
        let highest = entries.iter().map(|entry| entry.id.0).fold(self.highest, u64::max);
        let ended: HashSet<MessageId> = entries.iter().filter(|e| e.record.is_none()).map(|e| e.id).collect();
        // Checkpoints forget what has ended.
        entries.retain(|entry| !ended.contains(&entry.id));
        let (store, by_id) = (std::mem::take(&mut self.store), std::mem::take(&mut self.by_id));
        *self = Disk { store, by_id, highest, ..Disk::default() };
        for (at, entry) in entries.iter().enumerate() {
            if entry.record.as_ref().is_some_and(|(of, _)| *of == kind::ACCEPTED) {
                self.bodies.insert(entry.id, at);
            }
        }
        self.entries = entries;
        (self.written, self.synced, self.sent) = (self.len(), self.len(), self.len());
        (lost, found)
    }

    /// All there is: what a start reads.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(crate) fn keep(&mut self, id: MessageId, kept: Kept) {
        for key in &kept.ids {
            self.by_id.insert(key.clone(), id);
        }
        self.store.insert(id, kept);
    }

    pub(crate) fn seek(&self, channel: &Arc<str>, ids: &[CarrierId]) -> Option<MessageId> {
        ids.iter().find_map(|id| self.by_id.get(&(channel.clone(), id.clone())).copied())
    }
}

impl Ledger for Disk {
    fn note(&mut self, id: MessageId, record: &Record<'_>) {
        super::line::trace(|| format!("        NOTE {id:?} {record:?}"));
        self.push(id, record);
    }
    fn commit(&mut self, id: MessageId, record: &Record<'_>, ack: Ack) {
        super::line::trace(|| format!("        COMMIT {id:?} {record:?} {ack:?}"));
        self.push(id, record);
        self.waiters.push((self.entries.len() - 1, Waiter::Report(ack)));
    }
    fn end(&mut self, id: MessageId) {
        super::line::trace(|| format!("        END {id:?}"));
        self.entries.push(Entry { id, record: None, void: false });
    }
}
