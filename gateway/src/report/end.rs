//! How messages end: outcomes are concluded, written, told and handed to the store; then the message is forgotten.

use std::time::Duration;

use carriers::CarrierId;

use super::state::{Concluded, Detail, Keeping, Live};
use super::{Ack, Effect, Ledger, Report, history, tell};
use crate::clock::{Moment, Wall};
use crate::config::plan::{ChannelId, Names};
use crate::ids::MessageId;
use crate::journal::record::{Accepted, Called, Outcome, OutcomeKind, Outline, Record, Telling};

/// Pause before an outcome record that the journal refused is written again.
const REWRITE_PAUSE: Duration = Duration::from_millis(500);

/// What the store keeps of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Its records, as [`history::read`] reads them.
    pub history: Vec<u8>,
    /// The carriers' ids of its parts, by the channels' names: what late receipts may bring.
    pub ids: Vec<(std::sync::Arc<str>, CarrierId)>,
}

impl Report {
    /// Concludes what can be concluded now; else waits for receipts where nothing else is to come.
    pub(super) fn conclude(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        let receipts = &self.receipts;
        let sends = |channel: ChannelId| receipts.get(usize::from(channel.0)).copied().unwrap_or(true);
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        match detail.conclude(now.wall, sends) {
            Some(concluded) if detail.outcome().is_none_or(|earlier| concluded.corrects(earlier)) => {
                if concluded.kind == OutcomeKind::Delivered || !self.go_on(now, id) {
                    self.outcome(id, concluded, ledger);
                }
            }
            None if detail.done && detail.outcomes.is_empty() => {
                if self.go_on(now, id) {
                    return;
                }
                let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
                if !detail.waiting {
                    detail.waiting = true;
                    self.waits.insert((detail.patience, id.0));
                }
            }
            _ => self.over(id),
        }
    }

    pub(super) fn outcome(&mut self, id: MessageId, concluded: Concluded, ledger: &mut impl Ledger) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let Some(detail) = live.detail.as_deref_mut() else { return };
        let (channel, outcome, reason) = (concluded.channel, concluded.kind, concluded.reason);
        let done = detail.done;
        let Some(seq) = detail.take(concluded) else { return };
        write(&self.names, detail, id, seq, ledger);
        if std::mem::take(&mut detail.waiting) {
            self.waits.remove(&(detail.patience, id.0));
        }
        if let Some(due) = detail.due.take() {
            self.due.remove(&(due, id.0));
        }
        if !done {
            self.effects.push(Effect::Conclude(id));
        }
        let (tier, correction) = (live.tier, seq > 1);
        self.effects.push(Effect::Concluded { id, correction, tier, channel, outcome, reason });
    }

    /// The journal's word on an outcome record: durable, or to be written again.
    pub fn committed(&mut self, now: Moment, id: MessageId, seq: u32, durable: bool) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let (app, callback) = (live.app, live.callback);
        if !durable {
            self.unwritten.push((id, seq));
            self.rewrite_at.get_or_insert(now.time.after(REWRITE_PAUSE));
        } else if callback {
            self.effects.push(Effect::Tell(id, app, seq));
        } else if let Some(detail) = live.detail.as_deref_mut() {
            detail.told(seq);
            self.over(id);
        }
    }

    pub(super) fn rewrite(&mut self, now: Moment, ledger: &mut impl Ledger) {
        if self.rewrite_at.is_none_or(|at| at > now.time) {
            return;
        }
        self.rewrite_at = None;
        for (id, seq) in std::mem::take(&mut self.unwritten) {
            if let Some(detail) = self.live.get(&id.0).and_then(|l| l.detail.as_deref()) {
                write(&self.names, detail, id, seq, ledger);
            }
        }
    }

    /// An event needs no telling from here any more: the endpoint took it, a letter on disk has it, or it never will.
    pub fn told(&mut self, now: Moment, id: MessageId, seq: u32, end: Telling, ledger: &mut impl Ledger) {
        if self.uplinks.told(now, id, end, ledger) {
            return;
        }
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else {
            return self.told_late(id, seq);
        };
        let event = u8::try_from(seq).unwrap_or(u8::MAX);
        ledger.note(id, &Record::Called(Called { at: now.wall, event, end }));
        detail.told(seq);
        self.over(id);
    }

    /// Hands a message that is over to the store, or notes that what the store is getting is no more the last word.
    pub(super) fn over(&mut self, id: MessageId) {
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else { return };
        if !detail.over() {
            return;
        }
        if detail.keeping == Keeping::No {
            detail.keeping = Keeping::UnderWay;
            self.effects.push(Effect::Store(id));
        } else {
            detail.keeping = Keeping::Stale;
        }
    }

    /// The store has it on disk: forget it here and in the journal, unless it has changed since.
    pub fn persisted(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        if self.uplinks.persisted(now, id, ledger) {
            return;
        }
        let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) else {
            return self.persisted_late(now, id, ledger);
        };
        match std::mem::take(&mut detail.keeping) {
            Keeping::No => {}
            Keeping::UnderWay if detail.over() => {
                self.forget(id);
                ledger.end(id);
            }
            Keeping::UnderWay | Keeping::Stale => self.over(id),
        }
    }

    pub(super) fn forget(&mut self, id: MessageId) {
        let Some(mut detail) = self.remove(id).and_then(|l| l.detail) else { return };
        if detail.waiting {
            self.waits.remove(&(detail.patience, id.0));
        }
        if let Some(due) = detail.due {
            self.due.remove(&(due, id.0));
        }
        let to = detail.tail();
        for attempt in &mut detail.attempts {
            self.correlation.forget(id, attempt, to);
        }
    }

    /// Kind, time and content of a message's event number `seq`. `company` gives a channel's carrier.
    pub fn event<'a>(
        &'a self,
        id: MessageId,
        seq: u32,
        company: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<(&'static str, Wall, tell::EventData<'a>)> {
        match self.live.get(&id.0) {
            Some(live) => {
                let tier = self.names.tiers.get(usize::from(live.tier.0)).map_or("", |n| n);
                tell::event(id, tier, live.detail.as_deref()?, seq, &self.names, company)
            }
            None => self.late_event(id, seq, company),
        }
    }

    /// What the store keeps of a message, or its owner asks of it. Without its accepted record (damaged on disk), what
    /// memory has must do.
    pub fn past(&self, id: MessageId, accepted: Option<&Accepted<'_>>) -> Option<Past> {
        let Some(live) = self.live.get(&id.0) else { return self.late_past(id) };
        let (detail, mut history) = (live.detail.as_deref(), Vec::with_capacity(256));
        match accepted {
            Some(accepted) => history::write(accepted, detail, &self.names, &mut history),
            None => history::write(&self.bare(id, live), detail, &self.names, &mut history),
        }
        Some(Past { history, ids: detail.map_or_else(Vec::new, |detail| ids(detail, &self.names)) })
    }

    /// The same from the accepted record's octets, which are copied: this is for every message.
    pub fn finished(&self, id: MessageId, accepted: Option<&Outline<'_>>) -> Option<Past> {
        let (Some(accepted), Some(live)) = (accepted, self.live.get(&id.0)) else { return self.past(id, None) };
        let (detail, mut history) = (live.detail.as_deref(), Vec::with_capacity(256));
        history::copy(accepted, detail, &self.names, &mut history);
        Some(Past { history, ids: detail.map_or_else(Vec::new, |detail| ids(detail, &self.names)) })
    }

    /// An accepted record as far as memory knows it.
    fn bare<'a>(&'a self, id: MessageId, live: &'a Live) -> Accepted<'a> {
        let detail = live.detail.as_deref();
        Accepted {
            at: id.wall(),
            expires: id.wall(),
            app: self.names.apps.get(usize::from(live.app.0)).map_or("", |n| n),
            tier: self.names.tiers.get(usize::from(live.tier.0)).map_or("", |n| n),
            group: self.names.groups.get(usize::from(live.group.0)).map_or("", |n| n),
            kind: "sms",
            to: detail.map_or("", |d| d.to()),
            client_ref: detail.and_then(Detail::client_ref),
            callback: live.callback,
            parts: live.reserve,
            ..Accepted::default()
        }
    }
}

/// The carriers' ids of a message's parts.
pub(super) fn ids(detail: &Detail, names: &Names) -> Vec<(std::sync::Arc<str>, CarrierId)> {
    let mut ids = Vec::new();
    for attempt in &detail.attempts {
        let Some(name) = names.channels.get(usize::from(attempt.channel.0)) else { continue };
        ids.extend(attempt.parts.iter().filter_map(|p| Some((name.clone(), p.id.clone()?))));
    }
    ids
}

/// Writes outcome `seq`.
fn write(names: &Names, detail: &Detail, id: MessageId, seq: u32, ledger: &mut impl Ledger) {
    let Some(concluded) = (seq as usize).checked_sub(1).and_then(|i| detail.outcomes.get(i)) else { return };
    ledger.commit(id, &Record::Outcome(outcome_record(concluded, names, seq)), Ack::Outcome(id, seq));
}

/// The record of an outcome that is event `seq`.
pub(super) fn outcome_record<'a>(concluded: &'a Concluded, names: &'a Names, seq: u32) -> Outcome<'a> {
    let channel = concluded.channel.and_then(|c| names.channels.get(usize::from(c.0)));
    Outcome {
        at: concluded.at,
        outcome: concluded.kind,
        reason: concluded.reason,
        code: &concluded.code,
        evidence: concluded.evidence,
        channel: channel.map_or("", |n| n),
        correction: seq > 1,
    }
}
