//! An account at a carrier, as both sides write it down: lines of the simulator's `[[carrier]]` and the table of our
//! `[[channel]]`, for every protocol there is. Pure text.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Every account's password.
pub const PASSWORD: &str = "cnryPw7";

/// What a carrier speaks, in the version it speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SMPP 3.4.
    Smpp,
    /// CMPP 2.0.
    Cmpp20,
    /// CMPP 3.0.
    Cmpp30,
    /// SMGP 3.0.
    Smgp,
    /// SGIP 1.2, with connections in both directions.
    Sgip,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 5] = [Protocol::Smpp, Protocol::Cmpp20, Protocol::Cmpp30, Protocol::Smgp, Protocol::Sgip];

    /// Its name in the configuration of either side.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Smpp => "smpp",
            Protocol::Cmpp20 | Protocol::Cmpp30 => "cmpp",
            Protocol::Smgp => "smgp",
            Protocol::Sgip => "sgip",
        }
    }

    /// Its name on a command line, version included where there are two.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Cmpp20 => "cmpp2",
            Protocol::Cmpp30 => "cmpp3",
            other => other.word(),
        }
    }

    fn version(self) -> &'static str {
        match self {
            Protocol::Cmpp20 => "version = '2.0'\n",
            Protocol::Cmpp30 => "version = '3.0'\n",
            _ => "",
        }
    }

    /// Whether the far side opens connections to us as well.
    pub fn calls_back(self) -> bool {
        self == Protocol::Sgip
    }

    /// Lines of the simulator's `[[carrier]]`: what it speaks and who may log in. `callback` is where we listen for it;
    /// carriers may share that, for SGIP's login is `name`.
    pub fn far(self, name: &str, callback: Option<SocketAddr>) -> String {
        let account = match self {
            Protocol::Smpp => "system_id = 'qiao'\npassword".to_owned(),
            Protocol::Cmpp20 | Protocol::Cmpp30 => "source_addr = '901234'\nshared_secret".to_owned(),
            Protocol::Smgp => "client_id = '10000001'\nshared_secret".to_owned(),
            Protocol::Sgip => format!("login = '{name}'\npassword"),
        };
        let callback = callback.map_or_else(String::new, |at| format!("callback = '{at}'\n"));
        format!("protocol = '{}'\n{}{account} = '{PASSWORD}'\n{callback}", self.word(), self.version())
    }

    /// The beginning of our `[channel.…]` for the account of [`Protocol::far`]: where the far side listens, who we are
    /// there, and where we listen for it.
    pub fn near(self, name: &str, address: SocketAddr, listen: Option<SocketAddr>) -> String {
        let account = match self {
            Protocol::Smpp => "system_id = 'qiao'\npassword".to_owned(),
            Protocol::Cmpp20 | Protocol::Cmpp30 => {
                "source_addr = '901234'\nservice_id = 'HELP'\nsrc_id = '10690001'\nshared_secret".to_owned()
            }
            Protocol::Smgp => {
                "client_id = '10000001'\nservice_id = 'HELP'\nsrc_term_id = '10690001'\nshared_secret".to_owned()
            }
            Protocol::Sgip => {
                format!(
                    "login_name = '{name}'\ncorp_id = '12345'\narea = '010'\nsp_number = '10690001'\nlogin_password"
                )
            }
        };
        let listen = listen.map_or_else(String::new, |at| format!("listen = '{at}'\n"));
        let (word, version) = (self.word(), self.version());
        format!("[channel.{word}]\naddress = '{address}'\n{version}{account} = '{PASSWORD}'\n{listen}")
    }

    /// Further lines of it: signs of life are asked for often, and no answer is waited for long.
    pub fn brisk(self) -> &'static str {
        match self {
            Protocol::Smpp => "enquire_link = '1s'\nanswer_timeout = '2s'",
            Protocol::Cmpp20 | Protocol::Cmpp30 | Protocol::Smgp => "active_test = '1s'\nanswer_timeout = '2s'",
            Protocol::Sgip => "answer_timeout = '2s'",
        }
    }

    /// Further lines of it: handsets are written as in E.164 on the wire, too.
    pub fn whole_numbers(self) -> &'static str {
        match self {
            Protocol::Smpp | Protocol::Sgip => "",
            Protocol::Cmpp20 | Protocol::Cmpp30 | Protocol::Smgp => "dialect.number_prefix = '86'\n",
        }
    }

    /// Further lines of it: no receipts are asked for. SGIP knows no such wish but for successes.
    pub fn without_receipts(self) -> &'static str {
        match self {
            Protocol::Smpp | Protocol::Cmpp20 | Protocol::Cmpp30 => "registered_delivery = false\n",
            Protocol::Smgp => "need_report = false\n",
            Protocol::Sgip => "report_flag = 0\n",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        found.ok_or_else(|| {
            format!("no such protocol: {name}; there are {}", Protocol::ALL.map(Protocol::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert!("cmpp".parse::<Protocol>().unwrap_err().contains("cmpp2, cmpp3"));
    }
}
