//! Listening for clients that may not read what they are answered.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// How long a client may leave what it is sent unread, or unacknowledged, before its connection is ended.
pub const UNREAD_LIMIT: Duration = Duration::from_secs(30);

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Listens on `address`. The kernel ends a connection accepted there when for `unread` (`TCP_USER_TIMEOUT`, to the
/// millisecond, kept to within its next probe) its client has taken nothing of what waits for it: whether it does not
/// read, so that its window stays shut, or its machine is gone. The connection's next write fails.
///
/// # Errors
/// The address cannot be had.
pub async fn listen(address: SocketAddr, unread: Duration) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections have it from here.
    SockRef::from(&socket).set_tcp_user_timeout(Some(unread))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
