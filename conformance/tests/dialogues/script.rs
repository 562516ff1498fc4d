//! A dialogue's file to lines: what happens, and what is to come of it. A mistake is told with its line.

use std::time::Duration;

use carriers::Settle;

/// A file's line, from 1, and what is wrong there.
pub(crate) type Wrong = (usize, String);

/// A whole file.
pub(crate) struct Script {
    pub(crate) protocol: String,
    /// The lines of `[channel.<protocol>]`.
    pub(crate) table: String,
    pub(crate) leg: usize,
    /// What the session draws from.
    pub(crate) seed: u64,
    /// The wall clock as the connection opens, in seconds of Unix time.
    pub(crate) clock: u64,
    pub(crate) lines: Vec<(usize, Line)>,
}

/// One thing that happens, or is to have happened.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    Opened,
    /// The far side says this PDU.
    Far(String, Vec<u8>),
    /// We are to have said it.
    We(String, Vec<u8>),
    /// The gateway is to have been told.
    Tells(String),
    /// The gateway hands over a text: all its parts.
    Submit {
        number: u64,
        to: String,
        sender: Option<String>,
        text: String,
    },
    Settle(usize, Settle),
    After(Duration),
    Probe,
    Unbind,
    Lost,
    /// The session is over, and why.
    Ends(String),
}

/// A statement before its meaning is known: its first line without the comment, and the octets written below it.
struct Statement<'t> {
    at: usize,
    head: &'t str,
    below: Vec<(usize, &'t str)>,
}

impl Script {
    pub(crate) fn read(text: &str) -> Result<Script, Wrong> {
        let mut script =
            Script { protocol: String::new(), table: String::new(), leg: 0, seed: 0, clock: 0, lines: Vec::new() };
        for statement in statements(text)? {
            let at = statement.at;
            let (word, rest) = statement.head.split_once(' ').unwrap_or((statement.head, ""));
            let rest = rest.trim();
            let number = |what: &str| rest.parse().map_err(|_| (at, format!("{what} is a number, not {rest:?}")));
            match word {
                "protocol" => rest.clone_into(&mut script.protocol),
                "table" => statement.below.iter().for_each(|(_, line)| script.table += &format!("{line}\n")),
                "leg" => script.leg = number("a leg")? as usize,
                "seed" => script.seed = number("a seed")?,
                "clock" => script.clock = number("the clock")?,
                _ => script.lines.push((at, line(&statement, word, rest)?)),
            }
        }
        Ok(script)
    }
}

/// Gathers lines: what is indented belongs to the line above it. Comments go, those in quotes stay.
fn statements(text: &str) -> Result<Vec<Statement<'_>>, Wrong> {
    let mut statements: Vec<Statement<'_>> = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let kept = without_comment(line).trim_end();
        match (kept.trim().is_empty(), kept.starts_with(' '), statements.last_mut()) {
            (true, ..) => {}
            (false, true, Some(last)) => last.below.push((at, kept.trim())),
            (false, true, None) => return Err((at, "nothing stands above this".to_owned())),
            (false, false, _) => statements.push(Statement { at, head: kept, below: Vec::new() }),
        }
    }
    Ok(statements)
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

fn line(statement: &Statement<'_>, word: &str, rest: &str) -> Result<Line, Wrong> {
    let at = statement.at;
    let wrong = |told: String| (at, told);
    Ok(match word {
        "opened" => Line::Opened,
        "probe" => Line::Probe,
        "unbind" => Line::Unbind,
        "lost" => Line::Lost,
        "tells" => Line::Tells(rest.to_owned()),
        "ends" => Line::Ends(rest.to_owned()),
        "far" | "we" => {
            let (name, source) = rest.split_once(' ').unwrap_or((rest, ""));
            let octets = match source.trim().strip_prefix("captured ") {
                Some(vector) => captured(vector.trim()).ok_or_else(|| wrong(format!("nobody captured {vector}")))?,
                None => octets(statement)?,
            };
            if word == "far" { Line::Far(name.to_owned(), octets) } else { Line::We(name.to_owned(), octets) }
        }
        "submit" => submit(rest).ok_or_else(|| wrong(format!("submit N to NUMBER [from SENDER] \"TEXT\": {rest}")))?,
        "settle" => {
            let (which, how) = rest.split_once(' ').unwrap_or((rest, ""));
            let which = which.parse().map_err(|_| wrong(format!("which receipt or message, not {which:?}")))?;
            let settle = match how.trim() {
                "durable" => Settle::Durable,
                "later" => Settle::Later,
                "refused" => Settle::Refused("by the dialogue".to_owned()),
                other => return Err(wrong(format!("durable, later or refused, not {other:?}"))),
            };
            Line::Settle(which, settle)
        }
        "after" => {
            let millis = match (rest.strip_suffix("ms"), rest.strip_suffix('s')) {
                (Some(millis), _) => millis.parse::<u64>().ok(),
                (None, Some(seconds)) => seconds.parse::<u64>().ok().map(|seconds| seconds * 1000),
                (None, None) => None,
            };
            Line::After(Duration::from_millis(
                millis.ok_or_else(|| wrong(format!("a time such as 30s, not {rest:?}")))?,
            ))
        }
        other => return Err(wrong(format!("nobody knows {other:?}"))),
    })
}

/// `N to NUMBER [from SENDER] "TEXT"`
fn submit(rest: &str) -> Option<Line> {
    let (head, text) = rest.split_once('"')?;
    let text = text.strip_suffix('"')?.replace("\\n", "\n");
    let words: Vec<&str> = head.split_whitespace().collect();
    let (number, to, sender) = match words[..] {
        [number, "to", to] => (number, to, None),
        [number, "to", to, "from", sender] => (number, to, Some(sender.to_owned())),
        _ => return None,
    };
    Some(Line::Submit { number: number.parse().ok()?, to: to.to_owned(), sender, text })
}

/// The hexadecimal digits below a statement; blanks are for the reader.
fn octets(statement: &Statement<'_>) -> Result<Vec<u8>, Wrong> {
    let mut digits = Vec::new();
    for (at, line) in &statement.below {
        for character in line.chars().filter(|character| !character.is_whitespace()) {
            let digit =
                character.to_digit(16).ok_or_else(|| (*at, format!("{character:?} is no hexadecimal digit")))?;
            digits.push(digit as u8);
        }
    }
    if digits.len() % 2 != 0 || digits.is_empty() {
        return Err((statement.at, format!("{} digits are no octets", digits.len())));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A PDU as another program sent it.
fn captured(name: &str) -> Option<Vec<u8>> {
    let rows = include_str!("../../../codecs/tests/vectors/cmpp-sgip-smgp.tsv").lines();
    let row = rows.map(|row| row.split('\t').collect::<Vec<_>>()).find(|row| row.first() == Some(&name))?;
    let hex = *row.get(3)?;
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
