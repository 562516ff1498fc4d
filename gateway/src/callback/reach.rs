//! Which addresses a callback may reach. Names are resolved here and the address that is connected to is the one that
//! was checked, so a name cannot point elsewhere between check and connect.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tower_service::Service;

/// Connects to public addresses, and to those private ones that are allowed by name.
#[derive(Clone, Debug)]
pub struct Reach {
    allow_private: std::sync::Arc<[IpNet]>,
    connect: Duration,
}

impl Reach {
    /// A connector that gives up after `connect`.
    pub fn new(allow_private: &[IpNet], connect: Duration) -> Self {
        Reach { allow_private: allow_private.into(), connect }
    }

    fn may_reach(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.allow_private.iter().any(|net| net.contains(&ip))
    }

    async fn open(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = port(&uri).ok_or(io::Error::new(io::ErrorKind::InvalidInput, "the URL's port is not 1 to 65535"))?;
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => tokio::net::lookup_host((host, port)).await?.collect(),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            if !self.may_reach(address.ip()) {
                last = io::Error::new(io::ErrorKind::PermissionDenied, "a private address that allow_private lacks");
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl Service<Uri> for Reach {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (reach, limit) = (self.clone(), self.connect);
        Box::pin(async move {
            tokio::time::timeout(limit, reach.open(uri)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// The port that a URL names or its scheme stands for; `None` where what it names is none (0, beyond 65535, empty).
pub(crate) fn port(uri: &Uri) -> Option<u16> {
    let authority = uri.authority()?;
    let named = authority.as_str().rsplit('@').next()?.strip_prefix(authority.host())?;
    match named.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0),
        None if uri.scheme_str() == Some("https") => Some(443),
        None => Some(80),
    }
}

/// Whether an address belongs to the public network (IANA's special-purpose registries).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || a >= 224
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 100 && b & 0xc0 == 64
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || a == 198 && b & 0xfe == 18)
}

/// Only the global unicast block, less what lies inside it for other purposes or carries an IPv4 address.
fn public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    s[0] & 0xe000 == 0x2000
        && !(s[0] == 0x2001 && s[1] < 0x0200)
        && !(s[0] == 0x2001 && s[1] == 0x0db8)
        && s[0] != 0x2002
        && s[0] != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_urls_or_its_schemes_and_never_another() {
        for (url, wanted) in [
            ("http://a.example/h", Some(80)),
            ("https://a.example/h", Some(443)),
            ("https://[2001:db8::1]/h", Some(443)),
            ("https://[2001:db8::1]:65535/h", Some(65_535)),
            ("http://u@127.0.0.1:8080/h", Some(8080)),
            ("http://127.0.0.1:99999/h", None),
            ("http://127.0.0.1:0/h", None),
            ("http://127.0.0.1:/h", None),
        ] {
            assert_eq!(port(&url.parse().expect("a URL")), wanted, "{url}");
        }
    }

    #[test]
    fn private_addresses_are_out_of_reach_unless_allowed() {
        let none = Reach::new(&[], Duration::from_secs(1));
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "198.18.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
        ] {
            assert!(!none.may_reach(ip.parse().expect("an address")), "{ip}");
        }
        for ip in
            ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2400:3200::1", "::ffff:8.8.8.8"]
        {
            assert!(none.may_reach(ip.parse().expect("an address")), "{ip}");
        }
        let some = Reach::new(&["127.0.0.0/8".parse().expect("a net")], Duration::from_secs(1));
        assert!(some.may_reach("127.0.0.1".parse().expect("an address")));
        assert!(some.may_reach("::ffff:127.0.0.1".parse().expect("an address")));
        assert!(!some.may_reach("10.0.0.1".parse().expect("an address")));
    }
}
