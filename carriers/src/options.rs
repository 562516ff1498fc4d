//! What a message asks of its carrier beyond text, number and sender: values by name, such as a service code or the link
//! of an answer to what it answers. Whoever carries them need not know what they mean; each channel knows its own names
//! ([`crate::Profile::takes`]) and leaves the others alone.

use std::fmt;

/// Most options of a message.
pub const MOST: usize = 8;
/// Longest name.
const NAME: usize = 32;
/// Longest value.
const VALUE: usize = 64;

/// Options as they are kept: a line `name=value` each, a name once.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a>(&'a str);

impl<'a> Options<'a> {
    /// What [`Options::joined`] wrote. Lines of any other form are no options.
    pub fn read(written: &'a str) -> Self {
        Options(written)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// As kept.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Names and values.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.0.lines().filter_map(|line| line.split_once('='))
    }

    /// The value of that name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let found = || self.iter().find(|(known, _)| *known == name);
        if self.is_empty() { None } else { found().map(|(_, value)| value) }
    }

    /// All of them, to be kept; of one name the last. Nothing is allocated where there is none.
    pub fn joined<'n>(all: impl Iterator<Item = (&'n str, &'n str)> + Clone) -> String {
        let mut written = String::new();
        for (at, (name, value)) in all.clone().enumerate() {
            if all.clone().skip(at + 1).all(|(later, _)| later != name) {
                written.extend([name, "=", value, "\n"]);
            }
        }
        written
    }

    /// Whether name and value are such as can be kept: a word of small letters, digits and `_`; printable ASCII.
    pub fn fits(name: &str, value: &str) -> Result<(), &'static str> {
        let word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if name.is_empty() || name.len() > NAME || !word {
            return Err("a name is 1 to 32 of a-z, 0-9 and _");
        }
        let printable = value.bytes().all(|b| (0x20..0x7F).contains(&b));
        if value.len() > VALUE || !printable { Err("a value is at most 64 printable ASCII characters") } else { Ok(()) }
    }
}

/// Names only: a value may be somebody's number.
impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Options that are seldom there: a word of memory where there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rare(Option<Box<Written>>);

#[derive(Clone, PartialEq, Eq)]
struct Written(Box<str>);

impl Rare {
    /// As kept.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().map_or("", |written| &written.0)
    }
}

impl From<&str> for Rare {
    fn from(written: &str) -> Self {
        Rare((!written.is_empty()).then(|| Box::new(Written(written.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts() {
        let (ours, theirs) = ([("a", "1"), ("b", "2")], [("a", "3"), ("c", "")]);
        let joined = Options::joined(ours.into_iter().chain(theirs));
        let options = Options::read(&joined);
        assert_eq!(options.iter().collect::<Vec<_>>(), [("b", "2"), ("a", "3"), ("c", "")]);
        assert_eq!((options.get("a"), options.get("c"), options.get("d")), (Some("3"), Some(""), None));
        assert!(Options::read(&Options::joined(std::iter::empty())).is_empty());
        assert_eq!(format!("{options:?}"), "[\"b\", \"a\", \"c\"]");
    }

    #[test]
    fn what_cannot_be_kept_does_not_fit() {
        assert_eq!(Options::fits("link_id", "a=b c"), Ok(()));
        let long = "x".repeat(65);
        for (name, value) in [("", "x"), ("Name", "x"), ("a=b", "x"), ("a", "x\ny"), ("a", "é"), ("a", &long)] {
            assert!(Options::fits(name, value).is_err(), "{name} {value}");
        }
        assert!(Options::fits(&long, "x").is_err());
    }
}
