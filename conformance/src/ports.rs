//! Ports for processes that are started again on the same address.
//!
//! They lie below the range the kernel takes outgoing ports from: there a client that redials while nobody listens
//! could be given the very port it dials, and connect to itself.

use std::net::{SocketAddr, TcpListener};

/// Lowest port tried.
const LOWEST: u16 = 12_000;
/// Where the kernel's own range begins unless it says otherwise.
const KERNELS: u16 = 32_768;

/// A loopback address nobody listens on now.
pub fn free() -> SocketAddr {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let kernels = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(KERNELS);
    let above = if kernels > LOWEST + 1_000 { kernels } else { KERNELS };
    let tried = (0..1_000).map(|_| SocketAddr::from(([127, 0, 0, 1], fastrand::u16(LOWEST..above))));
    let mut free = tried.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("of a thousand ports one is free")
}
