//! From a target to a connected socket with its options set.

use std::io;
use std::net::SocketAddr;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Down, Settings, tcp_info};

/// A connected socket on which nothing was sent yet.
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// [`tcp_info::bytes_acked`] before the first octet, where the kernel says.
    pub(crate) baseline: Option<u64>,
}

/// Resolves `target` (`host:port`) and connects to the first of its addresses that accepts. An address that has
/// neither accepted nor refused after `settings.stagger` gets company from the next.
pub(crate) async fn dial(target: String, settings: Settings) -> Result<Dialled, Down> {
    let addresses = lookup_host(&target).await.map_err(|error| Down::Unresolved(error.to_string()))?;
    let mut addresses = addresses.collect::<Vec<_>>().into_iter();
    let mut tries = JoinSet::new();
    let mut last = Down::Unresolved("no address".to_owned());
    loop {
        let more = match addresses.next() {
            Some(address) => {
                tries.spawn(connect(address, settings.clone()));
                addresses.len() > 0
            }
            None => false,
        };
        tokio::select! {
            ended = tries.join_next() => match ended {
                Some(Ok(Ok(dialled))) => return Ok(dialled),
                Some(Ok(Err(down))) => last = down,
                Some(Err(panicked)) => last = Down::Unreachable(panicked.to_string()),
                None => return Err(last),
            },
            () = sleep(settings.stagger), if more => {}
        }
    }
}

async fn connect(address: SocketAddr, settings: Settings) -> Result<Dialled, Down> {
    let unreachable = |why: &dyn std::fmt::Display| Down::Unreachable(format!("{address}: {why}"));
    let stream = match timeout(settings.connect_timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(&error)),
        Err(_) => return Err(unreachable(&"no answer in time")),
    };
    // Read first: the options below send nothing, but the fewer lines in between the better.
    let baseline = tcp_info::bytes_acked(&stream).ok();
    set_options(&stream, &settings).map_err(|error| unreachable(&error))?;
    Ok(Dialled { stream, address, baseline })
}

/// Sets what every socket of a link has.
pub(crate) fn set_options(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(settings.keepalive)
        .with_interval(settings.keepalive)
        .with_retries(settings.keepalive_probes);
    socket.set_tcp_keepalive(&keepalive)?;
    if let Some(octets) = settings.send_buffer {
        socket.set_send_buffer_size(octets)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.user_timeout))?;
    Ok(())
}
