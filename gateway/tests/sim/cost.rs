//! What the switch itself costs per message: `cargo test --release --test sim -- --ignored --nocapture cost`.

use std::time::{Duration, Instant};

use carriers::Ticket;
use gateway::clock::{Moment, Time, Wall};
use gateway::config::plan::{AppId, ChannelId, GroupId, InDoubt, TierId};
use gateway::ids::MessageId;
use gateway::switch::{Answer, ChannelRule, Command, Event, GroupRule, Message, Settings, Switch, TierRule};
use link::LinkId;

const MESSAGES: u64 = 500_000;
/// Messages that come, and answers, per turn.
const BATCH: u64 = 10;
/// Turns from a message to its answer.
const TURNS: usize = 50;

#[test]
#[ignore = "a measurement"]
fn cost_per_message() {
    let resend = InDoubt::Resend(Duration::ZERO);
    let tier = |id| TierRule { id: TierId(id), attempts: 3, unacked: resend, acked: resend, ..TierRule::default() };
    let channel = |id| ChannelRule {
        id: ChannelId(id),
        rate: 1e9,
        burst: 1_000_000,
        tiers: vec![TierId(0), TierId(1)],
        probes: true,
        carrier: u32::from(id),
        ..ChannelRule::default()
    };
    let group = GroupRule { id: GroupId(0), channels: vec![ChannelId(0), ChannelId(1)], ..GroupRule::default() };
    let mut switch = Switch::new(1);
    let mut out = Vec::new();
    let mut now = Time(1_000_000);
    let settings = Settings {
        tiers: vec![tier(0), tier(1)],
        channels: vec![channel(0), channel(1)],
        groups: vec![group],
        ..Settings::default()
    };
    switch.step(now, Event::Plan(settings), &mut out);
    for channel in 0..2 {
        switch.step(now, Event::LinkUp(LinkId { channel, link: 0 }, 5_000), &mut out);
    }
    let mut waiting = std::collections::VecDeque::new();
    let began = Instant::now();
    let mut answered = 0;
    let mut next = 1 << 30;
    while answered < MESSAGES {
        now = now.after(Duration::from_millis(2));
        for _ in 0..BATCH {
            next += 1;
            let message = Message {
                id: MessageId(next),
                app: AppId(0),
                group: GroupId(0),
                tier: TierId((next % 2) as u8),
                parts: 1,
                expires: now.after(Duration::from_secs(300)),
                accepted: now,
            };
            switch.step(now, Event::Accepted(message), &mut out);
        }
        if waiting.len() >= TURNS {
            for ticket in waiting.pop_front().into_iter().flatten() {
                switch.step(now, Event::Answer(ticket, Answer::Submitted), &mut out);
                switch.step(now, Event::Freed(ticket), &mut out);
                answered += 1;
            }
        }
        let mut sent = Vec::new();
        loop {
            switch.settle(Moment { time: now, wall: Wall(1_800_000_000_000 + now.0 / 1_000) }, &mut out);
            if out.is_empty() {
                break;
            }
            for command in std::mem::take(&mut out) {
                if let Command::Start { attempt, .. } = command {
                    switch.step(now, Event::Started(attempt, 1), &mut out);
                    sent.push(Ticket::new(attempt, 0));
                }
            }
        }
        waiting.push_back(sent);
    }
    let each = began.elapsed() / u32::try_from(answered).unwrap();
    println!("{each:?} per message in turns of {BATCH}, {} in flight", BATCH as usize * TURNS);
}
