//! What ISMGs by the book put into a `Msg_Id` (CMPP 3.0 §8.4.3.2): month to second, gateway, counter. Many put other
//! numbers there, so that ids are compared as the eight octets they are and only shown like this.

/// When and where a `Msg_Id` was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// The gateway's code as a number, 22 bits.
    pub gateway: u32,
    /// Counts the gateway's messages, and wraps.
    pub sequence: u16,
}

impl Origin {
    /// The id made so; of numbers too large for their bits the lowest count.
    pub fn msg_id(&self) -> [u8; 8] {
        let bits = [
            (4, self.month.into()),
            (5, self.day.into()),
            (5, self.hour.into()),
            (6, self.minute.into()),
            (6, self.second.into()),
            (22, u64::from(self.gateway)),
            (16, self.sequence.into()),
        ];
        bits.into_iter().fold(0, |id, (width, value)| id << width | (value & ((1 << width) - 1))).to_be_bytes()
    }

    /// Reads an id; `None` where it holds no time and so was made otherwise.
    pub fn of(msg_id: [u8; 8]) -> Option<Origin> {
        let mut left = u64::from_be_bytes(msg_id);
        let mut take = |width: u32| {
            let value = left & ((1 << width) - 1);
            left >>= width;
            value
        };
        let sequence = take(16) as u16;
        let gateway = take(22) as u32;
        let [second, minute, hour, day, month] = [6, 6, 5, 5, 4].map(|width| take(width) as u8);
        let possible = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
        possible.then_some(Origin { month, day, hour, minute, second, gateway, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_read_and_made() {
        let origin = |month, day, hour, minute, second, gateway, sequence| Origin {
            month,
            day,
            hour,
            minute,
            second,
            gateway,
            sequence,
        };
        for (id, made) in [
            (0xbb0e_f400_271a_0001_u64, origin(11, 22, 3, 47, 16, 10_010, 1)),
            (0xb2b9_da80_0001_0000, origin(11, 5, 14, 29, 42, 1, 0)),
        ] {
            assert_eq!(Origin::of(id.to_be_bytes()), Some(made));
            assert_eq!(made.msg_id(), id.to_be_bytes());
        }
        for other in [0, u64::MAX, 0x0ca9_2ed2_b387_f000] {
            assert_eq!(Origin::of(other.to_be_bytes()), None, "{other:x}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_made_again(id in any::<[u8; 8]>()) {
            if let Some(origin) = Origin::of(id) {
                prop_assert_eq!(origin.msg_id(), id);
            }
        }
    }
}
