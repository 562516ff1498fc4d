//! deliver_sm to receipts: by esm_class, or by what it carries where the carrier forgot the bit (SMPP 3.4 §5.2.12).

use codecs::smpp::Sm;

use super::config::Settings;
use crate::message::Receipt;

/// A receipt, and what had to be forgiven to read it.
pub(super) struct Reading {
    pub(super) receipt: Receipt,
    pub(super) leniency: Option<&'static str>,
}

/// The receipt in a deliver_sm, or `None` where it is a message from a handset.
pub(super) fn read(_settings: &Settings, _sm: &Sm<'_>) -> Option<Reading> {
    None
}
