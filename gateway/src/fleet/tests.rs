//! Links that never connect, which is enough to see which there are and when.

use std::time::Duration;

use carriers::{AttemptRef, CarrierId, Leg, Life, Mt, Parts, Probe, Quote, Reach, Session, Transport, Unsendable};
use link::{Batch, FromLink};

use super::*;

struct Toy(Vec<Leg>, &'static str);

impl Profile for Toy {
    fn legs(&self) -> &[Leg] {
        &self.0
    }
    fn open(&self, _: usize, _: u64) -> Box<dyn Session> {
        unreachable!("nobody listens there")
    }
    fn quote(&self, _: &Mt<'_>) -> Result<Quote, Unsendable> {
        Err(Unsendable::Sender("toy"))
    }
    fn split(&self, _: &Mt<'_>) -> Result<Parts, Unsendable> {
        Err(Unsendable::Sender("toy"))
    }
    fn early_id(&self, _: AttemptRef, _: u8) -> Option<CarrierId> {
        None
    }
    fn account(&self) -> &str {
        self.1
    }
    fn fingerprint(&self) -> String {
        self.1.to_owned()
    }
}

const A: ChannelId = ChannelId(3);

fn channel(account: &'static str, links: u16) -> Channel {
    let leg = |role| Leg {
        role,
        reach: Reach::Dial("127.0.0.1:1".to_owned()),
        transport: Transport::Stream,
        life: Life::Held,
        probe: Probe::None,
    };
    Channel {
        id: A,
        name: "a".into(),
        carrier: "company".to_owned(),
        protocol: carriers::PROTOCOLS[0],
        profile: Arc::new(Toy(vec![leg(Role::Send), leg(Role::Receive)], account)),
        rate: 10.0,
        burst: 1,
        window: 10,
        links,
        cost: 0.0,
        tiers: Vec::new(),
        receipts: true,
        max_parts: 10,
        health: None,
        allow_from: Vec::new(),
        test: None,
    }
}

struct Bench {
    fleet: Fleet,
    events: mpsc::Receiver<Batch>,
}

impl Bench {
    fn new() -> Bench {
        let (sender, events) = mpsc::channel(64);
        let settings = link::Settings { retry: vec![Duration::from_secs(3600)], ..link::Settings::default() };
        Bench { fleet: Fleet::new(Metrics::new(), sender, settings), events }
    }

    /// Numbers of the links there are: open ones, then those that are about to end.
    fn links(&self) -> (Vec<u16>, Vec<u16>) {
        let links = self.fleet.links(A);
        let (closing, open): (Vec<_>, Vec<_>) = links.into_iter().partition(|link| link.state == "closing");
        (open.iter().map(|l| l.link).collect(), closing.iter().map(|l| l.link).collect())
    }

    /// Waits until some link has ended, and tells the fleet; whether the channel has left with it.
    async fn end_one(&mut self) -> bool {
        self.fleet.flush();
        for _ in 0..1_000 {
            let batch = self.events.recv().await.unwrap();
            if batch.events.contains(&FromLink::Closed) {
                return self.fleet.closed(batch.id, Wall(0));
            }
        }
        panic!("no link ends");
    }
}

fn numbers(links: &[LinkId]) -> Vec<u16> {
    links.iter().map(|id| id.link).collect()
}

#[tokio::test]
async fn an_unchanged_account_keeps_its_links() {
    let mut bench = Bench::new();
    assert_eq!(bench.fleet.start(&channel("x", 2), Wall(0)).unwrap(), []);
    assert_eq!(bench.links(), (vec![0, 1, 2, 3], vec![]));
    let cheaper = Channel { rate: 5.0, cost: 2.0, tiers: Vec::new(), ..channel("x", 2) };
    assert_eq!(bench.fleet.start(&cheaper, Wall(0)).unwrap(), []);
    assert_eq!(bench.links(), (vec![0, 1, 2, 3], vec![]));
}

#[tokio::test]
async fn a_changed_number_starts_or_ends_only_the_difference() {
    let mut bench = Bench::new();
    bench.fleet.start(&channel("x", 3), Wall(0)).unwrap();
    let closing = bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    assert_eq!(numbers(&closing), [1, 2, 4, 5], "one link stays on each leg");
    assert_eq!(bench.fleet.start(&channel("x", 2), Wall(0)).unwrap(), [], "what was told to end is not told again");
    assert_eq!(bench.links(), (vec![0, 3], vec![1, 2, 4, 5]), "three connections are still there");
    for _ in 0..4 {
        assert!(!bench.end_one().await);
    }
    let (open, closing) = bench.links();
    assert_eq!((open.len(), closing.len()), (4, 0));
    assert!(open.iter().all(|n| [0, 3].contains(n) || *n > 5), "no number twice: {open:?}");
}

#[tokio::test]
async fn another_account_waits_until_the_last_link_of_the_old_one_has_ended() {
    let mut bench = Bench::new();
    bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    assert_eq!(numbers(&bench.fleet.start(&channel("y", 1), Wall(0)).unwrap()), [0, 1]);
    assert_eq!(bench.links(), (vec![], vec![0, 1]));
    assert!(!bench.end_one().await);
    assert_eq!(bench.links().0, [0u16; 0], "one is still there");
    assert!(!bench.end_one().await);
    assert_eq!(bench.links(), (vec![2, 3], vec![]));
    assert!(bench.fleet.of(LinkId { channel: A.0, link: 0 }).is_none(), "that link takes nothing any more");
}

#[tokio::test]
async fn a_channel_leaves_with_its_last_link_and_may_come_back() {
    let mut bench = Bench::new();
    bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    assert_eq!(numbers(&bench.fleet.stop(A, Wall(0))), [0, 1]);
    assert!(bench.fleet.present(A) && !bench.end_one().await, "it is there while a link is");
    assert!(bench.end_one().await && !bench.fleet.present(A) && bench.fleet.open() == 0);
    assert_eq!(bench.fleet.stop(A, Wall(0)), []);
    bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    assert_eq!(bench.links(), (vec![2, 3], vec![]), "under new numbers");
}

#[tokio::test]
async fn what_an_operator_has_drained_stays_drained_over_a_reload() {
    let mut bench = Bench::new();
    bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    assert_eq!(numbers(&bench.fleet.drain(A, true, Wall(0))), [0, 1]);
    for _ in 0..2 {
        assert!(!bench.end_one().await, "the plan still has the channel");
    }
    bench.fleet.start(&channel("y", 2), Wall(0)).unwrap();
    assert!(bench.fleet.drained(A) && bench.links() == (vec![], vec![]));
    bench.fleet.drain(A, false, Wall(0));
    assert_eq!(bench.links().0, [2, 3, 4, 5], "back as the plan has it now");
}

#[tokio::test]
async fn a_leg_that_cannot_be_served_changes_nothing() {
    let mut bench = Bench::new();
    bench.fleet.start(&channel("x", 1), Wall(0)).unwrap();
    let mut other = channel("y", 1);
    let mut legs = other.profile.legs().to_vec();
    legs[1].transport = Transport::Http;
    other.profile = Arc::new(Toy(legs, "y"));
    assert_eq!(bench.fleet.start(&other, Wall(0)), Err(link::Unservable::Transport(Transport::Http)));
    assert_eq!(bench.links(), (vec![0, 1], vec![]));
}

#[tokio::test]
async fn a_listening_leg_has_one_link_and_a_channel_is_deaf_while_it_is_down() {
    let mut bench = Bench::new();
    let mut both = channel("x", 3);
    let mut legs = both.profile.legs().to_vec();
    legs[1].reach = Reach::Listen("127.0.0.1:0".to_owned());
    both.profile = Arc::new(Toy(legs, "x"));
    bench.fleet.start(&both, Wall(0)).unwrap();
    assert_eq!(bench.links(), (vec![0, 1, 2, 3], vec![]), "three that dial, one that listens");
    assert!(bench.fleet.deaf(A));
    let listener = LinkId { channel: A.0, link: 3 };
    assert!(!bench.fleet.sends(listener));
    bench.fleet.turned(listener, "up", String::new(), Wall(1));
    assert!(!bench.fleet.deaf(A));
    let others = Channel { allow_from: vec!["10.0.0.0/8".parse().unwrap()], ..both };
    assert_eq!(bench.fleet.start(&others, Wall(1)).unwrap().len(), 4, "other peers, another place at the door");
}
