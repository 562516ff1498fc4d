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
    assert_eq!((bench.0.messages(), bench.0.attempts.values().count()), (0, 0));
}

#[test]
fn a_refusal_after_all_bars_its_channel_wherever_the_message_is() {
    let refused = [Answer::Refused(Verdict::LinkFault)];
    let hold = |bench: &mut Bench, ms, held: [bool; 2]| {
        let channels = (0..2).map(ChannelId).zip(held);
        starts(&bench.at(at(ms), channels.map(|(channel, held)| Event::Hold(channel, held))))
    };
    // It waits for a channel; also where nobody can say what became of another part.
    let unsure = [refused[0].clone(), Answer::Unanswered(Doubt::Acked)];
    for answers in [&refused[..], &unsure[..]] {
        let mut plan = probing();
        plan.tiers[0].unacked = InDoubt::Resend(Duration::from_secs(5));
        let mut bench = probed(plan);
        let (first, _) = bench.sent(message(1, 0, 0, answers.len() as u8));
        silent(&mut bench, 0, 1_000);
        hold(&mut bench, 1_010, [true, true]);
        assert_eq!(starts(&bench.at(at(7_000), [])), []);
        bench.end(at(7_010), first, answers);
        assert_eq!(hold(&mut bench, 9_020, [false, true]), [], "it was refused there");
        assert_eq!(hold(&mut bench, 9_030, [true, false]).first().map(|start| start.1), Some(1));
    }

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
    assert_eq!((bench.0.messages(), bench.0.attempts.values().count()), (0, 0));
}

#[test]
fn shares_are_those_of_channels_in_service() {
    let mut plan = probing();
    plan.groups[0].strategy = Strategy::Weighted(vec![1, 1, 1]);
    plan.groups[0].channels.push(ChannelId(2));
    plan.channels.push(ChannelRule { id: ChannelId(2), carrier: 2, ..plan.channels[1].clone() });
    let mut bench = probed(plan);
    bench.at(Time(2), [Event::LinkUp(link(2), 2_000), Event::LinkUp(link(1), 2_000)]);
    let whys = |bench: &mut Bench, ms, ids: std::ops::Range<u64>| -> Vec<(u16, u32)> {
        let out = bench.at(at(ms), ids.map(|id| Event::Accepted(message(id, 0, 1, 1))));
        let weighted = |command: &Command| match command {
            Command::Start { link, why, .. } if why.reason == Reason::Weighted => Some((link.channel, why.number)),
            _ => None,
        };
        out.iter().filter_map(weighted).collect()
    };
    let (first, channel) = bench.sent(message(1, 0, 1, 1));
    assert_eq!(channel, 0);
    let said = silent(&mut bench, 0, 600);
    assert!(transitions(&said).iter().any(|(_, channel, to, _)| (*channel, *to) == (0, State::Suspect)), "{said:?}");
    let seen = whys(&mut bench, 600, 10..30);
    assert!(seen.len() > 5 && seen.iter().all(|(channel, share)| *channel > 0 && *share == 50), "{seen:?}");
    bench.end(at(601), first, &[Answer::Submitted]);
}

#[test]
fn missing_parts_that_follow_late_are_no_message_that_waits_too_long() {
    let mut bench = Bench::new();
    // While the oldest waits, nobody behind it is looked at.
    bench.sent(message(2, 0, 0, 1));
    let (attempt, _) = bench.sent(message(1, 0, 0, 2));
    let refused = Answer::Refused(Verdict::Throttled);
    let out = bench.end(at(2_000), attempt, &[Answer::Submitted, refused]);
    let out = if starts(&out).is_empty() { bench.at(at(2_400), []) } else { out };
    assert_eq!(starts(&out), [(attempt, 0, 0b10)], "the second part follows");
    bench.at(at(2_400), [Event::Started(attempt, 1)]);
    let mut hedged = Vec::new();
    for ms in [2_500, 2_600, 3_000, 3_500] {
        hedged.extend(bench.at(at(ms), []).into_iter().filter(|command| matches!(command, Command::Hedged(..))));
    }
    assert_eq!(hedged, [Command::Hedged(MessageId(2), ChannelId(0))]);
}

#[test]
fn a_refusal_after_all_ends_no_wait_for_another_attempt() {
    let mut plan = probing();
    plan.tiers[0].acked = InDoubt::Resend(Duration::from_secs(30));
    let mut bench = probed(plan);
    let (first, _) = bench.sent(message(1, 0, 0, 1));
    let said: Vec<Command> = silent(&mut bench, 0, 1_000).into_iter().map(|(_, command)| command).collect();
    let (second, channel, _) = starts(&said)[0];
    assert_eq!(channel, 1);
    bench.at(at(1_000), [Event::Started(second, 1)]);
    bench.end(at(1_100), second, &[Answer::Unanswered(Doubt::Acked)]);
    let mut out = bench.end(at(1_200), first, &[Answer::Refused(Verdict::Retry)]);
    for ms in (1_300..31_100).step_by(100) {
        out.extend(bench.at(at(ms), []));
    }
    assert_eq!(starts(&out), [], "the second may have arrived");
    assert_eq!(starts(&bench.at(at(31_100), [])).len(), 1);
}

#[test]
fn an_attempt_does_not_stand_once_its_link_was_lost_before_it_was_handed_over() {
    let mut bench = probed(Settings { health: carefree(), ..settings() });
    bench.at(NOW, [Event::Hold(ChannelId(1), true)]);
    let out = bench.at(NOW, [Event::Accepted(message(1, 0, 0, 2))]);
    let (attempt, ..) = starts(&out)[0];
    assert!(bench.0.stands(attempt));
    bench.at(at(1), [Event::LinkDown(link(0)), Event::LinkUp(link(0), 8)]);
    assert!(!bench.0.stands(attempt), "the new connection has no slots for it");
    let out = bench.at(at(2), [Event::NotStarted(attempt, NotStarted::Retry)]);
    let out = if starts(&out).is_empty() { bench.at(at(30), []) } else { out };
    let (again, ..) = starts(&out)[0];
    assert!(again != attempt && bench.0.stands(again));
    assert_eq!(bench.0.channel(at(30), ChannelId(0)).map(|view| view.in_flight), Some(2));
    bench.at(at(30), [Event::Started(again, 1)]);
    assert!(!bench.0.stands(AttemptRef(1)));
}

#[test]
fn what_goes_on_after_a_receipt_is_in_the_switch_once() {
    let mut plan = settings();
    plan.tiers[0].acked = InDoubt::Resend(Duration::from_secs(30));
    for wait in [0, 30_000] {
        let mut bench = probed(plan.clone());
        let (attempt, _) = bench.sent(message(1, 0, 0, 1));
        bench.at(at(1), [Event::Hold(ChannelId(1), true), Event::Hold(ChannelId(0), true)]);
        bench.end(at(2), attempt, &[Answer::Unanswered(Doubt::Acked)]);
        bench.at(at(2 + wait), []);
        assert_eq!(bench.0.messages(), 1, "it waits");
        let doubtful = true;
        let excluded = vec![ChannelId(0)];
        let news = Recovered { message: message(1, 0, 0, 1), refused: 1, excluded, in_doubt: None, doubtful };
        bench.at(at(3 + wait), [Event::Again(news)]);
        assert_eq!(bench.0.messages(), 1, "after {wait} ms");
        let out = bench.at(at(4 + wait), [Event::Hold(ChannelId(1), false)]);
        assert_eq!(starts(&out).iter().map(|start| start.1).collect::<Vec<_>>(), [1]);
    }
}

/// The carrier took two parts, said by receipt that it could not deliver the third, and answers that one last.
#[test]
fn what_goes_on_after_a_receipt_is_not_stopped_by_a_late_answer() {
    for held in [true, false] {
        let mut plan = probing();
        plan.tiers[0].unacked = InDoubt::Resend(Duration::from_secs(30));
        let mut bench = probed(plan);
        let (first, _) = bench.sent(message(1, 0, 0, 3));
        let said = silent(&mut bench, 0, 1_000);
        assert!(said.iter().any(|(_, c)| matches!(c, Command::InDoubt(MessageId(1), ..))), "{said:?}");
        bench.end(at(1_010), first, &[Answer::Submitted, Answer::Submitted]);
        bench.at(at(1_010), [Event::Hold(ChannelId(1), held), Event::Concluded(MessageId(1))]);
        let excluded = vec![ChannelId(0)];
        let news = Recovered { message: message(1, 0, 0, 3), refused: 1, excluded, in_doubt: None, doubtful: true };
        let out = bench.at(at(1_010), [Event::Again(news)]);
        assert_eq!(starts(&out).len(), usize::from(!held));
        let third = Ticket::new(first, 2);
        let mut out: Vec<Command> = out
            .into_iter()
            .chain(bench.at(at(1_020), [Event::Answer(third, Answer::Submitted), Event::Freed(third)]))
            .collect();
        out.extend(bench.at(at(1_030), [Event::Hold(ChannelId(1), false)]));
        let started = starts(&out);
        assert_eq!((started.len(), started[0].1), (1, 1), "{out:?}");
        bench.at(at(1_030), [Event::Started(started[0].0, 3)]);
        let out = bench.end(at(1_040), started[0].0, &[const { Answer::Refused(Verdict::Rejected) }; 3]);
        assert!(out.contains(&Command::Exhausted(MessageId(1), End::Rejected)), "{out:?}");
        assert_eq!((bench.0.messages(), bench.0.attempts.values().count()), (0, 0));
    }
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

fn ejections(said: &[(u64, Command)]) -> Vec<&Command> {
    let told = |command: &&Command| matches!(command, Command::Ejected(..) | Command::Panic(..));
    said.iter().map(|(_, command)| command).filter(told).collect()
}

#[test]
fn what_a_suspicion_comes_to_is_told_for_each_group() {
    let mut plan = probing();
    plan.groups[1].channels = vec![ChannelId(0)];
    let mut bench = probed(plan);
    bench.sent(message(1, 0, 1, 1));
    let said = silent(&mut bench, 0, 600);
    let [pair, lone] = [0, 1].map(GroupId);
    let out = Command::Ejected(pair, ChannelId(0), true);
    let kept = [Command::Panic(lone, true), Command::Ejected(lone, ChannelId(0), false)];
    assert_eq!(ejections(&said), [&out, &kept[0], &kept[1]], "out of the pair; alone in the other, it serves on");
}

#[test]
fn of_groups_the_gateway_made_for_itself_nobody_is_told() {
    let mut plan = probing();
    plan.groups[1].channels = vec![ChannelId(0)];
    plan.groups[1].internal = true;
    let mut bench = probed(plan);
    bench.sent(message(1, 1, 1, 1));
    let said = silent(&mut bench, 0, 4_000);
    let moved: Vec<State> = transitions(&said).iter().map(|moved| moved.2).collect();
    assert_eq!(moved, [State::Suspect, State::Down], "its messages judge the channel like any other");
    assert_eq!(ejections(&said), [&Command::Ejected(GroupId(0), ChannelId(0), true)]);
}

/// Three channels of three carriers, the last as large as both others and more, each preferred by a group of its own; octets to the first two stay unacknowledged
/// for 600 ms, and then all answers come. What was said, and the channel of a message that came meanwhile.
fn standing_still(third_answers: bool) -> (Vec<(u64, Command)>, u16, Bench) {
    let mut plan = probing();
    plan.channels.push(ChannelRule { id: ChannelId(2), carrier: 2, rate: 3_000.0, ..plan.channels[0].clone() });
    let group = |id: u16| GroupRule {
        id: GroupId(id),
        channels: (0..3).map(|at| ChannelId((id + at) % 3)).collect(),
        spill_after: Some(Duration::from_secs(1)),
        ..GroupRule::default()
    };
    plan.groups = (0..3).map(group).collect();
    let mut bench = Bench(Switch::new(0));
    bench.at(Time(1), [Event::Plan(plan)].into_iter().chain((0..3).map(|id| Event::LinkUp(link(id), 8))));
    let sent: Vec<_> = (0..3).map(|id| bench.sent(message(u64::from(id) + 1, id, 0, 1))).collect();
    assert_eq!(sent.iter().map(|sent| sent.1).collect::<Vec<_>>(), [0, 1, 2]);
    let mut said = Vec::new();
    for ms in (300..=600).step_by(50) {
        let age = Duration::from_millis(ms);
        let told = [0, 1].map(|id| Event::Unacked(link(id), age));
        said.extend(bench.at(at(ms), told).into_iter().map(|command| (ms, command)));
        if third_answers && ms == 450 {
            bench.end(at(ms), sent[2].0, &[Answer::Submitted]);
        }
    }
    let out = bench.at(at(650), [Event::Accepted(message(9, 0, 0, 1))]);
    let (attempt, elsewhere, _) = starts(&out)[0];
    bench.at(at(650), [Event::Started(attempt, 1)]);
    let over = [0, 1].map(|id| Event::Unacked(link(id), Duration::ZERO));
    said.extend(bench.at(at(700), over).into_iter().map(|command| (700, command)));
    let open = sent.iter().take(if third_answers { 2 } else { 3 }).map(|sent| &sent.0).chain([&attempt]);
    for attempt in open {
        said.extend(bench.end(at(700), *attempt, &[Answer::Submitted]).into_iter().map(|command| (700, command)));
    }
    for ms in (710..6_000).step_by(10) {
        said.extend(bench.at(at(ms), []).into_iter().map(|command| (ms, command)));
    }
    (said, elsewhere, bench)
}

#[test]
fn two_carriers_silent_while_the_third_is_not_asked_are_a_stall_of_our_own() {
    let (said, elsewhere, mut bench) = standing_still(false);
    let ourselves = said.iter().filter(|(_, command)| matches!(command, Command::OurselvesSuspected(_))).count();
    assert_eq!(ourselves, 1, "{said:?}");
    let out = |command: &&Command| matches!(command, Command::Ejected(_, _, true));
    assert_eq!(ejections(&said).into_iter().filter(out).count(), 0, "{said:?}");
    assert!(ejections(&said).contains(&&Command::Ejected(GroupId(0), ChannelId(0), false)));
    assert_eq!(elsewhere, 2, "what comes meanwhile goes where nothing is suspected");
    assert!(!said.iter().any(|(_, command)| matches!(command, Command::InDoubt(..))), "nothing was doubted: {said:?}");
    let back = bench.at(at(6_000), [Event::Accepted(message(10, 0, 0, 1)), Event::Accepted(message(11, 1, 0, 1))]);
    assert_eq!(starts(&back).iter().map(|start| start.1).collect::<Vec<_>>(), [0, 1], "both are as they were");
}

#[test]
fn where_the_third_answers_it_is_not_ourselves() {
    let (said, elsewhere, _) = standing_still(true);
    assert!(!said.iter().any(|(_, command)| matches!(command, Command::OurselvesSuspected(_))), "{said:?}");
    assert!(ejections(&said).contains(&&Command::Ejected(GroupId(0), ChannelId(0), true)), "{said:?}");
    assert_eq!(elsewhere, 2);
}

#[test]
fn a_channel_with_numbers_of_its_own_is_judged_by_these_until_a_reload_takes_them() {
    let patient = health::Patience { silence: Duration::from_secs(30), probe: Duration::from_secs(30) };
    let mut plan = probing();
    let own = health::Settings { unacked: Duration::from_secs(2), fast: patient, ..health::Settings::default() };
    plan.channels[0].health = Some(Box::new(own));
    let mut bench = probed(plan);
    bench.sent(message(1, 0, 1, 1));
    assert_eq!(transitions(&silent(&mut bench, 0, 1_000)), []);
    bench.at(at(1_000), [Event::Plan(probing())]);
    let moved = transitions(&silent(&mut bench, 1_010, 1_200));
    assert_eq!(moved.first().map(|moved| (moved.1, moved.2)), Some((0, State::Suspect)), "{moved:?}");
}

#[test]
fn a_plan_says_how_much_goes_again_and_what_answers_take() {
    let mut plan = settings();
    let prior = |most| health::Prior { median: Duration::from_millis(40), most: Duration::from_millis(most) };
    (plan.health.retry_floor, plan.health.retry_share, plan.health.prior) = (1, 0, prior(200));
    plan.channels[1].health = Some(Box::new(health::Settings { prior: prior(300), ..health::Settings::default() }));
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Plan(plan)]);
    let q999 = |channel| bench.0.watch.machines.q999(ChannelId(channel));
    assert_eq!([0, 1].map(q999), [200, 300].map(Duration::from_millis));
    let budget = &mut bench.0.channels.get_mut(&ChannelId(0)).unwrap().budget;
    (0..10).for_each(|_| budget.started(NOW, true));
    assert!(!budget.allows(NOW, true), "one a second over ten");
}

#[test]
fn how_much_is_hedged_is_configured() {
    let mut plan = settings();
    plan.health.hedge_share = 0.0;
    let mut bench = Bench::new();
    bench.at(Time(1), [Event::Plan(plan.clone())]);
    bench.sent(message(1, 0, 0, 1));
    let out: Vec<Command> = (1..60).flat_map(|tenth| bench.at(at(tenth * 100), [])).collect();
    assert!(!out.iter().any(|command| matches!(command, Command::Hedged(..))), "{out:?}");
    plan.health.hedge_share = 0.02;
    plan.health.hedge_latest = Duration::from_millis(1_300);
    let mut bench = Bench::new();
    bench.at(Time(1), [Event::Plan(plan)]);
    bench.sent(message(1, 0, 0, 1));
    let out = bench.at(at(1_300), []);
    assert!(out.contains(&Command::Hedged(MessageId(1), ChannelId(0))), "{out:?}");
}
