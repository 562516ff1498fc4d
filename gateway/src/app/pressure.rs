//! Whether there is room for more: disk, memory, the line's own pace, and whether a message would leave in time. The
//! line writes it a few times a second, the doors read it for every message, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::service::HeldApps;
use crate::admit::{Ask, Busy, Gate, Wait};
use crate::clock::Time;
use crate::config::plan::{AppId, Plan, TierId};
use crate::switch::Prospect;

/// How long a client that was told 503 for pressure should wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Longest time told; prospects change.
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// A line whose turns are this late cannot keep up.
const LATE: Duration = Duration::from_millis(100);
/// It must have been late for so long, and in time again for so long, to count.
const LATE_FOR: Duration = Duration::from_secs(1);

/// Pressure as the line last saw it.
#[derive(Default)]
pub(super) struct Pressure {
    /// Journal use in percent.
    pub(super) journal: AtomicU8,
    /// The store is far behind.
    pub(super) behind: AtomicBool,
    /// The disk refuses.
    pub(super) failing: AtomicBool,
    /// The line is late: the lowest tier is refused.
    pub(super) late: AtomicBool,
    /// Messages not yet forgotten.
    pub(super) messages: AtomicUsize,
    draining: AtomicBool,
    marks: ArcSwap<Marks>,
    prospects: ArcSwap<Prospects>,
    /// Apps that operators hold.
    pub(super) held: ArcSwap<HeldApps>,
}

/// What a plan says about pressure.
#[derive(Default)]
struct Marks {
    /// Most messages not yet forgotten.
    most: usize,
    /// By tier: use of journal and messages in percent at which it is refused.
    shed: Vec<u8>,
    /// The tier that goes first where something must; none where there is but one.
    lowest: Option<TierId>,
}

/// What messages would have to wait, as of a time.
#[derive(Default)]
struct Prospects {
    at: Time,
    by_group: Prospect,
}

impl Pressure {
    /// The marks of a plan are in force from now on.
    pub(super) fn follow(&self, plan: &Plan) {
        let mut shed = vec![0; plan.names.tiers.len()];
        for tier in &plan.tiers {
            if let Some(mark) = shed.get_mut(usize::from(tier.id.0)) {
                *mark = tier.shed_at;
            }
        }
        // Names stay when tiers leave; the plan's own tiers count.
        let lowest = plan.tiers.last().filter(|_| plan.tiers.len() > 1).map(|tier| tier.id);
        self.marks.store(Arc::new(Marks { most: plan.node.max_messages, shed, lowest }));
    }

    /// What messages have to wait from now on.
    pub(super) fn foresee(&self, now: Time, by_group: Prospect) {
        self.prospects.store(Arc::new(Prospects { at: now, by_group }));
    }

    /// Nothing is taken any more.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Why nothing at all is taken, if so.
    pub(super) fn closed(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            Some("draining")
        } else if self.failing.load(Ordering::Relaxed) {
            Some("disk")
        } else {
            None
        }
    }

    /// Why a tier is refused for want of room, if so. Of the messages there may be, each tier has as much as it has of
    /// the journal; the last 5 % are nobody's share but the highest tier's up to the limit.
    pub(super) fn sheds(&self, tier: TierId) -> Option<&'static str> {
        self.sheds_behind(tier, 0)
    }

    /// The same for a message that comes in behind so many others of its own request.
    fn sheds_behind(&self, tier: TierId, ahead: u32) -> Option<&'static str> {
        let marks = self.marks.load();
        let shed = marks.shed.get(usize::from(tier.0)).copied().unwrap_or(0);
        let messages = self.messages.load(Ordering::Relaxed).saturating_add(ahead as usize);
        let room = if marks.first(tier) { marks.most } else { marks.most.saturating_mul(usize::from(shed)) / 100 };
        if self.behind.load(Ordering::Relaxed) {
            Some("store")
        } else if self.journal.load(Ordering::Relaxed) >= shed {
            Some("journal")
        } else if messages >= room {
            Some("messages")
        } else if self.late.load(Ordering::Relaxed) && marks.lowest == Some(tier) {
            Some("late")
        } else {
            None
        }
    }

    /// Whether a message would have to wait for longer than half its validity.
    fn hopeless(&self, ask: &Ask) -> Option<Busy> {
        let prospects = self.prospects.load();
        let outlook = prospects.by_group.get(&(ask.group, ask.tier))?;
        let down = outlook.down_since.map_or(Duration::ZERO, |since| prospects.at.since(since));
        let patience = ask.valid_for / 2;
        // Apps take turns: what others have waiting does not keep this one waiting for all of it.
        let behind = f64::from(ask.ahead) / outlook.pace.max(0.001);
        let wait = outlook.wait_of(ask.app).saturating_add(Duration::from_secs_f64(behind));
        let over = (wait + down).checked_sub(patience).filter(|over| !over.is_zero())?;
        let numbers = Wait { wait, parts_ahead: outlook.parts_ahead, pace: outlook.pace, down };
        let retry_after = over.clamp(RETRY_AFTER, LONGEST_RETRY);
        let reason = if down.is_zero() { "wait" } else { "down" };
        Some(Busy { reason, retry_after, wait: Some(numbers) })
    }
}

impl Marks {
    /// Whether no tier is refused later: it may fill what there is.
    fn first(&self, tier: TierId) -> bool {
        let own = self.shed.get(usize::from(tier.0)).copied().unwrap_or(0);
        own > 0 && self.shed.iter().all(|shed| *shed <= own)
    }
}

impl Gate for Pressure {
    fn admit(&self, ask: &Ask) -> Result<(), Busy> {
        if let Some(reason) = self.closed().or_else(|| self.sheds_behind(ask.tier, ask.ahead)) {
            return Err(Busy { reason, retry_after: RETRY_AFTER, wait: None });
        }
        self.hopeless(ask).map_or(Ok(()), Err)
    }

    fn held(&self, app: AppId) -> Option<Arc<str>> {
        self.held.load().get(&app).cloned()
    }
}

/// Whether the line keeps up, by how late its own ticks come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lateness {
    /// Since when ticks have been late, or in time again, unlike what is told.
    turned: Option<Time>,
    late: bool,
}

impl Lateness {
    /// A tick came that much later than it should have. Returns whether the line is late.
    pub(super) fn tick(&mut self, now: Time, by: Duration) -> bool {
        if (by > LATE) == self.late {
            self.turned = None;
        } else if now.since(*self.turned.get_or_insert(now)) >= LATE_FOR {
            (self.late, self.turned) = (!self.late, None);
        }
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::GroupId;
    use crate::switch::Outlook;

    const TIERS: [TierId; 3] = [TierId(0), TierId(1), TierId(2)];

    fn pressure() -> Pressure {
        let pressure = Pressure::default();
        let marks = Marks { most: 1_000, shed: vec![95, 80, 70], lowest: Some(TierId(2)) };
        pressure.marks.store(Arc::new(marks));
        pressure
    }

    fn ask(tier: TierId, app: u16, valid_for: u64) -> Ask {
        Ask { app: AppId(app), tier, group: GroupId(0), valid_for: Duration::from_secs(valid_for), ahead: 0 }
    }

    #[test]
    fn marketing_alone_cannot_use_all_messages_there_may_be() {
        let pressure = pressure();
        let shed = |messages| {
            pressure.messages.store(messages, Ordering::Relaxed);
            TIERS.map(|tier| pressure.sheds(tier).is_some())
        };
        assert_eq!(shed(699), [false; 3]);
        assert_eq!(shed(700), [false, false, true]);
        assert_eq!(shed(800), [false, true, true]);
        assert_eq!(shed(999), [false, true, true], "the first tier may fill it");
        assert_eq!(shed(1_000), [true; 3]);
    }

    #[test]
    fn a_line_that_is_late_refuses_the_lowest_tier_only() {
        let (pressure, mut lateness) = (pressure(), Lateness::default());
        let (ms, at) = (Duration::from_millis, |ms: u64| Time(ms * 1_000));
        for (now, by, late) in [
            (0, 300, false),
            (900, 300, false),
            (1_000, 101, true),
            (1_200, 0, true),
            (1_400, 300, true),
            (1_600, 0, true),
            (2_600, 100, false),
        ] {
            assert_eq!(lateness.tick(at(now), ms(by)), late, "at {now}");
        }
        pressure.late.store(true, Ordering::Relaxed);
        assert_eq!(TIERS.map(|tier| pressure.sheds(tier)), [None, None, Some("late")]);
    }

    #[test]
    fn what_cannot_leave_within_half_its_validity_is_refused() {
        let pressure = pressure();
        let outlook = Outlook {
            parts_ahead: 30_000,
            pace: 100.0,
            wait: Duration::from_secs(300),
            apps: [(AppId(0), Duration::from_secs(300)), (AppId(1), Duration::from_secs(10))].into(),
            newcomer: Duration::from_secs(1),
            down_since: None,
            rated: [(AppId(3), Duration::from_secs(301))].into(),
        };
        pressure.foresee(Time(0), [((GroupId(0), TierId(1)), outlook.clone())].into());
        let refused = |ask: Ask| pressure.admit(&ask).err();
        assert_eq!(refused(ask(TierId(1), 0, 600)), None, "half of 600 s is enough");
        let busy = refused(ask(TierId(1), 0, 400)).unwrap();
        assert_eq!((busy.reason, busy.retry_after), ("wait", Duration::from_secs(100)));
        let wait = busy.wait.unwrap();
        assert_eq!((wait.parts_ahead, wait.pace, wait.wait), (30_000, 100.0, Duration::from_secs(300)));
        assert_eq!(refused(ask(TierId(1), 1, 400)), None, "an app with little waiting");
        assert_eq!(refused(ask(TierId(1), 2, 400)), None, "an app with nothing waiting");
        assert_eq!(refused(ask(TierId(0), 0, 400)), None, "another tier");
        let busy = refused(ask(TierId(1), 3, 600)).unwrap();
        assert_eq!(busy.wait.unwrap().wait, Duration::from_secs(301), "its own rate keeps it waiting");
        assert_eq!(refused(ask(TierId(1), 3, 602)), None);

        let behind = |ahead, valid_for| refused(Ask { ahead, ..ask(TierId(1), 1, valid_for) });
        assert_eq!(behind(500, 30), None, "its own request keeps it waiting for 5 s more");
        assert_eq!(behind(501, 30).unwrap().reason, "wait");
        assert_eq!((behind(799, 400), behind(800, 400).unwrap().reason), (None, "messages"), "and takes up room");

        let empty = Outlook { pace: 100.0, down_since: Some(Time(0)), ..Outlook::default() };
        let down = |seconds: u64| {
            let at = Time(0).after(Duration::from_secs(seconds));
            pressure.foresee(at, [((GroupId(0), TierId(1)), empty.clone())].into());
            refused(ask(TierId(1), 2, 400)).map(|busy| (busy.reason, busy.wait.unwrap().down.as_secs()))
        };
        assert_eq!((down(200), down(201)), (None, Some(("down", 201))));
    }
}
