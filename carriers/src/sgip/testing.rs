//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::{Common, Problem};
use crate::table;

pub(crate) const GOOD: &str = "address = \"[::1]:8801\"\nlogin_name = \"sp12345\"\nlogin_password = \"secret-of-sp\"\n\
                               corp_id = \"12345\"\narea = \"010\"\nsp_number = \"10690001\"\n";

/// Reads a table as the gateway would; secret references ending in `gone` cannot be had.
pub(crate) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    let common = Common { name: "test".into(), window: 4, timezone: None, max_parts: 10 };
    let table = toml::de::DeTable::parse(text).expect("TOML");
    let span = table.span();
    let table = toml::Spanned::new(span.clone(), toml::de::DeValue::Table(table.into_inner()));
    let table = table::read(table).map_err(|problem| vec![problem])?;
    Settings::check(&common, table, span, &|reference| match reference {
        gone if gone.ends_with("gone") => Err(format!("{gone} is not set")),
        inline => Ok(inline.to_owned()),
    })
}

/// A plain account with these further lines.
pub(crate) fn settings(lines: &str) -> Arc<Settings> {
    Arc::new(read(&format!("{GOOD}{lines}")).expect("a good account"))
}
