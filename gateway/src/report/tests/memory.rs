//! What a waiting message costs here.

use super::*;
use crate::report::state::Live;

#[test]
fn a_waiting_message_costs_about_a_hundred_octets_at_the_worst() {
    // A hash table of 2^n slots of (id, Live) and one octet each, at most 7/8 full. A million fill 2^21 half.
    let slot = size_of::<(u64, Live)>() + 1;
    assert_eq!(size_of::<Live>(), 40);
    let slots = 1usize << 21;
    assert!(slots * slot / 1_000_000 <= 103, "{} octets", slots * slot / 1_000_000);
    assert!((slots / 2) * slot / 900_000 <= 60);
}

#[test]
fn waiting_messages_are_in_no_table_but_one() {
    let mut world = World::new();
    let ids: Vec<_> = (0..1_000).map(|_| world.accept(true)).collect();
    assert_eq!(world.report.census(), ([1_000, 0, 0, 0, 0], [0; 6]));
    assert!(ids.iter().all(|id| world.report.live(*id).unwrap().detail.is_none()));
}
