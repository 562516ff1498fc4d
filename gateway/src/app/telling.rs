//! Events on their way to the courier, and those that wait for room there.

use super::endings::Untold;
use super::{Line, Pen};
use crate::callback::letter::{Event, EventRef};
use crate::callback::{Counter, Notice};
use crate::config::plan::AppId;
use crate::ids::MessageId;
use crate::journal::record::Telling;

impl Line {
    /// The courier takes them from here and says so by [`super::Arrival::Told`].
    pub(super) fn tell_apps(&mut self, events: Vec<(MessageId, AppId, u32)>) {
        if events.is_empty() {
            return;
        }
        let courier = self.courier.clone();
        let mut counter = courier.counter();
        for (id, app, seq) in events {
            let first = self.is_of_first_tier(id);
            if counter.room(app) == 0 || self.untold.get(&app).is_some_and(|untold| untold.is_before(first)) {
                self.untold.entry(app).or_default().push(first, (id, seq));
            } else {
                self.hand_over(&mut counter, (id, app, seq), first);
            }
        }
    }

    /// Hands on what had to wait for room at the courier.
    pub(super) fn retell(&mut self) {
        if self.untold.is_empty() {
            return;
        }
        let courier = self.courier.clone();
        let mut counter = courier.counter();
        for app in self.untold.keys().copied().collect::<Vec<_>>() {
            for _ in 0..counter.room(app) {
                match self.untold.get_mut(&app).and_then(Untold::pop) {
                    Some((id, seq)) => {
                        let first = self.is_of_first_tier(id);
                        self.hand_over(&mut counter, (id, app, seq), first);
                    }
                    None => {
                        self.untold.remove(&app);
                        break;
                    }
                }
            }
        }
    }

    fn hand_over(&mut self, counter: &mut Counter<'_>, (id, app, seq): (MessageId, AppId, u32), first: bool) {
        match self.event(id, seq) {
            Some(event) => counter.take(Notice { app, event, first }),
            None => {
                // What cannot be told must not keep its message for ever.
                let now = self.clock.now();
                let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
                self.report.told(now, id, seq, Telling::Never, &mut pen);
            }
        }
    }

    fn event(&self, id: MessageId, seq: u32) -> Option<Event> {
        let company = |name: &str| self.fleet.company(name);
        let owned = |name: &str| company(name).map(str::to_owned);
        if let Some((kind, at, data)) = self.report.received(id, owned, |app| self.country(app)) {
            return Event::render(EventRef { id, seq, at }, kind, &data);
        }
        let (kind, at, data) = self.report.event(id, seq, company)?;
        Some(Event::form(EventRef { id, seq, at }, kind, data.octets(), |json| data.write(json)))
    }
}
