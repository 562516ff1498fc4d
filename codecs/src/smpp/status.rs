//! Command statuses (SMPP 3.4 §5.1.3, 5.0 §4.7.6): the codes, and their names both ways.
//! 0x400 to 0x4FF belong to the MC's vendor and have no name here.

macro_rules! statuses {
    ($($name:ident = $code:literal $wire:literal)+) => {
        $(#[doc = concat!("`", $wire, "`")] pub const $name: u32 = $code;)+

        /// The name in the specification.
        pub fn name(status: u32) -> Option<&'static str> {
            match status {
                $($name => Some($wire),)+
                _ => None,
            }
        }

        /// The code of a name; `ESME_` may be left out.
        pub fn from_name(name: &str) -> Option<u32> {
            let bare = name.strip_prefix("ESME_").unwrap_or(name);
            TABLE.iter().find(|(_, wire)| &wire["ESME_".len()..] == bare).map(|(code, _)| *code)
        }

        /// Every code known, with its name.
        pub const TABLE: &[(u32, &str)] = &[$(($name, $wire)),+];
    };
}

statuses! {
    ROK = 0x00 "ESME_ROK"
    RINVMSGLEN = 0x01 "ESME_RINVMSGLEN"
    RINVCMDLEN = 0x02 "ESME_RINVCMDLEN"
    RINVCMDID = 0x03 "ESME_RINVCMDID"
    RINVBNDSTS = 0x04 "ESME_RINVBNDSTS"
    RALYBND = 0x05 "ESME_RALYBND"
    RINVPRTFLG = 0x06 "ESME_RINVPRTFLG"
    RINVREGDLVFLG = 0x07 "ESME_RINVREGDLVFLG"
    RSYSERR = 0x08 "ESME_RSYSERR"
    RINVSRCADR = 0x0a "ESME_RINVSRCADR"
    RINVDSTADR = 0x0b "ESME_RINVDSTADR"
    RINVMSGID = 0x0c "ESME_RINVMSGID"
    RBINDFAIL = 0x0d "ESME_RBINDFAIL"
    RINVPASWD = 0x0e "ESME_RINVPASWD"
    RINVSYSID = 0x0f "ESME_RINVSYSID"
    RCANCELFAIL = 0x11 "ESME_RCANCELFAIL"
    RREPLACEFAIL = 0x13 "ESME_RREPLACEFAIL"
    RMSGQFUL = 0x14 "ESME_RMSGQFUL"
    RINVSERTYP = 0x15 "ESME_RINVSERTYP"
    RINVNUMDESTS = 0x33 "ESME_RINVNUMDESTS"
    RINVDLNAME = 0x34 "ESME_RINVDLNAME"
    RINVDESTFLAG = 0x40 "ESME_RINVDESTFLAG"
    RINVSUBREP = 0x42 "ESME_RINVSUBREP"
    RINVESMCLASS = 0x43 "ESME_RINVESMCLASS"
    RCNTSUBDL = 0x44 "ESME_RCNTSUBDL"
    RSUBMITFAIL = 0x45 "ESME_RSUBMITFAIL"
    RINVSRCTON = 0x48 "ESME_RINVSRCTON"
    RINVSRCNPI = 0x49 "ESME_RINVSRCNPI"
    RINVDSTTON = 0x50 "ESME_RINVDSTTON"
    RINVDSTNPI = 0x51 "ESME_RINVDSTNPI"
    RINVSYSTYP = 0x53 "ESME_RINVSYSTYP"
    RINVREPFLAG = 0x54 "ESME_RINVREPFLAG"
    RINVNUMMSGS = 0x55 "ESME_RINVNUMMSGS"
    RTHROTTLED = 0x58 "ESME_RTHROTTLED"
    RINVSCHED = 0x61 "ESME_RINVSCHED"
    RINVEXPIRY = 0x62 "ESME_RINVEXPIRY"
    RINVDFTMSGID = 0x63 "ESME_RINVDFTMSGID"
    RX_T_APPN = 0x64 "ESME_RX_T_APPN"
    RX_P_APPN = 0x65 "ESME_RX_P_APPN"
    RX_R_APPN = 0x66 "ESME_RX_R_APPN"
    RQUERYFAIL = 0x67 "ESME_RQUERYFAIL"
    RINVTLVSTREAM = 0xc0 "ESME_RINVTLVSTREAM"
    RTLVNOTALLWD = 0xc1 "ESME_RTLVNOTALLWD"
    RINVTLVLEN = 0xc2 "ESME_RINVTLVLEN"
    RMISSINGTLV = 0xc3 "ESME_RMISSINGTLV"
    RINVTLVVAL = 0xc4 "ESME_RINVTLVVAL"
    RDELIVERYFAILURE = 0xfe "ESME_RDELIVERYFAILURE"
    RUNKNOWNERR = 0xff "ESME_RUNKNOWNERR"
    RSERTYPUNAUTH = 0x100 "ESME_RSERTYPUNAUTH"
    RPROHIBITED = 0x101 "ESME_RPROHIBITED"
    RSERTYPUNAVAIL = 0x102 "ESME_RSERTYPUNAVAIL"
    RSERTYPDENIED = 0x103 "ESME_RSERTYPDENIED"
    RINVDCS = 0x104 "ESME_RINVDCS"
    RINVSRCADDRSUBUNIT = 0x105 "ESME_RINVSRCADDRSUBUNIT"
    RINVDSTADDRSUBUNIT = 0x106 "ESME_RINVDSTADDRSUBUNIT"
    RINVBCASTFREQINT = 0x107 "ESME_RINVBCASTFREQINT"
    RINVBCASTALIAS_NAME = 0x108 "ESME_RINVBCASTALIAS_NAME"
    RINVBCASTAREAFMT = 0x109 "ESME_RINVBCASTAREAFMT"
    RINVNUMBCAST_AREAS = 0x10a "ESME_RINVNUMBCAST_AREAS"
    RINVBCASTCNTTYPE = 0x10b "ESME_RINVBCASTCNTTYPE"
    RINVBCASTMSGCLASS = 0x10c "ESME_RINVBCASTMSGCLASS"
    RBCASTFAIL = 0x10d "ESME_RBCASTFAIL"
    RBCASTQUERYFAIL = 0x10e "ESME_RBCASTQUERYFAIL"
    RBCASTCANCELFAIL = 0x10f "ESME_RBCASTCANCELFAIL"
    RINVBCAST_REP = 0x110 "ESME_RINVBCAST_REP"
    RINVBCASTSRVGRP = 0x111 "ESME_RINVBCASTSRVGRP"
    RINVBCASTCHANIND = 0x112 "ESME_RINVBCASTCHANIND"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_back() {
        for (code, wire) in TABLE {
            assert_eq!(name(*code), Some(*wire));
            assert_eq!(from_name(wire), Some(*code));
        }
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(from_name("RTHROTTLED"), Some(0x58));
        assert_eq!(name(0x400), None);
        assert_eq!(from_name("ESME_"), None);
    }
}
