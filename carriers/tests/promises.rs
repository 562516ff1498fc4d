//! What every session promises, whatever it speaks: one test per promise, run for every protocol in `PROTOCOLS`.

use std::time::Duration;

use crate::far::{Case, Heard, Say, Talk, WINDOW, Word, each, probes, receives, sends};
use carriers::{Event, Fault, Input, PROTOCOLS, PathId, Payload, Settle};
use proptest::prelude::*;

const NANO: Duration = Duration::from_nanos(1);

/// 1. Each ticket ends in exactly one of Submitted, Refused, Unanswered.
#[test]
fn each_ticket_ends_exactly_once() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let (accepted, a) = talk.submit_heard();
        let (refused, r) = talk.submit_heard();
        let (unanswered, u) = talk.submit_heard();
        // Out of order, twice, and to nothing.
        for say in [Say::Refuse(r), Say::Accept(a, "1f"), Say::Accept(a, "20"), Say::Refuse(a), Say::Accept(9999, "1")]
        {
            talk.say(say);
        }
        talk.wait(case.answer);
        talk.say(Say::Accept(u, "21"));
        let (lost, _) = talk.submit_heard();
        talk.input(Input::Lost);
        assert_eq!(talk.ends(), [refused, accepted, unanswered, lost]);
        assert_eq!(talk.fault, Some(Fault::Closed));
        assert!(talk.events.iter().any(|e| matches!(e, Event::Submitted(t, Some(_)) if *t == accepted)));
        assert!(talk.events.iter().any(|e| matches!(e, Event::Refused(t, _) if *t == refused)));
    });
}

/// 1b. Parts and words given together, with one drain after all of them, are as good as one by one.
#[test]
fn what_is_given_together_is_sent_in_its_order() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let tickets = talk.submit_together(WINDOW as u64);
        assert_eq!(talk.session.room(), 0);
        let heard: Vec<_> = talk
            .heard
            .iter()
            .filter_map(|h| if let Heard::Submit(serial) = h { Some(*serial) } else { None })
            .collect();
        assert_eq!(heard.len(), tickets.len());
        heard.into_iter().for_each(|serial| talk.say(Say::Accept(serial, "1f")));
        assert_eq!(talk.ends(), tickets);
    });
    each(receives, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let serials = [71, 72, 73, 74];
        serials.into_iter().for_each(|serial| talk.say(Say::Mo(serial, "hello")));
        let told = talk.inbounds();
        talk.together(told.iter().map(|inbound| Input::Settle(*inbound, Settle::Durable)).collect());
        let settled = talk.heard.iter().filter(|h| matches!(h, Heard::Settled(..)));
        assert!(settled.eq(serials.map(|serial| Heard::Settled(serial, Word::Yes)).iter()), "{:?}", talk.heard);
    });
}

/// 2. Nothing is submitted before Bound.
#[test]
fn nothing_is_submitted_before_bound() {
    each(sends, |case, leg| {
        let mut talk = Talk::new(case, leg);
        let early = talk.submit();
        assert_eq!((talk.session.room(), talk.transmitted.len()), (0, 0));
        talk.input(Input::Opened);
        let binding = talk.submit();
        let [Heard::Bind(serial)] = talk.heard[..] else { panic!("{:?}", talk.heard) };
        assert_eq!(talk.session.room(), 0);
        assert_eq!(talk.ends(), [early, binding]);
        assert!(talk.events.contains(&Event::Unanswered(binding, u64::MAX)), "certainly unsent");
        talk.say(Say::BindYes(serial));
        assert_eq!(talk.events.last(), Some(&Event::Bound(WINDOW)));
        talk.submit_heard();
    });
}

/// 2b. A refused bind ends the session, and says so.
#[test]
fn a_refused_or_unanswered_bind_is_a_fault() {
    each(
        |_| true,
        |case, leg| {
            let mut talk = Talk::new(case, leg);
            talk.input(Input::Opened);
            if case.is_dialled(leg) {
                talk.say(Say::BindWrongly(901));
                assert_eq!(talk.heard, [Heard::BindAnswer(901, false)]);
            } else {
                let [Heard::Bind(serial)] = talk.heard[..] else { panic!("{:?}", talk.heard) };
                talk.say(Say::BindNo(serial));
            }
            assert!(matches!(talk.fault, Some(Fault::BindRefused { permanent: true, .. })), "{:?}", talk.fault);
            assert!(talk.closed);

            let mut talk = Talk::new(case, leg);
            talk.input(Input::Opened);
            talk.wait(case.bind - NANO);
            assert_eq!(talk.fault, None);
            talk.wait(NANO);
            assert_eq!(talk.fault, Some(Fault::BindTimeout));
        },
    );
}

/// The window where a channel names none: as each book has it, SMPP's by use.
#[test]
fn windows_are_those_of_the_books() {
    let windows: Vec<_> = PROTOCOLS.iter().map(|protocol| (protocol.name(), protocol.window())).collect();
    assert_eq!(windows, [("smpp", 10), ("cmpp", 16), ("sgip", 32), ("smgp", 16)]);
}

/// 3. Slots in use never exceed the window.
#[test]
fn slots_in_use_never_exceed_the_window() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        assert_eq!(talk.session.room(), WINDOW);
        let open: Vec<_> = (1..=WINDOW)
            .map(|used| {
                let (_, serial) = talk.submit_heard();
                assert_eq!(talk.session.room(), WINDOW - used);
                serial
            })
            .collect();
        let heard = talk.heard.len();
        let surplus = talk.submit();
        assert_eq!((talk.heard.len(), talk.ends()), (heard, vec![surplus]), "never transmitted, and told so");
        assert_eq!(talk.session.room(), 0);
        talk.say(Say::Accept(open[2], "1"));
        assert_eq!(talk.session.room(), 1);
    });
}

/// A leg that only receives offers no room and transmits no submit.
#[test]
fn a_receiving_leg_never_submits() {
    each(
        |role| !sends(role),
        |case, leg| {
            let mut talk = Talk::bound(case, leg);
            assert_eq!(talk.session.room(), 0);
            talk.submit();
            assert_eq!((talk.heard.len(), talk.ends().len()), (0, 1));
        },
    );
}

/// 4. A receipt or MO is answered on the wire only after Settle, with the gateway's word.
#[test]
fn receipt_waits_for_settle() {
    each(receives, |case, leg| {
        let words =
            [(Settle::Durable, Word::Yes), (Settle::Later, Word::Later), (Settle::Refused("no".into()), Word::No)];
        for (settle, word) in words {
            let mut talk = Talk::bound(case, leg);
            talk.say(Say::Receipt(71, "1f"));
            talk.say(Say::Mo(72, "hello"));
            talk.wait(case.answer);
            let [receipt, mo] = talk.inbounds()[..] else { panic!("{:?}", talk.events) };
            assert!(!talk.heard.iter().any(|h| matches!(h, Heard::Settled(..))), "answered before Settle");
            talk.input(Input::Settle(mo, settle.clone()));
            talk.input(Input::Settle(mo, settle.clone()));
            talk.input(Input::Settle(receipt, settle));
            let answers: Vec<_> = talk.heard.iter().filter(|h| matches!(h, Heard::Settled(..))).collect();
            assert_eq!(answers, [&Heard::Settled(72, word), &Heard::Settled(71, word)]);
        }
    });
}

/// 4b. Beyond 512 unsettled the carrier hears "later", the gateway nothing, and reading goes on.
#[test]
fn a_full_backlog_answers_later_and_keeps_reading() {
    each(receives, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        for serial in 1..=600 {
            talk.say(Say::Mo(serial, "hello"));
        }
        talk.say(Say::Receipt(699, "1f"));
        talk.say(Say::Probe(700));
        let told = talk.inbounds();
        assert_eq!(told.len(), carriers::inbound::LIMIT);
        let later = talk.heard.iter().filter(|h| matches!(h, Heard::Settled(_, Word::Later))).count();
        assert_eq!((later, talk.heard.last()), (601 - told.len(), Some(&Heard::ProbeAnswer(700))));
        talk.input(Input::Settle(told[0], Settle::Durable));
        talk.say(Say::Mo(701, "hello"));
        assert_eq!(talk.inbounds().len(), told.len() + 1);
    });
}

/// 5. The answer deadline is kept to the tick, and the link lives on.
#[test]
fn the_answer_deadline_is_kept_to_the_tick() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let (first, _) = talk.submit_heard();
        let end = talk.transmitted.len() as u64;
        let due = talk.now.mono + case.answer;
        talk.jump(talk.now.mono + Duration::from_millis(1));
        let (second, serial) = talk.submit_heard();
        assert_eq!(talk.session.deadline(), Some(due));
        talk.jump(due - NANO);
        talk.input(Input::Tick);
        assert_eq!(talk.ends(), []);
        talk.jump(due);
        talk.input(Input::Tick);
        assert_eq!(talk.events, [Event::Unanswered(first, end), Event::Freed(first)]);
        talk.say(Say::Accept(serial, "1f"));
        assert_eq!((talk.ends(), talk.fault.clone()), (vec![first, second], None));
        assert_eq!(talk.session.room(), WINDOW);
    });
}

/// 6. Silence beyond the keepalive limit ends in a Fault; any sign of life puts it off.
#[test]
fn silence_beyond_the_keepalive_is_a_fault() {
    each(
        |_| true,
        |case, leg| {
            if !probes(case, leg) {
                return;
            }
            let mut talk = Talk::bound(case, leg);
            talk.wait(case.silence - NANO);
            assert!(talk.heard.iter().any(|h| matches!(h, Heard::Probe(_))), "probed first");
            talk.say(Say::Probe(5));
            talk.wait(case.silence - NANO);
            assert_eq!(talk.fault, None);
            talk.wait(NANO);
            assert_eq!((talk.fault.clone(), talk.closed), (Some(Fault::Silent), true));
        },
    );
}

/// 6b. A probe asked for is sent at once and its answer told; without one, silence ends the link.
#[test]
fn a_probe_is_answered_or_ends_in_silence() {
    each(
        |_| true,
        |case, leg| {
            if !probes(case, leg) {
                return;
            }
            let mut talk = Talk::bound(case, leg);
            talk.input(Input::Probe);
            let [Heard::Probe(first)] = talk.heard[..] else { panic!("{:?}", talk.heard) };
            talk.say(Say::ProbeAnswer(first));
            assert_eq!(talk.events, [Event::ProbeAnswered]);
            talk.input(Input::Probe);
            talk.wait(case.answer);
            assert_eq!(talk.fault, Some(Fault::Silent));
        },
    );
}

/// 6e. Also while a link finishes what is open on it: else a slow answer would look like a carrier that is gone.
#[test]
fn a_link_that_finishes_still_asks_for_a_sign_of_life() {
    each(sends, |case, leg| {
        if !probes(case, leg) {
            return;
        }
        let mut talk = Talk::bound(case, leg);
        talk.submit_heard();
        talk.input(Input::Unbind);
        talk.input(Input::Probe);
        let Some(Heard::Probe(first)) = talk.heard.last().copied() else { panic!("{:?}", talk.heard) };
        talk.say(Say::ProbeAnswer(first));
        assert_eq!((talk.events.last(), talk.fault.clone()), (Some(&Event::ProbeAnswered), None));
    });
}

/// 6c. Without probes, a link on which nothing happens is closed, or says goodbye where it is ours; anything puts it off.
#[test]
fn a_link_without_probes_rests_for_a_while_only() {
    each(
        |_| true,
        |case, leg| {
            if probes(case, leg) {
                return;
            }
            let quiet = if case.is_dialled(leg) { Duration::from_secs(120) } else { case.silence };
            let mut talk = Talk::bound(case, leg);
            talk.input(Input::Probe);
            talk.wait(quiet - NANO);
            assert_eq!((talk.heard.len(), talk.fault.clone()), (0, None));
            talk.say(Say::Probe(5));
            talk.wait(quiet - NANO);
            assert_eq!((&talk.heard[..], talk.fault.clone()), (&[Heard::ProbeAnswer(5)][..], None));
            talk.wait(NANO);
            let goodbye = matches!(talk.heard.last(), Some(Heard::Unbind(_)));
            assert!(goodbye != case.is_dialled(leg) && talk.session.room() == 0);
            talk.wait(case.bind);
            assert_eq!((talk.fault.clone(), talk.closed), (Some(Fault::Closed), true));
        },
    );
}

/// 6d. What is open is no rest.
#[test]
fn a_link_that_waits_for_an_answer_does_not_rest() {
    each(sends, |case, leg| {
        if probes(case, leg) {
            return;
        }
        let mut talk = Talk::bound(case, leg);
        talk.wait(case.silence - NANO);
        talk.submit();
        talk.wait(case.answer + case.silence - NANO);
        assert!(!talk.heard.iter().any(|heard| matches!(heard, Heard::Unbind(_))), "{:?}", talk.heard);
        talk.wait(NANO);
        assert!(matches!(talk.heard.last(), Some(Heard::Unbind(_))));
    });
}

/// 7. A PDU that is bad but whole costs one nack, not the link.
#[test]
fn a_bad_pdu_costs_one_nack() {
    each(
        |_| true,
        |case, leg| {
            for bad in [Say::Unreadable(31), Say::Unknown(32)] {
                let mut talk = Talk::bound(case, leg);
                talk.say(bad);
                assert_eq!((&talk.heard[..], talk.fault.clone()), (&[Heard::Nack][..], None));
                assert!(matches!(talk.events[..], [Event::Leniency(_)]), "{:?}", talk.events);
                talk.say(Say::Probe(33));
                assert_eq!(talk.heard.last(), Some(&Heard::ProbeAnswer(33)));
            }
        },
    );
}

/// 7b. A broken stream costs the link: what is open is reported, a nack is the last word.
#[test]
fn a_broken_stream_costs_the_link() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let (ticket, _) = talk.submit_heard();
        talk.say(Say::Broken);
        assert!(matches!(talk.fault, Some(Fault::Broken(_))));
        assert_eq!((talk.heard.last(), talk.ends(), talk.closed), (Some(&Heard::Nack), vec![ticket], true));
        talk.say(Say::Probe(1));
    });
}

/// 8. Unbind waits for what is open, answers and settlements both, then closes.
#[test]
fn unbind_waits_for_what_is_open() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let (ticket, serial) = talk.submit_heard();
        if receives(case.profile().legs()[leg].role) {
            talk.say(Say::Mo(8, "hello"));
        }
        talk.input(Input::Unbind);
        assert_eq!(talk.session.room(), 0);
        talk.say(Say::Accept(serial, "1f"));
        for inbound in talk.inbounds() {
            assert!(!talk.heard.iter().any(|h| matches!(h, Heard::Unbind(_))), "unbound with an MO unsettled");
            talk.input(Input::Settle(inbound, Settle::Durable));
        }
        let Some(Heard::Unbind(goodbye)) = talk.heard.last().copied() else { panic!("{:?}", talk.heard) };
        assert_eq!((talk.ends(), talk.closed), (vec![ticket], false));
        talk.say(Say::UnbindAnswer(goodbye));
        assert_eq!((talk.fault.clone(), talk.closed), (Some(Fault::Closed), true));
    });
}

/// 8b. What stays open is reported Unanswered, and the end comes whatever the far side does.
#[test]
fn unbind_is_bounded() {
    each(
        |_| true,
        |case, leg| {
            let mut talk = Talk::bound(case, leg);
            let open: Vec<_> = (0..talk.session.room()).map(|_| talk.submit()).collect();
            if receives(case.profile().legs()[leg].role) {
                talk.say(Say::Mo(8, "hello"));
            }
            talk.input(Input::Unbind);
            talk.wait(case.answer + case.bind);
            assert_eq!((talk.ends(), talk.fault.clone(), talk.closed), (open, Some(Fault::Closed), true));
        },
    );
}

/// 8c. The far side's goodbye is answered, and what is open is reported first.
#[test]
fn the_far_sides_unbind_is_answered() {
    each(sends, |case, leg| {
        let mut talk = Talk::bound(case, leg);
        let (ticket, _) = talk.submit_heard();
        talk.say(Say::Unbind(77));
        assert_eq!((talk.heard.last(), talk.ends()), (Some(&Heard::UnbindAnswer(77)), vec![ticket]));
        assert_eq!((talk.fault.clone(), talk.closed), (Some(Fault::Unbound), true));
    });
}

/// 9. Octets split at any point or glued together give the same outputs.
#[test]
fn any_split_gives_the_same_outputs() {
    each(
        |_| true,
        |case, leg| {
            let opened = || {
                let mut talk = Talk::bound(case, leg);
                let serials: Vec<_> = (0..talk.session.room()).map(|_| talk.submit_heard().1).collect();
                (talk, serials)
            };
            let (talk, serials) = opened();
            let mut says =
                vec![Say::Probe(1), Say::Receipt(2, "1f"), Say::Unreadable(3), Say::Mo(4, "hi"), Say::Unknown(5)];
            says.extend(serials.iter().map(|serial| Say::Accept(*serial, "2a")));
            says.push(Say::Unbind(6));
            let stream: Vec<u8> = says.into_iter().flat_map(|say| talk.far.say(say)).collect();
            let heard = |chunks: &mut dyn Iterator<Item = &[u8]>| {
                let (mut talk, _) = opened();
                chunks.for_each(|chunk| talk.octets(chunk));
                (talk.events, talk.transmitted, talk.fault, talk.closed)
            };
            let whole = heard(&mut [&stream[..]].into_iter());
            assert_eq!(whole.2, Some(Fault::Unbound));
            for at in 0..=stream.len() {
                let (a, b) = stream.split_at(at);
                assert_eq!(heard(&mut [a, b].into_iter()), whole, "split at {at}");
            }
            for size in [1, 2, 3, 7] {
                assert_eq!(heard(&mut stream.chunks(size)), whole, "chunks of {size}");
            }
        },
    );
}

/// The most memory a bound session holds while it takes `stream` in chunks and everything it says is dropped at once.
fn held(case: &Case, leg: usize, stream: &[u8], chunk: usize) -> usize {
    let Talk { mut session, now, .. } = Talk::bound(case, leg);
    let info = allocation_counter::measure(|| {
        for octets in stream.chunks(chunk) {
            let ended = session.input(now, Input::Octets(PathId(0), Payload::octets(octets))).is_err();
            while session.output().is_some() {}
            if ended {
                break;
            }
        }
    });
    info.bytes_max.try_into().unwrap()
}

/// 10. No flood makes it hold more than four times what came in plus 64 KiB.
#[test]
fn memory_follows_what_came_in() {
    let wide = "\u{1}\u{80}".repeat(40);
    let floods = [
        Say::Mo(1, ""),
        Say::Mo(1, &wide),
        Say::Receipt(1, "1f"),
        Say::Probe(1),
        Say::ProbeAnswer(1),
        Say::Accept(1, "1f"),
        Say::Unreadable(1),
        Say::Unknown(1),
        Say::UnbindAnswer(1),
    ];
    each(
        |_| true,
        |case, leg| {
            let far = (case.far)();
            for flood in floods {
                let stream = far.say(flood).repeat(4000);
                for chunk in [64, 1460, 16 << 10, stream.len()] {
                    let held = held(case, leg, &stream, chunk);
                    let allowed = 4 * chunk.min(stream.len()) + (64 << 10);
                    assert!(held <= allowed, "{held} held for {chunk} of {flood:?}, {allowed} allowed");
                }
            }
        },
    );
}

/// A PDU that never ends is held once, whatever its length claims.
#[test]
fn a_claimed_length_is_not_believed_in_advance() {
    each(
        |_| true,
        |case, leg| {
            let mut stream = (60_u32 << 10).to_be_bytes().to_vec();
            assert!(held(case, leg, &stream, 1) < 1024);
            stream.resize(50 << 10, 0);
            assert!(held(case, leg, &stream, 100) <= 4 * stream.len());
        },
    );
}

/// What is done to octets on their way.
#[derive(Clone, Debug)]
enum Harm {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    /// A lying length, status or sequence number: four octets in one place.
    Word(usize, u32),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = 0_usize..2000;
    let word = prop_oneof![any::<u32>(), 0_u32..64, Just(u32::MAX)];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, to)| Harm::Set(at, to)),
        (at.clone(), any::<u8>()).prop_map(|(at, to)| Harm::Insert(at, to)),
        at.clone().prop_map(Harm::Remove),
        at.clone().prop_map(Harm::Cut),
        (at, word).prop_map(|(at, to)| Harm::Word(at / 4 * 4, to)),
    ]
}

fn harmed(mut stream: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        let within = |at: usize| at % stream.len().max(1);
        match *harm {
            _ if stream.is_empty() => return stream,
            Harm::Set(at, to) => {
                let at = within(at);
                stream[at] = to;
            }
            Harm::Insert(at, to) => stream.insert(within(at), to),
            Harm::Remove(at) => drop(stream.remove(within(at))),
            Harm::Cut(at) => stream.truncate(within(at)),
            Harm::Word(at, to) => {
                let at = within(at);
                stream.iter_mut().skip(at).zip(to.to_be_bytes()).for_each(|(octet, to)| *octet = to);
            }
        }
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// 10b. Harmed octets never make it panic, lose a ticket or go on after its end.
    #[test]
    fn harmed_octets_lose_no_ticket(harms in prop::collection::vec(harm(), 0..6), chunk in 1_usize..200, early in any::<bool>()) {
        each(sends, |case, leg| {
            let mut talk = if early { Talk::new(case, leg) } else { Talk::bound(case, leg) };
            let tickets: Vec<_> = (0..WINDOW).map(|_| talk.submit()).collect();
            let says = [
                Say::Accept(2, "1f"), Say::Probe(1), Say::Receipt(2, "1f"), Say::Mo(4, "hi"), Say::Refuse(3),
                Say::ProbeAnswer(9), Say::Accept(5, "20"), Say::BindYes(1), Say::Unknown(3), Say::Accept(4, "21"),
            ];
            let stream: Vec<u8> = says.into_iter().flat_map(|say| talk.far.say(say)).collect();
            for octets in harmed(stream, &harms).chunks(chunk) {
                talk.octets(octets);
                talk.wait(Duration::from_millis(100));
            }
            talk.input(Input::Lost);
            let mut ends = talk.ends();
            ends.sort_unstable();
            assert_eq!(ends, tickets);
        });
    }

    /// 10c. Nor do octets that never were a PDU.
    #[test]
    fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..400), short in any::<bool>()) {
        each(|_| true, |case, leg| {
            let mut talk = Talk::bound(case, leg);
            if short {
                // A length that is true, so that the rest is looked at.
                talk.octets(&(octets.len() as u32 + 4).to_be_bytes());
            }
            talk.octets(&octets);
            talk.input(Input::Lost);
            assert!(talk.fault.is_some());
        });
    }
}
