//! What may be written where: words that belong to other folders, clocks and sockets in pure code, waiting tests,
//! unfinished work.

use crate::{Text, Violation};

/// Names of protocols: data to the gateway, never words in its code.
const PROTOCOLS: [&str; 6] = ["smpp", "cmpp", "sgip", "smgp", "sip", "mm7"];
/// The only file that may go beyond safe Rust: the kernel's TCP_INFO needs it.
const UNSAFE_FILE: &str = "carriers/link/src/tcp_info.rs";
/// Reads a clock, waits, or opens something.
const IMPURE: [&str; 12] = [
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "thread::sleep",
    "thread::spawn",
    "tokio::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "std::fs",
    "std::process",
];
/// Marks and macros of unfinished work. Divided, so that this file does not break its own rule.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const MACROS: [&str; 3] = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
/// Paths that exist on one machine only.
const ELSEWHERE: [&str; 2] = [concat!("../", "shared"), concat!("/wo", "rk/")];

/// Checks every line of a file.
pub(crate) fn file(file: &Text, violations: &mut Vec<Violation>) {
    let mut scan = Scan { file, violations };
    let in_gateway = file.path.starts_with("gateway/src/");
    let in_codecs = file.path.starts_with("codecs/src/");
    let pure = in_codecs || file.path.starts_with("carriers/src/");
    let mut in_tests = file.name() == "tests.rs" || file.path.split('/').any(|part| part == "tests");
    for (number, line) in (1..).zip(file.text.lines()) {
        in_tests |= line.trim() == "#[cfg(test)]";
        scan.unfinished(number, line);
        if in_gateway {
            scan.protocol_names(number, line);
        }
        if !file.is_rust() {
            continue;
        }
        let code = code(line);
        if pure && !in_tests {
            scan.impure(number, &code, in_codecs);
        }
        if in_tests && has_call(&code, "sleep") {
            scan.found(number, "test-sleep", "wait for what the test is about, or move a clock of its own");
        }
        if file.path != UNSAFE_FILE && identifiers(&code).any(|word| word == "unsafe") {
            scan.found(number, "unsafe", format!("only {UNSAFE_FILE} may: find a safe way"));
        }
    }
}

struct Scan<'s> {
    file: &'s Text,
    violations: &'s mut Vec<Violation>,
}

impl Scan<'_> {
    fn found(&mut self, line: usize, rule: &'static str, fix: impl Into<String>) {
        self.violations.push(self.file.violation(line, rule, fix));
    }

    fn unfinished(&mut self, number: usize, line: &str) {
        if let Some(mark) = MARKS.iter().find(|mark| identifiers(line).any(|word| word == **mark)) {
            self.found(number, "unfinished", format!("do it, or open an issue instead of {mark}"));
        }
        if let Some(path) = ELSEWHERE.iter().find(|path| line.contains(**path)) {
            self.found(number, "elsewhere", format!("{path} is not part of this repository"));
        }
        let code = if self.file.is_rust() { code(line) } else { String::new() };
        if let Some(name) = MACROS.iter().find(|name| has_macro(&code, name)) {
            self.found(number, "unfinished", format!("remove {name}"));
        }
    }

    fn protocol_names(&mut self, number: usize, line: &str) {
        if let Some(name) = words(line).into_iter().find(|word| PROTOCOLS.contains(&word.as_str())) {
            let fix = format!("the gateway knows no {name}: go through the seam in carriers/src/protocol.rs");
            self.found(number, "protocol-name", fix);
        }
    }

    fn impure(&mut self, number: usize, code: &str, no_net: bool) {
        let net = no_net.then_some("std::net");
        if let Some(what) = IMPURE.into_iter().chain(net).find(|what| code.contains(what)) {
            self.found(number, "pure", format!("{what}: time is an argument here, and sockets are carriers/link's"));
        }
    }
}

/// The line without its comment and without what its strings say; strings over several lines are not seen.
fn code(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        let literal = line[..at].ends_with('\'') && line[at + c.len_utf8()..].starts_with('\'');
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' if literal => {}
            '"' => {
                quoted = !quoted;
                code.push('"');
            }
            '/' if !quoted && line[at..].starts_with("//") => break,
            _ if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A call of a function or method of that very name.
fn has_call(code: &str, name: &str) -> bool {
    starts(code, name).any(|rest| rest.starts_with('('))
}

fn has_macro(code: &str, name: &str) -> bool {
    starts(code, name).next().is_some()
}

/// What follows each place where `name` begins a word.
fn starts<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    text.match_indices(name).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        begins.then(|| &text[at + name.len()..])
    })
}

/// Words in lower case, identifiers taken apart at underscores and humps: `SMPPLink_a` is smpp, link, a.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in text.split(|c: char| !c.is_alphanumeric()) {
        let letters: Vec<char> = run.chars().collect();
        let mut word = String::new();
        for (i, c) in letters.iter().enumerate() {
            let after_lower = i > 0 && !letters[i - 1].is_uppercase();
            let before_lower = letters.get(i + 1).is_some_and(|next| next.is_lowercase());
            if c.is_uppercase() && (after_lower || before_lower) && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(c.to_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::broken;

    #[test]
    fn the_gateway_names_no_protocol() {
        for line in ["use carriers::smpp;", "// as in CMPP", "struct SmppLink;", "let a = \"mm7\";", "sip_port: u16,"] {
            assert_eq!(broken("gateway/src/a.rs", &format!("//! A.\n{line}\n")), ["2: protocol-name"], "{line}");
        }
        assert_eq!(broken("gateway/src/a.rs", "//! Gossip about sipping.\n"), [""; 0]);
        assert_eq!(broken("gateway/tests/a.rs", "use carriers::smpp;\n"), [""; 0]);
    }

    #[test]
    fn words_are_taken_apart_at_humps() {
        assert_eq!(words("SMPPLink_a fooBar mm7"), ["smpp", "link", "a", "foo", "bar", "mm7"]);
    }

    #[test]
    fn pure_code_reads_no_clock_and_opens_nothing() {
        for line in ["let t = Instant::now();", "use tokio::net;", "TcpStream::connect(a)", "std::fs::read(p)"] {
            let text = format!("//! A.\n{line}\n");
            assert_eq!(broken("codecs/src/a.rs", &text), ["2: pure"], "{line}");
            assert_eq!(broken("carriers/src/a.rs", &text), ["2: pure"], "{line}");
            assert_eq!(broken("carriers/link/src/a.rs", &text), [""; 0], "{line}");
        }
        let addresses = "//! A.\nuse std::net::SocketAddr;\n// tokio::net is not here\n";
        assert_eq!(broken("carriers/src/a.rs", addresses), [""; 0]);
        assert_eq!(broken("codecs/src/a.rs", addresses), ["2: pure"]);
    }

    #[test]
    fn one_file_may_be_unsafe() {
        let text = "//! A.\nfn a() { unsafe { b() } }\n";
        assert_eq!(broken("carriers/link/src/a.rs", text), ["2: unsafe"]);
        assert_eq!(broken(UNSAFE_FILE, text), [""; 0]);
        assert_eq!(broken("carriers/link/src/a.rs", "//! A.\n#![deny(unsafe_code)] // never unsafe\n"), [""; 0]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let call = concat!("sle", "ep(d).await;");
        let inside = format!("//! A.\nfn a() {{ {call} }}\n#[cfg(test)]\nmod tests {{\n tokio::time::{call}\n}}\n");
        assert_eq!(broken("gateway/src/a.rs", &inside), ["5: test-sleep"], "before the tests it may");
        assert_eq!(broken("gateway/tests/a.rs", call), ["1: test-sleep"]);
        assert_eq!(broken("gateway/tests/a.rs", "no_sleep(d); // sleep(d)\n"), [""; 0]);
    }

    #[test]
    fn unfinished_work_does_not_stay() {
        for mark in MARKS {
            assert_eq!(broken("ops/a.md", &format!("a {mark}: b\n")), ["1: unfinished"]);
        }
        for name in MACROS {
            assert_eq!(broken("ops/src/a.rs", &format!("//! A.\n{name}()\n")), ["2: unfinished"]);
            assert_eq!(broken("ops/src/a.rs", &format!("//! A.\nmy_{name}() // {name}\n")), [""; 0]);
        }
    }

    #[test]
    fn nothing_refers_to_one_machine() {
        assert_eq!(broken("ops/a.md", &format!("see {}/x\n", ELSEWHERE[0])), ["1: elsewhere"]);
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(code("let a = \"http://x\"; // b"), "let a = \"\"; ");
        assert_eq!(code("let a = \"\\\"//\"; // b"), "let a = \"\"; ");
        assert_eq!(code("match c { '\"' => d(), } // b"), "match c { '\"' => d(), } ".replace('"', ""));
    }
}
