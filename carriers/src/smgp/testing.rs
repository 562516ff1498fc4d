//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::{Common, Problem};
pub(crate) use crate::table::testing::common;
use crate::table::testing::{read_as, secrets};

pub(crate) const GOOD: &str = "address = \"[::1]:8890\"\nclient_id = \"10000001\"\nshared_secret = \"secret-of-10\"\n\
                               src_term_id = \"10690001\"\n";

/// Reads a table as the gateway would.
pub(crate) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    read_in(&common(), text)
}

pub(crate) fn read_in(common: &Common, text: &str) -> Result<Settings, Vec<Problem>> {
    read_as(text, |table, place| Settings::check(common, table, place, &secrets))
}

/// A plain account with these further lines.
pub(crate) fn settings(lines: &str) -> Arc<Settings> {
    Arc::new(read(&format!("{GOOD}{lines}")).expect("a good account"))
}
