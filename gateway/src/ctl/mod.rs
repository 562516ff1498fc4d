//! `qiao ctl`: the operator's client of the admin door. One file per topic; each asks through [`ask::Ask`].

mod ask;
mod callbacks;
mod channels;
mod message;
mod print;
mod queues;
mod status;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Exit;
use ask::Ask;
pub use callbacks::Callbacks;

/// `qiao ctl`
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The admin door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub url: String,
    /// File that holds the admin token (made at first start as DATA_DIR/admin.token)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to ask.
    #[command(subcommand)]
    pub command: Ctl,
}

/// What an operator can ask.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Ctl {
    /// Whether the gateway lives and is ready
    #[command(after_help = "Example: qiao ctl status")]
    Status,
    /// Channels: state, links, window, pace
    #[command(after_help = "Example: qiao ctl channels pccw-1")]
    Channels {
        /// One channel only
        name: Option<String>,
    },
    /// A message's way so far; text and number are masked
    #[command(after_help = "Example: qiao ctl message 0qk3m8z5r1xa")]
    Message {
        /// Its id
        id: String,
    },
    /// Callbacks by app: waiting, dead, failing; and what to do about them
    #[command(after_help = "Example: qiao ctl callbacks")]
    Callbacks {
        /// What to do; absent: show how they stand.
        #[command(subcommand)]
        what: Option<Callbacks>,
    },
    /// What waits, by group and tier
    #[command(after_help = "Example: qiao ctl queues --json")]
    Queues,
    /// Take a channel out of service for new messages; what is open is finished
    #[command(
        after_help = "Example: qiao ctl --token-file data/admin.token hold pccw-1 --reason 'carrier maintenance'"
    )]
    Hold {
        /// The channel
        name: String,
        /// Why, for the log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Put a held channel back into service
    #[command(after_help = "Example: qiao ctl --token-file data/admin.token release pccw-1")]
    Release {
        /// The channel
        name: String,
        /// Why, for the log
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// Asks the admin door and prints its answer.
///
/// # Errors
/// The door cannot be reached, or what it says is not JSON.
pub async fn run(args: &CtlArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let mut ask = Ask { url: args.url.clone(), token_file: args.token_file.clone(), json: args.json, out };
    let ask = &mut ask;
    match &args.command {
        Ctl::Status => status::run(ask).await,
        Ctl::Channels { name } => channels::run(ask, name.as_deref()).await,
        Ctl::Callbacks { what } => callbacks::run(ask, what.as_ref()).await,
        Ctl::Queues => queues::run(ask).await,
        Ctl::Message { id } => message::run(ask, id).await,
        Ctl::Hold { name, reason } => channels::order(ask, name, "hold", reason).await,
        Ctl::Release { name, reason } => channels::order(ask, name, "release", reason).await,
    }
}
