//! What is known about numbers: carrier, region and country by the longest prefix, and numbers that moved to another
//! carrier. Read once from CSV files, then looked up without allocation.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::inputs::Inputs;
use super::problem::{Place, Problem, Report};
use super::shape::Found;
use super::value::Secrets;
use super::written;

/// Most digits of an E.164 number.
const MOST_DIGITS: usize = 15;
/// Longest line of a CSV file, in octets.
const LONGEST_LINE: u64 = 4096;
/// Problems reported per CSV file; the rest is counted.
const MOST_PROBLEMS: usize = 20;

/// What is known about a range of numbers; an empty text is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Range {
    /// The carrier.
    pub carrier: String,
    /// The region.
    pub region: String,
    /// The country, as the table writes it.
    pub country: String,
}

/// The tables of `[numbers]`.
#[derive(Debug, Default, PartialEq)]
pub struct Numbers {
    /// Every distinct range once.
    ranges: Vec<Range>,
    /// Range by the prefix's digits.
    prefixes: HashMap<u64, u32>,
    /// Range by the number's digits.
    ported: HashMap<u64, u32>,
    /// Digits of the longest prefix.
    longest: u32,
}

impl Numbers {
    /// What is known about an E.164 number (with or without plus): its own entry if it was ported, else that of the
    /// longest prefix. At most 15 look-ups.
    pub fn lookup(&self, e164: &str) -> Option<&Range> {
        self.lookup_digits(digits(e164)?)
    }

    /// The same for a number's digits.
    pub fn lookup_digits(&self, number: u64) -> Option<&Range> {
        let index = self.ported.get(&number).copied().or_else(|| self.by_prefix(number))?;
        self.ranges.get(index as usize)
    }

    /// Prefixes and ported numbers.
    pub fn len(&self) -> usize {
        self.prefixes.len() + self.ported.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.ported.is_empty()
    }

    /// Every distinct range.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    fn by_prefix(&self, number: u64) -> Option<u32> {
        let mut rest = number;
        let mut length = number.checked_ilog10()? + 1;
        while length > 0 {
            if length <= self.longest
                && let Some(index) = self.prefixes.get(&rest)
            {
                return Some(*index);
            }
            rest /= 10;
            length -= 1;
        }
        None
    }
}

/// The digits of a number or prefix: no leading zero, at most 15.
fn digits(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let fits = (1..=MOST_DIGITS).contains(&text.len()) && !text.starts_with('0');
    (fits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Reads all tables that `[numbers]` names.
pub(super) fn read(tables: &[Found<written::Numbers>], from: &Secrets<'_>, report: &mut Report<'_>) -> Numbers {
    let mut builder = Builder::default();
    let named = |pick: fn(&written::Numbers) -> &super::value::Many| {
        tables.iter().flat_map(move |t| pick(&t.value).0.iter().map(|name| (t.at(name.span()), name.get_ref())))
    };
    for (place, name) in named(|t| &t.plan) {
        builder.file(from, name, place, report, PLAN);
    }
    for (place, name) in named(|t| &t.ported) {
        builder.file(from, name, place, report, PORTED);
    }
    builder.numbers
}

/// What a kind of CSV file looks like.
#[derive(Clone, Copy)]
struct Form {
    columns: &'static [&'static str],
    take: fn(&mut Builder, u64, &[&str]) -> bool,
}

const PLAN: Form = Form { columns: &["prefix", "carrier", "region", "country"], take: Builder::prefix };
const PORTED: Form = Form { columns: &["number", "carrier"], take: Builder::ported };

#[derive(Default)]
struct Builder {
    numbers: Numbers,
    known: HashMap<Range, u32>,
}

impl Builder {
    fn file(&mut self, from: &Secrets<'_>, name: &str, place: Place, report: &mut Report<'_>, form: Form) {
        let mut found = Vec::new();
        let path = from.dir.join(name);
        from.inputs.file(&path);
        if let Err(error) = self.lines(&path, form, from.inputs, &mut |line, message| {
            found.push(Problem::in_line(name, line, message, ""));
        }) {
            report.error(place, format!("{name} cannot be read: {error}"), "");
        }
        let left_out = found.len().saturating_sub(MOST_PROBLEMS);
        let last_line = found.get(MOST_PROBLEMS).map_or(1, |p| p.line);
        found.truncate(MOST_PROBLEMS);
        found.into_iter().for_each(|problem| report.push(problem));
        if left_out > 0 {
            report.push(Problem::in_line(name, last_line, format!("{left_out} more problems in this file"), ""));
        }
    }

    fn lines(
        &mut self,
        path: &Path,
        form: Form,
        inputs: &Inputs,
        bad: &mut dyn FnMut(usize, String),
    ) -> std::io::Result<()> {
        let mut file = BufReader::new(File::open(path)?);
        let mut octets = Vec::new();
        for line in 1.. {
            octets.clear();
            if file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut octets)? == 0 {
                break;
            }
            inputs.octets(&octets);
            if octets.len() as u64 == LONGEST_LINE {
                bad(line, format!("longer than {LONGEST_LINE} octets; the rest of the file is not read"));
                break;
            }
            if let Err(message) = self.line(&octets, line, form) {
                bad(line, message);
            }
        }
        Ok(())
    }

    fn line(&mut self, octets: &[u8], line: usize, form: Form) -> Result<(), String> {
        let text = std::str::from_utf8(octets).map_err(|_| "not UTF-8".to_owned())?;
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields == form.columns {
            return Ok(());
        }
        if fields.len() != form.columns.len() || text.contains('"') {
            return Err(format!("not of the form {} (without quotes)", form.columns.join(",")));
        }
        let key = form.columns[0];
        let number = digits(fields[0]).ok_or_else(|| format!("{key} is not 1 to 15 digits with country code"))?;
        if fields[1..].iter().all(|field| field.is_empty()) {
            return Err(format!("says nothing about the {key}"));
        }
        if (form.take)(self, number, &fields) { Ok(()) } else { Err(format!("{key} occurs a second time")) }
    }

    fn prefix(&mut self, prefix: u64, fields: &[&str]) -> bool {
        let [carrier, region, country] = [1, 2, 3].map(|i| fields[i].to_owned());
        let range = self.range(Range { carrier, region, country });
        self.numbers.longest = self.numbers.longest.max(prefix.ilog10() + 1);
        insert(self.numbers.prefixes.entry(prefix), range)
    }

    /// A ported number keeps the region and country of its prefix.
    fn ported(&mut self, number: u64, fields: &[&str]) -> bool {
        let home = self.numbers.by_prefix(number).map(|i| self.numbers.ranges[i as usize].clone()).unwrap_or_default();
        let range = self.range(Range { carrier: fields[1].to_owned(), ..home });
        insert(self.numbers.ported.entry(number), range)
    }

    fn range(&mut self, range: Range) -> u32 {
        let ranges = &mut self.numbers.ranges;
        *self.known.entry(range).or_insert_with_key(|range| {
            ranges.push(range.clone());
            (ranges.len() - 1) as u32
        })
    }
}

fn insert(entry: Entry<'_, u64, u32>, range: u32) -> bool {
    match entry {
        Entry::Vacant(slot) => {
            slot.insert(range);
            true
        }
        Entry::Occupied(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(plan: &str, ported: &str) -> (Numbers, Vec<(usize, String)>) {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = Builder::default();
        let mut bad = Vec::new();
        for (name, text, form) in [("plan.csv", plan, PLAN), ("ported.csv", ported, PORTED)] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            builder.lines(&path, form, &Inputs::default(), &mut |line, message| bad.push((line, message))).unwrap();
        }
        (builder.numbers, bad)
    }

    #[test]
    fn the_longest_prefix_wins_and_a_ported_number_wins_over_it() {
        let (numbers, bad) = numbers(
            "\u{feff}prefix,carrier,region,country\r\n86138,china-mobile,,CN\r\n861380,china-mobile,Beijing,CN\n\n# x\n+852,pccw,,HK\n",
            "number,carrier\n+8613800138000,china-unicom\n",
        );
        assert_eq!(bad, []);
        let of = |number| numbers.lookup(number).map(|r| (r.carrier.as_str(), r.region.as_str(), r.country.as_str()));
        assert_eq!(of("+8613812345678"), Some(("china-mobile", "", "CN")));
        assert_eq!(of("+8613801234567"), Some(("china-mobile", "Beijing", "CN")));
        assert_eq!(of("+8613800138000"), Some(("china-unicom", "Beijing", "CN")));
        assert_eq!(of("85261234567"), Some(("pccw", "", "HK")));
        assert_eq!(of("+4915112345678"), None);
        for odd in ["", "+", "+0", "86 138", "+86138001380001234", "８６"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_bad_line_is_named() {
        let (_, bad) = numbers("86,a,b\n086,a,,\n86,a,,\n86,b,,\n87,,,\n\"88\",a,,\n", "");
        let lines: Vec<usize> = bad.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4, 5, 6]);
        assert!(bad[2].1.contains("second time"));
    }

    #[test]
    fn equal_ranges_are_kept_once() {
        let (numbers, _) = numbers("861,a,,CN\n862,a,,CN\n863,b,,CN\n", "8611,b\n8612,b\n");
        assert_eq!(numbers.ranges().len(), 2);
    }
}
