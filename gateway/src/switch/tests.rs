//! The machine in small dialogues: one promise each. Whole worlds are in `tests/sim.rs`.

mod failover;

use super::*;
use crate::clock::{Moment, Wall};

const NOW: Time = Time(10_000_000);

fn at(ms: u64) -> Time {
    NOW.after(Duration::from_millis(ms))
}

fn link(channel: u16) -> LinkId {
    LinkId { channel, link: 0 }
}

/// Two channels of window 8 in one group, the first preferred; otp resends at once, marketing never.
fn settings() -> Settings {
    let tier = |id, acked| TierRule { id: TierId(id), attempts: 3, backoff: vec![], unacked: acked, acked };
    let tiers = vec![tier(0, InDoubt::Resend(Duration::ZERO)), tier(1, InDoubt::Wait)];
    let channel = |id| ChannelRule {
        id: ChannelId(id),
        rate: 1_000.0,
        burst: 20,
        tiers: vec![TierId(0), TierId(1)],
        ..ChannelRule::default()
    };
    let group = |id, channels: &[u16]| GroupRule {
        id: GroupId(id),
        channels: channels.iter().copied().map(ChannelId).collect(),
        spill_after: Some(Duration::from_secs(1)),
    };
    Settings {
        tiers,
        channels: vec![channel(0), channel(1)],
        groups: vec![group(0, &[0, 1]), group(1, &[])],
        ..Settings::default()
    }
}

fn message(id: u64, group: u16, tier: u8, parts: u8) -> Message {
    Message {
        id: MessageId(id),
        app: AppId(0),
        group: GroupId(group),
        tier: TierId(tier),
        parts,
        expires: at(60_000),
        accepted: NOW,
    }
}

struct Bench(Switch);

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench(Switch::new(0));
        let links = [Event::LinkUp(link(0), 8), Event::LinkUp(link(1), 8)];
        bench.at(Time(1), [Event::Plan(settings())].into_iter().chain(links));
        bench
    }

    fn at(&mut self, now: Time, events: impl IntoIterator<Item = Event>) -> Vec<Command> {
        let mut out = Vec::new();
        for event in events {
            self.0.step(now, event, &mut out);
        }
        self.0.settle(Moment { time: now, wall: Wall(1_800_000_000_000) }, &mut out);
        out
    }

    /// Starts a message and returns its attempt and channel.
    fn sent(&mut self, message: Message) -> (AttemptRef, u16) {
        let out = self.at(NOW, [Event::Accepted(message)]);
        let started = starts(&out);
        assert_eq!(started.len(), 1, "{out:?}");
        self.at(NOW, [Event::Started(started[0].0, message.parts)]);
        (started[0].0, started[0].1)
    }

    fn end(&mut self, now: Time, attempt: AttemptRef, answers: &[Answer]) -> Vec<Command> {
        let mut events = Vec::new();
        for (part, answer) in answers.iter().enumerate() {
            let ticket = Ticket::new(attempt, part as u8);
            events.extend([Event::Answer(ticket, answer.clone()), Event::Freed(ticket)]);
        }
        self.at(now, events)
    }
}

fn starts(out: &[Command]) -> Vec<(AttemptRef, u16, u64)> {
    let start = |command: &Command| match command {
        Command::Start { attempt, link, only, .. } => Some((*attempt, link.channel, *only)),
        _ => None,
    };
    out.iter().filter_map(start).collect()
}

#[test]
fn a_submitted_message_is_forgotten() {
    let mut bench = Bench::new();
    let (attempt, channel) = bench.sent(message(1, 0, 0, 1));
    assert_eq!((channel, bench.0.messages()), (0, 1));
    assert_eq!(bench.end(at(1), attempt, &[Answer::Submitted]), []);
    for second in 1..=30 {
        bench.at(at(second * 1_000), []);
    }
    assert_eq!((bench.0.messages(), bench.0.deadline()), (0, None), "nothing is left to be looked at");
    assert_eq!(bench.0.channel(NOW, ChannelId(0)).map(|view| view.in_flight), Some(0));
}

#[test]
fn a_backup_is_used_when_the_better_channel_is_gone_or_busy_for_too_long() {
    let mut bench = Bench::new();
    let out = bench.at(NOW, (1..=10).map(|id| Event::Accepted(message(id, 0, 0, 1))));
    assert_eq!(starts(&out).iter().filter(|s| s.1 == 0).count(), 8, "the window of the first");
    assert_eq!((starts(&out).len(), bench.0.deadline()), (8, Some(at(1_000))), "the rest waits to spill");
    assert_eq!(starts(&bench.at(at(1_000), [])).iter().map(|s| s.1).collect::<Vec<_>>(), [1, 1]);
    let mut bench = Bench::new();
    let out = bench.at(NOW, [Event::LinkDown(link(0)), Event::Accepted(message(1, 0, 0, 1))]);
    assert_eq!(starts(&out)[0].1, 1);
}

#[test]
fn a_refused_message_prefers_another_channel_and_ends_with_its_attempts() {
    let mut bench = Bench::new();
    let (mut attempt, mut channels) = (bench.sent(message(1, 0, 0, 1)).0, vec![0]);
    for _ in 0..2 {
        let out = bench.end(at(1), attempt, &[Answer::Refused(Verdict::Retry)]);
        attempt = starts(&out)[0].0;
        channels.push(starts(&out)[0].1);
        bench.at(at(1), [Event::Started(attempt, 1)]);
    }
    assert_eq!(channels, [0, 1, 0]);
    let out = bench.end(at(2), attempt, &[Answer::Refused(Verdict::Retry)]);
    assert_eq!(out, [Command::Exhausted(MessageId(1), End::Attempts)]);
}

#[test]
fn a_message_no_channel_can_carry_ends_and_blocks_nobody() {
    let mut bench = Bench::new();
    let end = |id| Command::Exhausted(MessageId(id), End::NoChannel);
    let out = bench.at(NOW, [Event::Accepted(message(2, 0, 0, 9)), Event::Accepted(message(3, 0, 0, 1))]);
    assert_eq!(starts(&out).len(), 1);
    assert!(out.contains(&end(2)), "nine parts fit no window");
}

#[test]
fn what_the_plan_has_no_channel_for_waits_for_a_better_one() {
    let mut bench = Bench::new();
    let none = [message(1, 7, 0, 1), message(2, 1, 0, 1), message(3, 0, 9, 1), message(4, 0, 0, 1)];
    let out = bench.at(NOW, none.map(Event::Accepted));
    assert_eq!(starts(&out).len(), 1, "a group that is gone, an empty one, a tier nobody takes: {out:?}");
    let mut homeless = bench.0.homeless();
    homeless.sort();
    assert_eq!(homeless, [1, 2, 3].map(MessageId));
    let home = Home { group: GroupId(0), tier: TierId(1), parts: 2 };
    let out = bench.at(at(1), [Event::Moved(MessageId(1), home)]);
    assert!(matches!(out[..], [Command::Start { message: MessageId(1), parts: 2, .. }]), "{out:?}");
    let out = bench.at(at(55_000), []);
    assert_eq!(out, [2, 3].map(|id| Command::Exhausted(MessageId(id), End::Expired)), "not failed, but out of time");
}

#[test]
fn a_moved_message_goes_to_its_new_group_from_wherever_it_is() {
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.tiers[0].backoff = vec![Duration::from_secs(2)];
    plan.groups[1].channels = vec![ChannelId(1)];
    bench.at(NOW, [Event::Plan(plan)]);
    let home = Home { group: GroupId(1), tier: TierId(0), parts: 1 };
    // Ordered, and handed back by whoever looked at the routes.
    let out = bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1))]);
    let (attempt, channel, _) = starts(&out)[0];
    assert_eq!(channel, 0);
    let back = Event::NotStarted(attempt, NotStarted::Moved);
    let out = bench.at(NOW, [Event::Moved(MessageId(1), home), back]);
    assert_eq!(starts(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [1], "at once");
    assert_eq!(bench.0.channel(NOW, ChannelId(0)).map(|view| view.in_flight), Some(0));
    // On the wire: it is finished there, and what follows goes to the new group.
    let (attempt, _) = bench.sent(message(2, 0, 0, 1));
    assert_eq!(bench.at(at(1), [Event::Moved(MessageId(2), home)]), []);
    assert_eq!(bench.end(at(1), attempt, &[Answer::Refused(Verdict::Retry)]), []);
    // In its back-off: the time stays.
    assert_eq!(bench.at(at(2), [Event::Moved(MessageId(2), Home { group: GroupId(0), ..home })]), []);
    assert_eq!(bench.at(at(3), [Event::Moved(MessageId(2), home)]), []);
    assert_eq!(starts(&bench.at(at(2_001), []))[0].1, 1);
    assert_eq!(bench.0.waiting(), []);
}

#[test]
fn the_rest_of_a_message_follows_its_first_parts_or_all_of_it_goes_again() {
    for (group, same) in [(0, true), (1, false)] {
        let mut bench = Bench::new();
        let mut plan = settings();
        plan.groups[1].channels = vec![ChannelId(1)];
        bench.at(NOW, [Event::Plan(plan)]);
        let (attempt, _) = bench.sent(message(1, 0, 0, 3));
        let throttled = Answer::Refused(Verdict::Throttled);
        bench.end(at(1), attempt, &[Answer::Submitted, throttled, Answer::Submitted]);
        let home = Home { group: GroupId(group), tier: TierId(0), parts: 3 };
        let mut out = bench.at(at(2), [Event::Moved(MessageId(1), home)]);
        out.extend(bench.at(at(101), []));
        let (next, channel, only) = starts(&out)[0];
        let whole = out.contains(&Command::Resubmitted(MessageId(1), ChannelId(1)));
        assert_eq!((next == attempt, channel, only), if same { (true, 0, 0b010) } else { (false, 1, u64::MAX) });
        assert_eq!(whole, !same, "what the carrier has some parts of and goes out again is counted");
    }
}

#[test]
fn what_a_channel_that_left_has_begun_starts_over_elsewhere() {
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 0, 2));
    let mut plan = settings();
    plan.channels.remove(0);
    plan.groups[0].channels.remove(0);
    let out = bench.at(at(1), [Event::Plan(plan), Event::LinkClosing(link(0))]);
    assert_eq!(out, [], "what is open is finished there");
    let out = bench.end(at(2), attempt, &[Answer::Submitted, Answer::Unanswered(Doubt::Unsent)]);
    assert_eq!(out[0], Command::Resubmitted(MessageId(1), ChannelId(1)));
    assert_eq!(starts(&out).iter().map(|s| (s.1, s.2)).collect::<Vec<_>>(), [(1, u64::MAX)]);
}

#[test]
fn a_channel_that_comes_back_still_owes_what_it_sent() {
    let mut bench = Bench::new();
    let mut plan = settings();
    (plan.channels[0].rate, plan.channels[0].burst, plan.groups[0].channels) = (4.0, 4, vec![ChannelId(0)]);
    bench.at(Time(1), [Event::Plan(plan.clone())]);
    let fresh = |ids: std::ops::Range<u64>| ids.map(|id| Event::Accepted(message(id, 0, 0, 1))).collect::<Vec<_>>();
    assert_eq!(starts(&bench.at(NOW, fresh(0..9))).len(), 4, "all of this second's contract");
    let without = Settings { channels: plan.channels[1..].to_vec(), ..plan.clone() };
    bench.at(at(100), [Event::Plan(without), Event::LinkClosing(link(0)), Event::LinkDown(link(0))]);
    bench.at(at(200), [Event::LinkGone(link(0)), Event::LinkUp(LinkId { channel: 0, link: 1 }, 8)]);
    assert_eq!(starts(&bench.at(at(300), [Event::Plan(plan)])), [], "another link, the same second");
    assert_eq!(starts(&bench.at(at(1_000), [])).len(), 4);
}

#[test]
fn missing_parts_follow_on_their_channel_or_all_go_elsewhere() {
    for lost in [false, true] {
        let mut bench = Bench::new();
        let (attempt, _) = bench.sent(message(1, 0, 0, 3));
        let throttled = Answer::Refused(Verdict::Throttled);
        let out = bench.end(at(1), attempt, &[Answer::Submitted, throttled, Answer::Submitted]);
        assert_eq!(out, [Command::Throttled(ChannelId(0), at(101))]);
        let (now, event) = if lost { (at(2), Event::LinkDown(link(0))) } else { (at(101), Event::Tick) };
        let (next, channel, only) = starts(&bench.at(now, [event]))[0];
        assert_eq!((next == attempt, channel, only), if lost { (false, 1, u64::MAX) } else { (true, 0, 0b010) });
    }
}

#[test]
fn refused_parts_of_a_message_follow_alone_and_use_an_attempt() {
    let refused = Answer::Refused(Verdict::Retry);
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.tiers[0].backoff = vec![Duration::from_secs(2)];
    bench.at(NOW, [Event::Plan(plan)]);
    let (attempt, _) = bench.sent(message(1, 0, 0, 3));
    assert_eq!(bench.end(at(1), attempt, &[Answer::Submitted, refused.clone(), Answer::Submitted]), []);
    assert_eq!((bench.at(at(1_000), []), bench.0.messages()), (vec![], 1), "at least half the back-off");
    let again = |bench: &mut Bench| {
        let (mut deadline, mut out) = (NOW, Vec::new());
        // Health may be looked at in between.
        while starts(&out).is_empty() {
            deadline = bench.0.deadline().unwrap();
            out = bench.at(deadline, []);
        }
        assert_eq!(starts(&out), [(attempt, 0, 0b010)], "the missing part alone, on its channel");
        bench.at(deadline, [Event::Started(attempt, 1)]);
        let part = Ticket::new(attempt, 1);
        bench.at(deadline, [Event::Answer(part, refused.clone()), Event::Freed(part)])
    };
    assert_eq!(again(&mut bench), [], "the second of three attempts");
    assert_eq!(again(&mut bench), [Command::Exhausted(MessageId(1), End::Attempts)]);
    assert_eq!((bench.0.messages(), bench.0.partial.len()), (0, 0));
}

#[test]
fn refused_parts_whose_channel_is_gone_take_the_whole_message_elsewhere() {
    let refused = Answer::Refused(Verdict::Retry);
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.tiers[0].backoff = vec![Duration::from_secs(2)];
    bench.at(NOW, [Event::Plan(plan)]);
    let (attempt, _) = bench.sent(message(1, 0, 0, 2));
    bench.end(at(1), attempt, &[Answer::Submitted, refused.clone()]);
    bench.at(at(2), [Event::LinkDown(link(0))]);
    let mut next = bench.at(at(2_001), []);
    for used in 2..=3 {
        let (whole, channel, only) = starts(&next)[0];
        assert!(whole != attempt && (channel, only) == (1, u64::MAX));
        bench.at(at(2_001), [Event::Started(whole, 2)]);
        let now = at(2_000 * used);
        next = bench.end(now, whole, &[refused.clone(), refused.clone()]);
        if used < 3 {
            next = bench.at(now.after(Duration::from_secs(2)), []);
        }
    }
    assert_eq!(next, [Command::Exhausted(MessageId(1), End::Attempts)], "the first attempt counted");
}

#[test]
fn a_throttled_message_returns_to_the_front() {
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 1, 1));
    let hold = Event::Hold(ChannelId(1), true);
    bench.at(NOW, [hold, Event::Accepted(message(2, 0, 1, 1))].into_iter().take(1));
    bench.end(at(1), attempt, &[Answer::Refused(Verdict::Throttled)]);
    assert_eq!(bench.at(at(2), [Event::Accepted(message(2, 0, 1, 1))]), []);
    let mut out = Vec::new();
    for _ in 0..9 {
        let Some(deadline) = bench.0.deadline() else { break };
        out.extend(bench.at(deadline, []));
    }
    let order = out.iter().filter_map(|c| if let Command::Start { message, .. } = c { Some(message.0) } else { None });
    assert_eq!(order.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn doubt_follows_the_tier_and_a_receipt_stops_it() {
    let acked = Answer::Unanswered(Doubt::Acked);
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    let out = bench.end(at(1), attempt, std::slice::from_ref(&acked));
    assert_eq!(out[0], Command::InDoubt(MessageId(1), ChannelId(0), Doubt::Acked));
    assert_eq!(out[1], Command::Resubmitted(MessageId(1), ChannelId(1)));
    let second = starts(&out)[0].0;
    bench.at(at(1), [Event::Started(second, 1), Event::Concluded(MessageId(1))]);
    assert_eq!(bench.end(at(2), second, &[Answer::Refused(Verdict::Retry)]), [], "its receipt came meanwhile");
    assert_eq!(bench.0.messages(), 0);
    let (attempt, _) = bench.sent(message(2, 0, 1, 1));
    let out = bench.end(at(3), attempt, &[acked]);
    assert_eq!(out[1], Command::Exhausted(MessageId(2), End::InDoubt), "marketing is not sent twice");
}

#[test]
fn a_recovered_doubt_is_a_doubt() {
    let mut bench = Bench::new();
    let recovered = |id, tier, in_doubt| {
        Event::Recovered(Recovered { message: message(id, 0, tier, 1), refused: 0, excluded: vec![], in_doubt })
    };
    let out = bench.at(NOW, [recovered(1, 0, Some(ChannelId(0))), recovered(2, 1, Some(ChannelId(0)))]);
    assert_eq!(starts(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [1], "the otp goes elsewhere");
    assert!(out.contains(&Command::Exhausted(MessageId(2), End::InDoubt)));
}

#[test]
fn a_lost_link_takes_its_slots_and_leaves_nothing_open() {
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 1, 3));
    let out = bench.at(at(1), [Event::LinkDown(link(0)), Event::LinkUp(link(0), 8)]);
    assert_eq!(out[0], Command::InDoubt(MessageId(1), ChannelId(0), Doubt::Acked), "no answer will come");
    bench.sent(message(2, 0, 1, 2));
    bench.at(at(2), (0..3).map(|part| Event::Freed(Ticket::new(attempt, part))));
    assert_eq!(bench.0.channel(NOW, ChannelId(0)).map(|view| view.in_flight), Some(2));
}

#[test]
fn a_reload_keeps_what_waits_and_what_a_channel_owes() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
    bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1))]);
    assert_eq!(bench.at(NOW, [Event::Plan(settings())]), [], "holds survive");
    let waiting = bench.0.waiting();
    assert_eq!((waiting.len(), waiting[0].messages, waiting[0].oldest), (1, 1, NOW));
    assert_eq!(starts(&bench.at(NOW, [Event::Hold(ChannelId(1), false)]))[0].1, 1);
}

/// `cargo test --release -p gateway -- --ignored --nocapture switch_cost` prints microseconds per message.
#[test]
#[ignore = "a measurement"]
fn switch_cost() {
    let mut bench = Bench::new();
    let mut plan = settings();
    for channel in &mut plan.channels {
        (channel.rate, channel.burst) = (1e9, 1_000_000);
    }
    bench.at(NOW, [Event::Plan(plan), Event::LinkUp(link(0), 256), Event::LinkUp(link(1), 256)]);
    let (start, count) = (std::time::Instant::now(), 200_000u64);
    for batch in 0..count / 100 {
        let now = at(batch + 1);
        let out = bench.at(now, (0..100).map(|i| Event::Accepted(message(batch * 100 + i, 0, 0, 1))));
        let started = starts(&out);
        assert_eq!(started.len(), 100);
        bench.at(now, started.iter().map(|s| Event::Started(s.0, 1)));
        let ends = started.iter().map(|s| Ticket::new(s.0, 0));
        bench.at(now, ends.flat_map(|t| [Event::Answer(t, Answer::Submitted), Event::Freed(t)]));
    }
    println!("{:.2} us per message", start.elapsed().as_secs_f64() * 1e6 / count as f64);
}
