//! Which legs a link serves.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod toy;

use std::sync::Arc;

use carriers::{Leg, Profile, Reach, Transport};
use link::{Settings, Spec, Unservable};
use toy::{ID, Toy};

fn refusal(leg: usize, change: impl FnOnce(&mut Leg)) -> Unservable {
    let mut toy = Toy::dialling("127.0.0.1:1");
    change(&mut toy.leg);
    let profile: Arc<dyn Profile> = Arc::new(toy);
    let spec =
        Spec { id: ID, name: "toy".to_owned(), profile, leg, seed: 1, settings: Settings::default(), entrance: None };
    link::spawn(spec, tokio::sync::mpsc::channel(1).0).unwrap_err()
}

#[tokio::test]
async fn legs_that_cannot_be_served_are_refused_by_kind() {
    assert_eq!(refusal(1, |_| {}), Unservable::NoLeg(1));
    assert_eq!(refusal(0, |leg| leg.reach = Reach::Listen("127.0.0.1:0".to_owned())), Unservable::Nowhere);
    assert_eq!(refusal(0, |leg| leg.transport = Transport::Http), Unservable::Transport(Transport::Http));
    assert_eq!(refusal(0, |leg| leg.transport = Transport::Datagram), Unservable::Transport(Transport::Datagram));
}
