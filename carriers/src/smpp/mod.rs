//! SMPP 3.4 and 5.0, as the side that binds: a transceiver, or a transmitter and a receiver.
//!
//! [`Smpp`] is the protocol, [`Channel`] a configured account. `session` is the machine (`LIFECYCLE.md` has its states),
//! `map` turns messages into PDUs and back, `verdict` says what a refusal means, `receipt` what a receipt says, `ids`
//! how ids are compared, `config` what can be set.

mod config;
mod ids;
mod incoming;
mod map;
mod receipt;
mod session;
#[cfg(test)]
mod testing;
mod verdict;

use std::sync::Arc;

pub use config::{Binding, DefaultAlphabet, IdBase, IdBases, Long, Settings, Version};
pub use session::SmppSession;

use crate::message::{CarrierId, Mt, Parts, Quote, Unsendable};
use crate::protocol::{Common, Leg, Problem, Profile, Protocol, Role, Secrets};
use crate::session::{AttemptRef, Session};
use crate::table;

/// The protocol.
#[derive(Debug)]
pub struct Smpp;

impl Protocol for Smpp {
    fn name(&self) -> &'static str {
        "smpp"
    }

    fn configure(
        &self,
        common: &Common,
        table: toml::Spanned<toml::de::DeValue<'_>>,
        secrets: Secrets<'_>,
    ) -> Result<Arc<dyn Profile>, Vec<Problem>> {
        table::profile(table, |table, _| Settings::check(common, table, secrets).map(Channel::new))
    }

    fn schema(&self) -> schemars::Schema {
        schemars::schema_for!(config::Table)
    }
}

/// A configured account.
#[derive(Debug)]
pub struct Channel {
    settings: Arc<Settings>,
    legs: Vec<Leg>,
}

impl Channel {
    /// The channel of these settings.
    pub fn new(settings: Settings) -> Self {
        Channel { legs: settings.legs(), settings: Arc::new(settings) }
    }
}

impl Profile for Channel {
    fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// Nothing in SMPP is drawn at random: the seed is not used.
    fn open(&self, leg: usize, _: u64) -> Box<dyn Session> {
        let role = self.legs.get(leg).map_or(Role::Both, |leg| leg.role);
        Box::new(SmppSession::new(Arc::clone(&self.settings), role))
    }

    fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        map::quote(&self.settings, mt)
    }

    fn split(&self, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
        map::split(&self.settings, mt)
    }

    /// The carrier draws the id and tells it in its answer.
    fn early_id(&self, _: AttemptRef, _: u8) -> Option<CarrierId> {
        None
    }

    fn account(&self) -> &str {
        &self.settings.system_id
    }

    fn fingerprint(&self) -> String {
        self.settings.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Greeting;

    #[test]
    fn the_schema_has_the_table_and_nothing_else() {
        let schema = Smpp.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).expect("a table");
        for key in ["address", "system_id", "password", "bind", "source", "message_id", "long", "enquire_link"] {
            assert!(keys.contains_key(key), "{key}");
        }
        assert!(!keys.contains_key("tls"));
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
    }

    #[test]
    fn no_link_is_taken_from_a_listener() {
        let peer = ([127, 0, 0, 1], 2775).into();
        assert_eq!(Smpp.greet(b"\0\0\0", None, peer), Greeting::Refuse(Vec::new()));
    }
}
