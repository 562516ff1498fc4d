//! The operator's token: configured, or made at first start and kept in the data directory.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use subtle::ConstantTimeEq;

use crate::config::plan::Node;

/// Name of the file in the data directory.
const FILE: &str = "admin.token";

/// A secret that is compared in constant time and never printed.
pub struct Token(String);

impl Token {
    /// Whether this is it.
    pub fn is(&self, given: &str) -> bool {
        same(self.0.as_bytes(), given.as_bytes())
    }
}

/// Equality that takes the same time wherever the difference is.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The configured token, the one in the data directory, or a new one written there (mode 0600).
pub fn token(node: &Node) -> io::Result<Token> {
    if let Some(token) = &node.admin_token {
        return Ok(Token(token.reveal().to_owned()));
    }
    let path = node.data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => {
            // A copy or a restore may have opened it to others.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            return Ok(Token(text.trim().to_owned()));
        }
        Ok(_) => std::fs::remove_file(&path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut octets = [0u8; 24];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut octets)?;
    let token: String = octets.iter().map(|o| format!("{o:02x}")).collect();
    std::fs::create_dir_all(&node.data_dir)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(Token(token))
}
