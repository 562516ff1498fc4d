//! What the comparison came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Offenders named per finding.
const NAMED: usize = 10;

/// Ways in which the books do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Accepted, and no end came.
    Lost,
    /// More than one end.
    TwoEnds,
    /// An end or a submit of something that was never posted.
    NeverPosted,
    /// Refused, yet it came to an end.
    RefusedYetEnded,
    /// Refused, yet a carrier got it.
    RefusedYetSent,
    /// Its post was never answered; a carrier got it, and no end came.
    HalfDone,
    /// Called delivered, and no carrier accepted all of it.
    NeverReached,
    /// Called delivered by receipt, and no carrier sent such receipts for all of it.
    NoReceipt,
    /// More copies at the carriers than allowed.
    TooManyCopies,
    /// More parts in a second than the contract allows.
    OverPace,
    /// A pace was given for a carrier that wrote nothing.
    NoSuchCarrier,
    /// A callback with a bad signature.
    BadSignature,
    /// A carrier was told that an uplink message is taken, and nobody was told it.
    UplinkLost,
    /// An uplink message was told more than once.
    UplinkTwice,
    /// An uplink message was told that no handset sent.
    UplinkNeverSent,
    /// The client used a destination, reference or id twice.
    PostedTwice,
    /// The client posted to something that is no number.
    BadPost,
}

/// A finding's offenders: all counted, the first few named.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Offenders {
    /// How many.
    pub count: u64,
    /// The first ten.
    pub first: Vec<String>,
}

impl Offenders {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name);
        }
    }
}

/// What the comparison came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Posts answered 202.
    pub accepted: u64,
    /// Accepted and delivered.
    pub delivered: u64,
    /// Accepted and failed.
    pub failed: u64,
    /// Accepted and expired.
    pub expired: u64,
    /// Accepted and cancelled.
    pub cancelled: u64,
    /// Accepted and without an end.
    pub pending: u64,
    /// Accepted and without an end, where that is a fault.
    pub lost: u64,
    /// Posts refused.
    pub refused: u64,
    /// Posts without an answer.
    pub unknown: u64,
    /// Whole copies at the carriers beyond the first of each message.
    pub duplicates: u64,
    /// Messages of which a carrier left a part unanswered.
    pub unanswered: u64,
    /// Uplink messages that were told whole.
    pub uplinks: u64,
    /// Uplink messages that the gateway lists as unmatched.
    pub uplinks_unmatched: u64,
    /// By service number: how many lines of that list have been used up.
    #[serde(skip)]
    pub(super) excused: BTreeMap<Box<str>, u64>,
    /// Messages that were duplicated.
    pub duplicated: Offenders,
    /// Receipts that were sent and never taken.
    pub receipts_unacked: Offenders,
    /// Messages told to have failed or expired, though the gateway took receipts that say delivered for a whole copy,
    /// and no correction followed. No fault by itself: such receipts may belong to an attempt that was given up.
    pub contradicted: Offenders,
    /// What does not add up; empty when all is well.
    pub findings: BTreeMap<Finding, Offenders>,
}

impl Report {
    /// Whether everything adds up.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn found(&mut self, finding: Finding, offender: String) {
        self.lost += u64::from(finding == Finding::Lost);
        self.findings.entry(finding).or_default().add(offender);
    }

    pub(super) fn found_many(&mut self, finding: Finding, offenders: &[String]) {
        offenders.iter().for_each(|offender| self.found(finding, offender.clone()));
    }

    pub(super) fn duplicated(&mut self, extra: u64, name: String) {
        self.duplicates += extra;
        self.duplicated.add(name);
    }

    pub(super) fn unacked(&mut self, name: String) {
        self.receipts_unacked.add(name);
    }

    pub(super) fn contradicted(&mut self, name: String) {
        self.contradicted.add(name);
    }

    pub(super) fn judge_duplicates(&mut self, allowed: Option<u64>) {
        if let Some(allowed) = allowed.filter(|allowed| self.duplicates > *allowed) {
            self.found(Finding::TooManyCopies, format!("{} copies, {allowed} allowed", self.duplicates));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { accepted, delivered, failed, expired, cancelled, pending, lost, .. } = self;
        let Report { duplicates, unanswered, unknown, .. } = self;
        write!(f, "accepted {accepted} = delivered {delivered} + failed {failed} + expired {expired}")?;
        for (name, count) in [("cancelled", *cancelled), ("pending", pending.saturating_sub(*lost))] {
            if count > 0 {
                write!(f, " + {name} {count}")?;
            }
        }
        writeln!(f, ", lost {lost}, duplicated {duplicates} (unanswered {unanswered}), unknown {unknown}")?;
        if self.uplinks + self.uplinks_unmatched > 0 {
            writeln!(f, "uplinks told {}, unmatched {}", self.uplinks, self.uplinks_unmatched)?;
        }
        for (finding, offenders) in &self.findings {
            list(f, &words(*finding), offenders)?;
        }
        list(f, "note: duplicated", &self.duplicated)?;
        list(f, "note: told otherwise than their receipts say", &self.contradicted)?;
        list(f, "note: receipts sent and never taken", &self.receipts_unacked)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, offenders: &Offenders) -> fmt::Result {
    if offenders.count == 0 {
        return Ok(());
    }
    let more = if offenders.count as usize > offenders.first.len() { ", …" } else { "" };
    writeln!(f, "{title} ({}): {}{more}", offenders.count, offenders.first.join(", "))
}

fn words(finding: Finding) -> String {
    // The names are the words.
    let name = serde_json::to_value(finding).ok().and_then(|value| value.as_str().map(str::to_owned));
    name.unwrap_or_default().replace('_', " ")
}
