//! Lanes: what waits, by group, tier and eligibility, so that no head blocks a message that could go. Inside a lane
//! every app has a queue of its own, and they take turns by parts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fair::Fair;
use super::poison::STRIKES;
use super::queue::Queue;
use super::why::Reason;
use super::{Home, Message};
use crate::clock::Time;
use crate::config::plan::{AppId, ChannelId, GroupId, TierId};
use crate::few::Few;
use crate::ids::MessageId;

/// Nothing is sent with less than this left, in microseconds, or a quarter of the validity where that is shorter.
const LEAST_LEFT: u64 = 5_000_000;
/// Apps of a lane whose queue is kept while it is empty, to spare a lane at low load its allocations.
const KEEP: usize = 16;

/// A message while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) accepted: Time,
    pub(super) expires: Time,
    pub(super) app: AppId,
    /// Parts to reserve.
    pub(super) parts: u8,
    /// Attempts that count.
    pub(super) used: u8,
    /// An earlier attempt may have delivered it.
    pub(super) doubtful: bool,
    /// Sessions that died with it, see `poison`.
    pub(super) strikes: u8,
    /// Why it goes again although nobody refused it or left it.
    pub(super) again: Again,
}

/// Why a message goes again that its last channel neither refused nor left in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Again {
    /// It does not, or for one of those reasons.
    #[default]
    No,
    /// There was no answer for so many [`HEDGE_GRAIN`]s.
    Hedge(u8),
    /// The receipt says that it was not delivered.
    Undelivered,
}

/// See [`Again::Hedge`]: a waiting message has few octets to spare.
const HEDGE_GRAIN: Duration = Duration::from_millis(20);

impl Again {
    /// Without an answer for that long.
    pub(super) fn hedge(waited: Duration) -> Again {
        Again::Hedge(u8::try_from(waited.as_millis() / HEDGE_GRAIN.as_millis()).unwrap_or(u8::MAX))
    }

    /// What goes into the [`Why`](super::Why) of its next attempt.
    pub(super) fn reason(self) -> Option<(Reason, u32)> {
        match self {
            Again::No => None,
            Again::Hedge(grains) => Some((Reason::Hedge, u32::from(grains) * HEDGE_GRAIN.as_millis() as u32)),
            Again::Undelivered => Some((Reason::Undelivered, 0)),
        }
    }
}

impl Entry {
    /// Not started at or after this time.
    pub(super) fn until(&self) -> Time {
        let validity = self.expires.0.saturating_sub(self.accepted.0);
        Time(self.expires.0.saturating_sub(LEAST_LEFT.min(validity / 4)))
    }

    /// Nothing of it has gone anywhere.
    pub(super) fn is_fresh(&self) -> bool {
        self.used == 0 && !self.doubtful && self.strikes == 0 && self.again == Again::No
    }

    /// A session died with it.
    pub(super) fn strike(&mut self) {
        self.strikes = self.strikes.saturating_add(1).min(STRIKES);
    }
}

/// Which channels a message may not, should rather not, or must use. Almost always: any.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    /// Never again for this message; sorted.
    pub(super) excluded: Vec<ChannelId>,
    /// Only if no other is usable: it refused the message, or left it in doubt.
    pub(super) avoid: Option<ChannelId>,
    /// Some parts are there already: the others follow, or all go elsewhere.
    pub(super) only: Option<ChannelId>,
    /// Sent with nothing else in flight on its link, see `poison`.
    pub(super) alone: bool,
}

impl Clone for Class {
    /// Every attempt has one: nothing is asked of the allocator where nothing is excluded.
    fn clone(&self) -> Class {
        let excluded = if self.excluded.is_empty() { Vec::new() } else { self.excluded.clone() };
        Class { excluded, ..*self }
    }
}

impl Class {
    /// Excludes one more channel.
    pub(super) fn exclude(&mut self, channel: ChannelId) {
        if let Err(at) = self.excluded.binary_search(&channel) {
            self.excluded.insert(at, channel);
        }
    }

    pub(super) fn is_any(&self) -> bool {
        let Class { excluded, avoid, only, alone } = self;
        excluded.is_empty() && avoid.is_none() && only.is_none() && !alone
    }
}

/// A lane's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) group: GroupId,
    pub(super) tier: TierId,
    pub(super) class: Class,
}

impl LaneKey {
    /// After every lane there is.
    pub(super) fn last() -> LaneKey {
        let class = Class { excluded: vec![ChannelId(u16::MAX)], ..Class::default() };
        LaneKey { group: GroupId(u16::MAX), tier: TierId(u8::MAX), class }
    }

    /// The common lane for a message.
    pub(super) fn of(message: &Message) -> LaneKey {
        LaneKey { group: message.group, tier: message.tier, class: Class::default() }
    }

    /// The lane for a message that is no longer bound to one channel.
    pub(super) fn without_only(&self) -> LaneKey {
        LaneKey { class: Class { only: None, ..self.class.clone() }, ..*self }
    }
}

/// A message with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) entry: Entry,
    pub(super) lane: LaneKey,
}

impl Pending {
    /// It killed nothing, or there was no way to find out.
    pub(super) fn acquit(&mut self) {
        self.entry.strikes = 0;
        self.lane.class.alone = false;
    }

    /// Gives it another home; what it may and may not use stays.
    pub(super) fn settle(&mut self, home: Home) {
        (self.lane.group, self.lane.tier) = (home.group, home.tier);
        self.entry.parts = home.parts.max(1);
    }
}

impl From<Message> for Entry {
    fn from(m: Message) -> Entry {
        Entry {
            id: m.id,
            accepted: m.accepted,
            expires: m.expires,
            app: m.app,
            parts: m.parts.max(1),
            used: 0,
            doubtful: false,
            strikes: 0,
            again: Again::No,
        }
    }
}

impl From<Message> for Pending {
    fn from(message: Message) -> Pending {
        Pending { entry: Entry::from(message), lane: LaneKey::of(&message) }
    }
}

/// Where an app with something to send stands.
#[derive(Clone, Copy, Debug, Default)]
enum Stand {
    /// Nowhere: nothing waits.
    #[default]
    Out,
    /// In line, starting there.
    Ready(u64),
    /// Aside until then.
    Resting(Time),
}

/// An app in a lane.
#[derive(Debug, Default)]
struct Flow {
    queue: Queue,
    stand: Stand,
}

/// One lane: the queues of its apps, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Lane {
    apps: Few<AppId, Box<Flow>>,
    fair: Fair<AppId>,
    /// The app whose turn it is, and where it starts: the first of all that have something to send.
    turn: Option<(u64, AppId)>,
    /// The others of them, by where they start.
    ready: BTreeSet<(u64, AppId)>,
    /// Apps that must rest although something waits, until then.
    resting: BTreeSet<(Time, AppId)>,
    len: usize,
    parts: u64,
    /// Not later than the first expiry.
    earliest: Time,
}

impl Lane {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Parts that wait.
    pub(super) fn parts(&self) -> u64 {
        self.parts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All messages, app by app, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.apps.values().flat_map(|flow| flow.queue.iter())
    }

    /// The oldest message of each app that has one.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &Entry> {
        self.apps.values().filter_map(|flow| flow.queue.first())
    }

    /// Apps with something waiting, and how many messages.
    pub(super) fn apps(&self) -> impl Iterator<Item = (AppId, usize)> {
        self.apps.iter().filter(|(_, flow)| !flow.queue.is_empty()).map(|(app, flow)| (*app, flow.queue.len()))
    }

    /// Messages of an app with ids above `after` up to `upto`, at most `most`.
    pub(super) fn after(&self, app: AppId, after: MessageId, upto: MessageId, most: usize) -> Vec<MessageId> {
        let queue = self.apps.get(&app).map(|flow| &flow.queue);
        queue
            .into_iter()
            .flat_map(|queue| queue.after(after))
            .map(|entry| entry.id)
            .take_while(|id| *id <= upto)
            .take(most)
            .collect()
    }

    /// The message whose turn it is; none while all apps with something to send must rest.
    pub(super) fn head(&self) -> Option<&Entry> {
        self.apps.get(&self.turn?.1)?.queue.first()
    }

    /// Apps whose rest is over take their turns again. Returns when the next one's is.
    pub(super) fn wake(&mut self, now: Time) -> Time {
        while let Some((until, app)) = self.resting.first().copied() {
            if until > now {
                return until;
            }
            self.resting.pop_first();
            self.stand(app);
        }
        Time::NEVER
    }

    /// The app whose turn it is gives it up until then.
    fn rest(&mut self, until: Time) {
        let Some((_, app)) = self.turn.take() else { return };
        self.turn = self.ready.pop_first();
        self.resting.insert((until, app));
        if let Some(flow) = self.apps.get_mut(&app) {
            flow.stand = Stand::Resting(until);
        }
    }

    fn insert(&mut self, entry: Entry) -> bool {
        let flow = self.apps.get_or_insert_with(entry.app, Box::default);
        if !flow.queue.insert(entry) {
            return false;
        }
        let first = flow.queue.len() == 1;
        self.len += 1;
        self.parts += u64::from(entry.parts);
        let until = entry.until();
        self.earliest = if self.len == 1 { until } else { self.earliest.min(until) };
        if first {
            self.stand(entry.app);
        }
        true
    }

    fn pop(&mut self) -> Option<Entry> {
        let (_, app) = self.turn?;
        let flow = self.apps.get_mut(&app)?;
        let entry = flow.queue.pop_first()?;
        let start = self.fair.serve(app, u64::from(entry.parts));
        self.turn = self.ready.pop_first();
        let more = !flow.queue.is_empty();
        flow.stand = if more { Stand::Ready(start) } else { Stand::Out };
        self.took(&entry);
        if more {
            self.line_up((start, app));
        } else {
            self.settle(app);
        }
        Some(entry)
    }

    fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.apps.values_mut().find_map(|flow| flow.queue.remove(id))?;
        Some(self.removed(entry))
    }

    fn remove_of(&mut self, app: AppId, id: MessageId) -> Option<Entry> {
        let entry = self.apps.get_mut(&app)?.queue.remove(id)?;
        Some(self.removed(entry))
    }

    fn removed(&mut self, entry: Entry) -> Entry {
        self.took(&entry);
        self.settle(entry.app);
        entry
    }

    fn expire(&mut self, now: Time, most: usize, out: &mut Vec<Entry>) {
        if self.earliest > now {
            return;
        }
        let from = out.len();
        let mut emptied = Vec::new();
        for (app, flow) in self.apps.iter_mut().filter(|(_, flow)| flow.queue.earliest() <= now) {
            flow.queue.expire(now, most, out);
            if flow.queue.is_empty() {
                emptied.push(*app);
            }
        }
        for entry in out.iter().skip(from) {
            self.len -= 1;
            self.parts -= u64::from(entry.parts);
        }
        for app in emptied {
            self.settle(app);
        }
        self.earliest = self.apps.values().map(|flow| flow.queue.earliest()).min().unwrap_or(Time::NEVER);
    }

    fn took(&mut self, entry: &Entry) {
        self.len -= 1;
        self.parts -= u64::from(entry.parts);
        if self.len == 0 {
            self.earliest = Time::NEVER;
        }
    }

    /// An app that is neither in line nor aside takes its place, if it has something to send.
    fn stand(&mut self, app: AppId) {
        let start = self.fair.start(&app);
        match self.apps.get_mut(&app) {
            Some(flow) if !flow.queue.is_empty() => {
                flow.stand = Stand::Ready(start);
                self.line_up((start, app));
            }
            Some(flow) => {
                flow.stand = Stand::Out;
                self.settle(app);
            }
            None => {}
        }
    }

    /// An app takes its place among those that have something to send.
    fn line_up(&mut self, place: (u64, AppId)) {
        match self.turn {
            Some(first) if first < place => drop(self.ready.insert(place)),
            first => {
                self.ready.extend(first);
                self.turn = Some(place);
            }
        }
    }

    /// An app with nothing left stands nowhere.
    fn settle(&mut self, app: AppId) {
        let Some(flow) = self.apps.get_mut(&app).filter(|flow| flow.queue.is_empty()) else { return };
        match std::mem::take(&mut flow.stand) {
            Stand::Ready(start) if self.turn == Some((start, app)) => self.turn = self.ready.pop_first(),
            Stand::Ready(start) => drop(self.ready.remove(&(start, app))),
            Stand::Resting(until) => drop(self.resting.remove(&(until, app))),
            Stand::Out => {}
        }
        if self.apps.len() > KEEP {
            self.apps.remove(&app);
        }
    }
}

/// Where a lane is kept, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot(usize);

/// All lanes. Those of the common class stay when empty, the others go.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Lanes where they are kept. One whose key is not known any more is empty, and free.
    spots: Vec<(LaneKey, Lane)>,
    by_key: BTreeMap<LaneKey, Spot>,
    free: Vec<Spot>,
    len: usize,
    /// Where the last message was put: those that come together mostly go together.
    lately: Option<Spot>,
    /// Where a message was last taken by its id: orders for many come app by app.
    last: Option<(Spot, AppId)>,
}

impl Lanes {
    /// Messages in all lanes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// By their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LaneKey, &Lane)> {
        self.by_key.values().filter_map(|spot| self.spots.get(spot.0)).map(|(key, lane)| (key, lane))
    }

    /// Wherever they are, in no order.
    pub(super) fn spots(&mut self) -> impl Iterator<Item = (Spot, &LaneKey, &mut Lane)> {
        self.spots.iter_mut().enumerate().map(|(at, (key, lane))| (Spot(at), &*key, lane))
    }

    /// The key of a lane.
    pub(super) fn key(&self, spot: Spot) -> Option<&LaneKey> {
        self.spots.get(spot.0).map(|(key, _)| key)
    }

    fn at(&mut self, spot: Spot) -> Option<&mut Lane> {
        self.spots.get_mut(spot.0).map(|(_, lane)| lane)
    }

    /// The message of a lane whose turn it is.
    pub(super) fn head(&self, spot: Spot) -> Option<&Entry> {
        self.spots.get(spot.0)?.1.head()
    }

    /// The app of the lane's head gives its turn up until then.
    pub(super) fn rest(&mut self, spot: Spot, until: Time) {
        if let Some(lane) = self.at(spot) {
            lane.rest(until);
        }
    }

    /// Puts a message into its lane, at its place by id; false if it is there already.
    pub(super) fn insert(&mut self, pending: Pending) -> bool {
        self.put(pending).1
    }

    /// Puts a message that just came into its common lane.
    pub(super) fn accept(&mut self, message: Message) {
        let known = self.lately.filter(|lately| {
            let fits = |key: &LaneKey| key.group == message.group && key.tier == message.tier && key.class.is_any();
            self.key(*lately).is_some_and(fits)
        });
        let spot = known.unwrap_or_else(|| self.spot(LaneKey::of(&message)));
        let new = self.at(spot).is_some_and(|lane| lane.insert(Entry::from(message)));
        self.len += usize::from(new);
    }

    /// As [`Lanes::insert`]; and which lane that is.
    pub(super) fn put(&mut self, pending: Pending) -> (Spot, bool) {
        let spot = self.spot(pending.lane);
        let new = self.at(spot).is_some_and(|lane| lane.insert(pending.entry));
        self.len += usize::from(new);
        (spot, new)
    }

    /// The lane of that key, made where there is none.
    fn spot(&mut self, key: LaneKey) -> Spot {
        if let Some(lately) = self.lately
            && self.key(lately) == Some(&key)
            && (key.class.is_any() || self.by_key.get(&key) == Some(&lately))
        {
            return lately;
        }
        let spot = match self.by_key.get(&key) {
            Some(spot) => *spot,
            None => {
                let spot = self.free.pop().unwrap_or(Spot(self.spots.len()));
                let lane = (key.clone(), Lane::default());
                match self.spots.get_mut(spot.0) {
                    Some(place) => *place = lane,
                    None => self.spots.push(lane),
                }
                self.by_key.insert(key, spot);
                spot
            }
        };
        self.lately = Some(spot);
        spot
    }

    /// Whether the message waits to be sent alone.
    pub(super) fn head_of_trials(&self, id: MessageId) -> bool {
        let mut trials = self.iter().filter(|(key, _)| key.class.alone);
        trials.any(|(_, lane)| lane.head().is_some_and(|first| first.id == id))
    }

    /// Takes a lane's head.
    pub(super) fn pop(&mut self, spot: Spot) -> Option<Entry> {
        let lane = self.at(spot)?;
        let entry = lane.pop();
        let emptied = lane.is_empty();
        self.len -= usize::from(entry.is_some());
        if emptied {
            self.tidy(spot);
        }
        entry
    }

    /// Takes a message by id, from whichever lane holds it. Costs a look at every app of every lane, unless it waits
    /// where the one before did.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Pending> {
        let again = self.last.and_then(|(spot, app)| Some((spot, self.at(spot)?.remove_of(app, id)?)));
        let anywhere = |lanes: &mut Lanes| {
            let mut lanes = lanes.spots().filter(|(_, _, lane)| !lane.is_empty());
            lanes.find_map(|(spot, _, lane)| Some((spot, lane.remove(id)?)))
        };
        let (spot, entry) = again.or_else(|| anywhere(self))?;
        self.last = Some((spot, entry.app));
        self.len -= 1;
        let lane = self.key(spot)?.clone();
        self.tidy(spot);
        Some(Pending { entry, lane })
    }

    /// A message by id, in whichever lane holds it.
    pub(super) fn find(&self, id: MessageId) -> Option<Pending> {
        let found = |(key, lane): (&LaneKey, &Lane)| {
            lane.apps.values().find_map(|flow| flow.queue.find(id)).map(|entry| (key.clone(), entry))
        };
        let (lane, entry) = self.iter().find_map(found)?;
        Some(Pending { entry, lane })
    }

    /// Takes at most `most` messages that may not be started any more.
    pub(super) fn expire(&mut self, now: Time, most: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        let mut emptied = Vec::new();
        for spot in self.by_key.values().copied() {
            let Some((_, lane)) = self.spots.get_mut(spot.0).filter(|(_, lane)| lane.earliest <= now) else { continue };
            lane.expire(now, most, &mut gone);
            emptied.extend(lane.is_empty().then_some(spot));
        }
        self.len -= gone.len();
        emptied.into_iter().for_each(|spot| self.tidy(spot));
        gone
    }

    /// Not later than the first expiry.
    pub(super) fn earliest(&self) -> Time {
        let lanes = self.spots.iter().filter(|(_, lane)| !lane.is_empty());
        lanes.map(|(_, lane)| lane.earliest).min().unwrap_or(Time::NEVER)
    }

    /// An empty lane that is not a common one goes.
    fn tidy(&mut self, spot: Spot) {
        let Some((key, lane)) = self.spots.get_mut(spot.0).filter(|(_, lane)| lane.is_empty()) else { return };
        if !key.class.is_any() && self.by_key.remove(key).is_some() {
            *lane = Lane::default();
            self.free.push(spot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(id: u64, class: Class) -> Pending {
        let entry = Entry {
            id: MessageId(id),
            accepted: Time(0),
            expires: Time(60_000_000),
            app: AppId(0),
            parts: 1,
            used: 0,
            doubtful: false,
            strikes: 0,
            again: Again::No,
        };
        Pending { entry, lane: LaneKey { group: GroupId(0), tier: TierId(0), class } }
    }

    #[test]
    fn a_message_is_found_by_id_in_any_lane_and_emptied_lanes_go() {
        let mut lanes = Lanes::default();
        let class = Class { avoid: Some(ChannelId(1)), ..Class::default() };
        lanes.insert(pending(1, Class::default()));
        lanes.insert(pending(2, class.clone()));
        assert_eq!(lanes.len(), 2);
        assert_eq!(lanes.remove(MessageId(2)).map(|p| p.entry.id), Some(MessageId(2)));
        assert_eq!(lanes.remove(MessageId(2)), None);
        assert_eq!((lanes.len(), lanes.iter().count()), (1, 1));
        assert_eq!(lanes.expire(Time(55_000_000), 10).len(), 1);
        assert_eq!((lanes.len(), lanes.iter().count()), (0, 1), "the common lane stays");
    }

    #[test]
    fn many_messages_are_found_by_id_wherever_they_wait_and_in_any_order() {
        let mut lanes = Lanes::default();
        let place = |id: u64| {
            let class =
                Class { avoid: (!id.is_multiple_of(3)).then_some(ChannelId(id as u16 % 3)), ..Class::default() };
            let mut pending = pending(id, class);
            pending.entry.app = AppId((id / 7 % 40) as u16);
            pending
        };
        // Every third has the lane of the one before, and mostly its app.
        for step in [1, 3, 611] {
            assert!((0..2_000).all(|id| lanes.insert(place(id))));
            for nth in 0..2_000 {
                let id = nth * step % 2_000;
                assert_eq!(lanes.remove(MessageId(id)), Some(place(id)));
                assert_eq!(lanes.remove(MessageId(id)), None);
            }
            assert_eq!((lanes.len(), lanes.iter().count()), (0, 1));
        }
    }

    #[test]
    fn a_message_is_given_up_while_the_carrier_could_still_use_its_time() {
        let mut entry = pending(1, Class::default()).entry;
        assert_eq!(entry.until(), Time(55_000_000), "five seconds before the end");
        entry.expires = Time(8_000_000);
        assert_eq!(entry.until(), Time(6_000_000), "a quarter of a short validity");
        entry.expires = Time(0);
        assert_eq!(entry.until(), Time(0));
    }

    fn of_app(id: u64, app: u16, parts: u8) -> Pending {
        let mut pending = pending(id, Class::default());
        (pending.entry.app, pending.entry.parts) = (AppId(app), parts);
        pending
    }

    #[test]
    fn apps_take_turns_by_parts_however_much_each_has_waiting() {
        let mut lanes = Lanes::default();
        let key = lanes.spot(of_app(0, 0, 1).lane);
        for id in 0..10_000 {
            lanes.insert(of_app(id, 0, 1));
        }
        for id in 10_000..10_100 {
            lanes.insert(of_app(id, 1, 4));
            lanes.insert(of_app(id + 100, 2, 1));
        }
        let mut parts = [0u32; 3];
        for _ in 0..150 {
            let entry = lanes.pop(key).unwrap();
            parts[usize::from(entry.app.0)] += u32::from(entry.parts);
        }
        let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
        assert!(most - least <= 4, "{parts:?}");
        lanes.insert(of_app(20_000, 3, 1));
        assert!((0..4).any(|_| lanes.pop(key).unwrap().app == AppId(3)), "a new app is served in its first round");
    }

    #[test]
    fn an_app_that_rests_is_passed_over_and_comes_back() {
        let mut lanes = Lanes::default();
        let key = lanes.spot(of_app(0, 0, 1).lane);
        for id in 0..6 {
            lanes.insert(of_app(id, (id % 2) as u16, 1));
        }
        lanes.rest(key, Time(50));
        assert_eq!((lanes.pop(key).map(|e| e.id.0), lanes.pop(key).map(|e| e.id.0)), (Some(1), Some(3)));
        lanes.remove(MessageId(5));
        assert_eq!(lanes.head(key), None, "all must rest");
        let lane = lanes.at(key).unwrap();
        assert_eq!(lane.wake(Time(49)), Time(50));
        assert_eq!((lane.wake(Time(50)), lane.len(), lane.parts()), (Time::NEVER, 3, 3));
        assert_eq!(lanes.pop(key).map(|e| e.id.0), Some(0));
        lanes.rest(key, Time(90));
        for id in [2, 4] {
            assert!(lanes.remove(MessageId(id)).is_some());
        }
        let lane = lanes.at(key).unwrap();
        assert!(lane.resting.is_empty() && lane.turn.is_none() && lane.ready.is_empty() && lane.is_empty());
    }
}
