//! `[[app]]`: who may send, and where their events go.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::Check;
use crate::callback::reach::port;
use crate::config::plan::{App, Callback, Names, Tier, TierId};
use crate::config::shape::Found;
use crate::config::value::{Many, nets, signing_secret};
use crate::config::written;

/// Most keys or signing secrets at once: rotation needs two.
const MOST_KEYS: usize = 8;
/// Longest callback URL.
const LONGEST_URL: usize = 2048;
/// Longest signature in characters.
const LONGEST_SIGNATURE: usize = 20;
/// Most digits of an access number.
const LONGEST_NUMBER: usize = 20;

impl Check<'_, '_> {
    /// The apps in file order; no key may open two of them.
    pub(super) fn apps(&mut self, written: Vec<Found<written::App>>, tiers: &[Tier]) -> Vec<App> {
        let mut apps: Vec<App> = Vec::new();
        for mut found in written {
            let Some(app) = self.app(&mut found, tiers) else { continue };
            if let Some(other) = apps.iter().find(|other| other.keys.iter().any(|key| app.keys.contains(key))) {
                let place = found.at(found.value.keys.as_ref().map_or(found.span.clone(), Spanned::span));
                let message = format!("app \"{}\" has a key of app \"{}\"", app.name, other.name);
                self.report.error(place, message, "give each app its own keys");
            }
            apps.push(app);
        }
        apps
    }

    fn app(&mut self, found: &mut Found<written::App>, tiers: &[Tier]) -> Option<App> {
        let allow_ips = nets(found.value.allow_ips.take());
        let callback = found.value.callback.take().and_then(|callback| self.callback(found, callback));
        let found = &*found;
        let keys = self.keys(found);
        let rate = found.value.rate.as_ref().map(|r| (r.span(), *r.get_ref()));
        if rate.is_none() {
            found.missing(self.report, "rate", "parts per second, as in rate = 500");
        }
        let rate = self.within(found, "rate", rate, 1, 1..=10_000_000);
        let send_rate = found.value.send_rate.as_ref().map(|r| (r.span(), *r.get_ref()));
        let send_rate = send_rate.map(|written| self.within(found, "send_rate", Some(written), 1, 1..=10_000_000));
        let tiers = self.app_tiers(found, tiers);
        let signatures = self.signatures(found);
        let numbers = self.numbers(found);
        let default_country = self.default_country(found);
        let options = self.options(found, &found.value.options, None);
        let Some(id) = &found.value.id else {
            found.missing(self.report, "id", "");
            return None;
        };
        Some(App {
            id: self.names.app(id.get_ref()),
            name: id.get_ref().as_str().into(),
            keys,
            rate,
            send_rate,
            tiers,
            signatures,
            numbers,
            default_country,
            allow_ips,
            callback,
            options,
        })
    }

    fn keys(&mut self, found: &Found<written::App>) -> Vec<[u8; 32]> {
        let Some(keys) = &found.value.keys else {
            found.missing(self.report, "keys", "as in keys = [\"env:SHOP_KEY\"]");
            return Vec::new();
        };
        self.count(found, "keys", keys);
        let mut hashes = Vec::new();
        for reference in &keys.get_ref().0 {
            if let Some(key) = self.key(found, "keys", reference) {
                hashes.push(Sha256::digest(key.as_bytes()).into());
            }
        }
        hashes
    }

    fn count(&mut self, found: &Found<written::App>, key: &str, list: &Spanned<Many>) {
        if !(1..=MOST_KEYS).contains(&list.get_ref().0.len()) {
            let message = format!("`{key}` holds {}, not 1 to {MOST_KEYS}", list.get_ref().0.len());
            self.report.error(found.at(list.span()), message, "");
        }
    }

    fn app_tiers(&mut self, found: &Found<written::App>, tiers: &[Tier]) -> Vec<TierId> {
        let Some(list) = &found.value.tiers else { return tiers.iter().map(|tier| tier.id).collect() };
        if list.get_ref().0.is_empty() {
            self.report.error(found.at(list.span()), "`tiers` is empty", "leave it out to allow all, or name one");
        }
        self.references(found, list.get_ref(), |check| &check.tiers, Names::tier)
    }

    fn signatures(&mut self, found: &Found<written::App>) -> Vec<String> {
        let mut signatures = Vec::new();
        for signature in &found.value.signatures.0 {
            let text = signature.get_ref();
            let place = found.at(signature.span());
            let bare = !text.contains(['【', '】', '[', ']']) && !text.contains(char::is_control);
            if !bare {
                self.report.error(place, "a signature stands without brackets", "as in signatures = [\"云桥\"]");
            } else if text.trim().is_empty() || text.chars().count() > LONGEST_SIGNATURE {
                let message = format!("a signature has 1 to {LONGEST_SIGNATURE} characters");
                self.report.error(place, message, "");
            } else if signatures.contains(text) {
                self.report.warning(place, format!("signature \"{text}\" occurs twice"), "");
            }
            signatures.push(text.clone());
        }
        signatures
    }

    /// Access numbers: digits, and no two apps may have the same one.
    fn numbers(&mut self, found: &Found<written::App>) -> Vec<String> {
        let mut numbers = Vec::new();
        for number in &found.value.numbers.0 {
            let place = found.at(number.span());
            let digits = number.get_ref().strip_prefix('+').unwrap_or(number.get_ref());
            if digits.is_empty() || digits.len() > LONGEST_NUMBER || !digits.bytes().all(|b| b.is_ascii_digit()) {
                let message = format!("\"{}\" is no access number", number.get_ref());
                self.report.error(place, message, "1 to 20 digits, as in numbers = [\"10690001\"]");
            } else if let Some(first) = self.access_numbers.get(digits) {
                let message = format!("access number \"{digits}\" is already given at {}", self.report.line_of(first));
                self.report.error(place, message, "a message from a handset goes to one app");
            } else {
                self.access_numbers.insert(digits.to_owned(), place);
                numbers.push(digits.to_owned());
            }
        }
        numbers
    }

    fn default_country(&mut self, found: &Found<written::App>) -> Option<String> {
        let country = found.value.default_country.as_ref()?;
        let text = country.get_ref();
        if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
            let message = format!("`default_country` is \"{text}\", not an ISO 3166 code");
            self.report.error(found.at(country.span()), message, "two capital letters, as in \"CN\"");
        }
        Some(text.clone())
    }

    fn callback(&mut self, found: &Found<written::App>, callback: written::Callback) -> Option<Callback> {
        let allow_private = nets(callback.allow_private);
        self.count(found, "secret", &callback.secret);
        let mut secrets = Vec::new();
        for reference in &callback.secret.get_ref().0 {
            let Some(text) = self.secret(found, "secret", reference) else { continue };
            let secret = signing_secret(&text);
            if secret.is_none() {
                let message = "`secret` is not `whsec_` and the base64 of 24 to 64 octets";
                let hint = "make one with: echo whsec_$(openssl rand -base64 32)";
                self.report.error(found.at(reference.span()), message, hint);
            }
            secrets.extend(secret);
        }
        let place = found.at(callback.url.span());
        match check_url(callback.url.get_ref(), &allow_private) {
            Ok(None) => {}
            Ok(Some((message, hint))) => self.report.warning(place, message, hint),
            Err((message, hint)) => self.report.error(place, message, hint),
        }
        Some(Callback { url: callback.url.into_inner(), secrets, allow_private })
    }
}

/// What is wrong, and what to do.
type Words = (String, &'static str);

/// Whether events may be sent to a URL; `Ok(Some(..))` where they may but would not arrive.
fn check_url(url: &str, allow_private: &[IpNet]) -> Result<Option<Words>, Words> {
    let wrong = |message: &str, hint| Err((format!("`url` {message}"), hint));
    if url.len() > LONGEST_URL {
        return wrong("is longer than 2048 octets", "");
    }
    let Ok(uri) = url.parse::<Uri>() else {
        return wrong("is not a URL", "as in \"https://shop.example/hooks\"");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return wrong("is not absolute", "as in \"https://shop.example/hooks\"");
    };
    if authority.as_str().contains('@') || url.contains('#') {
        return wrong("has a user or a fragment", "remove it; callbacks are signed with the secret");
    }
    if port(&uri).is_none() {
        return wrong("names a port that is not 1 to 65535", "correct it, or leave it out: 443 for https, 80 for http");
    }
    let host = authority.host().trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>().ok();
    let loopback = address.map_or(host == "localhost", |ip| ip.is_loopback());
    let allowed = address.is_some_and(|ip| allow_private.iter().any(|net| net.contains(&ip)));
    match scheme {
        "https" => {}
        "http" if loopback || allowed => {}
        "http" => return wrong("is plain http to another host", "use https, or name the range in allow_private"),
        _ => return wrong("is neither http nor https", ""),
    }
    if let Some(ip) = address.filter(|ip| is_private(*ip) && !allowed) {
        let kind = if loopback { "loopback" } else { "private" };
        return Ok(Some((
            format!("`url` names the {kind} address {ip}, which is not in allow_private: nothing will be sent there"),
            "add its range to allow_private",
        )));
    }
    Ok(None)
}

fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_in_the_clear_stay_at_home() {
        let private: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for good in ["https://shop.example/hooks", "http://127.0.0.1:18081/", "http://10.1.2.3/x", "http://localhost/"]
        {
            assert_eq!(check_url(good, &private), Ok(None), "{good}");
        }
        for bad in [
            "http://shop.example/",
            "http://192.168.0.1/",
            "ftp://shop.example/",
            "https://user:secret@shop.example/",
            "https://shop.example/#x",
            "/hooks",
            "shop.example",
            "",
            "https://",
            "http://127.0.0.1:99999/h",
            "https://shop.example:0/h",
            "https://shop.example:/h",
        ] {
            let (message, _) = check_url(bad, &private).unwrap_err();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_unreachable_private_callback_is_warned_of() {
        assert!(check_url("http://127.0.0.1/", &[]).unwrap().is_some());
        assert!(check_url("https://192.168.1.1/", &[]).unwrap().is_some());
        assert!(check_url("https://[::ffff:10.0.0.1]/", &[]).unwrap().is_some());
        assert!(check_url("https://8.8.8.8/", &[]).unwrap().is_none());
    }
}
