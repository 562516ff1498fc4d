//! Uplink messages in the books: what the far side was told is taken reached the application once, joined, or is listed
//! by the gateway as nobody's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::read::{international, masked, number};
use super::{Books, Finding, Options, Report};
use crate::records::{Event, Mo};

/// A handset and what it wrote to.
type Pair = (u64, Box<str>);

/// What makes parts those of one message: carrier, pair, reference, total.
type Key = (Box<str>, Pair, u16, u8);

/// A long message: its text, the parts sent, and those taken.
type Long = (Box<str>, BTreeSet<u8>, BTreeSet<u8>);

/// Everything about uplink messages that the files say.
#[derive(Debug, Default)]
pub(super) struct Uplinks {
    /// By handset, service number and text: short messages taken, and sent in all.
    short: BTreeMap<(Pair, Box<str>), (u64, u64)>,
    long: BTreeMap<Key, Long>,
    /// Whole messages the sink was told, by pair and text: their events.
    told: BTreeMap<(Pair, Box<str>), BTreeSet<Box<str>>>,
    /// The same for messages with gaps, by pair.
    gaps: BTreeMap<Pair, BTreeSet<Box<str>>>,
}

impl Uplinks {
    /// A line of a far side.
    pub(super) fn sent(&mut self, mo: &Mo<'_>) {
        let pair = (number(&mo.from).unwrap_or_default(), (&*mo.to).into());
        match mo.udh {
            None => {
                let (taken, sent) = self.short.entry((pair, (&*mo.text).into())).or_default();
                *sent += 1;
                *taken += u64::from(mo.acked);
            }
            Some(concat) => {
                let key = ((&*mo.carrier).into(), pair, concat.reference, concat.total);
                let (text, sent, taken) = self.long.entry(key).or_default();
                *text = (&*mo.text).into();
                sent.insert(concat.seq);
                if mo.acked {
                    taken.insert(concat.seq);
                }
            }
        }
    }

    /// A `message.received` that the sink took.
    pub(super) fn told(&mut self, event: &Event<'_>) {
        let text = |key: &str| event.data.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let pair: Pair = (number(text("from")).unwrap_or_default(), text("to").into());
        let whole = event.data.get("complete").and_then(|value| value.as_bool()) != Some(false);
        let events = match whole {
            true => self.told.entry((pair, text("text").into())).or_default(),
            false => self.gaps.entry(pair).or_default(),
        };
        events.insert((&*event.event_id).into());
    }

    /// The pair as the application was told of it: a carrier may write a handset's number without 86.
    fn as_told(&self, pair: &Pair) -> Pair {
        let heard = |pair: &Pair| {
            let mut from_here = self.told.range((pair.clone(), Box::default())..);
            self.gaps.contains_key(pair) || from_here.next().is_some_and(|((told, _), _)| told == pair)
        };
        let with_86 = international(pair.0).map(|from| (from, pair.1.clone()));
        with_86.filter(|with_86| !heard(pair) && heard(with_86)).unwrap_or_else(|| pair.clone())
    }
}

/// Messages the gateway lists as unmatched, by service number: the answer of its admin door.
pub(super) fn unmatched(path: &Path) -> io::Result<BTreeMap<Box<str>, u64>> {
    let text = std::fs::read(path)?;
    let page: serde_json::Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let mut listed = BTreeMap::new();
    for to in page["uplinks"].as_array().into_iter().flatten().filter_map(|one| one["to"].as_str()) {
        *listed.entry(to.into()).or_default() += 1;
    }
    Ok(listed)
}

/// Lays what was sent beside what was told.
pub(super) fn judge(books: &Books, options: &Options, report: &mut Report) {
    let Uplinks { short, long, told, gaps } = &books.uplinks;
    // By pair and text: whole messages that must be told, and how many may be.
    let mut wanted: BTreeMap<(Pair, Box<str>), (u64, u64)> = BTreeMap::new();
    for ((pair, text), (taken, sent)) in short {
        let (must, may) = wanted.entry((books.uplinks.as_told(pair), text.clone())).or_default();
        (*must, *may) = (*must + taken, *may + sent);
    }
    for ((_, pair, _, total), (text, sent, taken)) in long {
        let pair = &books.uplinks.as_told(pair);
        let (must, may) = wanted.entry((pair.clone(), text.clone())).or_default();
        *must += u64::from(taken.len() == usize::from(*total));
        *may += u64::from(sent.len() == usize::from(*total));
        let partly = !taken.is_empty() && sent.len() < usize::from(*total);
        if partly && !gaps.contains_key(pair) {
            lost(pair, 1, books, options, report);
        }
    }
    for (key, (must, may)) in &wanted {
        let events = told.get(key).map_or(0, BTreeSet::len) as u64;
        report.uplinks += events;
        if events < *must {
            lost(&key.0, must - events, books, options, report);
        }
        if events > *may {
            report.found(Finding::UplinkTwice, name(&key.0));
        }
    }
    for (pair, _) in told.keys().filter(|key| !wanted.contains_key(key)) {
        report.found(Finding::UplinkNeverSent, name(pair));
    }
    for pair in gaps.keys().filter(|pair| !long.keys().any(|(_, of, ..)| books.uplinks.as_told(of) == **pair)) {
        report.found(Finding::UplinkNeverSent, name(pair));
    }
}

/// So many messages were not told: they may be listed as unmatched, each line for one of them.
fn lost(pair: &Pair, count: u64, books: &Books, options: &Options, report: &mut Report) {
    let listed = books.unmatched.get(&pair.1).copied().unwrap_or(0);
    let excused = report.excused.entry(pair.1.clone()).or_default();
    let now = count.min(listed - *excused);
    *excused += now;
    report.uplinks_unmatched += now;
    if now < count && !options.allow_pending {
        report.found(Finding::UplinkLost, name(pair));
    }
}

fn name((from, to): &Pair) -> String {
    format!("{} to {to}", masked(&from.to_string()))
}
