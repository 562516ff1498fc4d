//! Configuration: read the files, check everything, make one [`plan::Plan`].
//!
//! [`load`] reads `qiao.toml` and what it includes, finds every problem with its place, and only then builds the plan:
//! there is no half-checked configuration. `written` is what the files look like, [`plan`] what they mean.

mod check;
pub mod choice;
pub mod diff;
mod file;
mod inputs;
mod numbers;
pub mod plan;
mod problem;
mod redact;
mod schema;
mod shape;
mod value;
mod written;

use std::path::Path;

use carriers::{Profile, Protocol};
pub use inputs::Seen;
pub use problem::{Problem, Severity};
pub use schema::schema;

use inputs::Inputs;
use plan::{Names, Plan};

/// The file every configuration directory starts from.
pub const MAIN_FILE: &str = "qiao.toml";

/// The protocols a channel may name.
type Protocols = &'static [&'static dyn Protocol];

/// Whether the links of a channel can be had at all.
type Servable = fn(&dyn Profile) -> Result<(), link::Unservable>;

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A duration as the configuration writes it: `"250ms"`, `"10s"`, `"5m"`, `"24h"`, `"7d"`; at most 365 days.
pub fn period(text: &str) -> Option<std::time::Duration> {
    value::Period::parse(text).map(|period| period.0)
}

/// A plan with the warnings about it, or all problems.
pub type Outcome = Result<(Plan, Vec<Problem>), Vec<Problem>>;

/// Reads and checks the configuration in `dir`. `names` are those of the plan in force, so that indexes keep their
/// meaning; the default at first start.
///
/// # Errors
/// Everything that is wrong, in file order; the warnings too. Nothing of the configuration is in force then.
pub fn load(dir: &Path, names: Names) -> Outcome {
    load_seen(dir, names).0
}

/// As [`load`], with what was read for it.
pub fn load_seen(dir: &Path, names: Names) -> (Outcome, Seen) {
    let inputs = Inputs::default();
    let env = |name: &str| std::env::var(name).ok();
    let outcome = load_among(dir, names, &env, carriers::PROTOCOLS, link::servable, &inputs);
    (outcome, inputs.seen())
}

/// As [`load`], with another source for `env:NAME`.
///
/// # Errors
/// As [`load`].
pub fn load_with(dir: &Path, names: Names, env: Env<'_>) -> Outcome {
    load_among(dir, names, env, carriers::PROTOCOLS, link::servable, &Inputs::default())
}

/// As [`load_with`], with these protocols.
fn load_among(
    dir: &Path,
    names: Names,
    env: Env<'_>,
    protocols: Protocols,
    servable: Servable,
    inputs: &Inputs,
) -> Outcome {
    let (sources, unread) = file::read(dir, inputs);
    if sources.is_empty() {
        return Err(unread);
    }
    let mut report = problem::Report::new(&sources);
    unread.into_iter().for_each(|problem| report.push(problem));
    let whole = file::parse(&sources, protocols, &mut report);
    let plan = check::plan(whole, &mut report, names, &value::Secrets { dir, env, inputs }, (protocols, servable));
    let (failed, problems) = report.finish();
    match plan {
        Some(plan) if !failed => Ok((Plan { written: redact::shown(&sources).into(), ..plan }, problems)),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests;
