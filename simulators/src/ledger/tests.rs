//! Planted files: each kind of fault is found, and clean books pass.

use std::io::Write;

use super::*;

const POST: &str = r#"{"kind":"post","ref":"r1","key":"r1","to":"+8613800000001","tier":"otp","t_ms":1,"result":"accepted","status":202,"id":"m1"}"#;
const SUBMIT: &str = r#"{"kind":"submit","t_ms":5,"carrier":"a","carrier_id":"c1","source":"1069","destination":"8613800000001","text":"x","udh":null,"user_message_reference":null,"parts":1,"answered":true}"#;
const RECEIPT: &str = r#"{"kind":"receipt","carrier":"a","carrier_id":"c1","stat":"DELIVRD","acked":true}"#;
const EVENT: &str = r#"{"kind":"event","webhook_id":"w1","event_id":"e1","type":"message.delivered","message_id":"m1","client_ref":"r1","t_ms":9,"seq":2,"data":{"evidence":"receipt"}}"#;

fn lines(lines: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    file
}

fn judged(client: &[&str], carrier: &[&str], callbacks: &[&str], change: impl FnOnce(&mut Options)) -> Report {
    let files = [lines(client), lines(carrier), lines(callbacks)];
    let [client, carrier, callbacks] = files.each_ref().map(|file| vec![file.path().to_path_buf()]);
    let mut options = Options { client, carrier, callbacks, ..Options::default() };
    change(&mut options);
    check(&options).unwrap()
}

fn plain(client: &[&str], carrier: &[&str], callbacks: &[&str]) -> Report {
    judged(client, carrier, callbacks, |_| {})
}

/// The only finding, and that it names exactly one offender.
fn sole(report: &Report) -> Finding {
    assert_eq!(report.findings.len(), 1, "{report}");
    let (finding, offenders) = report.findings.iter().next().unwrap();
    assert_eq!(offenders.count, 1, "{report}");
    *finding
}

#[test]
fn clean_books_pass() {
    let report = plain(&[POST], &[SUBMIT, RECEIPT], &[EVENT]);
    assert!(report.holds(), "{report}");
    assert_eq!(
        report.to_string(),
        "accepted 1 = delivered 1 + failed 0 + expired 0, lost 0, duplicated 0 (unanswered 0), unknown 0\n"
    );
}

/// CMPP and SMGP carry the eleven digits of a handset alone.
#[test]
fn numbers_without_86_are_the_same() {
    let submit = SUBMIT.replace("8613800000001", "13800000001");
    assert!(plain(&[POST], &[&submit, RECEIPT], &[EVENT]).holds());
    let strange = SUBMIT.replace("8613800000001", "13800000002");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, RECEIPT, &strange], &[EVENT])), Finding::NeverPosted);
}

#[test]
fn repeats_of_one_event_and_corrections_are_fine() {
    let corrected = EVENT.replace("message.delivered", "message.corrected").replace("e1", "e2");
    assert!(plain(&[POST], &[SUBMIT, RECEIPT], &[EVENT, EVENT, &corrected]).holds());
}

#[test]
fn a_message_without_an_end_is_lost_unless_pending_is_allowed() {
    let submitted = EVENT.replace("message.delivered", "message.submitted");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT], &[&submitted])), Finding::Lost);
    let report = judged(&[POST], &[SUBMIT], &[], |options| options.allow_pending = true);
    assert!(report.holds() && report.to_string().contains("+ pending 1, lost 0"), "{report}");
}

#[test]
fn an_event_the_sink_refused_did_not_arrive() {
    let refused = EVENT.replace("\"seq\":2", "\"seq\":2,\"status\":500");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, RECEIPT], &[&refused])), Finding::Lost);
}

#[test]
fn two_ends_are_found() {
    for second in ["message.failed", "message.delivered"] {
        let second = EVENT.replace("message.delivered", second).replace("e1", "e2");
        assert_eq!(sole(&plain(&[POST], &[SUBMIT, RECEIPT], &[EVENT, &second])), Finding::TwoEnds);
    }
}

#[test]
fn what_was_never_posted_is_found() {
    let stray = EVENT.replace("m1", "m9").replace("r1", "r9").replace("e1", "e9");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, RECEIPT], &[EVENT, &stray])), Finding::NeverPosted);
    let stray = SUBMIT.replace("8613800000001", "8613800000099").replace("c1", "c9");
    let report = plain(&[POST], &[SUBMIT, RECEIPT, &stray], &[EVENT]);
    assert_eq!(sole(&report), Finding::NeverPosted);
    assert!(report.to_string().contains("861380*****99") && !report.to_string().contains("8613800000099"), "{report}");
}

#[test]
fn what_was_refused_must_not_go_on() {
    let refused = POST.replace("accepted", "refused").replace("202", "429").replace("\"m1\"", "\"\"");
    assert!(plain(&[&refused], &[], &[]).holds());
    assert_eq!(sole(&plain(&[&refused], &[SUBMIT], &[])), Finding::RefusedYetSent);
    let failed = EVENT.replace("delivered", "failed");
    assert_eq!(sole(&plain(&[&refused], &[], &[&failed])), Finding::RefusedYetEnded);
}

#[test]
fn an_unknown_post_is_absent_or_complete() {
    let unknown = POST.replace("accepted", "unknown").replace("202", "0").replace("\"m1\"", "\"\"");
    assert!(plain(&[&unknown], &[], &[]).holds());
    let whole = plain(&[&unknown], &[SUBMIT, RECEIPT], &[EVENT]);
    assert!(whole.holds() && whole.unknown == 1 && whole.delivered == 0, "{whole}");
    assert_eq!(sole(&plain(&[&unknown], &[SUBMIT], &[])), Finding::HalfDone);
}

#[test]
fn delivered_needs_a_carrier_and_its_receipt() {
    assert_eq!(sole(&plain(&[POST], &[], &[EVENT])), Finding::NeverReached);
    assert_eq!(sole(&plain(&[POST], &[SUBMIT], &[EVENT])), Finding::NoReceipt);
    let failed = RECEIPT.replace("DELIVRD", "UNDELIV");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, &failed], &[EVENT])), Finding::NoReceipt);
    let elsewhere = RECEIPT.replace("\"a\"", "\"b\"");
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, &elsewhere], &[EVENT])), Finding::NoReceipt);
    let by_answer = EVENT.replace("\"receipt\"", "\"answer\"");
    assert!(plain(&[POST], &[SUBMIT], &[&by_answer]).holds());
}

#[test]
fn copies_are_counted_and_bounded() {
    let again = SUBMIT.replace("c1", "c2").replace("\"a\"", "\"b\"").replace("true", "false");
    let report = plain(&[POST], &[SUBMIT, RECEIPT, &again], &[EVENT]);
    assert!(report.holds() && report.duplicates == 1 && report.unanswered == 1, "{report}");
    let judged = |most: Option<u64>, resubmitted: Option<u64>| {
        judged(&[POST], &[SUBMIT, RECEIPT, &again], &[EVENT], |options| {
            (options.max_duplicates, options.resubmitted) = (most, resubmitted);
        })
    };
    assert!(judged(Some(1), Some(1)).holds());
    assert_eq!(sole(&judged(Some(0), None)), Finding::TooManyCopies);
    assert_eq!(sole(&judged(Some(5), Some(0))), Finding::TooManyCopies);
}

fn part(id: &str, reference: u16, seq: u8) -> String {
    let udh = format!(r#"{{"ref":{reference},"total":2,"seq":{seq}}}"#);
    SUBMIT.replace("c1", id).replace("\"udh\":null", &format!("\"udh\":{udh}"))
}

#[test]
fn parts_are_no_copies_and_every_part_needs_its_receipt() {
    let (one, two) = (part("c1", 7, 1), part("c2", 7, 2));
    let receipt = RECEIPT.replace("c1", "c2");
    let whole = plain(&[POST], &[&one, &two, RECEIPT, &receipt], &[EVENT]);
    assert!(whole.holds() && whole.duplicates == 0, "{whole}");
    assert_eq!(sole(&plain(&[POST], &[&one, &two, RECEIPT], &[EVENT])), Finding::NoReceipt);
    assert_eq!(sole(&plain(&[POST], &[&one, RECEIPT], &[EVENT])), Finding::NeverReached);
    // A part sent again under the same reference is no second message; two whole sets are.
    let resent = plain(&[POST], &[&one, &two, &part("c3", 7, 2), RECEIPT, &receipt], &[EVENT]);
    assert_eq!(resent.duplicates, 0);
    let (third, fourth) = (part("c3", 8, 1), part("c4", 8, 2));
    let twice = plain(&[POST], &[&one, &two, &third, &fourth, RECEIPT, &receipt], &[EVENT]);
    assert_eq!(twice.duplicates, 1);
}

#[test]
fn receipts_nobody_took_are_listed_not_judged() {
    let unacked = RECEIPT.replace("true", "false");
    let report = plain(&[POST], &[SUBMIT, &unacked], &[EVENT]);
    assert!(report.holds() && report.receipts_unacked.first == ["a:c1"], "{report}");
}

#[test]
fn an_end_that_contradicts_its_receipts_is_noted() {
    let expired = EVENT.replace("message.delivered", "message.expired");
    let report = plain(&[POST], &[SUBMIT, RECEIPT], &[&expired]);
    assert!(report.holds() && report.contradicted.first == ["m1"], "{report}");
    let corrected = EVENT.replace("message.delivered", "message.corrected").replace("e1", "e2");
    assert_eq!(plain(&[POST], &[SUBMIT, RECEIPT], &[&expired, &corrected]).contradicted.count, 0);
    let failed = RECEIPT.replace("DELIVRD", "UNDELIV");
    assert_eq!(plain(&[POST], &[SUBMIT, &failed], &[&expired]).contradicted.count, 0);
}

#[test]
fn a_broken_pace_is_found() {
    let posts: Vec<String> = (0..30)
        .map(|n| {
            POST.replace("r1", &format!("r{n}x"))
                .replace("m1", &format!("m{n}x"))
                .replace("0001\"", &format!("{n:04}\""))
        })
        .collect();
    let submits: Vec<String> = (0..30)
        .map(|n| {
            SUBMIT
                .replace("\"t_ms\":5", &format!("\"t_ms\":{}", 100 * n))
                .replace("0001\"", &format!("{n:04}\""))
                .replace("c1", &format!("c{n}x"))
        })
        .collect();
    let with = |limit: &str| {
        let posts: Vec<&str> = posts.iter().map(String::as_str).collect();
        let submits: Vec<&str> = submits.iter().map(String::as_str).collect();
        judged(&posts, &submits, &[], |options| {
            options.allow_pending = true;
            options.pace = vec![pace(limit).unwrap()];
        })
    };
    assert!(with("a=9:1").holds() && with("a=10").holds());
    assert_eq!(sole(&with("a=9:0")), Finding::OverPace);
    assert_eq!(sole(&with("b=9")), Finding::NoSuchCarrier);
    assert!(pace("a").is_err() && pace("a=x").is_err());
}

#[test]
fn bad_signatures_and_reused_destinations_are_found() {
    let bad = r#"{"kind":"bad_signature","t_ms":1,"webhook_id":"w7","reason":"no signature fits"}"#;
    assert_eq!(sole(&plain(&[POST], &[SUBMIT, RECEIPT], &[EVENT, bad])), Finding::BadSignature);
    let same = POST.replace("r1", "r2").replace("m1", "m2");
    assert!(plain(&[POST, &same], &[], &[]).findings.contains_key(&Finding::PostedTwice));
}

#[test]
fn the_first_ten_are_named_and_all_are_counted() {
    let posts: Vec<String> = (10..40)
        .map(|n| {
            POST.replace("r1", &format!("r{n}")).replace("m1", &format!("m{n}")).replace("01\"", &format!("{n}\""))
        })
        .collect();
    let report = plain(&posts.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]);
    let lost = &report.findings[&Finding::Lost];
    assert_eq!((lost.count, lost.first.len(), lost.first[0].as_str()), (30, 10, "m10"));
    assert!(report.to_string().starts_with("accepted 30 = delivered 0 + failed 0 + expired 0, lost 30,"), "{report}");
}

#[test]
fn a_torn_last_line_is_forgiven_and_a_bad_one_is_named() {
    let mut carrier = lines(&[SUBMIT, RECEIPT]);
    carrier.write_all(br#"{"kind":"submit","t_"#).unwrap();
    let (client, callbacks) = (lines(&[POST]), lines(&[EVENT]));
    let mut options = Options {
        client: vec![client.path().into()],
        carrier: vec![carrier.path().into()],
        callbacks: vec![callbacks.path().into()],
        ..Options::default()
    };
    assert!(check(&options).unwrap().holds());
    let bad = lines(&[EVENT, "nonsense"]);
    options.callbacks = vec![bad.path().into()];
    let error = check(&options).unwrap_err().to_string();
    assert!(error.contains(":2:"), "{error}");
}

const MO: &str = r#"{"kind":"mo","t_ms":1,"carrier":"a","from":"8613800000001","to":"1069","text":"hi","udh":null,"acked":true,"tries":1}"#;
const RECEIVED: &str = r#"{"kind":"event","webhook_id":"w9","event_id":"u1","type":"message.received","message_id":"u","client_ref":"","t_ms":9,"seq":1,"data":{"from":"+8613800000001","to":"1069","text":"hi","complete":true}}"#;

/// A part of a long uplink message.
fn mo_part(seq: u8, acked: bool) -> String {
    let udh = format!("\"udh\":{{\"ref\":7,\"total\":2,\"seq\":{seq}}}");
    MO.replace("\"udh\":null", &udh).replace("\"acked\":true", &format!("\"acked\":{acked}"))
}

#[test]
fn an_uplink_that_was_taken_is_told_once() {
    let again = RECEIVED.replace("u1", "u2");
    let report = plain(&[], &[MO], &[RECEIVED, RECEIVED]);
    assert!(report.holds() && report.uplinks == 1 && report.to_string().contains("uplinks told 1"), "{report}");
    assert_eq!(sole(&plain(&[], &[MO], &[])), Finding::UplinkLost);
    assert_eq!(sole(&plain(&[], &[MO], &[RECEIVED, &again])), Finding::UplinkTwice);
    assert!(plain(&[], &[MO, MO], &[RECEIVED, &again]).holds(), "the same word twice");
    assert_eq!(sole(&plain(&[], &[], &[RECEIVED])), Finding::UplinkNeverSent);
    let refused = RECEIVED.replace("\"seq\":1", "\"seq\":1,\"status\":500");
    assert_eq!(sole(&plain(&[], &[MO], &[&refused])), Finding::UplinkLost);
    assert!(judged(&[], &[MO], &[], |options| options.allow_pending = true).holds());
}

#[test]
fn an_uplink_whose_answer_never_came_may_be_told_once() {
    let unanswered = MO.replace("\"acked\":true", "\"acked\":false");
    assert!(plain(&[], &[&unanswered], &[]).holds());
    assert!(plain(&[], &[&unanswered], &[RECEIVED]).holds());
}

#[test]
fn a_long_uplink_is_told_joined() {
    let (first, second) = (mo_part(1, true), mo_part(2, true));
    assert!(plain(&[], &[&second, &first], &[RECEIVED]).holds());
    assert_eq!(sole(&plain(&[], &[&first, &second], &[])), Finding::UplinkLost);
    let halves = [RECEIVED.replace("hi", "h"), RECEIVED.replace("hi", "i").replace("u1", "u2")];
    let report = plain(&[], &[&first, &second], &[&halves[0], &halves[1]]);
    assert_eq!(report.findings.keys().collect::<Vec<_>>(), [&Finding::UplinkLost, &Finding::UplinkNeverSent]);
}

#[test]
fn a_long_uplink_with_a_part_that_was_never_sent_is_told_with_gaps() {
    let first = mo_part(1, true);
    let gaps = RECEIVED.replace("\"complete\":true", "\"complete\":false").replace("hi", "h");
    assert!(plain(&[], &[&first], &[&gaps]).holds());
    assert_eq!(sole(&plain(&[], &[&first], &[])), Finding::UplinkLost);
    assert_eq!(sole(&plain(&[], &[], &[&gaps])), Finding::UplinkNeverSent);
}

#[test]
fn an_uplink_from_a_number_without_86_is_known() {
    let bare = |line: &str| line.replace("8613800000001\",\"to\"", "13800000001\",\"to\"");
    assert!(plain(&[], &[&bare(MO)], &[RECEIVED]).holds());
    assert_eq!(sole(&plain(&[], &[&bare(MO)], &[])), Finding::UplinkLost);
    let (first, second) = (bare(&mo_part(1, true)), bare(&mo_part(2, true)));
    assert!(plain(&[], &[&first, &second], &[RECEIVED]).holds());
    let gaps = RECEIVED.replace("\"complete\":true", "\"complete\":false").replace("hi", "h");
    assert!(plain(&[], &[&first], &[&gaps]).holds());
}

#[test]
fn an_unmatched_uplink_is_accounted_for_by_the_gateways_list() {
    let list = lines(&[r#"{"uplinks":[{"to":"1069"}]}"#]);
    let with = |carrier: &[&str]| judged(&[], carrier, &[], |options| options.unmatched = Some(list.path().into()));
    let report = with(&[MO]);
    assert!(report.holds() && report.uplinks_unmatched == 1, "{report}");
    assert_eq!(sole(&with(&[MO, MO])), Finding::UplinkLost);
    assert_eq!(sole(&with(&[&MO.replace("1069", "1070")])), Finding::UplinkLost);
}
