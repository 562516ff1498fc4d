//! How messages end: outcomes are concluded, written, told and handed to the store; then the message is forgotten.

use std::time::Duration;

use carriers::CarrierId;
use carriers::compact::Text;

use super::state::{Concluded, Detail, Keeping, Live};
use super::{Ack, Books, Effect, Ledger, Report, history, tell};
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

impl Books<'_> {
    /// Concludes what can be concluded now; else waits for receipts where nothing else is to come.
    pub(super) fn conclude(&mut self, now: Moment, id: MessageId, live: &mut Live, ledger: &mut impl Ledger) {
        let sends = |channel: ChannelId| self.receipts.get(usize::from(channel.0)).copied().unwrap_or(true);
        let Some(detail) = live.detail.as_deref_mut() else { return };
        match detail.conclude(now.wall, sends) {
            Some(concluded) if detail.outcome().is_none_or(|earlier| concluded.corrects(earlier)) => {
                if concluded.kind == OutcomeKind::Delivered || !self.go_on(now, id, live) {
                    self.outcome(id, live, concluded, ledger);
                }
            }
            None if detail.done && detail.outcomes.is_empty() => {
                if self.go_on(now, id, live) {
                    return;
                }
                if let Some(detail) = live.detail.as_deref_mut().filter(|detail| !detail.waiting) {
                    detail.waiting = true;
                    self.waits.insert(now.time, detail.patience, id.0);
                }
            }
            _ => over(id, detail, self.effects),
        }
    }

    pub(super) fn outcome(&mut self, id: MessageId, live: &mut Live, concluded: Concluded, ledger: &mut impl Ledger) {
        let Some(detail) = live.detail.as_deref_mut() else { return };
        let (channel, outcome, reason) = (concluded.channel, concluded.kind, concluded.reason);
        let done = detail.done;
        let Some(seq) = detail.take(concluded) else { return };
        if detail.may_be_written(seq) {
            write(self.names, detail, id, seq, ledger);
        }
        if std::mem::take(&mut detail.waiting) {
            self.waits.remove(detail.patience, id.0);
        }
        if let Some(due) = detail.due.take() {
            self.due.remove(&(due, id.0));
        }
        if !done {
            self.effects.push(Effect::Conclude(id));
        }
        let (app, tier, correction) = (Some(live.app), live.tier, seq > 1);
        self.effects.push(Effect::Concluded { id, app, correction, tier, channel, outcome, reason });
    }
}

/// Hands a message that is over to the store, or notes that what the store is getting is no more the last word.
fn over(id: MessageId, detail: &mut Detail, effects: &mut Vec<Effect>) {
    if !detail.over() {
        return;
    }
    if detail.keeping == Keeping::No {
        detail.keeping = Keeping::UnderWay;
        effects.push(Effect::Store(id));
    } else {
        detail.keeping = Keeping::Stale;
    }
}

impl Report {
    /// As [`Books::conclude`].
    pub(super) fn conclude(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        if let Some((live, mut books)) = self.open(id) {
            books.conclude(now, id, live, ledger);
        }
    }

    /// The journal's word on an outcome record: durable, or to be written again. Its correction waits for it.
    pub fn committed(&mut self, now: Moment, id: MessageId, seq: u32, durable: bool) {
        let Some(live) = self.live.get_mut(&id.0) else { return };
        let (app, callback) = (live.app, live.callback);
        if !durable {
            self.unwritten.push((id, seq));
            self.rewrite_at.get_or_insert(now.time.after(REWRITE_PAUSE));
            return;
        }
        let Some(detail) = live.detail.as_deref_mut() else { return };
        detail.reached_disk(seq);
        if detail.seq() > seq {
            self.corrections.push((id, seq + 1));
        }
        if callback {
            self.effects.push(Effect::Tell(id, app, seq));
        } else {
            detail.told(seq);
            over(id, detail, &mut self.effects);
        }
    }

    pub(super) fn rewrite(&mut self, now: Moment, ledger: &mut impl Ledger) {
        let mut due = std::mem::take(&mut self.corrections);
        if self.rewrite_at.is_some_and(|at| at <= now.time) {
            self.rewrite_at = None;
            due.append(&mut self.unwritten);
        }
        for (id, seq) in due {
            if let Some(detail) = self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) {
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
        over(id, detail, &mut self.effects);
    }

    /// A message's event has no endpoint to go to. Nothing is written down as long as none follows it: a restart finds
    /// that again, or there is one by then.
    pub fn unwanted(&mut self, now: Moment, id: MessageId, seq: u32, ledger: &mut impl Ledger) {
        match self.live.get_mut(&id.0).and_then(|l| l.detail.as_deref_mut()) {
            Some(detail) if detail.seq() == seq => {
                detail.unwanted(seq);
                over(id, detail, &mut self.effects);
            }
            _ => self.told(now, id, seq, Telling::Never, ledger),
        }
    }

    /// The store has it on disk: forget it here and in the journal, unless it has changed since.
    pub fn persisted(&mut self, now: Moment, id: MessageId, ledger: &mut impl Ledger) {
        if self.uplinks.persisted(now, id, ledger) {
            return;
        }
        let (effects, mut known) = (&mut self.effects, false);
        let ended = self.live.take_if(id.0, |live| {
            let Some(detail) = live.detail.as_deref_mut() else { return false };
            known = true;
            match std::mem::take(&mut detail.keeping) {
                Keeping::UnderWay if detail.over() => return true,
                Keeping::No => {}
                Keeping::UnderWay | Keeping::Stale => over(id, detail, effects),
            }
            false
        });
        if let Some(live) = ended {
            self.uncount(&live);
            self.forgotten(id, live);
            ledger.end(id);
        } else if !known {
            self.persisted_late(now, id, ledger);
        }
    }

    pub(super) fn forget(&mut self, id: MessageId) {
        if let Some(live) = self.remove(id) {
            self.forgotten(id, live);
        }
    }

    fn forgotten(&mut self, id: MessageId, live: Live) {
        let Some(mut detail) = live.detail else { return };
        if detail.waiting {
            self.waits.remove(detail.patience, id.0);
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

    /// The same from the accepted record's octets, which are copied: this is for every message. The history is appended;
    /// `add` is shown each id. False where the message is forgotten.
    pub fn finished(
        &self,
        id: MessageId,
        accepted: Option<&Outline<'_>>,
        history: &mut Vec<u8>,
        mut add: impl FnMut(&str, &CarrierId),
    ) -> bool {
        let (Some(accepted), Some(live)) = (accepted, self.live.get(&id.0)) else {
            let Some(past) = self.past(id, None) else { return false };
            history.extend_from_slice(&past.history);
            past.ids.iter().for_each(|(channel, id)| add(channel, id));
            return true;
        };
        let detail = live.detail.as_deref();
        history::copy(accepted, detail, &self.names, history);
        if let Some(detail) = detail {
            show_ids(detail, &self.names, |channel, id| add(channel, id));
        }
        true
    }

    /// An accepted record as far as memory knows it.
    fn bare<'a>(&'a self, id: MessageId, live: &'a Live) -> Accepted<'a> {
        let detail = live.detail.as_deref();
        let (to, client_ref) = detail.map(Detail::addressed).unwrap_or_default();
        let (to, client_ref) = (to.as_str(), client_ref.map(Text::as_str));
        Accepted {
            at: id.wall(),
            expires: id.wall(),
            app: self.names.apps.get(usize::from(live.app.0)).map_or("", |n| n),
            tier: self.names.tiers.get(usize::from(live.tier.0)).map_or("", |n| n),
            group: self.names.groups.get(usize::from(live.group.0)).map_or("", |n| n),
            kind: "sms",
            to,
            client_ref,
            callback: live.callback,
            parts: live.reserve,
            ..Accepted::default()
        }
    }
}

/// The carriers' ids of a message's parts.
pub(super) fn ids(detail: &Detail, names: &Names) -> Vec<(std::sync::Arc<str>, CarrierId)> {
    let mut ids = Vec::new();
    show_ids(detail, names, |channel, id| ids.push((channel.clone(), id.clone())));
    ids
}

/// The same, one by one.
fn show_ids(detail: &Detail, names: &Names, mut add: impl FnMut(&std::sync::Arc<str>, &CarrierId)) {
    for attempt in &detail.attempts {
        let Some(name) = names.channels.get(usize::from(attempt.channel.0)) else { continue };
        attempt.parts.iter().filter_map(|part| part.id.as_ref()).for_each(|id| add(name, id));
    }
}

/// Writes outcome `seq`. Of those before it that nobody wanted the journal does not know: it has to before this one is
/// told, or a restart would tell them after it.
fn write(names: &Names, detail: &mut Detail, id: MessageId, seq: u32, ledger: &mut impl Ledger) {
    let unsaid = detail.take_unsaid();
    let Some(concluded) = (seq as usize).checked_sub(1).and_then(|i| detail.outcomes.get(i)) else { return };
    for before in unsaid {
        let event = u8::try_from(before).unwrap_or(u8::MAX);
        ledger.note(id, &Record::Called(Called { at: concluded.at, event, end: Telling::Never }));
    }
    ledger.commit(id, &Record::Outcome(outcome_record(concluded, names, seq)), Ack::Outcome(id, seq));
}

/// The record of an outcome that is event `seq`.
pub(super) fn outcome_record<'a>(concluded: &'a Concluded, names: &'a Names, seq: u32) -> Outcome<'a> {
    let channel = concluded.channel.and_then(|c| names.channels.get(usize::from(c.0)));
    Outcome {
        at: concluded.at,
        outcome: concluded.kind,
        reason: concluded.reason,
        code: (&concluded.code).into(),
        evidence: concluded.evidence,
        channel: channel.map_or("", |n| n),
        correction: seq > 1,
    }
}
