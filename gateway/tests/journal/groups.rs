//! A group of records is in the journal whole or not at all: cut anywhere, torn, withdrawn, folded; and damage to one
//! that was whole costs only the record it is in.

use std::path::Path;

use gateway::journal::{CommitError, Priority};

use crate::faulty::Faulty;
use crate::{Opened, Shown, open};

const BUDGET: u64 = 4 << 20;
const SEGMENT: &str = "/j/00000001.segment";
const FIRST: usize = 4_096;

/// A record before, a group of five, one after where `after`; what replay shows of it.
fn written(after: bool) -> (Faulty, Vec<Shown>) {
    let disk = Faulty::new(7);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"before").unwrap();
    group(&opened, 10..15).unwrap();
    if after {
        opened.put(20, b"after").unwrap();
    }
    opened.journal.close();
    let opened = open(&disk, BUDGET);
    let shown = opened.shown.clone();
    opened.journal.close();
    (disk, shown)
}

fn group(opened: &Opened, ids: std::ops::Range<u64>) -> Result<gateway::journal::At, CommitError> {
    let bodies: Vec<(u64, Vec<u8>)> = ids.map(|id| (id, vec![id as u8; 30 + id as usize])).collect();
    let records = bodies.iter().map(|(id, body)| (1, *id, &body[..]));
    opened.journal.append_whole(Priority::Admission, records, 999);
    opened.settled(1).pop().unwrap().1
}

fn ids(disk: &Faulty) -> Vec<u64> {
    let opened = open(disk, BUDGET);
    let ids = opened.ids();
    opened.kill();
    ids
}

#[test]
fn the_name_of_the_last_leads_to_the_others() {
    let disk = Faulty::new(1);
    let opened = open(&disk, BUDGET);
    let mut at = group(&opened, 10..15).unwrap();
    for id in (10..15).rev() {
        assert_eq!(opened.journal.read(id, at).unwrap(), vec![id as u8; 30 + id as usize], "{id}");
        at = at.before(at.len.saturating_sub(1));
    }
}

#[test]
fn cut_at_any_octet_a_group_is_whole_or_not_there() {
    let (disk, shown) = written(false);
    assert_eq!(shown.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 10, 11, 12, 13, 14]);
    let end = |one: &Shown| one.at.offset as usize + 24 + one.body.len();
    let (first, last) = (end(&shown[0]), end(&shown[5]));
    for cut in FIRST..last + 100 {
        let disk = disk.copy();
        disk.edit(Path::new(SEGMENT), |octets| octets.truncate(cut));
        let want: &[u64] = match cut {
            _ if cut >= last => &[1, 10, 11, 12, 13, 14],
            _ if cut >= first => &[1],
            _ => &[],
        };
        assert_eq!(ids(&disk), want, "cut at {cut}");
    }
}

/// A power cut may leave later pages of one write and not earlier ones.
#[test]
fn a_hole_in_a_group_that_nobody_was_told_of_takes_all_of_it() {
    let (disk, shown) = written(false);
    for hole in &shown[1..] {
        let disk = disk.copy();
        let last = &shown[5];
        disk.edit(Path::new(SEGMENT), |octets| {
            let from = hole.at.offset as usize;
            octets[from..from + 24].fill(0);
            // Nor is there what was written after the sync.
            octets[last.at.offset as usize + (24 + last.body.len()).next_multiple_of(16)..].fill(0);
        });
        assert_eq!(ids(&disk), [1], "without {}", hole.id);
        assert_eq!(ids(&disk), [1], "and again");
    }
}

#[test]
fn damage_to_a_group_that_was_on_disk_costs_one_record() {
    for after in [false, true] {
        let (disk, shown) = written(after);
        for hit in &shown[1..6] {
            let disk = disk.copy();
            disk.edit(Path::new(SEGMENT), |octets| octets[hit.at.offset as usize + 30] ^= 1);
            let left: Vec<u64> = shown.iter().map(|one| one.id).filter(|id| *id != hit.id).collect();
            assert_eq!(ids(&disk), left);
        }
    }
}

#[test]
fn a_group_withdrawn_is_withdrawn_whole() {
    let disk = Faulty::new(3);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"before").unwrap();
    disk.fail_commits(1);
    assert_eq!(group(&opened, 10..15), Err(CommitError::Voided));
    group(&opened, 30..33).unwrap();
    opened.kill();
    assert_eq!(ids(&disk), [1, 30, 31, 32], "killed");
    disk.cut_power();
    assert_eq!(ids(&disk), [1, 30, 31, 32], "and without power");
}

#[test]
fn a_group_lives_through_a_checkpoint_less_those_that_ended() {
    let disk = Faulty::new(4);
    let opened = open(&disk, BUDGET);
    for start in (100..400).step_by(100) {
        group(&opened, start..start + 60).unwrap();
    }
    opened.journal.end(105);
    opened.put(1, &[0; 60_000]).unwrap();
    opened.put(2, &[0; 60_000]).unwrap();
    assert!(opened.journal.fold().unwrap());
    opened.kill();
    let found = ids(&disk);
    let group = |start| (start..start + 60).filter(|id| *id != 105);
    let want: Vec<u64> = [100, 200, 300].into_iter().flat_map(group).collect();
    assert_eq!(found.iter().copied().filter(|id| *id >= 100).collect::<Vec<_>>(), want);
}

#[test]
fn a_group_longer_than_a_segment_is_refused_and_one_that_fits_is_kept_together() {
    let disk = Faulty::new(5);
    let opened = open(&disk, BUDGET);
    assert_eq!(group(&opened, 0..0), Err(CommitError::Full));
    let long = vec![7; 20_000];
    let records = |count| (0..count).map(|id| (1, id + 50, &long[..]));
    opened.journal.append_whole(Priority::Admission, records(4), 1);
    assert_eq!(opened.settled(1)[0].1, Err(CommitError::Full));
    opened.put(1, &[0; 30_000]).unwrap();
    opened.journal.append_whole(Priority::Admission, records(3), 2);
    let at = opened.settled(1)[0].1.unwrap();
    assert_eq!(opened.journal.read(50, at.before(20_000).before(20_000)).unwrap(), long);
    opened.kill();
    assert_eq!(ids(&disk), [1, 50, 51, 52]);
}
