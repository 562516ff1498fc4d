//! Events on their way to the courier, and those that wait for room there.

use super::endings::Untold;
use super::{Line, Pen};
use crate::callback::Notice;
use crate::config::plan::AppId;
use crate::ids::MessageId;
use crate::journal::record::Telling;

impl Line {
    /// The courier takes it from here and says so by [`super::Arrival::Told`].
    pub(super) fn tell_app(&mut self, id: MessageId, app: AppId, seq: u32) {
        let first = self.is_of_first_tier(id);
        if self.courier.room(app) == 0 || self.untold.get(&app).is_some_and(|untold| untold.is_before(first)) {
            return self.untold.entry(app).or_default().push(first, (id, seq));
        }
        self.hand_over(id, app, seq);
    }

    /// Hands on what had to wait for room at the courier.
    pub(super) fn retell(&mut self) {
        for app in self.untold.keys().copied().collect::<Vec<_>>() {
            for _ in 0..self.courier.room(app) {
                match self.untold.get_mut(&app).and_then(Untold::pop) {
                    Some((id, seq)) => self.hand_over(id, app, seq),
                    None => {
                        self.untold.remove(&app);
                        break;
                    }
                }
            }
        }
    }

    fn hand_over(&mut self, id: MessageId, app: AppId, seq: u32) {
        let company = |name: &str| self.fleet.company(name);
        let event = match self.report.received(id, company, |app| self.country(app)) {
            Some((kind, at, data)) => Some((kind, at, serde_json::to_string(&data))),
            None => {
                self.report.event(id, seq, company).map(|(kind, at, data)| (kind, at, serde_json::to_string(&data)))
            }
        };
        let event = event.and_then(|(kind, at, data)| Some((kind, at, data.ok()?)));
        match event {
            Some((kind, at, data)) => {
                let first = self.is_of_first_tier(id);
                self.courier.tell(Notice { app, id, seq, kind, at, data, first });
            }
            None => {
                // What cannot be told must not keep its message for ever.
                let now = self.clock.now();
                let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
                self.report.told(now, id, seq, Telling::Never, &mut pen);
            }
        }
    }
}
