//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::Problem;
use crate::table::testing::{common, read_as, secrets};

pub(crate) const GOOD: &str = "address = \"[::1]:8801\"\nlogin_name = \"sp12345\"\nlogin_password = \"secret-of-sp\"\n\
                               corp_id = \"12345\"\narea = \"010\"\nsp_number = \"10690001\"\n";

/// Reads a table as the gateway would.
pub(crate) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    read_as(text, |table, place| Settings::check(&common(), table, place, &secrets))
}

/// A plain account with these further lines.
pub(crate) fn settings(lines: &str) -> Arc<Settings> {
    Arc::new(read(&format!("{GOOD}{lines}")).expect("a good account"))
}
