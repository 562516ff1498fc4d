//! May it pass? Every entrance puts its messages through [`Tables::admit`]: hold, fields, number, route, quote,
//! pressure, rate, in that order, so that a message refused for any reason takes nothing from its app's quota.

pub mod gate;
pub mod keys;
pub mod limits;
pub mod number;
pub mod refusal;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use carriers::{Coding, Mt, Options, Profile, Unsendable};

pub use gate::{Ask, Busy, Gate, Wait};
pub use refusal::{Fault, Reason, Refusal};

use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{App, AppId, GroupId, Plan, Tier, TierId};
use crate::journal::record::Accepted;
use crate::route::{RouteInput, Routes};
use crate::switch::Home;
use keys::Keys;
use limits::Limits;
use number::E164;

/// Most characters of a text, signature included.
pub const TEXT_LIMIT: usize = 10_000;
/// Validity an app may ask for, in seconds.
pub const EXPIRES_IN: std::ops::RangeInclusive<u64> = 10..=259_200;
/// Most characters of `client_ref`.
pub const CLIENT_REF_LIMIT: usize = 64;

/// Everything a request is judged by. Swapped as a whole on reload: a request holds one and never sees a mixture.
pub struct Tables {
    /// The plan all of it was made from.
    pub plan: Arc<Plan>,
    /// Where messages go.
    pub routes: Routes,
    /// Keys, limits, quotes.
    pub admission: Admission,
    /// Counts the plans under which messages go other ways than under the one before.
    pub routing: u64,
}

impl Tables {
    /// The tables of this plan.
    pub fn new(plan: Arc<Plan>) -> Self {
        let limits = Limits::new(&plan.apps);
        Tables { routes: Routes::new(&plan), admission: Admission::new(&plan, limits), plan, routing: 0 }
    }

    /// The tables of the next plan; `rerouted`: some messages go other ways by it.
    #[must_use]
    pub fn next(&self, plan: Arc<Plan>, rerouted: bool) -> Self {
        let limits = self.admission.limits.next(&plan.apps);
        let routing = self.routing + u64::from(rerouted);
        Tables { routes: Routes::new(&plan), admission: Admission::new(&plan, limits), plan, routing }
    }
}

/// What admission keeps ready of a plan.
pub struct Admission {
    /// Keys of all apps.
    pub keys: Keys,
    /// Rates of all apps.
    pub limits: Limits,
    /// What each group's channels can say about a message, by [`GroupId`], best first.
    offers: Vec<Vec<Offer>>,
}

struct Offer {
    tiers: Vec<TierId>,
    profile: Arc<dyn Profile>,
}

impl Admission {
    /// Admission by this plan.
    fn new(plan: &Plan, limits: Limits) -> Self {
        let mut offers = Vec::new();
        for group in &plan.groups {
            let at = usize::from(group.id.0);
            if offers.len() <= at {
                offers.resize_with(at + 1, Vec::new);
            }
            let members = group.channels.iter().filter_map(|id| plan.channels.iter().find(|c| c.id == *id));
            offers[at] = members.map(|c| Offer { tiers: c.tiers.clone(), profile: c.profile.clone() }).collect();
        }
        Admission { keys: Keys::new(&plan.apps), limits, offers }
    }

    /// What an app asks for by name must mean something to one of the group's channels.
    fn know(&self, group: GroupId, asked: &[(&str, &str)]) -> Result<(), Refusal> {
        if asked.is_empty() {
            return Ok(());
        }
        let offers = self.offers.get(usize::from(group.0)).map_or(&[][..], Vec::as_slice);
        let known = |name, value| offers.iter().any(|offer| offer.profile.takes(name, value) != Ok(false));
        let unknown = asked.iter().filter(|(name, value)| !known(name, value));
        let fault = |(name, _): &(&str, &str)| Fault {
            field: "options",
            reason: Reason::UnknownOption,
            detail: format!("no channel of its route knows `{name}`").into(),
        };
        let faults: Vec<Fault> = unknown.map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(Refusal::fields(faults)) }
    }

    /// The first channel's quote, and the most parts any channel of the group would need.
    fn quote(&self, group: GroupId, tier: TierId, mt: &Mt<'_>) -> Result<Quoted, Option<Unsendable>> {
        let offers = self.offers.get(usize::from(group.0)).map_or(&[][..], Vec::as_slice);
        let mut quoted: Option<Quoted> = None;
        let mut why = None;
        for offer in offers.iter().filter(|o| o.tiers.contains(&tier)) {
            match offer.profile.quote(mt) {
                Ok(q) => {
                    let first = quoted.get_or_insert(Quoted { parts: q.parts, coding: q.coding, reserve: q.parts });
                    first.reserve = first.reserve.max(q.parts);
                }
                Err(e) => why = why.or(Some(e)),
            }
        }
        quoted.ok_or(why)
    }
}

#[derive(Clone, Copy)]
struct Quoted {
    parts: u8,
    coding: Coding,
    reserve: u8,
}

/// A message as its app asks for it; an absent field means the app's or tier's default.
#[derive(Clone, Debug, Default)]
pub struct Draft<'a> {
    /// The number as written.
    pub to: Option<&'a str>,
    /// The text, without signature.
    pub text: Option<&'a str>,
    /// `sms`.
    pub kind: Option<&'a str>,
    /// Tier name.
    pub tier: Option<&'a str>,
    /// Signature without brackets.
    pub signature: Option<&'a str>,
    /// Sender.
    pub sender: Option<&'a str>,
    /// The app's own reference.
    pub client_ref: Option<&'a str>,
    /// Validity in seconds.
    pub expires_in: Option<u64>,
    /// What it asks of the carrier, by name.
    pub options: Vec<(&'a str, &'a str)>,
}

/// A message that may pass.
#[derive(Clone, Debug)]
pub struct Admitted<'a> {
    /// Its number.
    pub to: E164<'a>,
    /// Its text with signature.
    pub text: Cow<'a, str>,
    /// Its type.
    pub kind: &'static str,
    /// Its tier.
    pub tier: TierId,
    /// Its group.
    pub group: GroupId,
    /// How long it may wait.
    pub valid_for: Duration,
    /// Quoted parts.
    pub parts: u8,
    /// Quoted encoding.
    pub coding: Coding,
    /// Most parts on any channel of its group.
    pub reserve: u8,
    /// What it asks of its carrier: its route's options, its app's and its own.
    pub options: String,
}

impl Admitted<'_> {
    /// What the gate is asked.
    pub fn ask(&self, app: AppId) -> Ask {
        Ask { app, tier: self.tier, group: self.group, valid_for: self.valid_for, ahead: 0 }
    }
}

impl Tables {
    /// Judges a message of the app at that position in the plan.
    pub fn admit<'a>(
        &self,
        now: Moment,
        app_at: usize,
        draft: &Draft<'a>,
        gate: &dyn Gate,
    ) -> Result<Admitted<'a>, Refusal> {
        let app = &self.plan.apps[app_at];
        if let Some(detail) = gate.held(app.id) {
            return Err(Refusal::held(&detail));
        }
        let admitted = self.judge(now.wall, app, draft)?;
        self.pass(now.time, app_at, &admitted.ask(app.id), admitted.parts, gate)?;
        Ok(admitted)
    }

    /// The first half of [`Tables::admit`], for one of many messages that come in together: the message by itself.
    pub fn examine<'a>(&self, now: Wall, app_at: usize, draft: &Draft<'a>) -> Result<Admitted<'a>, Refusal> {
        self.judge(now, &self.plan.apps[app_at], draft)
    }

    /// The second half: whether there is room for it, and quota, which is taken.
    pub fn pass(&self, now: Time, app_at: usize, ask: &Ask, parts: u8, gate: &dyn Gate) -> Result<(), Refusal> {
        gate.admit(ask).map_err(Refusal::busy)?;
        self.admission.limits.take(now, app_at, parts).map_err(Refusal::rate)
    }

    /// The second half for messages that ask alike, of so many parts together: whether there is room for the last of
    /// them, and so for all, and quota for all, which is taken. Where not, nothing is taken.
    pub fn pass_all(&self, now: Time, app_at: usize, last: &Ask, parts: u32, gate: &dyn Gate) -> bool {
        gate.admit(last).is_ok() && self.admission.limits.take_all(now, app_at, parts)
    }

    /// What [`Tables::admit`] would say, without asking the app's rate, which no question may use up: the message as far
    /// as it can be judged, and the refusal it would get.
    pub fn weigh<'a>(
        &self,
        now: Wall,
        app_at: usize,
        draft: &Draft<'a>,
        gate: &dyn Gate,
    ) -> (Option<Admitted<'a>>, Option<Refusal>) {
        let Some(app) = self.plan.apps.get(app_at) else { return (None, None) };
        let held = gate.held(app.id).map(|detail| Refusal::held(&detail));
        match self.judge(now, app, draft) {
            Ok(admitted) => {
                let busy = gate.admit(&admitted.ask(app.id)).map_err(Refusal::busy).err();
                (Some(admitted), held.or(busy))
            }
            Err(refusal) => (None, held.or(Some(refusal))),
        }
    }

    /// The message by itself: its fields, its route, its parts.
    fn judge<'a>(&self, now: Wall, app: &App, draft: &Draft<'a>) -> Result<Admitted<'a>, Refusal> {
        let checked = self.check(app, draft)?;
        let to = checked.to.as_str();
        let input = RouteInput { kind: KIND, tier: checked.tier.id, app: app.id, to, sender: draft.sender };
        let route = self.routes.find(&input);
        let route = route.ok_or_else(|| Refusal::of(Reason::NoRoute, "no route matches this message"))?;
        let group = route.group;
        self.admission.know(group, &draft.options)?;
        let options = match (&*route.options, &*app.options, &*draft.options) {
            ("", "", []) => String::new(),
            (route, app, own) => {
                let all = Options::read(route).iter().chain(Options::read(app).iter());
                Options::joined(all.chain(own.iter().copied()))
            }
        };
        let mt = Mt {
            to,
            sender: draft.sender,
            text: &checked.text,
            valid_for: checked.valid_for,
            until: UNIX_EPOCH.checked_add(Duration::from_millis(now.0).saturating_add(checked.valid_for)),
            receipt: true,
            reference: 0,
            options: Options::read(&options),
        };
        let quoted = self.admission.quote(group, checked.tier.id, &mt).map_err(unsendable)?;
        Ok(Admitted {
            to: checked.to,
            kind: KIND,
            tier: checked.tier.id,
            group,
            valid_for: checked.valid_for,
            parts: quoted.parts,
            coding: quoted.coding,
            reserve: quoted.reserve,
            text: checked.text,
            options,
        })
    }

    /// Where a message accepted earlier goes by these tables. `None` where no route takes it, or no channel of the
    /// route can carry it. A tier that is no more counts as the lowest.
    pub fn home(&self, app: AppId, tier: TierId, message: &Accepted<'_>) -> Option<Home> {
        let tiers = &self.plan.tiers;
        let tier = tiers.iter().find(|t| t.id == tier).or(tiers.last())?.id;
        let Accepted { to, sender, .. } = *message;
        let group = self.routes.route(&RouteInput { kind: message.kind, tier, app, to, sender })?;
        self.home_in(group, tier, message)
    }

    /// A message accepted earlier as it would wait for that group. `None` where no channel of the group can carry it.
    pub fn home_in(&self, group: GroupId, tier: TierId, message: &Accepted<'_>) -> Option<Home> {
        let tiers = &self.plan.tiers;
        let tier = tiers.iter().find(|t| t.id == tier).or(tiers.last())?.id;
        let Accepted { to, sender, text, options, .. } = *message;
        let mt = Mt {
            to,
            sender,
            text,
            valid_for: Duration::ZERO,
            until: None,
            receipt: true,
            reference: 0,
            options: Options::read(options),
        };
        let quoted = self.admission.quote(group, tier, &mt).ok()?;
        Some(Home { group, tier, parts: quoted.reserve })
    }

    /// Every field by itself; all faults at once.
    fn check<'a, 't>(&'t self, app: &App, draft: &Draft<'a>) -> Result<Checked<'a, 't>, Refusal> {
        let mut faults = Vec::new();
        let mut fault = |field, reason, detail: String| faults.push(Fault { field, reason, detail: detail.into() });
        if draft.kind.is_some_and(|kind| kind != KIND) {
            fault("type", Reason::TypeUnavailable, "only sms is available".into());
        }
        let to = match draft.to.map(|to| E164::read(to, app.default_country.as_deref())) {
            Some(Ok(to)) => Some(to),
            Some(Err(e)) => {
                fault("to", Reason::InvalidNumber, e.to_string());
                None
            }
            None => {
                fault("to", Reason::Missing, "a number is needed".into());
                None
            }
        };
        let tier = self.tier(app, draft.tier);
        if tier.is_none() {
            fault("tier", Reason::TierNotAllowed, "not a tier of this app".into());
        }
        if draft.signature.is_some_and(|s| !app.signatures.iter().any(|own| own == s)) {
            fault("signature", Reason::SignatureNotAllowed, "not a signature of this app".into());
        }
        match draft.text {
            None => fault("text", Reason::Missing, "a text is needed".into()),
            Some("") => fault("text", Reason::Empty, "the text is empty".into()),
            Some(text) if may_control(text) && text.chars().any(control) => {
                fault("text", Reason::InvalidCharacter, "control characters other than tab and line ends".into());
            }
            Some(_) => {}
        }
        if draft.sender.is_some_and(|sender| !sender_fits(sender)) {
            let detail = "at most 21 digits, or at most 11 letters and digits";
            fault("sender", Reason::InvalidSender, detail.into());
        }
        if draft.client_ref.is_some_and(|r| !client_ref_fits(r)) {
            let detail = format!("at most {CLIENT_REF_LIMIT} characters, no control characters");
            fault("client_ref", Reason::OutOfRange, detail);
        }
        let fits = |&(name, value): &(&str, &str)| Options::fits(name, value).err();
        if let Some(why) = draft.options.iter().find_map(fits) {
            fault("options", Reason::InvalidOption, why.into());
        } else if draft.options.len() > carriers::options::MOST {
            fault("options", Reason::InvalidOption, format!("more than {}", carriers::options::MOST));
        }
        if draft.expires_in.is_some_and(|s| !EXPIRES_IN.contains(&s)) {
            let detail = format!("{} to {} seconds", EXPIRES_IN.start(), EXPIRES_IN.end());
            fault("expires_in", Reason::OutOfRange, detail);
        }
        let text = signed(draft.signature, draft.text.unwrap_or_default());
        if is_longer(&text, TEXT_LIMIT) {
            fault("text", Reason::TooLong, format!("more than {TEXT_LIMIT} characters"));
        }
        match (to, tier) {
            (Some(to), Some(tier)) if faults.is_empty() => {
                let valid_for = draft.expires_in.map_or(tier.validity, Duration::from_secs);
                Ok(Checked { to, tier, text, valid_for })
            }
            _ => Err(Refusal::fields(faults)),
        }
    }

    fn tier(&self, app: &App, name: Option<&str>) -> Option<&Tier> {
        let mut own = app.tiers.iter().filter_map(|id| self.plan.tiers.iter().find(|t| t.id == *id));
        match name {
            Some(name) => own.find(|t| &*t.name == name),
            None => own.next(),
        }
    }
}

/// The one type there is so far.
const KIND: &str = "sms";

struct Checked<'a, 't> {
    to: E164<'a>,
    tier: &'t Tier,
    text: Cow<'a, str>,
    valid_for: Duration,
}

fn control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// Whether a text has octets that control characters have: many can be looked at at once.
fn may_control(text: &str) -> bool {
    text.bytes().fold(false, |found, octet| found | matches!(octet, ..0x20 | 0x7f | 0xc2))
}

fn client_ref_fits(client_ref: &str) -> bool {
    let control = may_control(client_ref) && client_ref.chars().any(char::is_control);
    !control && !is_longer(client_ref, CLIENT_REF_LIMIT)
}

/// Whether it has more characters. Each has at least one octet: short texts are not counted.
fn is_longer(text: &str, characters: usize) -> bool {
    text.len() > characters && text.chars().count() > characters
}

fn sender_fits(sender: &str) -> bool {
    let digits = carriers::all_digits(sender.as_bytes());
    let alphanumeric = sender.bytes().all(|b| b.is_ascii_alphanumeric());
    !sender.is_empty() && (digits && sender.len() <= 21 || alphanumeric && sender.len() <= 11)
}

fn signed<'a>(signature: Option<&str>, text: &'a str) -> Cow<'a, str> {
    match signature {
        Some(signature) => Cow::Owned(format!("【{signature}】{text}")),
        None => Cow::Borrowed(text),
    }
}

fn unsendable(why: Option<Unsendable>) -> Refusal {
    let Some(why) = why else { return Refusal::of(Reason::NoRoute, "no channel of its route carries this tier") };
    let (field, reason) = match why {
        Unsendable::TooLong(..) => ("text", Reason::TooLong),
        Unsendable::Number(_) => ("to", Reason::InvalidNumber),
        Unsendable::Sender(_) => ("sender", Reason::InvalidSender),
        Unsendable::Option(..) => ("options", Reason::InvalidOption),
    };
    Refusal::fields(vec![Fault { field, reason, detail: why.to_string().into() }])
}
