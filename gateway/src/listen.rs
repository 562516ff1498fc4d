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

/// What many machines send by unless told otherwise. It measures and paces each answer, and can do nothing for it: nearly
/// all are one segment.
const PACED: &[u8] = b"bbr";
/// What is used instead: every kernel has it, and lets everybody have it.
const UNPACED: &[u8] = b"reno";

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
    let options = SockRef::from(&socket);
    options.set_tcp_user_timeout(Some(unread))?;
    if options.tcp_congestion().is_ok_and(|name| name.starts_with(PACED)) {
        // A machine that forbids it goes on as it is.
        let _ = options.set_tcp_congestion(UNPACED);
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_have_the_listeners_options() {
        let listener = listen(([127, 0, 0, 1], 0).into(), Duration::from_secs(7)).await.unwrap();
        let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let options = SockRef::from(&accepted);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert!(!options.tcp_congestion().unwrap().starts_with(PACED));
        drop(client);
    }
}
