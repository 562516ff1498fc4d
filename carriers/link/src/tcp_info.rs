//! What the kernel knows about a connection (`TCP_INFO`): how much of what we wrote the far side's kernel has, and since
//! when it says nothing.
//!
//! The only unsafe call of the workspace stands here: neither socket2, rustix nor tokio offers this option, and libc's
//! own `tcp_info` for glibc ends before the field wanted.

use std::io;
use std::time::Duration;

use crate::unacked::Look;

/// Octets of ours the far side's kernel has acknowledged since the connection began. The dialling side's SYN counts as
/// one, so a reading right after connect is the baseline to subtract. Works after a reset, until the socket is closed.
///
/// # Errors
/// Whatever `getsockopt` says; `Unsupported` where the kernel is too old (before 4.1) or not Linux.
#[cfg(target_os = "linux")]
pub(crate) fn bytes_acked(socket: &impl std::os::fd::AsFd) -> io::Result<u64> {
    look(socket).map(|seen| seen.acked)
}

/// As on Linux, but unknown.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bytes_acked<T>(_socket: &T) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The acknowledgements as they stand: octets as [`bytes_acked`] counts them, the time since the last one of any kind,
/// the smoothed round trip.
///
/// # Errors
/// As [`bytes_acked`].
#[cfg(target_os = "linux")]
pub(crate) fn look(socket: &impl std::os::fd::AsFd) -> io::Result<Look> {
    let (prefix, length) = read(socket.as_fd())?;
    if length < size_of::<Prefix>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(Look {
        acked: prefix.bytes_acked,
        since_ack: Duration::from_millis(prefix.counters[LAST_ACK_RECV].into()),
        trip: Duration::from_micros(prefix.counters[RTT].into()),
    })
}

/// As on Linux, but unknown.
#[cfg(not(target_os = "linux"))]
pub(crate) fn look<T>(_socket: &T) -> io::Result<Look> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `tcpi_last_ack_recv` among the counters: milliseconds.
#[cfg(target_os = "linux")]
const LAST_ACK_RECV: usize = 12;
/// `tcpi_rtt` among the counters: microseconds.
#[cfg(target_os = "linux")]
const RTT: usize = 15;

/// `struct tcp_info` of `linux/tcp.h` up to `tcpi_bytes_acked`. The kernel only ever appends fields and copies as many
/// octets as it is given room for.
#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Default)]
struct Prefix {
    /// `tcpi_state` to the bit fields.
    flags: [u8; 8],
    /// `tcpi_rto` to `tcpi_total_retrans`.
    counters: [u32; 24],
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn read(socket: std::os::fd::BorrowedFd<'_>) -> io::Result<(Prefix, usize)> {
    use std::os::fd::AsRawFd;

    let mut prefix = Prefix::default();
    let mut length = size_of::<Prefix>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the borrow; `prefix` is valid for writes of `length` octets, of
    // which the kernel writes at most that many, and any octets are valid in a repr(C) struct of integers; `length` is
    // an initialised socklen_t. Both pointers outlive the call, which keeps neither.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut prefix).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok((prefix, length as usize)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn the_prefix_ends_where_the_kernel_puts_the_field() {
        assert_eq!(std::mem::offset_of!(Prefix, bytes_acked), 120);
        assert_eq!(size_of::<Prefix>(), 128);
    }

    #[test]
    fn counts_exactly_what_the_far_side_took_even_after_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let baseline = bytes_acked(&ours).unwrap();
        assert_eq!(baseline, 1, "the SYN of the dialling side");

        ours.write_all(&[7; 1000]).unwrap();
        theirs.read_exact(&mut [0; 900]).unwrap();
        // Closing with octets unread resets the connection.
        drop(theirs);
        assert!(ours.read(&mut [0; 1]).is_err());
        assert_eq!(bytes_acked(&ours).unwrap() - baseline, 1000);
    }

    #[test]
    fn a_look_tells_the_round_trip_and_the_age_of_the_last_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(&[7; 10]).unwrap();
        theirs.read_exact(&mut [0; 10]).unwrap();
        // Against the kernel's own names for the fields, through the system's own copy of the struct.
        assert_eq!(std::mem::offset_of!(libc::tcp_info, tcpi_last_ack_recv), 8 + 4 * LAST_ACK_RECV);
        assert_eq!(std::mem::offset_of!(libc::tcp_info, tcpi_rtt), 8 + 4 * RTT);
        let seen = look(&ours).unwrap();
        assert_eq!(seen.acked, 11);
        assert!(seen.since_ack < Duration::from_secs(5), "{seen:?}");
        assert!(Duration::ZERO < seen.trip && seen.trip < Duration::from_secs(1), "{seen:?}");
    }

    #[test]
    fn a_socket_that_is_not_tcp_is_an_error() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(bytes_acked(&udp).is_err());
    }
}
