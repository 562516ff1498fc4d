//! What a leg that the far side dials promises, against one on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod toy;

use carriers::{Doubt, Event, Inbound, Settle, Ticket};
use link::{Doors, Down, FromLink, ToLink};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use toy::{BIND_FULL, BIND_NO, BIND_OK, DELIVER, DELIVER_OK, NACK, PASSWORD, PING, Peer, Running, Toy, frame, submit};

const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn channels_share_a_door_and_each_has_its_own_connections() {
    let doors = Doors::default();
    let mut five = Running::listen(Toy::listening(ANY, "5"), &doors, &[]);
    let address = five.listens().await;
    let mut six = Running::listen(Toy::listening(ANY, "6"), &doors, &["127.0.0.0/8"]);
    assert_eq!(six.listens().await, address);
    for (link, account) in [(&mut six, 6), (&mut five, 5)] {
        let mut peer = Peer::dial(address).await;
        assert_eq!(peer.log_in(account, PASSWORD).await, Some(BIND_OK));
        peer.write(&frame(DELIVER, account, &[])).await;
        assert!(matches!(link.next().await, Some(FromLink::Event(Event::Receipt(Inbound(n), _))) if n == account));
        link.handle.send(vec![ToLink::Settle(link.generation, vec![Inbound(account)], Settle::Durable)]);
        assert_eq!(peer.read().await, (DELIVER_OK, account));
        drop(peer);
        assert_eq!(link.next().await, Some(FromLink::Parted));
    }
}

#[tokio::test]
async fn connections_of_one_account_are_conversations_of_their_own() {
    let mut link = Running::listen(Toy::listening(ANY, "5"), &Doors::default(), &[]);
    let address = link.listens().await;
    let (mut one, mut two) = (Peer::dial(address).await, Peer::dial(address).await);
    assert_eq!(one.log_in(5, PASSWORD).await, Some(BIND_OK));
    assert_eq!(two.log_in(5, PASSWORD).await, Some(BIND_OK));
    one.write(&frame(DELIVER, 9, &[])).await;
    link.next().await.unwrap();
    let first = link.generation;
    two.write(&frame(DELIVER, 9, &[])).await;
    link.next().await.unwrap();
    assert_ne!(link.generation, first);
    link.handle.send(vec![ToLink::Settle(link.generation, vec![Inbound(9)], Settle::Durable)]);
    assert_eq!(two.read().await, (DELIVER_OK, 9));
    link.handle.send(vec![ToLink::Settle(first, vec![Inbound(9)], Settle::Durable)]);
    assert_eq!(one.read().await, (DELIVER_OK, 9));
}

#[tokio::test]
async fn five_wrong_logins_lock_address_and_account() {
    let doors = Doors::default();
    let mut link = Running::listen(Toy::listening(ANY, "5"), &doors, &[]);
    let address = link.listens().await;
    for _ in 0..5 {
        assert_eq!(Peer::dial(address).await.log_in(5, 1).await, Some(BIND_NO));
        assert_eq!(link.next().await, Some(FromLink::Parted));
    }
    let mut peer = Peer::dial(address).await;
    peer.write(&frame(toy::BIND, PASSWORD << 8 | 5, &[])).await;
    assert_eq!(peer.read().await, (BIND_NO, 1), "refused unseen, in the protocol's words");
}

#[tokio::test]
async fn strangers_are_refused_in_the_protocols_words() {
    let mut link = Running::listen(Toy::listening(ANY, "5"), &Doors::default(), &[]);
    let address = link.listens().await;
    assert_eq!(Peer::dial(address).await.log_in(99, PASSWORD).await, Some(BIND_NO));
    let mut lost = Peer::dial(address).await;
    lost.write(&frame(PING, 3, &[])).await;
    assert_eq!(lost.read().await, (NACK, 3));
}

#[tokio::test]
async fn an_address_nobody_allows_is_not_heard() {
    let mut link = Running::listen(Toy::listening(ANY, "5"), &Doors::default(), &["10.0.0.0/8"]);
    let address = link.listens().await;
    assert_eq!(Peer::dial(address).await.log_in(5, PASSWORD).await, None);
}

#[tokio::test]
async fn an_address_another_account_allows_is_refused() {
    let doors = Doors::default();
    let mut five = Running::listen(Toy::listening(ANY, "5"), &doors, &["10.0.0.0/8"]);
    let mut six = Running::listen(Toy::listening(ANY, "6"), &doors, &[]);
    let address = five.listens().await;
    six.listens().await;
    assert_eq!(Peer::dial(address).await.log_in(5, PASSWORD).await, Some(BIND_NO));
    assert_eq!(Peer::dial(address).await.log_in(6, PASSWORD).await, Some(BIND_OK));
}

#[tokio::test]
async fn an_account_has_sixteen_connections_at_most() {
    let mut link = Running::listen(Toy::listening(ANY, "5"), &Doors::default(), &[]);
    let address = link.listens().await;
    let mut peers = Vec::new();
    for _ in 0..16 {
        let mut peer = Peer::dial(address).await;
        assert_eq!(peer.log_in(5, PASSWORD).await, Some(BIND_OK));
        peers.push(peer);
    }
    assert_eq!(Peer::dial(address).await.log_in(5, PASSWORD).await, Some(BIND_FULL));
    peers.pop();
    assert_eq!(link.next().await, Some(FromLink::Parted));
    // The place is given back a moment after the word.
    for _ in 0..100 {
        if Peer::dial(address).await.log_in(5, PASSWORD).await == Some(BIND_OK) {
            return;
        }
    }
    panic!("the place is not given back");
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_say_whose_it_is_is_cut_off() {
    let mut link = Running::listen(Toy::listening(ANY, "5"), &Doors::default(), &[]);
    let address = link.listens().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_taken_address_takes_the_link_down_until_it_is_free() {
    let taken = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut link = Running::listen(Toy::listening(&address, "5"), &Doors::default(), &[]);
    let down = link.next().await;
    assert!(matches!(down, Some(FromLink::Down { why: Down::Unreachable(_), retry_in: Some(_) })), "{down:?}");
    drop(taken);
    for _ in 0..20 {
        if let Some(FromLink::Up { .. }) = link.next().await {
            return;
        }
    }
    panic!("it never listens");
}

#[tokio::test]
async fn submits_come_back_and_unbind_ends_conversations_first() {
    let doors = Doors::default();
    let mut link = Running::listen(Toy::listening(ANY, "5"), &doors, &[]);
    let address = link.listens().await;
    link.handle.send(vec![submit(1)]);
    let back = link.take(2).await;
    assert_eq!(back[0], FromLink::Unanswered(Ticket(1), Doubt::Unsent));
    let mut peer = Peer::dial(address).await;
    assert_eq!(peer.log_in(5, PASSWORD).await, Some(BIND_OK));
    link.handle.unbind();
    assert!(matches!(link.next().await, Some(FromLink::Down { retry_in: None, .. })));
    assert_eq!(peer.read().await.0, toy::UNBIND);
    peer.write(&frame(toy::UNBIND_OK, 0, &[])).await;
    assert_eq!(link.next().await, Some(FromLink::Parted));
    assert_eq!(link.next().await, Some(FromLink::Closed));
    let mut other = Running::listen(Toy::listening(ANY, "5"), &doors, &[]);
    other.listens().await;
}
