//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::{Common, Problem};
use crate::table;

pub(super) fn common() -> Common {
    Common { name: "test".into(), window: 4, timezone: None, max_parts: 10 }
}

/// Reads a table as the gateway would; secret references ending in `gone` cannot be had.
pub(super) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    let table = table_of(text).expect("TOML");
    let table = table::read(table).map_err(|problem| vec![problem])?;
    Settings::check(&common(), table, &|reference| match reference {
        gone if gone.ends_with("gone") => Err(format!("{gone} is not set")),
        inline => Ok(inline.to_owned()),
    })
}

fn table_of(text: &str) -> Result<toml::Spanned<toml::de::DeValue<'_>>, toml::de::Error> {
    let table = toml::de::DeTable::parse(text)?;
    let span = table.span();
    Ok(toml::Spanned::new(span, toml::de::DeValue::Table(table.into_inner())))
}

/// A plain account with these further lines.
pub(super) fn settings(lines: &str) -> Arc<Settings> {
    let text = format!("address = \"smsc.example:2775\"\nsystem_id = \"qiao\"\npassword = \"secret\"\n{lines}");
    Arc::new(read(&text).expect("a good account"))
}
