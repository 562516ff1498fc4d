//! What becomes of messages when a channel falls silent, one promise each.

use super::*;
use crate::switch::health::{Cause, State};

pub(super) fn probing() -> Settings {
    let mut settings = settings();
    settings.channels.iter_mut().for_each(|rule| (rule.probes, rule.carrier) = (true, u32::from(rule.id.0)));
    settings
}

pub(super) fn probed(settings: Settings) -> Bench {
    let mut bench = Bench(Switch::new(0));
    let links = [Event::LinkUp(link(0), 8), Event::LinkUp(link(1), 8)];
    bench.at(Time(1), [Event::Plan(settings)].into_iter().chain(links));
    bench
}

/// Octets on channel 0's link stay unacknowledged from `from` on, until `to`.
pub(super) fn silent(bench: &mut Bench, from: u64, to: u64) -> Vec<(u64, Command)> {
    let mut said = Vec::new();
    for ms in (from..=to).step_by(10) {
        let age = Duration::from_millis(ms);
        let told = (ms >= 300 && ms % 50 == 0).then_some(Event::Unacked(link(0), age));
        said.extend(bench.at(at(ms), told).into_iter().map(|command| (ms, command)));
    }
    said
}

fn transitions(said: &[(u64, Command)]) -> Vec<(u64, u16, State, Cause)> {
    let one = |(ms, command): &(u64, Command)| match command {
        Command::Transition(channel, t) => Some((*ms, channel.0, t.to, t.cause)),
        _ => None,
    };
    said.iter().filter_map(one).collect()
}

#[test]
fn a_channel_nobody_acknowledges_is_left_and_its_otp_follow_while_the_link_stands() {
    let mut bench = probed(probing());
    let (otp, _) = bench.sent(message(1, 0, 0, 1));
    let (marketing, _) = bench.sent(message(2, 0, 1, 1));
    let said = silent(&mut bench, 0, 600);
    let moved = transitions(&said);
    assert!(moved.len() == 1 && moved[0].1 == 0 && moved[0].2 == State::Suspect, "{moved:?}");
    assert!((400..=560).contains(&moved[0].0), "{moved:?}");

    let out = bench.at(at(600), [Event::Accepted(message(3, 0, 0, 1))]);
    assert_eq!(starts(&out).first().map(|start| start.1), Some(1), "new messages go to the backup without waiting");
    let failed_over =
        |command: &Command| matches!(command, Command::FailedOver(ChannelId(0), took) if took.as_millis() == 600);
    assert!(out.iter().any(failed_over), "{out:?}");

    let said = silent(&mut bench, 610, 900);
    let doubt = Command::InDoubt(MessageId(1), ChannelId(0), Doubt::Unacked);
    let left = said.iter().find(|(_, command)| *command == doubt).map(|(ms, _)| *ms).unwrap();
    assert!(left >= moved[0].0 + 300, "{left}");
    assert!(said.contains(&(left, Command::Resubmitted(MessageId(1), ChannelId(1)))), "{said:?}");
    assert!(!said.iter().any(|(_, c)| matches!(c, Command::InDoubt(MessageId(2), ..))), "its tier never sends again");

    // Both answers come after all: nothing is left, and nothing more goes out.
    assert_eq!(starts(&bench.end(at(900), otp, &[Answer::Submitted])), []);
    assert_eq!(starts(&bench.end(at(900), marketing, &[Answer::Submitted])), []);
    assert_eq!(bench.0.messages(), 2, "the copies on the backup");
}

#[test]
fn a_message_is_not_left_in_doubt_where_it_could_only_go_back() {
    let mut bench = probed(probing());
    bench.at(Time(2), [Event::Hold(ChannelId(1), true)]);
    bench.sent(message(1, 0, 0, 1));
    let said = silent(&mut bench, 0, 2_000);
    assert!(!said.iter().any(|(_, c)| matches!(c, Command::InDoubt(..) | Command::Start { .. })), "{said:?}");
    assert!(said.iter().any(|(_, command)| *command == Command::Probe(link(0))), "it is asked: {said:?}");
    let out = bench.at(at(2_000), [Event::Accepted(message(2, 0, 0, 1))]);
    assert_eq!(starts(&out).first().map(|start| start.1), Some(0), "a suspect channel is better than none");
    // Now there is another place.
    let out = bench.at(at(2_000), [Event::Hold(ChannelId(1), false)]);
    let more = silent(&mut bench, 2_010, 2_500);
    let all: Vec<Command> = out.into_iter().chain(more.into_iter().map(|(_, command)| command)).collect();
    assert_eq!(starts(&all).first().map(|start| start.1), Some(1), "{all:?}");
}

#[test]
fn an_answer_before_the_second_copy_leaves_spares_it() {
    let mut plan = probing();
    plan.tiers[0].unacked = InDoubt::Resend(Duration::from_secs(30));
    let mut bench = probed(plan);
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    let said = silent(&mut bench, 0, 1_000);
    assert!(said.iter().any(|(_, c)| matches!(c, Command::InDoubt(MessageId(1), ..))), "{said:?}");
    assert_eq!(bench.0.messages(), 1, "it waits");
    bench.end(at(1_000), attempt, &[Answer::Submitted]);
    assert_eq!((bench.0.messages(), bench.0.attempts.len()), (0, 0));
}

#[test]
fn a_refusal_after_all_bars_its_channel_wherever_the_message_is() {
    let refused = [Answer::Refused(Verdict::LinkFault)];
    let hold = |bench: &mut Bench, ms, held: [bool; 2]| {
        let channels = (0..2).map(ChannelId).zip(held);
        starts(&bench.at(at(ms), channels.map(|(channel, held)| Event::Hold(channel, held))))
    };
    // It waits for a channel.
    let mut plan = probing();
    plan.tiers[0].unacked = InDoubt::Resend(Duration::from_secs(5));
    let mut bench = probed(plan);
    let (first, _) = bench.sent(message(1, 0, 0, 1));
    silent(&mut bench, 0, 1_000);
    hold(&mut bench, 1_010, [true, true]);
    assert_eq!(starts(&bench.at(at(7_000), [])), []);
    bench.end(at(7_010), first, &refused);
    assert_eq!(hold(&mut bench, 9_020, [false, true]), [], "it was refused there");
    assert_eq!(hold(&mut bench, 9_030, [true, false]).first().map(|start| start.1), Some(1));

    // It is on its way over another one, which refuses it for now.
    let mut bench = Bench::new();
    let (first, _) = bench.sent(message(1, 0, 0, 1));
    let out = bench.at(at(2_500), []);
    let (second, channel, _) = starts(&out)[0];
    assert_eq!(channel, 1);
    bench.at(at(2_500), [Event::Started(second, 1)]);
    bench.end(at(2_600), first, &refused);
    let mut out = bench.end(at(2_700), second, &[Answer::Refused(Verdict::Retry)]);
    for ms in (2_800..20_000).step_by(100) {
        out.extend(bench.at(at(ms), []));
    }
    assert_eq!(starts(&out).first().map(|start| start.1), Some(1), "{out:?}");
}

#[test]
fn one_message_that_waits_too_long_gets_one_more_attempt_and_no_third() {
    let mut bench = Bench::new();
    let (first, channel) = bench.sent(message(1, 0, 0, 1));
    assert_eq!(channel, 0);
    let out = bench.at(at(1_190), []);
    assert_eq!(starts(&out), [], "never before 1.2 s");
    let out = bench.at(at(2_500), []);
    assert!(out.contains(&Command::Hedged(MessageId(1), ChannelId(0))), "{out:?}");
    let (second, channel, _) = starts(&out)[0];
    assert_eq!(channel, 1);
    bench.at(at(2_500), [Event::Started(second, 1)]);
    let mut later = Vec::new();
    for ms in (2_600..9_000).step_by(100) {
        later.extend(starts(&bench.at(at(ms), [])));
    }
    assert_eq!(later, [], "one more, not two");
    // The first carrier has it: what the second says changes nothing.
    bench.end(at(9_000), first, &[Answer::Submitted]);
    assert_eq!(bench.end(at(9_000), second, &[Answer::Refused(Verdict::Retry)]), []);
    assert_eq!((bench.0.messages(), bench.0.attempts.len()), (0, 0));
}

#[test]
fn a_link_nobody_acknowledges_keeps_nobody_awake_once_nothing_is_in_flight() {
    let mut settings = probing();
    settings.channels.iter_mut().for_each(|rule| rule.probes = false);
    let mut bench = probed(settings);
    let (sent, _) = bench.sent(message(1, 0, 1, 1));
    let said = silent(&mut bench, 0, 900);
    assert!(said.iter().any(|(_, command)| matches!(command, Command::Transition(ChannelId(0), _))), "{said:?}");
    let ticket = Ticket::new(sent, 0);
    bench.at(at(901), [Event::Answer(ticket, Answer::Unanswered(Doubt::Acked)), Event::Freed(ticket)]);
    assert_eq!(bench.0.messages(), 0);
    let mut wakes = 0;
    while let Some(deadline) = bench.0.deadline().filter(|_| wakes < 200) {
        bench.at(deadline, []);
        wakes += 1;
    }
    assert!(wakes < 30, "{wakes} wakes with nothing to do");
}
