//! Command line values that several sub-commands share.

/// `text` itself, or the value of `NAME` for `env:NAME`: secrets on a command line are for everyone to see.
pub fn plain_or_env(text: &str) -> Result<String, String> {
    match text.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|_| format!("the environment has no {name}")),
        None => Ok(text.to_owned()),
    }
}
