//! How far a part without an answer got: from offsets in the stream to [`Doubt`]. Pure.
//!
//! The kernel's acknowledgement says where the octets are, never that anyone is healthy: a proxy in between
//! acknowledges for a dead carrier. So it is used for doubt only, and what is not known counts as acknowledged. Nor
//! does its absence prove much: a kernel may hold octets for 40 ms before it acknowledges them, and a reset in that
//! time leaves them unacknowledged although the carrier may have read them.

use carriers::Doubt;

/// How much of a connection's outgoing stream got how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Octets handed to the socket.
    pub(crate) written: u64,
    /// Of those, octets the far side's kernel acknowledged; `None` where our kernel would not say.
    pub(crate) acked: Option<u64>,
    /// Whether nothing more will be written on this connection.
    pub(crate) over: bool,
}

impl Progress {
    /// Judges a part that ends at `offset` (one past its last octet; `u64::MAX` where the session never sent it).
    ///
    /// A part cut in the middle counts as unsent: the carrier cannot act on half a PDU. While the connection lives,
    /// what still waits to be written will yet go out, so it is not called unsent.
    pub(crate) fn doubt(&self, offset: u64) -> Doubt {
        if offset == u64::MAX {
            return Doubt::Unsent;
        }
        if offset > self.written {
            return if self.over { Doubt::Unsent } else { Doubt::Unacked };
        }
        match self.acked {
            Some(acked) if offset > acked => Doubt::Unacked,
            _ => Doubt::Acked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_offset_falls_into_its_class() {
        for written in 0..12u64 {
            for acked in 0..=written {
                for offset in 0..16u64 {
                    let over = Progress { written, acked: Some(acked), over: true }.doubt(offset);
                    let expected = match offset {
                        _ if offset <= acked => Doubt::Acked,
                        _ if offset <= written => Doubt::Unacked,
                        _ => Doubt::Unsent,
                    };
                    assert_eq!(over, expected, "offset {offset}, acked {acked}, written {written}");
                    let live = Progress { written, acked: Some(acked), over: false }.doubt(offset);
                    assert_eq!(live, expected.max(Doubt::Unacked), "live: {offset}, {acked}, {written}");
                }
            }
        }
    }

    #[test]
    fn never_transmitted_is_unsent_even_on_a_living_link() {
        for over in [true, false] {
            let progress = Progress { written: u64::MAX, acked: None, over };
            assert_eq!(progress.doubt(u64::MAX), Doubt::Unsent);
        }
    }

    #[test]
    fn what_the_kernel_does_not_say_counts_as_acknowledged() {
        for over in [true, false] {
            let progress = Progress { written: 10, acked: None, over };
            assert_eq!(progress.doubt(0), Doubt::Acked);
            assert_eq!(progress.doubt(10), Doubt::Acked);
        }
        assert_eq!(Progress { written: 10, acked: None, over: true }.doubt(11), Doubt::Unsent);
    }

    #[test]
    fn an_acknowledgement_beyond_what_was_written_does_no_harm() {
        let fin_counted = Progress { written: 10, acked: Some(11), over: true };
        assert_eq!(fin_counted.doubt(10), Doubt::Acked);
        assert_eq!(fin_counted.doubt(11), Doubt::Unsent);
    }
}
