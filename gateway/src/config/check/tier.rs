//! `[[tier]]`, and the three tiers there are where none is written.

use std::time::Duration;

use toml::Spanned;

use super::{Check, placed};
use crate::config::plan::{InDoubt, OnFailed, Service, Tier, TierId};
use crate::config::problem::Place;
use crate::config::shape::Found;
use crate::config::value::PeriodOrNever;
use crate::config::written;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A tier that is built in.
struct Builtin {
    name: &'static str,
    validity: Duration,
    attempts: u8,
    backoff: &'static [u64],
    acked: InDoubt,
    unacked: InDoubt,
    shed_at: u8,
    service: Service,
}

/// Strictest first.
const BUILTIN: [Builtin; 3] = [
    Builtin {
        name: "otp",
        validity: Duration::from_secs(300),
        attempts: 3,
        backoff: &[0, 1, 3],
        unacked: InDoubt::Resend(Duration::ZERO),
        acked: InDoubt::Resend(Duration::ZERO),
        shed_at: 95,
        service: Service::Strict,
    },
    Builtin {
        name: "notice",
        validity: Duration::from_secs(3600),
        attempts: 5,
        backoff: &[1, 2, 4, 8],
        unacked: InDoubt::Resend(Duration::from_secs(10)),
        acked: InDoubt::Resend(Duration::from_secs(30)),
        shed_at: 80,
        service: Service::Weighted { weight: 4, minimum: 5 },
    },
    Builtin {
        name: "marketing",
        validity: Duration::from_secs(86_400),
        attempts: 5,
        backoff: &[1, 2, 4, 8],
        unacked: InDoubt::Resend(Duration::from_secs(600)),
        acked: InDoubt::Wait,
        shed_at: 70,
        service: Service::Weighted { weight: 1, minimum: 5 },
    },
];
/// What a tier of another name starts from.
const OTHER: &Builtin = &BUILTIN[1];
/// Most waits a backoff may list.
const MOST_BACKOFF: usize = 32;

impl Builtin {
    /// The service to start from where a tier is weighted.
    fn weighted(&self, base: Service) -> Service {
        if base == Service::Strict { self.service } else { base }
    }

    fn named(&self, name: &str, id: TierId) -> Tier {
        Tier {
            id,
            name: name.into(),
            validity: self.validity,
            attempts: self.attempts,
            backoff: self.backoff.iter().map(|s| Duration::from_secs(*s)).collect(),
            unacked: self.unacked,
            acked: self.acked,
            on_failed: OnFailed::End,
            receipt_within: None,
            shed_at: self.shed_at,
            service: self.service,
        }
    }
}

impl Check<'_, '_> {
    /// The tiers, strictest first.
    pub(super) fn tiers(&mut self, written: &[Found<written::Tier>]) -> Vec<Tier> {
        if written.is_empty() {
            return BUILTIN.iter().map(|base| self.builtin_tier(base)).collect();
        }
        let tiers: Vec<Tier> = written.iter().filter_map(|found| self.tier(found)).collect();
        for (above, (below, found)) in tiers.iter().zip(tiers.iter().zip(written).skip(1)) {
            if below.shed_at > above.shed_at {
                let message = format!("tier \"{}\" is refused later than \"{}\" above it", below.name, above.name);
                self.report.warning(found.here(), message, "tiers stand strictest first; lower `shed_at` or reorder");
            }
            if below.service == Service::Strict && above.service != Service::Strict {
                let message =
                    format!("strict tier \"{}\" stands below \"{}\", which is weighted", below.name, above.name);
                self.report.error(found.here(), message, "strict tiers stand first; reorder, or write `service`");
            }
        }
        let least: u32 = tiers.iter().map(|tier| u32::from(minimum(tier.service))).sum();
        if let Some(last) = written.last().filter(|_| least > 100) {
            let message = format!("the tiers' `minimum` add up to {least} percent");
            self.report.error(last.here(), message, "together they may be 100 at most");
        }
        tiers
    }

    fn builtin_tier(&mut self, base: &Builtin) -> Tier {
        self.tiers.places.insert(base.name.to_owned(), Place { file: 0, span: 0..0 });
        base.named(base.name, self.names.tier(base.name))
    }

    fn tier(&mut self, found: &Found<written::Tier>) -> Option<Tier> {
        let written = &found.value;
        let Some(name) = &written.name else {
            found.missing(self.report, "name", "");
            return None;
        };
        let base = BUILTIN.iter().find(|b| b.name == name.get_ref()).unwrap_or(OTHER);
        let mut tier = base.named(name.get_ref(), self.names.tier(name.get_ref()));
        tier.validity = self.period(found, "validity", &written.validity, tier.validity, SECOND, 30 * 1440 * MINUTE);
        tier.attempts = self.within(found, "attempts", placed(&written.attempts), tier.attempts, 1..=100);
        tier.shed_at = self.within(found, "shed_at", placed(&written.shed_at), tier.shed_at, 1..=95);
        if let Some(backoff) = &written.backoff {
            tier.backoff = backoff.iter().map(|p| p.0).collect();
            if tier.backoff.len() > MOST_BACKOFF || tier.backoff.iter().any(|wait| *wait > 60 * MINUTE) {
                let message = format!("`backoff` lists at most {MOST_BACKOFF} waits of at most 1h");
                self.report.error(found.here(), message, "");
            }
        }
        tier.service = self.service(found, tier.service);
        tier.unacked = self.in_doubt(found, "unacked", &written.unacked, tier.unacked, tier.validity);
        tier.acked = self.in_doubt(found, "acked", &written.acked, tier.acked, tier.validity);
        tier.on_failed = match written.on_failed {
            Some(written::OnFailed::Next) => OnFailed::Next,
            Some(written::OnFailed::End) | None => OnFailed::End,
        };
        tier.receipt_within = self.receipt_within(found);
        Some(tier)
    }

    /// What is written about parts in doubt. A wait that no message of the tier outlives would mean "never", unsaid.
    fn in_doubt(
        &mut self,
        found: &Found<written::Tier>,
        key: &str,
        written: &Option<Spanned<PeriodOrNever>>,
        default: InDoubt,
        validity: Duration,
    ) -> InDoubt {
        let Some(written) = written else { return default };
        let Some(wait) = written.get_ref().0 else { return InDoubt::Wait };
        if wait >= validity {
            let message =
                format!("`{key}` is {wait:?}, and the tier's messages are over after {validity:?} (`validity`)");
            self.report.error(found.at(written.span()), message, "wait less, or write \"never\"");
        }
        InDoubt::Resend(wait)
    }

    fn receipt_within(&mut self, found: &Found<written::Tier>) -> Option<Duration> {
        let within = found.value.receipt_within.and_then(|written| written.0);
        if within.is_some_and(|within| !(SECOND..=1440 * MINUTE).contains(&within)) {
            let message = "`receipt_within` must be 1s to 24h, or \"never\"".to_owned();
            self.report.error(found.here(), message, "");
        }
        within
    }

    fn service(&mut self, found: &Found<written::Tier>, base: Service) -> Service {
        let written = &found.value;
        let strict = match written.service.as_ref().map(|service| (service.span(), service.get_ref().as_str())) {
            None => base == Service::Strict && written.weight.is_none() && written.minimum.is_none(),
            Some((_, "strict")) => true,
            Some((_, "weighted")) => false,
            Some((span, other)) => {
                let message = format!("`service` is \"{other}\"");
                self.report.error(found.at(span), message, "\"strict\" or \"weighted\"");
                false
            }
        };
        let weights = written.weight.as_ref().map(|w| w.span()).or(written.minimum.as_ref().map(|m| m.span()));
        if let (true, Some(span)) = (strict, weights) {
            let message = "a strict tier has neither `weight` nor `minimum`";
            self.report.error(found.at(span), message, "leave it out, or write service = \"weighted\"");
        }
        if strict {
            return Service::Strict;
        }
        let Service::Weighted { weight, minimum } = OTHER.weighted(base) else { return base };
        Service::Weighted {
            weight: self.within(found, "weight", placed(&written.weight), weight, 1..=1_000),
            minimum: self.within(found, "minimum", placed(&written.minimum), minimum, 0..=90),
        }
    }
}

fn minimum(service: Service) -> u8 {
    match service {
        Service::Strict => 0,
        Service::Weighted { minimum, .. } => minimum,
    }
}
