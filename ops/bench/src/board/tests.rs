//! Golden frames, and what holds at any width.

use super::*;

fn channel(name: &str, state: &str, pace: f64, in_flight: u64, window: u64) -> Channel {
    let links_up = usize::from(window > 0);
    let (rate, rate_now) = (1000.0, 1000.0);
    let (name, protocol, state) = (name.into(), "smpp".into(), state.into());
    Channel { name, protocol, state, links_up, links: 1, pace, rate_now, rate, in_flight, window }
}

fn tier(name: &str, waiting: u64, oldest_ms: u64, counts: [u64; 4]) -> Tier {
    let [accepted, delivered, failed, expired] = counts;
    let oldest = Duration::from_millis(oldest_ms);
    Tier { name: name.into(), waiting, oldest, accepted, delivered, failed, expired, to_go: Some(0.0025) }
}

/// The demo a second after its first carrier was killed.
fn kill() -> (Snapshot, Vec<Event>) {
    let now = Snapshot {
        elapsed: Duration::from_millis(6_240),
        channels: vec![channel("demo-a", "down", 0.0, 0, 0), channel("demo-b", "up", 403.0, 32, 100)],
        tiers: vec![
            tier("otp", 0, 0, [252, 231, 3, 0]),
            tier("notice", 3, 618, [741, 640, 12, 0]),
            tier("marketing", 13, 1_683, [1_503, 1_310, 25, 1]),
        ],
        callbacks: Callbacks { told: 2_222, backlog: 4, p50: Some(0.1), p99: Some(0.5) },
        in_doubt: 17,
        sent_again: 1,
    };
    let event = |ms, tone, text: &str| Event { at: Duration::from_millis(ms), tone, text: text.into() };
    let events = vec![
        event(5_000, Tone::Bad, "demo-a killed: its listener is closed, its connections are cut"),
        event(5_200, Tone::Good, "demo-b carries on: its first message 2 ms later"),
    ];
    (now, events)
}

fn drawn(width: usize) -> String {
    let (now, events) = kill();
    frame("qiao demo: 400 messages/s", &now, &events, Look { width, colour: false }).join("\n")
}

#[test]
fn the_kill_in_80_columns() {
    assert_eq!(
        drawn(80),
        "\
qiao demo: 400 messages/s                                                  6.2 s
────────────────────────────────────────────────────────────────────────────────
channel speaks state     links  parts/s, contract            window
demo-a  smpp   DOWN      0/1    ···············      0/1000  ···········     0/0
demo-b  smpp   up        1/1    ██████░░░░░░░░░    403/1000  ████░░░░░░░  32/100

tier       waiting  oldest  accepted delivered failed expired  open  p99 to go
otp              0       -       252       231      3       0    18    <2.5 ms
notice           3  618 ms       741       640     12       0    89    <2.5 ms
marketing       13   1.7 s      1503      1310     25       1   167    <2.5 ms
all             16   1.7 s      2496      2181     40       1   274

callbacks  2222 told   4 waiting   p50 <100 ms, p99 <500 ms after the outcome
in doubt   17 unanswered when a link broke   1 sent again
────────────────────────────────────────────────────────────────────────────────
   5.0 s  demo-a killed: its listener is closed, its connections are cut
   5.2 s  demo-b carries on: its first message 2 ms later"
    );
}

#[test]
fn the_kill_in_120_columns() {
    assert_eq!(
        drawn(120),
        "\
qiao demo: 400 messages/s                                                                                          6.2 s
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
channel speaks state     links  parts/s, contract                                    window
demo-a  smpp   DOWN      0/1    ·······································      0/1000  ···························     0/0
demo-b  smpp   up        1/1    ████████████████░░░░░░░░░░░░░░░░░░░░░░░    403/1000  █████████░░░░░░░░░░░░░░░░░░  32/100

tier       waiting  oldest  accepted delivered failed expired  open  p99 to go
otp              0       -       252       231      3       0    18    <2.5 ms
notice           3  618 ms       741       640     12       0    89    <2.5 ms
marketing       13   1.7 s      1503      1310     25       1   167    <2.5 ms
all             16   1.7 s      2496      2181     40       1   274

callbacks  2222 told   4 waiting   p50 <100 ms, p99 <500 ms after the outcome
in doubt   17 unanswered when a link broke   1 sent again
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
   5.0 s  demo-a killed: its listener is closed, its connections are cut
   5.2 s  demo-b carries on: its first message 2 ms later"
    );
}

#[test]
fn a_narrow_terminal_gets_no_bars() {
    assert_eq!(
        drawn(56),
        "\
qiao demo: 400 messages/s                          6.2 s
────────────────────────────────────────────────────────
channel state     links  parts/s, contract  window
demo-a  DOWN      0/1               0/1000      0/0
demo-b  up        1/1             403/1000   32/100

tier       waiting  oldest  accepted delivered failed ex
otp              0       -       252       231      3
notice           3  618 ms       741       640     12
marketing       13   1.7 s      1503      1310     25
all             16   1.7 s      2496      2181     40

callbacks  2222 told   4 waiting   p50 <100 ms, p99 <500
in doubt   17 unanswered when a link broke   1 sent agai
────────────────────────────────────────────────────────
   5.0 s  demo-a killed: its listener is closed, its con
   5.2 s  demo-b carries on: its first message 2 ms late"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let (mut now, mut events) = kill();
    now.channels.push(channel("a-channel-with-a-name-that-does-not-fit", "draining", 1e9, 1_000_000, 9_999_999));
    events[0].text = "x".repeat(300);
    for width in 0..200 {
        for line in frame("qiao demo", &now, &events, Look { width, colour: false }) {
            assert!(line.chars().count() <= width.min(WIDEST), "{width}: {line}");
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let (now, events) = kill();
    let coloured = frame("qiao demo: 400 messages/s", &now, &events, Look { width: 80, colour: true });
    let mut plain = coloured.join("\n");
    assert!(plain.contains("\x1b[1;31mDOWN") && plain.contains("\x1b[32mup"), "{plain}");
    while let Some(at) = plain.find('\x1b') {
        let end = at + plain[at..].find('m').unwrap();
        plain.replace_range(at..=end, "");
    }
    let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n"), drawn(80));
}

#[test]
fn what_a_carrier_does_not_allow_is_seen_in_the_bar() {
    let mut throttled = channel("a", "up", 300.0, 0, 10);
    throttled.rate_now = 600.0;
    let lines: Vec<String> =
        channels(&[throttled], 88).into_iter().map(|l| l.text(Look { width: 88, colour: false })).collect();
    let cells = |c| lines[1].chars().take(60).filter(|x| *x == c).count();
    assert_eq!(cells('█'), cells('░'), "half of what is allowed is used: {lines:?}");
    assert!(cells('·') > cells('█'), "{lines:?}");
}

#[test]
fn nobody_else_steers_the_terminal() {
    let (now, mut events) = kill();
    events[0].text = "a\x1b[2Jb\nc".into();
    let text = frame("t", &now, &events, Look { width: 88, colour: false }).join("|");
    assert!(!text.contains('\x1b') && !text.contains('\n'), "{text}");
}

#[test]
fn only_the_latest_events_are_shown() {
    let (now, _) = kill();
    let event = |n: u64| Event { at: Duration::from_secs(n), tone: Tone::Plain, text: format!("event {n}") };
    let events: Vec<Event> = (0..20).map(event).collect();
    let lines = frame("t", &now, &events, Look { width: 80, colour: false });
    assert_eq!(lines.iter().filter(|line| line.contains("event")).count(), EVENTS);
    assert!(lines.last().unwrap().ends_with("event 19"));
}
