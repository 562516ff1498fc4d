//! Takes the three kinds of files in.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::uplinks::{self, Uplinks};
use super::{Accepted, End, Fate, Finding, Index, Message, Options, Told};
use crate::records::{Event, Post, Receipt, Record, Submit};

/// Everything the files say, by message.
#[derive(Debug, Default)]
pub struct Books {
    pub(super) messages: Vec<Message>,
    pub(super) carriers: Vec<Box<str>>,
    /// When each carrier accepted parts, ms since 1970.
    pub(super) times: Vec<Vec<f64>>,
    pub(super) fates: HashMap<(u16, Box<str>), Fate>,
    /// What was wrong on its own, without comparing.
    pub(super) findings: HashMap<Finding, Vec<String>>,
    pub(super) uplinks: Uplinks,
    /// What the gateway lists as unmatched, by service number.
    pub(super) unmatched: BTreeMap<Box<str>, u64>,
    index: Index,
}

impl Books {
    /// Reads the files. The last line of a file may be torn: its writer may have been killed.
    pub fn read(options: &Options) -> io::Result<Self> {
        let mut books = Books::default();
        let files = [&options.client, &options.carrier, &options.callbacks];
        for path in files.into_iter().flatten() {
            books.read_file(path)?;
        }
        if let Some(path) = &options.unmatched {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            books.unmatched = uplinks::unmatched(path).map_err(named)?;
        }
        Ok(books)
    }

    fn read_file(&mut self, path: &PathBuf) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(named)?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(named)? == 0 {
                break;
            }
            let torn = line.last() != Some(&b'\n');
            match serde_json::from_slice(&line) {
                Ok(record) => self.take(record),
                Err(_) if torn => break,
                Err(error) => return Err(bad_line(path, number, &error)),
            }
        }
        Ok(())
    }

    /// Takes one line in. Posts must come before what they led to.
    pub fn take(&mut self, record: Record<'_>) {
        match record {
            Record::Post(post) => self.post(&post),
            Record::Submit(submit) => self.submit(&submit),
            // It is the submit of before; whether that one was answered stands in its own line.
            Record::Repeat(_) => {}
            Record::Receipt(receipt) => self.receipt(&receipt),
            Record::Event(event) => self.event(&event),
            Record::BadSignature(bad) => self.find(Finding::BadSignature, bad.webhook_id.into_owned()),
            Record::Mo(mo) => self.uplinks.sent(&mo),
        }
    }

    fn post(&mut self, post: &Post<'_>) {
        let Some(to) = number(&post.to) else {
            return self.find(Finding::BadPost, post.reference.to_string());
        };
        let at = self.messages.len();
        let index = &mut self.index;
        let known = index.by_reference.insert((&*post.reference).into(), at).is_some()
            | index.by_destination.insert(to, at).is_some()
            | (!post.id.is_empty() && index.by_id.insert((&*post.id).into(), at).is_some());
        if known {
            // Nothing can be told apart after this.
            self.find(Finding::PostedTwice, post.reference.to_string());
        }
        self.messages.push(Message {
            reference: (&*post.reference).into(),
            id: (&*post.id).into(),
            posted: post.result,
            told: Vec::new(),
            corrected: false,
            parts: Vec::new(),
        });
    }

    fn submit(&mut self, submit: &Submit<'_>) {
        let carrier = self.carrier(&submit.carrier);
        self.times[usize::from(carrier)].push(submit.t_ms);
        let by_destination = &self.index.by_destination;
        let found = number(&submit.destination)
            .and_then(|to| by_destination.get(&to).or_else(|| by_destination.get(&international(to)?)));
        let Some(message) = found.and_then(|at| self.messages.get_mut(*at)) else {
            return self.find(Finding::NeverPosted, format!("{} (submit)", masked(&submit.destination)));
        };
        message.parts.push(Accepted {
            carrier,
            carrier_id: (&*submit.carrier_id).into(),
            concat: submit.udh,
            answered: submit.answered,
        });
    }

    fn receipt(&mut self, receipt: &Receipt<'_>) {
        let carrier = self.carrier(&receipt.carrier);
        let fate = self.fates.entry((carrier, (&*receipt.carrier_id).into())).or_default();
        fate.delivered |= receipt.stat == "DELIVRD";
        fate.acked |= receipt.acked;
    }

    fn event(&mut self, event: &Event<'_>) {
        if event.kind_of_event == "message.received" && (200..300).contains(&event.status) {
            return self.uplinks.told(event);
        }
        let end = End::of(&event.kind_of_event);
        let corrected = event.kind_of_event == "message.corrected";
        if !(200..300).contains(&event.status) || (end.is_none() && !corrected) {
            return;
        }
        let by_id = self.index.by_id.get(&*event.message_id);
        let at = by_id.or_else(|| self.index.by_reference.get(&*event.client_ref));
        let Some(message) = at.and_then(|at| self.messages.get_mut(*at)) else {
            return self.find(Finding::NeverPosted, format!("{} (event)", event.message_id));
        };
        message.corrected |= corrected;
        let Some(end) = end else { return };
        if message.told.iter().all(|told| *told.event != *event.event_id) {
            let by_receipt = event.data.get("evidence").and_then(|value| value.as_str()) == Some("receipt");
            message.told.push(Told { event: (&*event.event_id).into(), end, by_receipt });
        }
    }

    fn carrier(&mut self, name: &str) -> u16 {
        let known = self.carriers.iter().position(|known| **known == *name);
        let at = known.unwrap_or_else(|| {
            self.carriers.push(name.into());
            self.times.push(Vec::new());
            self.carriers.len() - 1
        });
        at as u16
    }

    fn find(&mut self, finding: Finding, offender: String) {
        self.findings.entry(finding).or_default().push(offender);
    }
}

fn bad_line(path: &Path, number: u64, error: &serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}:{number}:{}: {error}", path.display(), error.column()))
}

/// A phone number as a number: the plus sign and an international prefix are left out.
pub(super) fn number(address: &str) -> Option<u64> {
    let digits = address.strip_prefix('+').or_else(|| address.strip_prefix("00")).unwrap_or(address);
    digits.parse().ok()
}

/// The same number with China's 86, where it may lack that: CMPP and SMGP carry handsets' eleven digits alone.
pub(super) fn international(number: u64) -> Option<u64> {
    const LEAST: u64 = 13_000_000_000;
    const MOST: u64 = 19_999_999_999;
    (LEAST..=MOST).contains(&number).then_some(8_600_000_000_000 + number)
}

/// A number with its middle hidden.
pub(super) fn masked(address: &str) -> String {
    let shown: Vec<char> = address.chars().collect();
    let (head, tail) = (shown.len().min(6), shown.len().saturating_sub(2).max(6).min(shown.len()));
    let hidden = tail - head;
    let head: String = shown[..head].iter().collect();
    let tail: String = shown[tail..].iter().collect();
    format!("{head}{}{tail}", "*".repeat(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_however_spelled() {
        assert_eq!(number("+8613800000000"), number("8613800000000"));
        assert_eq!(number("008613800000000"), number("8613800000000"));
        assert_eq!(number("HELP"), None);
        assert_eq!(number("13800000000").and_then(international), number("+8613800000000"));
        assert_eq!(number("8613800000000").and_then(international), None);
    }

    #[test]
    fn masks_hide_the_middle() {
        assert_eq!(masked("+8613800000017"), "+86138******17");
        assert_eq!(masked("123"), "123");
        assert_eq!(masked(""), "");
    }
}
