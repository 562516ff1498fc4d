//! Messages from handsets back from the journal. What was joined is what its join says; the rest goes through the same
//! steps again in the order it came, as if it had just become durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carriers::Coding;

use super::repeats::Over;
use super::{Content, Ledger, Message, Stage, Uplinks, after, repeats};
use crate::clock::{Moment, Wall};
use crate::ids::MessageId;
use crate::journal::record::{Joined, Mo, Record};

/// What the journal holds of messages from handsets.
#[derive(Default)]
pub(in super::super) struct Found {
    parts: BTreeMap<MessageId, Part>,
    joined: BTreeMap<MessageId, Joined>,
    told: BTreeSet<MessageId>,
    /// Records of links that had ended in order, and when that was.
    unbound: BTreeMap<MessageId, Wall>,
    /// The last sign of life.
    last: Wall,
}

/// A part's record, on its own.
struct Part {
    channel: Arc<str>,
    at: Wall,
    mo: carriers::Mo,
}

impl Part {
    fn of(mo: &Mo<'_>) -> Part {
        Part {
            channel: mo.channel.into(),
            at: mo.at,
            mo: carriers::Mo {
                from: mo.from.to_owned(),
                to: mo.to.to_owned(),
                coding: mo.coding,
                header: bytes::Bytes::copy_from_slice(mo.header),
                data: bytes::Bytes::copy_from_slice(mo.data),
                segment: mo.segment,
                id: mo.id.clone(),
                options: mo.options.to_owned(),
            },
        }
    }

    fn record(&self) -> Mo<'_> {
        super::record(self.at, &self.channel, &self.mo)
    }
}

impl Found {
    /// Takes a record if it is one of a message from a handset.
    pub(in super::super) fn record(&mut self, id: MessageId, record: &Record<'_>) -> bool {
        self.last = self.last.max(id.wall());
        match record {
            Record::Unbound(unbound) => drop(self.unbound.insert(id, unbound.at)),
            Record::Mo(mo) => {
                self.last = self.last.max(mo.at);
                self.parts.insert(id, Part::of(mo));
            }
            Record::Uplink(old) => {
                // Written before parts were told apart: its text is all that is sure.
                let data: Vec<u8> = old.text.encode_utf16().flat_map(u16::to_be_bytes).collect();
                let (at, channel, from, to) = (old.at, old.channel, old.from, old.to);
                let (coding, header, segment, id_of_carrier) = (Coding::Ucs2, &[][..], None, None);
                let mo =
                    Mo { at, channel, from, to, coding, header, data: &data, segment, id: id_of_carrier, options: "" };
                self.parts.insert(id, Part::of(&mo));
            }
            Record::Joined(joined) => drop(self.joined.insert(id, joined.clone())),
            Record::Called(_) if self.parts.contains_key(&id) => drop(self.told.insert(id)),
            _ => return false,
        }
        true
    }

    /// Nothing of this id is needed.
    pub(in super::super) fn ended(&mut self, id: MessageId) {
        self.parts.remove(&id);
        self.joined.remove(&id);
        self.told.remove(&id);
        self.unbound.remove(&id);
    }

    /// Whether its carrier may not have had the answer: links were not ended in order after it, and the process died
    /// soon after.
    fn in_doubt(&self, part: &Part) -> bool {
        let unbound = self.unbound.values().any(|at| *at >= part.at);
        !unbound && self.last.0.saturating_sub(part.at.0) < repeats::LOST_WITH_IT.as_millis() as u64
    }
}

impl Uplinks {
    /// Goes on where the journal ends.
    pub(in super::super) fn resume(&mut self, now: Moment, found: Found, ledger: &mut impl Ledger) {
        for (id, part) in &found.parts {
            let until = now.deadline(after(part.at, self.rules.window));
            if until > now.time {
                let over = Over::Earlier { in_doubt: found.in_doubt(part) };
                self.repeats.add(repeats::print(&part.record()), *id, now.time, over, until);
            }
        }
        let Found { mut parts, joined, told, unbound, .. } = found;
        // Kept as long as what they say matters, over further restarts.
        let past = |at: Wall| now.deadline(after(at, self.rules.window)) <= now.time;
        unbound.into_iter().filter(|(_, at)| past(*at)).for_each(|(id, _)| ledger.end(id));
        for (first, joined) in joined {
            self.resume_joined(now, first, &joined, &mut parts, told.contains(&first), ledger);
        }
        for (id, part) in parts {
            let record = part.record();
            let print = repeats::print(&record);
            if told.contains(&id) {
                let content = Content::of(part.channel.clone(), &record);
                self.fill(now, id, Stage::Whole, content, (0, id, print), &record);
                self.resume_told(id, part.at);
            } else {
                self.take(now, part.channel.clone(), id, print, &record, ledger);
            }
        }
    }

    /// A message whose join was written.
    fn resume_joined(
        &mut self,
        now: Moment,
        first: MessageId,
        joined: &Joined,
        parts: &mut BTreeMap<MessageId, Part>,
        told: bool,
        ledger: &mut impl Ledger,
    ) {
        for (place, id) in joined.parts.iter().enumerate() {
            let Some((id, part)) = id.and_then(|id| parts.remove_entry(&id)) else { continue };
            let record = part.record();
            let whole = || Message::new(Stage::Whole, Content::of(part.channel.clone(), &record));
            self.messages.entry(first).or_insert_with(whole);
            self.put(now, first, (place, id, repeats::print(&record)), &record);
        }
        if !self.messages.contains_key(&first) {
            // Its parts were damaged; what it was made of says nothing by itself.
            ledger.end(first);
        } else if told {
            self.resume_told(first, joined.at);
        } else {
            self.whole(now, first, joined.at);
        }
    }

    /// Its app knows; the store may not have it yet.
    fn resume_told(&mut self, id: MessageId, at: Wall) {
        if let Some(message) = self.messages.get_mut(&id) {
            (message.at, message.told) = (at, true);
            let owner = message.content.as_deref().and_then(|c| self.rules.owners.owner(&c.to));
            message.owner = owner.map(|(app, extension)| (app, extension.len()));
        }
        self.keep(id);
    }
}
