//! Bodies read in lots are what they are where each is read alone, and cost fewer readings.

use std::path::Path;

use gateway::journal::{At, Priority, ReadError};

use crate::faulty::Faulty;
use crate::{Opened, open, until_the_next_segment};

const BUDGET: u64 = 64 << 20;

type Asked = (u64, At);

fn said(result: Result<bytes::Bytes, ReadError>) -> Result<Vec<u8>, String> {
    result.map(Vec::from).map_err(|error| error.to_string())
}

/// A journal on a disk that fails, what was put into it, and by which names.
struct Run {
    disk: Faulty,
    opened: Opened,
    rng: fastrand::Rng,
    known: Vec<(Asked, Option<Vec<u8>>)>,
    next_id: u64,
}

impl Run {
    fn record(&mut self) -> (u64, Vec<u8>) {
        self.next_id += self.rng.u64(..2);
        let most = if self.rng.u8(..30) == 0 { 10_000 } else { 500 };
        let length = self.rng.usize(..most);
        (self.next_id, (0..length).map(|_| self.rng.u8(..)).collect())
    }

    /// Records of all sorts; `faults` syncs fail at most.
    fn write(&mut self, records: usize, mut faults: u32) {
        for _ in 0..records {
            match self.rng.u8(..30) {
                0 if faults > 0 => {
                    faults -= 1;
                    self.disk.fail_commits(1);
                }
                0 | 1 => {
                    let (id, body) = self.record();
                    let last = self.known.last().map(|((_, at), _)| *at).unwrap_or_default();
                    // One that was withdrawn may stand there all the same.
                    let there = last.after(body.len() as u32);
                    self.known.push(match self.opened.put(id, &body) {
                        Ok(at) => ((id, at), Some(body)),
                        Err(_) => ((id, there), None),
                    });
                }
                2 | 3 => {
                    let mut draft = self.opened.journal.draft();
                    for _ in 0..self.rng.usize(..40) {
                        draft.append(2, self.next_id, |octets| octets.extend_from_slice(&[7; 200]));
                    }
                    self.opened.journal.hand_in(Priority::Reserved, &mut draft);
                }
                4 => self.opened.journal.end(self.rng.u64(1..self.next_id + 1)),
                5 => drop(self.opened.journal.write_out()),
                _ => {
                    let (id, body) = self.record();
                    let at = self.opened.journal.append(1, id, &body);
                    self.known.push(((id, at), Some(body)));
                }
            }
        }
        self.disk.fail_commits(0);
        while self.opened.put(self.next_id, b"settled").is_err() {}
    }

    fn damage(&mut self) {
        let files: Vec<_> = self.disk.names().into_iter().filter(|name| name != "lock").collect();
        for _ in 0..self.rng.usize(..8) {
            let path = Path::new("/j").join(&files[self.rng.usize(..files.len())]);
            let ((_, at), _) = self.known[self.rng.usize(..self.known.len())];
            let (rng, place) = (&mut self.rng, at.offset as usize);
            if rng.u8(..4) == 0 {
                self.disk.fail_sector(Some((path, place as u64)));
                continue;
            }
            self.disk.edit(&path, |octets| match rng.u8(..4) {
                0 => octets.truncate(place + rng.usize(..500)),
                1 => octets.iter_mut().skip(place).take(512).for_each(|octet| *octet = 0),
                _ => octets.iter_mut().skip(place + rng.usize(..60)).take(1).for_each(|octet| *octet ^= 4),
            });
        }
    }

    /// What to ask for: some neighbours, some from everywhere, some that are not there.
    fn lot(&mut self) -> Vec<(Asked, Option<Vec<u8>>)> {
        let (count, from) = (self.rng.usize(1..300), self.rng.usize(..self.known.len()));
        let (mixed, step) = (self.rng.bool(), self.rng.usize(1..4));
        let mut lot = Vec::new();
        for nth in 0..count {
            let nth = if mixed && self.rng.bool() { self.rng.usize(..) } else { from + nth * step };
            let ((id, at), body) = &self.known[nth % self.known.len()];
            let (mut id, mut at, body) = (*id, *at, body.clone());
            let wrong = self.rng.u8(..40);
            match wrong {
                0 => id += 1,
                1 => at.len += 1,
                2 => at.len = at.len.saturating_sub(1),
                3 => at.offset += 16,
                4 => at.segment += 1,
                _ => {}
            }
            lot.push(((id, at), body.filter(|_| wrong > 4)));
        }
        if self.rng.bool() {
            self.rng.shuffle(&mut lot);
        }
        lot
    }
}

#[test]
fn a_lot_reads_what_single_reads_do_whatever_happened_to_the_files() {
    let (mut found, mut missed, mut folded) = (0, 0, 0);
    for seed in 0..12 {
        let disk = Faulty::new(seed);
        let opened = open(&disk, BUDGET);
        let mut run = Run { disk, opened, rng: fastrand::Rng::with_seed(seed), known: Vec::new(), next_id: 1 };
        for _ in 0..3 {
            run.write(200, 2);
            if run.rng.bool() {
                folded += u32::from(run.opened.journal.fold().unwrap());
            }
        }
        // From here on nothing is folded any more.
        folded += u32::from(run.opened.journal.fold().unwrap());
        run.write(300, 1);
        for round in 0..40 {
            if round == 10 {
                run.damage();
            }
            let lot = run.lot();
            let asked: Vec<Asked> = lot.iter().map(|(asked, _)| *asked).collect();
            let together = run.opened.journal.read_many(&asked);
            assert_eq!(together.len(), asked.len());
            for (((id, at), body), read) in lot.into_iter().zip(together) {
                let (read, alone) = (said(read), said(run.opened.journal.read(id, at)));
                assert_eq!(read, alone, "seed {seed} round {round}: {id} {at:?}");
                match read {
                    Ok(read) => assert!(body.is_none_or(|body| body == read)),
                    Err(_) => missed += 1,
                }
                found += 1;
            }
        }
    }
    assert!(folded > 9 && missed > found / 100 && missed < found / 2, "{folded} {missed} {found}");
}

#[test]
fn neighbours_are_read_together_and_a_bad_sector_costs_the_body_in_it() {
    let disk = Faulty::new(1);
    let opened = open(&disk, BUDGET);
    until_the_next_segment(&disk);
    let asked: Vec<Asked> = (1..=200).map(|id| (id, opened.journal.append(1, id, &[id as u8; 200]))).collect();
    opened.put(201, b"settled").unwrap();
    let counted = || {
        let before = disk.reads();
        let bodies = opened.journal.read_many(&asked);
        (bodies, disk.reads() - before)
    };
    let whole = |bodies: Vec<Result<bytes::Bytes, ReadError>>| {
        bodies.into_iter().zip(1u8..).all(|(body, id)| body.is_ok_and(|body| body == [id; 200][..]))
    };
    let (bodies, reads) = counted();
    assert!(whole(bodies) && reads == 1, "{reads}");
    let (nth, path) = (77, Path::new("/j/00000001.segment"));
    let at = asked[nth].1.offset;
    disk.fail_sector(Some((path.into(), u64::from(at) + 40)));
    let sector = at / 512 * 512;
    for ((id, at), body) in asked.iter().zip(counted().0) {
        let hit = at.offset < sector + 512 && at.offset + 224 > sector;
        assert_eq!(body.is_err(), hit, "{id}");
    }
    disk.fail_sector(None);

    // Once they are folded.
    for id in 1_000..1_010 {
        opened.put(id, &[0; 20_000]).unwrap();
    }
    opened.journal.end(1_000);
    assert!(opened.journal.fold().unwrap());
    let (bodies, reads) = counted();
    assert!(whole(bodies) && reads <= 5, "{reads}");
}
