//! Messages that kill the sessions they are sent over, and those that only stand by.

use super::*;

/// A bench whose links have lived long enough, and answered somebody, for their death to say something.
fn sound() -> Bench {
    let mut bench = Bench::new();
    let mut plan = Settings { health: carefree(), ..settings() };
    plan.tiers[0].attempts = 9;
    bench.at(Time(2), [Event::Plan(plan)]);
    for channel in [0, 1] {
        bench.0.poison.up(Time(0), link(channel));
        // Nothing leaves in the first second.
        answer_somebody(&mut bench, Time(2_000_000), channel);
    }
    bench
}

fn answer_somebody(bench: &mut Bench, now: Time, channel: u16) {
    let other = Event::Hold(ChannelId(1 - channel), true);
    let somebody = Message { expires: now.after(Duration::from_secs(60)), ..message(1_000_000, 0, 0, 1) };
    let (attempt, at, _) = starts(&bench.at(now, [other, Event::Accepted(somebody)]))[0];
    assert_eq!(at, channel);
    bench.at(now, [Event::Started(attempt, 1)]);
    bench.end(now, attempt, &[Answer::Submitted]);
    bench.at(now, [Event::Hold(ChannelId(1 - channel), false)]);
}

/// The attempt's link dies with it.
fn dies(bench: &mut Bench, now: Time, attempt: AttemptRef, channel: u16) -> Vec<Command> {
    let ticket = Ticket::new(attempt, 0);
    let mut out = bench.at(now, [Event::Answer(ticket, Answer::Unanswered(Doubt::Acked)), Event::Freed(ticket)]);
    // The word on the link may come a turn later.
    out.extend(bench.at(now.after(Duration::from_millis(1)), [Event::LinkDown(link(channel))]));
    out
}

#[test]
fn what_kills_two_sessions_goes_alone_and_a_third_death_convicts() {
    let mut bench = sound();
    let (first, channel) = bench.sent(message(1, 0, 0, 1));
    let out = dies(&mut bench, at(10), first, channel);
    let (second, channel, _) = starts(&out)[0];
    assert_eq!(channel, 1, "as any message in doubt");
    bench.at(at(12), [Event::Started(second, 1)]);
    // The first link is back, serves others, and is sound after a while.
    bench.at(at(13), [Event::LinkUp(link(0), 8)]);
    answer_somebody(&mut bench, at(13), 0);
    let out = dies(&mut bench, at(20), second, channel);
    let (third, channel, _) = starts(&out).first().copied().unwrap_or((second, 9, 0));
    assert_eq!(channel, 0, "sent a third time before the second death was known");
    bench.at(at(22), [Event::Started(third, 1)]);
    bench.end(at(23), third, &[Answer::Refused(Verdict::Throttled)]);
    // From here on it is sent alone only, and over a sound link.
    bench.at(at(30), [Event::LinkUp(link(1), 8), Event::Hold(ChannelId(1), true)]);
    assert_eq!(starts(&bench.at(at(5_000), [])), [], "no link is sound");
    let others = starts(&bench.at(at(10_000), [2, 3].map(|id| Event::Accepted(message(id, 0, 1, 1)))));
    assert_eq!(others.len(), 2, "others go on until a link is set aside");
    bench.at(at(10_000), others.iter().map(|s| Event::Started(s.0, 1)));
    assert_eq!(starts(&bench.at(at(10_014), [])), []);
    assert_eq!(starts(&bench.at(at(10_015), [Event::Accepted(message(4, 0, 1, 1))])), [], "it takes nothing new");
    assert_eq!(starts(&bench.end(at(10_016), others[0].0, &[Answer::Submitted])), [], "not empty yet");
    let alone = starts(&bench.end(at(10_017), others[1].0, &[Answer::Submitted]));
    assert_eq!(alone.iter().map(|s| s.1).collect::<Vec<_>>(), [0], "nothing beside it");
    bench.at(at(10_018), [Event::Started(alone[0].0, 1)]);
    let mut out = dies(&mut bench, at(10_500), alone[0].0, 0);
    out.retain(|c| !matches!(c, Command::Start { message: MessageId(4), .. } | Command::Transition(..)));
    let convicted = [
        Command::InDoubt(MessageId(1), ChannelId(0), Doubt::Acked),
        Command::Quarantined(MessageId(1), ChannelId(0)),
        Command::Exhausted(MessageId(1), End::Poison),
    ];
    assert_eq!(out, convicted);
    assert_eq!((bench.0.messages(), bench.0.poison.census()), (1, [0, 0]), "the other one is left");
}

#[test]
fn a_trial_that_ends_well_acquits() {
    let mut bench = sound();
    bench.at(NOW, [Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
    bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1)), Event::Accepted(message(2, 0, 0, 1))]);
    let mut pending = bench.0.lanes.remove(MessageId(1)).unwrap();
    pending.entry.strikes = poison::STRIKES;
    bench.0.lanes.insert(pending);
    let out = bench.at(at(1), [Event::Hold(ChannelId(0), false)]);
    let alone = starts(&out);
    assert_eq!(alone.len(), 1, "one of them: {out:?}");
    assert!(matches!(out[..], [Command::Start { message: MessageId(1), .. }]), "{out:?}");
    bench.at(at(1), [Event::Started(alone[0].0, 1)]);
    // A death long after its send is not its doing; and the link does not serve it alone for ever.
    let (mut now, mut others) = (at(1), 0);
    for _ in 0..100 {
        // Health looks in between.
        let Some(deadline) = bench.0.deadline().filter(|_| others == 0) else { break };
        (now, others) = (deadline, starts(&bench.at(deadline, [])).len());
    }
    assert_eq!((now, others), (at(2_001), 1), "the other one follows");
    let out = dies(&mut bench, at(2_100), alone[0].0, 0);
    assert!(!out.iter().any(|c| matches!(c, Command::Quarantined(..))), "{out:?}");
    assert_eq!(bench.0.poison.census(), [0, 0]);
}

#[test]
fn what_is_concluded_or_ended_while_it_is_judged_leaves_nothing() {
    for event in [Event::Concluded(MessageId(1)), Event::Expire(MessageId(1))] {
        let mut bench = sound();
        bench.at(NOW, [Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
        bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1))]);
        let mut pending = bench.0.lanes.remove(MessageId(1)).unwrap();
        pending.entry.strikes = poison::STRIKES;
        bench.0.lanes.insert(pending);
        let (alone, ..) = starts(&bench.at(at(1), [Event::Hold(ChannelId(0), false)]))[0];
        bench.at(at(1), [Event::Started(alone, 1)]);
        bench.end(at(5), alone, &[Answer::Unanswered(Doubt::Acked)]);
        assert_eq!(bench.0.poison.census()[1], 1, "judged");
        bench.at(at(6), [event]);
        assert_eq!((bench.0.messages(), bench.0.poison.census()[1]), (0, 0));
    }
}

#[test]
fn a_suspect_without_a_sound_link_goes_as_others_do() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Hold(ChannelId(0), true), Event::Hold(ChannelId(1), true)]);
    bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1))]);
    let mut pending = bench.0.lanes.remove(MessageId(1)).unwrap();
    pending.entry.strikes = poison::STRIKES;
    bench.0.lanes.insert(pending);
    assert_eq!(starts(&bench.at(NOW, [Event::Hold(ChannelId(0), false)])), []);
    assert_eq!(bench.0.deadline(), Some(at(10_000)));
    assert_eq!(starts(&bench.at(at(10_000), [])).len(), 1);
    assert_eq!(bench.0.poison.census(), [0, 0]);
}

/// Links that come and go, however fast, with whatever stands at their head.
#[test]
fn a_flapping_link_convicts_nobody() {
    for (period, answers) in
        [(300, false), (1_000, true), (3_000, true), (9_000, true), (12_000, false), (15_000, true)]
    {
        let mut bench = Bench::new();
        let mut plan = Settings { health: carefree(), ..settings() };
        plan.tiers[0].attempts = 100;
        plan.groups[0].channels = vec![ChannelId(0)];
        bench.at(NOW, [Event::Plan(plan)]);
        let mut now = 0;
        for round in 0..40 {
            let mut flying = starts(&bench.at(at(now), [Event::LinkUp(link(0), 8)]));
            let head = Message { expires: at(now + 60_000), ..message(10 + round, 0, 0, 1) };
            flying.extend(starts(&bench.at(at(now), [Event::Accepted(head)])));
            bench.at(at(now), flying.iter().map(|s| Event::Started(s.0, 1)));
            if answers && flying.len() > 1 {
                let (attempt, ..) = flying.remove(0);
                bench.end(at(now + 20), attempt, &[Answer::Submitted]);
            }
            // Whatever is sent last stands at the head when the link breaks.
            now += period;
            let late = Message { expires: at(now + 60_000), ..message(1_000 + round, 0, 0, 1) };
            let more = starts(&bench.at(at(now - 50), [Event::Accepted(late)]));
            bench.at(at(now - 50), more.iter().map(|s| Event::Started(s.0, 1)));
            let lost: Vec<Ticket> = flying.iter().chain(&more).map(|s| Ticket::new(s.0, 0)).collect();
            let answers = lost.iter().map(|t| Event::Answer(*t, Answer::Unanswered(Doubt::Acked)));
            let out = bench.at(at(now), answers.chain([Event::LinkDown(link(0))]));
            let convicted = out.iter().find(|c| matches!(c, Command::Quarantined(..)));
            assert_eq!(convicted, None, "every {period} ms, round {round}");
            now += 5;
        }
    }
}

#[test]
fn what_our_own_code_fails_on_is_quarantined_at_once() {
    let mut bench = Bench::new();
    let (attempt, ..) = starts(&bench.at(NOW, [Event::Accepted(message(1, 0, 0, 1))]))[0];
    let out = bench.at(NOW, [Event::NotStarted(attempt, NotStarted::Panicked)]);
    let quarantined = [Command::Quarantined(MessageId(1), ChannelId(0)), Command::Exhausted(MessageId(1), End::Poison)];
    assert_eq!(out, quarantined);
    assert_eq!((bench.0.messages(), bench.0.channel(NOW, ChannelId(0)).unwrap().in_flight), (0, 0));
}
