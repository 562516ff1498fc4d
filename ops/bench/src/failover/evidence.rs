//! The files of a run, read for the judge.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use simulators::records::{self, Posted, Record};

use super::judge::{End, Message, Wire};
use crate::Result;
use crate::trace::{digits, each};

/// The tier whose messages never wait by policy.
pub const OTP: &str = "otp";

/// Messages answered 202, with their ends from the sink's file.
///
/// # Errors
/// A file cannot be read, or a line is not what it should be.
pub fn messages(posts: &Path, callbacks: &Path) -> Result<Vec<Message>> {
    let mut ends = HashMap::new();
    each(callbacks, |record| {
        if let Record::Event(event) = record {
            let end = match &*event.kind_of_event {
                "message.delivered" => End::Delivered,
                "message.failed" | "message.expired" => End::Otherwise,
                _ => return,
            };
            ends.insert(event.client_ref.into_owned(), end);
        }
    })?;
    let mut messages = Vec::new();
    each(posts, |record| {
        if let Record::Post(post) = record
            && post.result == Posted::Accepted
        {
            messages.push(Message {
                to: digits(&post.to),
                otp: post.tier == OTP,
                accepted_ms: post.answered_ms,
                end: ends.get(&*post.reference).copied().unwrap_or(End::Missing),
            });
        }
    })?;
    Ok(messages)
}

/// What a carrier read and answered. A last line that a kill cut short is passed over.
///
/// # Errors
/// The file cannot be read.
pub fn wire(path: &Path) -> Result<Wire> {
    let mut wire = Wire::new();
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for line in BufReader::new(file).lines() {
        match serde_json::from_str(&line?) {
            Ok(records::Wire::Read { t_ms, destination }) => {
                wire.entry(digits(&destination)).or_default().reads.push(t_ms);
            }
            Ok(records::Wire::Answer { t_ms, destination, status }) => {
                let seen = wire.entry(digits(&destination)).or_default();
                if status == 0 {
                    seen.accepted.push(t_ms);
                } else {
                    seen.refused += 1;
                }
            }
            Err(_) => {}
        }
    }
    Ok(wire)
}

/// Whether the carrier read anything since `moment` (ms since 1970); not while its file is missing.
pub fn has_read_since(path: &Path, moment: f64) -> bool {
    let reads = |wire: Wire| wire.into_values().any(|seen| seen.reads.last().is_some_and(|read| *read >= moment));
    wire(path).is_ok_and(reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_are_joined_with_their_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (posts, calls) = (dir.path().join("p"), dir.path().join("c"));
        let post = |n: u32, tier: &str, result: &str| {
            format!(
                "{{\"kind\":\"post\",\"ref\":\"r-{n}\",\"to\":\"+86{n}\",\"tier\":\"{tier}\",\"t_ms\":1,\
                 \"answered_ms\":{n}.5,\"result\":\"{result}\"}}\n"
            )
        };
        let event = |n: u32, kind: &str| {
            format!(
                "{{\"kind\":\"event\",\"event_id\":\"e{n}\",\"type\":\"message.{kind}\",\"client_ref\":\"r-{n}\",\
                 \"t_ms\":9}}\n"
            )
        };
        let lines = [post(1, "otp", "accepted"), post(2, "notice", "accepted"), post(3, "otp", "refused")];
        std::fs::write(&posts, lines.concat() + &post(4, "otp", "accepted")).unwrap();
        std::fs::write(&calls, event(1, "delivered") + &event(2, "submitted") + &event(4, "expired")).unwrap();
        let messages = messages(&posts, &calls).unwrap();
        let got: Vec<_> = messages.iter().map(|m| (m.to, m.otp, m.accepted_ms, m.end)).collect();
        let expected =
            [(861, true, 1.5, End::Delivered), (862, false, 2.5, End::Missing), (864, true, 4.5, End::Otherwise)];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_wire_file_may_end_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        let text = "{\"kind\":\"read\",\"t_ms\":5.5,\"destination\":\"861\"}\n\
                    {\"kind\":\"answer\",\"t_ms\":6,\"destination\":\"861\",\"status\":0}\n\
                    {\"kind\":\"answer\",\"t_ms\":7,\"destination\":\"862\",\"status\":8}\n{\"kind\":\"re";
        std::fs::write(&path, text).unwrap();
        let wire = wire(&path).unwrap();
        assert_eq!((&wire[&861].reads, &wire[&861].accepted, wire[&862].refused), (&vec![5.5], &vec![6.0], 1));
        assert!(has_read_since(&path, 5.0) && !has_read_since(&path, 6.0));
        assert!(!has_read_since(&dir.path().join("none"), 0.0));
    }
}
