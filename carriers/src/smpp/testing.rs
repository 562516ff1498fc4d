//! An account for this protocol's own tests.

use std::sync::Arc;

use super::Settings;
use crate::protocol::Problem;
pub(super) use crate::table::testing::common;
use crate::table::testing::{read_as, secrets};

/// Reads a table as the gateway would.
pub(super) fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    read_as(text, |table, _| Settings::check(&common(), table, &secrets))
}

/// A plain account with these further lines.
pub(super) fn settings(lines: &str) -> Arc<Settings> {
    let text = format!("address = \"smsc.example:2775\"\nsystem_id = \"qiao\"\npassword = \"secret\"\n{lines}");
    Arc::new(read(&text).expect("a good account"))
}
