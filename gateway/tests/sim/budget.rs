//! A carrier that refuses everything for now: what goes again stays within its share of what goes for the first time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use carriers::{Ticket, Verdict};
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, InDoubt, TierId};
use gateway::ids::MessageId;
use gateway::switch::health::State;
use gateway::switch::{Answer, ChannelRule, Command, Event, GroupRule, Message, Settings, Switch, TierRule};
use link::LinkId;

const START: Time = Time(1_000_000);
const PER_SECOND: u64 = 200;
const LATENCY: Duration = Duration::from_millis(20);

fn settings() -> Settings {
    let tier = |id| TierRule {
        id: TierId(id),
        attempts: 8,
        backoff: vec![Duration::from_millis(500)],
        unacked: InDoubt::Wait,
        acked: InDoubt::Wait,
        ..TierRule::default()
    };
    let tiers = vec![TierId(0), TierId(1)];
    let channel = ChannelRule { id: ChannelId(0), rate: 2_000.0, burst: 100, tiers, ..ChannelRule::default() };
    let group = GroupRule { id: GroupId(0), channels: vec![ChannelId(0)], ..GroupRule::default() };
    Settings { tiers: vec![tier(0), tier(1)], channels: vec![channel], groups: vec![group], ..Settings::default() }
}

#[test]
fn a_storm_of_refusals_stays_within_the_budget() {
    let (mut switch, mut out) = (Switch::new(0), Vec::new());
    switch.step(START, Event::Plan(settings()), &mut out);
    switch.step(START, Event::LinkUp(LinkId { channel: 0, link: 0 }, 500), &mut out);
    let (mut seen, mut first, mut again, mut deferred) = (BTreeSet::new(), Vec::new(), Vec::new(), 0);
    let mut answers: VecDeque<(Time, Ticket)> = VecDeque::new();
    for tick in 0..25 * PER_SECOND {
        let now = Time(START.0 + tick * 1_000_000 / PER_SECOND);
        let (app, group, tier) = (AppId(0), GroupId(0), TierId(u8::from(tick % 20 > 0)));
        let expires = now.after(Duration::from_secs(600));
        let id = MessageId(tick + 1);
        switch.step(now, Event::Accepted(Message { id, app, group, tier, parts: 1, expires, accepted: now }), &mut out);
        while answers.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, ticket)) = answers.pop_front() else { break };
            switch.step(now, Event::Answer(ticket, Answer::Refused(Verdict::Retry)), &mut out);
            switch.step(now, Event::Freed(ticket), &mut out);
        }
        switch.settle(Moment { time: now, wall: Wall(1_800_000_000_000 + now.0 / 1_000) }, &mut out);
        for command in std::mem::take(&mut out) {
            match command {
                Command::Start { attempt, message, .. } => {
                    switch.step(now, Event::Started(attempt, 1), &mut out);
                    answers.push_back((now.after(LATENCY), Ticket::new(attempt, 0)));
                    if seen.insert(message) { first.push(now) } else { again.push(now) }
                }
                Command::Deferred(_) => deferred += 1,
                _ => {}
            }
        }
    }
    println!("{} messages, {} retries, {deferred} deferred", first.len(), again.len());
    assert!(deferred > 0 && again.len() > 200, "{} retries, {deferred} deferred", again.len());
    for until in &again {
        let within = |list: &[Time]| {
            let upto = list.partition_point(|at| at <= until);
            list[..upto].iter().rev().take_while(|at| until.since(**at) < Duration::from_secs(10)).count()
        };
        let (retries, most) = (within(&again), 100.max(within(&first) / 10));
        assert!(retries <= most + 1, "{retries} retries in ten seconds of at most {most}");
    }
}

/// A carrier that answers most at once and some not for seconds: nothing is suspected, and each of those is due for a
/// hedge. Once per message, and per channel within its share of ten seconds' first attempts.
#[test]
fn hedges_stay_within_their_share() {
    let (rate, slow) = (20, 15);
    let mut settings = settings();
    settings.tiers.iter_mut().for_each(|tier| tier.acked = InDoubt::Resend(Duration::ZERO));
    settings.channels.push(ChannelRule { id: ChannelId(1), ..settings.channels[0].clone() });
    settings.groups[0].channels.push(ChannelId(1));
    let (mut switch, mut out) = (Switch::new(0), Vec::new());
    switch.step(START, Event::Plan(settings), &mut out);
    for channel in 0..2 {
        switch.step(START, Event::LinkUp(LinkId { channel, link: 0 }, 500), &mut out);
    }
    let (mut firsts, mut hedges) = (Vec::new(), Vec::new());
    let mut hedged = BTreeSet::new();
    let mut answers: BTreeSet<(Time, Ticket)> = BTreeSet::new();
    for tick in 0..60 * 100 {
        let now = Time(START.0 + 2_000_000 + tick * 10_000);
        if tick % (100 / rate) == 0 {
            let (id, expires) = (MessageId(tick + 1), now.after(Duration::from_secs(60)));
            let (app, group, tier) = (AppId(0), GroupId(0), TierId(0));
            let message = Message { id, app, group, tier, parts: 1, expires, accepted: now };
            switch.step(now, Event::Accepted(message), &mut out);
        }
        while let Some((_, ticket)) = answers.first().copied().filter(|(at, _)| *at <= now) {
            answers.pop_first();
            switch.step(now, Event::Answer(ticket, Answer::Submitted), &mut out);
            switch.step(now, Event::Freed(ticket), &mut out);
        }
        switch.settle(Moment { time: now, wall: Wall(1_800_000_000_000 + now.0 / 1_000) }, &mut out);
        for command in std::mem::take(&mut out) {
            match command {
                Command::Start { attempt, link, .. } => {
                    switch.step(now, Event::Started(attempt, 1), &mut out);
                    if link.channel == 0 {
                        firsts.push(now);
                    }
                    let late = link.channel == 0 && firsts.len() % slow == 0;
                    let takes = if late { Duration::from_secs(4) } else { LATENCY };
                    answers.insert((now.after(takes), Ticket::new(attempt, 0)));
                }
                Command::Hedged(id, channel) => {
                    assert_eq!(channel, ChannelId(0));
                    assert!(hedged.insert(id), "{id} is hedged twice");
                    hedges.push(now);
                }
                Command::Transition(channel, to) => {
                    assert!(!matches!(to.to, State::Suspect | State::Down), "{channel:?} is well: {to:?}");
                }
                _ => {}
            }
        }
    }
    for (nth, at) in hedges.iter().enumerate() {
        let within = |list: &[Time], seconds| {
            list.iter().filter(|time| **time <= *at && at.since(**time) < Duration::from_secs(seconds)).count()
        };
        let (hedged, first) = (within(&hedges[..=nth], 9), within(&firsts, 11));
        assert!(hedged <= 3.max(first / 50), "{hedged} hedges of {first} in ten seconds");
    }
    // Eighty were due.
    assert!((15..=30).contains(&hedges.len()), "{} hedges", hedges.len());
}
