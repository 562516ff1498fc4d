//! SMGP 3.0 (China Telecom), as the SP that connects: one link for both directions, or one for each.
//!
//! [`Smgp`] is the protocol, [`Channel`] a configured account. `tongue` turns PDUs into words and back for
//! [`crate::dialogue::Dialogue`], which holds the conversation; `report` reads reports, `verdict` says what a refusal
//! means, `config` what can be set.

mod config;
mod report;
#[cfg(test)]
pub(crate) mod testing;
mod tongue;
mod verdict;

use std::sync::Arc;

pub use config::Settings;
pub use tongue::SmgpTongue;

use crate::china::fit::Fit;
use crate::dialogue::Dialogue;
use crate::message::{CarrierId, Mt, Parts, Quote, Unsendable};
use crate::protocol::{Common, Leg, Problem, Profile, Protocol, Role, Secrets};
use crate::session::{AttemptRef, Session};
use crate::table;

/// The protocol.
#[derive(Debug)]
pub struct Smgp;

impl Protocol for Smgp {
    fn name(&self) -> &'static str {
        "smgp"
    }

    fn configure(
        &self,
        common: &Common,
        table: toml::Spanned<toml::de::DeValue<'_>>,
        secrets: Secrets<'_>,
    ) -> Result<Arc<dyn Profile>, Vec<Problem>> {
        table::profile(table, |table, place| Settings::check(common, table, place, secrets).map(Channel::new))
    }

    /// As the book has it (SMGP 3.0 §4.2.1).
    fn window(&self) -> u32 {
        16
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

    fn fit(&self) -> Fit<'_> {
        let Settings { src_term_id, dialect, texts, .. } = &*self.settings;
        Fit { access: src_term_id, dialect, texts, rules: self.settings.rules() }
    }
}

impl Profile for Channel {
    fn legs(&self) -> &[Leg] {
        &self.legs
    }

    fn open(&self, leg: usize, seed: u64) -> Box<dyn Session> {
        let role = self.legs.get(leg).map_or(Role::Both, |leg| leg.role);
        let tongue = SmgpTongue::new(Arc::clone(&self.settings), role);
        Box::new(Dialogue::new(tongue, role, self.settings.terms(seed)))
    }

    fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        self.fit().quote(mt)
    }

    fn split(&self, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
        self.fit().split(mt)
    }

    fn takes(&self, name: &str, value: &str) -> Result<bool, &'static str> {
        self.settings.rules().takes(name, value)
    }

    /// The SMGW draws the id and tells it in its answer.
    fn early_id(&self, _: AttemptRef, _: u8) -> Option<CarrierId> {
        None
    }

    fn account(&self) -> &str {
        &self.settings.client_id
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
        let schema = Smgp.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).expect("a table");
        for key in
            ["address", "client_id", "shared_secret", "login_mode", "service_id", "src_term_id", "fee", "dialect"]
        {
            assert!(keys.contains_key(key), "{key}");
        }
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
    }

    #[test]
    fn no_link_is_taken_from_a_listener() {
        let peer = ([127, 0, 0, 1], 8890).into();
        assert_eq!(Smgp.greet(b"\0\0\0", None, peer), Greeting::Refuse(Vec::new()));
    }
}
