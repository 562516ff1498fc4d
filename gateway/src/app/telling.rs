//! Events on their way to the courier, and those that wait for room there.

use super::endings::Untold;
use super::{Line, Pen};
use crate::callback::letter::{EventRef, Page};
use crate::callback::{Counter, Notice};
use crate::clock::Moment;
use crate::config::plan::AppId;
use crate::ids::MessageId;
use crate::journal::record::Telling;

impl Line {
    /// The courier takes them from here and says so by [`super::Arrival::Told`]; those that need no call end at once.
    pub(super) fn tell_apps(&mut self, now: Moment, events: &mut Vec<(MessageId, AppId, u32)>) {
        if events.is_empty() {
            return;
        }
        let courier = self.courier.clone();
        let (mut counter, mut page) = (courier.counter(), Page::default());
        for (id, app, seq) in events.drain(..) {
            let first = self.is_of_first_tier(id);
            if counter.room(app) == 0 || self.untold.get(&app).is_some_and(|untold| untold.is_before(first)) {
                self.untold.entry(app).or_default().push(first, (id, seq));
            } else {
                self.hand_over(now, &mut counter, (id, app, seq), first, &mut page);
            }
        }
    }

    /// Hands on what had to wait for room at the courier.
    pub(super) fn retell(&mut self, now: Moment) {
        if self.untold.is_empty() {
            return;
        }
        let courier = self.courier.clone();
        let (mut counter, mut page) = (courier.counter(), Page::default());
        for app in self.untold.keys().copied().collect::<Vec<_>>() {
            for _ in 0..counter.room(app) {
                match self.untold.get_mut(&app).and_then(Untold::pop) {
                    Some((id, seq)) => {
                        let first = self.is_of_first_tier(id);
                        self.hand_over(now, &mut counter, (id, app, seq), first, &mut page);
                    }
                    None => {
                        self.untold.remove(&app);
                        break;
                    }
                }
            }
        }
    }

    fn hand_over(
        &mut self,
        now: Moment,
        counter: &mut Counter<'_>,
        (id, app, seq): (MessageId, AppId, u32),
        first: bool,
        page: &mut Page,
    ) {
        if let Some(end) = counter.needless(app, id, seq) {
            let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
            return match end {
                Telling::Never => self.report.unwanted(now, id, seq, &mut pen),
                // Its letter may be gone when the journal is read again.
                end => self.report.told(now, id, seq, end, &mut pen),
            };
        }
        match self.write_event(id, seq, page) {
            Some(which) => counter.take(Notice { app, which, json: page.json(), first }),
            None => {
                // What cannot be told must not keep its message for ever.
                let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
                self.report.told(now, id, seq, Telling::Never, &mut pen);
            }
        }
    }

    fn write_event(&self, id: MessageId, seq: u32, page: &mut Page) -> Option<EventRef> {
        let company = |name: &str| self.fleet.company(name);
        if let Some((kind, at, data)) = self.report.event(id, seq, company) {
            let which = EventRef { id, seq, at };
            page.write(which, kind, |json| data.write(json));
            return Some(which);
        }
        // What a handset wrote.
        let owned = |name: &str| company(name).map(str::to_owned);
        let (kind, at, data) = self.report.received(id, owned, |app| self.country(app))?;
        let (which, content) = (EventRef { id, seq, at }, serde_json::to_vec(&data).ok()?);
        page.write(which, kind, |json| json.extend_from_slice(&content));
        Some(which)
    }
}
