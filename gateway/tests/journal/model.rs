//! The journal against a model of what was promised, through random work, failing disks, kills and power cuts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gateway::journal::{At, CommitError, Entry, Journal, Priority};

use crate::faulty::Faulty;
use crate::{END, settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// No one was told anything yet, or it was lazy.
    None,
    /// It survives the process.
    Written,
    /// It survives a power cut.
    Durable,
    /// It is not there after a restart.
    Absent,
}

#[derive(Clone)]
struct Known {
    id: u64,
    kind: u8,
    body: Vec<u8>,
    at: Option<At>,
    promise: Promise,
    /// Came in a draft: its name does not lead to its body.
    drafted: bool,
    /// Came in a draft without an ack.
    lazy: bool,
}

impl Known {
    /// Whether the journal has it without a word to be waited for.
    fn is_in(&self) -> bool {
        self.at.is_some() || self.lazy
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "id {} kind {} at {:?} {:?}", self.id, self.kind, self.at, self.promise)
    }
}

struct Run {
    disk: Faulty,
    rng: fastrand::Rng,
    journal: Option<Journal<u64>>,
    acks: Receiver<Vec<(u64, Result<At, CommitError>)>>,
    waiting: HashSet<u64>,
    known: HashMap<u64, Known>,
    ended: HashSet<u64>,
    serial: u64,
    next_id: u64,
    /// Failed syncs of the disk when it was last opened.
    failed: u64,
    settled: HashMap<&'static str, u64>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (_, acks) = channel();
        let mut run = Run {
            disk: Faulty::new(seed),
            rng: fastrand::Rng::with_seed(seed),
            journal: None,
            acks,
            waiting: HashSet::new(),
            known: HashMap::new(),
            ended: HashSet::new(),
            serial: 0,
            next_id: 1,
            failed: 0,
            settled: HashMap::new(),
        };
        run.reopen(Promise::Durable);
        run
    }

    fn journal(&self) -> &Journal<u64> {
        self.journal.as_ref().unwrap()
    }

    /// Opens again and holds replay against every promise of at least that strength.
    fn reopen(&mut self, kept: Promise) {
        let mut replayed: Vec<(u8, u64, Vec<u8>, At)> = Vec::new();
        let (tell, acks) = channel();
        let deliver = move |settled| drop(tell.send(settled));
        let disk = Arc::new(self.disk.clone());
        let (journal, recovery) = Journal::open_on(
            disk,
            settings("/j".as_ref(), 64 << 20),
            &mut |r| replayed.push((r.kind, r.id, r.body.to_vec(), r.at)),
            deliver,
        )
        .unwrap();
        assert_eq!(recovery.records, replayed.len() as u64);
        let mut seen = HashSet::new();
        for (kind, id, body, at) in replayed {
            if kind == END {
                assert!(self.ended.contains(&id), "an end no one asked for");
                continue;
            }
            let serial = u64::from_le_bytes(body[..8].try_into().unwrap());
            assert!(seen.insert(serial), "record {serial} came twice");
            let known = self.known.get_mut(&serial).unwrap_or_else(|| panic!("record {serial} came back"));
            assert_eq!((known.kind, known.id, &known.body), (kind, id, &body));
            assert_ne!(known.promise, Promise::Absent, "record {serial} was answered as not written");
            assert!(known.at.is_none_or(|named| named == at), "record {serial} has another name");
            (known.at, known.promise) = (Some(at), Promise::Durable);
        }
        let ended = &self.ended;
        self.known.retain(|serial, known| {
            let lost = !seen.contains(serial);
            let promised =
                known.promise == Promise::Durable || (kept == Promise::Written && known.promise == Promise::Written);
            assert!(!lost || !promised || ended.contains(&known.id), "record {serial} was lost: {known:?}");
            !lost
        });
        self.waiting.clear();
        self.failed = self.disk.failed();
        (self.journal, self.acks) = (Some(journal), acks);
    }

    fn record(&mut self) -> (u64, u8, u64, Vec<u8>) {
        self.serial += 1;
        let old = self.next_id > 1 && self.rng.u8(..) < 128;
        let mut id = if old { self.rng.u64(1..self.next_id) } else { self.next_id };
        if self.ended.contains(&id) {
            id = self.next_id;
        }
        self.next_id = self.next_id.max(id + 1);
        let mut body = self.serial.to_le_bytes().to_vec();
        let length = if self.rng.u8(..) < 20 { self.rng.usize(..20_000) } else { self.rng.usize(..500) };
        body.extend((0..length).map(|_| self.rng.u8(..)));
        let known =
            Known { id, kind: self.rng.u8(1..5), body, at: None, promise: Promise::None, drafted: false, lazy: false };
        let made = (self.serial, known.kind, id, known.body.clone());
        self.known.insert(self.serial, known);
        made
    }

    fn append(&mut self) {
        let (serial, kind, id, body) = self.record();
        let at = self.journal().append(kind, id, &body);
        self.known.get_mut(&serial).unwrap().at = Some(at);
    }

    fn append_synced(&mut self) {
        if self.rng.u8(..) < 50 {
            let (serial, kind, id, body) = self.record();
            self.waiting.insert(serial);
            return self.journal().append_acked(Priority::Admission, kind, id, &body, serial);
        }
        if self.rng.u8(..) < 50 {
            return self.hand_in();
        }
        let count = if self.rng.bool() { 1 } else { self.rng.usize(1..6) };
        let records: Vec<_> = (0..count).map(|_| self.record()).collect();
        self.waiting.extend(records.iter().map(|(serial, ..)| *serial));
        self.journal().append_each(
            Priority::Admission,
            records,
            |(_, kind, id, body)| Entry { kind: *kind, id: *id, body },
            |(serial, ..)| serial,
        );
    }

    fn hand_in(&mut self) {
        let mut draft = self.journal().draft();
        for _ in 0..self.rng.usize(1..30) {
            if self.rng.u8(..) < 40 && self.next_id > 1 {
                let id = self.rng.u64(1..self.next_id);
                if self.ended.insert(id) {
                    draft.end(id);
                }
                continue;
            }
            let (serial, kind, id, body) = self.record();
            let write = |octets: &mut Vec<u8>| octets.extend_from_slice(&body);
            let known = self.known.get_mut(&serial).unwrap();
            known.drafted = true;
            match self.rng.u8(..3) {
                0 => {
                    known.lazy = true;
                    draft.append(kind, id, write);
                    continue;
                }
                1 => draft.append_acked(kind, id, serial, write),
                _ => draft.append_synced(kind, id, serial, write),
            }
            self.waiting.insert(serial);
        }
        self.journal().hand_in(Priority::Admission, &mut draft);
    }

    fn end(&mut self) {
        if self.next_id > 1 {
            let id = self.rng.u64(1..self.next_id);
            if self.ended.insert(id) {
                self.journal().end(id);
            }
        }
    }

    fn write_out(&mut self) {
        if self.journal().write_out().is_ok() {
            for known in self.known.values_mut().filter(|known| known.promise == Promise::None && known.is_in()) {
                known.promise = Promise::Written;
            }
        }
    }

    /// Waits for every ack: there is no record whose fate is left open.
    fn settle(&mut self) {
        while !self.waiting.is_empty() {
            let settled = self.acks.recv_timeout(Duration::from_secs(20)).expect("acks are delivered");
            for (serial, result) in settled {
                assert!(self.waiting.remove(&serial), "an ack came twice");
                let known = self.known.get_mut(&serial).unwrap();
                let (promise, what) = match result {
                    Ok(at) => {
                        known.at = Some(at);
                        (Promise::Durable, "ok")
                    }
                    Err(CommitError::Voided) => (Promise::Absent, "voided"),
                    Err(CommitError::Full) => (Promise::Absent, "full"),
                    Err(CommitError::Unknown) => (Promise::None, "unknown"),
                };
                known.promise = promise;
                *self.settled.entry(what).or_default() += 1;
            }
        }
    }

    fn read(&mut self) {
        let live = |known: &&Known| known.at.is_some() && !known.drafted && !self.ended.contains(&known.id);
        let live: Vec<&Known> = self.known.values().filter(live).collect();
        if live.is_empty() {
            return;
        }
        for _ in 0..5 {
            let known = live[self.rng.usize(..live.len())];
            let body = self.journal().read(known.id, known.at.unwrap());
            assert_eq!(body.unwrap_or_else(|error| panic!("{error}: {known:?}")), known.body);
        }
    }

    fn kill(&mut self) {
        // After a failed sync what the page cache shows is not what the disk holds, and no restart can tell.
        self.collect();
        self.journal = None;
        let failing = self.disk.failed() > self.failed;
        self.disk.fail_syncs(0);
        self.disk.fail_writes(0);
        if failing {
            self.disk.cut_power();
        }
        self.reopen(if failing { Promise::Durable } else { Promise::Written });
    }

    fn cut_power(&mut self) {
        self.collect();
        self.journal = None;
        self.disk.cut_power();
        self.reopen(Promise::Durable);
    }

    /// Takes what has been delivered; an ack delivered is a promise made, even if no one looked yet.
    fn collect(&mut self) {
        while let Ok(settled) = self.acks.try_recv() {
            for (serial, result) in settled {
                self.waiting.remove(&serial);
                let known = self.known.get_mut(&serial).unwrap();
                match result {
                    Ok(at) => (known.at, known.promise) = (Some(at), Promise::Durable),
                    Err(CommitError::Unknown) => {}
                    Err(_) => known.promise = Promise::Absent,
                }
            }
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..35 => self.append(),
            35..55 => self.append_synced(),
            55..68 => self.end(),
            68..76 => self.write_out(),
            76..80 => self.settle(),
            80..84 => drop(self.journal().fold()),
            84..91 => self.read(),
            91..93 => self.disk.fail_syncs(self.rng.u32(1..4)),
            93..94 => self.disk.fail_writes(self.rng.u32(1..3)),
            94..96 => self.disk.evict(),
            96..98 => self.kill(),
            _ => self.cut_power(),
        }
    }

    /// After an orderly close nothing is in doubt: what is left is exactly what was kept and not ended.
    fn finish(&mut self) {
        self.disk.fail_syncs(0);
        self.disk.fail_writes(0);
        self.settle();
        self.journal.take().unwrap().close();
        self.disk.cut_power();
        for known in self.known.values_mut().filter(|known| known.promise != Promise::Absent && known.is_in()) {
            known.promise = Promise::Durable;
        }
        let absent: HashSet<u64> = self
            .known
            .iter()
            .filter(|(_, known)| known.promise == Promise::Absent)
            .map(|(serial, _)| *serial)
            .collect();
        self.reopen(Promise::Durable);
        assert!(self.known.keys().all(|serial| !absent.contains(serial)));
    }
}

#[test]
fn what_was_promised_holds_through_failing_disks_kills_and_power_cuts() {
    let one = std::env::var("JOURNAL_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let mut settled: HashMap<&'static str, u64> = HashMap::new();
    let seeds = std::env::var("JOURNAL_SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    for seed in one.map_or(0..seeds, |seed| seed..seed + 1) {
        let mut run = Run::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..150 {
                run.step();
            }
            run.finish();
        }));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
        for (what, count) in run.settled {
            *settled.entry(what).or_default() += count;
        }
    }
    if one.is_none() {
        let met = |what, least| settled.get(what).is_some_and(|count| *count >= seeds * least);
        assert!(met("ok", 10) && met("voided", 1), "work and faults were met: {settled:?}");
    }
}
