//! `[[route]]`, and what the whole configuration makes suspicious.

use toml::Spanned;

use super::Check;
use crate::config::numbers::Numbers;
use crate::config::plan::{Group, Match, Names, Plan, Route};
use crate::config::problem::{Place, suggestion};
use crate::config::shape::Found;
use crate::config::value::Many;
use crate::config::written;

/// Types that have a meaning here, whether or not they are available.
const TYPES: [&str; 3] = ["sms", "mms", "voice"];

impl Check<'_, '_> {
    /// The first of `words` is available, the others are words for later.
    fn available<F>(&mut self, found: &Found<F>, key: &str, value: &Spanned<String>, words: &[&str]) -> bool {
        let text = value.get_ref().as_str();
        if text == words[0] {
            return true;
        }
        let (message, hint) = if words.contains(&text) {
            (format!("{key} \"{text}\" is not available"), format!("use \"{}\"", words[0]))
        } else {
            (format!("unknown {key} \"{text}\""), suggestion(text, words.iter().copied()))
        };
        self.report.error(found.at(value.span()), message, hint);
        false
    }

    /// The routes in file order.
    pub(super) fn routes(&mut self, written: &[Found<written::Route>], numbers: &Numbers) -> Vec<Route> {
        let routes: Vec<Route> = written.iter().filter_map(|found| self.route(found, numbers)).collect();
        if !self.report.failed() {
            self.shadowed(written, &routes);
        }
        routes
    }

    fn route(&mut self, found: &Found<written::Route>, numbers: &Numbers) -> Option<Route> {
        let matches = self.matches(found, numbers);
        if found.value.name.is_none() {
            found.missing(self.report, "name", "");
        }
        let Some(group) = &found.value.group else {
            found.missing(self.report, "group", "");
            return None;
        };
        if !self.refers(|check| &check.groups, found.at(group.span()), group.get_ref()) {
            return None;
        }
        let group = self.names.group(group.get_ref());
        let options = self.options(found, &found.value.options, Some(group));
        Some(Route { name: found.value.name.as_ref()?.get_ref().clone(), matches, group, options })
    }

    fn matches(&mut self, found: &Found<written::Route>, numbers: &Numbers) -> Match {
        let written = &found.value.r#match;
        for (key, list) in written.lists() {
            if list.0.is_empty() {
                self.report.error(found.here(), format!("`match.{key}` is empty and never holds"), "leave it out");
            }
        }
        if let Some(types) = &written.r#type {
            types.0.iter().for_each(|kind| _ = self.available(found, "type", kind, &TYPES));
        }
        let tiers = written.tier.as_ref().map(|list| self.references(found, list, |c| &c.tiers, Names::tier));
        let apps = written.app.as_ref().map(|list| self.references(found, list, |c| &c.apps, Names::app));
        let prefixes = written.prefix.as_ref().map(|list| self.prefixes(found, list));
        let carriers = written.carrier.as_ref();
        let countries = written.country.as_ref();
        let regions = written.region.as_ref();
        self.known_numbers(found, "carrier", carriers, numbers, |range| &range.carrier);
        self.known_numbers(found, "country", countries, numbers, |range| &range.country);
        self.known_numbers(found, "region", regions, numbers, |range| &range.region);
        Match {
            types: written.r#type.as_ref().map(texts),
            tiers,
            apps,
            prefixes,
            senders: written.sender.as_ref().map(texts),
            carriers: carriers.map(texts),
            countries: countries.map(texts),
            regions: regions.map(texts),
        }
    }

    /// Prefixes with their plus sign.
    fn prefixes(&mut self, found: &Found<written::Route>, list: &Many) -> Vec<String> {
        let mut prefixes = Vec::new();
        for prefix in &list.0 {
            let digits = prefix.get_ref().trim_start_matches('+');
            let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            if !fits || digits.starts_with('0') {
                let message = format!("\"{}\" is not the beginning of an E.164 number", prefix.get_ref());
                self.report.error(found.at(prefix.span()), message, "as in \"+86138\"");
            }
            prefixes.push(format!("+{digits}"));
        }
        prefixes
    }

    /// What is asked of `[numbers]` should be in it.
    fn known_numbers(
        &mut self,
        found: &Found<written::Route>,
        key: &str,
        list: Option<&Many>,
        numbers: &Numbers,
        field: fn(&crate::config::numbers::Range) -> &String,
    ) {
        let Some(list) = list else { return };
        let known: std::collections::BTreeSet<&str> =
            numbers.ranges().iter().map(|range| field(range).as_str()).filter(|text| !text.is_empty()).collect();
        for value in &list.0 {
            let (place, text) = (found.at(value.span()), value.get_ref().as_str());
            if numbers.is_empty() {
                let hint = "name its files in [numbers] plan and ported";
                self.report.error(place, format!("`match.{key}` needs the number tables"), hint);
            } else if !known.contains(text) {
                let message = format!("no number has the {key} \"{text}\" by [numbers]");
                self.report.warning(place, message, suggestion(text, known.iter().copied()));
            }
        }
    }

    /// A route after one that takes all it could match never matches.
    fn shadowed(&mut self, written: &[Found<written::Route>], routes: &[Route]) {
        for (later, found) in routes.iter().zip(written) {
            let earlier = routes.iter().take_while(|route| route.name != later.name);
            let Some(earlier) = earlier.into_iter().find(|earlier| covers(&earlier.matches, &later.matches)) else {
                continue;
            };
            let message = format!("route \"{}\" never matches: \"{}\" before it takes all", later.name, earlier.name);
            self.report.warning(found.here(), message, "move it up or remove it");
        }
    }

    /// What is right by itself but hardly meant.
    pub(super) fn lint(&mut self, plan: &Plan) {
        for channel in &plan.channels {
            if !plan.groups.iter().any(|group| group.channels.contains(&channel.id)) {
                let place = self.channels.places.get(&*channel.name).cloned();
                self.unused("channel", &channel.name, place, "name it in a [[group]]");
            }
        }
        for group in &plan.groups {
            if !plan.routes.iter().any(|route| route.group == group.id) {
                let place = self.groups.places.get(&*group.name).cloned();
                self.unused("group", &group.name, place, "name it in a [[route]]");
            }
            self.deaf_tiers(plan, group);
            self.costless(plan, group);
        }
    }

    fn unused(&mut self, what: &str, name: &str, place: Option<Place>, hint: &str) {
        if let Some(place) = place {
            self.report.warning(place, format!("{what} \"{name}\" is not used"), hint);
        }
    }

    /// A tier that a route sends to a group of which no channel takes it would only wait and expire.
    fn deaf_tiers(&mut self, plan: &Plan, group: &Group) {
        let Some(place) = self.groups.places.get(&*group.name).cloned() else { return };
        let sent =
            plan.routes.iter().filter(|r| r.group == group.id).filter_map(|r| r.matches.tiers.as_ref()).flatten();
        for tier in plan.tiers.iter().filter(|tier| sent.clone().any(|id| *id == tier.id)) {
            let taken = plan.channels.iter().any(|c| group.channels.contains(&c.id) && c.tiers.contains(&tier.id));
            if !taken {
                let message = format!("no channel of group \"{}\" takes tier \"{}\"", group.name, tier.name);
                self.report.warning(place.clone(), message, "add the tier to a channel's `tiers`");
            }
        }
    }
}

impl written::Match {
    fn lists(&self) -> impl Iterator<Item = (&'static str, &Many)> {
        [
            ("type", &self.r#type),
            ("tier", &self.tier),
            ("app", &self.app),
            ("prefix", &self.prefix),
            ("sender", &self.sender),
            ("carrier", &self.carrier),
            ("country", &self.country),
            ("region", &self.region),
        ]
        .into_iter()
        .filter_map(|(key, list)| Some((key, list.as_ref()?)))
    }
}

fn texts(list: &Many) -> Vec<String> {
    list.0.iter().map(|text| text.get_ref().clone()).collect()
}

/// Whether whatever fulfils `later` fulfils `earlier`.
fn covers(earlier: &Match, later: &Match) -> bool {
    fn within<T: PartialEq>(earlier: &Option<Vec<T>>, later: &Option<Vec<T>>) -> bool {
        match (earlier, later) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(earlier), Some(later)) => later.iter().all(|value| earlier.contains(value)),
        }
    }
    let prefixes = match (&earlier.prefixes, &later.prefixes) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(earlier), Some(later)) => later.iter().all(|l| earlier.iter().any(|e| l.starts_with(e.as_str()))),
    };
    prefixes
        && within(&earlier.types, &later.types)
        && within(&earlier.tiers, &later.tiers)
        && within(&earlier.apps, &later.apps)
        && within(&earlier.senders, &later.senders)
        && within(&earlier.carriers, &later.carriers)
        && within(&earlier.countries, &later.countries)
        && within(&earlier.regions, &later.regions)
}
