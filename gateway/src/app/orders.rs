//! Operators' standing orders: which channels and apps are out of service, until when, and why. Kept in
//! `data_dir/orders.json`, so that they survive restarts and reloads; expiry is wall time. An order for a name that
//! leaves the configuration stays for when it comes back.
//!
//! The file is written whole: beside the old one, synced, renamed over it, its directory synced. One that does not
//! read is set aside as `orders.json.damaged`, and **whatever it still names is held**. An order whose name is gone from
//! it is lost, which the log says as an error: holding everything instead would turn a damaged file into an outage.
//! [`Orders`] is pure; only [`load`] and [`store`] touch disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keep;
use crate::admit::number::mask;
use crate::clock::Wall;
use crate::config::plan::Names;

/// Name of the file in the data directory.
const FILE: &str = "orders.json";
/// Version of the file's form.
const VERSION: u32 = 1;
/// Most characters kept of what an operator says.
pub(super) const WORDS: usize = 200;
/// Why something is held after its file was damaged.
const DAMAGED: &str = "named in a damaged orders.json; release it where that is wrong";

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Take nothing new.
    Hold,
    /// Take nothing new, finish what is open, unbind.
    Drain,
}

impl Kind {
    /// As the log says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hold => "hold",
            Kind::Drain => "drain",
        }
    }
}

/// One standing order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub order: Kind,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when, milliseconds since the Unix epoch; absent: until released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Why, for operators and the log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What a held app is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What an operator asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The order; none: back in service.
    pub order: Option<Kind>,
    /// For how long; none: until released.
    pub period: Option<Duration>,
    /// Why, for operators and the log.
    pub reason: String,
    /// What a held app is told.
    pub detail: String,
}

/// Whom an order is about, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A channel.
    Channel(String),
    /// An app.
    App(String),
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    #[serde(default)]
    channels: BTreeMap<String, Order>,
    #[serde(default)]
    apps: BTreeMap<String, Order>,
}

/// All standing orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    book: Book,
    /// Counts changes, so that a writer can say which of them is on disk.
    changes: u64,
}

impl Orders {
    /// The order in force for a channel.
    pub(super) fn channel(&self, name: &str) -> Option<&Order> {
        self.book.channels.get(name)
    }

    /// The order in force for an app.
    pub(super) fn app(&self, name: &str) -> Option<&Order> {
        self.book.apps.get(name)
    }

    /// Puts an order in force, or ends it; true where that changes anything.
    pub(super) fn set(&mut self, subject: &Subject, order: Option<Order>) -> bool {
        let (list, name) = match subject {
            Subject::Channel(name) => (&mut self.book.channels, name),
            Subject::App(name) => (&mut self.book.apps, name),
        };
        let changed = list.get(name) != order.as_ref();
        match order {
            Some(order) => drop(list.insert(name.clone(), order)),
            None => drop(list.remove(name)),
        }
        self.changes += u64::from(changed);
        changed
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.book.channels.len() + self.book.apps.len()
    }

    /// When the next order expires.
    pub(super) fn deadline(&self) -> Option<Wall> {
        let all = self.book.channels.values().chain(self.book.apps.values());
        all.filter_map(|order| order.until_ms).min().map(Wall)
    }

    /// Ends what has expired and says whose it was.
    pub(super) fn expire(&mut self, now: Wall) -> Vec<(Subject, Order)> {
        let due = |order: &Order| order.until_ms.is_some_and(|until| until <= now.0);
        let take = |list: &mut BTreeMap<String, Order>, subject: fn(String) -> Subject| -> Vec<(Subject, Order)> {
            let names: Vec<String> =
                list.iter().filter(|(_, order)| due(order)).map(|(name, _)| name.clone()).collect();
            names
                .into_iter()
                .filter_map(|name| Some((list.remove(&name)?, name)))
                .map(|(o, n)| (subject(n), o))
                .collect()
        };
        let mut gone = take(&mut self.book.channels, Subject::Channel);
        gone.extend(take(&mut self.book.apps, Subject::App));
        self.changes += u64::from(!gone.is_empty());
        gone
    }

    /// Number of the last change.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// As the file has them.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut octets = serde_json::to_vec_pretty(&Book { version: VERSION, ..self.book.clone() }).unwrap_or_default();
        octets.push(b'\n');
        octets
    }

    /// From a file; the error says what is wrong with it.
    fn read(octets: &[u8]) -> Result<Orders, String> {
        let book: Book = serde_json::from_slice(octets).map_err(|e| e.to_string())?;
        if book.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", book.version));
        }
        Ok(Orders { book, changes: 0 })
    }

    /// What a damaged file can still mean: everything it names is held. What it no longer names cannot be known.
    fn salvage(octets: &[u8], names: &Names, now: Wall) -> Orders {
        let named = |name: &str| {
            let quoted = format!("\"{name}\"").into_bytes();
            octets.windows(quoted.len()).any(|window| window == quoted)
        };
        let held = |list: &[std::sync::Arc<str>]| {
            let held = list.iter().filter(|name| named(name));
            held.map(|name| (name.to_string(), Order::new(Kind::Hold, now, None, DAMAGED, ""))).collect()
        };
        let book = Book { version: VERSION, channels: held(&names.channels), apps: held(&names.apps) };
        Orders { book, changes: 1 }
    }
}

impl Order {
    /// What is asked for now; none to be back in service.
    pub(super) fn asked(asked: &Asked, now: Wall) -> Option<Order> {
        let until = asked.period.map(|period| Wall(now.0.saturating_add(period.as_millis() as u64)));
        Some(Order::new(asked.order?, now, until, &asked.reason, &asked.detail))
    }

    /// An order given now. Of words, [`WORDS`] characters are kept; none of them can steer a terminal, and what may be
    /// a phone number is masked.
    fn new(order: Kind, now: Wall, until: Option<Wall>, reason: &str, detail: &str) -> Order {
        Order {
            order,
            since_ms: now.0,
            until_ms: until.map(|until| until.0),
            reason: words(reason),
            detail: words(detail),
        }
    }
}

/// Fewest digits in a row that may be a phone number.
const NUMBER: usize = 8;

/// An operator's words as they are kept, shown and logged.
pub(super) fn words(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = String::new();
    for c in text.chars().take(WORDS).chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        kept += &if digits.len() >= NUMBER { mask(&digits) } else { std::mem::take(&mut digits) };
        digits.clear();
        match c {
            '\0' => {}
            c if steers(c) => kept.extend(c.escape_unicode()),
            c => kept.push(c),
        }
    }
    kept
}

/// Control characters, and those that turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The orders in `dir`, and what is wrong with their file if anything is.
///
/// # Errors
/// The file is there and cannot be read at all, or a damaged one not be set aside.
pub(super) fn load(dir: &Path, names: &Names, now: Wall) -> io::Result<(Orders, Option<String>)> {
    let path = dir.join(FILE);
    let octets = match fs::read(&path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Orders::default(), None)),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    match Orders::read(&octets) {
        Ok(orders) => Ok((orders, None)),
        Err(why) => {
            let aside = dir.join(format!("{FILE}.damaged"));
            fs::rename(&path, &aside)?;
            Ok((Orders::salvage(&octets, names, now), Some(format!("{}: {why}", aside.display()))))
        }
    }
}

/// Writes the file; what was there stays until the new one is on disk.
///
/// # Errors
/// The disk's.
pub(super) fn store(dir: &Path, octets: &[u8]) -> io::Result<()> {
    keep::replace(dir, FILE, octets)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Wall = Wall(1_000);

    fn names() -> Names {
        let mut names = Names::default();
        names.channel("a");
        names.channel("b");
        names.app("shop");
        names
    }

    fn held(reason: &str, until: Option<u64>) -> Option<Order> {
        Some(Order::new(Kind::Hold, NOW, until.map(Wall), reason, ""))
    }

    #[test]
    fn orders_read_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path(), &names(), NOW).unwrap(), (Orders::default(), None), "no file");
        let mut orders = Orders::default();
        let drain = Order::new(Kind::Drain, NOW, None, "line \"works\"\n", "");
        assert!(orders.set(&Subject::Channel("a".into()), Some(drain.clone())));
        assert!(orders.set(&Subject::App("gone".into()), held("", Some(5_000))));
        assert!(!orders.set(&Subject::Channel("a".into()), Some(drain)), "the same again");
        store(dir.path(), &orders.write()).unwrap();
        let (read, wrong) = load(dir.path(), &names(), NOW).unwrap();
        assert_eq!((read.write(), wrong), (orders.write(), None));
        assert_eq!(read.channel("a").unwrap().order, Kind::Drain);
        assert_eq!(read.app("gone").unwrap().until_ms, Some(5_000), "kept for when it comes back");
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_order_ends_at_its_time_and_not_before() {
        let mut orders = Orders::default();
        orders.set(&Subject::Channel("a".into()), held("", Some(5_000)));
        orders.set(&Subject::Channel("b".into()), held("", None));
        orders.set(&Subject::App("shop".into()), held("", Some(4_000)));
        assert_eq!(orders.deadline(), Some(Wall(4_000)));
        assert!(orders.expire(Wall(3_999)).is_empty());
        let before = orders.changes();
        assert_eq!(orders.expire(Wall(4_000))[0].0, Subject::App("shop".into()));
        assert!(orders.changes() > before);
        assert_eq!(orders.expire(Wall(9_000))[0].0, Subject::Channel("a".into()));
        assert_eq!((orders.deadline(), orders.channel("b").is_some()), (None, true));
    }

    #[test]
    fn of_a_damaged_file_everything_it_still_names_is_held() {
        let mut orders = Orders::default();
        orders.set(&Subject::Channel("a".into()), Some(Order::new(Kind::Drain, NOW, Some(Wall(9)), "see \"b\"", "")));
        orders.set(&Subject::App("shop".into()), held("", None));
        let whole = orders.write();
        for cut in 1..whole.len() - 1 {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FILE), &whole[..cut]).unwrap();
            let (read, wrong) = load(dir.path(), &names(), NOW).unwrap();
            let Some(wrong) = wrong else { continue };
            assert!(wrong.contains("orders.json.damaged"), "{wrong}");
            assert!(dir.path().join("orders.json.damaged").exists());
            let text = String::from_utf8_lossy(&whole[..cut]);
            for (name, held) in [("a", read.channel("a")), ("shop", read.app("shop"))] {
                assert_eq!(held.is_some(), text.contains(&format!("\"{name}\"")), "{name} at {cut}");
                assert!(held.is_none_or(|order| order.until_ms.is_none() && order.order == Kind::Hold));
            }
            assert_eq!(read.channel("b"), None, "only mentioned in a reason");
            let named = ["\"a\"", "\"shop\""].iter().filter(|name| text.contains(**name)).count();
            assert_eq!(read.len(), named, "nothing else is held");
        }
        let newer = String::from_utf8(whole).unwrap().replace("\"version\": 1", "\"version\": 2");
        assert!(Orders::read(newer.as_bytes()).unwrap_err().contains("version is 2"));
    }

    #[test]
    fn what_cannot_be_read_at_all_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FILE)).unwrap();
        assert!(load(dir.path(), &names(), NOW).unwrap_err().to_string().contains("orders.json"));
    }

    #[test]
    fn words_steer_no_terminal_and_show_no_number() {
        assert_eq!(words("fibre cut\n\u{1b}[31m\u{202e}"), "fibre cut\\u{a}\\u{1b}[31m\\u{202e}");
        assert_eq!(words("from +8613800138000, 3 times"), "from +86138******00, 3 times");
        assert_eq!(words("ticket 1234567"), "ticket 1234567");
        assert_eq!(words(&"桥".repeat(300)).chars().count(), WORDS);
        assert_eq!(words(""), "");
    }
}
