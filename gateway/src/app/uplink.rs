//! Messages from handsets on their way to the store and back out of it.

use tokio::sync::oneshot;
use tracing::warn;

use super::Line;
use super::seek::Wish;
use crate::config::plan::AppId;
use crate::ids::MessageId;
use crate::journal::store::{Finished, ListedUplink};
use crate::report::uplink::Delivery;

/// What becomes of an operator's wish to have an unmatched message delivered, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is being told to this app.
    OnItsWay(String),
    /// Still nobody owns its number.
    NoOwner,
    /// There is no unmatched message of that id.
    Unknown,
    /// Too many are being told; try again later.
    Busy,
}

impl Line {
    /// Hands a message from a handset to the store.
    pub(super) fn keep_uplink(&mut self, id: MessageId) {
        let Some(kept) = self.report.kept(id) else { return };
        // It is made of strings and numbers.
        let Ok(value) = serde_json::to_vec(&kept.listed) else { return };
        let uplink = Some(ListedUplink { value: &value, unmatched: kept.unmatched });
        self.store.put(&Finished { id: id.0, history: &kept.history, uplink, ..Finished::default() });
    }

    /// Nobody owns the number a message was sent to.
    pub(super) fn no_owner(&self, channel: &str, number: Option<String>) {
        self.metrics.mo_unmatched.with_label_values(&[channel]).inc();
        if let Some(number) = number {
            warn!(
                channel,
                number, "messages from handsets to this number belong to no app; they are kept: qiao ctl uplinks"
            );
        }
    }

    /// The country by which an app's bare numbers are read.
    pub(super) fn country(&self, app: AppId) -> Option<&str> {
        self.plan.apps.iter().find(|a| a.id == app)?.default_country.as_deref()
    }

    /// Has an unmatched message read from the store, to be delivered.
    pub(super) fn seek_uplink(&self, id: MessageId, asker: oneshot::Sender<Delivered>) {
        self.seeker.seek(Wish::Uplink(id, asker));
    }

    /// It was read.
    pub(super) fn deliver(&mut self, id: MessageId, history: Option<&[u8]>, asker: oneshot::Sender<Delivered>) {
        let name =
            |app: AppId| self.plan.names.apps.get(usize::from(app.0)).map_or_else(String::new, |n| n.to_string());
        let delivered = match self.report.deliver(id, history) {
            Delivery::OnItsWay(app) => Delivered::OnItsWay(name(app)),
            Delivery::NoOwner => Delivered::NoOwner,
            Delivery::Unknown => Delivered::Unknown,
            Delivery::Busy => Delivered::Busy,
        };
        // Whoever asked may have gone meanwhile.
        let _ = asker.send(delivered);
    }
}
