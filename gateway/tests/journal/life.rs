//! Appending, committing, folding and reopening, one promise at a time.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::journal::{At, CommitError, Journal, OpenError, Priority, ReadError, Settings};

use crate::faulty::Faulty;
use crate::{END, Opened, open, settings, until_the_next_segment};

const BUDGET: u64 = 4 << 20;

#[test]
fn on_real_files_a_kill_keeps_what_was_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("journal");
    let (tell, acks) = channel();
    let deliver = move |settled| drop(tell.send(settled));
    let (journal, recovery) = Journal::open(settings(&dir, BUDGET), &mut |_| panic!("it is new"), deliver).unwrap();
    assert_eq!(recovery.records, 0);
    journal.append_synced(Priority::Admission, 1, 10, b"accepted", "ack");
    let settled = acks.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(settled[..], [("ack", Ok(At { len: 8, .. }))]));
    let lazy = journal.append(2, 10, b"attempt");
    journal.write_out().unwrap();
    assert_eq!(journal.read(10, lazy).unwrap(), &b"attempt"[..]);
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        // The next segment is being prepared under another name meanwhile.
        let Ok(metadata) = entry.unwrap().metadata() else { continue };
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        files += 1;
    }
    assert!(files > 0);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);

    let second = Journal::<()>::open(settings(&dir, BUDGET), &mut |_| {}, |_| {});
    assert!(matches!(second, Err(OpenError::Locked { .. })), "one process at a time");
    drop(journal);
    let mut shown = Vec::new();
    let replay = &mut |r: gateway::journal::Replayed<'_>| shown.push((r.kind, r.id, r.body.to_vec()));
    let (journal, recovery) = Journal::<()>::open(settings(&dir, BUDGET), replay, |_| {}).unwrap();
    journal.close();
    assert_eq!(shown, [(1, 10, b"accepted".to_vec()), (2, 10, b"attempt".to_vec())]);
    assert_eq!((recovery.records, recovery.highest_id, recovery.damaged), (2, 10, vec![]));
}

#[test]
fn a_lazy_record_is_synced_without_being_asked() {
    let disk = Faulty::new(0);
    let opened = open(&disk, BUDGET);
    let (tell, synced) = channel();
    let tell = Mutex::new(tell);
    disk.in_sync(Some(Arc::new(move || {
        let _ = tell.lock().unwrap().send(Instant::now());
    })));
    while synced.recv_timeout(Duration::from_millis(100)).is_ok() {}
    let appended = Instant::now();
    opened.journal.append(1, 1, b"lazy");
    let synced = synced.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(synced - appended >= Duration::from_millis(15), "it waits for company");
}

#[test]
fn writes_that_fail_while_it_closes_are_made_good_before_its_end() {
    let disk = Faulty::new(0);
    let opened = open(&disk, BUDGET);
    // The next segment is there: nobody but the commit thread syncs.
    until_the_next_segment(&disk);
    let (in_sync, release) = disk.hold_syncs();
    opened.journal.append_synced(Priority::Admission, 1, 1, b"first", 1);
    in_sync.recv_timeout(Duration::from_secs(20)).unwrap();
    opened.journal.append(1, 2, b"behind it");
    disk.fail_writes(2);
    opened.journal.write_out().unwrap_err();
    // It will be laid out anew twice, in the segment that is there and in one that is not. While the commit thread
    // knows nothing of that, nobody else has anything left to do.
    let (closed, end) = channel();
    let journal = opened.journal;
    std::thread::spawn(move || {
        journal.close();
        let _ = closed.send(());
    });
    assert!(end.recv_timeout(Duration::from_millis(100)).is_err());
    drop(release);
    end.recv_timeout(Duration::from_secs(20)).expect("the journal closes");
    disk.cut_power();
    assert_eq!(open(&disk, BUDGET).shown.len(), 2);
}

#[test]
fn an_ack_in_no_hurry_goes_with_the_next_sync_that_somebody_waits_for() {
    let disk = Faulty::new(0);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"first").unwrap();
    let appended = Instant::now();
    opened.journal.append_acked(Priority::Reserved, 1, 2, b"alone", 2);
    let alone = opened.acks.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(alone[..], [(2, Ok(_))]));
    assert!(appended.elapsed() >= Duration::from_millis(15), "it waits for company");
    opened.journal.append_acked(Priority::Reserved, 1, 3, b"patient", 3);
    opened.journal.append_synced(Priority::Reserved, 1, 4, b"urgent", 4);
    let together = opened.acks.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(together[..], [(3, Ok(_)), (4, Ok(_))]), "{together:?}");
}

#[test]
fn a_draft_is_handed_in_as_if_record_by_record() {
    let disk = Faulty::new(0);
    let opened = open(&disk, BUDGET);
    let mut draft = opened.journal.draft();
    for id in 1..=2_000u64 {
        draft.append(2, id, |octets| octets.extend_from_slice(&id.to_le_bytes()));
        draft.append_acked(3, id, 2 * id, |octets| octets.extend_from_slice(b"patient"));
        if id % 5 == 0 {
            draft.append_synced(4, id, 2 * id + 1, |_| {});
        }
        if id % 3 == 0 {
            draft.end(id);
        }
    }
    assert!(draft.is_full());
    opened.journal.hand_in(Priority::Reserved, &mut draft);
    assert!(!draft.is_full());
    let mut acks = Vec::new();
    while acks.len() < 2_400 {
        acks.extend(opened.acks.recv_timeout(Duration::from_secs(20)).unwrap());
    }
    let due: Vec<u64> = (2..=4_001).filter(|ack| ack % 2 == 0 || ack % 10 == 1).collect();
    assert_eq!(acks.iter().map(|(ack, at)| at.map(|_| *ack).unwrap()).collect::<Vec<u64>>(), due, "in order");
    opened.journal.hand_in(Priority::Reserved, &mut draft);
    assert_eq!(opened.journal.stats().records, 5_066, "what was handed in is not handed in again");
    opened.journal.close();
    let left = open(&disk, BUDGET).shown;
    let of = |id| left.iter().filter(move |r| r.id == id).map(|r| (r.kind, r.body.clone())).collect::<Vec<_>>();
    let (seven, patient) = (7u64.to_le_bytes().to_vec(), b"patient".to_vec());
    assert_eq!(of(7), [(2, seven), (3, patient)]);
    assert_eq!(left.iter().filter(|r| r.kind == END).count(), 666);
    assert_eq!(of(9).last(), Some(&(END, Vec::new())), "an id's last word");
}

#[test]
fn writing_out_does_not_wait_for_the_sync_in_flight() {
    let disk = Faulty::new(0);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"first").unwrap();
    let (in_sync, release) = disk.hold_syncs();
    opened.journal.append_synced(Priority::Admission, 1, 2, b"second", 2);
    in_sync.recv_timeout(Duration::from_secs(20)).unwrap();
    let at = opened.journal.append(2, 1, b"attempt");
    opened.journal.write_out().unwrap();
    assert_eq!(opened.journal.read(1, at).unwrap(), &b"attempt"[..]);
    assert!(opened.acks.try_recv().is_err(), "the sync is still in flight");
    disk.in_sync(None);
    drop(release);
    assert!(opened.settled(1)[0].1.is_ok());
}

#[test]
fn after_a_failed_sync_what_was_refused_is_void_and_the_rest_is_kept() {
    let disk = Faulty::new(3);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"before").unwrap();
    disk.fail_commits(1);
    let lazy = opened.journal.append(2, 1, b"attempt");
    assert_eq!(opened.put(2, b"refused"), Err(CommitError::Voided));
    assert_eq!(opened.journal.stats().failures, 1);
    assert!(!opened.journal.stats().failing);
    opened.put(3, b"after").unwrap();
    disk.evict();
    assert_eq!(opened.journal.read(1, lazy).unwrap(), &b"attempt"[..]);
    opened.kill();
    disk.cut_power();
    let opened = open(&disk, BUDGET);
    let shown: Vec<_> = opened.shown.iter().map(|one| (one.id, &one.body[..])).collect();
    assert_eq!(shown, [(1, &b"before"[..]), (1, b"attempt"), (3, b"after")]);
    assert_eq!(opened.journal.read(1, lazy).unwrap(), &b"attempt"[..]);
}

#[test]
fn a_journal_that_cannot_void_says_unknown_and_recovers() {
    let disk = Faulty::new(4);
    let opened = open(&disk, BUDGET);
    disk.fail_commits(2);
    assert_eq!(opened.put(1, b"?"), Err(CommitError::Unknown));
    opened.put(2, b"after").unwrap();
    assert!(!opened.journal.stats().failing);
}

#[test]
fn no_space_for_a_segment_refuses_and_passes() {
    let disk = Faulty::new(5);
    let opened = open(&disk, BUDGET);
    disk.set_full(true);
    let refused = (1..20).map(|id| opened.put(id, &[0; 30_000])).find_map(Result::err);
    assert_eq!(refused, Some(CommitError::Full));
    opened.journal.append(2, 1, &[1; 60_000]);
    assert!(opened.journal.write_out().is_err(), "an attempt must not go out");
    disk.set_full(false);
    let mut tries = (100..1_000).map(|id| {
        std::thread::yield_now();
        opened.put(id, b"again")
    });
    let passed = tries.by_ref().find(|put| {
        put.is_ok() || {
            std::thread::park_timeout(Duration::from_millis(10));
            false
        }
    });
    assert!(matches!(passed, Some(Ok(_))));
    opened.journal.write_out().unwrap();
    opened.journal.close();
    let opened = open(&disk, BUDGET);
    assert!(opened.shown.iter().any(|one| one.body == [1; 60_000]), "lazy records waited for room");
    assert!(opened.recovery.damaged.is_empty());
}

#[test]
fn a_record_is_read_after_its_segment_went_and_one_old_message_pins_nothing() {
    let disk = Faulty::new(6);
    let opened = open(&disk, BUDGET);
    let old = opened.put(1, b"lives on").unwrap();
    for id in 2..400 {
        let at = opened.put(id, &[id as u8; 2_000]).unwrap();
        assert_eq!(opened.journal.read(id, at).unwrap().len(), 2_000);
        opened.journal.end(id);
        if id % 50 == 0 {
            opened.journal.fold().unwrap();
        }
    }
    opened.journal.fold().unwrap();
    assert!(!disk.names().contains(&"00000001.segment".to_owned()));
    assert!(opened.journal.usage().used < 4 * 65_536, "{:?}", opened.journal.usage());
    assert_eq!(opened.journal.read(1, old).unwrap(), &b"lives on"[..]);
    assert!(matches!(opened.journal.read(2, old), Err(ReadError::Gone)));
    opened.journal.close();
    let opened = open(&disk, BUDGET);
    assert_eq!(opened.journal.read(1, old).unwrap(), &b"lives on"[..]);
    assert_eq!(opened.recovery.highest_id, 399, "ids never start again below what was used");
    assert!(opened.recovery.damaged.is_empty(), "{:?}", opened.recovery);
}

#[test]
fn a_recycled_segments_old_records_never_come_back() {
    let disk = Faulty::new(7);
    let mut opened = open(&disk, BUDGET);
    let mut next = 1;
    for _ in 0..10 {
        for id in next..next + 100 {
            opened.put(id, &[7; 1_000]).unwrap();
            opened.journal.end(id);
        }
        next += 100;
        opened.journal.fold().unwrap();
        opened.put(next, b"kept").unwrap();
        opened.kill();
        opened = open(&disk, BUDGET);
        let ended: Vec<u64> = opened.shown.iter().filter(|one| one.kind == END).map(|one| one.id).collect();
        let live: Vec<u64> = opened.ids().into_iter().filter(|id| !ended.contains(id)).collect();
        assert_eq!(live, [next]);
        assert!(opened.recovery.damaged.is_empty(), "{:?}", opened.recovery);
        opened.journal.end(next);
        next += 1;
    }
    assert!(opened.journal.stats().checkpoints <= 10);
}

#[test]
fn under_a_steady_load_segments_are_used_again() {
    /// Where a segment's header says so.
    const RECYCLED: usize = 11;
    let disk = Faulty::new(9);
    let opened = open(&disk, BUDGET);
    let (mut segments, mut filled) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..20 {
        // Fewer segments than the journal would fold by itself.
        for id in 100 * round + 1..100 * (round + 1) {
            opened.put(id, &[7; 1_900]).unwrap();
            opened.journal.end(id);
        }
        for name in disk.names().into_iter().filter(|name| name.ends_with(".segment")) {
            disk.edit(&Path::new("/j").join(&name), |octets| {
                if octets[RECYCLED] == 0 {
                    filled.insert(name.clone());
                }
            });
            segments.insert(name);
        }
        opened.journal.fold().unwrap();
    }
    assert!(segments.len() >= 60, "{segments:?}");
    assert!(filled.len() <= 8, "filled with zeros: {filled:?}");
}

#[test]
fn the_last_twentieth_is_for_receipts_and_ends_make_room() {
    let disk = Faulty::new(8);
    let budget = 20 * 65_536;
    let opened = open(&disk, budget);
    let mut last = 0;
    let full = (1..10_000).find(|id| {
        last = *id;
        opened.put(*id, &[1; 1_000]).is_err()
    });
    assert!(full.is_some());
    assert!((90..=96).contains(&opened.journal.usage().percent()), "{:?}", opened.journal.usage());
    opened.journal.append_synced(Priority::Reserved, 4, 1, b"receipt", 0);
    assert!(opened.settled(1)[0].1.is_ok());
    for id in 1..=last {
        opened.journal.end(id);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while opened.journal.usage().percent() > 50 {
        assert!(Instant::now() < deadline, "{:?}", opened.journal.usage());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    opened.put(20_000, b"welcome").unwrap();
}

#[test]
fn checkpoints_happen_by_themselves() {
    let disk = Faulty::new(9);
    let opened = open(&disk, 64 << 20);
    for id in 1..1_000 {
        opened.journal.append(1, id, &[0; 2_000]);
        opened.journal.end(id);
        opened.journal.write_out().unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while opened.journal.usage().used > 8 * 65_536 || opened.journal.stats().checkpoints == 0 {
        assert!(Instant::now() < deadline, "{:?}", opened.journal.usage());
        opened.journal.append(1, 5_000, &[0; 2_000]);
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn restarts_do_not_eat_the_disk() {
    let disk = Faulty::new(10);
    open(&disk, BUDGET).put(1, b"one").unwrap();
    for _ in 0..30 {
        let opened = open(&disk, BUDGET);
        assert_eq!(opened.ids(), [1]);
        opened.kill();
    }
    assert!(disk.names().len() < 8, "{:?}", disk.names());
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |segment_bytes, max_bytes| {
        let settings = Settings { dir: "/j".into(), segment_bytes, max_bytes, end_kind: END };
        let opened = Journal::<()>::open_on(Arc::new(Faulty::new(0)), settings, &mut |_| {}, |_| {});
        matches!(opened, Err(OpenError::Settings(_)))
    };
    assert!(refused(1_000, BUDGET) && refused(2 << 30, 64 << 30) && refused(1 << 20, 3 << 20));
}

#[test]
fn a_record_too_large_for_a_segment_is_refused() {
    let opened: Opened = open(&Faulty::new(11), BUDGET);
    assert_eq!(opened.put(1, &[0; 65_536]), Err(CommitError::Full));
    let at = opened.journal.append(1, 1, &[0; 65_536]);
    assert!(matches!(opened.journal.read(1, at), Err(ReadError::Gone)));
    opened.put(2, &[0; 61_000]).unwrap();
}
