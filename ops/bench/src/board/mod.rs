//! The demo's board: what an operator would look at, drawn in a terminal.
//!
//! [`frame`] is pure: a [`Snapshot`] and the events so far become lines of a given width. [`read`](snapshot::read)
//! makes the snapshot of what the admin door says, and [`Screen`] keeps the lines in place on a terminal.
//!
//! Written here rather than with a terminal library: the board takes no input and is some twenty lines of text that
//! must also read well in a log, where there is no terminal; the usual libraries would add thirty packages for it.

mod screen;
mod snapshot;

use std::time::Duration;

pub use screen::Screen;
pub use snapshot::{Callbacks, Channel, Snapshot, Tier, read};

/// Columns where nobody says how many there are.
pub const USUAL_WIDTH: usize = 80;
/// Most columns used: beyond, the eye loses the line.
const WIDEST: usize = 120;
/// Below this many columns there are no bars.
const BARS_FROM: usize = 72;
/// Events shown, the latest last.
const EVENTS: usize = 7;

/// Something worth a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, from the demo's start.
    pub at: Duration,
    /// What happened.
    pub text: String,
    /// How it is to be taken.
    pub tone: Tone,
}

/// How something is to be taken; a colour where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// A heading, or what matters less.
    Faint,
    /// As it should be.
    Good,
    /// Wants a look.
    Odd,
    /// Something is broken.
    Bad,
    /// A bar of what is used.
    Bar,
}

impl Tone {
    /// The terminal's code for it (ECMA-48 SGR parameters).
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "0",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "1;31",
            Tone::Bar => "36",
        }
    }
}

/// How the lines shall look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns there are; no line is longer.
    pub width: usize,
    /// Whether colours may be used.
    pub colour: bool,
}

/// The board's lines for one moment. `title` says what is going on.
pub fn frame(title: &str, now: &Snapshot, events: &[Event], look: Look) -> Vec<String> {
    let width = look.width.min(WIDEST);
    let mut lines = vec![heading(title, now.elapsed, width), rule(width)];
    lines.extend(channels(&now.channels, width));
    lines.push(Line::default());
    lines.extend(tiers(&now.tiers));
    lines.push(Line::default());
    lines.push(callbacks(&now.callbacks));
    lines.push(doubt(now));
    lines.push(rule(width));
    let shown = &events[events.len().saturating_sub(EVENTS)..];
    lines.extend(shown.iter().map(happened));
    lines.into_iter().map(|line| line.text(Look { width, ..look })).collect()
}

fn heading(title: &str, elapsed: Duration, width: usize) -> Line {
    let clock = format!("{:.1} s", elapsed.as_secs_f64());
    let gap = width.saturating_sub(title.chars().count() + clock.len()).max(1);
    Line::of(Tone::Plain, format!("{title}{}{clock}", " ".repeat(gap)))
}

fn rule(width: usize) -> Line {
    Line::of(Tone::Faint, "─".repeat(width))
}

fn happened(event: &Event) -> Line {
    Line::of(Tone::Faint, format!("{:>6.1} s  ", event.at.as_secs_f64())).and(event.tone, event.text.clone())
}

/// A heading and a line per channel: protocol (where there is room for bars, too), state, links, pace against the contract, window.
fn channels(channels: &[Channel], width: usize) -> Vec<Line> {
    let name = channels.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(7, 16);
    // What stands between and beside the bars, with the widest figures there may be.
    let beside = name + 1 + 7 + 9 + 1 + 5 + 2 + 1 + 11 + 2 + 1 + 7;
    let bars = if width < BARS_FROM { 0 } else { width.saturating_sub(beside) };
    let speaks = if bars == 0 { 0 } else { 7 };
    let (pace, window) = (bars * 3 / 5, bars - bars * 3 / 5);
    let column = |bar: usize, figures: usize| if bar == 0 { figures } else { bar + 1 + figures };
    let mut lines = vec![Line::of(
        Tone::Faint,
        format!(
            "{:<name$} {}{:<9} {:<5}  {:<pw$}  {:<ww$}",
            "channel",
            fit("speaks", speaks),
            "state",
            "links",
            "parts/s, contract",
            "window",
            pw = column(pace, 11).max(17),
            ww = column(window, 7),
        ),
    )];
    lines.extend(channels.iter().map(|channel| {
        let up = channel.state == "up";
        let tone = if up {
            Tone::Good
        } else if channel.state == "down" {
            Tone::Bad
        } else {
            Tone::Odd
        };
        let state = if channel.state == "down" { "DOWN" } else { &channel.state };
        let links = format!("{}/{}", channel.links_up, channel.links);
        let mut line = Line::of(Tone::Plain, format!("{} ", fit(&channel.name, name)));
        line = line
            .and(Tone::Faint, fit(&channel.protocol, speaks))
            .and(tone, fit(state, 9))
            .and(Tone::Plain, format!(" {links:<5}  "));
        let allowed = if channel.window > 0 { channel.rate_now } else { 0.0 };
        line = bar(line, pace, channel.pace, allowed, channel.rate);
        let pad = if pace == 0 { 17 } else { 11 };
        line = line.and(Tone::Plain, format!("{:>pad$}  ", format!("{:.0}/{:.0}", channel.pace, channel.rate)));
        let (used, allowed) = (channel.in_flight as f64, channel.window as f64);
        line = bar(line, window, used, allowed, allowed);
        line.and(Tone::Plain, format!("{:>7}", format!("{}/{}", channel.in_flight, channel.window)))
    }));
    lines
}

/// A bar of `cells` for `used` of `whole`, of which `allowed` may be used now; and a space. Nothing where there are no
/// cells.
fn bar(line: Line, cells: usize, used: f64, allowed: f64, whole: f64) -> Line {
    if cells == 0 {
        return line;
    }
    let share = |part: f64| if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 };
    let mut full = (share(used) * cells as f64).round() as usize;
    if used > 0.0 {
        full = full.max(1);
    }
    let open = ((share(allowed) * cells as f64).round() as usize).max(full);
    let tone = if share(used) >= 0.95 { Tone::Odd } else { Tone::Bar };
    line.and(tone, "█".repeat(full))
        .and(Tone::Faint, "░".repeat(open - full))
        .and(Tone::Odd, "·".repeat(cells - open))
        .and(Tone::Plain, " ")
}

/// A heading, a line per tier and one for all: what waits, and what became of what was accepted.
fn tiers(tiers: &[Tier]) -> Vec<Line> {
    let heading = format!(
        "{:<10} {:>7} {:>7}  {:>8} {:>9} {:>6} {:>7} {:>5}  {:>9}",
        "tier", "waiting", "oldest", "accepted", "delivered", "failed", "expired", "open", "p99 to go"
    );
    let mut lines = vec![Line::of(Tone::Faint, heading)];
    let mut all = Tier { name: "all".into(), ..Tier::default() };
    for tier in tiers {
        lines.push(tier_line(tier));
        all.waiting += tier.waiting;
        all.oldest = all.oldest.max(tier.oldest);
        all.accepted += tier.accepted;
        all.delivered += tier.delivered;
        all.failed += tier.failed;
        all.expired += tier.expired;
    }
    lines.push(tier_line(&all));
    lines
}

fn tier_line(tier: &Tier) -> Line {
    let oldest = if tier.waiting == 0 { "-".into() } else { brief(tier.oldest.as_secs_f64()) };
    let tone = if tier.waiting > 0 { Tone::Odd } else { Tone::Plain };
    let to_go = tier.to_go.map(within).unwrap_or_default();
    Line::of(Tone::Plain, format!("{} ", fit(&tier.name, 10)))
        .and(tone, format!("{:>7} {oldest:>7}", tier.waiting))
        .and(Tone::Plain, format!("  {:>8} {:>9} ", tier.accepted, tier.delivered))
        .and(Tone::Plain, format!("{:>6} {:>7} {:>5}  {to_go:>9}", tier.failed, tier.expired, tier.open()))
}

fn callbacks(now: &Callbacks) -> Line {
    let delay = match (now.p50, now.p99) {
        (Some(p50), Some(p99)) => format!("p50 {}, p99 {} after the outcome", within(p50), within(p99)),
        _ => "none yet".into(),
    };
    let tone = if now.backlog > 0 { Tone::Odd } else { Tone::Plain };
    Line::of(Tone::Faint, "callbacks  ")
        .and(Tone::Plain, format!("{} told   ", now.told))
        .and(tone, format!("{} waiting   ", now.backlog))
        .and(Tone::Plain, delay)
}

fn doubt(now: &Snapshot) -> Line {
    let tone = if now.in_doubt > 0 { Tone::Odd } else { Tone::Plain };
    Line::of(Tone::Faint, "in doubt   ")
        .and(tone, format!("{} unanswered when a link broke", now.in_doubt))
        .and(Tone::Plain, format!("   {} sent again", now.sent_again))
}

/// A bucket's bound: what was measured lies below it.
fn within(seconds: f64) -> String {
    if seconds.is_finite() { format!("<{}", brief(seconds)) } else { "unknown".into() }
}

/// A duration in the unit that suits it.
fn brief(seconds: f64) -> String {
    match seconds {
        s if s < 0.01 => format!("{} ms", (s * 1e4).round() / 10.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// `text` in exactly `width` columns.
fn fit(text: &str, width: usize) -> String {
    let kept: String = text.chars().take(width).collect();
    format!("{kept:<width$}")
}

/// A line of stretches, each in one tone.
#[derive(Debug, Default)]
struct Line(Vec<(Tone, String)>);

impl Line {
    fn of(tone: Tone, text: impl Into<String>) -> Self {
        Line::default().and(tone, text)
    }

    fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// As it is written out: clipped, without control characters of anybody else's.
    fn text(self, look: Look) -> String {
        let (mut left, mut out) = (look.width, String::new());
        for (tone, text) in self.0 {
            let shown: String =
                text.chars().take(left).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
            left -= shown.chars().count();
            if look.colour && tone != Tone::Plain && !shown.is_empty() {
                out += &format!("\x1b[{}m{shown}\x1b[0m", tone.code());
            } else {
                out += &shown;
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

#[cfg(test)]
mod tests;
