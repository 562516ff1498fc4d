//! One test per rule, at the surface the switch uses.

use std::time::Duration;

use super::*;

type Notes = Vec<Note<u8, u8>>;

/// Channels 0, 1, … with one link each, in one group; time in milliseconds.
struct Line {
    health: Health<u8, u8>,
    now: u64,
    notes: Notes,
    /// Probes are answered after this time.
    answers: Option<u64>,
    asked: Vec<(u64, u8)>,
}

fn group(capacities: &[f64]) -> Vec<Group<u8, u8>> {
    let member = |(channel, capacity): (u8, &f64)| Member { channel, capacity: *capacity, carrier: u32::from(channel) };
    vec![Group { id: 0, members: (0..).zip(capacities).map(member).collect() }]
}

impl Line {
    fn new(capacities: &[f64]) -> Line {
        let mut health = Health::new(Settings::default());
        let channels: Vec<u8> = (0..).take(capacities.len()).collect();
        health.plan(Time(0), Settings::default(), &channels, group(capacities));
        let mut line = Line { health, now: 1_000, notes: Vec::new(), answers: Some(30), asked: Vec::new() };
        channels.iter().for_each(|channel| line.health.link_up(line.time(), *channel, 0, true));
        line.go(1);
        line.notes.clear();
        line
    }

    /// As `new`, with 600 answers after 100 ms each learned by channel 0.
    fn warm(capacities: &[f64]) -> Line {
        let mut line = Line::new(capacities);
        line.traffic(0, 600, 100);
        line.notes.clear();
        line
    }

    fn time(&self) -> Time {
        Time(self.now * 1_000)
    }

    fn traffic(&mut self, channel: u8, parts: u64, took: u64) {
        for _ in 0..parts {
            let sent = self.send(channel);
            self.go(took);
            self.end(channel, sent, Sign::Answer);
        }
    }

    fn send(&mut self, channel: u8) -> Time {
        self.health.sent(self.time(), channel, 0, 1);
        self.time()
    }

    fn end(&mut self, channel: u8, sent: Time, sign: Sign) {
        self.health.ended(self.time(), channel, 0, sent, sign);
        self.go(0);
    }

    /// Lets so many milliseconds pass; the owner keeps its deadlines.
    fn go(&mut self, ms: u64) {
        let end = self.now + ms;
        for _ in 0..1_000_000 {
            let probe = self.asked.first().map_or(u64::MAX, |(at, _)| *at);
            let due = self.health.deadline().0.div_ceil(1_000).max(self.now + 1);
            self.now = due.min(probe).min(end).max(self.now);
            while self.asked.first().is_some_and(|(at, _)| *at <= self.now) {
                let (_, channel) = self.asked.remove(0);
                self.health.probe_answered(self.time(), channel, 0);
            }
            let mut notes = Vec::new();
            self.health.examine(self.time(), &mut notes);
            for note in &notes {
                if let (Note::Probe(channel, _), Some(after)) = (note, self.answers) {
                    self.asked.push((self.now + after, *channel));
                }
            }
            self.notes.extend(notes);
            if self.now >= end {
                return;
            }
        }
        panic!("no end");
    }

    fn state(&self, channel: u8) -> State {
        self.health.state(channel)
    }

    fn moved(&mut self, channel: u8) -> Vec<(State, Cause)> {
        let notes = std::mem::take(&mut self.notes);
        let of = |note| match note {
            Note::Moved(id, moved) if id == channel => Some((moved.to, moved.cause)),
            _ => None,
        };
        notes.into_iter().filter_map(of).collect()
    }

    /// A hang: parts sent every 50 ms, nothing answered, for so long.
    fn hang(&mut self, channel: u8, ms: u64) -> Vec<Time> {
        self.answers = None;
        let part = |_| {
            let sent = self.send(channel);
            self.go(50);
            sent
        };
        (0..ms / 50).map(part).collect()
    }

    fn usable(&self, channel: u8) -> Use {
        self.health.usable(0, channel, false)
    }

    /// Channel 0 down after its link was lost, `flaps` times before; then bound again.
    fn back(&mut self) {
        self.health.link_down(self.time(), 0, 0, Ending::Lost);
        self.go(1);
        self.health.link_up(self.time(), 0, 0, true);
    }
}

#[test]
fn idle_and_well_needs_no_timer() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.go(5_000);
    line.notes.clear();
    assert_eq!(line.health.deadline(), Time::NEVER);
    let sent = line.send(0);
    assert_eq!(line.health.deadline().since(line.time()), Duration::from_micros(150_001));
    line.go(100);
    line.end(0, sent, Sign::Answer);
    line.go(10_000);
    assert_eq!(line.health.deadline(), Time::NEVER);
    assert_eq!(line.notes, []);
}

#[test]
fn one_slow_message_asks_but_never_condemns() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let sent = line.send(0);
    line.go(20_000);
    let probes = line.notes.iter().filter(|note| matches!(note, Note::Probe(0, 0))).count();
    assert!((1..=6).contains(&probes), "{probes}");
    line.end(0, sent, Sign::Answer);
    assert_eq!((line.state(0), line.moved(0)), (State::Healthy, vec![]));
}

#[test]
fn probes_keep_their_gap_and_their_cap() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let (mut times, mut sent) = (Vec::new(), line.send(0));
    for _ in 0..600 {
        line.go(100);
        let asked = line.notes.drain(..).filter(|note| matches!(note, Note::Probe(..))).count();
        times.extend(std::iter::repeat_n(line.now, asked));
        if asked > 0 && times.len() % 2 == 0 {
            line.go(50);
            line.end(0, sent, Sign::Answer);
            sent = line.send(0);
        }
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 400), "{times:?}");
    assert_eq!(times.len(), 6, "{times:?}");
}

#[test]
fn unanswered_probe_condemns_after_its_limit_and_silence() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.answers = None;
    line.send(0);
    line.go(479);
    assert_eq!(line.state(0), State::Healthy);
    line.go(100);
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Probe)]);
    assert_eq!(line.usable(0), Use::No);
}

#[test]
fn overdue_parts_together_condemn_though_probes_are_answered() {
    let mut line = Line::warm(&[1.0, 1.0]);
    for _ in 0..12 {
        line.send(0);
        line.go(50);
    }
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Phi)]);
}

#[test]
fn octets_not_acknowledged_condemn() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.health.unacked(line.time(), 0, 0, Duration::from_millis(500));
    line.go(1_000);
    assert_eq!(line.state(0), State::Healthy, "not more than the limit, and it does not age by itself");
    line.health.unacked(line.time(), 0, 0, Duration::from_millis(501));
    line.go(0);
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Tcp)]);
    line.go(1);
    assert_eq!(line.health.snapshot(line.time(), 0).unwrap().unacked, Duration::from_millis(501));
}

#[test]
fn five_system_errors_in_a_row_condemn_unless_they_are_of_one_instant() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let sent = line.send(0);
    (0..4).for_each(|_| line.health.sent(sent, 0, 0, 1));
    (0..5).for_each(|_| line.end(0, sent, Sign::SystemError));
    assert_eq!(line.state(0), State::Healthy, "one message of five parts");
    line.go(1);
    let sent = line.send(0);
    line.end(0, sent, Sign::SystemError);
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Error)]);
}

#[test]
fn a_fifth_of_system_errors_condemns() {
    for (every, condemned) in [(6, false), (4, true)] {
        let mut line = Line::new(&[1.0, 1.0]);
        for i in 0..60 {
            let sent = line.send(0);
            line.go(20);
            line.end(0, sent, if i % every == 0 { Sign::SystemError } else { Sign::Answer });
        }
        assert_eq!(line.state(0) == State::Suspect, condemned, "every {every}th");
    }
}

#[test]
fn refusals_throttles_and_withdrawals_condemn_nobody() {
    let mut line = Line::warm(&[1.0, 1.0]);
    for sign in [Sign::Answer, Sign::Throttle, Sign::Withdrawn] {
        for _ in 0..50 {
            let sent = line.send(0);
            line.go(20);
            line.end(0, sent, sign);
        }
    }
    assert_eq!(line.moved(0), []);
}

#[test]
fn our_own_pause_is_no_evidence() {
    let mut line = Line::warm(&[1.0, 1.0]);
    for _ in 0..20 {
        line.send(0);
    }
    // Nothing is examined for two seconds; then the answers are still to be read.
    line.now += 2_000;
    line.go(10);
    assert_eq!(line.moved(0), []);
    line.answers = None;
    line.go(600);
    assert_eq!(line.state(0), State::Suspect, "what follows the pause counts");
}

#[test]
fn a_burst_answered_at_the_carriers_pace_is_no_fault() {
    for (pace, took) in [(50, 480), (100, 480), (20, 20)] {
        let mut line = Line::new(&[1.0, 1.0]);
        line.traffic(0, 600, took);
        line.notes.clear();
        for _ in 0..5 {
            let sent = line.send(0);
            line.health.sent(sent, 0, 0, 199);
            line.go(took);
            for _ in 0..200 {
                line.end(0, sent, Sign::Answer);
                line.go(pace);
            }
        }
        assert_eq!(line.moved(0), [], "every {pace} ms");
    }
}

#[test]
fn suspicion_ends_with_answers_calm_and_the_hold_down() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let parts = line.hang(0, 800);
    assert_eq!(line.state(0), State::Suspect);
    let since = line.health.snapshot(line.time(), 0).unwrap();
    assert_eq!(since.hold_until.since(since.since), Duration::from_secs(2));
    parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Answer));
    let at = since.since.0 / 1_000;
    line.go((at + 1_990).saturating_sub(line.now));
    assert_eq!(line.state(0), State::Suspect);
    line.go(1_500);
    assert_eq!(line.moved(0).last(), Some(&(State::Healthy, Cause::Recovered)));
}

#[test]
fn a_second_flap_is_held_down_twice_as_long() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.back();
    line.go(15_000);
    assert_eq!(line.state(0), State::Healthy);
    let parts = line.hang(0, 800);
    let since = line.health.snapshot(line.time(), 0).unwrap().since.0 / 1_000;
    line.answers = Some(30);
    parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Answer));
    line.go(since + 3_990 - line.now);
    assert_eq!(line.state(0), State::Suspect);
    line.go(20);
    assert_eq!(line.state(0), State::Healthy);
}

#[test]
fn suspicion_that_no_answer_ends_is_followed_by_a_trial() {
    let mut line = Line::warm(&[1.0, 1.0]);
    for i in 0..6 {
        let sent = line.send(0);
        line.go(10 + i);
        line.end(0, sent, Sign::SystemError);
    }
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Error)]);
    line.go(6_000);
    assert_eq!(line.moved(0), [(State::Probation, Cause::Recovered)]);
}

#[test]
fn three_seconds_of_suspicion_without_a_pdu_are_down_and_a_pdu_is_not() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.hang(0, 700);
    for _ in 0..4 {
        line.go(1_000);
        line.health.heard(line.time(), 0, 0);
    }
    assert_eq!(line.moved(0), [(State::Suspect, Cause::Probe)]);
    line.go(2_990);
    assert_eq!(line.state(0), State::Suspect);
    line.go(50);
    assert_eq!(line.moved(0), [(State::Down, Cause::Silent)]);
    assert_eq!(line.usable(0), Use::No);
}

#[test]
fn a_carrier_that_wakes_up_goes_on_trial() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let parts = line.hang(0, 5_000);
    assert_eq!(line.state(0), State::Down);
    line.moved(0);
    line.answers = Some(30);
    parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Answer));
    line.go(3_000);
    assert_eq!(line.moved(0), [(State::Probation, Cause::Returned)]);
}

#[test]
fn first_bind_needs_no_trial_nor_does_one_after_our_own_end() {
    let mut line = Line::new(&[1.0, 1.0]);
    assert_eq!(line.state(0), State::Healthy);
    line.health.link_down(line.time(), 0, 0, Ending::Ours);
    line.go(1);
    assert_eq!((line.state(0), line.usable(0)), (State::Down, Use::No));
    line.health.link_up(line.time(), 0, 0, true);
    line.go(1);
    assert_eq!(line.moved(0), [(State::Down, Cause::NoLink), (State::Healthy, Cause::Bound)]);
    assert_eq!(line.health.snapshot(line.time(), 0).unwrap().flaps, 0);
}

#[test]
fn a_lost_link_is_down_at_once_and_back_on_trial_after_two_probes() {
    let mut line = Line::new(&[1.0, 1.0]);
    line.health.link_down(line.time(), 0, 0, Ending::Lost);
    line.go(0);
    assert_eq!(line.moved(0), [(State::Down, Cause::NoLink)]);
    line.health.link_up(line.time(), 0, 0, true);
    line.go(40);
    assert_eq!(line.state(0), State::Down, "one probe answered");
    line.go(200);
    assert_eq!(line.moved(0), [(State::Probation, Cause::Returned)]);
}

#[test]
fn a_trial_grows_second_by_second_and_passes_after_ten() {
    let mut line = Line::new(&[1.0, 1.0]);
    line.back();
    line.go(300);
    assert_eq!(line.usable(0), Use::Trial(Trial::One));
    assert_eq!(line.health.usable(0, 0, true), Use::No, "the strictest tier stays away");
    line.traffic(0, 1, 20);
    let mut shares = Vec::new();
    for i in 0..6 {
        shares.push(line.usable(0));
        if i == 3 {
            line.traffic(0, 10, 20);
            assert_eq!(line.health.usable(0, 0, true), line.usable(0), "ten answers");
            line.go(800);
        } else {
            line.go(1_000);
        }
    }
    let share = |share| Use::Trial(Trial::Share(share));
    assert_eq!(shares, [share(0.05), share(0.2), share(0.4), share(0.8), share(1.0), share(1.0)]);
    line.go(5_000);
    assert_eq!(line.moved(0).last(), Some(&(State::Healthy, Cause::Passed)));
    assert_eq!(line.usable(0), Use::Full);
}

#[test]
fn an_error_on_trial_starts_the_steps_again_and_evidence_ends_it() {
    let mut line = Line::new(&[1.0, 1.0]);
    line.back();
    line.go(300);
    line.traffic(0, 1, 20);
    line.go(2_100);
    assert_eq!(line.usable(0), Use::Trial(Trial::Share(0.4)));
    let sent = line.send(0);
    line.end(0, sent, Sign::SystemError);
    assert_eq!(line.usable(0), Use::Trial(Trial::Share(0.05)));
    line.hang(0, 3_000);
    assert_eq!(line.moved(0).last(), Some(&(State::Down, Cause::Relapsed)));
    let snapshot = line.health.snapshot(line.time(), 0).unwrap();
    assert_eq!((snapshot.flaps, snapshot.hold_until.since(snapshot.since)), (2, Duration::from_secs(4)));
}

#[test]
fn hold_down_doubles_to_a_minute_and_flaps_are_forgiven() {
    let s = Settings::default();
    let holds: Vec<_> = (0..7).map(|flaps| s.hold_down(flaps).as_secs()).collect();
    assert_eq!(holds, [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(s.hold_down(u32::MAX).as_secs(), 60);
    let mut line = Line::new(&[1.0, 1.0]);
    for _ in 0..3 {
        line.back();
        line.go(80_000);
        assert_eq!(line.state(0), State::Healthy);
    }
    let flaps = |line: &Line| line.health.snapshot(line.time(), 0).unwrap().flaps;
    assert_eq!(flaps(&line), 3);
    line.go(600_000);
    assert_eq!(flaps(&line), 2);
    line.go(1_200_000);
    assert_eq!(flaps(&line), 0);
}

#[test]
fn a_channel_is_as_well_as_its_best_link() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.health.link_up(line.time(), 0, 1, true);
    line.go(10);
    line.hang(0, 800);
    assert_eq!(line.state(0), State::Healthy);
    assert!(line.notes.contains(&Note::Link(0, 0, Some(Cause::Probe))));
    assert!(!line.health.link_usable(0, 0) && line.health.link_usable(0, 1));
    line.health.link_down(line.time(), 0, 1, Ending::Lost);
    line.go(0);
    assert_eq!(line.state(0), State::Suspect);
    assert!(line.health.link_usable(0, 0), "the best there is");
}

#[test]
fn primary_is_ejected_from_a_pair_however_large_it_is() {
    for capacities in [[1.0, 1.0], [4.0, 1.0]] {
        let mut line = Line::warm(&capacities);
        line.hang(0, 800);
        assert_eq!((line.usable(0), line.usable(1)), (Use::No, Use::Full));
        assert!(line.notes.contains(&Note::Ejected(0, 0)));
    }
}

#[test]
fn a_lone_channel_keeps_its_traffic_until_it_is_down() {
    let mut line = Line::warm(&[1.0]);
    line.hang(0, 1_000);
    assert_eq!((line.state(0), line.usable(0)), (State::Suspect, Use::Last(1)));
    assert!(line.notes.contains(&Note::Panic(0, true)));
    line.hang(0, 4_000);
    assert_eq!((line.state(0), line.usable(0)), (State::Down, Use::No));
    assert!(line.notes.contains(&Note::Panic(0, false)));
}

fn errors(line: &mut Line, channel: u8) {
    for _ in 0..6 {
        let sent = line.send(channel);
        line.go(5);
        line.end(channel, sent, Sign::SystemError);
    }
}

#[test]
fn soft_evidence_ejects_half_of_a_group_in_ten_seconds() {
    let mut line = Line::new(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    for channel in 0..4 {
        errors(&mut line, channel);
        line.go(1_200);
    }
    for channel in 0..3 {
        assert!(line.notes.contains(&Note::Ejected(0, channel)), "{:?}", line.notes);
    }
    assert!(line.notes.contains(&Note::Capped(0, 3)), "{:?}", line.notes);
    assert_eq!(line.state(3), State::Suspect);
    assert!(matches!(line.usable(3), Use::Last(_)));
}

#[test]
fn in_panic_suspect_channels_serve_again_by_phi_and_down_ones_never() {
    let mut line = Line::warm(&[1.0, 1.0, 1.0, 1.0]);
    line.health.link_down(line.time(), 3, 0, Ending::Lost);
    line.hang(0, 800);
    assert_eq!(line.usable(0), Use::No);
    line.go(1_200);
    line.answers = Some(30);
    errors(&mut line, 1);
    assert!(line.notes.contains(&Note::Panic(0, true)));
    assert_eq!([line.usable(1), line.usable(0), line.usable(3)], [Use::Last(1), Use::Last(2), Use::No]);
    assert_eq!(line.usable(2), Use::Full);
}

#[test]
fn two_carriers_at_once_are_our_own_fault_and_freeze_ejection() {
    let mut line = Line::new(&[1.0; 8]);
    errors(&mut line, 0);
    errors(&mut line, 1);
    let until = line.time();
    assert!(line.notes.iter().any(|note| matches!(note, Note::Frozen(_))), "{:?}", line.notes);
    assert_eq!((line.usable(0), line.usable(1)), (Use::No, Use::Full));
    line.health.link_down(line.time(), 4, 0, Ending::Lost);
    line.go(1);
    assert_eq!(line.usable(4), Use::No, "hard evidence is exempt");
    errors(&mut line, 2);
    assert_eq!(line.usable(2), Use::Full);
    line.go(3_100 - line.time().since(until).as_millis() as u64);
    assert_eq!(line.state(1), State::Suspect);
    assert_eq!(line.usable(1), Use::No, "the freeze is over");
}

#[test]
fn a_slow_channel_weighs_half_and_a_very_slow_one_is_suspect() {
    let mut line = Line::warm(&[1.0, 1.0]);
    // Many in flight: slow, but steady.
    let steady = |line: &mut Line, seconds: u64, took: u64| {
        let mut sent = std::collections::VecDeque::new();
        for _ in 0..seconds * 20 {
            sent.push_back((line.now + took, line.send(0)));
            line.go(50);
            while sent.front().is_some_and(|(at, _)| *at <= line.now) {
                let (_, part) = sent.pop_front().unwrap();
                line.end(0, part, Sign::Answer);
            }
        }
        sent
    };
    let calm = |line: &mut Line, sent: std::collections::VecDeque<(u64, Time)>| {
        sent.into_iter().for_each(|(_, part)| line.health.ended(line.time(), 0, 0, part, Sign::Withdrawn));
    };
    let left = steady(&mut line, 120, 300);
    calm(&mut line, left);
    assert_eq!(line.health.weight(0), 1.0);
    let left = steady(&mut line, 9, 1_000);
    assert_eq!(line.health.weight(0), 0.5);
    assert!(line.notes.contains(&Note::Weight(0, 0.5)));
    assert_eq!((line.health.usable(0, 0, true), line.usable(0)), (Use::Last(0), Use::Full));
    calm(&mut line, left);
    let left = steady(&mut line, 12, 1_500);
    assert!(line.moved(0).contains(&(State::Suspect, Cause::Slow)));
    calm(&mut line, left);
}

#[test]
fn a_channel_throttled_most_of_the_time_weighs_a_quarter() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let phase = |line: &mut Line, seconds: u64, good: u64| {
        for i in 0..seconds * 10 {
            let sent = line.send(0);
            line.go(100);
            line.end(0, sent, if i % 3 < good { Sign::Answer } else { Sign::Throttle });
        }
    };
    phase(&mut line, 9, 1);
    assert_eq!(line.health.weight(0), 1.0);
    phase(&mut line, 4, 1);
    assert_eq!(line.health.weight(0), 0.25);
    phase(&mut line, 10, 3);
    assert_eq!(line.health.weight(0), 1.0);
    assert_eq!(line.state(0), State::Healthy);
}

#[test]
fn state_survives_a_reload() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.hang(0, 800);
    line.health.plan(line.time(), Settings::default(), &[0, 1], group(&[2.0, 1.0]));
    line.go(1);
    assert_eq!((line.state(0), line.usable(0)), (State::Suspect, Use::No));
    line.health.plan(line.time(), Settings::default(), &[1], Vec::new());
    assert_eq!(line.state(0), State::Suspect, "it has a link");
    line.health.link_gone(line.time(), 0, 0);
    line.health.plan(line.time(), Settings::default(), &[1], Vec::new());
    assert_eq!(line.health.snapshot(line.time(), 0), None);
}

#[test]
fn memory_survives_a_restart_and_ages() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.back();
    line.go(300);
    line.hang(0, 1_000);
    line.health.link_down(line.time(), 0, 0, Ending::Ours);
    line.go(1);
    let memory = line.health.memory(line.time(), 0).unwrap();
    assert_eq!((memory.flaps, memory.well), (2, false));
    let kept = serde_json::from_str::<Memory>(&serde_json::to_string(&memory).unwrap()).unwrap();
    assert_eq!(kept, memory);
    let after = |age: u64| {
        let mut health: Health<u8, u8> = Health::new(Settings::default());
        health.plan(Time(0), Settings::default(), &[0, 1], group(&[1.0, 1.0]));
        health.restore(Time(0), 0, &kept, Duration::from_secs(age));
        health.link_up(Time(0), 0, 0, false);
        health.examine(Time(1), &mut Vec::new());
        (health.state(0), health.snapshot(Time(1), 0).unwrap())
    };
    let (state, snapshot) = after(1);
    assert_eq!((state, snapshot.flaps), (State::Down, 2), "held down");
    assert!(snapshot.samples >= 300);
    let (state, snapshot) = after(700);
    assert_eq!((state, snapshot.flaps), (State::Healthy, 1), "an old judgement is none");
    assert_eq!(after(100_000).1.samples, 0);
}

#[test]
fn nonsense_harms_nobody() {
    let mut line = Line::new(&[f64::NAN, -1.0]);
    let sent = line.send(0);
    for channel in [0, 9] {
        for link in [0, 7] {
            for sign in [Sign::Answer, Sign::Unanswered, Sign::Withdrawn, Sign::SystemError, Sign::Throttle] {
                line.health.ended(Time(3), channel, link, Time(4), sign);
                line.health.ended(line.time(), channel, link, sent, sign);
            }
            line.health.probe_answered(line.time(), channel, link);
            line.health.heard(Time(0), channel, link);
            line.health.unacked(Time::NEVER, channel, link, Duration::MAX);
            line.health.link_down(line.time(), channel, 7, Ending::Lost);
        }
        line.health.sent(line.time(), channel, 0, u32::MAX);
        line.health.sent(Time(0), channel, 0, 1);
    }
    line.health.paused(line.time(), Duration::MAX);
    line.go(100);
    line.health.examine(Time::NEVER, &mut Vec::new());
    line.health.examine(Time(0), &mut Vec::new());
    assert_eq!(line.health.usable(5, 0, true), Use::No);
    assert_eq!(line.health.usable(0, 9, true), Use::No);
    assert!(!line.health.link_usable(0, 9));
}

#[test]
fn a_channel_is_ejected_again_within_ten_seconds() {
    let mut line = Line::warm(&[1.0, 1.0]);
    let parts = line.hang(0, 800);
    assert_eq!(line.usable(0), Use::No);
    parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Answer));
    line.answers = Some(30);
    line.go(3_000);
    assert_eq!(line.state(0), State::Healthy);
    line.hang(0, 1_200);
    assert_eq!((line.state(0), line.usable(0)), (State::Suspect, Use::No), "out again");
}

#[test]
fn a_silent_channel_without_probes_goes_on_trial_by_a_message() {
    let mut line = Line::warm(&[1.0, 1.0]);
    line.health.link_down(line.time(), 0, 0, Ending::Ours);
    line.health.link_up(line.time(), 0, 0, false);
    line.go(1);
    let parts = line.hang(0, 6_000);
    let down = line.moved(0);
    assert!(down.contains(&(State::Down, Cause::Silent)), "{down:?}");
    line.go(6_000);
    assert_eq!((line.state(0), line.usable(0)), (State::Probation, Use::Trial(Trial::One)));
    line.send(0);
    line.go(1_300);
    assert_eq!(line.moved(0).last(), Some(&(State::Down, Cause::Relapsed)));
    parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Unanswered));
    line.go(8_500);
    assert_eq!(line.usable(0), Use::Trial(Trial::One));
    line.traffic(0, 1, 20);
    line.go(12_000);
    assert_eq!(line.state(0), State::Healthy);
}

#[test]
fn panic_that_a_reload_begins_or_ends_is_told() {
    let mut line = Line::warm(&[1.0]);
    line.hang(0, 1_000);
    assert!(line.notes.contains(&Note::Panic(0, true)));
    line.notes.clear();
    line.health.plan(line.time(), Settings::default(), &[0, 1], group(&[1.0, 1.0]));
    line.health.link_up(line.time(), 1, 0, true);
    line.go(500);
    assert!(line.notes.contains(&Note::Panic(0, false)), "{:?}", line.notes);
    let mut line = Line::warm(&[1.0, 1.0]);
    line.hang(0, 1_000);
    line.notes.clear();
    line.health.plan(line.time(), Settings::default(), &[0], group(&[1.0]));
    line.go(500);
    assert!(line.notes.contains(&Note::Panic(0, true)), "{:?}", line.notes);
}

#[test]
fn answers_lost_for_good_do_not_keep_a_channel_down() {
    for (capacities, ms, most) in [(&[1.0, 1.0][..], 3_000, 7_000), (&[1.0, 1.0], 6_000, 7_000), (&[1.0], 6_000, 2_500)]
    {
        let mut line = Line::warm(capacities);
        let parts = line.hang(0, ms);
        assert_ne!(line.state(0), State::Healthy);
        line.answers = Some(30);
        let from = line.now;
        while !matches!(line.state(0), State::Probation | State::Healthy) && line.now < from + 60_000 {
            line.go(50);
        }
        assert!(line.now - from <= most, "{} channels, {ms} ms: {} ms", capacities.len(), line.now - from);
        line.traffic(0, 40, 300);
        assert_eq!(line.state(0), State::Healthy);
        line.notes.clear();
        parts.into_iter().for_each(|sent| line.end(0, sent, Sign::Unanswered));
        line.go(10_000);
        assert_eq!((line.state(0), line.moved(0)), (State::Healthy, vec![]), "given up late, they say nothing");
    }
}

#[test]
fn a_trial_without_a_message_passes_by_probes_unless_lost_parts_may_have_taken_its_room() {
    for (capacities, freed) in [(&[1.0, 1.0][..], false), (&[1.0, 1.0], true), (&[1.0], false)] {
        let mut line = Line::warm(capacities);
        let parts = line.hang(0, 4_000);
        assert_eq!(line.state(0), State::Down);
        line.answers = Some(30);
        while line.state(0) != State::Probation {
            line.go(50);
        }
        parts.iter().filter(|_| freed).for_each(|sent| line.end(0, *sent, Sign::Unanswered));
        line.go(9_900);
        assert_eq!(line.state(0), State::Probation, "{capacities:?}, {freed}");
        line.go(200);
        let waits = capacities.len() > 1 && !freed;
        assert_eq!(line.state(0) == State::Probation, waits, "{capacities:?}, {freed}");
        if waits {
            line.go(20_000);
            assert_eq!(line.state(0), State::Probation);
            parts.iter().for_each(|sent| line.end(0, *sent, Sign::Unanswered));
            line.go(10);
            assert_eq!(line.state(0), State::Healthy, "its room is back");
        }
    }
}

#[test]
fn answers_to_probes_alone_do_not_make_it_flap() {
    let mut line = Line::warm(&[1.0, 1.0]);
    for _ in 0..16 {
        line.send(0);
        line.go(50);
    }
    assert_eq!(line.state(0), State::Suspect);
    let (mut trials, end) = (0, line.now + 120_000);
    while line.now < end {
        if line.state(0) == State::Probation {
            trials += 1;
            line.send(0);
            line.go(1_300);
            assert_eq!(line.state(0), State::Down, "its first message is enough");
        }
        line.go(100);
    }
    assert!((2..=6).contains(&trials), "{trials}");
    assert!(line.health.snapshot(line.time(), 0).unwrap().flaps >= 4);
}

#[test]
fn a_third_that_answers_shows_that_it_is_not_ourselves() {
    let mut line = Line::new(&[1.0; 3]);
    line.traffic(2, 5, 50);
    errors(&mut line, 0);
    line.traffic(2, 2, 50);
    errors(&mut line, 1);
    assert!(!line.notes.iter().any(|note| matches!(note, Note::Frozen(_))), "{:?}", line.notes);
    assert_eq!(line.usable(2), Use::Full);
}

#[test]
fn nobody_waits_for_two_that_fall_silent_together() {
    let mut line = Line::new(&[1.0; 3]);
    (0..2).for_each(|channel| line.traffic(channel, 600, 100));
    line.answers = None;
    for _ in 0..24 {
        line.send(0);
        line.send(1);
        line.go(50);
    }
    assert_eq!((line.state(0), line.state(1)), (State::Suspect, State::Suspect));
    assert_eq!(line.usable(2), Use::Full);
    assert!((0..2).all(|channel| matches!(line.usable(channel), Use::No | Use::Last(_))));
}
