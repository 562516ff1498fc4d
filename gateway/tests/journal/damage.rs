//! Cut and flipped octets cost the record they are in, and are reported.

use std::path::Path;

use gateway::journal::{Journal, OpenError, Recovery};

use crate::faulty::Faulty;
use crate::{Shown, open, settings};

const BUDGET: u64 = 1 << 20;
const SEGMENT: &str = "/j/00000001.segment";
const FIRST: usize = 4_096;

/// A closed journal with records of several lengths in one segment; what they are, and where each ends.
fn written() -> (Faulty, Vec<Shown>, Vec<usize>) {
    let disk = Faulty::new(1);
    let opened = open(&disk, BUDGET);
    for (id, length) in [(1, 0), (2, 100), (3, 8), (4, 41), (5, 300), (6, 7)] {
        opened.put(id, &vec![id as u8; length]).unwrap();
    }
    opened.journal.close();
    let opened = open(&disk, BUDGET);
    let shown = opened.shown.clone();
    let ends = shown.iter().map(|one| one.at.offset as usize + 24 + one.body.len()).collect();
    assert_eq!((shown.len(), opened.recovery.damaged.len()), (6, 0));
    opened.journal.close();
    (disk, shown, ends)
}

fn replay(disk: &Faulty) -> (Vec<Shown>, Recovery) {
    let opened = open(disk, BUDGET);
    let found = (opened.shown.clone(), opened.recovery.clone());
    opened.kill();
    found
}

#[test]
fn a_segment_cut_at_any_octet_keeps_every_record_before_the_cut() {
    let (disk, shown, ends) = written();
    for cut in FIRST..ends[5] + 20 {
        let disk = disk.copy();
        disk.edit(Path::new(SEGMENT), |octets| octets.truncate(cut));
        let (found, recovery) = replay(&disk);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found, shown[..whole], "cut at {cut}");
        let starts = shown.get(whole).map(|next| next.at.offset as usize);
        let inside = starts.is_some_and(|start| start < cut);
        assert_eq!(recovery.damaged.len(), usize::from(inside), "cut at {cut}: {recovery:?}");
        assert!(recovery.damaged.iter().all(|damaged| damaged.torn && damaged.kept.is_some()));
    }
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_reported() {
    let (disk, shown, ends) = written();
    for at in (0..64).chain(2_048..2_112).chain(FIRST..ends[5]) {
        for bit in [0, 5] {
            let disk = disk.copy();
            disk.edit(Path::new(SEGMENT), |octets| octets[at] ^= 1 << bit);
            let (found, recovery) = replay(&disk);
            let hit = shown.iter().zip(&ends).position(|(one, end)| (one.at.offset as usize..*end).contains(&at));
            let left: Vec<_> = shown.iter().enumerate().filter(|(n, _)| Some(*n) != hit).map(|(_, one)| one).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), left, "octet {at} bit {bit}");
            assert_eq!(recovery.damaged.len(), usize::from(hit.is_some()), "octet {at} bit {bit}: {recovery:?}");
            if let Some(hit) = hit {
                assert_eq!(recovery.damaged[0].offset, u64::from(shown[hit].at.offset));
                assert_eq!(recovery.damaged[0].torn, hit == 5);
            }
        }
    }
}

#[test]
fn a_segment_whose_header_is_gone_is_read_all_the_same() {
    let (disk, shown, _) = written();
    disk.edit(Path::new(SEGMENT), |octets| octets[..FIRST].fill(0xEE));
    let (found, recovery) = replay(&disk);
    assert_eq!(found, shown);
    assert_eq!((recovery.damaged.len(), recovery.damaged[0].offset), (1, 0));
}

#[test]
fn a_record_copied_elsewhere_is_not_believed() {
    let (disk, shown, ends) = written();
    let from = shown[1].at.offset as usize;
    disk.edit(Path::new(SEGMENT), |octets| octets.copy_within(from..ends[1] + 4, 32_768));
    let (found, recovery) = replay(&disk);
    assert_eq!(found, shown);
    assert!(recovery.damaged.is_empty(), "what stands in free space was never acknowledged: {recovery:?}");
}

#[test]
fn a_checkpoint_with_a_flipped_bit_loses_one_record() {
    let disk = Faulty::new(2);
    let opened = open(&disk, BUDGET);
    for id in 1..=20 {
        opened.put(id, &[id as u8; 4_000]).unwrap();
    }
    assert!(opened.journal.fold().unwrap());
    opened.kill();
    let name = disk.names().into_iter().find(|name| name.ends_with(".checkpoint")).unwrap();
    disk.edit(&Path::new("/j").join(name), |octets| octets[4_096 + 3 * 4_032 + 100] ^= 1);
    let opened = open(&disk, BUDGET);
    let expected: Vec<u64> = (1..=20).filter(|id| *id != 4).collect();
    assert_eq!(opened.ids(), expected);
    assert_eq!(opened.recovery.damaged.len(), 1);
    for shown in &opened.shown {
        assert_eq!(opened.journal.read(shown.id, shown.at).unwrap(), shown.body);
    }
}

#[test]
fn a_later_format_is_refused_by_name() {
    let (disk, ..) = written();
    disk.edit(Path::new(SEGMENT), |octets| {
        octets[8] = 9;
        let crc = crc32c::crc32c(&octets[..60]);
        octets[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    let opened = Journal::<u64>::open_on(
        std::sync::Arc::new(disk),
        settings("/j".as_ref(), BUDGET),
        &mut |_| panic!("nothing is replayed"),
        |_| {},
    );
    let error = opened.map(|_| ()).unwrap_err();
    assert!(matches!(&error, OpenError::Version { file, found: 9 } if file == Path::new(SEGMENT)), "{error}");
}
