//! Receipts for messages that are finished and forgotten: only the store knows them.
//!
//! A receipt that nobody knows is kept in the journal under an id of its own, and that record is all that a crash needs
//! to leave behind. Its message is then looked for in the store, off the line: a look-up may read the disk, and whoever
//! waits for an OTP must not wait for that. Where the receipt moves the outcome up, the correction is told, then the
//! history with it goes to the store, and only when that is on disk the receipt's record ends. A crash before repeats
//! the same steps with the same event number; a crash after finds a history that nothing corrects any more.
//!
//! What the store holds of a message is asked for only while no change of it is under way, so no change is lost.

use super::correlate::Waiting;
use super::end::{Past, ids};
use super::state::{Detail, Keeping};
use super::{Effect, Ledger, Report, history, tell};
use crate::clock::{Moment, Wall};
use crate::config::plan::{AppId, ChannelId, Names, TierId};
use crate::ids::MessageId;
use crate::journal::record::Record;

/// A finished message that is looked at again.
#[derive(Debug, Default)]
pub(super) struct Reopened {
    /// Receipts not yet looked at; they still wait among the orphans.
    receipts: Vec<MessageId>,
    /// Receipts whose effect the store has not got yet.
    held: Vec<MessageId>,
    /// Once read.
    past: Option<Recalled>,
}

#[derive(Debug)]
struct Recalled {
    /// Its history as it was read; begins with the accepted record.
    history: Vec<u8>,
    /// In terms of `names`.
    detail: Detail,
    /// Channels by the numbers used here only: some may be configured no more.
    names: Names,
}

impl Report {
    /// The store's word on a receipt that nobody knew: the message it may speak of.
    pub fn sought(&mut self, now: Moment, orphan: MessageId, message: Option<MessageId>, ledger: &mut impl Ledger) {
        let Some(message) = message.filter(|m| !self.live.contains_key(&m.0)) else {
            return self.nobodys(now, orphan, ledger);
        };
        if self.correlation.orphan(orphan).is_none() {
            return;
        }
        if !self.reopened.contains_key(&message) {
            self.effects.push(Effect::Recall(message));
        }
        self.reopened.entry(message).or_default().receipts.push(orphan);
    }

    /// No finished message owns the receipt: an attempt in doubt may.
    fn nobodys(&mut self, now: Moment, orphan: MessageId, ledger: &mut impl Ledger) {
        self.correlation.stranger(orphan);
        if let Some((waiting, found)) = self.reunite(now, orphan) {
            let message = found.place.message;
            self.unite(now, waiting, found, ledger);
            self.conclude(now, message, ledger);
        }
    }

    /// The history of a message that was asked for.
    pub fn recalled(&mut self, now: Moment, id: MessageId, history: Option<Vec<u8>>, ledger: &mut impl Ledger) {
        let Some(reopened) = self.reopened.get_mut(&id) else { return };
        let mut names = Names::default();
        let detail = history.as_deref().and_then(|octets| Some(history::restore(octets, &mut names)?.1));
        match (detail, history) {
            (Some(detail), Some(history)) => {
                reopened.past = Some(Recalled { history, detail, names });
                self.review(now, id, ledger);
            }
            // Too old or unreadable: its receipts wait like all that nobody knows.
            _ => {
                let receipts = self.reopened.remove(&id).map(|reopened| reopened.receipts).unwrap_or_default();
                receipts.into_iter().for_each(|orphan| self.nobodys(now, orphan, ledger));
            }
        }
    }

    /// Applies the receipts that came, and starts what follows from them.
    fn review(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        for orphan in self.apply_late(now, id, ledger) {
            self.nobodys(now, orphan, ledger);
        }
    }

    /// Those that are not of this message after all.
    fn apply_late(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) -> Vec<MessageId> {
        let Report { reopened, correlation, names, receipts: sends, effects, .. } = self;
        let Some(entry) = reopened.get_mut(&id) else { return Vec::new() };
        let Some(past) = entry.past.as_mut() else { return Vec::new() };
        let mut strangers = Vec::new();
        for orphan in std::mem::take(&mut entry.receipts) {
            let channel = |w: &Waiting| names.channels.get(usize::from(w.channel.0)).cloned().unwrap_or_default();
            let Some(place) = correlation.orphan(orphan).and_then(|w| past.place(w, &channel(w))) else {
                strangers.push(orphan);
                continue;
            };
            let Some(waiting) = correlation.take(orphan) else { continue };
            let copies = past.detail.copies();
            let changed = past.apply(now, place, &waiting);
            if past.detail.copies() > copies.max(1) {
                effects.push(Effect::Duplicate(waiting.channel));
            }
            effects.push(Effect::Late(waiting.channel, changed));
            if changed { entry.held.push(orphan) } else { ledger.end(orphan) }
        }
        if entry.held.is_empty() {
            reopened.remove(&id);
            return strangers;
        }
        let global = |channel: ChannelId| {
            let name = past.names.channels.get(usize::from(channel.0))?;
            let found = names.channels.iter().position(|n| n == name)?;
            u16::try_from(found).ok().map(ChannelId)
        };
        let sends = |c| global(c).and_then(|c| sends.get(usize::from(c.0)).copied()).unwrap_or(true);
        let Some(Ok(Record::Accepted(accepted))) = history::read(&past.history).next() else { return strangers };
        if let Some(concluded) = past.detail.conclude(now.wall, sends) {
            let (channel, outcome, reason) = (concluded.channel.and_then(global), concluded.kind, concluded.reason);
            if let Some(seq) = past.detail.take(concluded) {
                let app = names.apps.iter().position(|n| **n == *accepted.app).and_then(|i| u16::try_from(i).ok());
                match app.filter(|_| accepted.callback) {
                    Some(app) => effects.push(Effect::Tell(id, AppId(app), seq)),
                    None => past.detail.told(seq),
                }
                let tier = names.tiers.iter().position(|n| **n == *accepted.tier).and_then(|i| u8::try_from(i).ok());
                if let Some(tier) = tier.map(TierId) {
                    effects.push(Effect::Concluded { id, app: None, correction: true, tier, channel, outcome, reason });
                }
            }
        }
        self.keep_late(id);
        strangers
    }

    /// Hands the history to the store once nothing of it is to be told.
    fn keep_late(&mut self, id: MessageId) {
        let Some(past) = self.reopened.get_mut(&id).and_then(|r| r.past.as_mut()) else { return };
        if past.detail.untold().next().is_none() && past.detail.keeping == Keeping::No {
            past.detail.keeping = Keeping::UnderWay;
            self.effects.push(Effect::Store(id));
        }
    }

    pub(super) fn told_late(&mut self, id: MessageId, seq: u32) {
        let Some(past) = self.reopened.get_mut(&id).and_then(|r| r.past.as_mut()) else { return };
        past.detail.told(seq);
        self.keep_late(id);
    }

    pub(super) fn persisted_late(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        let Some(entry) = self.reopened.get_mut(&id) else { return };
        let Some(past) = entry.past.as_mut().filter(|p| p.detail.keeping == Keeping::UnderWay) else { return };
        past.detail.keeping = Keeping::No;
        entry.held.drain(..).for_each(|orphan| ledger.end(orphan));
        self.review(now, id, ledger);
    }

    pub(super) fn late_event<'a>(
        &'a self,
        id: MessageId,
        seq: u32,
        company: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<(&'static str, Wall, tell::EventData<'a>)> {
        let past = self.reopened.get(&id)?.past.as_ref()?;
        let Some(Ok(Record::Accepted(accepted))) = history::read(&past.history).next() else { return None };
        tell::event(id, accepted.tier, &past.detail, seq, &past.names, company)
    }

    pub(super) fn late_past(&self, id: MessageId) -> Option<Past> {
        let past = self.reopened.get(&id)?.past.as_ref()?;
        let Some(Ok(Record::Accepted(accepted))) = history::read(&past.history).next() else { return None };
        let mut history = Vec::with_capacity(past.history.len() + 64);
        history::write(&accepted, Some(&past.detail), &past.names, &mut history);
        Some(Past { history, ids: ids(&past.detail, &past.names) })
    }
}

impl Recalled {
    /// Attempt and part that a receipt from that channel speaks of. Carriers give ids again after days: the number must
    /// agree, too.
    fn place(&self, waiting: &Waiting, channel: &str) -> Option<(carriers::AttemptRef, u8)> {
        if waiting.to.is_some() && waiting.to != self.detail.tail() {
            return None;
        }
        let on_channel = |a: &&super::state::AttemptState| {
            self.names.channels.get(usize::from(a.channel.0)).is_some_and(|name| **name == *channel)
        };
        let part = |a: &super::state::AttemptState| {
            let found = a.parts.iter().position(|p| p.id.as_ref().is_some_and(|id| waiting.ids.contains(id)))?;
            Some((a.attempt, u8::try_from(found).ok()?))
        };
        self.detail.attempts.iter().filter(on_channel).find_map(part)
    }

    /// Whether the receipt says anything new.
    fn apply(&mut self, now: Moment, (attempt, part): (carriers::AttemptRef, u8), waiting: &Waiting) -> bool {
        let before = self.detail.part(attempt, part).map(|p| p.state.clone());
        self.detail.receipted(attempt, part, now.wall, waiting.state, (&waiting.code).into());
        before != self.detail.part(attempt, part).map(|p| p.state.clone())
    }
}
