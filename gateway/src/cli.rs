//! The command line, and `qiao check`, which needs nothing of the running gateway.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::config::{self, MAIN_FILE, Problem, plan::Names};
use crate::ctl::CtlArgs;

/// How a command ended, as the shell sees it. Clap ends with 2 on wrong usage by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and the answer is yes.
    Ok = 0,
    /// The answer is no: problems were found, or the thing asked for is not there.
    No = 1,
    /// Wrong usage.
    Usage = 2,
    /// It could not run.
    CouldNotRun = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Qiao, a carrier gateway: HTTP in, carriers' own protocols out; nothing accepted is lost.
#[derive(Debug, Parser)]
#[command(name = "qiao", version, after_help = "Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 could not run.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    #[command(after_help = "Example: qiao serve --config /etc/qiao")]
    Serve(ServeArgs),
    /// Check a configuration: every problem with file:line:column and a hint
    #[command(after_help = "Example: qiao check --config /etc/qiao --json\n\n\
                            Exits with 0 where nothing is wrong (warnings allowed), 1 where problems were found.")]
    Check(CheckArgs),
    /// Ask a running gateway through its admin door
    #[command(after_help = "Example: qiao ctl --url http://127.0.0.1:9090 channels\n\n\
                            Orders need the token. On the gateway's own machine it is found by itself where you may read\n\
                            DATA_DIR/admin.token; elsewhere give --token-file. --json prints JSON in every case.")]
    Ctl(Box<CtlArgs>),
    /// Print a completion script for a shell
    #[command(after_help = "Example: qiao completion bash > /etc/bash_completion.d/qiao")]
    Completion(CompletionArgs),
}

/// `qiao completion`
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells with completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// `qiao serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration directory (qiao.toml and what it includes)
    #[arg(long, value_name = "DIR")]
    pub config: PathBuf,
    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// `qiao check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration directory (qiao.toml and what it includes)
    #[arg(long, value_name = "DIR", required_unless_present = "schema")]
    pub config: Option<PathBuf>,
    /// Print a JSON object {"ok", "problems"} instead of lines
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of the configuration files and check nothing
    #[arg(long, conflicts_with = "config")]
    pub schema: bool,
}

/// Runs `qiao completion`.
///
/// # Errors
/// Those of `out`.
pub fn completion(args: &CompletionArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "qiao", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Ok)
}

/// What `qiao check --json` prints.
#[derive(Serialize)]
struct Verdict<'p> {
    ok: bool,
    problems: &'p [Problem],
}

/// Runs `qiao check`, writing what it finds to `out`.
///
/// # Errors
/// Those of `out`.
pub fn check(args: &CheckArgs, env: config::Env<'_>, out: &mut dyn Write) -> io::Result<Exit> {
    let Some(dir) = args.config.as_ref().filter(|_| !args.schema) else {
        writeln!(out, "{:#}", config::schema())?;
        return Ok(Exit::Ok);
    };
    if let Err(error) = std::fs::File::open(dir.join(MAIN_FILE)) {
        eprintln!("qiao: {}: {error}", dir.join(MAIN_FILE).display());
        return Ok(Exit::CouldNotRun);
    }
    let (ok, problems) = match config::load_with(dir, Names::default(), env) {
        Ok((_, warnings)) => (true, warnings),
        Err(problems) => (false, problems),
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Verdict { ok, problems: &problems })?;
        writeln!(out)?;
    } else {
        for problem in &problems {
            writeln!(out, "{problem}")?;
        }
        let errors = problems.iter().filter(|p| p.severity == config::Severity::Error).count();
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        writeln!(out, "{}, {}", count(errors, "error"), count(problems.len() - errors, "warning"))?;
    }
    Ok(if ok { Exit::Ok } else { Exit::No })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> (Exit, String) {
        let cli = Cli::try_parse_from([&["qiao", "check"], args].concat()).unwrap();
        let Command::Check(args) = cli.command else { unreachable!("parsed as check") };
        let mut out = Vec::new();
        let exit = check(&args, &|_| None, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn visit(command: &clap::Command) {
            if command.get_subcommands().next().is_none() || command.get_name() == "ctl" {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let example = help.starts_with("Example: qiao ") && help.contains(&format!(" {}", command.get_name()));
                assert!(example, "{}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn exit_codes_tell_clean_from_wrong_from_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(run(&["--config", path]).0, Exit::CouldNotRun);
        std::fs::write(dir.path().join(MAIN_FILE), "[http]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        let (exit, text) = run(&["--config", path]);
        assert_eq!((exit, text.lines().last()), (Exit::Ok, Some("0 errors, 1 warning")));
        std::fs::write(dir.path().join(MAIN_FILE), "[htpp]\n").unwrap();
        let (exit, text) = run(&["--config", path]);
        assert_eq!(exit, Exit::No);
        assert!(text.starts_with("qiao.toml:1:2: error: unknown key `htpp`\n  hint: did you mean `http`?\n"), "{text}");
        assert_eq!(ExitCode::from(Exit::Usage), ExitCode::from(2));
    }

    #[test]
    fn completion_knows_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completion(&CompletionArgs { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for word in ["serve", "check", "channels", "drain", "token-file"] {
                assert!(script.contains(word), "{shell:?} {word}");
            }
        }
    }

    #[test]
    fn json_holds_the_same_problems() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MAIN_FILE), "[htpp]\n").unwrap();
        let (_, text) = run(&["--json", "--config", dir.path().to_str().unwrap()]);
        let verdict: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(verdict["ok"], false);
        assert_eq!(verdict["problems"][0]["line"], 1);
        assert_eq!(verdict["problems"][0]["severity"], "error");
    }

    #[test]
    fn the_schema_needs_no_configuration() {
        let (exit, text) = run(&["--schema"]);
        assert_eq!(exit, Exit::Ok);
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["properties"]["channel"].is_object());
        assert!(Cli::try_parse_from(["qiao", "check"]).is_err(), "either is needed");
    }
}
