//! What a waiting message costs here.

use super::*;
use crate::report::state::Live;

#[test]
fn a_waiting_message_takes_a_place_of_48_octets() {
    assert_eq!((size_of::<Live>(), size_of::<Option<(u64, Live)>>()), (40, 48));
}

#[test]
fn waiting_messages_are_in_no_table_but_one() {
    let mut world = World::new();
    let ids: Vec<_> = (0..1_000).map(|_| world.accept(true)).collect();
    assert_eq!(world.report.census(), ([1_000, 0, 0, 0, 0], [0; 6]));
    assert!(ids.iter().all(|id| world.report.live(*id).unwrap().detail.is_none()));
}
