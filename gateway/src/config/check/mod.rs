//! From what is written to the plan: every rule the shape cannot express, all problems at once. Checks go on with a
//! usable value after a problem; the plan is thrown away if any was found.

mod app;
mod callbacks;
mod channel;
mod group;
mod health;
mod node;
mod options;
mod route;
mod tier;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use toml::Spanned;

use super::file::{Whole, warning_of_main};
use super::numbers;
use super::plan::{Names, Plan};
use super::problem::{Place, Report, suggestion};
use super::shape::Found;
use super::value::{Many, Secrets};
use super::{Protocols, Servable};

/// What the checks share.
struct Check<'c, 's> {
    report: &'c mut Report<'s>,
    secrets: &'c Secrets<'c>,
    protocols: Protocols,
    servable: Servable,
    names: Names,
    tiers: Known,
    channels: Known,
    groups: Known,
    apps: Known,
    /// Access numbers of the apps, and where each is given.
    access_numbers: BTreeMap<String, Place>,
    /// Options of routes and apps, which channels are asked about once they are known.
    asked: Vec<options::Asked>,
    /// Whether every file could be read; where not, a name that is not there proves nothing.
    complete: bool,
}

/// The names of one kind of thing, and where each is defined.
struct Known {
    what: &'static str,
    places: BTreeMap<String, Place>,
}

/// Checks the whole configuration; `None` where it cannot be used.
pub(super) fn plan(
    whole: Whole<'_>,
    report: &mut Report<'_>,
    names: Names,
    secrets: &Secrets<'_>,
    (protocols, servable): (Protocols, Servable),
) -> Option<Plan> {
    let mut check = Check {
        tiers: Known::new("tier", names_of(&whole.tiers, |t| t.name.as_ref()), report),
        channels: Known::new("channel", whole.channels.iter().map(|(c, _)| defined(c, c.value.name.as_ref())), report),
        groups: Known::new("group", names_of(&whole.groups, |g| g.name.as_ref()), report),
        apps: Known::new("app", names_of(&whole.apps, |a| a.id.as_ref()), report),
        access_numbers: BTreeMap::new(),
        asked: Vec::new(),
        complete: whole.complete,
        report,
        secrets,
        protocols,
        servable,
        names,
    };
    Known::new("route", names_of(&whole.routes, |r| r.name.as_ref()), check.report);
    let empty = whole.is_empty();
    let node = check.node(&whole);
    let callbacks = check.callbacks(whole.callbacks.as_ref());
    let health = check.health(whole.health.as_ref());
    let tiers = check.tiers(&whole.tiers);
    let numbers = numbers::read(&whole.numbers, secrets, check.report);
    let channels = check.channels(whole.channels, &tiers, &health);
    let groups = check.groups(&whole.groups);
    let routes = check.routes(&whole.routes, &numbers);
    let apps = check.apps(whole.apps, &tiers);
    check.known_options(&channels, &groups);
    check.indexes_fit();
    if check.report.failed() {
        return None;
    }
    if empty {
        check
            .report
            .push(warning_of_main("no channel, group, route or app is defined", "add them or include their files"));
    }
    let names = check.names.clone();
    let plan = Plan {
        names,
        node,
        tiers,
        channels,
        groups,
        routes,
        apps,
        callbacks,
        health,
        numbers: Arc::new(numbers),
        written: Arc::default(),
    };
    check.lint(&plan);
    Some(plan)
}

/// A name where it is defined.
type Defined<'f> = Option<(Place, &'f str)>;

fn defined<'f, T>(found: &'f Found<T>, name: Option<&'f Spanned<String>>) -> Defined<'f> {
    name.map(|name| (found.at(name.span()), name.get_ref().as_str()))
}

fn names_of<'f, T>(
    list: &'f [Found<T>],
    name: fn(&'f T) -> Option<&'f Spanned<String>>,
) -> impl Iterator<Item = Defined<'f>> {
    list.iter().map(move |found| defined(found, name(&found.value)))
}

impl Known {
    /// Collects names; they must be words and differ.
    fn new<'f>(what: &'static str, names: impl Iterator<Item = Defined<'f>>, report: &mut Report<'_>) -> Known {
        let mut known = Known { what, places: BTreeMap::new() };
        for (place, name) in names.flatten() {
            if !is_word(name) {
                let hint = "use up to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit";
                report.error(place.clone(), format!("\"{name}\" cannot be the name of a {what}"), hint);
            }
            if let Some(first) = known.places.get(name) {
                let message = format!("{what} \"{name}\" is already defined at {}", report.line_of(first));
                report.error(place, message, "");
            } else {
                known.places.insert(name.to_owned(), place);
            }
        }
        known
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.places.keys().map(String::as_str)
    }
}

/// Names go into metrics and paths.
fn is_word(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A value in its place.
type Placed<T> = (Range<usize>, T);

/// The value of an optional key with its span.
fn placed<T: Copy>(value: &Option<Spanned<T>>) -> Option<Placed<T>> {
    value.as_ref().map(|v| (v.span(), *v.get_ref()))
}

impl Check<'_, '_> {
    /// The value, if it is inside the bounds; the default where it is absent or not.
    fn within<F, T: PartialOrd + Copy + Debug>(
        &mut self,
        found: &Found<F>,
        key: &str,
        value: Option<Placed<T>>,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> T {
        match value {
            None => default,
            Some((_, value)) if bounds.contains(&value) => value,
            Some((span, value)) => {
                let message = format!("`{key}` is {value:?}, outside {:?} to {:?}", bounds.start(), bounds.end());
                self.report.error(found.at(span), message, "");
                default
            }
        }
    }

    /// Whether a name is known; an unknown one is a problem.
    fn refers(&mut self, pick: fn(&Self) -> &Known, place: Place, name: &str) -> bool {
        let known = pick(self);
        if known.places.contains_key(name) {
            return true;
        }
        if self.complete {
            let (what, hint) = (known.what, suggestion(name, known.names()));
            self.report.error(place, format!("unknown {what} \"{name}\""), hint);
        }
        false
    }

    /// The entries of a list that are known, each once, an empty list being a problem.
    fn references<F, I>(
        &mut self,
        found: &Found<F>,
        list: &Many,
        pick: fn(&Self) -> &Known,
        index: fn(&mut Names, &str) -> I,
    ) -> Vec<I> {
        let mut seen = Vec::new();
        let mut indexes = Vec::new();
        for name in &list.0 {
            let place = found.at(name.span());
            let what = pick(self).what;
            if seen.contains(name.get_ref()) {
                self.report.error(place, format!("{what} \"{}\" occurs twice", name.get_ref()), "");
            } else if self.refers(pick, place, name.get_ref()) {
                indexes.push(index(&mut self.names, name.get_ref()));
                seen.push(name.get_ref().clone());
            }
        }
        indexes
    }

    /// A secret behind a reference; a problem and `None` where it cannot be had.
    fn secret<F>(&mut self, found: &Found<F>, key: &str, reference: &Spanned<String>) -> Option<String> {
        self.secrets
            .resolve(reference.get_ref())
            .map_err(|why| self.report.error(found.at(reference.span()), format!("`{key}`: {why}"), ""))
            .ok()
    }

    /// Indexes are small integers that are never reused while the process lives.
    fn indexes_fit(&mut self) {
        let names = &self.names;
        for (what, count, most) in [
            ("channel", names.channels.len(), usize::from(u16::MAX)),
            ("group", names.groups.len(), usize::from(u16::MAX)),
            ("app", names.apps.len(), usize::from(u16::MAX)),
            ("tier", names.tiers.len(), usize::from(u8::MAX)),
        ] {
            if count > most {
                let message = format!("{count} {what} names since the start, more than {most}");
                self.report.error(Place { file: 0, span: 0..0 }, message, "restart the gateway");
            }
        }
    }
}
