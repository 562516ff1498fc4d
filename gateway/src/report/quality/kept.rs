//! What was learned, as it outlives the process: one line with version and checksum, then JSON. By names, for indexes
//! live only as long as the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::delays::{BOUNDS, Delays};
use super::stratum::{Past, Stratum};
use super::{Class, Key, NETWORKS, Network, Quality, STRATA};
use crate::clock::Wall;
use crate::config::plan::{AppId, ChannelId, GroupId, Names, TierId};

/// What the file begins with.
const HEAD: &str = "qiao-quality 1 ";

/// The file does not read as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Of another version, or no such file at all.
    #[error("it does not begin as this version writes it")]
    Version,
    /// Cut, or changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// Not what it should be inside.
    #[error("{0}")]
    Content(String),
}

/// What outlives the process.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    channels: Vec<Stream>,
    strata: Vec<Alike>,
}

/// A channel's usual delays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    channel: String,
    delays: Vec<u32>,
}

/// A stratum's past.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alike {
    channel: String,
    network: String,
    app: String,
    tier: String,
    group: String,
    /// Milliseconds since the epoch.
    used: u64,
    /// Hour of the day, delivered, all.
    hours: Vec<(u8, u32, u32)>,
}

impl Kept {
    /// As the file has it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut octets = format!("{HEAD}{:08x}\n", crc32c::crc32c(&body)).into_bytes();
        octets.extend_from_slice(&body);
        octets
    }

    /// From the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(octets: &[u8]) -> Result<Kept, Damaged> {
        let rest = octets.strip_prefix(HEAD.as_bytes()).ok_or(Damaged::Version)?;
        let (sum, body) = rest.split_at_checked(9).ok_or(Damaged::Checksum)?;
        if *sum != *format!("{:08x}\n", crc32c::crc32c(body)).as_bytes() {
            return Err(Damaged::Checksum);
        }
        serde_json::from_slice(body).map_err(|error| Damaged::Content(error.to_string()))
    }
}

fn name(list: &[Arc<str>], at: usize) -> Option<String> {
    list.get(at).map(ToString::to_string)
}

fn index(list: &[Arc<str>], name: &str) -> Option<u16> {
    list.iter().position(|n| **n == *name).and_then(|at| u16::try_from(at).ok())
}

impl Quality {
    /// What is to outlive the process. The hour under way counts as if it were over.
    #[must_use]
    pub fn keep(&self, names: &Names) -> Kept {
        let hour = usize::try_from(self.hour % 24).unwrap_or(0);
        let stream = |(channel, flow): (&ChannelId, &super::Flow)| {
            let delays: Vec<u32> = flow.delays.0.iter().map(|count| *count as u32).collect();
            let channel = name(&names.channels, usize::from(channel.0))?;
            delays.iter().any(|count| *count > 0).then_some(Stream { channel, delays })
        };
        let alike = |(key, stratum): (&Key, &Stratum)| {
            let mut past = stratum.past.clone();
            past.fold(hour);
            let hours = (0u8..24).zip(past.hours).filter(|(_, (_, all))| *all >= 1.0);
            let hours: Vec<_> = hours.map(|(hour, (delivered, all))| (hour, delivered as u32, all as u32)).collect();
            let Class { app, tier, group } = key.class;
            let alike = Alike {
                channel: name(&names.channels, usize::from(key.channel.0))?,
                network: name(&self.networks, usize::from(key.network))?,
                app: name(&names.apps, usize::from(app.0))?,
                tier: name(&names.tiers, usize::from(tier.0))?,
                group: name(&names.groups, usize::from(group.0))?,
                used: stratum.used.0,
                hours,
            };
            (!alike.hours.is_empty()).then_some(alike)
        };
        Kept {
            channels: self.flows.iter().filter_map(stream).collect(),
            strata: self.strata.iter().collect::<BTreeMap<_, _>>().into_iter().filter_map(alike).collect(),
        }
    }

    /// Takes what outlived the last process; what names nothing that is known is left out.
    pub fn restore(&mut self, kept: Kept, names: &Names) {
        for Stream { channel, delays } in kept.channels {
            let Some(channel) = index(&names.channels, &channel).map(ChannelId) else { continue };
            let mut counts = [0.0; BOUNDS];
            counts.iter_mut().zip(delays).for_each(|(count, kept)| *count = kept as f32);
            self.flows.entry(channel).or_default().delays = Delays(counts);
        }
        for alike in kept.strata.into_iter().take(STRATA) {
            let Some(key) = self.key(&alike, names) else { continue };
            let mut past = Past::default();
            for (hour, delivered, all) in alike.hours {
                if let Some(slot) = past.hours.get_mut(usize::from(hour)) {
                    *slot = (delivered.min(all) as f32, all as f32);
                }
            }
            self.strata.insert(key, Stratum::of(past, Wall(alike.used)));
        }
    }

    fn key(&mut self, alike: &Alike, names: &Names) -> Option<Key> {
        let channel = ChannelId(index(&names.channels, &alike.channel)?);
        let app = AppId(index(&names.apps, &alike.app)?);
        let tier = TierId(u8::try_from(index(&names.tiers, &alike.tier)?).ok()?);
        let group = GroupId(index(&names.groups, &alike.group)?);
        let network = self.network(&alike.network);
        let known = usize::from(network) < NETWORKS && network != Network::MAX;
        known.then_some(Key { channel, network, class: Class { app, tier, group } })
    }
}
