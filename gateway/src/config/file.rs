//! Which files there are and which tables they hold. `qiao.toml` names further files with `include`; what concerns the
//! node stands in `qiao.toml` alone, everything else in any of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::inputs::Inputs;
use super::problem::{Place, Problem, Report, Severity, Source};
use super::shape::{self, Found};
use super::{MAIN_FILE, Protocols, written};

/// Largest configuration file.
const MOST_OCTETS: u64 = 16 << 20;
/// Most files one configuration may have.
const MOST_FILES: usize = 10_000;

/// All tables of all files, in file order.
#[derive(Default)]
pub(super) struct Whole<'s> {
    pub(super) node: Option<Found<written::Node>>,
    pub(super) http: Option<Found<written::Http>>,
    pub(super) admin: Option<Found<written::Admin>>,
    pub(super) journal: Option<Found<written::Journal>>,
    pub(super) limits: Option<Found<written::Limits>>,
    pub(super) store: Option<Found<written::Store>>,
    pub(super) callbacks: Option<Found<written::Callbacks>>,
    pub(super) health: Option<Found<written::Health>>,
    pub(super) uplink: Option<Found<written::Uplink>>,
    pub(super) tiers: Vec<Found<written::Tier>>,
    pub(super) channels: Vec<(Found<written::Channel>, Tables<'s>)>,
    pub(super) groups: Vec<Found<written::Group>>,
    pub(super) routes: Vec<Found<written::Route>>,
    pub(super) apps: Vec<Found<written::App>>,
    pub(super) numbers: Vec<Found<written::Numbers>>,
    /// Whether all that is written could be read.
    pub(super) complete: bool,
}

/// A channel's protocol tables by name, untouched.
pub(super) type Tables<'s> = Vec<(&'static str, Spanned<DeValue<'s>>)>;

/// The sections only `qiao.toml` may have.
const NODE_SECTIONS: [&str; 10] =
    ["include", "node", "http", "admin", "journal", "limits", "store", "callbacks", "health", "uplink"];
/// The sections any file may have.
const SECTIONS: [&str; 6] = ["channel", "group", "route", "app", "tier", "numbers"];

/// Reads `qiao.toml` and what it includes; what cannot be read is reported in the place that names it.
pub(super) fn read(dir: &Path, inputs: &Inputs) -> (Vec<Source>, Vec<Problem>) {
    let main = match read_file(&dir.join(MAIN_FILE), inputs) {
        Ok(text) => Source { name: MAIN_FILE.to_owned(), text },
        Err(why) => return (Vec::new(), vec![Problem::in_line(MAIN_FILE, 1, why, "")]),
    };
    let mut included = Vec::new();
    let mut problems = Vec::new();
    {
        let sources = std::slice::from_ref(&main);
        let mut report = Report::new(sources);
        let mut seen = BTreeSet::from([dir.join(MAIN_FILE)]);
        for pattern in includes(&main.text) {
            let place = Place { file: 0, span: pattern.span() };
            include((dir, inputs), pattern.get_ref(), place, &mut seen, &mut included, &mut report);
        }
        problems.extend(report.finish().1);
    }
    let mut sources = vec![main];
    sources.append(&mut included);
    (sources, problems)
}

/// The patterns of `include`; what is wrong with its shape is reported when the file is parsed.
fn includes(text: &str) -> Vec<Spanned<String>> {
    let (table, _) = DeTable::parse_recoverable(text);
    let Some(DeValue::Array(items)) = table.get_ref().get("include").map(Spanned::get_ref) else { return Vec::new() };
    items.iter().filter_map(|item| Some(Spanned::new(item.span(), item.get_ref().as_str()?.to_owned()))).collect()
}

fn include(
    (dir, inputs): (&Path, &Inputs),
    pattern: &str,
    place: Place,
    seen: &mut BTreeSet<PathBuf>,
    included: &mut Vec<Source>,
    report: &mut Report<'_>,
) {
    let names = match expand(dir, pattern, inputs) {
        Ok(names) => names,
        Err(why) => return report.error(place, format!("include \"{pattern}\": {why}"), ""),
    };
    if names.is_empty() {
        report.warning(place.clone(), format!("include \"{pattern}\" matches no file"), "");
    }
    for name in names {
        if !seen.insert(dir.join(&name)) {
            continue;
        }
        if seen.len() > MOST_FILES {
            return report.error(place, format!("more than {MOST_FILES} files"), "");
        }
        match read_file(&dir.join(&name), inputs) {
            Ok(text) => included.push(Source { name, text }),
            Err(why) => report.error(place.clone(), format!("include {name}: {why}"), ""),
        }
    }
}

/// The files a pattern names, in order; `*` and `?` may stand in its last component and never match a leading dot.
fn expand(dir: &Path, pattern: &str, inputs: &Inputs) -> Result<Vec<String>, String> {
    let (folder, last) = pattern.rsplit_once('/').map_or(("", pattern), |(folder, last)| (folder, last));
    if folder.contains(['*', '?']) {
        return Err("wildcards may stand in the last component only".to_owned());
    }
    if !last.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    inputs.folder(&dir.join(folder));
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.join(folder)).map_err(|e| e.to_string())? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        let Some(name) = name.to_str().filter(|n| !n.starts_with('.') && glob(last.as_bytes(), n.as_bytes())) else {
            continue;
        };
        names.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
        if names.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files"));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a name matches a pattern of `*` and `?`; one step back to the last star suffices.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    (p, n) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

fn read_file(path: &Path, inputs: &Inputs) -> Result<String, String> {
    inputs.file(path);
    let fails = |e: std::io::Error| format!("cannot be read: {e}");
    let about = fs::metadata(path).map_err(fails)?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    if about.len() > MOST_OCTETS {
        return Err(format!("is larger than {} MiB", MOST_OCTETS >> 20));
    }
    let text = fs::read_to_string(path).map_err(fails)?;
    inputs.octets(text.as_bytes());
    Ok(text)
}

/// Parses every file into its tables.
pub(super) fn parse<'s>(sources: &'s [Source], protocols: Protocols, report: &mut Report<'_>) -> Whole<'s> {
    let mut whole = Whole { complete: !report.failed(), ..Whole::default() };
    for (file, source) in sources.iter().enumerate() {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        whole.complete &= errors.is_empty();
        for error in errors {
            report.error(Place { file, span: error.span().unwrap_or(0..0) }, error.message().to_owned(), "");
        }
        for (key, value) in table.into_inner() {
            if key.get_ref() == "channel" {
                for item in list(file, &key, value, report) {
                    whole.channels.extend(channel(file, item, protocols, report));
                }
            } else {
                section(file, &key, value, &mut whole, report);
            }
        }
    }
    whole
}

fn section<'s>(
    file: usize,
    key: &Spanned<std::borrow::Cow<'s, str>>,
    value: Spanned<DeValue<'s>>,
    whole: &mut Whole<'s>,
    report: &mut Report<'_>,
) {
    let name = key.get_ref().as_ref();
    let place = Place { file, span: key.span() };
    if file > 0 && NODE_SECTIONS.contains(&name) {
        return report.error(place, format!("`{name}` belongs into {MAIN_FILE}"), format!("move it to {MAIN_FILE}"));
    }
    match name {
        "include" => check_include(file, &value, report),
        "node" => whole.node = table(file, key, value, report),
        "http" => whole.http = table(file, key, value, report),
        "admin" => whole.admin = table(file, key, value, report),
        "journal" => whole.journal = table(file, key, value, report),
        "limits" => whole.limits = table(file, key, value, report),
        "store" => whole.store = table(file, key, value, report),
        "callbacks" => whole.callbacks = table(file, key, value, report),
        "health" => whole.health = table(file, key, value, report),
        "uplink" => whole.uplink = table(file, key, value, report),
        "numbers" => whole.numbers.extend(table(file, key, value, report)),
        "tier" => read_all(file, key, value, &mut whole.tiers, report),
        "group" => read_all(file, key, value, &mut whole.groups, report),
        "route" => read_all(file, key, value, &mut whole.routes, report),
        "app" => read_all(file, key, value, &mut whole.apps, report),
        _ => {
            let known: Vec<&str> = SECTIONS.iter().chain(&NODE_SECTIONS).copied().collect();
            let (message, hint) = shape::unknown_key(name, &known);
            report.error(place, message, hint);
        }
    }
}

fn check_include(file: usize, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) {
    const HINT: &str = "write include = [\"channels/*.toml\", \"routes.toml\"]";
    let DeValue::Array(items) = value.get_ref() else {
        return report.error(Place { file, span: value.span() }, "`include` is a list of file names", HINT);
    };
    for item in items.iter().filter(|item| !item.get_ref().is_str()) {
        report.error(Place { file, span: item.span() }, "`include` is a list of file names", HINT);
    }
}

fn table<T: DeserializeOwned>(
    file: usize,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: Spanned<DeValue<'_>>,
    report: &mut Report<'_>,
) -> Option<Found<T>> {
    if !value.get_ref().is_table() {
        let name = key.get_ref();
        report.error(Place { file, span: key.span() }, format!("`{name}` is a table"), format!("write [{name}]"));
        return None;
    }
    shape::read(report, file, value)
}

fn list<'s>(
    file: usize,
    key: &Spanned<std::borrow::Cow<'s, str>>,
    value: Spanned<DeValue<'s>>,
    report: &mut Report<'_>,
) -> DeArray<'s> {
    if let DeValue::Array(items) = value.into_inner() {
        return items;
    }
    let name = key.get_ref();
    report.error(
        Place { file, span: key.span() },
        format!("`{name}` is a list of tables"),
        format!("write [[{name}]]"),
    );
    DeArray::new()
}

fn read_all<'s, T: DeserializeOwned>(
    file: usize,
    key: &Spanned<std::borrow::Cow<'s, str>>,
    value: Spanned<DeValue<'s>>,
    into: &mut Vec<Found<T>>,
    report: &mut Report<'_>,
) {
    for item in list(file, key, value, report) {
        into.extend(shape::read(report, file, item));
    }
}

/// A channel and, apart from it, its protocols' tables, which are theirs to read.
fn channel<'s>(
    file: usize,
    mut item: Spanned<DeValue<'s>>,
    protocols: Protocols,
    report: &mut Report<'_>,
) -> Option<(Found<written::Channel>, Tables<'s>)> {
    let mut tables = Tables::new();
    if let DeValue::Table(entries) = item.get_mut() {
        for protocol in protocols {
            tables.extend(entries.remove(protocol.name()).map(|table| (protocol.name(), table)));
        }
    }
    Some((shape::read(report, file, item)?, tables))
}

impl Whole<'_> {
    /// Whether there is anything in it at all.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.apps.is_empty() && self.routes.is_empty() && self.groups.is_empty()
    }
}

/// A warning that stands for a whole configuration.
pub(super) fn warning_of_main(message: &str, hint: &str) -> Problem {
    Problem { severity: Severity::Warning, ..Problem::in_line(MAIN_FILE, 1, message, hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_within_a_name() {
        for (pattern, name, matches) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a?.toml", "ab.toml", true),
            ("a?.toml", "a.toml", false),
            ("*a*b*", "xaxxbx", true),
            ("*a*b", "xaxxbx", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn expansion_is_sorted_and_leaves_hidden_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("channels")).unwrap();
        for name in ["b.toml", "a.toml", ".#a.toml", "a.toml~"] {
            fs::write(dir.path().join("channels").join(name), "").unwrap();
        }
        assert_eq!(
            expand(dir.path(), "channels/*.toml", &Inputs::default()).unwrap(),
            ["channels/a.toml", "channels/b.toml"]
        );
        assert_eq!(
            expand(dir.path(), "none.toml", &Inputs::default()).unwrap(),
            ["none.toml"],
            "reading it reports it"
        );
        assert!(expand(dir.path(), "*/a.toml", &Inputs::default()).is_err());
    }
}
