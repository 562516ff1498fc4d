//! Whose an access number is: the app with the longest number that what was dialled begins with. The digits after it
//! are the extension, the app's own business.

use std::collections::HashMap;

use crate::admit::number::without_country;
use crate::config::plan::{App, AppId};

/// Access numbers and their apps.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    numbers: HashMap<Box<str>, AppId>,
}

impl Owners {
    /// The numbers of a plan's apps.
    pub fn new(apps: &[App]) -> Owners {
        let numbers = apps.iter().flat_map(|app| app.numbers.iter().map(|n| (digits(n).into(), app.id)));
        Owners { numbers: numbers.collect() }
    }

    /// The app a message to this number is for, and its extension. Numbers come with and without plus; where nothing
    /// matches, one with the code of a country we know is tried without it, for carriers write access numbers either way.
    pub fn owner<'n>(&self, number: &'n str) -> Option<(AppId, &'n str)> {
        let digits = digits(number);
        self.longest(digits).or_else(|| self.longest(without_country(digits)?))
    }

    fn longest<'n>(&self, digits: &'n str) -> Option<(AppId, &'n str)> {
        let cuts = digits.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        cuts.map(|at| digits.split_at(at)).find_map(|(number, rest)| Some((*self.numbers.get(number)?, rest)))
    }
}

fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(numbers: &[(&str, u16)]) -> Owners {
        Owners { numbers: numbers.iter().map(|(n, app)| (digits(n).into(), AppId(*app))).collect() }
    }

    #[test]
    fn the_longest_number_wins_and_the_rest_is_the_extension() {
        let owners = owners(&[("10690001", 0), ("106900012", 1), ("+447700900", 2)]);
        for (dialled, owner) in [
            ("10690001", Some((0, ""))),
            ("1069000155", Some((0, "55"))),
            ("106900012", Some((1, ""))),
            ("10690001288", Some((1, "88"))),
            ("+10690001", Some((0, ""))),
            ("1069000", None),
            ("", None),
            ("+", None),
            ("447700900123", Some((2, "123"))),
            ("+447700900123", Some((2, "123"))),
            ("10690001ü2", Some((0, "ü2"))),
        ] {
            assert_eq!(owners.owner(dialled), owner.map(|(app, rest)| (AppId(app), rest)), "{dialled}");
        }
    }

    #[test]
    fn a_known_country_code_may_stand_before_the_number() {
        let both = owners(&[("10690001", 0), ("8610690", 1)]);
        assert_eq!(both.owner("861069000177"), Some((AppId(1), "00177")), "what matches as it came wins");
        let bare = owners(&[("10690001", 0)]);
        assert_eq!(bare.owner("861069000177"), Some((AppId(0), "77")));
        assert_eq!(bare.owner("+8610690001"), Some((AppId(0), "")));
        assert_eq!(bare.owner("86"), None);
        assert_eq!(bare.owner("4410690001"), None);
    }
}
