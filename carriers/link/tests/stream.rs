//! What a TCP link promises, against a far side on loopback.
//!
//! Tests with a paused clock use it in two ways: waits of the link pass at once, and `timeout` rings only when
//! nothing on the runtime can move any more.
#![allow(clippy::unwrap_used, missing_docs)]

mod toy;

use std::time::Duration;

use bytes::Bytes;
use carriers::{Doubt, Event, Fault, Inbound, Settle, Ticket};
use link::{Down, FromLink, Settings, ToLink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, advance, timeout};
use toy::{
    BARE, BIND, BIND_NO, BOMB, DELIVER, DELIVER_OK, Far, NACK, ODD, PING, PONG, Running, SUBMIT, Toy, UNBIND,
    UNBIND_OK, frame, submit, submit_data, submits,
};

/// Longer than anything under a paused clock can take without being stuck.
const STUCK: Duration = Duration::from_secs(3_600);

/// What a link makes of [`ODD`].
const ODD_HEARD: FromLink = FromLink::Event(Event::Leniency("odd"));

fn at_once() -> Settings {
    Settings { retry: Vec::new(), ..Settings::default() }
}

fn submitted(number: u64) -> [FromLink; 2] {
    [FromLink::Event(Event::Submitted(Ticket(number), None)), FromLink::Event(Event::Freed(Ticket(number)))]
}

fn unanswered(number: u64, doubt: Doubt) -> [FromLink; 2] {
    [FromLink::Unanswered(Ticket(number), doubt), FromLink::Event(Event::Freed(Ticket(number)))]
}

fn down(event: FromLink) -> (Down, Option<Duration>) {
    match event {
        FromLink::Down { why, retry_in } => (why, retry_in),
        other => panic!("not down: {other:?}"),
    }
}

#[tokio::test]
async fn what_was_told_before_a_wake_up_leaves_in_one_write_and_comes_back_as_one_batch() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(64).await;
    link.up().await;
    link.handle.send(submits(0..20));
    link.handle.send(submits(20..40));
    assert_eq!(peer.one_read().await.len(), 40 * BARE);

    peer.answer(0..40).await;
    let batch = link.batches.recv().await.unwrap();
    assert_eq!(batch.events, (0..40).flat_map(submitted).collect::<Vec<_>>());
    assert_eq!((batch.id, batch.generation), (toy::ID, 1));
}

#[tokio::test]
async fn what_the_first_of_many_answers_make_room_for_leaves_before_the_last_are_told() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(400).await;
    link.up().await;
    link.handle.send(submits(0..400));
    assert_eq!(peer.one_read().await.len(), 400 * BARE);

    peer.answer(0..400).await;
    let mut told = link.batches.recv().await.unwrap().events;
    assert!(told.len() < 2 * 400, "all of them at once");
    link.handle.send(submits(400..450));
    assert_eq!(peer.arrived().await, 50 * BARE);
    while let Ok(batch) = link.batches.try_recv() {
        told.extend(batch.events);
    }
    assert!(told.len() < 2 * 400, "the next parts wait for the last answer");
    while told.len() < 2 * 400 {
        told.extend(link.batches.recv().await.unwrap().events);
    }
    assert_eq!(told, (0..400).flat_map(submitted).collect::<Vec<_>>(), "in their order");
}

#[tokio::test]
async fn receipts_that_come_together_are_told_together() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(400).await;
    link.up().await;
    for (from, to) in [(0, 1), (1, 1_000)] {
        let receipts: Vec<u8> = (from..to).flat_map(|number| frame(DELIVER, number, &[])).collect();
        peer.write(&receipts).await;
        let told = link.batches.recv().await.unwrap().events;
        assert_eq!(told.len() as u64, to - from, "not in pieces, as answers are");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_here_when_their_time_is_over_are_in_time() {
    let far = Far::listen().await;
    let within = Duration::from_secs(5);
    let toy = Toy { answer_within: Some(within), ..Toy::dialling(&far.target) };
    let mut link = Running::start(toy, at_once());
    let mut peer = far.bind(400).await;
    link.up().await;
    link.handle.send(submits(0..400));
    assert_eq!(peer.one_read().await.len(), 400 * BARE);

    peer.answer(0..400).await;
    advance(2 * within).await;
    let mut told = Vec::new();
    while told.len() < 2 * 400 {
        told.extend(link.batches.recv().await.unwrap().events);
    }
    assert_eq!(told, (0..400).flat_map(submitted).collect::<Vec<_>>());
}

#[tokio::test]
async fn up_tells_window_and_address() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let _peer = far.bind(16).await;
    let address = far.listener.local_addr().unwrap();
    assert_eq!(link.next().await, Some(FromLink::Up { window: 16, address }));
}

#[tokio::test]
async fn a_name_with_several_addresses_reaches_the_one_that_listens() {
    let far = Far::listen().await;
    let target = format!("localhost:{}", far.listener.local_addr().unwrap().port());
    let mut link = Running::start(Toy::dialling(&target), at_once());
    let _peer = far.bind(16).await;
    link.up().await;
}

#[tokio::test]
async fn a_blocked_write_blocks_neither_reading_nor_order() {
    let far = Far::listen_narrowly().await;
    let settings = Settings { send_buffer: Some(16 * 1024), ..at_once() };
    let mut link = Running::start(Toy::dialling(&far.target), settings);
    let mut peer = far.bind(500).await;
    link.up().await;
    let data = Bytes::from(vec![7; 1024]);
    link.handle.send((0..500).map(|number| submit_data(number, data.clone())).collect());
    peer.arrived().await;

    peer.write(&frame(DELIVER, 9, &[])).await;
    assert!(matches!(link.next().await, Some(FromLink::Event(Event::Receipt(Inbound(9), _)))));
    for number in 0..500 {
        assert_eq!(peer.read().await, (SUBMIT, number));
    }
    peer.answer(0..500).await;
    assert_eq!(link.take(1000).await, (0..500).flat_map(submitted).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_part_in_the_far_kernel_is_acked_when_the_connection_is_reset() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..3));
    peer.acknowledge().await;
    assert_eq!(link.next().await, Some(ODD_HEARD));
    peer.reset();
    let expected: Vec<_> = (0..3).flat_map(|number| unanswered(number, Doubt::Acked)).collect();
    assert_eq!(link.take(6).await, expected);
    let (why, retry_in) = down(link.next().await.unwrap());
    assert!(matches!(why, Down::Broken(_)), "{why}");
    assert_eq!(retry_in, Some(Duration::ZERO));
}

#[tokio::test]
async fn every_doubt_stands_where_its_octets_got_to() {
    let far = Far::listen_narrowly().await;
    let settings = Settings { send_buffer: Some(64 * 1024), ..at_once() };
    let mut link = Running::start(Toy::dialling(&far.target), settings);
    let mut peer = far.bind(500).await;
    link.up().await;
    let data = Bytes::from(vec![7; 1000 - BARE]);
    link.handle.send((0..500).map(|number| submit_data(number, data.clone())).collect());
    let taken = peer.acknowledge().await;
    assert_eq!(link.next().await, Some(ODD_HEARD));
    peer.reset();

    let mut doubts = Vec::new();
    for number in 0..500 {
        match link.take(2).await.as_slice() {
            [FromLink::Unanswered(ticket, doubt), FromLink::Event(Event::Freed(freed))] => {
                assert_eq!((*ticket, *freed), (Ticket(number), Ticket(number)));
                doubts.push(*doubt);
            }
            other => panic!("{other:?}"),
        }
    }
    let count = |wanted| doubts.iter().filter(|doubt| **doubt == wanted).count();
    assert!(doubts.is_sorted_by(|a, b| b <= a), "{doubts:?}");
    // More may have been acknowledged after the peek, but never less.
    assert!(count(Doubt::Acked) >= taken / 1000, "{} of {taken} octets", count(Doubt::Acked));
    assert!(count(Doubt::Acked) < 50, "the far side has no room for so many");
    assert!(count(Doubt::Unacked) >= 10, "our kernel held {}", count(Doubt::Unacked));
    assert!(count(Doubt::Unsent) >= 200, "{}", count(Doubt::Unsent));
    down(link.next().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_part_unanswered_on_a_living_link_is_judged_at_once() {
    let far = Far::listen().await;
    let toy = Toy { answer_within: Some(Duration::from_secs(30)), ..Toy::dialling(&far.target) };
    let mut link = Running::start(toy, at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    let sent = Instant::now();
    link.handle.send(submits(0..1));
    peer.acknowledge().await;
    assert_eq!(link.next().await, Some(ODD_HEARD));
    assert_eq!(link.take(2).await, unanswered(0, Doubt::Acked));
    let late = sent.elapsed() - Duration::from_secs(30);
    assert!(late < Duration::from_millis(5), "{late:?}");

    link.handle.send(submits(1..2));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    assert_eq!(peer.read().await, (SUBMIT, 1));
    peer.answer(1..2).await;
    assert_eq!(link.take(2).await, submitted(1), "the link lives on");
}

#[tokio::test]
async fn answers_that_arrived_before_a_write_failed_still_count() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    // So much that the link stops reading.
    link.handle.send(vec![submit_data(1, Bytes::from(vec![0; 32 << 20]))]);
    peer.arrived().await;
    peer.answer(0..1).await;
    peer.reset();
    assert_eq!(link.take(2).await, submitted(0));
    assert_eq!(link.take(2).await, unanswered(1, Doubt::Unsent));
}

#[tokio::test]
async fn a_submit_beyond_the_room_comes_back_unsent() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(2).await;
    link.up().await;
    link.handle.send(submits(0..3));
    assert_eq!(link.take(2).await, unanswered(2, Doubt::Unsent));
    assert_eq!(peer.one_read().await.len(), 2 * BARE);
}

#[tokio::test]
async fn a_submit_before_the_bind_comes_back_unsent() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.accept().await;
    assert_eq!(peer.read().await, (BIND, 0));
    link.handle.send(submits(0..2));
    assert_eq!(link.take(4).await, [unanswered(0, Doubt::Unsent), unanswered(1, Doubt::Unsent)].concat());
}

#[tokio::test]
async fn while_down_submits_come_back_unsent_and_the_rest_is_ignored() {
    let far = Far::listen().await;
    let settings = Settings { retry: vec![STUCK], ..Settings::default() };
    let mut link = Running::start(Toy::dialling(&far.target), settings);
    drop(far.accept().await);
    down(link.next().await.unwrap());
    link.handle.send(vec![submit(5), ToLink::Probe, ToLink::Settle(1, vec![Inbound(1)], Settle::Durable), submit(6)]);
    assert_eq!(link.take(4).await, [unanswered(5, Doubt::Unsent), unanswered(6, Doubt::Unsent)].concat());
}

#[tokio::test]
async fn a_close_by_the_far_side_is_a_loss() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    drop(peer);
    assert_eq!(link.take(2).await, unanswered(0, Doubt::Acked));
    assert_eq!(down(link.next().await.unwrap()).0, Down::Ended);
    far.bind(10).await;
    link.up().await;
    assert_eq!(link.generation, 2);
}

#[tokio::test]
async fn a_broken_stream_gets_its_goodbye_before_the_close() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    peer.write(&frame(200, 77, &[])).await;
    assert_eq!(peer.read().await, (NACK, 77));
    assert_eq!(peer.one_read().await, b"");
    assert_eq!(link.take(2).await, unanswered(0, Doubt::Acked));
    assert_eq!(down(link.next().await.unwrap()).0, Down::Fault(Fault::Broken("kind 200".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn redials_wait_as_announced_within_the_table() {
    let far = Far::listen().await;
    let target = far.target.clone();
    drop(far);
    let mut link = Running::start(Toy::dialling(&target), Settings::default());
    let mut announced = Duration::ZERO;
    let mut last = Instant::now();
    for step in [200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 30_000, 30_000] {
        let (why, retry_in) = down(link.next().await.unwrap());
        assert!(matches!(why, Down::Unreachable(_)), "{why}");
        let late = last.elapsed() - announced;
        assert!(late < Duration::from_millis(10), "{late:?} late");
        announced = retry_in.unwrap();
        last = Instant::now();
        assert!(announced <= Duration::from_millis(step), "{announced:?} > {step} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_refused_for_good_is_not_repeated_for_a_minute() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), Settings::default());
    for _ in 0..2 {
        let mut peer = far.accept().await;
        assert_eq!(peer.read().await, (BIND, 0));
        let refused = Instant::now();
        peer.write(&frame(BIND_NO, 14, &[])).await;
        let (why, retry_in) = down(link.next().await.unwrap());
        assert!(matches!(why, Down::Fault(Fault::BindRefused { permanent: true, .. })), "{why}");
        assert!(retry_in.unwrap() >= Duration::from_secs(60));
        far.listener.accept().await.unwrap();
        assert!(refused.elapsed() >= Duration::from_secs(60));
        assert_eq!(down(link.next().await.unwrap()).0, Down::Ended);
    }
}

#[tokio::test]
async fn settles_of_an_older_connection_are_ignored() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    peer.write(&frame(DELIVER, 1, &[])).await;
    assert!(matches!(link.next().await, Some(FromLink::Event(Event::Receipt(Inbound(1), _)))));
    assert_eq!(link.generation, 1);
    drop(peer);
    down(link.next().await.unwrap());

    let mut peer = far.bind(10).await;
    link.up().await;
    peer.write(&[frame(DELIVER, 1, &[]), frame(DELIVER, 2, &[])].concat()).await;
    link.take(2).await;
    let settle = |generation, inbound| ToLink::Settle(generation, vec![Inbound(inbound)], Settle::Durable);
    link.handle.send(vec![settle(1, 1), settle(2, 2)]);
    assert_eq!(peer.one_read().await, frame(DELIVER_OK, 2, &[]));
    link.handle.send(vec![settle(2, 1)]);
    assert_eq!(peer.read().await, (DELIVER_OK, 1));
}

#[tokio::test]
async fn probes_are_asked_and_answered() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(vec![ToLink::Probe]);
    assert_eq!(peer.read().await, (PING, 0));
    peer.write(&frame(PONG, 0, &[])).await;
    assert_eq!(link.next().await, Some(FromLink::Event(Event::ProbeAnswered)));
}

#[tokio::test(start_paused = true)]
async fn what_the_far_kernel_has_is_never_called_unacked_though_nobody_reads_it() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..5));
    peer.acknowledge().await;
    assert!(timeout(STUCK, link.unacked()).await.is_err(), "an age of what is acknowledged");
    peer.answer(0..5).await;
    assert_eq!(link.take(10).await, (0..5).flat_map(submitted).collect::<Vec<_>>());
}

/// A peer whose window is closed takes nothing either; unlike a black hole, that can be had on loopback.
#[tokio::test]
async fn octets_nobody_acknowledges_are_told_with_their_age_until_they_are() {
    let far = Far::listen_narrowly().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(500).await;
    link.up().await;
    let data = Bytes::from(vec![7; 1024]);
    link.handle.send((0..500).map(|number| submit_data(number, data.clone())).collect());
    // The kernel's probes of the closed window are answered further and further apart.
    let age = timeout(Duration::from_secs(20), link.unacked()).await.unwrap();
    assert!(age >= Duration::from_millis(300), "{age:?}");
    for number in 0..500 {
        assert_eq!(peer.read().await, (SUBMIT, number));
    }
    for _ in 0..1_000 {
        if timeout(Duration::from_secs(20), link.unacked()).await.unwrap() == Duration::ZERO {
            return peer.answer(0..500).await;
        }
    }
    panic!("never over");
}

#[tokio::test]
async fn unbind_finishes_what_is_open_and_ends_the_task() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    link.handle.unbind();
    link.handle.send(submits(1..2));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    assert_eq!(link.take(2).await, unanswered(1, Doubt::Unsent));
    peer.answer(0..1).await;
    assert_eq!(link.take(2).await, submitted(0));
    assert_eq!(peer.read().await, (UNBIND, 0));
    peer.write(&frame(UNBIND_OK, 0, &[])).await;
    assert_eq!(link.next().await, Some(FromLink::Down { why: Down::Fault(Fault::Closed), retry_in: None }));
    assert_eq!(link.next().await, Some(FromLink::Closed));
    assert_eq!(link.next().await, None);
    assert_eq!(peer.one_read().await, b"");
}

#[tokio::test]
async fn a_loss_while_unbinding_is_the_end_too() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    link.handle.unbind();
    assert_eq!(peer.read().await, (SUBMIT, 0));
    drop(peer);
    assert_eq!(link.take(2).await, unanswered(0, Doubt::Acked));
    assert_eq!(link.next().await, Some(FromLink::Down { why: Down::Ended, retry_in: None }));
    assert_eq!(link.next().await, Some(FromLink::Closed));
    assert_eq!(link.next().await, None);
}

#[tokio::test]
async fn unbind_while_down_just_closes() {
    let far = Far::listen().await;
    let settings = Settings { retry: vec![STUCK], ..Settings::default() };
    let mut link = Running::start(Toy::dialling(&far.target), settings);
    drop(far.accept().await);
    down(link.next().await.unwrap());
    link.handle.send(vec![submit(0), ToLink::Unbind, submit(1)]);
    assert_eq!(link.take(4).await, [unanswered(0, Doubt::Unsent), unanswered(1, Doubt::Unsent)].concat());
    assert_eq!(link.next().await, Some(FromLink::Closed));
    assert_eq!(link.next().await, None);
}

#[tokio::test]
async fn dropping_the_handle_leaves_nothing_behind() {
    let far = Far::listen().await;
    let settings = Settings { retry: vec![STUCK], ..Settings::default() };
    let mut waiting = Running::start(Toy::dialling(&far.target), settings);
    drop(far.accept().await);
    down(waiting.next().await.unwrap());
    let mut bound = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    bound.up().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 2);

    drop((waiting.handle, bound.handle));
    assert_eq!(peer.one_read().await, b"");
    assert_eq!(waiting.batches.recv().await, None);
    assert_eq!(bound.batches.recv().await, None);
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn nobody_listening_ends_the_link() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    drop(link.batches);
    peer.write(&frame(DELIVER, 1, &[])).await;
    assert_eq!(peer.one_read().await, b"");
    drop(link.handle);
}

#[tokio::test(start_paused = true)]
async fn a_full_events_channel_holds_events_back_but_not_the_link() {
    let far = Far::listen().await;
    let mut link = Running::start_with_places(Toy::dialling(&far.target), at_once(), 1);
    let mut peer = far.bind(100).await;
    // `Up` fills the only place; everything else waits in the link.
    for number in 0..100 {
        peer.write(&frame(DELIVER, number, &[])).await;
        peer.write(&frame(PING, number, &[])).await;
        assert_eq!(peer.read().await, (PONG, number));
    }
    drop(peer);
    assert!(timeout(STUCK, far.listener.accept()).await.is_err(), "no connection before the last one is told");

    link.up().await;
    for number in 0..100 {
        assert!(matches!(link.next().await, Some(FromLink::Event(Event::Receipt(Inbound(n), _))) if n == number));
    }
    assert_eq!(down(link.next().await.unwrap()).0, Down::Ended);
    far.bind(100).await;
    link.up().await;
    assert_eq!(link.generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_never_reads_blocks_itself_not_our_memory() {
    let far = Far::listen_narrowly().await;
    let toy = Toy { pong_size: 1000, ..Toy::dialling(&far.target) };
    let settings = Settings { send_buffer: Some(16 * 1024), ..at_once() };
    let mut link = Running::start(toy, settings);
    let mut peer = far.bind(10).await;
    link.up().await;
    let pings: Vec<u8> = (0..1_000_000).flat_map(|number| frame(PING, number, &[])).collect();
    assert!(timeout(STUCK, peer.stream.write_all(&pings)).await.is_err(), "the link took everything");
    for number in 0..10_000 {
        assert_eq!(peer.read().await, (PONG, number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_nobody_takes_the_events_of_blocks_the_peer_not_our_memory() {
    let far = Far::listen().await;
    let mut link = Running::start_with_places(Toy::dialling(&far.target), at_once(), 1);
    let mut peer = far.bind(10).await;
    let odd: Vec<u8> = (0..4_000_000).flat_map(|number| frame(ODD, number, &[])).collect();
    assert!(timeout(STUCK, peer.stream.write_all(&odd)).await.is_err(), "the link took everything");
    link.up().await;
    for _ in 0..100_000 {
        assert_eq!(link.next().await, Some(ODD_HEARD));
    }
}

#[tokio::test]
async fn unread_octets_do_not_starve_commands() {
    let far = Far::listen().await;
    let mut link = Running::start_with_places(Toy::dialling(&far.target), at_once(), 1 << 20);
    let peer = far.bind(10).await;
    link.up().await;
    let (mut reading, mut writing) = peer.stream.into_split();
    let flood = tokio::spawn(async move {
        let odd: Vec<u8> = (0..1000).flat_map(|number| frame(ODD, number, &[])).collect();
        while writing.write_all(&odd).await.is_ok() {}
    });
    assert!(matches!(link.next().await, Some(FromLink::Event(Event::Leniency(_)))));
    link.handle.send(submits(0..1));
    let mut octets = [0; BARE];
    reading.read_exact(&mut octets).await.unwrap();
    assert_eq!(octets[4], SUBMIT);
    flood.abort();
}

#[tokio::test]
async fn a_panic_in_the_session_costs_the_connection_and_loses_no_ticket() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let mut peer = far.bind(10).await;
    link.up().await;
    link.handle.send(submits(0..1));
    assert_eq!(peer.read().await, (SUBMIT, 0));
    peer.write(&frame(BOMB, 0, &[])).await;
    assert_eq!(link.take(2).await, unanswered(0, Doubt::Acked));
    assert_eq!(down(link.next().await.unwrap()).0, Down::Panicked);
    far.bind(10).await;
    link.up().await;
}

#[tokio::test]
async fn a_part_the_session_panics_on_is_refused_here() {
    let far = Far::listen().await;
    let mut link = Running::start(Toy::dialling(&far.target), at_once());
    let _peer = far.bind(10).await;
    link.up().await;
    link.handle.send(vec![submit(0), submit_data(1, Bytes::from_static(b"bomb")), submit(2)]);
    let events = link.take(7).await;
    assert!(matches!(&events[0], FromLink::Event(Event::Refused(Ticket(1), _))), "{events:?}");
    assert_eq!(events[2..4], unanswered(0, Doubt::Unsent), "what came with it has not left either");
    assert_eq!(events[4..6], unanswered(2, Doubt::Unsent));
    assert!(matches!(events[6], FromLink::Down { why: Down::Panicked, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_links_on_several_threads_answer_every_ticket_once() {
    const EACH: u64 = 2_000;
    let far = Far::listen().await;
    let mut links = Vec::new();
    for _ in 0..6 {
        let mut link = Running::start(Toy::dialling(&far.target), at_once());
        let mut peer = far.bind(EACH).await;
        tokio::spawn(async move {
            for number in 0..EACH {
                assert_eq!(peer.read().await, (SUBMIT, number));
                peer.answer(number..number + 1).await;
            }
            peer.read().await
        });
        link.up().await;
        for number in 0..EACH {
            link.handle.send(submits(number..number + 1));
        }
        links.push(link);
    }
    for link in &mut links {
        assert_eq!(link.take(2 * EACH as usize).await, (0..EACH).flat_map(submitted).collect::<Vec<_>>());
    }
}
