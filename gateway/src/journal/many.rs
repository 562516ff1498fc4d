//! Records that share a frame: what one turn has to say goes into the journal under one head, with one sum and in one copy.
//!
//! The frame's body is its members one behind another: length (30 bits) and marks (2 bits), kind, id, body. A member is a
//! record like any other: it is withdrawn, kept, folded and replayed by itself, in its place among the others, and its
//! name is the frame's place plus its index (frames begin at multiples of 16 and members are longer than an octet, so
//! names are one record's only). What it shares is damage: all members of a frame are read or none of them. So a frame
//! ends where it would exceed [`MOST`], a page of the device, which such damage costs in any case.

use super::frame::Place;

/// Octets of members in one frame, unless it has only one.
pub(super) const MOST: usize = 4_096;
/// Octets before a member's body.
const HEAD: usize = 13;
/// Someone waits for its sync: voids that name it withdraw it.
const WAITED: u32 = 1 << 31;
/// Was withdrawn before the frame was written: it is not there.
const GONE: u32 = 1 << 30;
const LENGTH: u32 = GONE - 1;

/// A record in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    pub(super) kind: u8,
    pub(super) id: u64,
    pub(super) waited: bool,
    pub(super) gone: bool,
    pub(super) body: &'a [u8],
}

/// Adds a member; `body` writes its octets behind what is there. Gives how many these are.
pub(super) fn push(octets: &mut Vec<u8>, kind: u8, id: u64, waited: bool, body: impl FnOnce(&mut Vec<u8>)) -> u32 {
    let start = octets.len();
    let mut head = [0; HEAD];
    head[4] = kind;
    head[5..].copy_from_slice(&id.to_le_bytes());
    octets.extend_from_slice(&head);
    body(octets);
    // Longer than a segment, it will be refused.
    let length = u32::try_from(octets.len().saturating_sub(start + HEAD)).map_or(LENGTH, |length| length.min(LENGTH));
    let marked = if waited { length | WAITED } else { length };
    if let Some(marks) = octets.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *marks = marked.to_le_bytes();
    }
    length
}

/// The members of a frame's body in order, those that are gone among them: a member's index is its place here.
pub(super) fn members(mut rest: &[u8]) -> impl Iterator<Item = Member<'_>> {
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_first_chunk::<HEAD>()?;
        let marks = marks(head);
        let (body, behind) = behind.split_at_checked((marks & LENGTH) as usize)?;
        rest = behind;
        let id = head[5..].iter().rev().fold(0, |id, octet| id << 8 | u64::from(*octet));
        Some(Member { kind: head[4], id, waited: marks & WAITED != 0, gone: marks & GONE != 0, body })
    })
}

/// Takes out the members that someone waits for; false where none is left.
pub(super) fn withdraw(mut rest: &mut [u8]) -> bool {
    let mut left = false;
    while let Some((head, behind)) = rest.split_first_chunk_mut::<HEAD>() {
        let marks = marks(head);
        if marks & WAITED != 0 {
            head[..4].copy_from_slice(&(marks | GONE).to_le_bytes());
        }
        left |= marks & (WAITED | GONE) == 0;
        let Some((_, behind)) = behind.split_at_mut_checked((marks & LENGTH) as usize) else { break };
        rest = behind;
    }
    left
}

/// The name of the member of that index in the frame of that name.
pub(super) fn name(frame: Place, index: usize) -> Place {
    (frame.0, frame.1.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

fn marks(head: &[u8; HEAD]) -> u32 {
    u32::from_le_bytes([head[0], head[1], head[2], head[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_order_and_only_those_waited_for_are_withdrawn() {
        let mut octets = Vec::new();
        for id in 0..20u64 {
            let length = push(&mut octets, id as u8, id << 40 | 7, id % 3 == 0, |octets| {
                octets.resize(octets.len() + id as usize, 9)
            });
            assert_eq!(u64::from(length), id);
        }
        let all = |octets: &[u8]| {
            members(octets).map(|one| (one.kind, one.id, one.waited, one.gone, one.body.to_vec())).collect::<Vec<_>>()
        };
        let want = |withdrawn: bool| {
            (0..20u64)
                .map(|id| (id as u8, id << 40 | 7, id % 3 == 0, withdrawn && id % 3 == 0, vec![9; id as usize]))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&octets), want(false));
        assert!(withdraw(&mut octets));
        assert_eq!(all(&octets), want(true));
        for end in 0..octets.len() {
            let cut = members(&octets[..end]).count();
            assert!(cut < 20 && all(&octets[..end]) == want(true)[..cut]);
        }
        let mut waited = Vec::new();
        push(&mut waited, 1, 1, true, |octets| octets.push(1));
        assert!(!withdraw(&mut waited), "nothing is left");
    }
}
