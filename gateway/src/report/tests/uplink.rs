//! Messages from handsets: joined, told once, remembered; then random dialogues with crashes at every record.

use bytes::Bytes;
use carriers::{Coding, Mo, Segment};

use super::*;
use crate::config::plan::App;
use crate::report::uplink::{Carrier, Delivery, Rules};
use crate::route::owner::Owners;

const WAIT: Duration = Duration::from_secs(600);
const LINE: LinkId = LinkId { channel: 0, link: 0 };

fn app(id: u16, numbers: &[&str]) -> App {
    App {
        id: AppId(id),
        name: "app".into(),
        keys: Vec::new(),
        rate: 1,
        send_rate: None,
        tiers: Vec::new(),
        signatures: Vec::new(),
        numbers: numbers.iter().map(|n| (*n).to_owned()).collect(),
        default_country: None,
        allow_ips: Vec::new(),
        callback: None,
        options: String::new(),
    }
}

fn rules(apps: &[App]) -> Rules {
    Rules { owners: Owners::new(apps), ..Rules::default() }
}

fn short(text: &str) -> Mo {
    Mo {
        from: "8613800138000".into(),
        to: "1069000177".into(),
        coding: Coding::Ascii,
        header: Bytes::new(),
        data: Bytes::copy_from_slice(text.as_bytes()),
        segment: None,
        id: None,
        options: String::new(),
    }
}

fn part(text: &str, reference: u16, total: u8, sequence: u8) -> Mo {
    Mo { segment: Segment::of(reference, total, sequence), ..short(text) }
}

impl World {
    fn with_owner() -> World {
        let mut world = World::new();
        world.plan(rules(&[app(0, &["10690001"])]));
        world
    }

    pub(super) fn plan(&mut self, rules: Rules) {
        self.report.plan(&self.names, [(A, true), (B, true), (SILENT, false)].into_iter(), rules.clone());
        self.rules = rules;
    }

    /// Over a connection of a link.
    fn say(&mut self, mo: &Mo, link: LinkId, generation: u64) -> Inbound {
        self.next_inbound += 1;
        let inbound = Inbound(self.next_inbound as _);
        let (id, carrier) = (self.id(), Carrier { link, generation, inbound });
        self.report.uplink(self.now(), A, mo.clone(), id, carrier, &mut self.log);
        inbound
    }

    fn hear_mo(&mut self, mo: &Mo) -> Inbound {
        let inbound = self.say(mo, LINE, 1);
        self.run();
        inbound
    }

    pub(super) fn received(&mut self, id: MessageId, app: AppId, data: Received) {
        assert_eq!(id.to_string(), data.id);
        self.received.push((id, app, data));
        if self.endpoint {
            self.report.told(self.now(), id, 1, Telling::Delivered, &mut self.log);
        }
    }

    pub(super) fn keep_uplink(&mut self, id: MessageId) {
        let kept = self.report.kept(id).expect("what is to be kept is known");
        self.unmatched_list.retain(|of| *of != id);
        if kept.unmatched {
            self.unmatched_list.push(id);
        }
        self.store.insert(id, Past { history: kept.history, ids: Vec::new() });
        self.report.persisted(self.now(), id, &mut self.log);
    }

    fn texts(&self) -> Vec<&str> {
        self.received.iter().map(|(_, _, data)| data.text.as_str()).collect()
    }

    fn assert_no_uplinks_left(&self) {
        assert_eq!(self.report.uplinks.census(), [0; 7]);
    }
}

#[test]
fn a_short_one_is_answered_when_durable_told_and_ends_after_its_window() {
    let mut world = World::with_owner();
    let inbound = world.say(&short("hi"), LINE, 1);
    assert!(!world.effects() && world.settled.is_empty() && world.received.is_empty());
    world.run();
    assert_eq!(world.settled, [(inbound, true)]);
    let (id, app, data) = world.received[0].clone();
    assert_eq!(app, AppId(0));
    assert_eq!((data.from.as_str(), data.to.as_str(), data.extension.as_str()), ("+8613800138000", "1069000177", "77"));
    assert_eq!((data.text.as_str(), data.encoding, data.parts, data.complete), ("hi", "ascii", 1, true));
    assert_eq!(data.carrier.as_deref(), Some("A"));
    assert!(world.store.contains_key(&id) && !world.ended(id), "its repetitions are still recognised");
    world.pass(WAIT);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
}

#[test]
fn a_long_one_is_told_once_all_parts_are_there_in_whatever_order() {
    let mut world = World::with_owner();
    let first = world.id();
    for (text, sequence) in [("c", 3), ("a", 1), ("b", 2)] {
        let before = world.settled.len();
        world.hear_mo(&part(text, 7, 3, sequence));
        assert_eq!(world.settled.len(), before + 1, "each part is answered by itself");
    }
    assert_eq!(world.texts(), ["abc"]);
    let (id, _, data) = &world.received[0];
    assert_eq!((id.0, data.parts, data.complete), (first.0 + 1, 3, true), "its id is that of the part that came first");
    world.pass(WAIT);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
}

#[test]
fn parts_belong_together_by_both_numbers_reference_total_and_channel() {
    let mut world = World::with_owner();
    world.hear_mo(&part("a", 7, 2, 1));
    let strangers = [
        Mo { from: "8613800138001".into(), ..part("x", 7, 2, 2) },
        Mo { to: "1069000178".into(), ..part("x", 7, 2, 2) },
        part("x", 8, 2, 2),
        part("x", 7, 3, 2),
    ];
    for mo in &strangers {
        world.hear_mo(mo);
    }
    assert!(world.received.is_empty());
    world.hear_mo(&part("b", 7, 2, 2));
    assert_eq!(world.texts(), ["ab"]);
}

#[test]
fn what_is_missing_after_the_wait_is_marked_and_comes_as_its_own_later() {
    let mut world = World::with_owner();
    world.hear_mo(&part("b", 7, 3, 2));
    world.pass(WAIT - Duration::from_secs(1));
    world.run();
    assert!(world.received.is_empty());
    world.pass(Duration::from_secs(1));
    world.run();
    let data = &world.received[0].2;
    assert_eq!((data.text.as_str(), data.complete, &data.missing[..]), ("\u{fffd}b\u{fffd}", false, &[1, 3][..]));
    world.hear_mo(&part("a", 7, 3, 1));
    world.pass(WAIT);
    world.run();
    assert_eq!(world.texts()[1..], ["a\u{fffd}\u{fffd}"]);
    assert_ne!(world.received[0].0, world.received[1].0);
    world.pass(WAIT);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
}

#[test]
fn a_late_part_after_a_restart_does_not_change_what_was_told() {
    let mut world = World::with_owner();
    world.endpoint = false;
    world.hear_mo(&part("a", 7, 2, 1));
    world.pass(WAIT);
    world.run();
    world.hear_mo(&part("b", 7, 2, 2));
    let mut again = world.crash();
    again.run();
    assert_eq!(again.texts(), ["a\u{fffd}"], "the same as before");
    assert_eq!(again.received[0].0, world.received[0].0);
}

#[test]
fn what_an_answer_should_have_is_told_and_survives_restarts() {
    let mut world = World::with_owner();
    world.endpoint = false;
    let linked = Mo { options: "link_id=77\n".into(), ..part("a", 7, 2, 1) };
    world.hear_mo(&linked);
    let mut again = world.crash();
    again.hear_mo(&part("b", 7, 2, 2));
    again.run();
    let told = &again.received[0].2;
    assert_eq!((told.text.as_str(), told.options.get("link_id").map(String::as_str)), ("ab", Some("77")));
    let plain = serde_json::to_value(&{
        let mut plain = told.clone();
        plain.options.clear();
        plain
    })
    .unwrap();
    assert!(plain.get("options").is_none(), "most messages have none");
}

#[test]
fn a_reference_used_again_for_another_text_ends_the_wait() {
    let mut world = World::with_owner();
    world.hear_mo(&part("a", 7, 2, 1));
    world.hear_mo(&part("c", 7, 2, 1));
    assert_eq!(world.texts(), ["a\u{fffd}"]);
    world.hear_mo(&part("d", 7, 2, 2));
    assert_eq!(world.texts(), ["a\u{fffd}", "cd"]);
}

#[test]
fn the_same_word_twice_over_a_living_link_is_two_messages() {
    let mut world = World::with_owner();
    world.hear_mo(&short("YES"));
    world.hear_mo(&short("YES"));
    assert_eq!((world.texts(), world.repeated), (vec!["YES", "YES"], 0));
}

#[test]
fn what_a_lost_connection_left_unanswered_is_told_once() {
    let mut world = World::with_owner();
    world.say(&short("YES"), LINE, 1);
    world.report.lost(world.now(), LINE, 1);
    let again = world.say(&short("YES"), LINE, 2);
    assert!(world.settled.is_empty(), "a repetition waits for the record of the first");
    world.run();
    assert!(world.settled.contains(&(again, true)));
    assert_eq!((world.texts(), world.repeated), (vec!["YES"], 1));
    world.say(&short("YES"), LINE, 2);
    world.run();
    assert_eq!(world.texts().len(), 2, "over the living link it is a new one");
}

#[test]
fn the_carriers_own_id_and_a_place_in_a_long_message_need_no_loss() {
    let mut world = World::with_owner();
    let with_id = Mo { id: Some(CarrierId::new(b"77")), ..short("YES") };
    let mut says = |mo: &Mo| {
        world.hear_mo(mo);
    };
    says(&with_id);
    says(&with_id);
    says(&Mo { id: Some(CarrierId::new(b"78")), ..short("YES") });
    says(&part("a", 7, 2, 1));
    says(&part("a", 7, 2, 1));
    says(&part("b", 7, 2, 2));
    says(&part("a", 7, 2, 1));
    assert_eq!((world.texts(), world.repeated), (vec!["YES", "YES", "ab"], 3));
    world.pass(WAIT);
    world.hear_mo(&with_id);
    assert_eq!(world.texts().len(), 4, "the window is over");
}

#[test]
fn repetitions_are_recognised_after_a_restart() {
    let mut world = World::with_owner();
    world.hear_mo(&short("YES"));
    let mut again = world.crash();
    again.run();
    again.hear_mo(&short("YES"));
    assert_eq!((again.received.len(), again.repeated), (0, 1));
    again.hear_mo(&short("YES"));
    assert_eq!(again.received.len(), 1);
    let mut late = world.crash();
    late.pass(WAIT);
    late.hear_mo(&short("YES"));
    assert_eq!((late.received.len(), late.repeated), (1, 0));
}

#[test]
fn after_a_restart_the_same_word_is_a_repetition_only_where_its_answer_is_in_doubt() {
    let said_again = |world: &mut World| {
        world.hear_mo(&short("BAL"));
        world.texts().len()
    };
    let mut world = World::with_owner();
    world.hear_mo(&short("BAL"));
    assert_eq!(said_again(&mut world.crash()), 0, "the answer may be lost with the process");
    world.pass(Duration::from_secs(61));
    world.hear_mo(&short("another sign of life"));
    assert_eq!(said_again(&mut world.crash()), 1, "the process lived on long after its answer");
    let mut rested = World::with_owner();
    rested.hear_mo(&short("BAL"));
    let (id, now) = (rested.id(), rested.now().wall);
    rested.log.note(id, &Record::Unbound(crate::journal::record::Unbound { at: now }));
    let mut again = rested.crash();
    again.pass(Duration::from_secs(1));
    assert_eq!(said_again(&mut again), 1, "links had ended in order");
    let mut third = again.crash();
    assert_eq!(
        (said_again(&mut third), said_again(&mut third)),
        (0, 1),
        "the second one is in doubt, the first is not"
    );
    third.pass(WAIT);
    assert!(third.crash().ended(id), "forgotten with the window");
}

#[test]
fn a_refused_record_leaves_nothing_and_its_repetition_is_the_message() {
    let mut world = World::with_owner();
    world.log.full = true;
    let first = world.say(&short("YES"), LINE, 1);
    world.report.lost(world.now(), LINE, 1);
    let second = world.say(&short("YES"), LINE, 2);
    world.run();
    assert_eq!(world.settled, [(first, false), (second, false)]);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
    world.log.full = false;
    let third = world.say(&short("YES"), LINE, 2);
    world.run();
    assert_eq!((world.texts(), world.settled[2]), (vec!["YES"], (third, true)));
}

#[test]
fn a_join_that_the_journal_refused_is_written_again_and_not_told_before() {
    let mut world = World::with_owner();
    world.hear_mo(&part("a", 7, 2, 1));
    world.say(&part("b", 7, 2, 2), LINE, 1);
    for ack in std::mem::take(&mut world.log.acks) {
        let Ack::Uplink(id) = ack else { unreachable!() };
        world.log.full = true;
        world.report.uplink_committed(world.now(), id, true, &mut world.log);
    }
    world.run();
    assert!(world.received.is_empty());
    world.log.full = false;
    world.pass(Duration::from_secs(1));
    world.run();
    assert_eq!(world.texts(), ["ab"]);
}

#[test]
fn an_app_that_is_not_reached_is_told_after_the_restart() {
    let mut world = World::with_owner();
    world.endpoint = false;
    world.hear_mo(&short("hi"));
    world.pass(WAIT * 2);
    let mut again = world.crash();
    again.run();
    assert_eq!(again.texts(), ["hi"]);
    again.pass(Duration::ZERO);
    again.assert_no_uplinks_left();
    again.assert_all_ended();
}

#[test]
fn one_without_an_owner_is_listed_logged_once_a_minute_and_delivered_when_somebody_owns_it() {
    let mut world = World::new();
    world.hear_mo(&short("one"));
    world.hear_mo(&short("two"));
    assert_eq!(world.no_owner, [Some("10690***77".to_owned()), None]);
    assert_eq!((world.received.len(), world.unmatched_list.len()), (0, 2));
    let id = world.unmatched_list[0];
    world.pass(WAIT);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
    let history = world.store[&id].history.clone();
    assert_eq!(world.report.deliver(id, Some(&history)), Delivery::NoOwner);
    assert_eq!(world.report.deliver(id, None), Delivery::Unknown);
    world.plan(rules(&[app(0, &["10690001"])]));
    assert_eq!(world.report.deliver(id, Some(&history)), Delivery::OnItsWay(AppId(0)));
    assert_eq!(world.report.deliver(id, Some(&history)), Delivery::OnItsWay(AppId(0)), "once is enough");
    world.run();
    assert_eq!((world.texts(), world.unmatched_list.len()), (vec!["one"], 1));
    world.assert_no_uplinks_left();
    world.assert_all_ended();
}

#[test]
fn one_without_an_owner_can_be_delivered_while_it_is_remembered() {
    let mut world = World::new();
    world.hear_mo(&short("one"));
    let id = world.unmatched_list[0];
    let history = world.store[&id].history.clone();
    world.plan(rules(&[app(0, &["10690001"])]));
    assert_eq!(world.report.deliver(id, Some(&history)), Delivery::OnItsWay(AppId(0)));
    world.run();
    assert_eq!((world.texts(), world.unmatched_list.len()), (vec!["one"], 0));
    assert!(!world.ended(id));
    world.crash().run();
    world.pass(WAIT);
    world.assert_no_uplinks_left();
    world.assert_all_ended();
}

#[test]
fn records_of_before_are_told_too() {
    let mut world = World::with_owner();
    let id = world.id();
    let old = crate::journal::record::Uplink {
        at: world.wall,
        channel: "a",
        from: "8613800138000",
        to: "10690001",
        text: "héllo",
        data: b"h?llo",
        udh: false,
    };
    world.log.note(id, &Record::Uplink(old));
    let mut again = world.crash();
    again.run();
    assert_eq!(again.texts(), ["héllo"]);
    again.pass(WAIT);
    again.assert_no_uplinks_left();
    again.assert_all_ended();
}

#[test]
fn too_many_open_ones_push_out_the_oldest() {
    let mut world = World::with_owner();
    for n in 0..=10_000u64 {
        let mo = Mo { from: format!("86138{n:08}"), ..part("a", 7, 2, 1) };
        world.say(&mo, LINE, 1);
    }
    world.run();
    assert_eq!(world.received.len(), 1);
    assert_eq!(world.received[0].2.from, "+8613800000000");
}

#[test]
fn apps_that_take_nothing_do_not_fill_the_memory() {
    let mut world = World::with_owner();
    world.endpoint = false;
    let octets = Bytes::from(vec![b'x'; 60_000]);
    for n in 0..1_200u64 {
        let mo = Mo { from: format!("86138{n:08}"), data: octets.clone(), ..short("") };
        world.say(&mo, LINE, 1);
        world.run();
        world.pass(Duration::ZERO);
    }
    assert_eq!(world.store.len(), 1_200, "all are kept");
    let [.., held] = world.report.uplinks.census();
    assert!(held <= 65 << 20, "{held}");
}

/// Carriers that repeat what they got no answer for, with crashes: what each message was is known, so that what the
/// app is told can be checked.
struct Dialogue {
    world: World,
    dice: fastrand::Rng,
    generation: u64,
    /// So many records are on disk for certain.
    durable: usize,
    /// What carriers still have to say: part, its message, and whether it is being asked.
    owed: Vec<(Mo, Option<Inbound>)>,
    /// Whole texts by handset.
    sent: BTreeMap<String, String>,
}

impl Dialogue {
    fn new(seed: u64) -> Dialogue {
        let (mut dice, mut owed, mut sent) = (fastrand::Rng::with_seed(seed), Vec::new(), BTreeMap::new());
        for n in 0..6u32 {
            let (from, total) = (format!("+861380013800{n}"), dice.u8(1..5));
            let text: String = (0..total).map(|_| dice.alphabetic()).collect();
            for (place, letter) in (1..=total).zip(text.chars()) {
                owed.push((Mo { from: from.clone(), ..part(&letter.to_string(), 7, total, place) }, None));
            }
            sent.insert(from, text);
        }
        dice.shuffle(&mut owed);
        Dialogue { world: World::with_owner(), dice, generation: 1, durable: 0, owed, sent }
    }

    fn step(&mut self) {
        match self.dice.u8(0..12) {
            0..=5 if !self.owed.is_empty() => {
                let index = self.dice.usize(0..self.owed.len());
                if self.owed[index].1.is_none() {
                    let inbound = self.world.say(&self.owed[index].0.clone(), LINE, self.generation);
                    self.owed[index].1 = Some(inbound);
                }
            }
            6 => self.lose_the_link(),
            7 => self.world.endpoint = self.dice.bool(),
            8 => self.world.keeping = self.dice.bool(),
            9 => self.world.pass(Duration::from_secs(self.dice.u64(0..3))),
            _ => {
                self.durable = self.world.log.entries.len();
                self.world.commit();
            }
        }
        self.answers();
    }

    /// Answers on their way are read, or lost with the link.
    fn answers(&mut self) {
        self.world.effects();
        let settled = std::mem::take(&mut self.world.settled);
        self.owed.retain_mut(|(_, asked)| match settled.iter().find(|(inbound, _)| Some(*inbound) == *asked) {
            Some((_, true)) => false,
            Some((_, false)) => {
                *asked = None;
                true
            }
            None => true,
        });
    }

    fn lose_the_link(&mut self) {
        self.world.report.lost(self.world.now(), LINE, self.generation);
        self.generation += 1;
        self.owed.iter_mut().for_each(|(_, asked)| *asked = None);
    }

    /// The process dies, and with it some of what was not yet on disk; what was told and answered stays so.
    fn crash(&mut self) {
        let k = self.dice.usize(self.durable..=self.world.log.entries.len());
        self.durable = k;
        let mut again = self.world.restart(&self.world.log.entries[..k]);
        again.received = std::mem::take(&mut self.world.received);
        self.world = again;
        self.lose_the_link();
    }

    fn finish(&mut self) {
        (self.world.endpoint, self.world.keeping) = (true, true);
        for _ in 0..100 {
            self.world.run();
            self.answers();
            self.lose_the_link();
            for (mo, asked) in &mut self.owed {
                *asked = Some(self.world.say(mo, LINE, self.generation));
            }
            if self.owed.is_empty() {
                break;
            }
        }
        assert!(self.owed.is_empty(), "everything is answered in the end");
    }

    fn check(&self, context: &str) {
        // An event may be told again after a crash, but it is the same one.
        let events: BTreeMap<MessageId, (&str, &str)> =
            self.world.received.iter().map(|(id, _, data)| (*id, (data.from.as_str(), data.text.as_str()))).collect();
        for (id, _, data) in &self.world.received {
            assert_eq!(events[id], (data.from.as_str(), data.text.as_str()), "{context}: what {id} says has changed");
        }
        let mut told: Vec<_> = events.values().copied().collect();
        told.sort_unstable();
        let sent: Vec<_> = self.sent.iter().map(|(from, text)| (from.as_str(), text.as_str())).collect();
        assert_eq!(told, sent, "{context}");
    }
}

#[test]
fn a_dialogue_cut_at_any_record_tells_every_text_whole_and_once() {
    let mut cuts = 0;
    for seed in 0..60 {
        let mut whole = Dialogue::new(seed);
        (0..60).for_each(|_| whole.step());
        let records = whole.world.log.entries.len();
        whole.finish();
        whole.check(&format!("seed {seed}, whole"));
        for k in 0..=records {
            let mut play = Dialogue::new(seed);
            while play.world.log.entries.len() < k {
                play.step();
            }
            play.crash();
            (0..20).for_each(|_| play.step());
            play.crash();
            play.finish();
            play.check(&format!("seed {seed}, cut at {k}"));
            cuts += 1;
            play.world.pass(WAIT);
            play.world.run();
            play.world.pass(Duration::ZERO);
            play.world.assert_no_uplinks_left();
            play.world.assert_all_ended();
        }
    }
    assert!(cuts > 1_000, "{cuts}");
}
