//! OUT, second half: an attempt that the switch ordered is split into its parts, written down and sent.

use carriers::{Mt, Options, Part, Ticket};
use link::ToLink;

use super::{Line, Pen, Start, accepted};
use crate::clock::{Moment, Time};
use crate::config::plan::{ChannelId, TierId};
use crate::journal::record::{Attempt, Content};
use crate::report;
use crate::report::Place;
use crate::report::state::{Detail, Live};
use crate::switch::{Event, Home, NotStarted};

/// What becomes of an order to start an attempt.
pub(super) enum Prepared {
    /// Its parts go out. For a message's first attempt also what the report keeps of it, and where the app's own it is,
    /// its tier and since when it has waited.
    Ready(Vec<Part>, Option<Box<Detail>>, Option<(TierId, Time)>),
    /// By the routes of now the message belongs elsewhere.
    Moved(Home),
    /// Nothing of it can go.
    Not(NotStarted),
}

impl Line {
    /// Splits an attempt's body for its channel.
    pub(super) fn prepare(&self, now: Moment, start: &Start, live: Option<&Live>, body: Option<&[u8]>) -> Prepared {
        let Some((body, content)) = body.and_then(|body| Some((body, Content::of(body)?))) else {
            return Prepared::Not(NotStarted::BodyLost);
        };
        let Some(member) = self.fleet.of(start.link) else { return Prepared::Not(NotStarted::Retry) };
        // What is left of an attempt follows its first parts.
        if start.only == u64::MAX
            && let Some(home) = live.and_then(|live| self.overdue(live, || accepted(body)))
        {
            return Prepared::Moved(home);
        }
        let mt = Mt {
            to: content.to,
            sender: content.sender,
            text: content.text,
            valid_for: start.expires.since(now.time),
            until: None,
            receipt: true,
            reference: start.attempt.short(),
            options: Options::read(content.options),
        };
        // Our own code may fail on a text nobody thought of: that must cost this message only.
        let split = std::panic::AssertUnwindSafe(|| member.profile.split(&mt));
        match std::panic::catch_unwind(split) {
            // Of a continued attempt only the named parts were reserved.
            Ok(Ok(parts)) if named(&parts, start.only) <= usize::from(start.parts) => {
                let first = live.filter(|live| live.detail.is_none());
                let fresh = first.map(|_| Box::new(Detail::new(content.to, content.client_ref)));
                let first = first.filter(|live| !self.is_patrol(live.app)).map(|live| (live.tier, live.since));
                Prepared::Ready(parts, fresh, first)
            }
            Ok(Ok(parts)) => Prepared::Not(NotStarted::Parts(u8::try_from(parts.len()).unwrap_or(u8::MAX))),
            Ok(Err(_)) => Prepared::Not(NotStarted::Unsendable),
            Err(_) => Prepared::Not(NotStarted::Panicked),
        }
    }

    /// Writes an attempt down that is ready, to be sent with the others of this turn; else says why not.
    pub(super) fn begin(&mut self, now: Moment, start: Start, prepared: Prepared) {
        let refused = match prepared {
            Prepared::Ready(parts, fresh, first) => return self.outgoing(now, start, parts, fresh, first),
            Prepared::Moved(home) => {
                self.relocate(now, start.message, home);
                NotStarted::Moved
            }
            Prepared::Not(why) => why,
        };
        self.tell_switch(now, Event::NotStarted(start.attempt, refused));
    }

    fn outgoing(
        &mut self,
        now: Moment,
        start: Start,
        parts: Vec<Part>,
        fresh: Option<Box<Detail>>,
        first: Option<(TierId, Time)>,
    ) {
        let channel = ChannelId(start.link.channel);
        let names = &self.plan.names;
        let attempt = Attempt {
            at: now.wall,
            attempt: start.attempt,
            channel: names.channels.get(usize::from(channel.0)).map_or("", |n| n),
            parts: u8::try_from(parts.len()).unwrap_or(u8::MAX),
            only: start.only,
            because: report::history::because(&start.why, names),
        };
        let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
        if !self.report.started(now, (start.message, start.expires), &attempt, channel, fresh, &mut pen) {
            return self.tell_switch(now, Event::NotStarted(start.attempt, NotStarted::Retry));
        }
        self.rounds.started(start.message, start.attempt);
        if let Some(member) = self.fleet.member(channel) {
            for part in &parts {
                if let Some(id) = member.profile.early_id(start.attempt, part.index) {
                    let place = Place { message: start.message, attempt: start.attempt, part: part.index };
                    self.report.expected(place, id);
                }
            }
        }
        if let Some((tier, since)) = first {
            self.meters.waited(tier, since, now, start.message);
        }
        self.outgoing.push((start, parts));
    }

    /// Writes this turn's attempts down in one go, then hands their parts to the links.
    pub(super) fn send(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        let written = self.write_out().is_ok();
        self.unwritten = false;
        // The turn may have taken a while, the disk above all: the carrier's second begins now.
        let now = self.clock.now();
        let mut outgoing = std::mem::take(&mut self.outgoing);
        for (start, parts) in outgoing.drain(..) {
            if !written {
                self.metrics.journal_failures.inc();
            }
            if !written || !self.switch.stands(start.attempt) {
                self.unsent(now, start);
                continue;
            }
            let mut sent = 0u8;
            for part in parts {
                if !is_named(&part, start.only) {
                    continue;
                }
                sent = sent.saturating_add(1);
                let ticket = Ticket::new(start.attempt, part.index);
                self.fleet.push(start.link, ToLink::Submit(ticket, start.attempt, part));
            }
            self.meters.started(ChannelId(start.link.channel), sent);
            self.tell_switch(now, Event::Started(start.attempt, sent));
        }
        self.outgoing = outgoing;
        self.fleet.flush();
    }

    /// The attempt could not be written down, or its link was lost meanwhile, so nothing of it may leave.
    fn unsent(&mut self, now: Moment, start: Start) {
        let mut pen = Pen::new(&self.journal, &mut self.draft, &mut self.unwritten);
        self.report.unsent(now, (start.message, start.attempt), start.only, &mut pen);
        self.tell_switch(now, Event::NotStarted(start.attempt, NotStarted::Retry));
    }
}

/// How many of the parts go out.
fn named(parts: &[Part], only: u64) -> usize {
    parts.iter().filter(|p| is_named(p, only)).count()
}

/// Whether the part is one of those named.
fn is_named(part: &Part, only: u64) -> bool {
    only.checked_shr(u32::from(part.index)).is_some_and(|only| only & 1 == 1)
}
