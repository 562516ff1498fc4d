//! The machine in small dialogues: one promise each. Whole worlds are in `tests/sim.rs`.

mod choice;
mod failover;
mod quarantine;
mod runs;
mod together;

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
    let tier = |id, acked| TierRule { id: TierId(id), attempts: 3, unacked: acked, acked, ..TierRule::default() };
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
        ..GroupRule::default()
    };
    Settings {
        tiers,
        channels: vec![channel(0), channel(1)],
        groups: vec![group(0, &[0, 1]), group(1, &[])],
        ..Settings::default()
    }
}

/// Health that holds nothing against a link that was lost: for what must be seen apart from it.
fn carefree() -> Box<health::Settings> {
    let none = Duration::ZERO;
    Box::new(health::Settings { hold: none, trial: none, return_wait: none, ..health::Settings::default() })
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
        Event::Recovered(Recovered {
            message: message(id, 0, tier, 1),
            refused: 0,
            excluded: vec![],
            in_doubt,
            doubtful: false,
        })
    };
    let out = bench.at(
        NOW,
        [recovered(1, 0, Some((ChannelId(0), Doubt::Acked))), recovered(2, 1, Some((ChannelId(0), Doubt::Acked)))],
    );
    assert_eq!(starts(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [1], "the otp goes elsewhere");
    assert!(out.contains(&Command::Exhausted(MessageId(2), End::InDoubt)));
}

#[test]
fn a_lost_link_takes_its_slots_and_leaves_nothing_open() {
    let doubt = Command::InDoubt(MessageId(1), ChannelId(0), Doubt::Acked);
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 1, 3));
    let out = bench.at(at(1), [Event::LinkDown(link(0)), Event::LinkUp(link(0), 8)]);
    assert!(!out.contains(&doubt), "what became of its parts the link says itself: {out:?}");
    bench.sent(message(2, 0, 1, 2));
    let unanswered = Answer::Unanswered(Doubt::Acked);
    let out = bench.end(at(2), attempt, &[unanswered.clone(), unanswered.clone(), unanswered]);
    assert_eq!(out[0], doubt);
    assert_eq!(bench.0.channel(NOW, ChannelId(0)).map(|view| view.in_flight), Some(2));
    // A link that has ended says nothing more.
    let mut bench = Bench::new();
    bench.sent(message(1, 0, 1, 3));
    let out = bench.at(at(1), [Event::LinkClosing(link(0)), Event::LinkDown(link(0)), Event::LinkGone(link(0))]);
    assert_eq!(out[0], doubt);
    assert!(bench.0.attempts.is_empty());
}

#[test]
fn what_came_too_late_for_a_link_and_never_left_goes_again() {
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 1, 1));
    assert_eq!(starts(&bench.at(at(1), [Event::LinkDown(link(0))])), []);
    let out = bench.end(at(1), attempt, &[Answer::Unanswered(Doubt::Unsent)]);
    assert_eq!(starts(&out).iter().map(|start| start.1).collect::<Vec<_>>(), [1], "its tier would never send a doubt");
    assert!(!out.iter().any(|c| matches!(c, Command::Exhausted(..) | Command::InDoubt(..))), "{out:?}");
}

#[test]
fn parts_that_leave_late_fill_the_second_they_leave_in() {
    let mut bench = Bench::new();
    let mut plan = settings();
    (plan.channels[0].rate, plan.channels[0].burst, plan.groups[0].channels) = (4.0, 4, vec![ChannelId(0)]);
    bench.at(Time(1), [Event::Plan(plan)]);
    let out = bench.at(NOW, (0..6).map(|id| Event::Accepted(message(id, 0, 0, 1))));
    let first = starts(&out);
    assert_eq!(first.len(), 4, "all of this second's contract");
    bench.at(NOW, first.iter().map(|start| Event::Started(start.0, 1)));
    assert_eq!(starts(&bench.at(at(1_000), [Event::Late(ChannelId(0), 4)])), [], "they left only now");
    assert_eq!(starts(&bench.at(at(1_999), [])), []);
    assert_eq!(starts(&bench.at(at(2_000), [])).len(), 2);
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

#[test]
fn retries_over_budget_wait_and_nothing_waits_behind_them() {
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.groups[0].channels = vec![ChannelId(0)];
    plan.tiers[0].attempts = 200;
    bench.at(NOW, [Event::Plan(plan), Event::LinkUp(link(0), 1_000)]);
    let refused = Answer::Refused(Verdict::Retry);
    let mut deferred = 0;
    let mut now = 0;
    let mut out = bench.at(at(now), [Event::Accepted(message(1, 0, 0, 1))]);
    let mut tries = 0;
    while deferred == 0 {
        now += 10;
        let (attempt, ..) = starts(&out)[0];
        tries += 1;
        bench.at(at(now), [Event::Started(attempt, 1)]);
        out = bench.end(at(now), attempt, std::slice::from_ref(&refused));
        deferred += out.iter().filter(|c| matches!(c, Command::Deferred(ChannelId(0)))).count();
    }
    assert_eq!(tries, 101, "the first attempt and a hundred retries");
    assert_eq!(starts(&bench.at(at(now), [Event::Accepted(message(2, 0, 0, 1))])).len(), 1, "first attempts go on");
    assert_eq!(bench.0.messages(), 2);
    let mut again = Vec::new();
    for _ in 0..200 {
        let Some(deadline) = bench.0.deadline().filter(|_| again.is_empty()) else { break };
        again.extend(starts(&bench.at(deadline, [])));
        now = deadline.0;
    }
    assert_eq!(again.len(), 1, "it is not lost");
    assert!(Time(now) >= at(10_000), "ten seconds after the first of them");
}

#[test]
fn a_doubt_of_the_first_tier_is_not_put_off() {
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.channels[1].burst = 500;
    bench.at(NOW, [Event::Plan(plan), Event::LinkUp(link(0), 1_000), Event::LinkUp(link(1), 1_000)]);
    for _ in 0..120 {
        bench.0.channels.get_mut(&ChannelId(1)).unwrap().budget.started(NOW, true);
    }
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    let out = bench.end(at(1), attempt, &[Answer::Unanswered(Doubt::Unacked)]);
    assert_eq!(starts(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [1]);
    let (attempt, _) = bench.sent(message(2, 0, 0, 1));
    let out = bench.end(at(2), attempt, &[Answer::Refused(Verdict::Retry)]);
    assert_eq!(out, [Command::Deferred(ChannelId(1))], "a refusal is");
}

fn further(id: u64, refused: u8, excluded: &[u16], doubtful: bool) -> Event {
    let excluded = excluded.iter().copied().map(ChannelId).collect();
    Event::Again(Recovered { message: message(id, 0, 0, 1), refused, excluded, in_doubt: None, doubtful })
}

#[test]
fn what_a_carrier_did_not_deliver_goes_elsewhere_under_the_same_id() {
    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    assert_eq!(bench.end(at(1), attempt, &[Answer::Submitted]), []);
    let out = bench.at(at(5), [further(1, 1, &[0], false)]);
    assert_eq!(starts(&out).iter().map(|s| s.1).collect::<Vec<_>>(), [1]);
    let second = starts(&out)[0].0;
    bench.at(at(5), [Event::Started(second, 1)]);
    bench.end(at(6), second, &[Answer::Submitted]);
    assert_eq!(bench.at(at(7), [further(1, 2, &[0, 1], false)]), [Command::Exhausted(MessageId(1), End::NoChannel)]);
    assert_eq!(bench.at(at(8), [further(1, 3, &[0], false)]), [Command::Exhausted(MessageId(1), End::Attempts)]);
    let out = bench.at(at(9), [further(2, 1, &[0], true)]);
    assert_eq!(out[0], Command::Resubmitted(MessageId(2), ChannelId(1)), "it may be a duplicate");
}

#[test]
fn news_of_a_failure_before_the_answer_or_the_hand_over_start_one_attempt_only() {
    let mut bench = Bench::new();
    // Its receipt came before its answer.
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    let out = bench.at(at(1), [Event::Concluded(MessageId(1)), further(1, 1, &[0], false)]);
    let second = starts(&out)[0].0;
    assert_eq!((starts(&out).len(), bench.0.messages()), (1, 1));
    assert_eq!(bench.end(at(2), attempt, &[Answer::Submitted]), []);
    bench.at(at(2), [Event::Started(second, 1)]);
    assert_eq!(bench.end(at(3), second, &[Answer::Submitted]), []);
    // Another attempt had been ordered when the first one's failure was told.
    let out = bench.at(at(4), [Event::Accepted(message(2, 0, 0, 1))]);
    let ordered = starts(&out)[0].0;
    let out = bench.at(at(5), [Event::Concluded(MessageId(2)), further(2, 1, &[0], false)]);
    assert_eq!((out.len(), bench.0.messages()), (0, 1), "that one will do");
    bench.at(at(6), [Event::Started(ordered, 1)]);
    assert_eq!(bench.end(at(7), ordered, &[Answer::Submitted]), []);
    assert_eq!(bench.0.messages(), 0);
}

/// As [`settings`], with a third tier; the lower two are weighted 4 to 1.
fn weighted() -> Settings {
    let mut settings = settings();
    let tier = |id, weight| TierRule {
        id: TierId(id),
        attempts: 3,
        service: Service::Weighted { weight, minimum: 5 },
        ..TierRule::default()
    };
    settings.tiers.truncate(1);
    settings.tiers.extend([tier(1, 4), tier(2, 1)]);
    for channel in &mut settings.channels {
        channel.tiers = vec![TierId(0), TierId(1), TierId(2)];
    }
    settings
}

fn of(app: u16, message: Message) -> Message {
    Message { app: AppId(app), ..message }
}

#[test]
fn strict_tiers_go_first_and_weighted_ones_share_what_is_left() {
    let mut bench = Bench::new();
    bench.at(Time(1), [Event::Plan(weighted()), Event::LinkUp(link(0), 80), Event::LinkDown(link(1))]);
    let marketing = (1..=100).map(|id| message(id, 0, 2, 1));
    let notice = (101..=200).map(|id| message(id, 0, 1, 1));
    let otp = (201..=205).map(|id| message(id, 0, 0, 1));
    let mut settings = weighted();
    settings.channels[0].burst = 200;
    let now = NOW.after(Duration::from_secs(1));
    bench.at(NOW, [Event::Plan(settings), Event::Hold(ChannelId(0), true)]);
    bench.at(NOW, marketing.chain(notice).chain(otp).map(Event::Accepted));
    let out = bench.at(now, [Event::Hold(ChannelId(0), false)]);
    let ids: Vec<u64> = out
        .iter()
        .filter_map(|command| match command {
            Command::Start { message, .. } => Some(message.0),
            _ => None,
        })
        .collect();
    assert_eq!(ids[..5], [201, 202, 203, 204, 205], "otp first");
    let notice = ids[5..].iter().filter(|id| (101..=200).contains(*id)).count();
    let marketing = ids[5..].iter().filter(|id| **id <= 100).count();
    assert_eq!(notice + marketing, 65, "seventy less what is left to otp");
    assert!((51..=53).contains(&notice), "{notice} to {marketing}");
}

#[test]
fn an_app_sends_no_more_than_its_own_rate_and_keeps_nobody_waiting() {
    let mut bench = Bench::new();
    let settings = Settings { apps: vec![AppRule { id: AppId(1), rate: 10.0 }], ..settings() };
    bench.at(Time(1), [Event::Plan(settings)]);
    let capped = (1..=4).map(|id| of(1, message(id, 0, 0, 1)));
    let free = (5..=8).map(|id| of(2, message(id, 0, 0, 1)));
    let out = bench.at(NOW, capped.chain(free).map(Event::Accepted));
    assert_eq!(starts(&out).len(), 5, "one of the capped app, all of the other");
    assert_eq!(bench.0.deadline(), Some(at(100)));
    assert_eq!(starts(&bench.at(at(99), [])).len(), 0);
    assert_eq!(starts(&bench.at(at(100), [])).len(), 1);
    bench.at(at(100), [Event::Plan(self::settings())]);
    assert_eq!(starts(&bench.at(at(200), [])).len(), 2, "the cap is gone: what rested till then goes");
}

#[test]
fn an_operator_ends_what_waits_and_nothing_else() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
    let waiting = (1..=50).map(|id| of((id % 3) as u16, message(id, (id % 2) as u16, (id % 2) as u8, 1)));
    bench.at(NOW, waiting.map(Event::Accepted));
    let pages = |selection: Selection| {
        let (mut cursor, mut all) = (Cursor::default(), Vec::new());
        loop {
            let page = bench.0.page(&selection, &mut cursor, 4);
            if page.is_empty() {
                all.sort_unstable();
                return all;
            }
            assert!(page.len() <= 4);
            all.extend(page.iter().map(|id| id.0));
        }
    };
    let all = Selection::default();
    assert_eq!(pages(all), (1..=50).collect::<Vec<_>>());
    assert_eq!(pages(Selection { upto: Some(MessageId(9)), ..all }), (1..=9).collect::<Vec<_>>());
    let some = Selection { group: Some(GroupId(0)), app: Some(AppId(1)), ..all };
    assert_eq!(pages(some), [4, 10, 16, 22, 28, 34, 40, 46]);
    assert!(pages(Selection { not_group: Some(GroupId(0)), ..some }).is_empty());
    assert_eq!(pages(Selection { tier: Some(TierId(1)), ..all }).len(), 25);
    let out = bench.at(NOW, [Event::Expire(MessageId(4)), Event::Expire(MessageId(4)), Event::Expire(MessageId(99))]);
    assert_eq!(out, [Command::Exhausted(MessageId(4), End::Operator)]);
    assert_eq!(bench.0.messages(), 49);
}

#[test]
fn a_mass_that_expires_ends_in_lots_and_keeps_nobody_waiting() {
    let mut bench = Bench::new();
    let hold = [0, 1].map(|id| Event::Hold(ChannelId(id), true));
    bench.at(NOW, hold);
    let mass = (1..=3_000).map(|id| of((id % 2) as u16, message(id, 0, 1, 1)));
    bench.at(NOW, mass.map(Event::Accepted));
    let ended = |out: &[Command]| out.iter().filter(|c| matches!(c, Command::Exhausted(..))).count();
    let open = [0, 1].map(|id| Event::Hold(ChannelId(id), false));
    let late = |id| Message { expires: at(120_000), ..of(7, message(id, 0, 1, 1)) };
    let out = bench.at(at(61_000), open.into_iter().chain([Event::Accepted(late(4_000))]));
    assert!((1..=256).contains(&ended(&out)), "{}", ended(&out));
    assert_eq!(starts(&out).len(), 1, "another app's message goes at once");
    assert_eq!(bench.0.deadline(), Some(at(61_000)), "and on with it");
    // No room for their outcomes: nothing ends, and nobody spins.
    bench.0.may_end(0);
    let out = bench.at(at(61_001), [Event::Accepted(late(4_001))]);
    assert_eq!((ended(&out), starts(&out).len()), (0, 1));
    assert!(bench.0.crowded(at(61_001)) && bench.0.deadline().is_none_or(|at_| at_ > at(61_001)));
    bench.0.may_end(10);
    assert_eq!(ended(&bench.at(at(61_010), [])), 10);
    bench.0.may_end(usize::MAX);
    let rest: usize = (0..12).map(|_| ended(&bench.at(at(61_020), []))).sum();
    assert!(rest > 2_000 && bench.0.messages() == 2, "{rest}");
}

#[test]
fn the_outlook_counts_what_goes_before_and_who_takes_turns() {
    let mut bench = Bench::new();
    let mut settings = weighted();
    for channel in &mut settings.channels {
        channel.rate = 50.0;
    }
    bench.at(NOW, [Event::Plan(settings), Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
    let otp = (1..=100).map(|id| message(id, 0, 0, 1));
    let notice = (101..=500).map(|id| message(id, 0, 1, 2));
    let marketing = (501..=1500).map(|id| of((id % 2) as u16, message(id, 0, 2, 1)));
    let few = (1501..=1510).map(|id| of(7, message(id, 0, 2, 1)));
    bench.at(at(1), otp.chain(notice).chain(marketing).chain(few).map(Event::Accepted));
    let outlook = |bench: &Bench, tier| bench.0.outlook(at(2)).remove(&(GroupId(0), TierId(tier))).unwrap();
    let down = outlook(&bench, 2);
    assert_eq!((down.pace, down.down_since), (100.0, Some(NOW)), "by contract");
    // One of them is back: 50 a second.
    let mut out = Vec::new();
    bench.0.step(at(2), Event::Hold(ChannelId(1), false), &mut out);
    bench.0.channels.get_mut(&ChannelId(1)).unwrap().note(at(2));
    let seconds = |wait: Duration| wait.as_secs_f64().round();
    let otp = outlook(&bench, 0);
    assert_eq!((otp.parts_ahead, otp.pace, otp.down_since, seconds(otp.wait)), (100, 50.0, None, 2.0));
    let notice = outlook(&bench, 1);
    assert_eq!((notice.parts_ahead, seconds(notice.wait)), (900, 22.0), "2 s of otp, 800 parts at four fifths");
    let marketing = outlook(&bench, 2);
    assert_eq!(marketing.parts_ahead, 1_110);
    assert_eq!(seconds(marketing.wait), 38.0, "1,910 parts in all, for notice has no more than 800");
    assert!(marketing.apps[&AppId(7)] < Duration::from_secs(6), "{:?}", marketing.apps);
    assert!(marketing.newcomer < Duration::from_secs(3), "{:?}", marketing.newcomer);
    assert!(marketing.apps[&AppId(0)] > Duration::from_secs(37));
}

#[test]
fn an_apps_own_rate_keeps_that_app_waiting_and_nobody_else() {
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.apps = vec![AppRule { id: AppId(9), rate: 10.0 }];
    bench.at(NOW, [Event::Plan(plan)]);
    let mass = (1..=3_000).map(|id| of(9, message(id, 0, 1, 1)));
    bench.at(at(2_000), mass.map(Event::Accepted));
    let outlook = bench.0.outlook(at(2_000)).remove(&(GroupId(0), TierId(1))).unwrap();
    let wait = outlook.wait_of(AppId(9)).as_secs();
    assert!((298..=300).contains(&wait), "3,000 parts at 10 a second: {wait}");
    assert!(outlook.wait_of(AppId(1)) < Duration::from_secs(1), "{outlook:?}");
    assert!(outlook.wait < Duration::from_secs(1), "what may not go keeps nobody waiting: {outlook:?}");
    let otp = bench.0.outlook(at(2_000)).remove(&(GroupId(0), TierId(0))).unwrap();
    assert_eq!(otp.wait_of(AppId(9)), otp.newcomer, "its own lower tier does not go before it");
    // Asked for, it says what it waits for.
    let said = bench.0.explain(at(2_000), of(9, message(9_000, 0, 0, 1)));
    let Explained::Waits(Some(until)) = said.decision else { panic!("{said:?}") };
    assert_eq!((said.app_rests, said.ahead), (Some(until), 0), "no stricter tier waits");
    assert!(matches!(said.candidates[0].why_not, Some((Cause::AppRate, 1..))), "{said:?}");
    let said = bench.0.explain(at(2_000), of(1, message(9_000, 0, 0, 1)));
    assert_eq!((said.decision, said.app_rests), (Explained::Starts(ChannelId(0)), None));
    let said = bench.0.explain_waiting(at(2_000), MessageId(1_501)).unwrap();
    assert!((1_490..=1_500).contains(&said.ahead), "{}", said.ahead);
    assert!((148..=151).contains(&said.wait.unwrap().as_secs()), "half of them are before it: {:?}", said.wait);
    // Who waits behind others for the channel does not wait for a rate, and those do not make it wait for its own.
    bench.at(at(2_000), (4_001..=4_100).map(|id| Event::Accepted(of(1, message(id, 0, 1, 1)))));
    bench.at(at(2_000), [Event::Accepted(of(9, message(5_000, 0, 1, 1)))]);
    let allows = |id| bench.0.app_rate_allows(at(2_000), MessageId(id));
    assert!((at(151_900)..=at(152_000)).contains(&allows(1_501).unwrap()), "{:?}", allows(1_501));
    assert_eq!((allows(2), allows(4_100)), (Some(at(2_100)), None), "the next one; one of another app");
    assert!((at(301_000)..=at(302_000)).contains(&allows(5_000).unwrap()), "3,000 before it: {:?}", allows(5_000));
}

#[test]
fn no_second_carries_more_than_the_contract_whatever_happens_to_plan_and_links() {
    let mut sent: Vec<u64> = Vec::new();
    let mut now = Time(10_000_000);
    let rule = |rate, tiers| ChannelRule { id: ChannelId(0), rate, burst: 5, tiers, ..ChannelRule::default() };
    let plan = |present: bool| Settings {
        channels: if present { vec![rule(50.0, vec![TierId(0)])] } else { Vec::new() },
        health: carefree(),
        ..settings()
    };
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let mut id = 0;
    // Each life of the process begins with an empty memory of what went.
    for life in 0..6 {
        let mut bench = Bench(Switch::new(life));
        bench.at(now, [Event::Plan(plan(true)), Event::LinkUp(link(0), 64)]);
        for _ in 0..next(3_000) {
            now = now.after(Duration::from_millis(next(4)));
            id += 1;
            let mut events = vec![Event::Accepted(message(id, 0, 0, 1))];
            match next(40) {
                0 => events.push(Event::Plan(plan(false))),
                1 | 2 => events.push(Event::Plan(plan(true))),
                3 => events.push(Event::LinkDown(link(0))),
                4 | 5 => events.push(Event::LinkUp(link(0), 64)),
                _ => {}
            }
            let out = bench.at(now, events);
            for (attempt, ..) in starts(&out) {
                sent.push(now.0);
                let ticket = Ticket::new(attempt, 0);
                let taken = [Event::Answer(ticket, Answer::Submitted), Event::Freed(ticket)];
                bench.at(now, [Event::Started(attempt, 1)].into_iter().chain(taken));
            }
        }
    }
    assert!(sent.len() > 200, "{}", sent.len());
    for (at, first) in sent.iter().enumerate() {
        let inside = sent[at..].iter().take_while(|time| **time < first + 1_000_000).count();
        assert!(inside <= 50, "{inside} in the second from {first}");
    }
}
