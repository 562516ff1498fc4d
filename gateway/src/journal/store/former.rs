//! A store of the former layout, an embedded database: read until its days are over, and then removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace};

use super::super::database::Kind;

const KIND: Kind = Kind {
    name: "the store of the former layout",
    lost: "histories of messages finished before the change are lost",
    version: b"1",
    cache: 16 << 20,
    memtable: 16 << 20,
    ahead: 512 << 20,
    not_its: &[super::RECORDS],
};

/// Where its engine keeps what is in it, and where that goes once it is over.
const KEYSPACES: &str = "keyspaces";
const OVER: &str = "keyspaces.over";

/// First octets of its keys.
pub(super) mod tag {
    pub(in super::super) const HISTORY: u8 = b'h';
    pub(in super::super) const CORRELATION: u8 = b'c';
    pub(in super::super) const IDEMPOTENCY: u8 = b'i';
    pub(in super::super) const CLIENT_REF: u8 = b'r';
    pub(in super::super) const UPLINK: u8 = b'u';
    pub(in super::super) const UNMATCHED: u8 = b'n';
    pub(in super::super) const BATCH: u8 = b'b';
}

/// The database and its days.
pub(super) struct Former {
    dir: PathBuf,
    database: Database,
    days: BTreeMap<u32, Keyspace>,
}

impl Former {
    /// Opens one, if there is one.
    pub(super) fn open(dir: &Path) -> Result<Option<Former>, String> {
        if !dir.join(KEYSPACES).try_exists().map_err(|error| error.to_string())? {
            // What a removal cut short has left.
            if let Err(error) = clean(dir) {
                tracing::warn!(%error, "the rest of the store's former layout cannot be removed");
            }
            return Ok(None);
        }
        let (database, days) = KIND.open(dir, |database| {
            let mut days = BTreeMap::new();
            for name in database.list_keyspace_names() {
                if let Some(day) = name.strip_prefix("day-").and_then(|day| day.parse().ok()) {
                    days.insert(day, database.keyspace(&name, || KIND.options())?);
                }
            }
            Ok(days)
        })?;
        tracing::info!(days = days.len(), "the store has a former layout: read until its days are over");
        Ok(Some(Former { dir: dir.into(), database, days }))
    }

    /// The newest day's value.
    pub(super) fn find(&self, tag: u8, rest: &[u8]) -> Option<Vec<u8>> {
        let key = key(tag, rest);
        self.days.values().rev().find_map(|day| day.get(&key).map_err(unreadable).ok()?).map(|value| value.to_vec())
    }

    /// Values of a tag by their ids, from the first to before the second, ascending; of `most` more are not asked for.
    pub(super) fn list(&self, tag: u8, (from, to): (u64, u64), most: usize) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let range = key(tag, &from.to_be_bytes())..key(tag, &to.to_be_bytes());
        self.days.values().flat_map(move |day| day.range(range.clone())).filter_map(entry).take(most)
    }

    /// Values of a tag by their ids, the last before `before` first.
    pub(super) fn list_last(&self, tag: u8, before: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let range = key(tag, &0u64.to_be_bytes())..key(tag, &before.to_be_bytes());
        self.days.values().rev().flat_map(move |day| day.range(range.clone()).rev()).filter_map(entry)
    }

    /// Its days from that one on.
    pub(super) fn since(&self, day: u32) -> Days {
        Days(self.days.range(day..).map(|(_, day)| day.clone()).collect())
    }

    /// Whether it has days before `oldest`, or none.
    pub(super) fn is_over(&self, oldest: u32) -> bool {
        self.days.first_key_value().is_none_or(|(day, _)| *day < oldest)
    }

    /// Drops the days before `oldest`; whether any is left.
    pub(super) fn drop_before(&mut self, oldest: u32) -> bool {
        let kept = self.days.split_off(&oldest);
        for (day, keyspace) in std::mem::replace(&mut self.days, kept) {
            if let Err(error) = self.database.delete_keyspace(keyspace) {
                tracing::warn!(%error, day, "an old day of the store could not be dropped");
            }
        }
        !self.days.is_empty()
    }

    /// Removes its files.
    pub(super) fn remove(self) -> io::Result<()> {
        let Former { dir, database, days } = self;
        drop((days, database));
        // Without this directory it is none.
        fs::rename(dir.join(KEYSPACES), dir.join(OVER))?;
        clean(&dir)
    }
}

/// Some of its days, held beside it.
pub(super) struct Days(Vec<Keyspace>);

impl Days {
    /// Shows the keys of a tag until it is told that this is enough. False where it has not shown them all.
    pub(super) fn keys(&self, tag: u8, tell: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().flat_map(|day| day.prefix([tag])).all(|entry| match entry.key() {
            Ok(key) => tell(key.get(1..).unwrap_or_default()),
            Err(error) => {
                unreadable(error);
                false
            }
        })
    }
}

/// Removes what is left of one that is over.
fn clean(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "lock" || name == "version" || name.ends_with(".jnl") {
            fs::remove_file(entry.path())?;
        } else if name == OVER {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn key(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&[tag][..], rest].concat()
}

fn entry(guard: fjall::Guard) -> Option<(u64, Vec<u8>)> {
    let (key, value) = guard.into_inner().map_err(unreadable).ok()?;
    Some((u64::from_be_bytes(key.get(1..)?.try_into().ok()?), value.to_vec()))
}

fn unreadable(error: fjall::Error) {
    tracing::warn!(%error, "the store cannot read");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ids::MessageId;

    /// A store as the former layout had it, of messages with their ids and names, and whether they stand in the list of
    /// those from handsets that nobody owns.
    pub(in super::super) fn write(dir: &Path, messages: &[(u64, &str, bool)]) {
        let (database, ()) = KIND.open(dir, |_| Ok(())).unwrap();
        for (id, name, unmatched) in messages {
            let day = format!("day-{}", MessageId(*id).wall().0 / 86_400_000);
            let day = database.keyspace(&day, || KIND.options()).unwrap();
            let octets = id.to_be_bytes();
            let put = |tag, rest: &[u8], value: &[u8]| day.insert(key(tag, rest), value).unwrap();
            put(tag::HISTORY, &octets, format!("history of {name}").as_bytes());
            put(tag::BATCH, &octets, format!("batch {name}").as_bytes());
            put(tag::CORRELATION, format!("a:{name}").as_bytes(), &octets);
            put(tag::CORRELATION, format!("b:{name}").as_bytes(), &octets);
            put(tag::IDEMPOTENCY, format!("key {name}").as_bytes(), format!("value {name}").as_bytes());
            put(tag::CLIENT_REF, b"order 1", &octets);
            if *unmatched {
                put(tag::UPLINK, &octets, b"listed");
                put(tag::UNMATCHED, &octets, b"listed");
            }
        }
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
}
