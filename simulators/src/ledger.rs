//! The ledger: lays what client, carriers and callback sink wrote down side by side and says whether it adds up.
//!
//! Every message answered 202 has exactly one end; nothing has an end that was not posted; what is called delivered was
//! really accepted by a carrier, with the receipts to show for it; copies at the carriers are counted in messages; what
//! handsets sent and a carrier was told is taken reached the application once.
//! `ledger/read.rs` takes the files in, this file judges, `ledger/report.rs` prints.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use crate::records::{Concat, Posted};

mod read;
mod report;
mod uplinks;

pub use read::Books;
pub use report::{Finding, Report};

/// What to compare, and what to allow.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Line files of the load client
    #[arg(long, required = true, num_args = 1..)]
    pub client: Vec<PathBuf>,
    /// Line files of the carriers
    #[arg(long, required = true, num_args = 1..)]
    pub carrier: Vec<PathBuf>,
    /// Line files of the callback sink
    #[arg(long, required = true, num_args = 1..)]
    pub callbacks: Vec<PathBuf>,
    /// What the gateway lists as unmatched uplinks (GET /admin/v1/uplinks?unmatched=true): those need not be told
    #[arg(long)]
    pub unmatched: Option<PathBuf>,
    /// Messages without an end yet are no fault
    #[arg(long)]
    pub allow_pending: bool,
    /// Most copies of messages that carriers may have got
    #[arg(long)]
    pub max_duplicates: Option<u64>,
    /// Submits the gateway says it repeated in doubt; there may be no more copies than that
    #[arg(long)]
    pub resubmitted: Option<u64>,
    /// Contract of a carrier in parts per second, NAME=RATE or NAME=RATE:BURST; no second may exceed rate + burst
    #[arg(long, value_parser = pace)]
    pub pace: Vec<Pace>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A carrier's contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    carrier: String,
    rate: f64,
    burst: f64,
}

fn pace(text: &str) -> Result<Pace, String> {
    let (carrier, figures) = text.split_once('=').ok_or("NAME=RATE or NAME=RATE:BURST")?;
    let (rate, burst) = figures.split_once(':').map_or((figures, None), |(rate, burst)| (rate, Some(burst)));
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| *n >= 0.0).ok_or(format!("`{text}` is no rate"));
    let rate = number(rate)?;
    let burst = burst.map_or(Ok((rate * 0.02).max(1.0)), number)?;
    Ok(Pace { carrier: carrier.to_owned(), rate, burst })
}

/// How a message can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// On the handset.
    Delivered,
    /// Given up.
    Failed,
    /// Too late.
    Expired,
    /// Taken back by its owner.
    Cancelled,
}

impl End {
    fn of(event: &str) -> Option<Self> {
        match event {
            "message.delivered" => Some(End::Delivered),
            "message.failed" => Some(End::Failed),
            "message.expired" => Some(End::Expired),
            "message.cancelled" => Some(End::Cancelled),
            _ => None,
        }
    }
}

/// An end as the application was told it.
#[derive(Debug, Clone)]
struct Told {
    event: Box<str>,
    end: End,
    /// Whether the gateway says that a receipt proves it.
    by_receipt: bool,
}

/// A part as a carrier accepted it.
#[derive(Debug, Clone)]
struct Accepted {
    carrier: u16,
    carrier_id: Box<str>,
    concat: Option<Concat>,
    answered: bool,
}

/// One posted message and all that is known of it.
#[derive(Debug, Clone)]
struct Message {
    reference: Box<str>,
    id: Box<str>,
    posted: Posted,
    told: Vec<Told>,
    /// Whether a later event took the end back.
    corrected: bool,
    parts: Vec<Accepted>,
}

impl Message {
    /// What to call it in the report.
    fn name(&self) -> String {
        if self.id.is_empty() { self.reference.to_string() } else { self.id.to_string() }
    }

    /// The parts by the copy of the message they belong to: those of one carrier under one reference.
    fn copies(&self) -> Vec<Vec<&Accepted>> {
        let mut sets: BTreeMap<_, Vec<&Accepted>> = BTreeMap::new();
        for part in &self.parts {
            let reference = part.concat.map(|concat| (concat.reference, concat.total));
            sets.entry((part.carrier, reference)).or_default().push(part);
        }
        sets.into_values().collect()
    }

    /// How many whole copies the carriers accepted.
    fn whole_copies(&self) -> usize {
        self.copies().iter().map(|set| whole_copies(set, |_| true)).sum()
    }
}

/// How many times all parts of `set` are there, counting only those that `count`.
fn whole_copies(set: &[&Accepted], count: impl Fn(&Accepted) -> bool) -> usize {
    let counted = set.iter().filter(|part| count(part));
    let Some(total) = set.first().and_then(|part| part.concat).map(|concat| concat.total) else {
        return counted.count();
    };
    let mut times = vec![0; usize::from(total)];
    for concat in counted.filter_map(|part| part.concat) {
        if let Some(times) = times.get_mut(usize::from(concat.seq).wrapping_sub(1)) {
            *times += 1;
        }
    }
    times.into_iter().min().unwrap_or(0)
}

/// What a carrier said about one of its ids.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    delivered: bool,
    acked: bool,
}

/// Reads the files and judges them.
pub fn check(options: &Options) -> io::Result<Report> {
    Ok(judge(&Books::read(options)?, options))
}

/// Judges what was read.
pub fn judge(books: &Books, options: &Options) -> Report {
    let mut report = Report::default();
    for message in &books.messages {
        count(message, &mut report);
        ends(message, options, &mut report);
        evidence(message, books, &mut report);
    }
    for (finding, offenders) in &books.findings {
        report.found_many(*finding, offenders);
    }
    receipts(books, &mut report);
    uplinks::judge(books, options, &mut report);
    for pace in &options.pace {
        keep_pace(pace, books, &mut report);
    }
    let allowed = options.max_duplicates.into_iter().chain(options.resubmitted).min();
    report.judge_duplicates(allowed);
    report
}

fn count(message: &Message, report: &mut Report) {
    match message.posted {
        Posted::Accepted => report.accepted += 1,
        Posted::Refused => report.refused += 1,
        Posted::Unknown => report.unknown += 1,
    }
    if message.parts.iter().any(|part| !part.answered) {
        report.unanswered += 1;
    }
    let extra = message.whole_copies().saturating_sub(1) as u64;
    if extra > 0 {
        report.duplicated(extra, message.name());
    }
}

/// Exactly one end for what was accepted, none for what was refused, all or nothing for the rest.
fn ends(message: &Message, options: &Options, report: &mut Report) {
    let told = &message.told;
    match (message.posted, told.as_slice()) {
        (Posted::Accepted, []) => {
            report.pending += 1;
            if !options.allow_pending {
                report.found(Finding::Lost, message.name());
            }
        }
        (Posted::Accepted, [only]) => match only.end {
            End::Delivered => report.delivered += 1,
            End::Failed => report.failed += 1,
            End::Expired => report.expired += 1,
            End::Cancelled => report.cancelled += 1,
        },
        (Posted::Refused, []) if !message.parts.is_empty() => report.found(Finding::RefusedYetSent, message.name()),
        (Posted::Refused, [_, ..]) => report.found(Finding::RefusedYetEnded, message.name()),
        (Posted::Unknown, []) if !message.parts.is_empty() && !options.allow_pending => {
            report.found(Finding::HalfDone, message.name());
        }
        (_, [_, _, ..]) => report.found(Finding::TwoEnds, message.name()),
        _ => {}
    }
}

/// What is called delivered was accepted whole, and by its receipts where the gateway says so.
fn evidence(message: &Message, books: &Books, report: &mut Report) {
    let fate = |part: &Accepted| books.fates.get(&(part.carrier, part.carrier_id.clone())).copied().unwrap_or_default();
    let shown =
        |proof: fn(Fate) -> bool| message.copies().iter().any(|set| whole_copies(set, |part| proof(fate(part))) > 0);
    let Some(told) = message.told.iter().find(|told| told.end == End::Delivered) else {
        if !message.told.is_empty() && !message.corrected && shown(|fate| fate.delivered && fate.acked) {
            report.contradicted(message.name());
        }
        return;
    };
    if message.whole_copies() == 0 {
        report.found(Finding::NeverReached, message.name());
    } else if told.by_receipt && !shown(|fate| fate.delivered) {
        report.found(Finding::NoReceipt, message.name());
    }
}

fn receipts(books: &Books, report: &mut Report) {
    for ((carrier, id), fate) in &books.fates {
        if !fate.acked {
            report.unacked(format!("{}:{id}", books.carriers[usize::from(*carrier)]));
        }
    }
}

/// No window of one second holds more parts than the contract.
fn keep_pace(pace: &Pace, books: &Books, report: &mut Report) {
    let Some(index) = books.carriers.iter().position(|name| **name == *pace.carrier) else {
        return report.found(Finding::NoSuchCarrier, pace.carrier.clone());
    };
    let mut times = books.times[index].clone();
    times.sort_by(f64::total_cmp);
    let (mut first, mut most) = (0, 0);
    for (last, at) in times.iter().enumerate() {
        while at - times[first] >= 1000.0 {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    if most as f64 > pace.rate + pace.burst {
        let allowed = pace.rate + pace.burst;
        report.found(Finding::OverPace, format!("{} had {most} parts in a second, {allowed:.0} allowed", pace.carrier));
    }
}

/// Messages by every name they go by.
#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<Box<str>, usize>,
    by_reference: HashMap<Box<str>, usize>,
    by_destination: HashMap<u64, usize>,
}

#[cfg(test)]
mod tests;
