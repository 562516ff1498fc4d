//! `[[group]]`: its channels, and how one of them is chosen.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::{Check, placed};
use crate::config::choice::EXPLORE;
use crate::config::plan::{Balance, ChannelId, Group, Names, Plan, Strategy};
use crate::config::problem::suggestion;
use crate::config::shape::Found;
use crate::config::value::Many;
use crate::config::written;

/// The strategies.
const STRATEGIES: [&str; 5] = ["preference", "weighted", "least-cost", "quality", "balanced"];
/// How long a message waits for a busy better channel, where one is better than the others.
const SPILL_AFTER: Duration = Duration::from_secs(1);
/// A member's weight.
const WEIGHTS: RangeInclusive<u32> = 0..=1000;
/// How much something counts in a balanced choice.
const COUNTS: RangeInclusive<f64> = 0.0..=1000.0;

impl Check<'_, '_> {
    /// The groups in file order.
    pub(super) fn groups(&mut self, written: &[Found<written::Group>]) -> Vec<Group> {
        written.iter().filter_map(|found| self.group(found)).collect()
    }

    fn group(&mut self, found: &Found<written::Group>) -> Option<Group> {
        let written = &found.value;
        let word = self.strategy_word(found);
        let (channels, weights) = self.members(found, word);
        let strategy = self.strategy(found, word, weights);
        let Some(name) = &written.name else {
            found.missing(self.report, "name", "");
            return None;
        };
        // Channels among which messages are spread are not waited for one by one.
        let spread = matches!(strategy, Strategy::Weighted(_) | Strategy::Balanced(_));
        let spill_after = if spread { Duration::ZERO } else { SPILL_AFTER };
        Some(Group {
            id: self.names.group(name.get_ref()),
            name: name.get_ref().as_str().into(),
            channels,
            strategy,
            spill_after: written.spill_after.map_or(Some(spill_after), |spill| spill.0),
        })
    }

    fn strategy_word(&mut self, found: &Found<written::Group>) -> &'static str {
        let Some(written) = &found.value.strategy else { return STRATEGIES[0] };
        let text = written.get_ref().as_str();
        STRATEGIES.into_iter().find(|word| *word == text).unwrap_or_else(|| {
            let hint = suggestion(text, STRATEGIES);
            let hint = if hint.is_empty() { format!("one of {}", STRATEGIES.join(", ")) } else { hint };
            self.report.error(found.at(written.span()), format!("unknown strategy \"{text}\""), hint);
            ""
        })
    }

    fn strategy(&mut self, found: &Found<written::Group>, word: &str, weights: Vec<u32>) -> Strategy {
        let written = &found.value;
        let explores = matches!(word, "quality" | "balanced");
        if let Some(explore) = written.explore.as_ref().filter(|_| !explores && !word.is_empty()) {
            let hint = "use it with strategy = \"quality\" or \"balanced\"";
            self.report.error(
                found.at(explore.span()),
                format!("`explore` means nothing with strategy \"{word}\""),
                hint,
            );
        }
        if let Some(balance) = written.balance.as_ref().filter(|_| word != "balanced" && !word.is_empty()) {
            let message = format!("`balance` means nothing with strategy \"{word}\"");
            self.report.error(found.at(balance.span()), message, "use it with strategy = \"balanced\"");
        }
        let explore = self.within(found, "explore", placed(&written.explore), EXPLORE, 0.0..=0.5);
        match word {
            "weighted" => Strategy::Weighted(weights),
            "least-cost" => Strategy::LeastCost,
            "quality" => Strategy::Quality { explore },
            "balanced" => Strategy::Balanced(self.balance(found, explore)),
            _ => Strategy::Preference,
        }
    }

    fn balance(&mut self, found: &Found<written::Group>, explore: f64) -> Balance {
        let default = Balance { explore, ..Balance::default() };
        let Some(written) = found.value.balance.as_ref() else { return default };
        let (span, written) = (written.span(), written.get_ref());
        let mut counts =
            |key, value: &Option<Spanned<f64>>, default| self.within(found, key, placed(value), default, COUNTS);
        let (cost, quality) =
            (counts("cost", &written.cost, default.cost), counts("quality", &written.quality, default.quality));
        let (latency, load) =
            (counts("latency", &written.latency, default.latency), counts("load", &written.load, default.load));
        if cost + quality + latency + load <= 0.0 {
            self.report.error(
                found.at(span),
                "nothing counts: all weights of `balance` are 0",
                "give one of them a weight",
            );
        }
        let share = 0.0..=1.0;
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(600));
        Balance {
            cost,
            quality,
            latency,
            load,
            least_success: self.within(
                found,
                "least_success",
                placed(&written.least_success),
                default.least_success,
                share.clone(),
            ),
            least_delivered: self.within(
                found,
                "least_delivered",
                placed(&written.least_delivered),
                default.least_delivered,
                share,
            ),
            most_latency: self.period(found, "most_latency", &written.most_latency, default.most_latency, least, most),
            explore,
        }
    }

    /// A group's channels, best first: by `preference`, which is the position where it is not written. With them, in the
    /// same order, their weights.
    fn members(&mut self, found: &Found<written::Group>, strategy: &str) -> (Vec<ChannelId>, Vec<u32>) {
        let Some(members) = &found.value.channels else {
            found.missing(self.report, "channels", "as in channels = [{ name = \"...\" }]");
            return Default::default();
        };
        let place = found.at(members.span());
        if members.get_ref().is_empty() {
            self.report.error(place.clone(), "`channels` is empty", "");
        }
        let mut list: Vec<(u32, Spanned<String>, u32)> = Vec::new();
        for (position, member) in (1..).zip(members.get_ref()) {
            let (span, member) = (member.span(), member.get_ref());
            if let Some(weight) = member.weight.as_ref().filter(|_| strategy != "weighted" && !strategy.is_empty()) {
                let message = format!("`weight` means nothing with strategy \"{strategy}\"");
                self.report.error(found.at(weight.span()), message, "use strategy = \"weighted\", or leave it out");
            }
            let weight = self.within(found, "weight", placed(&member.weight), 1, WEIGHTS);
            list.push((member.preference.unwrap_or(position), Spanned::new(span, member.name.clone()), weight));
        }
        list.sort_by_key(|(preference, ..)| *preference);
        let weighs: u32 = list.iter().map(|(.., weight)| weight).sum();
        if strategy == "weighted" && weighs == 0 && !list.is_empty() {
            self.report.error(place, "all weights are 0", "give at least one channel a weight of 1 or more");
        }
        let mut weights: Vec<(String, u32)> = Vec::new();
        for (_, name, weight) in &list {
            weights.push((name.get_ref().clone(), *weight));
        }
        let names = Many(list.into_iter().map(|(_, name, _)| name).collect());
        let channels = self.references(found, &names, |check| &check.channels, Names::channel);
        // What is named twice or unknown has been told; the weights are those of the channels that are left.
        let weight = |id: &ChannelId| {
            let name = self.names.channels.get(usize::from(id.0));
            weights.iter().find(|(own, _)| name.is_some_and(|name| **name == **own)).map_or(1, |(_, weight)| *weight)
        };
        let weights = channels.iter().map(weight).collect();
        (channels, weights)
    }

    /// Costs that tell nothing apart.
    pub(super) fn costless(&mut self, plan: &Plan, group: &Group) {
        let mut costs = plan.channels.iter().filter(|c| group.channels.contains(&c.id)).map(|c| c.cost);
        let Some(place) = self.groups.places.get(&*group.name).cloned() else { return };
        if group.strategy == Strategy::LeastCost && group.channels.len() > 1 && costs.all(|cost| cost == 0.0) {
            let message = format!("no channel of group \"{}\" has a cost: there is no cheapest one", group.name);
            self.report.warning(place, message, "write what a part costs into each [[channel]] as `cost`");
        }
    }
}
