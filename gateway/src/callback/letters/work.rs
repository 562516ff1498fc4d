//! How orders are carried out: what each changes on the shelf, in the sums, and what is said of it.

use std::sync::Arc;

use super::super::letter::{Letter, Place};
use super::super::shelf::{Changes, Cursor, Entry, Shelf};
use super::{Answer, Keeper, Order, Totals, Which, lock};
use crate::clock::Wall;
use crate::ids::MessageId;

/// Letters moved or dropped at a time, so that no order keeps others waiting.
const PIECE: usize = 200;
const FIRST: Place = Place { due: Wall(0), number: MessageId(0) };
pub(super) const FIRST_DEAD: Cursor = Cursor { died: Wall(0), number: MessageId(0) };

/// A round being carried out.
pub(super) struct Work<'k> {
    pub(super) shelf: Shelf,
    pub(super) changes: Changes,
    pub(super) now: Wall,
    pub(super) keeper: &'k mut Keeper,
}

impl Work<'_> {
    pub(super) fn carry_out(&mut self, app: &Arc<str>, order: &Order) -> Result<(), String> {
        match order {
            Order::Keep(letter, _) => self.keep(app, letter, false),
            Order::KeepDead(letter) => self.keep(app, letter, true),
            Order::Again(letter) => self.keep_again(app, letter),
            Order::Fetch(by, most) => self.fetch(app, *by, *most),
            Order::PutOff(letter, due) => self.put_off(app, letter, *due),
            Order::Bury(letter) => self.bury(app, letter),
            Order::Delivered(letter) => self.delivered(app, letter),
            Order::Return(places) => {
                for place in places {
                    self.keeper.out.remove(&place.number);
                    self.front(app, *place);
                }
                Ok(())
            }
            Order::BuryOverdue(before, why) => self.bury_overdue(app, *before, why),
            Order::Resend(which) => self.resend(app, *which),
            Order::Gone(mark) => {
                self.changes.gone(app, mark.as_ref());
                Ok(())
            }
            Order::Replaying(underway) => {
                self.changes.replaying(app, underway.as_ref());
                Ok(())
            }
            Order::Limits(quota, keep_dead) => {
                (self.keeper.quota, self.keeper.keep_dead) = (*quota, *keep_dead);
                self.trim()
            }
            Order::Purge => self.purge(app),
        }
    }

    fn totals(&self, app: &Arc<str>, change: impl FnOnce(&mut Totals)) {
        change(lock(&self.keeper.shared.totals).entry(app.clone()).or_default());
    }

    /// No letter of the app lies before this place, or before one that is known to be earlier.
    fn front(&mut self, app: &Arc<str>, place: Place) {
        if let Some(front) = self.keeper.fronts.get_mut(app) {
            *front = (*front).min(place);
        }
    }

    /// The letters of an app from the first one on.
    fn waiting(
        &mut self,
        app: &Arc<str>,
    ) -> Result<impl Iterator<Item = Result<(Place, Entry), String>> + use<>, String> {
        self.changes.flush()?;
        Ok(self.shelf.waiting(app, self.keeper.fronts.get(app).copied().unwrap_or(FIRST)))
    }

    fn keep(&mut self, app: &Arc<str>, letter: &Letter, dead: bool) -> Result<(), String> {
        let answer = if self.store(app, letter, dead)? { Answer::Kept } else { Answer::NoRoom };
        self.keeper.said.push(answer(app.clone(), letter.events.clone()));
        Ok(())
    }

    fn keep_again(&mut self, app: &Arc<str>, letter: &Letter) -> Result<(), String> {
        let answer = if self.store(app, letter, false)? {
            Answer::Waits(app.clone(), self.now)
        } else {
            Answer::Dropped(app.clone(), letter.events.len() as u64)
        };
        self.keeper.said.push(answer);
        Ok(())
    }

    /// Writes a letter to where it is to lie; false where there is no room for it.
    fn store(&mut self, app: &Arc<str>, letter: &Letter, dead: bool) -> Result<bool, String> {
        let Some(place) = letter.place else { return Ok(false) };
        let entry = Entry::of(letter);
        // Carried out before a failure, it is there already.
        if self.shelf.has_body(place.number)? {
            return Ok(true);
        }
        if !self.make_room(app, entry.octets())? {
            return Ok(false);
        }
        self.changes.body(place.number, &letter.body);
        if dead {
            self.dies(app, place, &entry)?
        } else {
            self.waits(app, place, &entry)?
        }
        Ok(true)
    }

    /// Drops an app's oldest letters, dead ones first, until so many octets fit; false where nothing more can go.
    fn make_room(&mut self, app: &Arc<str>, octets: u64) -> Result<bool, String> {
        let quota = self.keeper.quota;
        let excess = |work: &Self| {
            let held = lock(&work.keeper.shared.totals).get(app).copied().unwrap_or_default();
            (held.octets + octets > quota).then_some(held)
        };
        if octets > quota {
            return Ok(false);
        }
        let mut dropped = 0;
        while excess(self).is_some_and(|held| held.dead > 0) {
            dropped += self.drop_dead(app, 1, |_| true)?.1;
        }
        if excess(self).is_some() {
            dropped += self.drop_waiting(app, |work| excess(work).is_some())?;
        }
        if dropped > 0 {
            self.keeper.said.push(Answer::Dropped(app.clone(), dropped));
        }
        Ok(excess(self).is_none())
    }

    /// Drops an app's waiting letters, those due first and not out first, while there are too many; how many events
    /// were in them.
    fn drop_waiting(&mut self, app: &Arc<str>, too_many: impl Fn(&Self) -> bool) -> Result<u64, String> {
        let (mut count, mut events, mut front) = (0, 0, None);
        for item in self.waiting(app)? {
            let (place, entry) = item?;
            if !too_many(self) {
                front.get_or_insert(place);
                break;
            }
            if self.keeper.out.contains(&place.number) {
                front.get_or_insert(place);
                continue;
            }
            self.changes.no_longer_waits(app, place);
            self.changes.no_body(place.number);
            self.totals(app, |totals| totals.remove(&entry, false));
            (count, events) = (count + 1, events + entry.event_count());
            if count % PIECE == 0 {
                self.changes.flush()?;
            }
        }
        if let Some(front) = front {
            self.keeper.fronts.insert(app.clone(), front);
        }
        Ok(events)
    }

    /// Drops what is over the quota of apps that nothing comes for: it was lowered.
    fn trim(&mut self) -> Result<(), String> {
        let quota = self.keeper.quota;
        let apps = lock(&self.keeper.shared.totals).clone();
        for (app, held) in apps.into_iter().filter(|(_, held)| held.octets > quota) {
            self.make_room(&app, 0)?;
            let left = lock(&self.keeper.shared.totals).get(&app).copied().unwrap_or_default();
            let (letters, events) = (held.waiting - left.waiting, held.waiting_events - left.waiting_events);
            if letters > 0 {
                tracing::warn!(
                    app = &*app,
                    letters,
                    events,
                    quota,
                    "the lowered callback quota has cost waiting letters; replay what is missed"
                );
            }
        }
        Ok(())
    }

    /// Drops an app's oldest dead letters while they are `old`, at most so many; how many those were, and their events.
    fn drop_dead(&mut self, app: &Arc<str>, most: usize, old: impl Fn(Wall) -> bool) -> Result<(usize, u64), String> {
        self.changes.flush()?;
        let (mut count, mut events) = (0, 0);
        let from = self.keeper.first_dead.get(app).copied().unwrap_or(FIRST_DEAD);
        for item in self.shelf.dead(app, from) {
            let (at, entry) = item?;
            self.keeper.first_dead.insert(app.clone(), at);
            if count >= most || !old(at.died) {
                return Ok((count, events));
            }
            (count, events) = (count + 1, events + entry.event_count());
            self.changes.no_longer_dead(app, at);
            self.changes.no_body(at.number);
            self.totals(app, |totals| totals.remove(&entry, true));
        }
        if count == 0 {
            // Nothing is left, whatever the sums say.
            self.totals(app, |totals| (totals.dead, totals.dead_events) = (0, 0));
        }
        Ok((count, events))
    }

    fn purge(&mut self, app: &Arc<str>) -> Result<(), String> {
        let keep = u64::try_from(self.keeper.keep_dead.as_millis()).unwrap_or(u64::MAX);
        let before = self.now.0.saturating_sub(keep);
        let (dropped, _) = self.drop_dead(app, PIECE, |died| died.0 < before)?;
        if dropped == PIECE {
            self.keeper.more.push((app.clone(), Order::Purge));
        }
        if dropped > 0 {
            tracing::info!(app = &**app, letters = dropped, "dead letters were kept long enough and are dropped");
        }
        Ok(())
    }

    fn fetch(&mut self, app: &Arc<str>, by: Wall, most: usize) -> Result<(), String> {
        let (mut letters, mut next, mut front) = (Vec::new(), None, None);
        for item in self.waiting(app)? {
            let (place, entry) = item?;
            front.get_or_insert(place);
            if self.keeper.out.contains(&place.number) {
                continue;
            }
            if place.due > by || letters.len() >= most {
                next = Some(place.due);
                break;
            }
            match self.shelf.body(place.number)? {
                Some(body) => letters.push(entry.letter(place, body)),
                None => {
                    tracing::error!(app = &**app, letter = %place.number, "a letter has lost its body; it is dropped");
                    self.changes.no_longer_waits(app, place);
                    self.totals(app, |totals| totals.remove(&entry, false));
                }
            }
        }
        if let Some(front) = front {
            self.keeper.fronts.insert(app.clone(), front);
        }
        self.keeper.out.extend(letters.iter().filter_map(|letter| Some(letter.place?.number)));
        self.keeper.said.push(Answer::Fetched(app.clone(), letters, next));
        Ok(())
    }

    /// Takes a letter that was out from where it lies, if it still lies there.
    fn take(&mut self, app: &Arc<str>, letter: &Letter) -> Result<Option<(Place, Entry)>, String> {
        let Some(place) = letter.place else { return Ok(None) };
        self.keeper.out.remove(&place.number);
        let Some(entry) = self.shelf.find_waiting(app, place)? else { return Ok(None) };
        self.changes.no_longer_waits(app, place);
        self.totals(app, |totals| totals.remove(&entry, false));
        Ok(Some((place, entry)))
    }

    fn put_off(&mut self, app: &Arc<str>, letter: &Letter, due: Wall) -> Result<(), String> {
        let Some((old, _)) = self.take(app, letter)? else { return Ok(()) };
        self.waits(app, Place { due, ..old }, &Entry::of(letter))
    }

    fn waits(&mut self, app: &Arc<str>, place: Place, entry: &Entry) -> Result<(), String> {
        self.changes.wait(app, place, entry)?;
        self.front(app, place);
        self.totals(app, |totals| totals.add(entry, false));
        Ok(())
    }

    fn bury(&mut self, app: &Arc<str>, letter: &Letter) -> Result<(), String> {
        let Some((place, _)) = self.take(app, letter)? else { return Ok(()) };
        self.dies(app, place, &Entry::of(letter))
    }

    fn dies(&mut self, app: &Arc<str>, place: Place, entry: &Entry) -> Result<(), String> {
        let at = Cursor { died: self.now, number: place.number };
        self.changes.die(app, at, entry)?;
        if let Some(first) = self.keeper.first_dead.get_mut(app) {
            *first = (*first).min(at);
        }
        self.totals(app, |totals| totals.add(entry, true));
        Ok(())
    }

    fn delivered(&mut self, app: &Arc<str>, letter: &Letter) -> Result<(), String> {
        if let Some((place, _)) = self.take(app, letter)? {
            self.changes.no_body(place.number);
        }
        Ok(())
    }

    fn bury_overdue(&mut self, app: &Arc<str>, before: Wall, why: &'static str) -> Result<(), String> {
        let (mut count, mut events) = (0, 0);
        for item in self.waiting(app)? {
            let (place, entry) = item?;
            if self.keeper.out.contains(&place.number) {
                continue;
            }
            if entry.since() >= before {
                break;
            }
            if count >= PIECE {
                self.keeper.more.push((app.clone(), Order::BuryOverdue(before, why)));
                break;
            }
            (count, events) = (count + 1, events + entry.event_count());
            self.changes.no_longer_waits(app, place);
            self.totals(app, |totals| totals.remove(&entry, false));
            self.dies(app, place, &entry.died(why))?;
        }
        if count > 0 {
            tracing::warn!(app = &**app, letters = count, reason = why, "letters are dead");
            self.keeper.said.push(Answer::Died(app.clone(), events));
        }
        Ok(())
    }

    fn resend(&mut self, app: &Arc<str>, which: Which) -> Result<(), String> {
        self.changes.flush()?;
        let mut count = 0;
        for item in self.shelf.dead(app, FIRST_DEAD) {
            let (at, entry) = item?;
            match which {
                Which::One(number) if number != at.number => continue,
                Which::All(before) if at.died >= before => break,
                Which::All(_) if count >= PIECE => {
                    self.keeper.more.push((app.clone(), Order::Resend(which)));
                    break;
                }
                _ => {}
            }
            count += 1;
            self.changes.no_longer_dead(app, at);
            self.totals(app, |totals| totals.remove(&entry, true));
            self.waits(app, Place { due: self.now, number: at.number }, &entry.again(self.now))?;
            if matches!(which, Which::One(_)) {
                break;
            }
        }
        // Said even if there is none: a round that failed may have moved them before this one.
        self.keeper.said.push(Answer::Waits(app.clone(), self.now));
        Ok(())
    }
}
