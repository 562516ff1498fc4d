//! `qiao ctl reload`: has the configuration read anew and says what that changed, or every problem.

use std::io::{self, Write};

use http::Method;
use serde_json::{Value, json};

use super::ask::Ask;
use super::print::text;
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>) -> io::Result<Exit> {
    let answer = ask.call(Method::POST, "/admin/v1/reload", Some(json!({}))).await?;
    if !ask.json && answer.1["problems"].is_array() {
        problems(&answer.1["problems"], ask.out)?;
        writeln!(ask.out, "nothing has changed: mend these and reload again")?;
        return Ok(Exit::No);
    }
    ask.show(answer, applied)
}

fn applied(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let changes = answer["changes"].as_array().map_or(&[][..], Vec::as_slice);
    for change in changes {
        let name = [&change["what"], &change["name"]].map(|word| word.as_str().map(|_| text(word)));
        let name: Vec<String> = name.into_iter().flatten().collect();
        let details: Vec<String> = change["details"].as_array().into_iter().flatten().map(text).collect();
        let how = if details.is_empty() { text(&change["how"]) } else { details.join(", ") };
        writeln!(out, "{}: {how}", name.join(" "))?;
    }
    for setting in answer["restart"].as_array().into_iter().flatten() {
        writeln!(out, "waits for a restart: {}", text(setting))?;
    }
    problems(&answer["warnings"], out)?;
    super::status::last(&answer["last"], out)?;
    match changes.len() {
        0 => writeln!(out, "reloaded: nothing is different"),
        1 => writeln!(out, "reloaded: 1 change"),
        n => writeln!(out, "reloaded: {n} changes"),
    }
}

/// As `qiao check` prints them.
fn problems(list: &Value, out: &mut dyn Write) -> io::Result<()> {
    for problem in list.as_array().into_iter().flatten() {
        let [file, line, column, severity, message] =
            ["file", "line", "column", "severity", "message"].map(|key| text(&problem[key]));
        writeln!(out, "{file}:{line}:{column}: {severity}: {message}")?;
        if problem["hint"].is_string() {
            writeln!(out, "  hint: {}", text(&problem["hint"]))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said_line_by_line() {
        let answer = json!({
            "changes": [
                {"what": "channel", "name": "a", "how": "changed", "details": ["rate 100 to 200", "links 1 to 2"]},
                {"what": "app", "name": "shop", "how": "added"},
                {"what": "numbers", "how": "changed", "details": ["other numbers"]},
            ],
            "restart": ["[http] listen"],
            "warnings": [{"file": "a.toml", "line": 3, "column": 1, "severity": "warning", "message": "m", "hint": "h"}],
        });
        let mut out = Vec::new();
        applied(&answer, &mut out).unwrap();
        let said = "channel a: rate 100 to 200, links 1 to 2\napp shop: added\nnumbers: other numbers\n\
                    waits for a restart: [http] listen\na.toml:3:1: warning: m\n  hint: h\nreloaded: 3 changes\n";
        assert_eq!(String::from_utf8(out).unwrap(), said);
    }
}
