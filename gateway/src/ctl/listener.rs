//! Whose program listens at a port of this machine, as the kernel's tables of sockets have it.

use std::fs;
use std::io;

/// Whether all who listen at `port` on this machine are `user`, and somebody does.
///
/// # Errors
/// The tables cannot be read.
pub(super) fn belongs(port: u16, user: u32) -> io::Result<bool> {
    let mut tables = fs::read_to_string("/proc/net/tcp")?;
    // Absent where the machine has no IPv6.
    tables += &fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let users: Vec<u32> = tables.lines().filter_map(|line| listener(line, port)).collect();
    Ok(!users.is_empty() && users.iter().all(|other| *other == user))
}

/// The user of a line's socket, where it listens at `port`: number, local and remote address, state, queues, timer,
/// retransmits, user.
fn listener(line: &str, port: u16) -> Option<u32> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
    let [_, local, _, LISTENS, _, _, _, user] = fields[..] else { return None };
    let (_, at) = local.rsplit_once(':')?;
    (u16::from_str_radix(at, 16) == Ok(port)).then(|| user.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_listeners_at_the_port_count() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:2382 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 7 1"
            )
        };
        assert_eq!(listener(&line("0A"), 9090), Some(1000));
        assert_eq!(listener(&line("0A"), 9091), None);
        assert_eq!(listener(&line("01"), 9090), None, "a connection");
        assert_eq!(listener("  sl  local_address rem_address   st", 9090), None);
    }

    #[test]
    fn a_port_belongs_to_who_listens_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let me = file.as_file().metadata().unwrap().uid();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            assert!(belongs(port, me).unwrap(), "{address}");
            assert!(!belongs(port, me + 1).unwrap(), "{address}");
        }
        assert!(!belongs(0, me).unwrap(), "nobody listens");
    }
}
