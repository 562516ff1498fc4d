//! A carrier that allows less than the contract says, and tells so only by throttle answers.

use std::collections::VecDeque;
use std::time::Duration;

use carriers::{Ticket, Verdict};
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, InDoubt, TierId};
use gateway::ids::MessageId;
use gateway::switch::{Answer, ChannelRule, Command, Event, GroupRule, Message, Settings, Switch, TierRule};
use link::LinkId;

const START: Time = Time(1_000_000);

/// What was seen in the whole run, and of it after the first three seconds.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) accepted: u32,
    pub(crate) late_submits: u32,
    pub(crate) late_throttled: u32,
    /// Rate of the channel at the end, parts per second.
    pub(crate) rate: f64,
}

/// The carrier's own bucket.
pub(crate) struct Carrier {
    /// Parts per second it allows.
    pub(crate) rate: f64,
    pub(crate) burst: f64,
    /// From submit to answer.
    pub(crate) latency: Duration,
}

/// One channel of `contract` parts per second and a window of 20, offered `load` messages per second.
pub(crate) fn run(carrier: &Carrier, contract: f64, load: u64, seconds: u64) -> Seen {
    let mut switch = Switch::new(0);
    let mut out = Vec::new();
    let link = LinkId { channel: 0, link: 0 };
    switch.step(START, Event::Plan(settings(contract)), &mut out);
    switch.step(START, Event::LinkUp(link, 20), &mut out);
    let end = START.after(Duration::from_secs(seconds));
    let gap = Duration::from_secs(1) / load as u32;
    let (mut seen, mut tokens, mut filled) = (Seen::default(), carrier.burst, START);
    let mut answers: VecDeque<(Time, Ticket, bool)> = VecDeque::new();
    let (mut now, mut arrival, mut id) = (START, START, 1u64);
    while now < end {
        if arrival <= now {
            switch.step(now, Event::Accepted(message(id, now)), &mut out);
            (id, arrival) = (id + 1, now.after(gap));
        }
        while answers.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, ticket, accepts)) = answers.pop_front() else { break };
            let answer = if accepts { Answer::Submitted } else { Answer::Refused(Verdict::Throttled) };
            seen.accepted += u32::from(accepts);
            switch.step(now, Event::Answer(ticket, answer), &mut out);
            switch.step(now, Event::Freed(ticket), &mut out);
        }
        switch.settle(Moment { time: now, wall: Wall(1_800_000_000_000 + now.0 / 1_000) }, &mut out);
        for command in std::mem::take(&mut out) {
            let Command::Start { attempt, .. } = command else { continue };
            switch.step(now, Event::Started(attempt, 1), &mut out);
            tokens = (tokens + carrier.rate * now.since(filled).as_secs_f64()).min(carrier.burst);
            filled = now;
            let accepts = tokens >= 1.0;
            tokens -= f64::from(u8::from(accepts));
            answers.push_back((now.after(carrier.latency), Ticket::new(attempt, 0), accepts));
            if now.since(START) >= Duration::from_secs(3) {
                seen.late_submits += 1;
                seen.late_throttled += u32::from(!accepts);
            }
        }
        let answer = answers.front().map(|(at, ..)| *at);
        let next = [Some(arrival), answer, switch.deadline()].into_iter().flatten().min().unwrap_or(end);
        // A deadline of now is a settle that did not finish; time goes on all the same.
        now = next.max(now.after(Duration::from_micros(1)));
    }
    seen.rate = switch.channel(now, ChannelId(0)).map_or(0.0, |view| view.rate_now);
    seen
}

fn message(id: u64, now: Time) -> Message {
    let expires = now.after(Duration::from_secs(600));
    let (app, group, tier) = (AppId(0), GroupId(0), TierId(0));
    Message { id: MessageId(id), app, group, tier, parts: 1, expires, accepted: now }
}

fn settings(rate: f64) -> Settings {
    let wait = InDoubt::Wait;
    let tier = TierRule { id: TierId(0), attempts: 3, unacked: wait, acked: wait, ..TierRule::default() };
    let channel = ChannelRule {
        id: ChannelId(0),
        rate,
        burst: (rate / 20.0) as u32,
        tiers: vec![TierId(0)],
        ..ChannelRule::default()
    };
    let group = GroupRule { id: GroupId(0), channels: vec![ChannelId(0)], spill_after: None, ..GroupRule::default() };
    Settings { tiers: vec![tier], channels: vec![channel], groups: vec![group], ..Settings::default() }
}
