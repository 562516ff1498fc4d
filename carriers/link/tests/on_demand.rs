//! What a leg that is dialled on demand promises, against a far side on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod toy;

use std::time::Duration;

use carriers::{Doubt, Event, Ticket};
use link::{Down, FromLink, Settings, ToLink};
use toy::{Far, Peer, REST, Running, SUBMIT, Toy, UNBIND, UNBIND_OK, frame, submit};

fn settings() -> Settings {
    Settings { retry: vec![Duration::from_secs(3600)], ..Settings::default() }
}

fn submitted(number: u64) -> [FromLink; 2] {
    [FromLink::Event(Event::Submitted(Ticket(number), None)), FromLink::Event(Event::Freed(Ticket(number)))]
}

fn unsent(number: u64) -> [FromLink; 2] {
    [FromLink::Unanswered(Ticket(number), Doubt::Unsent), FromLink::Event(Event::Freed(Ticket(number)))]
}

/// A link that was bound once and rests.
async fn resting() -> (Far, Running) {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::on_demand(&far.target), settings());
    let mut peer = far.bind(4).await;
    link.up().await;
    rest(&mut peer).await;
    assert_eq!(link.next().await, Some(FromLink::Parted));
    (far, link)
}

async fn rest(peer: &mut Peer) {
    peer.write(&frame(REST, 0, &[])).await;
    assert_eq!(peer.read().await.0, UNBIND);
    peer.write(&frame(UNBIND_OK, 0, &[])).await;
}

#[tokio::test]
async fn a_resting_link_is_up_and_comes_back_with_the_next_part() {
    let (far, mut link) = resting().await;
    for number in [1, 2] {
        link.handle.send(vec![submit(number)]);
        let mut peer = far.bind(4).await;
        assert_eq!(peer.read().await, (SUBMIT, number));
        assert_eq!(link.next().await, Some(FromLink::Late(1)), "its pace counts from here");
        peer.answer(number..number + 1).await;
        assert_eq!(link.take(2).await, submitted(number), "neither up nor down is said");
        assert_eq!(link.generation, number + 1, "another connection");
        rest(&mut peer).await;
        assert_eq!(link.next().await, Some(FromLink::Parted));
    }
}

#[tokio::test]
async fn of_parts_that_cross_with_the_goodbye_one_message_goes_by_the_next_connection() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::on_demand(&far.target), settings());
    let mut peer = far.bind(4).await;
    link.up().await;
    peer.write(&frame(REST, 0, &[])).await;
    assert_eq!(peer.read().await.0, UNBIND);
    // Two parts of one message, and two messages more.
    link.handle.send([0x100, 0x101, 0x200, 0x300].into_iter().map(submit).collect());
    peer.write(&frame(UNBIND_OK, 0, &[])).await;
    assert_eq!(link.next().await, Some(FromLink::Parted));
    let mut peer = far.bind(4).await;
    for number in [0x100, 0x101] {
        assert_eq!(peer.read().await, (SUBMIT, number));
    }
    // The others were granted at other times: whoever keeps the pace grants them again.
    assert_eq!(link.take(4).await, [unsent(0x200), unsent(0x300)].concat());
    assert_eq!(link.next().await, Some(FromLink::Late(2)));
    link.handle.send([0x200, 0x300].into_iter().map(submit).collect());
    for number in [0x200, 0x300] {
        assert_eq!(peer.read().await, (SUBMIT, number), "in their order");
    }
}

#[tokio::test]
async fn a_far_side_that_closes_a_quiet_connection_is_no_trouble() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::on_demand(&far.target), settings());
    drop(far.bind(4).await);
    link.up().await;
    assert_eq!(link.next().await, Some(FromLink::Parted));
}

#[tokio::test]
async fn a_part_lost_with_the_connection_takes_the_link_down() {
    let (far, mut link) = resting().await;
    link.handle.send(vec![submit(1)]);
    let mut peer = far.bind(4).await;
    assert_eq!(peer.read().await, (SUBMIT, 1));
    assert_eq!(link.next().await, Some(FromLink::Late(1)));
    drop(peer);
    let lost = link.take(2).await;
    assert!(matches!(lost[0], FromLink::Unanswered(Ticket(1), Doubt::Unacked | Doubt::Acked)), "{lost:?}");
    assert!(matches!(link.next().await, Some(FromLink::Down { retry_in: Some(_), .. })));
}

#[tokio::test]
async fn without_a_connection_what_was_kept_comes_back_unsent() {
    let (far, mut link) = resting().await;
    drop(far);
    link.handle.send((1..7).map(submit).collect());
    // Four places; the others never had one.
    let expected: Vec<_> = [5, 6, 1, 2, 3, 4].into_iter().flat_map(unsent).collect();
    assert_eq!(link.take(12).await, expected);
    let down = link.next().await;
    assert!(matches!(down, Some(FromLink::Down { why: Down::Unreachable(_), .. })), "{down:?}");
    link.handle.send(vec![submit(7)]);
    assert_eq!(link.take(2).await, unsent(7), "down is down");
}

#[tokio::test]
async fn a_login_refused_on_waking_takes_the_link_down() {
    let (far, mut link) = resting().await;
    link.handle.send(vec![submit(1)]);
    let mut peer = far.accept().await;
    peer.read().await;
    peer.write(&frame(toy::BIND_NO, 9, &[])).await;
    assert_eq!(link.take(2).await, unsent(1));
    assert!(matches!(link.next().await, Some(FromLink::Down { .. })));
}

#[tokio::test]
async fn unbind_ends_a_resting_link_and_gives_back_what_waits() {
    let (_far, mut link) = resting().await;
    link.handle.send(vec![submit(1), ToLink::Unbind]);
    assert_eq!(link.take(2).await, unsent(1));
    assert_eq!(link.next().await, Some(FromLink::Closed));
}
