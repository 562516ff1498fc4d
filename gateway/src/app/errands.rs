//! What operators order about messages that wait: end them, or have them wait for another group. Done in pieces, one
//! per turn, so that a million of them stop nobody; answered with counts when it is done. Written to the log.

use std::collections::VecDeque;

use serde::Serialize;
use tokio::sync::oneshot;
use tracing::info;

use super::{Line, Purpose, accepted, orders};
use crate::clock::Moment;
use crate::config::plan::GroupId;
use crate::ids::MessageId;
use crate::journal::bodies::Wanted;
use crate::switch::{Cursor, Event, Selection};

/// Bodies read at once.
const PIECE: usize = 512;
/// Orders that may wait for the one under way.
const MOST: usize = 16;

/// An order about messages that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOrder {
    /// What is to be done.
    pub action: Action,
    /// Of this group; absent: of any.
    pub group: Option<String>,
    /// Of this tier; absent: of any.
    pub tier: Option<String>,
    /// Of this app; absent: of any.
    pub app: Option<String>,
    /// Of the batch with this id and so many messages; absent: of any or none.
    pub batch: Option<(MessageId, u16)>,
    /// Why, for the log.
    pub reason: String,
}

/// What is to be done with messages that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No further attempt: they end as expired, with the reason `operator`.
    Expire,
    /// They wait for that group from now on.
    Move(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// There is no group, tier or app of that name.
    Unknown(&'static str),
    /// Too many orders wait.
    Busy,
    /// Done.
    Done(Counts),
}

/// How many messages it concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Ended, or moved.
    pub done: usize,
    /// Left where they were: gone meanwhile, or no channel of the other group can carry them.
    pub left: usize,
}

/// An order under way.
struct Errand {
    selection: Selection,
    /// Where to; none: to their end.
    to: Option<GroupId>,
    cursor: Cursor,
    walked: bool,
    /// Bodies being read.
    reading: usize,
    counts: Counts,
    answer: oneshot::Sender<Cleared>,
}

/// Orders in the order in which they came; the first is under way.
#[derive(Default)]
pub(super) struct Errands(VecDeque<Errand>);

impl Errands {
    /// Whether the next piece can be done now, if so many messages may end.
    pub(super) fn ready(&self, room: usize) -> bool {
        self.0.front().is_some_and(|errand| errand.reading == 0 && (errand.to.is_some() || errand.walked || room > 0))
    }
}

impl Line {
    /// Takes an order; answered when it is done.
    pub(super) fn clear(&mut self, now: Moment, order: &QueueOrder, answer: oneshot::Sender<Cleared>) {
        let named = match self.errand(now, order) {
            Ok(named) if self.errands.0.len() < MOST => named,
            Ok(_) => return drop(answer.send(Cleared::Busy)),
            Err(what) => return drop(answer.send(Cleared::Unknown(what))),
        };
        let any = |name: &Option<String>| name.clone().unwrap_or_else(|| "any".to_owned());
        let (action, to) = match &order.action {
            Action::Expire => ("expire", ""),
            Action::Move(to) => ("move", to.as_str()),
        };
        let (group, tier, app) = (any(&order.group), any(&order.tier), any(&order.app));
        let batch = order.batch.map_or_else(|| "any".to_owned(), |(id, _)| id.to_string());
        info!(action, to, group, tier, app, batch, reason = orders::words(&order.reason), "operator's order to queues");
        let (selection, to) = named;
        self.errands.0.push_back(Errand {
            selection,
            to,
            cursor: Cursor::default(),
            walked: false,
            reading: 0,
            counts: Counts::default(),
            answer,
        });
    }

    /// What an order means by the names of the plan, or which of them there is not.
    fn errand(&self, now: Moment, order: &QueueOrder) -> Result<(Selection, Option<GroupId>), &'static str> {
        let plan = &self.plan;
        let group = |name: &String| plan.groups.iter().find(|g| *g.name == **name).map(|g| g.id).ok_or("group");
        // What left the configuration may still wait.
        let named = |list: &[std::sync::Arc<str>], name: &String| list.iter().position(|known| **known == **name);
        let from = |name: &String| named(&plan.names.groups, name).map(|at| GroupId(at as u16)).ok_or("group");
        let to = match &order.action {
            Action::Expire => None,
            Action::Move(to) => Some(group(to)?),
        };
        let tier = |name: &String| named(&plan.names.tiers, name).map(|at| crate::config::plan::TierId(at as u8));
        let app = |name: &String| named(&plan.names.apps, name).map(|at| crate::config::plan::AppId(at as u16));
        let selection = Selection {
            group: order.group.as_ref().map(from).transpose()?,
            tier: order.tier.as_ref().map(|name| tier(name).ok_or("tier")).transpose()?,
            app: order.app.as_ref().map(|name| app(name).ok_or("app")).transpose()?,
            not_group: to,
            above: order.batch.map(|(id, _)| id),
            // What comes later is not meant.
            upto: Some(order.batch.map_or_else(|| self.ids.next(now.wall), |(id, count)| id.item(count))),
        };
        Ok((selection, to))
    }

    /// The next piece of the order under way.
    pub(super) fn run_errands(&mut self, now: Moment) {
        let room = self.room_to_end();
        let Some(mut errand) = self.errands.0.pop_front() else { return };
        let most = match errand.to {
            Some(_) => PIECE.saturating_sub(errand.reading),
            None => room,
        };
        if !errand.walked && most > 0 {
            let page = self.switch.page(&errand.selection, &mut errand.cursor, most);
            errand.walked = page.is_empty();
            for id in page {
                match (errand.to, self.report.live(id).map(|live| live.at)) {
                    (None, _) => {
                        self.tell_switch(now, Event::Expire(id));
                        errand.counts.done += 1;
                    }
                    (Some(_), Some(at)) => {
                        self.reader.want(Wanted { id, at, purpose: Purpose::Move });
                        errand.reading += 1;
                    }
                    (Some(_), None) => errand.counts.left += 1,
                }
            }
        }
        if errand.walked && errand.reading == 0 {
            info!(done = errand.counts.done, left = errand.counts.left, "operator's order to queues is done");
            // Who ordered it may have gone.
            let _ = errand.answer.send(Cleared::Done(errand.counts));
        } else {
            self.errands.0.push_front(errand);
        }
    }

    /// The body of a message that is to wait elsewhere.
    pub(super) fn move_on(&mut self, now: Moment, id: MessageId, body: Option<&[u8]>) {
        let Some(errand) = self.errands.0.front_mut() else { return };
        errand.reading = errand.reading.saturating_sub(1);
        let Some(to) = errand.to else { return };
        let home = match (self.report.live(id), body.and_then(accepted)) {
            (Some(live), Some(message)) => self.tables.load().home_in(to, live.tier, &message),
            _ => None,
        };
        match home {
            Some(_) => errand.counts.done += 1,
            None => errand.counts.left += 1,
        }
        if let Some(home) = home {
            self.relocate(now, id, home);
        }
    }
}
