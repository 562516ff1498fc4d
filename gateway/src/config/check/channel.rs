//! `[[channel]]`: the contract's numbers here, the account by its protocol.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use carriers::{Common, Mt, Options, Profile, Protocol, Reach};
use toml::Spanned;
use toml::de::DeValue;

use super::{Check, placed};
use crate::admit::number::E164;
use crate::config::file::Tables;
use crate::config::plan::{Channel, Names, Test, Tier, TierId};
use crate::config::problem::{Place, suggestion};
use crate::config::shape::{self, Found};
use crate::config::value::{Period, nets};
use crate::config::written;
use crate::switch::health::Settings;

/// Most parts per second of one channel.
const MOST_RATE: f64 = 1_000_000.0;
/// The default burst is what the rate gives in this time.
const BURST_SECONDS: f64 = 0.02;
/// Test messages: how often, how soon their receipt, what they say, and in which tier.
const TEST_EVERY: Duration = Duration::from_secs(600);
const TEST_RECEIPT: Duration = Duration::from_secs(120);
const TEST_TEXT: &str = "test";
const TEST_TIER: &str = "notice";
/// Unanswered parts per link where there is no protocol to ask, and most parts of a message.
const USUAL_WINDOW: u32 = 10;
const USUAL_PARTS: u8 = 10;

impl Check<'_, '_> {
    /// The channels in file order.
    pub(super) fn channels(
        &mut self,
        written: Vec<(Found<written::Channel>, Tables<'_>)>,
        tiers: &[Tier],
        health: &Settings,
    ) -> Vec<Channel> {
        let mut channels = Vec::new();
        let mut listeners = Listeners::default();
        for (found, tables) in written {
            let here = found.here();
            let Some(channel) = self.channel(found, tables, tiers, health) else { continue };
            self.listeners(&channel, here, &mut listeners);
            channels.push(channel);
        }
        channels
    }

    fn channel(
        &mut self,
        mut found: Found<written::Channel>,
        tables: Tables<'_>,
        tiers: &[Tier],
        health: &Settings,
    ) -> Option<Channel> {
        let allow_from = nets(found.value.allow_from.take());
        let carrier = self.carrier(&found);
        let rate = self.rate(&found);
        let most_burst = (rate.ceil() as u32).max(1);
        let usual_burst = ((rate * BURST_SECONDS) as u32).max(1);
        let burst = self.within(&found, "burst", placed(&found.value.burst), usual_burst, 1..=most_burst);
        let links = self.within(&found, "links", placed(&found.value.links), 1, 1..=64);
        let cost = self.within(&found, "cost", placed(&found.value.cost), 0.0, 0.0..=1e9);
        let (window, max_parts) = self.window(&found);
        let usual = tiers.iter().find(|tier| &*tier.name == TEST_TIER).map(|tier| tier.id);
        let tiers = self.tiers_of(&found, tiers);
        let common = Common {
            name: found.value.name.as_ref().map_or_else(String::new, |name| name.get_ref().clone()),
            window: window as usize,
            timezone: self.timezone(&found),
            max_parts,
        };
        let health = found.value.health.take().map(|own| Box::new(self.own_health(&found, &own, health)));
        let test = found.value.test.take();
        let (protocol, profile) = self.profile(&found, &common, tables)?;
        let test = test.and_then(|test| self.test(&found, test, &common.name, (&tiers, usual), &*profile));
        Some(Channel {
            id: self.names.channel(&common.name),
            name: common.name.as_str().into(),
            carrier,
            protocol,
            profile,
            rate,
            burst,
            window,
            links,
            cost,
            tiers,
            receipts: found.value.receipts.unwrap_or(true),
            max_parts,
            health,
            allow_from,
            test,
        })
    }

    /// `[channel.test]`.
    fn test(
        &mut self,
        found: &Found<written::Channel>,
        test: Spanned<written::Test>,
        channel: &str,
        (tiers, usual): (&[TierId], Option<TierId>),
        profile: &dyn Profile,
    ) -> Option<Test> {
        let place = found.at(test.span());
        let written = test.into_inner();
        let (every, within) = (placed(&written.every), placed(&written.receipt_within));
        let bounds = Period(Duration::from_secs(1))..=Period(Duration::from_secs(7 * 86_400));
        let every = self.within(found, "every", every, Period(TEST_EVERY), bounds.clone()).0;
        let receipt_within = self.within(found, "receipt_within", within, Period(TEST_RECEIPT), bounds).0;
        let mut to = Vec::new();
        for written in &written.to.get_ref().0 {
            let Some(number) = self.secret(found, "to", written) else { continue };
            match E164::read(&number, None) {
                Ok(number) => to.push(number.as_str().to_owned()),
                Err(why) => {
                    self.report.error(found.at(written.span()), format!("`to`: {why}"), "as in \"+8613800138000\"")
                }
            }
        }
        if written.to.get_ref().0.is_empty() {
            self.report.error(found.at(written.to.span()), "`to` is empty", "name a handset of your own");
        }
        let tier = match &written.tier {
            Some(name) if self.refers(|check| &check.tiers, found.at(name.span()), name.get_ref()) => {
                let tier = self.names.tier(name.get_ref());
                if !tiers.contains(&tier) {
                    self.report.error(found.at(name.span()), "the channel does not take this tier", "");
                }
                tier
            }
            _ => usual.filter(|tier| tiers.contains(tier)).or(tiers.last().copied())?,
        };
        let text = written.text.unwrap_or_else(|| TEST_TEXT.to_owned());
        let mt = |to| Mt {
            to,
            sender: None,
            text: &text,
            valid_for: receipt_within,
            until: None,
            receipt: true,
            reference: 0,
            options: Options::default(),
        };
        if let Some(why) = to.iter().find_map(|to| profile.quote(&mt(to)).err()) {
            self.report.error(place, format!("the test message cannot be sent: {why}"), "");
        }
        let (app, group) = (self.names.patrol(), self.names.patrol_group(channel));
        Some(Test { to, text, every, receipt_within, tier, app, group })
    }

    /// Window and most parts. All parts of a message go over one link at once, so that each follows the other where only
    /// one is given.
    fn window(&mut self, found: &Found<written::Channel>) -> (u32, u8) {
        let name = found.value.protocol.as_ref().map(|name| name.get_ref().as_str());
        let protocol = self.protocols.iter().find(|protocol| Some(protocol.name()) == name);
        let usual = protocol.map_or(USUAL_WINDOW, |protocol| protocol.window());
        let parts = placed(&found.value.max_parts);
        let least = parts.as_ref().map_or(1, |(_, parts)| u32::from(*parts));
        let window = self.within(found, "window", placed(&found.value.window), usual.max(least), 1..=10_000);
        let usual_parts = u8::try_from(window).unwrap_or(u8::MAX).min(USUAL_PARTS);
        let most = self.within(found, "max_parts", parts.clone(), usual_parts, 1..=64);
        if let Some((span, _)) = parts.filter(|_| u32::from(most) > window) {
            let message = format!("`max_parts` is {most}, but no more than `window`, {window}, can go at once");
            self.report.warning(found.at(span), message, "a message of more parts would wait for nothing");
        }
        (window, most)
    }

    fn carrier(&mut self, found: &Found<written::Channel>) -> String {
        let (name, carrier) = (&found.value.name, &found.value.carrier);
        if name.is_none() {
            found.missing(self.report, "name", "");
        }
        let Some(carrier) = carrier else {
            found.missing(self.report, "carrier", "the company's name, as in carrier = \"pccw\"");
            return String::new();
        };
        if !super::is_word(carrier.get_ref()) {
            let hint = "use up to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit";
            self.report.error(found.at(carrier.span()), "`carrier` is not one word", hint);
        }
        carrier.get_ref().clone()
    }

    fn rate(&mut self, found: &Found<written::Channel>) -> f64 {
        match placed(&found.value.rate) {
            Some((_, rate)) if rate > 0.0 && rate <= MOST_RATE => rate,
            Some((span, rate)) => {
                let message = format!("`rate` is {rate}, not above 0 and at most {MOST_RATE} parts per second");
                self.report.error(found.at(span), message, "");
                1.0
            }
            None => {
                found.missing(self.report, "rate", "parts per second by contract, as in rate = 200");
                1.0
            }
        }
    }

    fn tiers_of(&mut self, found: &Found<written::Channel>, tiers: &[Tier]) -> Vec<TierId> {
        match &found.value.tiers {
            None => tiers.iter().map(|tier| tier.id).collect(),
            Some(list) if list.0.is_empty() => {
                self.report.error(found.here(), "`tiers` is empty", "leave it out to allow all, or name one");
                Vec::new()
            }
            Some(list) => self.references(found, list, |check| &check.tiers, Names::tier),
        }
    }

    /// Whether the zone exists is its protocol's to say; here it must look like one.
    fn timezone(&mut self, found: &Found<written::Channel>) -> Option<String> {
        let zone = found.value.timezone.as_ref()?;
        let text = zone.get_ref();
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
        if !text.split('/').all(word) {
            let hint = "as in \"Asia/Shanghai\" or \"UTC\"";
            self.report.error(found.at(zone.span()), format!("`timezone` is \"{text}\", not an IANA zone"), hint);
        }
        Some(text.clone())
    }

    fn profile(
        &mut self,
        found: &Found<written::Channel>,
        common: &Common,
        tables: Tables<'_>,
    ) -> Option<(&'static dyn Protocol, Arc<dyn Profile>)> {
        let Some(name) = &found.value.protocol else {
            let names: Vec<&str> = self.protocols.iter().map(|p| p.name()).collect();
            found.missing(self.report, "protocol", &format!("one of {}", names.join(", ")));
            return None;
        };
        let Some(protocol) = self.protocols.iter().copied().find(|p| p.name() == name.get_ref()) else {
            let message = format!("protocol \"{}\" is not available", name.get_ref());
            let hint = suggestion(name.get_ref(), self.protocols.iter().map(|p| p.name()));
            self.report.error(found.at(name.span()), message, hint);
            return None;
        };
        let mut own = None;
        for (of, table) in tables {
            if of == protocol.name() {
                own = Some(table);
            } else {
                let message = format!("[channel.{of}] belongs to another protocol than \"{}\"", protocol.name());
                self.report.error(found.at(table.span()), message, "remove the table or change `protocol`");
            }
        }
        let Some(table) = own else {
            let name = protocol.name();
            let message = format!("the table [channel.{name}] is missing");
            self.report.error(found.here(), message, format!("write [channel.{name}] below this [[channel]]"));
            return None;
        };
        let profile = self.configure(found, protocol, common, table)?;
        if let Err(why) = (self.servable)(&*profile) {
            self.report.error(found.at(name.span()), why.to_string(), "");
        }
        Some((protocol, profile))
    }

    fn configure(
        &mut self,
        found: &Found<written::Channel>,
        protocol: &'static dyn Protocol,
        common: &Common,
        table: Spanned<DeValue<'_>>,
    ) -> Option<Arc<dyn Profile>> {
        let whole = table.span();
        let secrets = self.secrets;
        match protocol.configure(common, table, &|reference| secrets.resolve(reference)) {
            Ok(profile) => Some(profile),
            Err(problems) => {
                for problem in problems {
                    let place = found.at(problem.span.unwrap_or_else(|| whole.clone()));
                    let (message, hint) = match problem.hint {
                        Some(hint) => (problem.message, hint),
                        None => shape::explain(&problem.message),
                    };
                    self.report.error(place, message, hint);
                }
                None
            }
        }
    }

    /// A listener is for one protocol, knows its channels apart, and off loopback says who may come.
    fn listeners(&mut self, channel: &Channel, here: Place, listeners: &mut Listeners) {
        for leg in channel.profile.legs() {
            let Reach::Listen(address) = &leg.reach else { continue };
            if !is_loopback(address) && channel.allow_from.is_empty() {
                let message = format!("channel \"{}\" listens on {address} for anyone", channel.name);
                let hint = "name the carrier's peers, as in allow_from = [\"10.1.0.0/16\"]";
                self.report.error(here.clone(), message, hint);
            }
            let name = channel.protocol.name();
            let listener =
                listeners.entry(address.clone()).or_insert_with(|| Listener { protocol: name, channels: Vec::new() });
            let account = channel.profile.account().to_owned();
            if listener.protocol != name {
                let message = format!("{address} is a listener of protocol \"{}\" already", listener.protocol);
                self.report.error(here.clone(), message, "");
            } else if let Some((other, _)) = listener.channels.iter().find(|(_, known)| *known == account) {
                let message = format!("cannot be told from channel \"{other}\" on {address}");
                self.report.error(here.clone(), message, "give it another listener or another account");
            }
            listener.channels.push((Arc::clone(&channel.name), account));
        }
    }
}

/// Listeners by address.
type Listeners = BTreeMap<String, Listener>;

/// A listener: its protocol, and its channels with their accounts.
struct Listener {
    protocol: &'static str,
    channels: Vec<(Arc<str>, String)>,
}

fn is_loopback(address: &str) -> bool {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_by_address_or_name() {
        for (address, loopback) in
            [("127.0.0.1:1", true), ("[::1]:1", true), ("localhost:1", true), ("0.0.0.0:1", false), ("[::]:1", false)]
        {
            assert_eq!(is_loopback(address), loopback, "{address}");
        }
    }
}
