//! Reading a channel's protocol table: serde for the shape, [`Checks`] for the meaning, every problem with its place.
//!
//! Types and unknown keys are serde's to find, one at a time; what the values mean is checked afterwards and all of it
//! is reported together. No message repeats a secret.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use crate::protocol::{Problem, Profile, Secrets};

/// Reads a table into its type.
pub fn read<T: DeserializeOwned>(table: Spanned<DeValue<'_>>) -> Result<T, Problem> {
    let whole = table.span();
    T::deserialize(ValueDeserializer::from(table)).map_err(|error| Problem {
        span: error.span().or(Some(whole)),
        message: error.message().to_owned(),
        hint: None,
    })
}

/// A channel's profile, made of its table by `check`, which also gets the table's place.
pub fn profile<T: DeserializeOwned, P: Profile + 'static>(
    table: Spanned<DeValue<'_>>,
    check: impl FnOnce(T, Range<usize>) -> Result<P, Vec<Problem>>,
) -> Result<Arc<dyn Profile>, Vec<Problem>> {
    let place = table.span();
    let table = read(table).map_err(|problem| vec![problem])?;
    Ok(Arc::new(check(table, place)?))
}

/// A secret as written: a reference (`env:NAME`, `file:PATH`), or the secret itself. Its schema says `writeOnly`, which
/// is how whoever shows a configuration knows; [`Checks::secret`] takes nothing else.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("writeOnly" = true))]
pub struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// Reads `"30s"`, `"500ms"`, `"2m"`, `"1h"`.
pub fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit_at);
    let count: u64 = count.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(millis)?))
}

/// Problems found so far. Each check answers with a usable value, so that the next ones can go on.
#[derive(Debug, Default)]
pub struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    /// Notes a problem at `span`.
    pub fn problem(&mut self, span: Range<usize>, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems.push(Problem { span: Some(span), message, hint });
    }

    /// A duration inside `bounds`; `default` where the key is absent or wrong.
    pub fn duration(
        &mut self,
        key: &str,
        value: Option<&Spanned<String>>,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = value else { return default };
        match duration(value.get_ref()) {
            Some(read) if bounds.contains(&read) => return read,
            Some(_) => self.problem(
                value.span(),
                format!("`{key}` is {:?}, outside {:?} to {:?}", value.get_ref(), bounds.start(), bounds.end()),
                "",
            ),
            None => self.problem(
                value.span(),
                format!("`{key}` is {:?}, not a duration", value.get_ref()),
                "write a number and ms, s, m or h, as in \"30s\"",
            ),
        }
        default
    }

    /// A number inside `bounds`; `default` where the key is absent or wrong.
    pub fn number(
        &mut self,
        key: &str,
        value: Option<&Spanned<u32>>,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> u32 {
        let Some(value) = value else { return default };
        if bounds.contains(value.get_ref()) {
            return *value.get_ref();
        }
        let message = format!("`{key}` is {}, outside {} to {}", value.get_ref(), bounds.start(), bounds.end());
        self.problem(value.span(), message, "");
        default
    }

    /// One of a few numbers, the first of them where the key is absent or wrong.
    pub fn one_of<const N: usize>(&mut self, key: &str, value: Option<&Spanned<u32>>, these: [u32; N]) -> u32 {
        let Some(value) = value else { return these.first().copied().unwrap_or_default() };
        if these.contains(value.get_ref()) {
            return *value.get_ref();
        }
        let list: Vec<String> = these.iter().map(u32::to_string).collect();
        self.problem(value.span(), format!("`{key}` is {}, none of {}", value.get_ref(), list.join(", ")), "");
        these.first().copied().unwrap_or_default()
    }

    /// Text that may be left out; `default` then.
    pub fn optional(&mut self, key: &str, value: &Option<Spanned<String>>, most: usize, default: &str) -> String {
        value.as_ref().map_or_else(|| default.to_owned(), |value| self.text(key, value, most))
    }

    /// Decimal digits, at most `most` of them.
    pub fn digits(&mut self, key: &str, value: &Spanned<String>, most: usize) -> String {
        let text = value.get_ref();
        if text.len() > most {
            self.problem(value.span(), format!("`{key}` has {} digits, more than {most}", text.len()), "");
        } else if !text.bytes().all(|b| b.is_ascii_digit()) {
            self.problem(value.span(), format!("`{key}` is {text:?}, not digits"), "");
        }
        text.clone()
    }

    /// Printable ASCII of at most `most` characters.
    pub fn text(&mut self, key: &str, value: &Spanned<String>, most: usize) -> String {
        let text = value.get_ref();
        if text.len() > most {
            self.problem(value.span(), format!("`{key}` has {} characters, more than {most}", text.len()), "");
        } else if !printable(text) {
            self.problem(value.span(), format!("`{key}` has characters other than printable ASCII"), "");
        }
        text.clone()
    }

    /// A `host:port` to dial.
    pub fn address(&mut self, key: &str, value: &Spanned<String>) -> String {
        let text = value.get_ref();
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
        if !matches!(port, Some(1..=u16::MAX)) {
            self.problem(
                value.span(),
                format!("`{key}` is {text:?}, not host:port"),
                "as in \"smsc.example:2775\" or \"[2001:db8::1]:2775\"",
            );
        }
        text.clone()
    }

    /// A secret of at most `most` printable ASCII characters, by its reference.
    pub fn secret(&mut self, key: &str, value: &Spanned<SecretText>, most: usize, secrets: Secrets<'_>) -> String {
        match secrets(&value.get_ref().0) {
            Ok(secret) if secret.len() > most => {
                self.problem(value.span(), format!("`{key}` has more than {most} characters"), "");
                String::new()
            }
            Ok(secret) if !printable(&secret) => {
                self.problem(value.span(), format!("`{key}` has characters other than printable ASCII"), "");
                String::new()
            }
            Ok(secret) => secret,
            Err(why) => {
                self.problem(value.span(), format!("`{key}` cannot be had: {why}"), "");
                String::new()
            }
        }
    }

    /// `value` if nothing was wrong, else all that was.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }
}

fn printable(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7F).contains(&b))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::protocol::Common;

    pub(crate) fn common() -> Common {
        Common { name: "test".into(), window: 4, timezone: None, max_parts: 10 }
    }

    /// Reads a table as the gateway would.
    pub(crate) fn read_as<T: DeserializeOwned, S>(
        text: &str,
        check: impl FnOnce(T, Range<usize>) -> Result<S, Vec<Problem>>,
    ) -> Result<S, Vec<Problem>> {
        let table = toml::de::DeTable::parse(text).expect("TOML");
        let span = table.span();
        let table = Spanned::new(span.clone(), DeValue::Table(table.into_inner()));
        check(read(table).map_err(|problem| vec![problem])?, span)
    }

    /// Secrets as they stand; references ending in `gone` cannot be had.
    pub(crate) fn secrets(reference: &str) -> Result<String, String> {
        match reference {
            gone if gone.ends_with("gone") => Err(format!("{gone} is not set")),
            inline => Ok(inline.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let cases = [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)];
        for (text, millis) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5s", "30 s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
