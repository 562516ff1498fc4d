//! What a protocol offers before a link exists: its name, its configuration, its legs, how it splits messages.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::message::{CarrierId, Mt, Parts, Quote, Unsendable};
use crate::session::{AttemptRef, Head, Session};

/// What every channel has, whatever its protocol; read by the gateway from `[[channel]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// The channel's name, for messages.
    pub name: String,
    /// Unanswered parts allowed per link.
    pub window: usize,
    /// IANA zone for the protocol's local times; the protocol's own where the channel names none.
    pub timezone: Option<String>,
    /// Most parts a message may become.
    pub max_parts: u8,
}

/// Something wrong in a channel's protocol table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Octet range in the source text the table was read from.
    pub span: Option<Range<usize>>,
    /// What is wrong, naming key and value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Looks up a secret reference (`env:NAME`, `file:PATH`, inline); the error says why it cannot be had.
pub type Secrets<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// A wire protocol.
pub trait Protocol: Sync {
    /// Its name in configuration (`protocol = "smpp"`, `[channel.smpp]`).
    fn name(&self) -> &'static str;
    /// Reads a channel's table, spans intact, into a profile, or says everything that is wrong with it.
    fn configure(
        &self,
        common: &Common,
        table: toml::Spanned<toml::de::DeValue<'_>>,
        secrets: Secrets<'_>,
    ) -> Result<Arc<dyn Profile>, Vec<Problem>>;
    /// Unanswered parts allowed per link where the channel does not say.
    fn window(&self) -> u32 {
        10
    }
    /// JSON Schema of the channel's table.
    fn schema(&self) -> schemars::Schema;
    /// Whose connection is this? Called with the first octets (or HTTP head) on a shared listener until it decides. A
    /// protocol in which we always connect knows nobody.
    fn greet(&self, _first: &[u8], _head: Option<&Head>, _peer: SocketAddr) -> Greeting {
        Greeting::Refuse(Vec::new())
    }
}

/// What [`Protocol::greet`] makes of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Cannot tell yet.
    More,
    /// It says that it is this account's ([`Profile::account`]); its session judges whether it is.
    Claim {
        /// The account.
        account: String,
        /// What says no where there is no session to say it: no such account here, or too many tries.
        refusal: Vec<u8>,
        /// What says that the account has as many connections as it may.
        full: Vec<u8>,
    },
    /// Nobody's: answer with these octets and close.
    Refuse(Vec<u8>),
}

/// A configured channel of some protocol: makes sessions, splits messages.
pub trait Profile: Send + Sync {
    /// The directions this channel works in, in order. A channel of which none can send is never chosen for a message.
    fn legs(&self) -> &[Leg];
    /// A session for that leg. `seed` decides everything the session would draw at random.
    fn open(&self, leg: usize, seed: u64) -> Box<dyn Session>;
    /// What `split` would make of it, cheaply.
    fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable>;
    /// The parts as this channel sends them; pure.
    fn split(&self, mt: &Mt<'_>) -> Result<Parts, Unsendable>;
    /// Whether the channel knows an option of this name ([`crate::options`]); an error says what its value should be. Of
    /// one that it does not know nothing follows on it.
    fn takes(&self, _name: &str, _value: &str) -> Result<bool, &'static str> {
        Ok(false)
    }
    /// The id a receipt will carry, where the protocol fixes it before the answer.
    fn early_id(&self, attempt: AttemptRef, part: u8) -> Option<CarrierId>;
    /// The key under which [`Greeting::Claim`] names this channel on a shared listener.
    fn account(&self) -> &str;
    /// Equal for two profiles of one channel whose links may live on across a reload; holds no secret in clear.
    fn fingerprint(&self) -> String;
}

/// One direction of a channel's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// What flows on it.
    pub role: Role,
    /// Who opens the connection.
    pub reach: Reach,
    /// What it runs on.
    pub transport: Transport,
    /// Whether it stays open.
    pub life: Life,
    /// How to ask for a sign of life.
    pub probe: Probe,
}

/// What flows on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Submits only.
    Send,
    /// Receipts and MO only.
    Receive,
    /// Both.
    Both,
}

/// Who opens a leg's connection; the address is `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// We dial.
    Dial(String),
    /// The far side dials us.
    Listen(String),
}

/// What a leg runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
    /// HTTP.
    Http,
}

/// Whether a leg's connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// Kept open.
    Held,
    /// Dialled when there is something to send.
    OnDemand,
}

/// How a leg can be asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// By a PDU on the link.
    Pdu,
    /// By a fresh bind.
    Bind,
    /// Not at all.
    None,
}
