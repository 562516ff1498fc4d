use super::*;

fn samples() -> Vec<Record<'static>> {
    let id = || CarrierId::new(b"42ab");
    vec![
        Record::Accepted(Accepted {
            at: Wall(1),
            expires: Wall(2),
            app: "shop",
            tier: "otp",
            group: "mobile",
            kind: "sms",
            to: "+8613800138000",
            sender: Some("1069"),
            text: "码 1234",
            client_ref: None,
            idempotency_key: Some("k"),
            body_hash: [7; 16],
            callback: true,
            parts: 1,
            encoding: "ucs2",
            reserve: 2,
            options: "",
        }),
        Record::Accepted(Accepted { callback: true, options: "link_id=7\nfee_code=100\n", ..Accepted::default() }),
        Record::Attempt(Attempt {
            at: Wall(3),
            attempt: AttemptRef(9),
            channel: "a",
            parts: 3,
            only: 5,
            because: Because { reason: Reason::Backup, cause: Some(Cause::Suspect), number: 412, other: "b" },
        }),
        Record::Answered(Answered {
            at: Wall(4),
            attempt: AttemptRef(9),
            part: 2,
            answer: AnswerKind::Submitted(Some(id())),
        }),
        Record::Answered(Answered {
            at: Wall(4),
            attempt: AttemptRef(9),
            part: 2,
            answer: AnswerKind::Refused(Verdict::LinkFault, "0x0D"),
        }),
        Record::Answered(Answered {
            at: Wall(4),
            attempt: AttemptRef(9),
            part: 0,
            answer: AnswerKind::Unanswered(Doubt::Acked),
        }),
        Record::Receipted(Receipted {
            at: Wall(5),
            attempt: AttemptRef(9),
            part: 0,
            state: ReceiptState::Unknown,
            code: "UNKNOWN err:001".into(),
        }),
        Record::Outcome(Outcome {
            at: Wall(6),
            outcome: OutcomeKind::Cancelled,
            reason: "r",
            code: "c".into(),
            evidence: Evidence::None,
            channel: "",
            correction: true,
        }),
        Record::Called(Called { at: Wall(7), event: 1, end: Telling::Kept }),
        Record::Orphan(Orphan {
            at: Wall(8),
            channel: "a",
            ids: vec![id(), id()],
            to: "138",
            state: ReceiptState::Delivered,
            code: "",
        }),
        Record::Uplink(Uplink { at: Wall(9), channel: "a", from: "1", to: "2", text: "t", data: b"t", udh: false }),
        Record::Mo(Mo {
            at: Wall(9),
            channel: "a",
            from: "+8613800138000",
            to: "10690001",
            coding: Coding::Ucs2,
            header: &[5, 0, 3, 1, 2, 2],
            data: b"\0t",
            segment: Segment::of(0x1234, 2, 2),
            id: Some(id()),
            options: "link_id=7\n",
        }),
        Record::Mo(Mo {
            at: Wall(9),
            channel: "a",
            from: "1",
            to: "2",
            coding: Coding::Binary,
            header: &[],
            data: &[],
            segment: None,
            id: None,
            options: "",
        }),
        Record::Joined(Joined { at: Wall(9), parts: vec![Some(MessageId(7)), None] }),
        Record::Unbound(Unbound { at: Wall(10) }),
        Record::Batch(Batch {
            at: Wall(11),
            app: "shop",
            count: 3,
            idempotency_key: Some("k"),
            body_hash: [3; 16],
            reasons: vec![("invalid_number", "to: too short"), ("rate_limited", "")],
            rejected: vec![(0, 0), (2, 1)],
        }),
    ]
}

#[test]
fn every_record_reads_back_and_no_cut_of_it_does() {
    for record in samples() {
        let mut octets = Vec::new();
        record.write(&mut octets);
        assert_eq!(Record::read(record.kind(), &octets).as_ref(), Ok(&record));
        for end in 0..octets.len() {
            assert!(Record::read(record.kind(), &octets[..end]).is_err(), "{record:?} cut at {end}");
        }
    }
}

#[test]
fn an_attempt_written_without_its_reason_is_read_still() {
    let attempt =
        Attempt { at: Wall(3), attempt: AttemptRef(9), channel: "a", parts: 3, only: 5, because: Because::default() };
    let mut octets = Vec::new();
    Record::Attempt(attempt.clone()).write(&mut octets);
    octets.truncate(octets.len() - 8);
    assert_eq!(Record::read(kind::ATTEMPT_ALONE, &octets), Ok(Record::Attempt(attempt)));
}

#[test]
fn records_without_options_are_laid_out_as_before_there_were_any() {
    let mut octets = Vec::new();
    let accepted = Accepted { app: "a", callback: true, parts: 3, ..Accepted::default() };
    Record::Accepted(accepted).write(&mut octets);
    assert_eq!((&octets[16..19], octets.len()), (&[1, 3, 0][..], 16 + 3 + 7 * 2 + 1 + 3 * 3 + 16));
    octets.clear();
    let (coding, data) = (Coding::Binary, &b"x"[..]);
    let mo = Mo {
        at: Wall(9),
        channel: "a",
        from: "1",
        to: "2",
        coding,
        header: &[],
        data,
        segment: None,
        id: None,
        options: "",
    };
    Record::Mo(mo).write(&mut octets);
    assert_eq!((octets[8], octets.len()), (Coding::Binary as u8, 8 + 1 + 4 + 3 * 3 + 2 + 3 + 2));
}

#[test]
fn enums_keep_their_octet() {
    for (i, v) in VERDICTS.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    for (i, v) in DOUBTS.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    for (i, v) in STATES.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    for (i, v) in OUTCOMES.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    for (i, v) in CODINGS.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    for (i, v) in EVIDENCES.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
    // The first two were a flag once.
    for (i, v) in TELLINGS.iter().enumerate() {
        assert_eq!(*v as usize, i);
    }
}
