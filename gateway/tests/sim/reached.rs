//! States of the switch that a campaign of worlds must have seen.

/// What at least one world in a campaign must have seen.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) expired: u64,
    pub(crate) rejected: u64,
    pub(crate) attempts: u64,
    pub(crate) no_channel: u64,
    pub(crate) body_lost: u64,
    pub(crate) in_doubt: u64,
    pub(crate) resubmitted: u64,
    pub(crate) throttled: u64,
    pub(crate) continued: u64,
    pub(crate) concluded_in_flight: u64,
    pub(crate) concluded_waiting: u64,
    /// Moved while waiting, and handed back for it.
    pub(crate) moved_waiting: u64,
    pub(crate) moved_back: u64,
    /// Found without any channel after a reload.
    pub(crate) homeless: u64,
    /// Links that were told to end with parts on the wire.
    pub(crate) closed_busy: u64,
    /// Channels that came back after they had left.
    pub(crate) returned: u64,
    /// Left behind while it was in flight.
    pub(crate) superseded: u64,
    /// Retries that waited for the channel's budget.
    pub(crate) deferred: u64,
    pub(crate) hedged: u64,
    pub(crate) late: u64,
}

impl Reached {
    fn fields(&self) -> [(&'static str, u64); 16] {
        [
            ("expired", self.expired),
            ("rejected", self.rejected),
            ("attempts", self.attempts),
            ("no_channel", self.no_channel),
            ("body_lost", self.body_lost),
            ("in_doubt", self.in_doubt),
            ("resubmitted", self.resubmitted),
            ("throttled", self.throttled),
            ("continued", self.continued),
            ("concluded_in_flight", self.concluded_in_flight),
            ("concluded_waiting", self.concluded_waiting),
            ("moved_waiting", self.moved_waiting),
            ("moved_back", self.moved_back),
            ("homeless", self.homeless),
            ("closed_busy", self.closed_busy),
            ("returned", self.returned),
        ]
    }

    pub(crate) fn add(&mut self, other: &Reached) {
        self.expired += other.expired;
        self.rejected += other.rejected;
        self.attempts += other.attempts;
        self.no_channel += other.no_channel;
        self.body_lost += other.body_lost;
        self.in_doubt += other.in_doubt;
        self.resubmitted += other.resubmitted;
        self.throttled += other.throttled;
        self.continued += other.continued;
        self.concluded_in_flight += other.concluded_in_flight;
        self.concluded_waiting += other.concluded_waiting;
        self.moved_waiting += other.moved_waiting;
        self.moved_back += other.moved_back;
        self.homeless += other.homeless;
        self.closed_busy += other.closed_busy;
        self.returned += other.returned;
        self.superseded += other.superseded;
        self.deferred += other.deferred;
        self.hedged += other.hedged;
        self.late += other.late;
    }

    /// A campaign that never reached a state proves nothing about it.
    pub(crate) fn all(&self) {
        for (name, count) in self.fields() {
            assert!(count > 0, "no world reached {name}: {self:?}");
        }
    }
}
