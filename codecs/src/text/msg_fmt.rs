//! `Msg_Fmt` of CMPP, `MessageCoding` of SGIP, `MsgFormat` of SMGP: one octet for how a text is written, of which a few
//! values have a meaning of their own and the others are a data coding scheme (3GPP TS 23.038 §4).

use super::Alphabet;

/// ASCII; some peers send GBK under it.
pub const ASCII: u8 = 0;
/// Octets for the SIM card.
pub const SIM: u8 = 3;
/// Octets.
pub const BINARY: u8 = 4;
/// UTF-16, big endian.
pub const UCS2: u8 = 8;
/// GBK, or GB18030.
pub const GBK: u8 = 15;
/// Octets for the (U)SIM card, as SMGP has it.
pub const USIM: u8 = 246;

/// How to read a text, its user data header taken off; `None` where it is no text. [`ASCII`] with octets beyond it is
/// read as GBK.
pub fn alphabet(msg_fmt: u8, text: &[u8]) -> Option<Alphabet> {
    match msg_fmt {
        ASCII if text.is_ascii() => Some(Alphabet::Ascii),
        ASCII | GBK => Some(Alphabet::Gbk),
        UCS2 => Some(Alphabet::Ucs2),
        SIM | BINARY => None,
        // With a class, as flash messages have it: bits 2 and 3 are the alphabet.
        0x10..=0x1f => match msg_fmt >> 2 & 0b11 {
            0b00 => Some(Alphabet::Gsm7),
            0b10 => Some(Alphabet::Ucs2),
            _ => None,
        },
        // The other way to say a class: bit 2 says that it is no text.
        0xf0..=0xff if msg_fmt & 0b100 == 0 => Some(Alphabet::Gsm7),
        _ => None,
    }
}

/// What to send a text under; `None` where there is no value for its alphabet.
pub fn of(alphabet: Alphabet) -> Option<u8> {
    match alphabet {
        Alphabet::Ascii => Some(ASCII),
        Alphabet::Gbk => Some(GBK),
        Alphabet::Ucs2 => Some(UCS2),
        Alphabet::Gsm7 | Alphabet::Latin1 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_seen_has_its_alphabet() {
        for (msg_fmt, text, expected) in [
            (ASCII, &b"hello"[..], Some(Alphabet::Ascii)),
            (ASCII, b"\xd6\xd0", Some(Alphabet::Gbk)),
            (GBK, b"\xd6\xd0", Some(Alphabet::Gbk)),
            (UCS2, b"\x4e\x2d", Some(Alphabet::Ucs2)),
            (0x10, b"flash", Some(Alphabet::Gsm7)),
            (0x18, b"\x4e\x2d", Some(Alphabet::Ucs2)),
            (0x15, b"\x00", None),
            (SIM, b"\x00", None),
            (BINARY, b"\x00", None),
            (USIM, b"\x00", None),
            (0xf0, b"flash", Some(Alphabet::Gsm7)),
            (0x80, b"?", None),
        ] {
            assert_eq!(alphabet(msg_fmt, text), expected, "{msg_fmt:#x}");
        }
    }

    #[test]
    fn what_is_sent_is_read_alike() {
        for text in ["hello", "中文"] {
            for sent in
                [Alphabet::Ascii, Alphabet::Gbk, Alphabet::Ucs2].into_iter().filter(|a| a.measure(text).is_some())
            {
                let mut out = bytes::BytesMut::new();
                sent.encode(text, &mut out);
                assert_eq!(alphabet(of(sent).unwrap(), &out), Some(sent));
            }
        }
        assert_eq!((of(Alphabet::Gsm7), of(Alphabet::Latin1)), (None, None));
    }
}
