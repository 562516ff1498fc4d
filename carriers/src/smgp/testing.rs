//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::{Common, Problem};
use crate::table;

pub(crate) const GOOD: &str = "address = \"[::1]:8890\"\nclient_id = \"10000001\"\nshared_secret = \"secret-of-10\"\n\
                               src_term_id = \"10690001\"\n";

pub(crate) fn common() -> Common {
    Common { name: "test".into(), window: 4, timezone: None, max_parts: 10 }
}

/// Reads a table as the gateway would; secret references ending in `gone` cannot be had.
pub(crate) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    read_in(&common(), text)
}

pub(crate) fn read_in(common: &Common, text: &str) -> Result<Settings, Vec<Problem>> {
    let table = toml::de::DeTable::parse(text).expect("TOML");
    let span = table.span();
    let table = toml::Spanned::new(span.clone(), toml::de::DeValue::Table(table.into_inner()));
    let table = table::read(table).map_err(|problem| vec![problem])?;
    Settings::check(common, table, span, &|reference| match reference {
        gone if gone.ends_with("gone") => Err(format!("{gone} is not set")),
        inline => Ok(inline.to_owned()),
    })
}

/// A plain account with these further lines.
pub(crate) fn settings(lines: &str) -> Arc<Settings> {
    Arc::new(read(&format!("{GOOD}{lines}")).expect("a good account"))
}
