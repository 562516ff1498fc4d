//! SGIP 1.2 (China Unicom), as the SP: a connection of ours for submits, dialled when there is something to send, and a
//! listener for the SMG's connections, on which receipts and messages from handsets come.
//!
//! [`Sgip`] is the protocol, [`Channel`] a configured account. `tongue` turns PDUs into words and back for
//! [`crate::dialogue::Dialogue`], which holds the conversation, on either side of a connection; `sequence` makes a
//! submit's number, which is its id, from the attempt; `report` reads reports, `verdict` says what a refusal means,
//! `config` what can be set.

mod config;
mod report;
mod sequence;
#[cfg(test)]
pub(crate) mod testing;
mod tongue;
mod verdict;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use codecs::framing::cut;
use codecs::sgip::{Body, LIMITS, Pdu, Resp, nack, result};
use codecs::stat::trimmed;

pub use config::Settings;
pub use tongue::SgipTongue;

use crate::china::fit::Fit;
use crate::dialogue::Dialogue;
use crate::message::{CarrierId, Mt, Parts, Quote, Unsendable};
use crate::protocol::{Common, Greeting, Leg, Problem, Profile, Protocol, Reach, Role, Secrets};
use crate::session::{AttemptRef, Head, Session, Ticket};
use crate::table;

/// The protocol.
#[derive(Debug)]
pub struct Sgip;

impl Protocol for Sgip {
    fn name(&self) -> &'static str {
        "sgip"
    }

    fn configure(
        &self,
        common: &Common,
        table: toml::Spanned<toml::de::DeValue<'_>>,
        secrets: Secrets<'_>,
    ) -> Result<Arc<dyn Profile>, Vec<Problem>> {
        table::profile(table, |table, place| Settings::check(common, table, place, secrets).map(Channel::new))
    }

    /// As the book has it (SGIP 1.2 §3.1).
    fn window(&self) -> u32 {
        32
    }

    fn schema(&self) -> schemars::Schema {
        schemars::schema_for!(config::Table)
    }

    /// The first command on a connection is Bind, and names the account (SGIP 1.2 §3.7.2).
    fn greet(&self, first: &[u8], _: Option<&Head>, _: SocketAddr) -> Greeting {
        let octets = match cut(first, &LIMITS) {
            Ok(Some(whole)) => first.get(..whole).unwrap_or(first),
            Ok(None) => return Greeting::More,
            Err(_) => return Greeting::Refuse(Vec::new()),
        };
        let answer = |pdu: Pdu<'_>| {
            let mut out = BytesMut::new();
            pdu.write((), &mut out);
            out.to_vec()
        };
        match Pdu::read(octets, ()) {
            Ok(Pdu { sequence, body: Body::Bind(bind) }) => Greeting::Claim {
                account: String::from_utf8_lossy(trimmed(bind.login_name)).into_owned(),
                refusal: answer(Pdu { sequence, body: Body::BindResp(Resp::new(result::LOGIN)) }),
                full: answer(Pdu { sequence, body: Body::BindResp(Resp::new(result::TOO_MANY_CONNECTIONS)) }),
            },
            Ok(_) => Greeting::Refuse(Vec::new()),
            Err(skip) => Greeting::Refuse(nack(&skip).map(answer).unwrap_or_default()),
        }
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
        let Settings { sp_number, dialect, texts, .. } = &*self.settings;
        Fit { access: sp_number, dialect, texts, rules: self.settings.rules() }
    }
}

impl Profile for Channel {
    fn legs(&self) -> &[Leg] {
        &self.legs
    }

    fn open(&self, leg: usize, seed: u64) -> Box<dyn Session> {
        let leg = self.legs.get(leg);
        let ours = leg.is_none_or(|leg| matches!(leg.reach, Reach::Dial(_)));
        // Aggregators say on our connection what should come on theirs: nothing to wonder at.
        let role = if ours { Role::Both } else { Role::Receive };
        let tongue = SgipTongue::new(Arc::clone(&self.settings), ours);
        Box::new(Dialogue::new(tongue, role, self.settings.terms(ours, seed)))
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

    /// A submit's number is the message's id, and follows from the attempt alone.
    fn early_id(&self, attempt: AttemptRef, part: u8) -> Option<CarrierId> {
        let sequence = sequence::of(self.settings.node, self.settings.zone, Ticket::new(attempt, part));
        report::id(sequence)
    }

    fn account(&self) -> &str {
        &self.settings.their_name
    }

    fn fingerprint(&self) -> String {
        self.settings.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codecs::sgip::{Bind, Sequence, login_type};
    use proptest::prelude::*;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 8801).into()
    }

    fn octets(body: Body<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        Pdu { sequence: Sequence { node: 1, time: 2, counter: 3 }, body }.write((), &mut out);
        out
    }

    #[test]
    fn the_schema_has_the_table_and_nothing_else() {
        let schema = Sgip.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).expect("a table");
        for key in ["address", "listen", "login_name", "login_password", "sp_number", "corp_id", "fee", "dialect"] {
            assert!(keys.contains_key(key), "{key}");
        }
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
    }

    #[test]
    fn a_login_says_whose_connection_it_is_once_it_is_whole() {
        let bind = Bind { login_type: login_type::SMG_TO_SP, login_name: b"unicom", ..Bind::default() };
        let login = octets(Body::Bind(bind));
        for end in 0..login.len() {
            assert_eq!(Sgip.greet(&login[..end], None, peer()), Greeting::More, "{end}");
        }
        let says = |result| octets(Body::BindResp(Resp::new(result))).to_vec();
        let claim = Greeting::Claim { account: "unicom".into(), refusal: says(1), full: says(3) };
        assert_eq!(Sgip.greet(&login, None, peer()), claim);
        assert_eq!(Sgip.greet(&[&login[..], b"more"].concat(), None, peer()), claim);
    }

    #[test]
    fn whoever_begins_with_anything_else_is_nobodys() {
        for first in [octets(Body::Unbind), octets(Body::SubmitResp(Resp::new(0)))] {
            assert_eq!(Sgip.greet(&first, None, peer()), Greeting::Refuse(Vec::new()));
        }
        assert_eq!(Sgip.greet(b"GET / HTTP/1.1", None, peer()), Greeting::Refuse(Vec::new()));
        let short = [&[0, 0, 0, 21, 0, 0, 0, 1][..], &[0; 13]].concat();
        let Greeting::Refuse(answer) = Sgip.greet(&short, None, peer()) else { panic!("taken") };
        assert_eq!((answer.len(), answer[20]), (29, result::FORMAT));
    }

    proptest! {
        #[test]
        fn any_first_octets_are_taken(first in proptest::collection::vec(any::<u8>(), 0..200)) {
            Sgip.greet(&first, None, peer());
        }
    }
}
