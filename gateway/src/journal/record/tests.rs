use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

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

/// A text as long as it is, or longer than its length can tell, with its last character across that border.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "\\PC{0,20}",
        1 => (65_530usize..65_540, "[a码]{1,9}").prop_map(|(before, last)| "x".repeat(before) + &last),
    ]
}

/// A field as layouts have it, put the plain way.
enum Field<'a> {
    Eight(u64),
    Four(u32),
    Two(u16),
    One(u8),
    Plain(&'a [u8]),
    Text(&'a str),
    Option(Option<&'a str>),
}

use Field::{Eight, Four, One, Plain, Two};

fn laid_out(fields: &[Field<'_>]) -> Vec<u8> {
    let counted = |text: &str| {
        let fits = (0..=text.len().min(65_535)).rev().find(|end| text.is_char_boundary(*end)).unwrap();
        [&(fits as u16).to_le_bytes(), &text.as_bytes()[..fits]].concat()
    };
    let octets = |field: &Field<'_>| match field {
        Eight(value) => value.to_le_bytes().to_vec(),
        Four(value) => value.to_le_bytes().to_vec(),
        Two(value) => value.to_le_bytes().to_vec(),
        One(value) => vec![*value],
        Plain(octets) => octets.to_vec(),
        Field::Text(text) => counted(text),
        Field::Option(text) => [vec![u8::from(text.is_some())], counted(text.unwrap_or_default())].concat(),
    };
    fields.iter().flat_map(octets).collect()
}

fn is_laid_out(record: &Record<'_>, fields: &[Field<'_>]) {
    // Behind what is there.
    let mut out = vec![7; 3];
    record.write(&mut out);
    assert_eq!(out[..3], [7; 3]);
    assert!(out[3..] == laid_out(fields), "{:?}", record.kind());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_message_is_laid_out_as_its_kind_says(
        (at, expires, octets, callback) in (any::<u64>(), any::<u64>(), any::<[u8; 2]>(), any::<bool>()),
        (words, more) in (vec(text(), 7), vec(of(text()), 3)),
        (hash, options) in (any::<[u8; 16]>(), prop_oneof![Just(String::new()), text()]),
    ) {
        let [app, tier, group, kind, to, text, encoding] = std::array::from_fn(|i| &*words[i]);
        let [sender, client_ref, idempotency_key] = std::array::from_fn(|i| more[i].as_deref());
        let ([parts, reserve], body_hash) = (octets, hash);
        let accepted = Accepted { at: Wall(at), expires: Wall(expires), app, tier, group, kind, to, sender, text, client_ref,
            idempotency_key, body_hash, callback, parts, encoding, reserve, options: &options };
        let flags = u8::from(callback) | if options.is_empty() { 0 } else { 0x80 };
        let mut fields = vec![Eight(at), Eight(expires), One(flags), One(parts), One(reserve)];
        fields.extend([app, tier, group, kind, to, text, encoding].map(Field::Text));
        fields.extend([sender, client_ref, idempotency_key].map(Field::Option));
        fields.push(Plain(&hash));
        if !options.is_empty() {
            fields.push(Field::Text(&options));
        }
        is_laid_out(&Record::Accepted(accepted), &fields);
    }

    #[test]
    fn what_happens_to_a_message_is_laid_out_as_its_kind_says(
        (at, attempt, only, number) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>()),
        (one, two, three) in (text(), text(), text()),
        (part, event, flag) in (any::<u8>(), any::<u8>(), any::<bool>()),
        id in vec(any::<u8>(), 0..70),
    ) {
        let (wall, reference) = (Wall(at), AttemptRef(attempt));
        let cause = flag.then_some(Cause::Suspect);
        let because = Because { reason: Reason::Backup, cause, number, other: &two };
        is_laid_out(
            &Record::Attempt(Attempt { at: wall, attempt: reference, channel: &one, parts: part, only, because }),
            &[Eight(at), Eight(attempt), Eight(only), One(part), Field::Text(&one), One(Reason::Backup as u8),
                One(cause.map_or(0, |cause| cause as u8)), Four(number), Field::Text(&two)],
        );
        let answers = [
            (AnswerKind::Submitted(Some(CarrierId::new(&id))), vec![One(0), Two(id.len() as u16), Plain(&id)]),
            (AnswerKind::Submitted(None), vec![One(0), Two(0)]),
            (AnswerKind::Refused(Verdict::Rejected, &one), vec![One(1), One(Verdict::Rejected as u8), Field::Text(&one)]),
            (AnswerKind::Unanswered(Doubt::Acked), vec![One(2), One(Doubt::Acked as u8)]),
        ];
        for (answer, end) in answers {
            let fields: Vec<_> = [Eight(at), Eight(attempt), One(part)].into_iter().chain(end).collect();
            is_laid_out(&Record::Answered(Answered { at: wall, attempt: reference, part, answer }), &fields);
        }
        let (state, code) = (ReceiptState::Expired, two.as_str().into());
        is_laid_out(
            &Record::Receipted(Receipted { at: wall, attempt: reference, part, state, code }),
            &[Eight(at), Eight(attempt), One(part), One(state as u8), Field::Text(&two)],
        );
        let (outcome, evidence) = (OutcomeKind::Expired, Evidence::Answer);
        is_laid_out(
            &Record::Outcome(Outcome { at: wall, outcome, reason: &one, code, evidence, channel: &three, correction: flag }),
            &[Eight(at), One(outcome as u8), One(evidence as u8), One(flag.into()), Field::Text(&one), Field::Text(&two),
                Field::Text(&three)],
        );
        is_laid_out(
            &Record::Called(Called { at: wall, event, end: Telling::Delivered }),
            &[Eight(at), One(event), One(Telling::Delivered as u8)],
        );
    }
}
