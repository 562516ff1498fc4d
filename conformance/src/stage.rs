//! A whole scene: simulated carriers, a callback sink, a configuration directory, a gateway.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::account::Protocol;
use crate::books::{self, Verdict};
use crate::far::{Load, Simulator, Sink};
use crate::gateway::{Gateway, Launch};
use crate::http::Answer;
use crate::ports;
use crate::wait::{self, seconds};

/// The application's key.
pub const KEY: &str = "canary-app-key-7f3d9a1c5e8b2046";
/// Another application's key.
pub const OTHER_KEY: &str = "canary-other-key-2b6f8d0e4a7c9153";
/// The callbacks' secret.
pub const SECRET: &str = "whsec_Y2FuYXJ5LWNhbGxiYWNrLXNlY3JldC0wMTIzNDU2Nzg5";
pub use crate::account::PASSWORD;
/// How long what must happen soon may take.
pub const SOON: Duration = seconds(15);

/// Short waits, so that every message ends within a test.
const TIERS: &str = r#"
[[tier]]
name = "otp"
validity = "20s"
attempts = 10
backoff = ["0s", "100ms", "250ms"]
unacked = "0s"
acked = "0s"
[[tier]]
name = "notice"
validity = "20s"
attempts = 10
backoff = ["100ms", "250ms"]
unacked = "0s"
acked = "500ms"
[[tier]]
name = "marketing"
validity = "20s"
attempts = 10
backoff = ["100ms", "250ms"]
unacked = "500ms"
acked = "1s"
"#;

/// One carrier and our channel to it, which has its name.
#[derive(Clone, Debug)]
pub struct Carrier {
    name: String,
    protocol: Protocol,
    scenario: String,
    contract: String,
    account: String,
    address: Option<SocketAddr>,
    /// Numbers it is for; empty: all that no other carrier is for.
    prefix: String,
    /// Whether we listen for it, where its protocol wants that.
    heard: bool,
}

impl Carrier {
    /// A carrier that answers at once and sends a receipt soon after.
    pub fn named(name: &str) -> Carrier {
        let (scenario, contract) = ("receipts = { after = '50ms' }".into(), "rate = 2000\nwindow = 50".into());
        let (protocol, account) = (Protocol::Smpp, Protocol::Smpp.brisk().into());
        let prefix = String::new();
        Carrier { name: name.into(), protocol, scenario, contract, account, address: None, prefix, heard: true }
    }

    /// It speaks `protocol`, and we do so briskly.
    pub fn speaks(mut self, protocol: Protocol) -> Carrier {
        (self.protocol, self.account) = (protocol, protocol.brisk().into());
        self
    }

    /// It gets what goes to numbers that begin so, alone or with others of that prefix.
    pub fn prefix(mut self, prefix: &str) -> Carrier {
        self.prefix = prefix.into();
        self
    }

    /// We do not listen for it: everything goes over the connection we opened.
    pub fn unheard(mut self) -> Carrier {
        self.heard = false;
        self
    }

    fn listens(&self) -> bool {
        self.protocol.calls_back() && self.heard && self.address.is_none()
    }

    /// How the simulated carrier behaves: lines of its `[[carrier]]`.
    pub fn behaves(mut self, scenario: &str) -> Carrier {
        self.scenario = scenario.into();
        self
    }

    /// What the contract says: lines of our `[[channel]]`.
    pub fn contract(mut self, contract: &str) -> Carrier {
        self.contract = contract.into();
        self
    }

    /// How we speak: lines of our `[channel.…]`.
    pub fn account(mut self, account: &str) -> Carrier {
        self.account = account.into();
        self
    }

    /// A far side of the test's own; none is simulated.
    pub fn at(mut self, address: SocketAddr) -> Carrier {
        self.address = Some(address);
        self
    }
}

/// What a scene is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    carriers: Vec<Carrier>,
    tiers: String,
    receipt_wait: String,
    journal: String,
    seed: u64,
    sink: Vec<String>,
    callbacks: String,
    other: Option<SocketAddr>,
    /// Access numbers, with the app that owns each.
    numbers: Vec<(String, String)>,
    /// Further sections of the node.
    sections: String,
    data: PathBuf,
    launch: Launch,
}

impl Plan {
    /// Our channels lead to these carriers, best first.
    pub fn of(carriers: impl IntoIterator<Item = Carrier>) -> Plan {
        Plan {
            carriers: carriers.into_iter().collect(),
            tiers: TIERS.into(),
            receipt_wait: "5s".into(),
            journal: "segment_bytes = '4MiB'\nmax_bytes = '256MiB'".into(),
            seed: 1,
            sink: Vec::new(),
            callbacks: String::new(),
            other: None,
            numbers: Vec::new(),
            sections: String::new(),
            data: "data".into(),
            launch: Launch::default(),
        }
    }

    /// Where journal and store are to be, instead of `data` beside the configuration.
    pub fn data(mut self, dir: &Path) -> Plan {
        self.data = dir.to_owned();
        self
    }

    /// What the gateway's process, and the callback sink's where it is to be so, are started with.
    pub fn launch(mut self, launch: Launch) -> Plan {
        self.launch = launch;
        self
    }

    /// `[[tier]]` tables instead of the usual short ones.
    pub fn tiers(mut self, tiers: &str) -> Plan {
        self.tiers = tiers.into();
        self
    }

    /// How long after its validity a message waits for its receipt.
    pub fn receipt_wait(mut self, period: &str) -> Plan {
        self.receipt_wait = period.into();
        self
    }

    /// Lines of `[journal]`.
    pub fn journal(mut self, journal: &str) -> Plan {
        self.journal = journal.into();
        self
    }

    /// Seed of the carriers' dice.
    pub fn seed(mut self, seed: u64) -> Plan {
        self.seed = seed;
        self
    }

    /// Access numbers of an app: `shop` or `other`.
    pub fn numbers(mut self, app: &str, numbers: &[&str]) -> Plan {
        self.numbers.extend(numbers.iter().map(|number| (app.to_owned(), (*number).to_owned())));
        self
    }

    /// Further sections of `qiao.toml`.
    pub fn sections(mut self, sections: &str) -> Plan {
        self.sections.push_str(sections);
        self
    }

    /// More arguments for the callback sink.
    pub fn sink(mut self, args: &[&str]) -> Plan {
        self.sink = args.iter().map(ToString::to_string).collect();
        self
    }

    /// Lines of `[callbacks]`.
    pub fn callbacks(mut self, callbacks: &str) -> Plan {
        self.callbacks = callbacks.into();
        self
    }

    /// Where the other application's events go.
    pub fn other(mut self, endpoint: SocketAddr) -> Plan {
        self.other = Some(endpoint);
        self
    }

    /// Starts all of it and waits until every channel is up.
    pub fn start(self) -> Stage {
        let stage = self.start_unbound();
        let names: Vec<&str> = stage.plan.carriers.iter().map(|carrier| carrier.name.as_str()).collect();
        stage.gateway.await_channels(&names);
        stage
    }

    /// Starts all of it.
    pub fn start_unbound(self) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let (logs, config) = (dir.path().join("logs"), dir.path().join("config"));
        [&logs, &config].into_iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        // One listener for all that call us: they are told apart by their logins.
        let listen = self.carriers.iter().any(Carrier::listens).then(ports::free);
        let simulator = Simulator::start("carriers", &logs, &self.scenario(&logs, listen));
        let more: Vec<&str> = self.sink.iter().map(String::as_str).collect();
        let sink = Sink::start("callbacks", &logs, SECRET, &more);
        std::fs::write(config.join("line.toml"), self.line(&simulator, sink.address, listen)).unwrap();
        let gateway = Gateway::start(&config, &logs, &self.launch, |http, admin| self.node(http, admin));
        Stage { gateway, simulator, sink, plan: self, logs, dir }
    }

    fn scenario(&self, logs: &Path, listen: Option<SocketAddr>) -> String {
        let mut text = format!("seed = {}\ncarrier = []\n", self.seed);
        let simulated: Vec<_> = self.carriers.iter().filter(|carrier| carrier.address.is_none()).collect();
        if !simulated.is_empty() {
            text = text.replace("carrier = []\n", "");
        }
        for carrier in simulated {
            let Carrier { name, protocol, scenario, .. } = carrier;
            let account = protocol.far(name, listen.filter(|_| carrier.listens()));
            let log = log_of(logs, name);
            writeln!(text, "[[carrier]]\nname = '{name}'\n{account}log = '{}'\n{scenario}", log.display()).unwrap();
        }
        text
    }

    fn node(&self, http: SocketAddr, admin: SocketAddr) -> String {
        let Plan { journal, receipt_wait, tiers, callbacks, sections, data, .. } = self;
        let data = data.display();
        format!(
            "include = ['line.toml']\n[node]\nname = 'test'\ndata_dir = '{data}'\ndrain_timeout = '5s'\n\
             [http]\nlisten = '{http}'\nheader_timeout = '1s'\nbody_timeout = '2s'\n\
             [admin]\nlisten = '{admin}'\n[journal]\n{journal}\n\
             [store]\nhistory = '1h'\nreceipt_wait = '{receipt_wait}'\n[callbacks]\n{callbacks}\n{sections}{tiers}"
        )
    }

    fn numbers_of(&self, app: &str) -> Vec<&str> {
        self.numbers.iter().filter(|(of, _)| of == app).map(|(_, number)| number.as_str()).collect()
    }

    /// A group and a route for each prefix, the route of all other numbers last.
    fn routes(&self) -> String {
        let prefixes: BTreeSet<&str> = self.carriers.iter().map(|carrier| carrier.prefix.as_str()).collect();
        let mut text = String::new();
        for prefix in prefixes.into_iter().rev() {
            let members = self.carriers.iter().filter(|carrier| carrier.prefix == prefix);
            let members: Vec<String> = members.map(|Carrier { name, .. }| format!("{{ name = '{name}' }}")).collect();
            let (group, members) = (group_of(prefix), members.join(", "));
            let (name, condition) = match prefix {
                "" => ("everything", String::new()),
                _ => (group.as_str(), format!("match = {{ prefix = '{prefix}' }}\n")),
            };
            write!(
                text,
                "[[group]]\nname = '{group}'\nchannels = [{members}]\n\
                 [[route]]\nname = '{name}'\n{condition}group = '{group}'\n"
            )
            .unwrap();
        }
        text
    }

    fn line(&self, simulator: &Simulator, sink: SocketAddr, listen: Option<SocketAddr>) -> String {
        let mut text = String::new();
        for carrier in &self.carriers {
            let Carrier { name, protocol, contract, account, address, .. } = carrier;
            let address = address.unwrap_or_else(|| simulator.carriers[name]);
            let near = protocol.near(name, address, listen.filter(|_| carrier.listens()));
            let word = protocol.word();
            writeln!(
                text,
                "[[channel]]\nname = '{name}'\ncarrier = 'carrier-{name}'\nprotocol = '{word}'\n{contract}\n{near}{account}"
            )
            .unwrap();
        }
        text += &self.routes();
        write!(
            text,
            "[[app]]\nid = 'shop'\nkeys = ['{KEY}']\nrate = 100000\nnumbers = {:?}\n[app.callback]\nurl = 'http://{sink}/hooks'\n\
             secret = '{SECRET}'\nallow_private = ['127.0.0.0/8']\n\
             [[app]]\nid = 'other'\nkeys = ['{OTHER_KEY}']\nrate = 100\nnumbers = {:?}\n",
            self.numbers_of("shop"),
            self.numbers_of("other")
        )
        .unwrap();
        if let Some(other) = self.other {
            write!(
                text,
                "[app.callback]\nurl = 'http://{other}/hooks'\nsecret = '{SECRET}'\nallow_private = ['127.0.0.0/8']\n"
            )
            .unwrap();
        }
        text
    }
}

/// A group's name, from the numbers it is for.
fn group_of(prefix: &str) -> String {
    if prefix.is_empty() { "all".to_owned() } else { prefix.replace('+', "to-") }
}

fn log_of(logs: &Path, carrier: &str) -> PathBuf {
    logs.join(format!("carrier-{carrier}.jsonl"))
}

/// A scene that runs. Everything ends with it, the gateway first.
pub struct Stage {
    /// The gateway.
    pub gateway: Gateway,
    /// The carriers.
    pub simulator: Simulator,
    /// The application's side of callbacks.
    pub sink: Sink,
    plan: Plan,
    logs: PathBuf,
    dir: TempDir,
}

impl Stage {
    /// The directory of the configuration, with the gateway's data in `data`.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The gateway's data directory.
    pub fn data(&self) -> PathBuf {
        self.config().join(&self.plan.data)
    }

    /// Posts a message as the application, with these further headers.
    pub fn post_with(&self, message: &Value, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {KEY}");
        let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        self.gateway.call("POST", "/v1/messages", &all, message.to_string().as_bytes())
    }

    /// Posts a message that must be accepted, and gives its id.
    #[track_caller]
    pub fn post(&self, message: &Value) -> String {
        let answer = self.post_with(message, &[]);
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Posts a short text of a tier.
    #[track_caller]
    pub fn send(&self, to: &str, tier: &str) -> String {
        self.post(&json!({ "to": to, "text": "hello", "tier": tier }))
    }

    /// Takes a channel out of service for new messages, or back.
    pub fn hold(&self, channel: &str, held: bool) {
        let token = self.data().join("admin.token");
        let verb = if held { "hold" } else { "release" };
        let (yes, said) = self.gateway.ctl(&["--token-file", &token.to_string_lossy(), verb, channel]);
        assert!(yes, "{verb} {channel}: {said}");
    }

    /// What the application is told of a message.
    pub fn story(&self, id: &str) -> Answer {
        let bearer = format!("Bearer {KEY}");
        self.gateway.call("GET", &format!("/v1/messages/{id}"), &[("Authorization", &bearer)], &[])
    }

    /// Waits for the callback that tells a message's end, and gives its line.
    #[track_caller]
    pub fn told(&self, id: &str) -> Value {
        wait::until(&format!("the end of {id} ({})", self.story(id).text()), seconds(40), || self.events(id).pop())
    }

    /// The ends the application was told of a message so far.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let events = books::of_kind(&self.sink.log, "event");
        events.into_iter().filter(|event| event["message_id"] == id).collect()
    }

    /// What a carrier accepted so far.
    pub fn submits(&self, carrier: &str) -> Vec<Value> {
        books::of_kind(&log_of(&self.logs, carrier), "submit")
    }

    /// Starts load with these arguments.
    pub fn load(&self, name: &str, args: &[&str]) -> Load {
        Load::start(name, &self.logs, self.gateway.http, KEY, args)
    }

    /// Starts load of the other application with these arguments.
    pub fn other_load(&self, name: &str, args: &[&str]) -> Load {
        Load::start(name, &self.logs, self.gateway.http, OTHER_KEY, args)
    }

    /// Runs `qiao ctl` as an operator: what it says, as JSON; it must say yes.
    #[track_caller]
    pub fn order(&self, args: &[&str]) -> Value {
        let token = self.data().join("admin.token");
        let (yes, said) = self.gateway.ctl(&[&["--token-file", &token.to_string_lossy(), "--json"], args].concat());
        assert!(yes, "{args:?}: {said}");
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{args:?}: not JSON: {said}"))
    }

    /// Waits until nothing is under way: every message told and handed to the store.
    #[track_caller]
    pub fn await_rest(&self, within: Duration) {
        let rest = || self.gateway.metrics().sum("qiao_messages", &[]) == 0.0;
        if wait::found(within, || rest().then_some(())).is_none() {
            let untold: String = self.untold().iter().take(3).map(|id| self.story(id).text() + "\n").collect();
            let metrics = self.gateway.metrics();
            panic!("not all messages ended within {within:?}:\n{}without an event:\n{untold}", metrics.text());
        }
    }

    /// Messages that load was told are accepted, and no event tells the end of.
    fn untold(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.logs).unwrap().map(|entry| entry.unwrap().path());
        let posts = files.flat_map(|file| books::of_kind(&file, "post"));
        let id = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let told: BTreeSet<String> =
            books::of_kind(&self.sink.log, "event").iter().map(|event| id(event, "message_id")).collect();
        posts.map(|post| id(&post, "id")).filter(|id| !id.is_empty() && !told.contains(id)).collect()
    }

    /// The checker's verdict on what was written down so far; wholly so once carriers and sink have been stopped.
    pub fn ledger(&self, clients: &[&Load], more: &[&str]) -> Verdict {
        let clients: Vec<&Path> = clients.iter().map(|load| load.ledger.as_path()).collect();
        books::ledger(&clients, &self.carrier_logs(), &self.sink.log, more)
    }

    /// Ends carriers and sink, so that their files are complete, and asks for the verdict.
    pub fn close_books(&mut self, clients: &[&Load], more: &[&str]) -> Verdict {
        self.simulator.stop();
        self.sink.stop();
        self.ledger(clients, more)
    }

    /// The carriers' line files.
    pub fn carrier_logs(&self) -> Vec<PathBuf> {
        let simulated = self.plan.carriers.iter().filter(|carrier| carrier.address.is_none());
        simulated.map(|carrier| log_of(&self.logs, &carrier.name)).collect()
    }

    /// Every file the programs wrote on their way, but for the configuration, journal and store: logs and line files.
    pub fn logs(&self) -> &Path {
        &self.logs
    }
}
