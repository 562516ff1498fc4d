//! What the rules of one part do to those of another.

use super::failover::{probed, probing, silent};
use super::*;
use crate::config::plan::Strategy;
use crate::switch::health::State;

fn whys(out: &[Command]) -> Vec<Why> {
    let why = |command: &Command| match command {
        Command::Start { why, .. } => Some(*why),
        _ => None,
    };
    out.iter().filter_map(why).collect()
}

/// Parts that start on channel 0 in each second from its return on, at a steady load of its contract.
fn seconds_after_return(contract: u64, away: u64) -> Vec<u64> {
    let mut bench = Bench::new();
    let mut plan = settings();
    for channel in &mut plan.channels {
        (channel.rate, channel.burst) = (contract as f64, 5);
    }
    bench.at(Time(1), [Event::Plan(plan), Event::LinkUp(link(0), 64), Event::LinkUp(link(1), 64)]);
    let (killed, back) = (5_000, 5_000 + away);
    let mut open: std::collections::VecDeque<(u64, AttemptRef)> = std::collections::VecDeque::new();
    let mut seconds = vec![0; 14];
    let mut id = 0;
    for ms in (0..back + 14_000).step_by(5) {
        let mut events = Vec::new();
        while let Some((_, attempt)) = open.front().copied().filter(|(due, _)| *due <= ms) {
            open.pop_front();
            let ticket = Ticket::new(attempt, 0);
            events.extend([Event::Answer(ticket, Answer::Submitted), Event::Freed(ticket)]);
        }
        if ms == killed {
            events.push(Event::LinkDown(link(0)));
        }
        if ms == back {
            events.push(Event::LinkUp(link(0), 64));
        }
        while id * 1_000 < ms * contract {
            id += 1;
            let times = (at(ms), at(ms + 60_000));
            events.push(Event::Accepted(Message { accepted: times.0, expires: times.1, ..message(id, 0, 1, 1) }));
        }
        let started = starts(&bench.at(at(ms), events));
        for (attempt, channel, _) in started {
            bench.at(at(ms), [Event::Started(attempt, 1)]);
            open.push_back((ms + 50, attempt));
            let second = ms.checked_sub(back).filter(|_| channel == 0).map(|since| since as usize / 1_000);
            second.and_then(|at| seconds.get_mut(at)).into_iter().for_each(|count| *count += 1);
        }
    }
    seconds
}

#[test]
fn a_channel_that_is_back_reaches_its_contract_once_and_not_twice_as_late() {
    let seconds = seconds_after_return(100, 5_000);
    assert!(seconds[0] <= 15, "slowly at first: {seconds:?}");
    assert!(seconds[2] >= 28, "the lesser of trial and slow start, not their product: {seconds:?}");
    assert!(seconds[11..].iter().all(|count| *count >= 95), "at its contract: {seconds:?}");
    assert!(seconds.windows(2).all(|two| two[1] + 10 >= two[0]), "and never back: {seconds:?}");
}

#[test]
fn a_hedge_needs_no_retry_budget_takes_none_and_says_so() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.0.channels.get_mut(&ChannelId(1)).unwrap().budget.started(NOW, true);
    }
    bench.sent(message(1, 0, 0, 1));
    let now = at(2_500);
    assert!(!bench.0.channels[&ChannelId(1)].budget.allows(now, true));
    let out = bench.at(now, []);
    assert!(out.contains(&Command::Hedged(MessageId(1), ChannelId(0))), "{out:?}");
    assert_eq!(whys(&out), [Why { number: 2_500, ..Why::of(Reason::Hedge, ChannelId(0)) }]);
    // Those hundred are over; only the hedge would be left.
    for n in 0..100 {
        let budget = &mut bench.0.channels.get_mut(&ChannelId(1)).unwrap().budget;
        assert!(budget.allows(at(11_500), true), "{n}");
        budget.started(at(11_500), true);
    }
}

#[test]
fn what_was_not_delivered_says_so_when_it_goes_on() {
    let mut bench = Bench::new();
    let out = bench.at(NOW, [further(1, 1, &[0], false)]);
    assert_eq!(whys(&out), [Why::of(Reason::Undelivered, ChannelId(0))]);
    let out = bench.at(NOW, [further(2, 1, &[0], true)]);
    assert_eq!(whys(&out), [Why::of(Reason::InDoubt, ChannelId(0))], "it may have been");
    // It says so once.
    let third = starts(&bench.at(NOW, [further(3, 1, &[0], false)]))[0].0;
    bench.at(at(1), [Event::NotStarted(third, NotStarted::Unsendable)]);
    assert_eq!(bench.0.messages(), 2);
}

#[test]
fn a_suspect_channel_is_passed_over_with_its_silence_in_milliseconds() {
    let mut bench = probed(probing());
    bench.sent(message(1, 0, 1, 1));
    silent(&mut bench, 0, 600);
    let said = bench.0.explain(at(600), message(2, 0, 1, 1));
    assert_eq!(said.candidates[0].why_not, Some((Cause::Suspect, 600)), "{said:?}");
    let out = bench.at(at(600), [Event::Accepted(message(2, 0, 1, 1))]);
    let why = Why { cause: Some(Cause::Suspect), number: 600, ..Why::of(Reason::Backup, ChannelId(0)) };
    assert_eq!(whys(&out), [why]);
}

#[test]
fn a_suspect_channel_has_no_share_to_make_up_for() {
    let mut plan = probing();
    plan.groups[0].strategy = Strategy::Weighted(vec![1, 1]);
    let mut bench = probed(plan);
    bench.at(NOW, [Event::LinkUp(link(1), 64)]);
    bench.sent(message(1, 0, 1, 1));
    silent(&mut bench, 0, 600);
    assert_eq!(bench.0.channels[&ChannelId(0)].state, State::Suspect);
    let out = bench.at(at(600), (10..28).map(|id| Event::Accepted(message(id, 0, 1, 1))));
    assert_eq!(starts(&out).iter().filter(|start| start.1 == 1).count(), 18);
    let owed: Vec<f64> = bench.0.choices[&GroupId(0)].members().iter().map(|member| member.owed).collect();
    assert!(owed.iter().all(|owed| owed.abs() <= 1.0), "{owed:?}");
}

#[test]
fn a_silent_channel_counts_for_no_pace_while_its_link_stands() {
    let mut bench = probed(probing());
    bench.sent(message(1, 0, 1, 1));
    silent(&mut bench, 0, 5_000);
    assert_eq!(bench.0.channels[&ChannelId(0)].state, State::Down);
    let outlook = |bench: &Bench| bench.0.outlook(at(5_000)).remove(&(GroupId(0), TierId(1))).unwrap();
    assert_eq!((outlook(&bench).pace, outlook(&bench).down_since), (1_000.0, None));
    bench.at(at(5_000), [Event::LinkDown(link(1))]);
    let since = outlook(&bench).down_since;
    assert_eq!(since, Some(at(5_000)), "since the last of them was of use");
}

#[test]
fn the_first_tier_takes_a_channel_on_trial_where_the_other_is_held() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::LinkDown(link(0))]);
    bench.at(at(10_000), [Event::LinkUp(link(0), 8)]);
    bench.at(at(16_000), []);
    assert_eq!(bench.0.channels[&ChannelId(0)].state, State::Probation);
    let otp = |id| Event::Accepted(Message { expires: at(90_000), ..message(id, 0, 0, 1) });
    assert_eq!(starts(&bench.at(at(16_000), [otp(1)]))[0].1, 1, "the other one is better");
    let out = bench.at(at(16_000), [Event::Hold(ChannelId(1), true), otp(2), otp(3)]);
    assert_eq!(starts(&out).iter().map(|start| start.1).collect::<Vec<_>>(), [0], "one at a time");
}

#[test]
fn the_rest_of_a_message_of_the_first_tier_follows_on_a_channel_on_trial() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::LinkDown(link(0))]);
    bench.at(at(10_000), [Event::LinkUp(link(0), 8)]);
    bench.at(at(16_000), [Event::Hold(ChannelId(1), true)]);
    let otp = Message { expires: at(90_000), ..message(1, 0, 0, 3) };
    let (attempt, channel, _) = starts(&bench.at(at(16_000), [Event::Accepted(otp)]))[0];
    assert_eq!(channel, 0);
    bench.at(at(16_000), [Event::Started(attempt, 3), Event::Hold(ChannelId(1), false)]);
    let throttled = Answer::Refused(Verdict::Throttled);
    bench.end(at(16_100), attempt, &[Answer::Submitted, throttled, Answer::Submitted]);
    let mut out = Vec::new();
    for ms in (16_200..20_000).step_by(100) {
        out.extend(starts(&bench.at(at(ms), [])));
    }
    assert_eq!(out, [(attempt, 0, 0b010)], "not all of it again elsewhere");
}

#[test]
fn no_message_is_tried_alone_on_a_channel_in_trouble() {
    let mut bench = probed(probing());
    for channel in [0, 1] {
        bench.0.poison.up(Time(0), link(channel));
        bench.0.poison.answered(Time(2), link(channel));
    }
    bench.sent(message(1, 0, 1, 1));
    silent(&mut bench, 0, 600);
    bench.at(at(600), [Event::Hold(ChannelId(1), true), Event::Hold(ChannelId(0), true)]);
    bench.at(at(600), [Event::Accepted(message(2, 0, 1, 1))]);
    let mut pending = bench.0.lanes.remove(MessageId(2)).unwrap();
    pending.entry.strikes = poison::STRIKES;
    bench.0.lanes.insert(pending);
    let out = bench.at(at(600), [Event::Hold(ChannelId(0), false)]);
    assert_eq!(starts(&out), [], "its death would prove nothing");
    let out = bench.at(at(610), [Event::Hold(ChannelId(1), false)]);
    assert_eq!(whys(&out), [Why::from(Reason::Alone)]);
    assert_eq!(starts(&out)[0].1, 1);
}

/// All the switch remembers.
fn memory(bench: &Bench) -> String {
    format!("{:?}", bench.0)
}

#[test]
fn asking_changes_nothing() {
    for strategy in [
        Strategy::Preference,
        Strategy::Weighted(vec![2, 1]),
        Strategy::Quality { explore: 0.5 },
        Strategy::Balanced(crate::config::plan::Balance { explore: 0.5, ..Default::default() }),
    ] {
        let mut plan = probing();
        plan.groups[0].strategy = strategy;
        let mut bench = probed(plan);
        for id in 1..=6 {
            let out = bench.at(at(id), [Event::Accepted(message(id, 0, 1, 1))]);
            starts(&out).into_iter().for_each(|start| drop(bench.at(at(id), [Event::Started(start.0, 1)])));
        }
        bench.at(at(10), [Event::LinkDown(link(0))]);
        bench.at(at(3_500), [Event::LinkUp(link(0), 8)]);
        bench.at(at(9_000), []);
        bench.at(at(9_000), [Event::Hold(ChannelId(1), true)]);
        bench.at(at(9_001), (10..14).map(|id| Event::Accepted(message(id, 0, 1, 1))));
        let Some(mut pending) = bench.0.lanes.remove(MessageId(13)) else { panic!("on trial, one goes at a time") };
        pending.entry.strikes = poison::STRIKES;
        bench.0.lanes.insert(pending);
        bench.at(at(9_002), []);
        let before = memory(&bench);
        for now in [at(9_002), at(9_500), at(20_000)] {
            for tier in [0, 1] {
                bench.0.explain(now, message(99, 0, tier, 3));
                bench.0.explain(now, message(99, 0, tier, 9));
            }
            (1..=14).for_each(|id| drop(bench.0.explain_waiting(now, MessageId(id))));
            assert!(memory(&bench) == before, "at {now:?}");
        }
    }
}
