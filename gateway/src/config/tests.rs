//! Whole configurations through [`load_among`], with a toy protocol that can dial or listen.

mod health;
mod options;
mod tiers;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carriers::{
    AttemptRef, CarrierId, Common, Greeting, Head, Leg, Life, Mt, Parts, Probe, Profile, Quote, Reach, Role, Session,
    Transport, Unsendable,
};
use serde::Deserialize;
use tempfile::TempDir;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::plan::{InDoubt, OnFailed, TierId};
use super::*;

#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Toy {
    address: Option<String>,
    listen: Option<String>,
    #[schemars(with = "Option<String>")]
    secret: Option<Spanned<String>>,
}

struct ToyProtocol;

impl Protocol for ToyProtocol {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn configure(
        &self,
        _: &Common,
        table: Spanned<DeValue<'_>>,
        secrets: carriers::protocol::Secrets<'_>,
    ) -> Result<Arc<dyn Profile>, Vec<carriers::Problem>> {
        let problem = |span, message| vec![carriers::Problem { span, message, hint: Some("toy hint".into()) }];
        let toy = Toy::deserialize(ValueDeserializer::from(table)).map_err(|e| problem(e.span(), "toy".into()))?;
        if let Some(secret) = &toy.secret {
            secrets(secret.get_ref()).map_err(|why| problem(Some(secret.span()), why))?;
        }
        let reach = match (&toy.address, &toy.listen) {
            (_, Some(listen)) => Reach::Listen(listen.clone()),
            (address, None) => Reach::Dial(address.clone().unwrap_or_default()),
        };
        let (role, transport) = (Role::Both, Transport::Stream);
        Ok(Arc::new(ToyProfile([Leg { role, reach, transport, life: Life::Held, probe: Probe::None }])))
    }

    fn schema(&self) -> schemars::Schema {
        schemars::schema_for!(Toy)
    }

    fn greet(&self, _: &[u8], _: Option<&Head>, _: SocketAddr) -> Greeting {
        Greeting::More
    }
}

struct ToyProfile([Leg; 1]);

impl Profile for ToyProfile {
    fn legs(&self) -> &[Leg] {
        &self.0
    }
    fn open(&self, _: usize, _: u64) -> Box<dyn Session> {
        unreachable!("checking opens nothing")
    }
    fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        let quote = Quote { parts: 1, coding: carriers::Coding::Gsm7 };
        if mt.text.contains("toy") { Err(Unsendable::Sender("toy")) } else { Ok(quote) }
    }
    fn split(&self, _: &Mt<'_>) -> Result<Parts, Unsendable> {
        Err(Unsendable::Sender("toy"))
    }
    fn takes(&self, name: &str, value: &str) -> Result<bool, &'static str> {
        match name {
            "speed" if value == "fast" => Ok(true),
            "speed" => Err("fast"),
            _ => Ok(false),
        }
    }
    fn early_id(&self, _: AttemptRef, _: u8) -> Option<CarrierId> {
        None
    }
    fn account(&self) -> &str {
        "toy"
    }
    fn fingerprint(&self) -> String {
        format!("{:?}", self.0)
    }
}

static TOYS: &[&dyn Protocol] = &[&ToyProtocol];

const CHANNEL: &str = r#"
[[channel]]
name = "a"
carrier = "pccw"
protocol = "toy"
rate = 200
[channel.toy]
address = "127.0.0.1:1"
"#;
const GROUP: &str = "[[group]]\nname = \"g\"\nchannels = [{ name = \"a\" }]\n";
const ROUTE: &str = "[[route]]\nname = \"r\"\ngroup = \"g\"\n";
const TIER: &str = "[[tier]]\nname = \"vip\"\nvalidity = \"2m\"\nbackoff = [\"250ms\"]\nacked = \"never\"\n";
const APP: &str = "[[app]]\nid = \"shop\"\nkeys = [\"env:KEY\"]\nrate = 500\n";

fn write(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("8f14e45fceea167a5a36dedd4bea2543".into()),
        "HOOK" => Some("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into()),
        _ => None,
    }
}

fn plan(files: &[(&str, &str)]) -> Result<(Plan, Vec<Problem>), Vec<Problem>> {
    load_among(write(files).path(), Names::default(), &env, TOYS, |_| Ok(()), &Inputs::default())
}

/// The problems of `qiao.toml`, one line each, hints after a bar.
fn problems(text: &str) -> Vec<String> {
    problems_of(&[(MAIN_FILE, text)])
}

fn problems_of(files: &[(&str, &str)]) -> Vec<String> {
    let list = match plan(files) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    list.iter().map(|p| p.to_string().replace("\n  hint: ", " | ")).collect()
}

fn whole() -> String {
    [CHANNEL, GROUP, ROUTE, APP].concat()
}

#[test]
fn a_whole_configuration_becomes_a_plan_with_the_documented_defaults() {
    let (plan, warnings) = plan(&[(MAIN_FILE, &whole())]).unwrap();
    assert_eq!(warnings, []);
    let channel = &plan.channels[0];
    assert_eq!((&*channel.name, channel.carrier.as_str(), channel.protocol.name()), ("a", "pccw", "toy"));
    assert_eq!((channel.rate, channel.burst, channel.window, channel.links), (200.0, 4, 10, 1));
    assert_eq!((channel.receipts, channel.max_parts, channel.cost), (true, 10, 0.0));
    assert_eq!(channel.tiers, [TierId(0), TierId(1), TierId(2)]);
    assert_eq!(plan.groups[0].channels, [channel.id]);
    assert_eq!(plan.groups[0].spill_after, Some(Duration::from_secs(1)));
    assert_eq!(plan.routes[0].group, plan.groups[0].id);
    let tiers: Vec<_> = plan.tiers.iter().map(|t| (&*t.name, t.validity.as_secs(), t.attempts, t.shed_at)).collect();
    assert_eq!(tiers, [("otp", 300, 3, 95), ("notice", 3600, 5, 80), ("marketing", 86_400, 5, 70)]);
    assert_eq!(plan.tiers[0].acked, InDoubt::Resend(Duration::ZERO));
    assert_eq!(plan.tiers[1].acked, InDoubt::Resend(Duration::from_secs(30)));
    assert_eq!(plan.tiers[2].acked, InDoubt::Wait);
    assert_eq!(plan.node.http_listen.to_string(), "127.0.0.1:8080");
    assert_eq!((plan.node.segment_bytes, plan.node.journal_max_bytes), (64 << 20, 8 << 30));
    assert_eq!(plan.apps[0].tiers.len(), 3);
}

#[test]
fn an_access_number_is_digits_and_belongs_to_one_app() {
    let with = |numbers: &str| format!("{}numbers = {numbers}\n", whole());
    let (plan, _) = plan(&[(MAIN_FILE, &with("[\"+10690001\", \"106900012\"]"))]).unwrap();
    assert_eq!(plan.apps[0].numbers, ["10690001", "106900012"]);
    let two = with("[\"10690001\", \"1069x\", \"\"]")
        + "[[app]]\nid = \"other\"\nkeys = \"k0000000000000000000000000000000000000000\"\n\
         rate = 1\nnumbers = \"+10690001\"\n";
    let found = problems(&two);
    let is = |what: &str| found.iter().filter(|problem| problem.contains(what)).count();
    assert_eq!((is("is no access number"), is("\"10690001\" is already given at qiao.toml:")), (2, 1), "{found:?}");
}

#[test]
fn uplink_waits_are_ten_minutes_or_what_is_written() {
    let (bare, _) = plan(&[(MAIN_FILE, &whole())]).unwrap();
    assert_eq!(bare.node.uplink_join_wait, Duration::from_secs(600));
    let main = format!("[uplink]\njoin_wait = \"30s\"\nduplicate_window = \"1m\"\n{}", whole());
    let (plan, _) = plan(&[(MAIN_FILE, &main)]).unwrap();
    let waits = (plan.node.uplink_join_wait, plan.node.uplink_duplicate_window);
    assert_eq!(waits, (Duration::from_secs(30), Duration::from_secs(60)));
}

#[test]
fn test_messages_have_an_app_and_a_group_of_their_own() {
    let with = |test: &str| CHANNEL.to_owned() + "[channel.test]\n" + test + GROUP + ROUTE + APP;
    let (plan, _) = plan(&[(MAIN_FILE, &with("to = \"+8613800138000\"\n"))]).unwrap();
    let test = plan.channels[0].test.as_ref().unwrap();
    assert_eq!((test.to.as_slice(), test.text.as_str()), (&["+8613800138000".to_owned()][..], "test"));
    let periods = (test.every, test.receipt_within, test.tier);
    assert_eq!(periods, (Duration::from_secs(600), Duration::from_secs(120), TierId(1)));
    let (app, group) = (&plan.names.apps[usize::from(test.app.0)], &plan.names.groups[usize::from(test.group.0)]);
    assert!(super::plan::is_internal(app) && super::plan::is_internal(group), "{app} {group}");
    assert!(plan.groups.iter().all(|g| g.id != test.group) && plan.apps.iter().all(|a| a.id != test.app));
    assert!(!format!("{test:?} {}", plan.written).contains("13800138000"), "{test:?} {}", plan.written);
    let wrong = "to = [\"13800138000\", \"env:NONE\"]\nevery = \"1ms\"\ntier = \"vip\"\ntext = \"toy\"\nrate = 1\n";
    let found = problems(&with(wrong));
    for what in ["unknown key `rate`", "needs a plus sign", "NONE is not set", "`every`", "unknown tier \"vip\""] {
        assert!(found.iter().any(|problem| problem.contains(what)), "{what}: {found:?}");
    }
    let found = problems(&with("to = \"+8613800138000\"\ntext = \"toy\"\n"));
    assert!(found[0].contains("the test message cannot be sent"), "{found:?}");
    assert!(problems(&with("every = \"1h\"\n"))[0].contains("`to` is missing"));
    assert!(problems(&with("to = []\n"))[0].contains("`to` is empty"));
}

#[test]
fn keys_are_kept_only_as_hashes() {
    use sha2::{Digest, Sha256};
    let (plan, _) = plan(&[(MAIN_FILE, &whole())]).unwrap();
    let hash: [u8; 32] = Sha256::digest(env("KEY").unwrap().as_bytes()).into();
    assert_eq!(plan.apps[0].keys, [hash]);
}

#[test]
fn included_files_are_merged_and_problems_name_them() {
    let main = "include = [\"channels/*.toml\", \"rest.toml\"]\n[node]\nname = \"gw-1\"\n";
    let rest = [GROUP, ROUTE, APP].concat();
    let files = [(MAIN_FILE, main), ("channels/a.toml", CHANNEL), ("channels/a.toml~", "broken"), ("rest.toml", &rest)];
    let (plan, warnings) = plan(&files).unwrap();
    assert_eq!((plan.node.name.as_str(), plan.channels.len(), warnings.len()), ("gw-1", 1, 0));

    let channel = CHANNEL.replace("rate = 200", "rate = 0");
    let rest = rest.replace("\"g\"\nchannels", "\"g\"\nstrategy = \"qualty\"\nchannels");
    let found = problems_of(&[(MAIN_FILE, main), ("channels/a.toml", &channel), ("rest.toml", &rest)]);
    assert_eq!(
        found,
        [
            "channels/a.toml:6:8: error: `rate` is 0, not above 0 and at most 1000000 parts per second",
            "rest.toml:3:12: error: unknown strategy \"qualty\" | did you mean \"quality\"?",
        ]
    );
}

#[test]
fn a_file_that_is_not_there_is_reported_where_it_is_named_and_hides_no_names() {
    let found = problems(&["include = [\"channels.toml\"]\n", GROUP, ROUTE, APP].concat());
    assert_eq!(found.len(), 1, "the channel may well be in that file: {found:?}");
    assert!(found[0].starts_with("qiao.toml:1:12: error: include channels.toml: cannot be read"), "{found:?}");
}

#[test]
fn node_settings_belong_into_the_main_file() {
    let main = "include = [\"a.toml\"]\n";
    let found = problems_of(&[(MAIN_FILE, main), ("a.toml", "include = []\n[http]\n")]);
    assert_eq!(
        found,
        [
            "a.toml:1:1: error: `include` belongs into qiao.toml | move it to qiao.toml",
            "a.toml:2:2: error: `http` belongs into qiao.toml | move it to qiao.toml",
        ]
    );
}

#[test]
fn unknown_names_are_reported_with_the_nearest() {
    let text = whole()
        .replace("{ name = \"a\" }", "{ name = \"b\" }")
        .replace("group = \"g\"", "group = \"gg\"\nmatch = { tier = [\"opt\"], app = \"ship\", type = \"sns\" }")
        .replace("rate = 500", "rate = 500\ntiers = [\"notices\"]");
    assert_eq!(
        problems(&text),
        [
            "qiao.toml:11:13: error: unknown channel \"b\" | did you mean \"a\"?",
            "qiao.toml:14:9: error: unknown group \"gg\" | did you mean \"g\"?",
            "qiao.toml:15:19: error: unknown tier \"opt\" | did you mean \"otp\"?",
            "qiao.toml:15:33: error: unknown app \"ship\" | did you mean \"shop\"?",
            "qiao.toml:15:48: error: unknown type \"sns\" | did you mean \"sms\"?",
            "qiao.toml:20:10: error: unknown tier \"notices\" | did you mean \"notice\"?",
        ]
    );
}

#[test]
fn names_are_defined_once() {
    let found = problems(&[whole().as_str(), GROUP, APP].concat());
    assert_eq!(found[0], "qiao.toml:20:8: error: group \"g\" is already defined at qiao.toml:10");
    assert!(found[1].starts_with("qiao.toml:23:6: error: app \"shop\" is already defined"), "{found:?}");
    assert!(found[2].contains("has a key of app"), "{found:?}");
}

#[test]
fn missing_keys_are_all_named_at_once() {
    let found = problems("[[channel]]\n[[group]]\n[[route]]\n[[app]]\n");
    let keys: Vec<_> = found.iter().map(|p| (&p[..13], p.split('`').nth(1).unwrap_or_default())).collect();
    for expected in [
        ("qiao.toml:1:1", "name"),
        ("qiao.toml:1:1", "carrier"),
        ("qiao.toml:1:1", "rate"),
        ("qiao.toml:1:1", "protocol"),
        ("qiao.toml:2:1", "name"),
        ("qiao.toml:2:1", "channels"),
        ("qiao.toml:3:1", "name"),
        ("qiao.toml:3:1", "group"),
        ("qiao.toml:4:1", "id"),
        ("qiao.toml:4:1", "keys"),
        ("qiao.toml:4:1", "rate"),
    ] {
        assert!(keys.contains(&expected), "{expected:?} in {found:#?}");
    }
    assert_eq!(found.len(), 11);
}

#[test]
fn plain_http_off_loopback_needs_a_word() {
    let found = problems("[http]\nlisten = \"0.0.0.0:8080\"\n[admin]\nlisten = \"[::]:9090\"\n");
    assert!(found[0].starts_with("qiao.toml:2:10: error: [http] plain HTTP on 0.0.0.0:8080"), "{found:?}");
    assert!(found[1].starts_with("qiao.toml:4:10: error: [admin] plain HTTP on [::]:9090"), "{found:?}");
    let (_, warnings) = plan(&[(MAIN_FILE, "[http]\nlisten = \"0.0.0.0:8080\"\ninsecure = true\n")]).unwrap();
    assert_eq!(warnings.len(), 1, "only that it is empty");
    let found = problems("[http]\ntls = { cert = \"c\", key = \"k\" }\n");
    assert!(found[0].starts_with("qiao.toml:2:7: error: [http] `tls` is not available"), "{found:?}");
}

#[test]
fn weak_keys_are_refused_and_not_repeated() {
    let found = problems(&whole().replace("env:KEY", "hunter2hunter2"));
    assert_eq!(found, ["qiao.toml:17:9: error: `keys` has less than 128 bits | make one with: openssl rand -hex 32"]);
    let found = problems(&whole().replace("env:KEY", "env:NONE"));
    assert_eq!(found, ["qiao.toml:17:9: error: `keys`: environment variable NONE is not set"]);
}

#[test]
fn callbacks_are_checked() {
    let callback = |text: &str| problems(&format!("{}\n[app.callback]\n{text}", whole()));
    assert_eq!(callback("url = \"https://shop.example/\"\nsecret = \"env:HOOK\"\n"), [""; 0]);
    let found = callback("url = \"http://shop.example/\"\nsecret = [\"env:HOOK\", \"whsec_short\"]\nallow = 1\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("qiao.toml:21:7: error: `url` is plain http"), "{found:?}");
    assert!(found[1].starts_with("qiao.toml:22:23: error: `secret` is not `whsec_`"), "{found:?}");
    assert!(found[2].starts_with("qiao.toml:23:1: error: unknown key `allow`"), "{found:?}");
}

#[test]
fn a_protocols_own_problems_have_their_place() {
    let text = CHANNEL.replace("address = \"127.0.0.1:1\"", "secret = \"env:NONE\"");
    let files = [(MAIN_FILE, "include = [\"c.toml\"]\n"), ("c.toml", text.as_str())];
    assert_eq!(problems_of(&files), ["c.toml:8:10: error: environment variable NONE is not set | toy hint"]);
    let found = problems(&whole().replace("[channel.toy]\naddress = \"127.0.0.1:1\"\n", ""));
    assert_eq!(
        found,
        ["qiao.toml:2:1: error: the table [channel.toy] is missing | write [channel.toy] below this [[channel]]"]
    );
    let found = problems(&whole().replace("protocol = \"toy\"", "protocol = \"tyo\""));
    assert!(
        found.contains(&"qiao.toml:5:12: error: protocol \"tyo\" is not available | did you mean \"toy\"?".to_owned())
    );
}

#[test]
fn open_listeners_name_their_peers_and_tell_channels_apart() {
    let listening = whole().replace("address = \"127.0.0.1:1\"", "listen = \"0.0.0.0:1\"");
    let found = problems(&listening);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("qiao.toml:2:1: error: channel \"a\" listens on 0.0.0.0:1 for anyone"), "{found:?}");
    let guarded = listening.replace("rate = 200", "rate = 200\nallow_from = [\"10.1.2.3/16\"]");
    let (plan, _) = plan(&[(MAIN_FILE, &guarded)]).unwrap();
    assert_eq!(plan.channels[0].allow_from, ["10.1.0.0/16".parse().unwrap()]);
    let twin = CHANNEL.replace("address", "listen").replace("\"a\"", "\"b\"");
    let found = problems(&[whole().replace("address", "listen").as_str(), &twin].concat());
    assert!(found[0].contains("cannot be told from channel \"a\" on 127.0.0.1:1"), "{found:?}");
}

#[test]
fn a_tier_says_how_it_is_served_and_an_app_how_fast_it_may_be() {
    use crate::config::plan::Service;
    let tiers = "[[tier]]\nname = \"otp\"\n[[tier]]\nname = \"notice\"\nweight = 9\n\
                 [[tier]]\nname = \"bulk\"\nservice = \"weighted\"\nminimum = 10\n";
    let main = [tiers, &whole(), "send_rate = 50\n"].concat();
    let (plan, warnings) = plan(&[(MAIN_FILE, &main)]).unwrap();
    assert_eq!(warnings, []);
    let service: Vec<_> = plan.tiers.iter().map(|tier| tier.service).collect();
    let weighted = |weight, minimum| Service::Weighted { weight, minimum };
    assert_eq!(service, [Service::Strict, weighted(9, 5), weighted(4, 10)]);
    assert_eq!((plan.apps[0].rate, plan.apps[0].send_rate), (500, Some(50)));
    assert!(problems(&[&whole(), "send_rate = 0\n"].concat())[0].contains("`send_rate` is 0"));
}

#[test]
fn tiers_start_from_the_built_in_one_of_their_name() {
    let otp = "[[tier]]\nname = \"otp\"\nacked = \"never\"\n";
    let (plan, _) = plan(&[(MAIN_FILE, &[otp, TIER, &whole()].concat())]).unwrap();
    assert_eq!(plan.tiers.len(), 2);
    assert_eq!((plan.tiers[0].attempts, plan.tiers[0].acked), (3, InDoubt::Wait));
    assert_eq!((plan.tiers[1].attempts, plan.tiers[1].validity.as_secs()), (5, 120));
    assert_eq!(
        (plan.tiers[1].shed_at, plan.tiers[1].unacked),
        (80, InDoubt::Resend(Duration::from_secs(10))),
        "as notice"
    );
    assert_eq!(plan.tiers[1].backoff, [Duration::from_millis(250)]);
    assert_eq!(plan.names.tiers.len(), 2);
}

#[test]
fn number_tables_are_read_and_their_lines_named() {
    let main = |csv: &str| format!("[numbers]\nplan = \"{csv}\"\n{}", whole());
    let matching = main("n.csv").replace("group = \"g\"", "group = \"g\"\nmatch = { carrier = \"china-mobil\" }");
    let found = problems_of(&[(MAIN_FILE, &matching), ("n.csv", "86138,china-mobile,,CN\n")]);
    assert_eq!(
        found,
        ["qiao.toml:17:21: warning: no number has the carrier \"china-mobil\" by [numbers] \
          | did you mean \"china-mobile\"?"]
    );
    let found = problems_of(&[(MAIN_FILE, &main("n.csv")), ("n.csv", "86138,china-mobile\n")]);
    assert_eq!(found, ["n.csv:1:1: error: not of the form prefix,carrier,region,country (without quotes)"]);
    let found = problems(&main("none.csv"));
    assert!(found[0].starts_with("qiao.toml:2:8: error: none.csv cannot be read"), "{found:?}");
    let found = problems(&whole().replace("group = \"g\"", "group = \"g\"\nmatch = { region = \"x\" }"));
    assert!(found[0].contains("`match.region` needs the number tables"), "{found:?}");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let spare = CHANNEL.replace("\"a\"", "\"b\"");
    let group = GROUP.replace("\"g\"", "\"h\"");
    let route = ROUTE.replace("\"r\"", "\"s\"").replace("group", "match = { prefix = \"+86\" }\ngroup");
    let found = problems(&[whole().as_str(), &spare, &group, &route].concat());
    assert_eq!(
        found,
        [
            "qiao.toml:21:8: warning: channel \"b\" is not used | name it in a [[group]]",
            "qiao.toml:28:8: warning: group \"h\" is not used | name it in a [[route]]",
            "qiao.toml:30:1: warning: route \"s\" never matches: \"r\" before it takes all | move it up or remove it",
        ]
    );
    let text = whole()
        .replace("rate = 200", "rate = 200\ntiers = [\"otp\"]")
        .replace("group = \"g\"", "group = \"g\"\nmatch = { tier = \"notice\" }");
    assert_eq!(
        problems(&text),
        [
            "qiao.toml:11:8: warning: no channel of group \"g\" takes tier \"notice\" | add the tier to a channel's `tiers`"
        ]
    );
}

#[test]
fn groups_are_ordered_by_preference() {
    let two = [CHANNEL, &CHANNEL.replace("\"a\"", "\"b\"").replace(":1\"", ":2\"")].concat();
    let group = "[[group]]\nname = \"g\"\nspill_after = \"never\"\n\
                 channels = [{ name = \"a\", preference = 5 }, { name = \"b\" }]\n";
    let (plan, _) = plan(&[(MAIN_FILE, &[two.as_str(), group, ROUTE, APP].concat())]).unwrap();
    let order: Vec<_> = plan.groups[0].channels.iter().map(|id| &*plan.names.channels[id.0 as usize]).collect();
    assert_eq!(order, ["b", "a"]);
    assert_eq!(plan.groups[0].spill_after, None);
}

#[test]
fn a_group_says_how_it_chooses() {
    use crate::config::plan::{Balance, Strategy};
    let two = [CHANNEL, &CHANNEL.replace("\"a\"", "\"b\"").replace(":1\"", ":2\"")].concat();
    let chooses = |lines: &str, weight: &str| {
        let members = format!("channels = [{{ name = \"a\", preference = 5 }}, {{ name = \"b\"{weight} }}]\n");
        let group = format!("[[group]]\nname = \"g\"\n{members}{lines}\n");
        plan(&[(MAIN_FILE, &[two.as_str(), &group, ROUTE, APP].concat())])
    };
    let group = |lines: &str, weight: &str| chooses(lines, weight).unwrap().0.groups.remove(0);
    let second = Some(Duration::from_secs(1));
    let quick = Some(Duration::ZERO);
    let weighted = group("strategy = \"weighted\"", ", weight = 3");
    assert_eq!((weighted.strategy, weighted.spill_after), (Strategy::Weighted(vec![3, 1]), quick), "in their order");
    let quality = group("strategy = \"quality\"\nexplore = 0.1", "");
    assert_eq!((quality.strategy, quality.spill_after), (Strategy::Quality { explore: 0.1 }, second));
    let balanced = group("strategy = \"balanced\"\n[group.balance]\ncost = 5\nmost_latency = \"3s\"", "");
    let most_latency = Duration::from_secs(3);
    let balance = Balance { cost: 5.0, most_latency, ..Balance::default() };
    assert_eq!((balanced.strategy, balanced.spill_after), (Strategy::Balanced(balance), quick));
    let spill = group("strategy = \"weighted\"\nspill_after = \"2s\"", "");
    assert_eq!(spill.spill_after, Some(Duration::from_secs(2)));

    let (_, warnings) = chooses("strategy = \"least-cost\"", "").unwrap();
    let warnings: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["no channel of group \"g\" has a cost: there is no cheapest one"]);
    for (lines, weight, message) in [
        ("strategy = \"weighted\"", ", weight = 1001", "`weight` is 1001, outside 0 to 1000"),
        ("", ", weight = 1", "`weight` means nothing with strategy \"preference\""),
        ("explore = 0.1", "", "`explore` means nothing with strategy \"preference\""),
        ("strategy = \"quality\"\nexplore = 0.6", "", "`explore` is 0.6, outside 0.0 to 0.5"),
        ("strategy = \"quality\"\n[group.balance]\ncost = 1", "", "`balance` means nothing with strategy \"quality\""),
        (
            "strategy = \"balanced\"\n[group.balance]\ncost = 0\nquality = 0\nlatency = 0\nload = 0",
            "",
            "nothing counts: all weights of `balance` are 0",
        ),
        (
            "strategy = \"balanced\"\n[group.balance]\nleast_success = 1.5",
            "",
            "`least_success` is 1.5, outside 0.0 to 1.0",
        ),
    ] {
        let problems = chooses(lines, weight).map(|_| ()).unwrap_err();
        let problems: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(problems, [message], "{lines}");
    }
    let none = group("strategy = \"weighted\"", ", weight = 0");
    assert_eq!(none.strategy, Strategy::Weighted(vec![0, 1]));
}

#[test]
fn indexes_of_the_plan_in_force_are_kept() {
    let dir = write(&[(MAIN_FILE, &whole())]);
    let mut names = Names::default();
    names.channel("gone");
    names.tier("marketing");
    let (plan, _) = load_among(dir.path(), names, &env, TOYS, |_| Ok(()), &Inputs::default()).unwrap();
    assert_eq!(plan.channels[0].id.0, 1);
    assert_eq!(plan.tiers.iter().map(|t| t.id.0).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn broken_toml_is_reported_with_all_its_errors_and_no_followers() {
    let found = problems(&format!("a = \nb = ]\n{}", [GROUP, ROUTE].concat()));
    assert!(found.len() >= 2 && found[0].starts_with("qiao.toml:1:"), "{found:?}");
    assert!(!found.iter().any(|p| p.contains("unknown channel")), "{found:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_give_problems_and_never_a_panic(
        damage in proptest::collection::vec((0.0..1.0f64, "[\\[\\]{}=\"\\n#.,a-c0-9-]{0,3}", 0usize..9), 1..6)
    ) {
        let mut text: Vec<char> = [TIER, &whole()].concat().chars().collect();
        for (at, insert, cut) in damage {
            let at = (at * text.len() as f64) as usize;
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        for problem in problems(&text) {
            proptest::prop_assert!(problem.starts_with("qiao.toml:"), "{problem}");
        }
    }
}

/// The configurations this repository carries.
mod carried {
    use std::path::PathBuf;

    use super::*;

    fn check(name: &str) -> Plan {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops/config").join(name);
        let env = |name: &str| {
            Some(match name {
                _ if name.ends_with("_KEY") => format!("{name:x>40}").replace('_', "-") + "0123456789",
                _ if name.ends_with("_HOOK_SECRET") => "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into(),
                _ => "secret".into(),
            })
        };
        let (plan, warnings) = load_with(&dir, Names::default(), &env).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        assert_eq!(warnings, []);
        plan
    }

    #[test]
    fn the_example_passes_the_check() {
        let plan = check("example");
        assert!(plan.channels.len() >= 2 && plan.apps.len() >= 2 && !plan.numbers.is_empty());
    }

    #[test]
    fn the_demo_passes_the_check() {
        let plan = check("demo");
        let names: Vec<&str> = plan.channels.iter().map(|c| &*c.name).collect();
        assert_eq!(names, ["mobile", "unicom", "telecom", "hub"]);
        assert_eq!(plan.node.http_listen.port(), 18080);
        assert_eq!(plan.node.admin_listen.port(), 19090);
    }
}

/// What one plan changes about another.
mod diff {
    use super::super::diff::Diff;
    use super::*;

    /// The changes from one text to the next, and what waits for a restart.
    fn between(old: &str, new: &str) -> (Vec<String>, Vec<String>, bool) {
        let dir = write(&[(MAIN_FILE, old)]);
        let load = |names| load_among(dir.path(), names, &env, TOYS, |_| Ok(()), &Inputs::default()).unwrap().0;
        let old = load(Names::default());
        fs::write(dir.path().join(MAIN_FILE), new).unwrap();
        let new = load(old.names.clone());
        let diff = Diff::between(&old, &new);
        (diff.changes.iter().map(ToString::to_string).collect(), diff.restart, diff.routing)
    }

    /// As [`between`], from [`whole`] to the same with `from` replaced.
    fn replaced(from: &str, to: &str) -> (Vec<String>, bool) {
        assert!(whole().contains(from));
        let (changes, restart, routing) = between(&whole(), &whole().replace(from, to));
        assert_eq!(restart, [""; 0]);
        (changes, routing)
    }

    #[test]
    fn the_same_plan_changes_nothing() {
        assert_eq!(between(&whole(), &whole()), (vec![], vec![], false));
        let other_way = [APP, GROUP, CHANNEL, ROUTE].concat();
        assert_eq!(between(&whole(), &other_way), (vec![], vec![], false), "where things stand is nothing to a plan");
    }

    #[test]
    fn what_is_added_and_removed_is_named() {
        let second = CHANNEL.replace("\"a\"", "\"b\"").replace("127.0.0.1:1", "127.0.0.1:2");
        let (more, _, routing) = between(&whole(), &[whole().as_str(), &second].concat());
        assert_eq!((more, routing), (vec!["channel b: added".to_owned()], true));
        let (less, _, routing) = between(&whole(), &[CHANNEL, GROUP, APP].concat());
        assert_eq!((less, routing), (vec!["route r: removed".to_owned()], true));
    }

    #[test]
    fn what_changed_is_said_in_words_and_whether_messages_go_other_ways() {
        for (from, to, words, routing) in [
            ("rate = 200", "rate = 100", "channel a: rate 200 → 100, burst 4 → 2", false),
            ("rate = 200", "rate = 200\ncost = 0.5\nlinks = 2", "channel a: links 1 → 2, cost 0 → 0.5", false),
            ("rate = 200", "rate = 200\ntiers = \"otp\"", "channel a: tiers [otp notice marketing] → [otp]", true),
            ("rate = 200", "rate = 200\nwindow = 20", "channel a: window 10 → 20, its links are made anew", true),
            ("127.0.0.1:1", "127.0.0.1:9", "channel a: account changed, its links are made anew", true),
            ("name = \"r\"", "name = \"r\"\nmatch = { tier = \"otp\" }", "route r: conditions changed", true),
            ("name = \"g\"", "name = \"g\"\nspill_after = \"5s\"", "group g: spill_after 1s → 5s", true),
            (
                "name = \"g\"",
                "name = \"g\"\nstrategy = \"weighted\"",
                "group g: strategy preference → weighted 1, spill_after 1s → 0ns",
                true,
            ),
            ("rate = 500", "rate = 50", "app shop: rate 500 → 50", false),
        ] {
            assert_eq!(replaced(from, to), (vec![words.to_owned()], routing), "{to}");
        }
    }

    #[test]
    fn an_account_stays_with_its_channel() {
        let moved = |old: &str, new: &str| {
            let load = |text: &str| plan(&[(MAIN_FILE, text)]).unwrap().0;
            super::super::diff::moved(&load(old), &load(new)).into_iter().map(|p| p.message).collect::<Vec<_>>()
        };
        let found = |to: &str, from: &str| {
            format!(
                "channel `{to}` has the account of channel `{from}`: receipts of what `{from}` sent would find nobody"
            )
        };
        let named = |name: &str, port: u16| {
            CHANNEL.replace("\"a\"", &format!("\"{name}\"")).replace(":1\"", &format!(":{port}\""))
        };
        let two = |first: String, second: String| [first, second].concat();
        assert_eq!(moved(CHANNEL, &named("b", 1)), [found("b", "a")]);
        let swapped = moved(&two(named("a", 1), named("b", 2)), &two(named("a", 2), named("b", 1)));
        assert_eq!(swapped, [found("b", "a"), found("a", "b")]);
        for (old, new) in [
            (named("a", 1), named("a", 2)),
            (named("a", 1), named("b", 2)),
            (named("a", 1), two(named("a", 1), named("b", 1))),
            (two(named("a", 1), named("b", 1)), named("b", 1)),
        ] {
            assert_eq!(moved(&old, &new), [""; 0], "{old} {new}");
        }
    }

    #[test]
    fn the_order_of_routes_is_part_of_them() {
        let second = "[[route]]\nname = \"s\"\ngroup = \"g\"\nmatch = { tier = \"otp\" }\n";
        let (old, new) = ([&whole(), second].concat(), [CHANNEL, GROUP, second, ROUTE, APP].concat());
        let moved = |name: &str| format!("route {name}: another place in the order");
        assert_eq!(between(&old, &new), (vec![moved("s"), moved("r")], vec![], true));
    }

    #[test]
    fn secrets_and_addresses_that_may_hold_one_are_only_counted() {
        let hook = |url: &str, secret: &str| {
            format!("{}[app.callback]\nurl = \"https://{url}\"\nsecret = {secret}\n", whole())
        };
        let old = hook("shop.example/?token=hunter2", "\"env:HOOK\"");
        let new = hook("shop.example/?token=hunter3", "[\"env:HOOK\", \"env:HOOK\"]")
            .replace("[\"env:KEY\"]", "[\"env:KEY\", \"Zk3vTq9LxR2bNw7HcY5mPa\"]");
        let (changes, ..) = between(&old, &new);
        let words = "keys changed (1 → 2), callback url changed, callback secrets changed (1 → 2)";
        assert_eq!(changes, [format!("app shop: {words}")]);
        assert_eq!(replaced("env:KEY", "Zk3vTq9LxR2bNw7HcY5mPa").0, ["app shop: keys changed (1 → 1)"]);
    }

    #[test]
    fn what_waits_for_a_restart_stays_as_it_is() {
        let late = "[node]\ndrain_timeout = \"3s\"\n[http]\nlisten = \"127.0.0.1:81\"\n[admin]\ntoken = \"env:KEY\"\n";
        let new = [late, &whole()].concat();
        let (changes, restart, _) = between(&whole(), &new);
        assert_eq!(changes, ["node: [node] drain_timeout 10s → 3s"]);
        assert_eq!(restart, ["[http] listen 127.0.0.1:8080 → 127.0.0.1:81", "[admin] token changed"]);
        let (in_force, files) = (plan(&[(MAIN_FILE, &whole())]).unwrap().0, plan(&[(MAIN_FILE, &new)]).unwrap().0);
        let (before, said) = (in_force.written.clone(), files.written.clone());
        let plan = files.until_restart(&in_force);
        assert_eq!((plan.node.drain_timeout.as_secs(), plan.node.http_listen.port()), (3, 8080));
        assert!(plan.node.admin_token.is_none());
        let mut expected = serde_json::Value::clone(&before);
        expected["node"] = said["node"].clone();
        (expected["http"], expected["admin"]) = (serde_json::json!({}), serde_json::json!({}));
        assert_eq!(*plan.written, expected, "what operators see is what is in force");
        let back = in_force.until_restart(&self::plan(&[(MAIN_FILE, &new)]).unwrap().0);
        assert_eq!((&back.written["http"], &back.written["admin"]), (&said["http"], &said["admin"]));
    }

    #[test]
    fn what_was_read_is_known_by_place_and_content() {
        let rest = [GROUP, ROUTE, APP, "[numbers]\nplan = \"numbers/plan.csv\"\n"].concat();
        let files = [
            (MAIN_FILE, "include = [\"channels/*.toml\", \"rest.toml\"]\n"),
            ("channels/a.toml", &*CHANNEL.replace("address", "secret = \"file:keys/a\"\naddress")),
            ("rest.toml", &rest),
            ("numbers/plan.csv", "86138,mobile,Beijing,CN\n"),
            ("keys/a", "secret"),
        ];
        let dir = write(&files);
        let seen = || {
            let inputs = Inputs::default();
            let _ = load_among(dir.path(), Names::default(), &env, TOYS, |_| Ok(()), &inputs);
            inputs.seen()
        };
        let first = seen();
        let folders: Vec<_> = first.folders.iter().map(|f| f.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        assert_eq!(folders, ["", "channels", "keys", "numbers"].map(std::path::PathBuf::from));
        assert_eq!(first, seen());
        for (name, text) in files {
            fs::write(dir.path().join(name), format!("{text} ")).unwrap();
            assert_ne!(first.digest, seen().digest, "{name}");
            fs::write(dir.path().join(name), text).unwrap();
            assert_eq!(first.digest, seen().digest, "{name}");
        }
        fs::write(dir.path().join("channels/b.toml"), "").unwrap();
        assert_ne!(first.digest, seen().digest, "a file that was not there");
    }
}
