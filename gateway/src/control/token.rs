//! The operator's token: configured, or made at first start and kept in the data directory.

use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::plan::Node;

/// Name of the file in the data directory.
pub const FILE: &str = "admin.token";

/// A secret that is compared in constant time and never printed.
pub struct Token {
    secret: String,
    file: Option<PathBuf>,
}

impl Token {
    /// Whether this is it.
    pub fn is(&self, given: &str) -> bool {
        same(self.secret.as_bytes(), given.as_bytes())
    }

    /// Where it lies; none where it is configured.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl From<String> for Token {
    fn from(secret: String) -> Self {
        Token { secret, file: None }
    }
}

/// Equality that takes the same time wherever the difference is, and whatever the lengths are: digests are compared.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

/// The configured token, the one in the data directory, or a new one written there (mode 0600).
pub fn token(node: &Node) -> io::Result<Token> {
    if let Some(token) = &node.admin_token {
        return Ok(token.reveal().to_owned().into());
    }
    let path = node.data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => {
            // A copy or a restore may have opened it to others.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            let file = path.canonicalize().ok();
            return Ok(Token { secret: text.trim().to_owned(), file });
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
    Ok(Token { secret: token, file: path.canonicalize().ok() })
}
