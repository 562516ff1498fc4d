//! A batch being filled: what may come in, encoded as it will stand in the journal, and what was refused and why.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{ITEMS, RECORDS_LIMIT};
use crate::accept::body::Given;
use crate::accept::commit::{Committed, Flock, Member};
use crate::accept::idempotency::{BodyHash, Found};
use crate::accept::problem::{Code, Problem};
use crate::accept::submit::{accepted, message};
use crate::admit::{Ask, Gate, Refusal, Tables};
use crate::clock::Moment;
use crate::config::plan::TierId;
use crate::ids::MessageId;
use crate::journal::record::{Batch, Record};
use crate::switch::Message;

/// Reasons told with a detail of their own; beyond, the code alone is told.
const DETAILED: usize = 200;
/// Octets of an item, and of its record beyond these, as they usually are at least and at most.
const LEAST: usize = 64;
const BEYOND: usize = 96;
/// Reasons in all: there are far fewer codes than the rest.
const REASONS: usize = 255;

/// Why items were refused.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    reasons: Vec<(&'static str, Cow<'static, str>)>,
    rejected: Vec<(u16, u8)>,
}

impl Verdicts {
    fn add(&mut self, index: u16, code: &'static str, detail: &str) {
        let find = |reasons: &[(&str, Cow<'_, str>)], detail: &str| {
            reasons.iter().rposition(|(known, words)| *known == code && *words == detail)
        };
        let known = find(&self.reasons, detail);
        let detail = if self.reasons.len() < DETAILED { detail } else { "" };
        let place = known.or_else(|| find(&self.reasons, detail)).unwrap_or_else(|| {
            if self.reasons.len() < REASONS {
                self.reasons.push((code, detail.to_owned().into()));
            }
            self.reasons.len() - 1
        });
        self.rejected.push((index, u8::try_from(place).unwrap_or(u8::MAX)));
    }

    /// How often each code was given.
    pub(super) fn by_code(&self) -> Vec<(&'static str, u64)> {
        let mut counts = BTreeMap::new();
        for (_, reason) in &self.rejected {
            if let Some((code, _)) = self.reasons.get(usize::from(*reason)) {
                *counts.entry(*code).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }

    /// As the record and the answer have them.
    pub(super) fn reasons(&self) -> Vec<(&str, &str)> {
        self.reasons.iter().map(|(code, detail)| (*code, &**detail)).collect()
    }

    pub(super) fn rejected(&self) -> &[(u16, u8)] {
        &self.rejected
    }
}

/// An item that may come in, if there is room for it.
struct Item {
    index: u16,
    /// Without its id.
    message: Message,
    ask: Ask,
    parts: u8,
    callback: bool,
    octets: std::ops::Range<usize>,
}

/// See the module.
pub(super) struct Basket<'t> {
    tables: &'t Tables,
    app_at: usize,
    most_octets: usize,
    count: u16,
    items: Vec<Item>,
    octets: Vec<u8>,
    verdicts: Verdicts,
    /// The first refusal after which it may be tried again.
    busy: Option<Refusal>,
}

impl<'t> Basket<'t> {
    /// An empty one for that app.
    pub(super) fn new(tables: &'t Tables, app_at: usize) -> Self {
        // A group of records must fit into one segment.
        let segment = usize::try_from(tables.plan.node.segment_bytes).unwrap_or(usize::MAX);
        let most_octets = RECORDS_LIMIT.min(segment.saturating_sub(64 << 10) / 2);
        let (items, octets, verdicts) = (Vec::new(), Vec::new(), Verdicts::default());
        Basket { tables, app_at, most_octets, count: 0, items, octets, verdicts, busy: None }
    }

    /// Makes room for what usually is in a body of that many octets.
    pub(super) fn expect(&mut self, octets: usize) {
        let items = (octets / LEAST).min(ITEMS);
        self.items.reserve(items);
        self.octets.reserve((octets + items * BEYOND).min(self.most_octets));
    }

    /// Drops what was put in.
    pub(super) fn clear(&mut self) {
        (self.count, self.verdicts) = (0, Verdicts::default());
        self.items.clear();
        self.octets.clear();
    }

    /// How many items were put in, whatever was said to them.
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Takes an item that is no message.
    pub(super) fn refuse(&mut self, code: &'static str, detail: &str) {
        self.verdicts.add(self.count, code, detail);
        self.count += 1;
    }

    fn refuse_for(&mut self, refusal: &Refusal) {
        self.refuse(Code::Refused(refusal.reason).row().0, &refusal.detail);
    }

    /// Judges an item by itself; `to` takes the place of its own number. Fails where a batch may not be that long.
    pub(super) fn take(&mut self, now: Moment, given: &Given<'_>, to: Option<&str>) -> Result<(), Box<Problem>> {
        let (tables, app) = (self.tables, &self.tables.plan.apps[self.app_at]);
        let mut draft = match given.draft() {
            Ok(draft) => draft,
            Err(refusal) => {
                self.refuse_for(&refusal);
                return Ok(());
            }
        };
        if to.is_some() {
            draft.to_mut().to = to;
        }
        // Looked at where it stands: it is large.
        let examined = tables.examine(now.wall, self.app_at, &draft);
        let admitted = match &examined {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.refuse_for(refusal);
                return Ok(());
            }
        };
        let found = Found {
            id: MessageId::default(),
            body_hash: [0; 16],
            parts: admitted.parts,
            encoding: admitted.coding.name().into(),
            accepted_at: now.wall,
        };
        let start = self.octets.len();
        let callback = given.callback();
        Record::Accepted(accepted(&tables.plan, app, admitted, &draft, &found, None, callback)).write(&mut self.octets);
        if self.octets.len() > self.most_octets {
            let most = self.most_octets >> 10;
            let detail = format!("its messages take more than {most} KiB on disk; nothing was accepted");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        self.items.push(Item {
            index: self.count,
            message: message(app, now, admitted, MessageId::default()),
            ask: admitted.ask(app.id),
            parts: admitted.parts,
            callback,
            octets: start..self.octets.len(),
        });
        self.count += 1;
        Ok(())
    }

    /// Asks for room and quota for the next items, at most `most` of them. True when all were asked for.
    pub(super) fn pass(&mut self, now: Moment, gate: &dyn Gate, asked: &mut Asked, most: usize) -> bool {
        let end = (asked.next + most).min(self.items.len());
        let items = self.items.get_mut(asked.next..end).unwrap_or_default();
        for alike in items.chunk_by_mut(|one, next| one.ask == next.ask) {
            // All of them at once, or else each by itself.
            let (count, parts) = (alike.len() as u32, alike.iter().map(|item| u32::from(item.parts.max(1))).sum());
            let last = alike.last().map(|item| Ask { ahead: asked.ahead + count - 1, ..item.ask });
            if last.is_some_and(|last| self.tables.pass_all(now.time, self.app_at, &last, parts, gate)) {
                asked.ahead += count;
                continue;
            }
            for item in alike {
                let ask = Ask { ahead: asked.ahead, ..item.ask };
                match self.tables.pass(now.time, self.app_at, &ask, item.parts, gate) {
                    Ok(()) => asked.ahead += 1,
                    Err(refusal) => {
                        self.verdicts.add(item.index, Code::Refused(refusal.reason).row().0, &refusal.detail);
                        // It is not written.
                        item.octets = 0..0;
                        self.busy.get_or_insert(refusal);
                    }
                }
            }
        }
        asked.next = end;
        end == self.items.len()
    }

    /// The batch as the journal takes it, with what was said to each item.
    pub(super) fn close(
        mut self,
        now: Moment,
        id: MessageId,
        key: Option<(&str, BodyHash)>,
    ) -> Result<Closed, Box<Nothing>> {
        self.verdicts.rejected.sort_unstable();
        self.items.retain(|item| !item.octets.is_empty());
        if self.items.is_empty() {
            return Err(Box::new(Nothing { busy: self.busy, verdicts: self.verdicts }));
        }
        let batch = Batch {
            at: now.wall,
            app: &self.tables.plan.apps[self.app_at].name,
            count: self.count,
            idempotency_key: key.map(|(key, _)| key),
            body_hash: key.map_or([0; 16], |(_, hash)| hash),
            reasons: self.verdicts.reasons(),
            rejected: self.verdicts.rejected().to_vec(),
        };
        let record = self.octets.len();
        Record::Batch(batch).write(&mut self.octets);
        let octets = Bytes::from(self.octets);
        let member = |item: Item| Member {
            message: Message { id: id.item(item.index), ..item.message },
            callback: item.callback,
            octets: item.octets.start as u32..item.octets.end as u32,
        };
        let mut accepted: BTreeMap<TierId, u64> = BTreeMap::new();
        for item in &self.items {
            *accepted.entry(item.message.tier).or_default() += 1;
        }
        let (answer, wait) = oneshot::channel();
        let said = Said {
            record: octets.slice(record..),
            accepted: accepted.into_iter().collect(),
            rejected: self.verdicts.by_code(),
            count: usize::from(self.count),
        };
        let members = self.items.into_iter().map(member).collect();
        let (record, routing) = (record as u32..octets.len() as u32, self.tables.routing);
        Ok(Closed { flock: Flock { id, members, octets, record, routing, answer }, wait, said })
    }
}

/// How far [`Basket::pass`] has come.
#[derive(Debug, Default)]
pub(super) struct Asked {
    next: usize,
    /// Messages that may come in before the next.
    ahead: u32,
}

/// A batch of which nothing may come in.
pub(super) struct Nothing {
    /// The first refusal after which it may be tried again.
    pub(super) busy: Option<Refusal>,
    /// Why each item was refused.
    pub(super) verdicts: Verdicts,
}

/// A batch as it goes to the journal.
pub(super) struct Closed {
    pub(super) flock: Flock,
    pub(super) wait: oneshot::Receiver<Committed>,
    pub(super) said: Said,
}

/// What is left to say about a batch once it is handed to the journal.
pub(super) struct Said {
    /// Octets of its record.
    pub(super) record: Bytes,
    /// By tier.
    pub(super) accepted: Vec<(TierId, u64)>,
    /// By code.
    pub(super) rejected: Vec<(&'static str, u64)>,
    /// Items in all.
    pub(super) count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_and_bounded() {
        let mut verdicts = Verdicts::default();
        for index in 0..10_000 {
            verdicts.add(index, "wrong_type", &format!("detail {index}"));
            verdicts.add(index, "no_route", "the same");
        }
        assert!(verdicts.reasons.len() <= DETAILED + 2, "{}", verdicts.reasons.len());
        assert_eq!(verdicts.by_code(), [("no_route", 10_000), ("wrong_type", 10_000)]);
        let reason = |at: usize| verdicts.reasons()[usize::from(verdicts.rejected()[at].1)];
        assert_eq!((reason(0), reason(1)), (("wrong_type", "detail 0"), ("no_route", "the same")));
        assert_eq!((reason(19_998), reason(19_999)), (("wrong_type", ""), ("no_route", "the same")));
    }
}
