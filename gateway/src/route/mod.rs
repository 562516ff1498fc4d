//! Which group a message goes to: the first route whose conditions all hold. Pure; the number tables are asked at most
//! once per message, and only if a route wants to know.

pub mod owner;

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config::plan::{AppId, GroupId, Match, Numbers, Plan, Range, Route, TierId};

/// The routing table of one plan.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    numbers: Arc<Numbers>,
}

/// What routes look at.
#[derive(Clone, Copy, Debug)]
pub struct RouteInput<'a> {
    /// Message type (`sms`).
    pub kind: &'a str,
    /// Its tier.
    pub tier: TierId,
    /// Its app.
    pub app: AppId,
    /// Destination in E.164, with plus.
    pub to: &'a str,
    /// The sender asked for.
    pub sender: Option<&'a str>,
}

impl Routes {
    /// The routes of a plan.
    pub fn new(plan: &Plan) -> Self {
        Routes { routes: plan.routes.clone(), numbers: Arc::clone(&plan.numbers) }
    }

    /// The group of the first route that matches; none where no route does.
    pub fn route(&self, input: &RouteInput<'_>) -> Option<GroupId> {
        self.find(input).map(|route| route.group)
    }

    /// The first route that matches.
    pub fn find(&self, input: &RouteInput<'_>) -> Option<&Route> {
        let range = OnceCell::new();
        let range = || *range.get_or_init(|| self.numbers.lookup(input.to));
        self.routes.iter().find(|route| holds(&route.matches, input, range))
    }
}

/// Whether all conditions hold, cheapest first.
fn holds<'n>(conditions: &Match, input: &RouteInput<'_>, range: impl Fn() -> Option<&'n Range>) -> bool {
    let of_range = |list: &Option<Vec<String>>, field: fn(&Range) -> &String| match list {
        None => true,
        Some(list) => range().is_some_and(|range| list.contains(field(range))),
    };
    one_of(&conditions.tiers, |tier| *tier == input.tier)
        && one_of(&conditions.apps, |app| *app == input.app)
        && one_of(&conditions.types, |kind| kind == input.kind)
        && one_of(&conditions.prefixes, |prefix| input.to.starts_with(prefix.as_str()))
        && one_of(&conditions.senders, |sender| input.sender == Some(sender.as_str()))
        && of_range(&conditions.carriers, |range| &range.carrier)
        && of_range(&conditions.countries, |range| &range.country)
        && of_range(&conditions.regions, |range| &range.region)
}

/// An absent condition holds.
fn one_of<T>(list: &Option<Vec<T>>, matches: impl Fn(&T) -> bool) -> bool {
    list.as_ref().is_none_or(|list| list.iter().any(matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTP: TierId = TierId(0);
    const NOTICE: TierId = TierId(1);

    fn routes(matches: Vec<Match>) -> Routes {
        let route =
            |(i, matches)| Route { name: format!("r{i}"), matches, group: GroupId(i as u16), options: String::new() };
        Routes { routes: matches.into_iter().enumerate().map(route).collect(), numbers: Arc::default() }
    }

    fn input<'a>() -> RouteInput<'a> {
        RouteInput { kind: "sms", tier: OTP, app: AppId(7), to: "+8613800138000", sender: Some("1069") }
    }

    #[test]
    fn the_first_route_of_which_all_conditions_hold_decides() {
        let routes = routes(vec![
            Match { tiers: Some(vec![OTP]), apps: Some(vec![AppId(8)]), ..Match::default() },
            Match { tiers: Some(vec![OTP]), prefixes: Some(vec!["+852".into(), "+86138".into()]), ..Match::default() },
            Match::default(),
        ]);
        assert_eq!(routes.route(&input()), Some(GroupId(1)));
        assert_eq!(routes.route(&RouteInput { app: AppId(8), ..input() }), Some(GroupId(0)));
        assert_eq!(routes.route(&RouteInput { tier: NOTICE, ..input() }), Some(GroupId(2)));
    }

    #[test]
    fn a_condition_on_the_sender_needs_one() {
        let routes = routes(vec![Match { senders: Some(vec!["1069".into()]), ..Match::default() }]);
        assert_eq!(routes.route(&input()), Some(GroupId(0)));
        assert_eq!(routes.route(&RouteInput { sender: None, ..input() }), None);
        assert_eq!(routes.route(&RouteInput { sender: Some("10690"), ..input() }), None);
    }

    #[test]
    fn an_unknown_number_fulfils_no_condition_on_its_range() {
        let any = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect());
        let routes = routes(vec![Match { countries: any(&["", "CN"]), ..Match::default() }]);
        assert_eq!(routes.route(&input()), None);
    }
}
