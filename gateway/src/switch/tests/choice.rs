//! Why a message goes where it goes, and that what is explained is what is done.

use super::*;
use crate::config::plan::Balance;
use crate::switch::{Explained, Explanation};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

/// Why the messages started did, in words; channels are called c0, c1.
fn whys(out: &[Command]) -> Vec<String> {
    let why = |command: &Command| match command {
        Command::Start { why, .. } => {
            Some(why.words(&why.other.map_or_else(String::new, |other| format!("c{}", other.0))).unwrap_or_default())
        }
        _ => None,
    };
    out.iter().filter_map(why).collect()
}

fn with(strategy: Strategy) -> Settings {
    let mut plan = settings();
    plan.groups[0].strategy = strategy;
    plan
}

#[test]
fn every_start_says_why() {
    let mut bench = Bench::new();
    let out = bench.at(NOW, (1..=10).map(|id| Event::Accepted(message(id, 0, 0, 1))));
    assert_eq!(whys(&out)[0], "preferred");
    assert_eq!(whys(&bench.at(at(1_000), [])), ["spilled after 1.0 s: c0 is busy"; 2]);

    let mut bench = Bench::new();
    let out = bench.at(NOW, [Event::LinkDown(link(0)), Event::Accepted(message(1, 0, 0, 1))]);
    assert_eq!(whys(&out), ["backup: c0 has no link"]);
    let out = bench
        .at(at(1), [Event::LinkUp(link(0), 8), Event::Hold(ChannelId(0), true), Event::Accepted(message(2, 0, 0, 1))]);
    assert_eq!(whys(&out), ["backup: c0 is held"]);

    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 0, 1));
    let out = bench.end(at(1), attempt, &[Answer::Refused(Verdict::Retry)]);
    assert_eq!(whys(&out), ["again after a refusal by c0"]);
    let (attempt, _) = bench.sent(message(2, 0, 0, 1));
    let out = bench.end(at(1), attempt, &[Answer::Unanswered(Doubt::Acked)]);
    assert_eq!(whys(&out), ["again: in doubt on c0"]);
    let (attempt, _) = bench.sent(message(3, 0, 0, 1));
    let out = bench.end(at(1), attempt, &[Answer::Refused(Verdict::Reroute)]);
    assert_eq!(whys(&out), ["c0 cannot carry it"]);

    let mut bench = Bench::new();
    let (attempt, _) = bench.sent(message(1, 0, 0, 2));
    bench.end(at(1), attempt, &[Answer::Submitted, Answer::Refused(Verdict::Throttled)]);
    let out = bench.at(at(50), [Event::Accepted(message(2, 0, 0, 1))]);
    assert_eq!(whys(&out), ["backup: c0 rests after throttle answers, for 51 ms"]);
    assert_eq!(whys(&bench.at(at(101), [])), ["the missing parts"]);
}

#[test]
fn a_better_one_that_is_held_is_named_by_strategies_that_spread_too() {
    let balance = Balance { cost: 1.0, quality: 0.0, latency: 0.0, load: 0.0, ..Balance::default() };
    for strategy in [Strategy::Weighted(vec![3, 1]), Strategy::Balanced(balance)] {
        let mut plan = with(strategy.clone());
        (plan.channels[0].cost, plan.channels[1].cost) = (0.01, 0.05);
        let mut bench = Bench::new();
        let held = |id, held| Event::Hold(ChannelId(id), held);
        let out = bench.at(NOW, [Event::Plan(plan), held(0, true), Event::Accepted(message(1, 0, 0, 1))]);
        assert_eq!(whys(&out), ["backup: c0 is held"], "{strategy:?}");
        // The lesser one is not missed; the share is that of those in service.
        let said = bench.at(at(1), [held(0, false), held(1, true), Event::Accepted(message(2, 0, 0, 1))]);
        let said = whys(&said);
        assert!(!said[0].starts_with("backup"), "{said:?}");
        let weighted = matches!(strategy, Strategy::Weighted(_));
        assert!(!weighted || said[0] == "its turn by weight (100 % of those in service)", "{said:?}");
    }
}

#[test]
fn every_strategy_has_its_word() {
    let balanced = Strategy::Balanced(Balance::default());
    for (strategy, word) in [
        (Strategy::Preference, "preferred"),
        (Strategy::Weighted(vec![3, 1]), "its turn by weight (75 % of those in service)"),
        (Strategy::LeastCost, "cheapest"),
        (Strategy::Quality { explore: 0.0 }, "best quality (score 100 %)"),
        (balanced, "best balance (score 100 %)"),
    ] {
        let mut bench = Bench::new();
        let out = bench.at(NOW, [Event::Plan(with(strategy)), Event::Accepted(message(1, 0, 0, 1))]);
        assert_eq!(whys(&out), [word]);
    }
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.groups[0].channels.truncate(1);
    let out = bench.at(NOW, [Event::Plan(plan), Event::Accepted(message(1, 0, 0, 1))]);
    assert_eq!(whys(&out), ["the only channel"]);
}

#[test]
fn weights_share_what_the_switch_starts() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Plan(with(Strategy::Weighted(vec![3, 1]))), Event::LinkUp(link(0), 64)]);
    let out = bench.at(NOW, (1..=20).map(|id| Event::Accepted(message(id, 0, 0, 1))));
    assert_eq!(starts(&out).iter().filter(|start| start.1 == 0).count(), 15);
}

fn explanation(bench: &mut Bench, now: Time, message: Message) -> Explanation {
    bench.0.explain(now, message)
}

#[test]
fn an_explanation_names_everybody_and_takes_nothing() {
    let mut bench = Bench::new();
    let mut plan = settings();
    plan.channels.push(ChannelRule { id: ChannelId(2), tiers: vec![TierId(1)], ..plan.channels[0].clone() });
    plan.groups[0].channels = vec![ChannelId(2), ChannelId(0), ChannelId(1)];
    bench.at(NOW, [Event::Plan(plan), Event::Hold(ChannelId(0), true)]);
    for _ in 0..3 {
        let said = explanation(&mut bench, at(1), message(9, 0, 0, 2));
        assert_eq!(said.decision, Explained::Starts(ChannelId(1)));
        let who: Vec<_> = said.candidates.iter().map(|c| (c.channel.0, c.rank, c.why_not.map(|w| w.0))).collect();
        let (held, tier) = (Some(Cause::Held), Some(Cause::Tier));
        assert_eq!(who, [(0, Some(1), held), (1, Some(2), None), (2, None, tier)]);
        assert_eq!(said.candidates[1].factors.window, 8);
        assert!(said.candidates[0].factors.held && said.candidates[1].chosen);
    }
    assert_eq!(bench.0.channel(at(1), ChannelId(1)).map(|view| view.in_flight), Some(0));
    let said = explanation(&mut bench, at(1), message(9, 0, 0, 9));
    assert_eq!(said.decision, Explained::Ends(End::NoChannel), "nine parts fit no window");
    assert!(said.candidates.iter().all(|c| !c.chosen && c.why_not.is_some()), "{said:?}");
    assert_eq!(explanation(&mut bench, at(1), message(9, 7, 0, 1)).decision, Explained::Waits(None), "no such group");
}

#[test]
fn a_message_that_is_here_is_explained_wherever_it_is() {
    let mut bench = Bench::new();
    bench.at(NOW, [Event::Hold(ChannelId(1), true)]);
    bench.at(NOW, (1..=10).map(|id| Event::Accepted(message(id, 0, 0, 1))));
    let mut here = |id| bench.0.explain_waiting(NOW, MessageId(id));
    assert_eq!(here(1).map(|said| said.decision), Some(Explained::InFlight(ChannelId(0))));
    assert_eq!(here(10).map(|said| (said.decision, said.ahead)), Some((Explained::Waits(Some(at(1_000))), 1)));
    assert_eq!(here(11), None);
}

fn strategies() -> [Strategy; 5] {
    [
        Strategy::Preference,
        Strategy::Weighted(vec![3, 1]),
        Strategy::LeastCost,
        Strategy::Quality { explore: 0.3 },
        Strategy::Balanced(Balance { explore: 0.3, ..Balance::default() }),
    ]
}

proptest! {
    /// What the explanation calls chosen is what the settle starts, for the reason it gives.
    #[test]
    fn what_is_explained_is_what_is_done(
        strategy in 0usize..5,
        ops in prop::collection::vec((0u8..12, 0u16..2, 1u8..4, 0u64..400), 1..120),
    ) {
        let mut bench = Bench::new();
        bench.at(Time(2), [Event::Plan(with(strategies()[strategy].clone()))]);
        let (mut now, mut flying, mut id) = (NOW, Vec::new(), 100);
        for (op, channel, parts, ms) in ops {
            now = now.after(Duration::from_millis(ms));
            let mut out = bench.at(now, []);
            match op {
                0 => out.extend(bench.at(now, [Event::LinkDown(link(channel))])),
                1 => out.extend(bench.at(now, [Event::LinkUp(link(channel), 8)])),
                2 => out.extend(bench.at(now, [Event::Hold(ChannelId(channel), parts == 1)])),
                3 => out.extend(bench.at(now, [Event::Delivered(ChannelId(channel), parts == 1)])),
                4..=6 if !flying.is_empty() => {
                    let (attempt, count): (AttemptRef, u8) = flying.remove(usize::from(channel) % flying.len());
                    let answer = [Answer::Submitted, Answer::Refused(Verdict::Retry), Answer::Refused(Verdict::Throttled)];
                    let answers = vec![answer[usize::from(op - 4)].clone(); usize::from(count)];
                    out.extend(bench.end(now, attempt, &answers));
                }
                _ => {
                    id += 1;
                    let tier = u8::from(op % 2 == 0);
                    let message = Message { accepted: now, expires: now.after(Duration::from_secs(60)), ..message(id, 0, tier, parts) };
                    let alone = bench.0.lanes.len() == 0;
                    let said = bench.0.explain(now, message);
                    let again = bench.0.explain(now, message);
                    prop_assert_eq!(&again, &said, "asking changes nothing");
                    let did = bench.at(now, [Event::Accepted(message)]);
                    let start = did.iter().find_map(|command| match command {
                        Command::Start { message, link, why, .. } if *message == MessageId(id) => Some((ChannelId(link.channel), *why)),
                        _ => None,
                    });
                    if alone {
                        let expected = match said.decision {
                            Explained::Starts(channel) => Some((channel, said.why.unwrap())),
                            _ => None,
                        };
                        prop_assert_eq!(start, expected, "{:?}", said);
                        let chosen: Vec<_> = said.candidates.iter().filter(|c| c.chosen).map(|c| c.channel).collect();
                        prop_assert_eq!(chosen, start.map(|start| start.0).into_iter().collect::<Vec<_>>());
                    }
                    prop_assert!(said.candidates.iter().all(|c| c.chosen != c.why_not.is_some()));
                    prop_assert_eq!(said.candidates.len(), 2);
                    out.extend(did);
                }
            }
            for command in &out {
                if let Command::Start { attempt, parts, .. } = command {
                    flying.push((*attempt, *parts));
                    bench.at(now, [Event::Started(*attempt, *parts)]);
                }
            }
        }
    }
}
