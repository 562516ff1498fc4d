//! Apps' endpoints, which come and go with the configuration, and the courier before them. As in the gateway
//! (`app/telling.rs`, `callback`) an event waits for room, ends where its app has no endpoint by then, and is called
//! out in its turn unless the endpoint goes before that.

use std::collections::VecDeque;

use fastrand::Rng;
use gateway::ids::MessageId;
use gateway::journal::record::Telling;

use super::line::Line;
use super::swarm::{Fault, Swarm};
use super::{APPS, Input, SECOND, What, World, app};

/// An event that the courier has.
struct Notice {
    id: MessageId,
    seq: u32,
    status: &'static str,
    evidence: &'static str,
}

/// One app's events on their way.
struct Queue {
    /// Whether the configuration names an endpoint, and whether the one in force does.
    named: bool,
    present: bool,
    /// Events that wait for room, in their order.
    untold: VecDeque<(MessageId, u32)>,
    /// Events that wait for their call.
    waiting: VecDeque<Notice>,
    /// How many the courier has taken that have not ended.
    open: usize,
}

pub(super) struct Endpoints {
    /// Of its own, so that a world without this trouble is the same as ever.
    rng: Rng,
    /// Whether they come and go.
    change: bool,
    /// How many events of one app the courier takes.
    room: usize,
    queues: Vec<Queue>,
}

impl Endpoints {
    pub(super) fn new(seed: u64, swarm: &Swarm) -> Endpoints {
        let (mut rng, change) = (Rng::with_seed(seed ^ 0xe4d9), swarm.has(Fault::Endpoints));
        let room = if change { rng.usize(2..40) } else { usize::MAX };
        let mut queue = |_| {
            let named = !change || rng.bool();
            Queue { named, present: named, untold: VecDeque::new(), waiting: VecDeque::new(), open: 0 }
        };
        let queues = APPS.iter().map(&mut queue).collect();
        Endpoints { rng, change, room, queues }
    }

    /// The gateway died.
    pub(super) fn crash(&mut self) {
        for queue in &mut self.queues {
            (queue.untold, queue.waiting, queue.open) = (VecDeque::new(), VecDeque::new(), 0);
        }
    }

    /// How much longer than usual something takes, where endpoints change: what is over stays in the journal for so long.
    pub(super) fn now_and_then(&mut self, most: u64) -> u64 {
        if self.change && self.rng.u8(0..3) == 0 { self.rng.u64(..most) } else { 0 }
    }

    /// Whether a carrier first calls failed what it delivers, and for how long.
    pub(super) fn premature_failure(&mut self) -> Option<u64> {
        let most = [SECOND / 2, 20 * SECOND][self.rng.usize(..2)];
        (self.change && self.rng.u8(0..5) == 0).then(|| self.rng.u64(1_000..most))
    }
}

impl World {
    /// When endpoints come and go: by a reload, with a restart, or with whatever comes first of the two.
    pub(super) fn endpoints_change(&mut self) {
        if !self.endpoints.change {
            return;
        }
        for app in 0..APPS.len() {
            for _ in 0..self.endpoints.rng.u8(1..=8) {
                let (at, reload) = (self.endpoints.rng.u64(..self.heals), self.endpoints.rng.u8(0..4) > 0);
                self.after(at, What::Endpoint(app, reload));
            }
        }
        for _ in 0..self.endpoints.rng.u8(0..=4) {
            let at = self.endpoints.rng.u64(..self.heals);
            let power = self.endpoints.rng.bool() && self.swarm.has(Fault::PowerCut);
            self.after(at, What::Crash(power));
            for app in 0..APPS.len() {
                if self.endpoints.rng.bool() {
                    self.after(at + 50_000, What::Endpoint(app, false));
                }
            }
        }
    }

    /// An operator gives an app an endpoint, or takes it away.
    pub(super) fn endpoint(&mut self, app: usize, reload: bool) {
        let queue = &mut self.endpoints.queues[app];
        queue.named = !queue.named;
        if reload && self.line.is_some() {
            self.inbox.push_back(Input::Endpoints);
        }
    }

    /// The configuration is in force. What waits for the call of an endpoint that is gone ends.
    pub(super) fn endpoints_in_force(&mut self) {
        for app in 0..APPS.len() {
            let queue = &mut self.endpoints.queues[app];
            queue.present = queue.named;
            self.books.endpoint(app, queue.present);
            let over = if queue.present { VecDeque::new() } else { std::mem::take(&mut queue.waiting) };
            for Notice { id, seq, .. } in over {
                self.books.reached.hit("endpoint gone before the call");
                self.books.needless(id, seq);
                let life = self.life;
                self.after(1_000, What::Inbox(life, Input::Told(id, seq, Telling::Never)));
            }
        }
    }

    /// An event that its app wants.
    pub(super) fn tell_app(&mut self, line: &mut Line, app: usize, event: (MessageId, u32)) {
        let (room, queue) = (self.endpoints.room, &mut self.endpoints.queues[app]);
        if queue.open >= room || !queue.untold.is_empty() {
            queue.untold.push_back(event);
            return self.books.reached.hit("event waits for room");
        }
        self.hand_over(line, app, event);
    }

    /// An event has ended; others may have its room.
    pub(super) fn told(&mut self, line: &mut Line, (id, seq): (MessageId, u32), end: Telling) {
        let (now, app) = (self.moment(), app(self.books.request(id)));
        line.report.told(now, id, seq, end, &mut self.disk);
        self.endpoints.queues[app].open -= 1;
        while self.endpoints.queues[app].open < self.endpoints.room {
            let Some(event) = self.endpoints.queues[app].untold.pop_front() else { break };
            self.hand_over(line, app, event);
        }
    }

    fn hand_over(&mut self, line: &mut Line, app: usize, (id, seq): (MessageId, u32)) {
        let now = self.moment();
        let event = line.report.event(id, seq, |_| None);
        let (_, _, data) = event.expect("an event that is to be told can be told");
        let notice = Notice { id, seq, status: data.status, evidence: data.evidence };
        if !self.endpoints.queues[app].present {
            self.books.reached.hit("event without an endpoint");
            self.books.needless(id, seq);
            return line.report.unwanted(now, id, seq, &mut self.disk);
        }
        self.endpoints.queues[app].open += 1;
        if !self.endpoints.change {
            return self.call(&notice);
        }
        self.endpoints.queues[app].waiting.push_back(notice);
        let most = if self.endpoints.rng.u8(0..8) == 0 { 5 * SECOND } else { 5_000 };
        let (life, wait) = (self.life, self.endpoints.rng.u64(..most));
        self.after(wait, What::Call(life, app));
    }

    /// The next event's turn has come.
    pub(super) fn next_call(&mut self, app: usize) {
        if let Some(notice) = self.endpoints.queues[app].waiting.pop_front() {
            self.call(&notice);
        }
    }

    fn call(&mut self, &Notice { id, seq, status, evidence }: &Notice) {
        self.books.tell(id, seq, status, evidence);
        let slow = self.swarm.has(Fault::SlowEndpoint) && self.rng.u8(0..6) == 0;
        let wait = if slow { self.rng.u64(..60_000_000) } else { self.rng.u64(1_000..50_000) };
        let wait = wait + self.endpoints.now_and_then(30 * SECOND);
        let life = self.life;
        self.after(wait, What::Inbox(life, Input::Told(id, seq, Telling::Delivered)));
    }
}
