//! Messages that follow the one before them: the same is done as if each were looked at by itself.

use proptest::prelude::*;

use super::*;
use crate::config::plan::{Balance, Strategy};

/// Two strict tiers and two weighted ones; apps, one of which has a rate of its own; a group of its own for channel 1.
fn crowded(strategy: Strategy, spill: bool) -> Settings {
    let mut plan = settings();
    let shared = |id, weight| TierRule {
        id: TierId(id),
        service: Service::Weighted { weight, minimum: 0 },
        ..plan.tiers[1].clone()
    };
    let tiers = [shared(2, 3), shared(3, 1)];
    plan.tiers.extend(tiers);
    for channel in &mut plan.channels {
        channel.tiers = (0..4).map(TierId).collect();
    }
    plan.groups[0].strategy = strategy;
    plan.groups[0].spill_after = spill.then_some(Duration::from_millis(20));
    plan.groups[1].channels = vec![ChannelId(1)];
    plan.apps = vec![AppRule { id: AppId(2), rate: 50.0 }];
    plan
}

fn strategies() -> [Strategy; 5] {
    [
        Strategy::Preference,
        Strategy::LeastCost,
        Strategy::Quality { explore: 0.0 },
        Strategy::Quality { explore: 0.3 },
        Strategy::Balanced(Balance { explore: 0.3, ..Balance::default() }),
    ]
}

proptest! {
    #[test]
    fn a_run_does_what_each_message_by_itself_would(
        strategy in 0usize..5,
        spill in any::<bool>(),
        ops in prop::collection::vec((0u8..14, 0u16..2, 1u8..4, 0u64..60, any::<u32>()), 1..150),
    ) {
        let (mut run, mut each) = (Bench::new(), Bench::new());
        each.0.without_runs = true;
        let (mut now, mut flying, mut id) = (NOW, Vec::new(), 100);
        let mut events = vec![Event::Plan(crowded(strategies()[strategy].clone(), spill))];
        for (op, channel, parts, ms, dice) in ops {
            now = now.after(Duration::from_millis(ms));
            match op {
                0 => events.push(Event::LinkDown(link(channel))),
                1 | 2 => events.push(Event::LinkUp(link(channel), usize::from(parts) * 8)),
                3 => events.push(Event::Hold(ChannelId(channel), parts == 1)),
                4..=7 if !flying.is_empty() => {
                    for _ in 0..=dice % 12 {
                        if flying.is_empty() {
                            break;
                        }
                        let (attempt, count): (AttemptRef, u8) = flying.remove(dice as usize % flying.len());
                        let answer = match dice >> 8 & 15 {
                            0 => Answer::Refused(Verdict::Retry),
                            1 => Answer::Refused(Verdict::Throttled),
                            2 => Answer::Refused(Verdict::Reroute),
                            3 => Answer::Unanswered(Doubt::Acked),
                            _ => Answer::Submitted,
                        };
                        for part in 0..count {
                            let ticket = Ticket::new(attempt, part);
                            events.extend([Event::Answer(ticket, answer.clone()), Event::Freed(ticket)]);
                        }
                    }
                }
                _ => {
                    for n in 0..=dice % 24 {
                        id += 1;
                        let parts = if dice >> 5 & 3 == 0 { 1 + (n % 3) as u8 } else { parts };
                        let (group, tier) = (u16::from(dice >> 7 & 7 == 0), (dice >> 10) as u8 & if n % 4 == 0 { 3 } else { 1 });
                        let expires = now.after(Duration::from_millis(if dice >> 12 & 7 == 0 { 100 } else { 60_000 }));
                        let app = AppId((dice >> 15 & 1) as u16 * (n % 3) as u16);
                        events.push(Event::Accepted(Message { app, accepted: now, expires, ..message(id, group, tier, parts) }));
                    }
                }
            }
            let all = std::mem::take(&mut events);
            let (did, other) = (run.at(now, all.clone()), each.at(now, all));
            prop_assert_eq!(&did, &other);
            prop_assert_eq!(run.0.deadline(), each.0.deadline());
            for channel in [0, 1].map(ChannelId) {
                prop_assert_eq!(run.0.channel(now, channel), each.0.channel(now, channel));
            }
            for command in did {
                if let Command::Start { attempt, parts, .. } = command {
                    flying.push((attempt, parts));
                    events.push(Event::Started(attempt, parts));
                }
            }
        }
    }
}
