//! Simulated days: healthy ones alarm nobody; a channel that gets worse is found within minutes; lists of dead numbers
//! and bad templates are never the channel's fault.

use super::*;
use crate::config::plan::Names;

const A: ChannelId = ChannelId(0);
const B: ChannelId = ChannelId(1);
const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;

/// What one application sends in 30 s, over which channel, to which network.
#[derive(Clone, Copy)]
struct Traffic {
    channel: ChannelId,
    app: u16,
    group: u16,
    network: &'static str,
    receipts: u64,
    arrives: f64,
}

struct World {
    quality: Quality,
    now: Moment,
    dice: fastrand::Rng,
    found: Vec<(u64, Finding)>,
}

impl World {
    fn new(seed: u64) -> World {
        let now = Moment { time: Time(0), wall: Wall(1_790_000_000_000) };
        let mut quality = Quality::new(now);
        quality.watch([(A, true), (B, true)].into_iter());
        World { quality, now, dice: fastrand::Rng::with_seed(seed), found: Vec::new() }
    }

    fn pass(&mut self, micros: u64) {
        self.now.time.0 += micros;
        self.now.wall.0 += micros / 1_000;
    }

    /// Lets so many minutes pass with that traffic.
    fn run(&mut self, minutes: u64, traffic: &[Traffic]) {
        for _ in 0..minutes * 2 {
            for one in traffic {
                for _ in 0..one.receipts {
                    let number = 8_613_000_000_000 + self.dice.u64(..1_000_000_000);
                    self.receipt(one, number, self.now);
                }
            }
            self.pass(MINUTE / 2);
            let minute = self.now.time.0 / MINUTE;
            self.found.extend(self.quality.tick(self.now).into_iter().map(|finding| (minute, finding)));
        }
    }

    fn receipt(&mut self, one: &Traffic, number: u64, now: Moment) {
        let fate = Fate {
            channel: one.channel,
            app: AppId(one.app),
            tier: TierId(0),
            group: GroupId(one.group),
            number,
            delivered: self.dice.f64() < one.arrives,
        };
        self.quality.submitted(now.time, one.channel);
        self.quality.heard(one.channel);
        self.quality.delay(one.channel, Duration::from_secs(4));
        self.quality.ended(now, &fate, Some(one.network).filter(|name| *name != "86"));
    }

    #[track_caller]
    fn expect(&mut self, fault: Fault, begun: bool) -> (u64, Finding) {
        assert_eq!(self.found.len(), 1, "{:?}", self.found);
        let (minute, finding) = self.found.remove(0);
        assert_eq!((finding.channel, finding.fault, finding.detail.is_some()), (A, fault, begun), "{finding:?}");
        (minute, finding)
    }
}

/// Three applications over two channels of one group, and to two networks; what arrives differs between them.
fn usual() -> Vec<Traffic> {
    let mut all = Vec::new();
    for (app, arrives) in [(0, 0.97), (1, 0.93), (2, 0.8)] {
        for channel in [A, B] {
            all.push(Traffic { channel, app, group: 0, network: "china-mobile", receipts: 20, arrives });
            all.push(Traffic { channel, app, group: 0, network: "86", receipts: 3, arrives: arrives - 0.1 });
        }
    }
    all
}

/// The usual traffic, with that channel's ratio times this.
fn worse(channel: ChannelId, by: f64) -> Vec<Traffic> {
    let mut all = usual();
    all.iter_mut().filter(|one| one.channel == channel).for_each(|one| one.arrives *= by);
    all
}

#[test]
fn a_healthy_day_alarms_nobody() {
    for seed in 0..3 {
        let mut world = World::new(seed);
        for hour in 0..24 {
            // By night a tenth of the traffic and, everywhere, a tenth less of it arrives.
            let night = hour % 24 < 8;
            let mut traffic = usual();
            for one in &mut traffic {
                one.receipts = if night { one.receipts / 10 } else { one.receipts };
                one.arrives -= if night { 0.1 } else { 0.0 };
            }
            world.run(60, &traffic);
        }
        assert_eq!(world.found, []);
        assert_eq!((world.quality.weight(A), world.quality.weight(B)), (1.0, 1.0));
    }
}

#[test]
fn a_channel_of_which_less_arrives_is_found_within_minutes_and_forgiven_when_it_has_recovered() {
    let mut world = World::new(1);
    world.run(120, &usual());
    world.run(10, &worse(A, 0.63));
    let (minute, finding) = world.expect(Fault::DeliveredRatio, true);
    assert!((121..=125).contains(&minute), "found after {} min", minute - 120);
    let detail = finding.detail.unwrap();
    assert!(detail.contains("china-mobile, usually 90 %, 90 % on other channels"), "{detail}");
    assert_eq!((world.quality.weight(A), world.quality.weight(B)), (WEIGHT, 1.0));
    // It goes on with less of the traffic; nothing flaps.
    let mut less = worse(A, 0.63);
    less.iter_mut().filter(|one| one.channel == A).for_each(|one| one.receipts /= 3);
    world.run(60, &less);
    assert_eq!(world.found, []);
    world.run(30, &usual());
    let (minute, _) = world.expect(Fault::DeliveredRatio, false);
    assert!((195..=206).contains(&minute), "{minute}");
    assert_eq!(world.quality.weight(A), 1.0);
}

#[test]
fn one_applications_dead_numbers_are_not_the_channels_fault() {
    let dead =
        |channel, receipts, arrives| Traffic { channel, app: 2, group: 0, network: "china-mobile", receipts, arrives };
    // On one channel or on both, beside others or alone, much more than all others together or as much as before.
    for (receipts, arrives) in [(400, 0.05), (20, 0.0)] {
        for both in [false, true] {
            for alone in [false, true] {
                let mut world = World::new(7);
                let mut before = usual();
                before.retain(|one| !alone || one.app == 2);
                world.run(180, &before);
                let mut traffic = before.clone();
                traffic.retain(|one| one.app != 2);
                traffic.push(dead(A, receipts, arrives));
                traffic.extend(both.then(|| dead(B, receipts, arrives)));
                world.run(60, &traffic);
                assert_eq!(world.found, [], "{receipts} {arrives} both {both} alone {alone}");
            }
        }
    }
}

#[test]
fn one_number_that_never_answers_counts_once() {
    let mut world = World::new(3);
    world.run(60, &usual());
    for _ in 0..20 {
        for app in 0..3 {
            let one = Traffic { channel: A, app, group: 0, network: "china-mobile", receipts: 0, arrives: 0.0 };
            (0..200).for_each(|_| world.receipt(&one, 8_613_800_138_000, world.now));
        }
        world.run(1, &usual());
    }
    assert_eq!(world.found, []);
}

#[test]
fn a_network_that_fails_on_every_channel_is_nobodys_fault() {
    let mut world = World::new(4);
    world.run(60, &usual());
    let mut traffic = usual();
    traffic.iter_mut().for_each(|one| one.arrives *= 0.4);
    world.run(60, &traffic);
    assert_eq!(world.found, []);
}

#[test]
fn one_application_alone_can_show_it_where_its_messages_fare_better_on_the_peers() {
    let mut world = World::new(5);
    let only = |all: Vec<Traffic>| {
        let one = all.into_iter().filter(|one| one.app == 0);
        one.map(|one| Traffic { receipts: one.receipts * 2, ..one }).collect::<Vec<_>>()
    };
    world.run(60, &only(usual()));
    world.run(20, &only(worse(A, 0.5)));
    world.expect(Fault::DeliveredRatio, true);
    assert_eq!(world.quality.weight(A), WEIGHT);
    // Without peers nobody can tell its messages from the channel.
    let mut world = World::new(5);
    let lonely = |all: Vec<Traffic>| only(all).into_iter().filter(|one| one.channel == A).collect::<Vec<_>>();
    world.run(60, &lonely(usual()));
    world.run(20, &lonely(worse(A, 0.5)));
    assert_eq!(world.found, []);
}

#[test]
fn without_peers_several_applications_raise_the_alarm_and_nothing_is_taken_from_the_channel() {
    let mut world = World::new(6);
    let lonely = |all: Vec<Traffic>| all.into_iter().filter(|one| one.channel == A).collect::<Vec<_>>();
    world.run(60, &lonely(usual()));
    world.run(20, &lonely(worse(A, 0.6)));
    world.expect(Fault::DeliveredRatio, true);
    assert_eq!(world.quality.weight(A), 1.0);
}

#[test]
fn another_mixture_of_messages_is_no_fall() {
    let mut world = World::new(8);
    world.run(60, &usual());
    // What arrives badly anyway now makes most of it, on one channel only.
    let mut traffic = usual();
    traffic.iter_mut().filter(|one| one.channel == A && one.app == 2).for_each(|one| one.receipts = 300);
    traffic.iter_mut().filter(|one| one.channel == A && one.app != 2).for_each(|one| one.receipts = 5);
    world.run(60, &traffic);
    assert_eq!(world.found, []);
}

#[test]
fn receipts_that_stop_are_told_while_answers_go_on_and_not_when_all_is_quiet() {
    let mut world = World::new(9);
    world.run(30, &usual());
    // A night without traffic is no silence.
    world.run(600, &[]);
    assert_eq!(world.found, []);
    let begun = world.now.time.0 / MINUTE;
    for _ in 0..60 {
        (0..5).for_each(|_| world.quality.submitted(world.now.time, A));
        world.run(1, &usual().into_iter().filter(|one| one.channel == B).collect::<Vec<_>>());
    }
    let (minute, finding) = world.expect(Fault::ReceiptsStopped, true);
    assert!((9..=13).contains(&(minute - begun)), "{} {finding:?}", minute - begun);
    world.run(1, &usual());
    world.expect(Fault::ReceiptsStopped, false);
}

#[test]
fn a_carrier_that_sends_no_receipts_or_leaves_the_plan_is_not_waited_for() {
    let mut world = World::new(10);
    world.run(30, &usual());
    assert_eq!(world.quality.watch([(A, false), (B, true)].into_iter()), []);
    (0..1_000).for_each(|_| world.quality.submitted(world.now.time, A));
    world.run(60, &[]);
    assert_eq!(world.found, []);
    world.quality.watch([(A, true), (B, true)].into_iter());
    (0..1_000).for_each(|_| world.quality.submitted(world.now.time, A));
    world.run(60, &[]);
    world.expect(Fault::ReceiptsStopped, true);
    let ended = world.quality.watch([(B, true)].into_iter());
    assert_eq!(ended, [Finding { channel: A, fault: Fault::ReceiptsStopped, detail: None }]);
}

#[test]
fn what_was_learned_outlives_the_process_and_a_damaged_file_is_refused() {
    let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let mut names = Names {
        channels: list(&["a", "b"]),
        apps: list(&["0", "1", "2"]),
        tiers: list(&["otp"]),
        groups: list(&["g"]),
    };
    let mut world = World::new(11);
    world.run(180, &usual());
    let octets = world.quality.keep(&names).write();
    for cut in (0..octets.len()).step_by(97) {
        assert!(Kept::read(&octets[..cut]).is_err(), "cut at {cut}");
        let mut flipped = octets.clone();
        flipped[cut] ^= 4;
        assert!(Kept::read(&flipped).is_err(), "changed at {cut}");
    }
    // Another order of names, and one channel that is not there any more.
    names.channels = vec!["x".into(), "b".into(), "a".into()];
    let mut quality = Quality::new(world.now);
    quality.restore(Kept::read(&octets).unwrap(), &names);
    let strata = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets).lines().nth(1).unwrap().to_owned();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut rows: Vec<String> = whole["strata"].as_array().unwrap().iter().map(ToString::to_string).collect();
        rows.sort_unstable();
        rows
    };
    let (written, again) = (strata(&octets), strata(&quality.keep(&names).write()));
    assert_eq!((written.len(), &written), (12, &again));
    // Judged at once by what the last process knew.
    let mut world = World { quality, found: Vec::new(), ..world };
    world.quality.watch([(ChannelId(2), true), (B, true)].into_iter());
    let mut traffic = worse(A, 0.6);
    traffic.iter_mut().filter(|one| one.channel == A).for_each(|one| one.channel = ChannelId(2));
    world.run(6, &traffic);
    assert_eq!(world.found.len(), 1, "{:?}", world.found);
    assert_eq!(world.quality.weight(ChannelId(2)), WEIGHT);
}

#[test]
fn strata_and_networks_are_bounded() {
    let mut world = World::new(12);
    for app in 0..3_000 {
        let one = Traffic { channel: A, app, group: 0, network: "86", receipts: 0, arrives: 1.0 };
        world.receipt(&one, 8_613_800_138_000 + u64::from(app), world.now);
    }
    assert_eq!(world.quality.strata.len(), STRATA);
    world.run(10, &[]);
    world.receipt(&usual()[0], 8_613_800_138_000, world.now);
    world.run(1, &[]);
    assert_eq!(world.quality.strata.len(), STRATA - STRATA / 8, "the idle ones make room");
    let networks: Vec<String> = (0..400).map(|n| format!("network-{n}")).collect();
    for network in &networks {
        let fate = Fate { channel: A, app: AppId(0), tier: TierId(0), group: GroupId(0), number: 1, delivered: true };
        world.quality.ended(world.now, &fate, Some(network));
    }
    assert_eq!(world.quality.networks.len(), NETWORKS);
    world.pass(15 * 24 * HOUR);
    world.quality.tick(world.now);
    assert!(world.quality.strata.is_empty(), "forgotten after two weeks");
}

#[test]
fn numbers_are_told_apart_by_their_countrys_calling_code() {
    for (number, code) in [
        (8_613_800_138_000, 86),
        (14_155_550_100, 1),
        (79_161_234_567, 7),
        (85_291_234_567, 852),
        (491_711_234_567, 49),
        (353_871_234_567, 353),
        (44, 44),
        (0, 0),
    ] {
        assert_eq!(calling_code(number), code, "{number}");
    }
}
