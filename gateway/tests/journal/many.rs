//! Records that were handed in together share frames: they are replayed, withdrawn and folded each by itself, and lost to
//! damage with those of their frame.

use std::path::Path;
use std::time::Duration;

use gateway::journal::{CommitError, Draft, Priority, Recovery};

use crate::faulty::Faulty;
use crate::{END, Opened, Shown, open, until_the_next_segment};

const BUDGET: u64 = 4 << 20;
const SEGMENT: &str = "/j/00000001.segment";
const FIRST: usize = 4_096;
/// Octets before a frame's body, and before that of a record in it.
const HEADS: (usize, usize) = (24, 13);

/// A record to be written.
#[derive(Clone, Debug)]
enum Word {
    Lazy(u8, u64, Vec<u8>),
    Acked(u8, u64, Vec<u8>, u64),
    Synced(u8, u64, Vec<u8>, u64),
    End(u64),
}

impl Word {
    fn draft(&self, draft: &mut Draft<u64>) {
        match self {
            Word::Lazy(kind, id, body) => draft.append(*kind, *id, |octets| octets.extend_from_slice(body)),
            Word::Acked(kind, id, body, ack) => {
                draft.append_acked(*kind, *id, *ack, |octets| octets.extend_from_slice(body));
            }
            Word::Synced(kind, id, body, ack) => {
                draft.append_synced(*kind, *id, *ack, |octets| octets.extend_from_slice(body));
            }
            Word::End(id) => draft.end(*id),
        }
    }

    fn append(&self, to: &Opened) {
        let journal = &to.journal;
        match self {
            Word::Lazy(kind, id, body) => drop(journal.append(*kind, *id, body)),
            Word::Acked(kind, id, body, ack) => journal.append_acked(Priority::Reserved, *kind, *id, body, *ack),
            Word::Synced(kind, id, body, ack) => journal.append_synced(Priority::Reserved, *kind, *id, body, *ack),
            Word::End(id) => journal.end(*id),
        }
    }

    fn has_ack(&self) -> bool {
        matches!(self, Word::Acked(..) | Word::Synced(..))
    }
}

/// Turns of several records each, of few ids; now and then a long one.
fn turns(rng: &mut fastrand::Rng, count: usize) -> Vec<Vec<Word>> {
    let mut ack = 0;
    let mut word = |rng: &mut fastrand::Rng| {
        let (kind, id, long) = (rng.u8(1..9), rng.u64(1..200), if rng.u8(..) < 4 { 9_000 } else { 90 });
        let body: Vec<u8> = (0..rng.usize(..long)).map(|_| rng.u8(..)).collect();
        ack += 1;
        match rng.u8(..8) {
            0 => Word::Synced(kind, id, body, ack),
            1 | 2 => Word::Acked(kind, id, body, ack),
            // An id's last word.
            3 => Word::End(1_000 + ack),
            _ => Word::Lazy(kind, id, body),
        }
    };
    (0..count).map(|_| (0..rng.usize(1..150)).map(|_| word(rng)).collect()).collect()
}

fn hand_in(opened: &Opened, turn: &[Word]) {
    let mut draft = opened.journal.draft();
    turn.iter().for_each(|word| word.draft(&mut draft));
    opened.journal.hand_in(Priority::Reserved, &mut draft);
}

fn write(opened: &Opened, turn: &[Word], together: bool) {
    if together { hand_in(opened, turn) } else { turn.iter().for_each(|word| word.append(opened)) }
}

fn settle(opened: &Opened, turns: &[Vec<Word>]) -> Vec<(u64, Option<CommitError>)> {
    let acks = turns.iter().flatten().filter(|word| word.has_ack()).count();
    opened.settled(acks).into_iter().map(|(ack, result)| (ack, result.err())).collect()
}

fn replay(disk: &Faulty) -> (Vec<Shown>, Recovery) {
    let opened = open(disk, BUDGET);
    let found = (opened.shown.clone(), opened.recovery.clone());
    opened.kill();
    found
}

fn content(shown: &[Shown]) -> Vec<(u8, u64, &[u8])> {
    shown.iter().map(|one| (one.kind, one.id, &one.body[..])).collect()
}

#[test]
fn what_is_handed_in_is_replayed_and_folded_as_if_record_by_record() {
    for seed in 0..12 {
        let turns = turns(&mut fastrand::Rng::with_seed(seed), 12);
        let shown = [true, false].map(|together| {
            let disk = Faulty::new(seed);
            let opened = open(&disk, BUDGET);
            turns.iter().for_each(|turn| write(&opened, turn, together));
            let acks = settle(&opened, &turns);
            assert!(acks.iter().all(|(_, error)| error.is_none()));
            let stats = opened.journal.stats();
            opened.journal.close();
            let (shown, recovery) = replay(&disk);
            assert!(recovery.damaged.is_empty() && recovery.voided == 0, "{recovery:?}");
            let mut names: Vec<_> = shown.iter().map(|one| (one.at.segment, one.at.offset)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), shown.len(), "a name is one record's");
            // Folded, and folded again with what came later.
            let opened = open(&disk, BUDGET);
            for id in (1..200).step_by(3) {
                opened.journal.end(id);
            }
            for _ in 0..2 {
                (0..2).for_each(|_| assert!(opened.put(5_000, &[0; 50_000]).is_ok()));
                // Where it is not done by itself already.
                opened.journal.fold().unwrap();
            }
            assert!(opened.journal.stats().checkpoints >= 2);
            opened.kill();
            let (folded, _) = replay(&disk);
            for one in folded.iter().filter(|one| one.id < 5_000) {
                assert!(shown.contains(one), "under its old name: {one:?}");
            }
            (shown, folded, acks, stats.records)
        });
        let [(ours, ours_folded, our_acks, our_count), (plain, plain_folded, acks, count)] = &shown;
        assert_eq!(content(ours), content(plain), "seed {seed}");
        assert_eq!(content(ours_folded), content(plain_folded), "seed {seed}, folded");
        assert!(plain_folded.iter().any(|one| one.kind != END && one.id < 1_000));
        assert_eq!((our_acks, our_count), (acks, count), "seed {seed}");
    }
}

/// What is left of turns that came while a sync was under way that fails, and so many after it; sorted, since what was laid
/// out again stands behind what was not.
fn after_failures(seed: u64, turns: &[Vec<Word>], failures: u32, together: bool) -> Vec<Shown> {
    let disk = Faulty::new(seed);
    let opened = open(&disk, BUDGET);
    opened.put(600, b"before").unwrap();
    // The next segment is there, so that nothing waits for it below.
    until_the_next_segment(&disk);
    let (in_sync, release) = disk.hold_syncs();
    opened.journal.append_synced(Priority::Reserved, 1, 601, b"in the sync", 0);
    in_sync.recv_timeout(Duration::from_secs(20)).unwrap();
    turns.iter().for_each(|turn| write(&opened, turn, together));
    if seed.is_multiple_of(2) {
        // What is abandoned has been written, then.
        opened.journal.write_out().unwrap();
    }
    disk.fail_commits(failures);
    disk.in_sync(None);
    drop(release);
    let acks = turns.iter().flatten().filter(|word| word.has_ack()).count();
    let fate = if failures > 1 { CommitError::Unknown } else { CommitError::Voided };
    assert!(opened.settled(1 + acks).iter().all(|(_, result)| *result == Err(fate)));
    opened.put(602, b"after").unwrap();
    opened.kill();
    disk.cut_power();
    let [mut shown, again] = [(); 2].map(|()| replay(&disk).0);
    assert_eq!(shown, again, "and again");
    shown.sort_by(|one, other| (one.id, one.kind, &one.body).cmp(&(other.id, other.kind, &other.body)));
    shown
}

#[test]
fn a_failed_sync_withdraws_those_waited_for_and_keeps_the_others() {
    for seed in 20..36 {
        let turns = turns(&mut fastrand::Rng::with_seed(seed), 3);
        let lazy = turns.iter().flatten().filter(|word| !word.has_ack());
        let [ours, plain] = [true, false].map(|together| after_failures(seed, &turns, 1, together));
        assert_eq!(content(&ours), content(&plain), "seed {seed}");
        assert_eq!(ours.len(), lazy.clone().count() + 2, "seed {seed}");
        // Where the voids could not be written either, nobody was told what became of those waited for.
        let unsure = after_failures(seed, &turns, 2, true);
        for word in lazy {
            let (kind, id, body) = match word {
                Word::Lazy(kind, id, body) => (*kind, *id, &body[..]),
                Word::End(id) => (END, *id, &[][..]),
                _ => continue,
            };
            let times = unsure.iter().filter(|one| (one.kind, one.id, &one.body[..]) == (kind, id, body)).count();
            let written = ours.iter().filter(|one| (one.kind, one.id, &one.body[..]) == (kind, id, body)).count();
            assert_eq!(times, written, "seed {seed}: kept once");
        }
    }
}

/// The voids of so many fill a segment, so that a checkpoint takes them before what was written again.
#[test]
fn what_was_withdrawn_is_in_no_copy() {
    let turn: Vec<Word> = (0..2_600u64)
        .map(|n| if n % 8 == 0 { Word::Lazy(2, n, vec![]) } else { Word::Acked(1, n, vec![], n) })
        .chain([Word::Synced(1, 9_999, vec![], 9_999)])
        .collect();
    let disk = Faulty::new(12);
    let opened = open(&disk, BUDGET);
    disk.fail_commits(1);
    hand_in(&opened, &turn);
    assert!(settle(&opened, &[turn]).iter().all(|(_, error)| *error == Some(CommitError::Voided)));
    opened.put(5_000, &[0; 10_000]).unwrap();
    opened.journal.fold().unwrap();
    assert!(opened.journal.stats().checkpoints > 0);
    opened.kill();
    let (shown, recovery) = replay(&disk);
    assert!(shown.iter().all(|one| one.kind == 2 || one.id == 5_000), "{recovery:?}");
    assert_eq!(shown.len(), 325 + 1);
}

/// A record, a frame of nine, a record; and where the frame ends.
fn nine() -> (Faulty, Vec<Shown>, std::ops::Range<usize>) {
    let disk = Faulty::new(7);
    let opened = open(&disk, BUDGET);
    opened.put(1, b"before").unwrap();
    let turn: Vec<Word> = (10..19u64)
        .map(|id| match id % 3 {
            0 => Word::Lazy(2, id, vec![id as u8; id as usize]),
            1 => Word::Acked(3, id, vec![id as u8; 3], id),
            _ => Word::End(id),
        })
        .collect();
    hand_in(&opened, &turn);
    settle(&opened, &[turn]);
    opened.put(30, b"after").unwrap();
    opened.journal.close();
    let (shown, recovery) = replay(&disk);
    assert_eq!((shown.len(), recovery.damaged.len()), (11, 0));
    let from = shown[1].at.offset as usize;
    let body: usize = shown[1..10].iter().map(|one| HEADS.1 + one.body.len()).sum();
    (disk, shown, from..from + HEADS.0 + body)
}

#[test]
fn cut_at_any_octet_a_frame_is_whole_or_torn() {
    let (disk, shown, frame) = nine();
    for cut in FIRST..frame.end + 100 {
        let disk = disk.copy();
        disk.edit(Path::new(SEGMENT), |octets| octets.truncate(cut));
        let (found, recovery) = replay(&disk);
        let ends = |one: &&Shown| match one.id {
            10..19 => frame.end,
            _ => one.at.offset as usize + HEADS.0 + one.body.len(),
        };
        let whole = shown.iter().filter(|one| ends(one) <= cut).count();
        assert_eq!(found, shown[..whole], "cut at {cut}");
        assert!([0, 1, 10, 11].contains(&whole));
        if (frame.start + 1..frame.end).contains(&cut) {
            assert_eq!(recovery.damaged.len(), 1, "cut at {cut}");
            assert!(recovery.damaged[0].torn && recovery.damaged[0].offset == frame.start as u64);
        }
    }
}

#[test]
fn a_bit_flipped_in_a_frame_costs_its_records_and_is_told_as_one_stretch() {
    let (disk, shown, frame) = nine();
    let left: Vec<_> = shown.iter().filter(|one| !(10..19).contains(&one.id)).cloned().collect();
    for at in frame.clone() {
        for bit in 0..8 {
            let disk = disk.copy();
            disk.edit(Path::new(SEGMENT), |octets| octets[at] ^= 1 << bit);
            let (found, recovery) = replay(&disk);
            assert_eq!(found, left, "octet {at} bit {bit}");
            let [damaged] = &recovery.damaged[..] else { panic!("octet {at} bit {bit}: {recovery:?}") };
            assert_eq!((damaged.offset, damaged.torn), (frame.start as u64, false));
            assert_eq!(damaged.octets, (frame.len() as u64).next_multiple_of(16));
        }
    }
}

#[test]
fn damage_costs_no_more_than_a_page_and_its_neighbours() {
    let disk = Faulty::new(8);
    let opened = open(&disk, BUDGET);
    let turn: Vec<Word> = (0..600).map(|id| Word::Lazy(2, 100 + id, vec![7; 60])).collect();
    hand_in(&opened, &turn);
    opened.journal.close();
    let (shown, _) = replay(&disk);
    assert_eq!(shown.len(), 600);
    for at in (FIRST..FIRST + 40_000).step_by(4_096) {
        let disk = disk.copy();
        disk.edit(Path::new(SEGMENT), |octets| octets[at..at + 4_096].fill(0xEE));
        let (found, recovery) = replay(&disk);
        assert_eq!(recovery.damaged.len(), 1, "{recovery:?}");
        // A page has room for 56 of them; it touches three frames at most.
        assert!((600 - 3 * 56..600).contains(&found.len()), "{}", found.len());
    }
}

#[test]
fn a_record_too_large_for_a_segment_is_refused_or_dropped_without_its_neighbours() {
    let disk = Faulty::new(9);
    let opened = open(&disk, BUDGET);
    let long = vec![1; 70_000];
    let small = |id| Word::Lazy(1, id, vec![2; 20]);
    let mut turn = vec![small(1), Word::Lazy(1, 2, long.clone()), small(3), Word::Synced(1, 4, long, 44), small(5)];
    turn.extend([Word::Synced(1, 6, vec![3; 60_000], 66), small(7)]);
    hand_in(&opened, &turn);
    let mut settled = opened.settled(2);
    settled.sort_by_key(|(ack, _)| *ack);
    assert!(matches!(settled[..], [(44, Err(CommitError::Full)), (66, Ok(_))]), "{settled:?}");
    opened.journal.close();
    assert_eq!(replay(&disk).0.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 3, 5, 6, 7]);
}

#[test]
fn without_room_those_waited_for_are_refused_and_the_others_come_in() {
    let disk = Faulty::new(10);
    let opened = open(&disk, BUDGET);
    disk.set_full(true);
    let refused = (1..20).map(|id| opened.put(id, &[0; 30_000])).find_map(Result::err);
    assert_eq!(refused, Some(CommitError::Full));
    let turn: Vec<Word> = (100..130)
        .flat_map(|id| {
            [Word::Lazy(2, id, vec![1; 2_000]), Word::Acked(3, id, vec![2; 9], id), Word::Synced(4, id, vec![], id)]
        })
        .collect();
    hand_in(&opened, &turn);
    let settled = opened.settled(60);
    let (kept, refused): (Vec<_>, Vec<_>) = settled.into_iter().partition(|(_, result)| result.is_ok());
    assert!(refused.iter().all(|(_, result)| *result == Err(CommitError::Full)) && !refused.is_empty());
    disk.set_full(false);
    opened.journal.close();
    let (shown, recovery) = replay(&disk);
    let of = |kinds: &[u8]| shown.iter().filter(|one| one.id >= 100 && kinds.contains(&one.kind)).count();
    assert_eq!((of(&[2]), of(&[3, 4])), (30, kept.len()), "{recovery:?}");
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
}

#[test]
fn beyond_its_share_of_the_budget_a_draft_is_refused_but_for_those_nobody_waits_for() {
    let disk = Faulty::new(13);
    let opened = open(&disk, 1 << 20);
    assert!((1..100).any(|id| opened.put(id, &[1; 20_000]).is_err()));
    let (mut kept, mut turns) = (Vec::new(), 0);
    let refused = (1_000..9_000).find(|id| {
        let turn = [Word::Acked(3, *id, vec![3], 1), Word::Lazy(2, *id, vec![2]), Word::Synced(4, *id, vec![4; 90], 2)];
        let mut draft = opened.journal.draft();
        turn.iter().for_each(|word| word.draft(&mut draft));
        opened.journal.hand_in(Priority::Admission, &mut draft);
        let settled = opened.settled(2);
        turns += 1;
        assert_eq!(settled[0].1.is_ok(), settled[1].1.is_ok(), "they share a frame");
        kept.extend(settled[0].1.is_ok().then_some(*id));
        settled.iter().all(|(_, result)| *result == Err(CommitError::Full))
    });
    assert!(refused.is_some());
    opened.journal.close();
    let shown = replay(&disk).0;
    let of =
        |kind| shown.iter().filter(|one| one.id >= 1_000 && one.kind == kind).map(|one| one.id).collect::<Vec<_>>();
    assert_eq!((of(3), of(4), of(2).len()), (kept.clone(), kept, turns));
}

/// A segment as programs wrote it that knew of no frames with many records: a journal's first, with one record of each sort.
fn old_segment() -> Vec<u8> {
    const SALT: u32 = 0x1234_5678;
    let sum = |seed: u32, octets: &[u8]| crc32c::crc32c_append(seed, octets);
    let mut header = b"QIAOJRNL".to_vec();
    header.extend([1, 0, 1, 0]);
    header.extend(SALT.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.resize(60, 0);
    header.extend(sum(0, &header).to_le_bytes());
    let mut octets = vec![0; 65_536];
    octets[..64].copy_from_slice(&header);
    octets[2_048..2_112].copy_from_slice(&header);
    let seed = sum(0, &[&[1][..], &SALT.to_le_bytes(), &1u32.to_le_bytes()].concat());
    let mut at = FIRST;
    let mut put = |kind: u8, flags: u8, id: u64, body: &[u8]| {
        let mut record = vec![0xA7, 1, kind, flags];
        record.extend((body.len() as u32).to_le_bytes());
        record.extend(sum(seed, b"mark").to_le_bytes());
        let whole = sum(seed, &[&(at as u64).to_le_bytes()[..], &record, &id.to_le_bytes(), body].concat());
        record.extend(whole.to_le_bytes());
        record.extend(id.to_le_bytes());
        record.extend(body);
        octets[at..at + record.len()].copy_from_slice(&record);
        let place = at as u32;
        at += record.len().next_multiple_of(16);
        place
    };
    let place = |offset: u32| [1u32.to_le_bytes(), offset.to_le_bytes()].concat();
    let voided = FIRST as u32 + 32;
    assert_eq!(put(1, 4, 0, &place(voided)), FIRST as u32, "a void");
    assert_eq!(put(1, 1, 10, b"withdrawn"), voided);
    put(1, 1, 11, b"waited for");
    put(2, 0, 11, b"not waited for");
    let moved = [&[9, 0, 0, 0, 0, 16, 0, 0][..], b"written again"].concat();
    put(3, 2, 12, &moved);
    put(1, 1 | 8 | 16, 13, b"first of a group");
    put(1, 1 | 8 | 32, 14, b"last of a group");
    put(END, 0, 12, b"");
    octets
}

#[test]
fn a_journal_of_an_earlier_program_is_read_and_gone_on_with() {
    let disk = Faulty::new(11);
    open(&disk, BUDGET).journal.close();
    disk.cut_power();
    disk.edit(Path::new(SEGMENT), |octets| *octets = old_segment());
    let opened = open(&disk, BUDGET);
    let found: Vec<_> = opened.shown.iter().map(|one| (one.kind, one.id, String::from_utf8_lossy(&one.body))).collect();
    let want = [
        (1, 11, "waited for"),
        (2, 11, "not waited for"),
        (3, 12, "written again"),
        (1, 13, "first of a group"),
        (1, 14, "last of a group"),
        (END, 12, ""),
    ];
    assert_eq!(found.iter().map(|(kind, id, body)| (*kind, *id, &**body)).collect::<Vec<_>>(), want);
    assert_eq!((opened.recovery.voided, opened.recovery.damaged.len()), (1, 0));
    let at = opened.shown[0].at;
    assert_eq!(opened.journal.read(11, at).unwrap(), &b"waited for"[..]);
    hand_in(&opened, &[Word::Lazy(5, 11, b"of now".to_vec()), Word::End(13)]);
    for id in 50..53 {
        opened.put(id, &[0; 40_000]).unwrap();
    }
    assert!(opened.journal.fold().unwrap());
    assert_eq!(opened.journal.read(11, at).unwrap(), &b"waited for"[..]);
    opened.kill();
    let (shown, _) = replay(&disk);
    let left: Vec<_> = shown.iter().filter(|one| one.id < 50).map(|one| (one.kind, one.id)).collect();
    assert_eq!(left, [(1, 11), (2, 11), (5, 11), (1, 14)]);
}
