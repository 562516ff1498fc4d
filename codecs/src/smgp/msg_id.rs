//! What SMGWs by the book put into a `MsgID` (SMGP 3.0), as decimal digits, two to an octet: gateway, month to
//! minute, counter. Some put other numbers there, so that ids are compared as the ten octets they are and only shown
//! like this.

/// When and where a `MsgID` was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The gateway's code as a number: area code, kind of device, number; six digits.
    pub gateway: u32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// Counts the gateway's messages, six digits, and wraps.
    pub sequence: u32,
}

impl Origin {
    /// The id made so; of numbers with too many digits the last count.
    pub fn msg_id(&self) -> [u8; 10] {
        let [g0, g1, g2] = three(self.gateway);
        let [s0, s1, s2] = three(self.sequence);
        [g0, g1, g2, self.month, self.day, self.hour, self.minute, s0, s1, s2]
            .map(|pair| ((pair / 10 % 10) << 4) | (pair % 10))
    }

    /// Reads an id; `None` where it is not of digits or holds no time, and so was made otherwise.
    pub fn of(msg_id: [u8; 10]) -> Option<Origin> {
        if msg_id.iter().any(|octet| octet >> 4 > 9 || octet & 0x0f > 9) {
            return None;
        }
        let [g0, g1, g2, month, day, hour, minute, s0, s1, s2] = msg_id.map(|octet| (octet >> 4) * 10 + (octet & 0x0f));
        let possible = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
        let six = |pairs: [u8; 3]| pairs.into_iter().fold(0, |number, pair| number * 100 + u32::from(pair));
        possible.then_some(Origin { gateway: six([g0, g1, g2]), month, day, hour, minute, sequence: six([s0, s1, s2]) })
    }
}

/// The last six digits, two by two.
fn three(number: u32) -> [u8; 3] {
    [10_000, 100, 1].map(|unit| (number / unit % 100) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_read_and_made() {
        let id = [0x01, 0x00, 0x61, 0x01, 0x16, 0x17, 0x00, 0x01, 0x23, 0x45];
        let origin = Origin { gateway: 10_061, month: 1, day: 16, hour: 17, minute: 0, sequence: 12_345 };
        assert_eq!(Origin::of(id), Some(origin));
        assert_eq!(origin.msg_id(), id);
        let binary = [0x01, 0xe2, 0x40, 0x11, 0x22, 0x03, 0x53, 0x08, 0x8f, 0x53];
        let low = [0x57, 0x1a, 0x62, 0x11, 0x22, 0x03, 0x52, 0x30, 0x00, 0x02];
        for other in [[0; 10], [0xff; 10], binary, low] {
            assert_eq!(Origin::of(other), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_made_again(digits in "[0-9]{6}(0[1-9]|1[0-9])[0-9]{12}") {
            let pairs: Vec<u8> = digits.as_bytes().chunks(2).map(|pair| (pair[0] & 15) << 4 | pair[1] & 15).collect();
            let id = pairs.try_into().unwrap();
            if let Some(origin) = Origin::of(id) {
                prop_assert_eq!(origin.msg_id(), id);
            }
        }
    }
}
