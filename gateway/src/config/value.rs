//! Values inside tables: times, sizes, networks, lists, secrets. What cannot be read says so where serde reads it;
//! a line break in such a message divides what is wrong from what to do.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::Env;
use super::inputs::Inputs;

/// A duration such as `"250ms"`, `"10s"`, `"5m"`, `"24h"`, `"7d"`; at most 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Period(pub(super) Duration);

impl Period {
    const MOST: Duration = Duration::from_secs(365 * 86_400);

    pub(super) fn parse(text: &str) -> Option<Period> {
        let (count, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let count: u64 = count.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let duration = Duration::from_millis(count.checked_mul(millis)?);
        (duration <= Period::MOST).then_some(Period(duration))
    }

    fn read<E: Error>(text: &str) -> Result<Period, E> {
        Period::parse(text).ok_or_else(|| {
            E::custom("not a duration of at most 365 days\nwrite a number and ms, s, m, h or d, as in \"30s\"")
        })
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Period::read(&String::deserialize(deserializer)?)
    }
}

/// A duration, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeriodOrNever(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for PeriodOrNever {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "never" => Ok(PeriodOrNever(None)),
            text => Period::read(text).map(|period| PeriodOrNever(Some(period.0))),
        }
    }
}

/// Octets: an integer, or text such as `"64MiB"` (KiB, MiB, GiB, TiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

impl Size {
    fn parse(text: &str) -> Option<Size> {
        let (count, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return None,
        };
        count.parse::<u64>().ok()?.checked_mul(1 << shift).map(Size)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets as an integer, or a size such as \"64MiB\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value).map(Size).map_err(|_| E::custom("a size cannot be negative"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text)
                    .ok_or_else(|| E::custom("not a size\nwrite a number and KiB, MiB, GiB or TiB, as in \"64MiB\""))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A network such as `"10.1.0.0/16"`, or one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net(pub(super) IpNet);

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        net.map(|net| Net(net.trunc()))
            .ok_or_else(|| D::Error::custom("not an IP network\nwrite it as \"10.1.0.0/16\" or \"192.0.2.7\""))
    }
}

/// The networks themselves.
pub(super) fn nets(list: Option<Vec<Net>>) -> Vec<IpNet> {
    list.unwrap_or_default().into_iter().map(|net| net.0).collect()
}

/// One text or several.
#[derive(Default)]
pub(super) struct Many(pub(super) Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Written {
            One(String),
            Several(Vec<Spanned<String>>),
        }
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Written;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
                let mut several = Vec::new();
                while let Some(text) = seq.next_element()? {
                    several.push(text);
                }
                Ok(Written::Several(several))
            }
        }
        impl<'de> Deserialize<'de> for Written {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Read)
            }
        }
        let written = Spanned::<Written>::deserialize(deserializer)?;
        let span = written.span();
        Ok(Many(match written.into_inner() {
            Written::One(text) => vec![Spanned::new(span, text)],
            Written::Several(texts) => texts,
        }))
    }
}

impl JsonSchema for Many {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Many".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// Resolves secret references.
pub(super) struct Secrets<'a> {
    /// Where `file:PATH` starts from.
    pub(super) dir: &'a Path,
    /// Where `env:NAME` is looked up.
    pub(super) env: Env<'a>,
    /// Told of every file.
    pub(super) inputs: &'a Inputs,
}

impl Secrets<'_> {
    /// Longest secret read from a file.
    const MOST: u64 = 64 * 1024;

    /// The secret behind `env:NAME`, `file:PATH` (without trailing line breaks), or the text itself; else why not.
    pub(super) fn resolve(&self, reference: &str) -> Result<String, String> {
        let secret = if let Some(name) = reference.strip_prefix("env:") {
            (self.env)(name).ok_or_else(|| format!("environment variable {name} is not set"))?
        } else if let Some(path) = reference.strip_prefix("file:") {
            self.read(path)?
        } else {
            reference.to_owned()
        };
        if secret.is_empty() { Err("it is empty".to_owned()) } else { Ok(secret) }
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let full = self.dir.join(path);
        self.inputs.file(&full);
        let fails = |e: std::io::Error| format!("file {path}: {e}");
        let about = std::fs::metadata(&full).map_err(fails)?;
        if !about.is_file() || about.len() > Secrets::MOST {
            return Err(format!("file {path} is not a file of at most 64 KiB"));
        }
        let text = std::fs::read_to_string(&full).map_err(fails)?;
        self.inputs.octets(text.as_bytes());
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

/// Whether a bearer key can hold 128 bits: at least 32 characters where all are hexadecimal digits (4 bits each), else
/// 22 of the characters RFC 6750 allows (6 bits each); of either, at least 8 different ones.
pub(super) fn key_is_strong(key: &str) -> bool {
    let bits = if key.bytes().all(|b| b.is_ascii_hexdigit()) { 4 } else { 6 };
    let different = key.bytes().collect::<std::collections::BTreeSet<u8>>().len();
    key.len() * bits >= 128 && different >= 8
}

/// Whether a key can be sent as a bearer token at all (RFC 6750 §2.1).
pub(super) fn key_is_sendable(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}

/// The octets of a signing secret, `whsec_` and the base64 of 24 to 64 octets (Standard Webhooks).
pub(super) fn signing_secret(text: &str) -> Option<Vec<u8>> {
    let octets = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&octets.len()).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_bound() {
        let ms = |text| Period::parse(text).map(|p| p.0.as_millis());
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("7d"), Some(604_800_000));
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "366d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(ms(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_units() {
        assert_eq!(Size::parse("64MiB"), Some(Size(64 << 20)));
        assert_eq!(Size::parse("1TiB"), Some(Size(1 << 40)));
        for text in ["", "64", "64MB", "MiB", "99999999999TiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }

    #[test]
    fn short_or_repetitive_keys_are_weak() {
        assert!(key_is_strong("8f14e45fceea167a5a36dedd4bea2543"));
        assert!(!key_is_strong("8f14e45fceea167a5a36dedd4bea254"), "31 hex digits");
        assert!(key_is_strong("Zk3vTq9LxR2bNw7HcY5mPa"));
        assert!(!key_is_strong("Zk3vTq9LxR2bNw7HcY5mP"), "21 characters");
        assert!(!key_is_strong("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        assert!(!key_is_sendable("no spaces"));
    }

    #[test]
    fn signing_secrets_are_24_to_64_octets() {
        let text = |n: usize| format!("whsec_{}", STANDARD.encode(vec![7; n]));
        assert_eq!(signing_secret(&text(24)), Some(vec![7; 24]));
        assert_eq!(signing_secret(&text(64)).map(|s| s.len()), Some(64));
        assert_eq!(signing_secret(&text(23)), None);
        assert_eq!(signing_secret(&text(65)), None);
        assert_eq!(signing_secret(&STANDARD.encode([7; 32])), None, "without the prefix");
        assert_eq!(signing_secret("whsec_***"), None);
    }

    #[test]
    fn secrets_come_from_environment_file_or_the_text() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "from file\r\n").unwrap();
        let env = |name: &str| (name == "KEY").then(|| "from env".to_owned());
        let secrets = Secrets { dir: dir.path(), env: &env, inputs: &Inputs::default() };
        assert_eq!(secrets.resolve("env:KEY").unwrap(), "from env");
        assert_eq!(secrets.resolve("file:key").unwrap(), "from file");
        assert_eq!(secrets.resolve("inline").unwrap(), "inline");
        assert!(secrets.resolve("env:OTHER").unwrap_err().contains("OTHER is not set"));
        assert!(secrets.resolve("file:none").unwrap_err().contains("file none"));
        assert!(secrets.resolve("").is_err());
    }
}
