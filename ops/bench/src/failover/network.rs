//! A network of its own for a carrier: a namespace and a veth pair, in which what arrives can be dropped at its input.
//! Everything is removed when the [`Network`] is dropped; what a killed benchmark left is removed by the next one.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Result;
use crate::process::program;

/// Every namespace of ours begins like this, then the benchmark's process id, `x` and a count.
const PREFIX: &str = "qf";
/// The device inside the namespace.
const INSIDE: &str = "eth0";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// See the module's head.
#[derive(Debug)]
pub struct Network {
    name: String,
    peer: Ipv4Addr,
}

impl Network {
    /// Makes one; needs root, `ip` and `nft`.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn make() -> Result<Self> {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}x{count}", std::process::id());
        let [ours, peer] = addresses(std::process::id().wrapping_mul(64).wrapping_add(count));
        run("ip", &["netns", "add", &name])?;
        // From here on dropping it removes whatever there is.
        let network = Self { name, peer };
        let name = network.name.as_str();
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", INSIDE, "netns", name])?;
        run("ip", &["addr", "add", &format!("{ours}/30"), "dev", name])?;
        run("ip", &["link", "set", name, "up"])?;
        run("ip", &["-n", name, "addr", "add", &format!("{peer}/30"), "dev", INSIDE])?;
        run("ip", &["-n", name, "link", "set", INSIDE, "up"])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        network.nft("add table ip bench; add chain ip bench in { type filter hook input priority 0; }")?;
        Ok(network)
    }

    /// The address a carrier inside listens on.
    pub fn peer(&self) -> Ipv4Addr {
        self.peer
    }

    /// Runs our simulator inside.
    ///
    /// # Errors
    /// It has not been built.
    pub fn simulator(&self) -> Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program("qiao-sim")?);
        Ok(command)
    }

    /// Drops everything that arrives from outside.
    ///
    /// # Errors
    /// The rule is not taken.
    pub fn swallow(&self) -> Result<()> {
        self.nft(&format!("add rule ip bench in iifname \"{INSIDE}\" drop"))
    }

    /// Lets everything in again.
    ///
    /// # Errors
    /// The rule cannot be removed.
    pub fn open(&self) -> Result<()> {
        self.nft("flush chain ip bench in")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        run("ip", &["netns", "exec", &self.name, "nft", rules])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes device and namespace of this name. The device would go with the namespace, but only when the last socket in
/// it is gone. What is not there need not be removed.
fn remove(name: &str) {
    let _ = run("ip", &["link", "del", name]);
    let _ = run("ip", &["netns", "del", name]);
}

/// Removes what benchmarks that are gone left behind.
pub fn sweep() {
    let listed = |args: &[&str]| Command::new("ip").args(args).output().map(|done| done.stdout).unwrap_or_default();
    let all = [listed(&["netns", "list"]), listed(&["-brief", "link", "show", "type", "veth"])].concat();
    for line in String::from_utf8_lossy(&all).lines() {
        let name = line.split([' ', '@']).next().unwrap_or("");
        let gone = |pid: u32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
        if owner(name).is_some_and(gone) {
            remove(name);
        }
    }
}

/// The process that made the namespace of this name, if one of ours did.
fn owner(name: &str) -> Option<u32> {
    let (pid, count) = name.strip_prefix(PREFIX)?.split_once('x')?;
    count.parse::<u32>().ok()?;
    pid.parse().ok()
}

/// Both ends of the `number`th of 16,384 pairs.
fn addresses(number: u32) -> [Ipv4Addr; 2] {
    let base = u32::from(Ipv4Addr::new(10, 213, 0, 0)) + number % 16_384 * 4;
    [Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2)]
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let done = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_do_not_meet() {
        assert_eq!(addresses(0), [Ipv4Addr::new(10, 213, 0, 1), Ipv4Addr::new(10, 213, 0, 2)]);
        assert_eq!(addresses(16_383), [Ipv4Addr::new(10, 213, 255, 253), Ipv4Addr::new(10, 213, 255, 254)]);
        assert_eq!(addresses(16_384), addresses(0));
    }

    #[test]
    fn only_our_own_namespaces_are_known() {
        assert_eq!(owner("qf123x4"), Some(123));
        assert_eq!([owner("qf123"), owner("qfax1"), owner("demo"), owner("qf1x")], [None; 4]);
    }
}
