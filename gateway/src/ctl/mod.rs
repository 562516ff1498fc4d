//! `qiao ctl`: the operator's client of the admin door. One file per topic; each asks through [`ask::Ask`].

mod ask;
mod callbacks;
mod channels;
mod explain;
mod listener;
mod message;
mod orders;
mod print;
mod queues;
mod reload;
mod status;
mod uplinks;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::Exit;
use ask::Ask;
pub use callbacks::Callbacks;
pub use explain::Explain;
pub use orders::{Apps, Terms};
pub use queues::Queues;
pub use uplinks::Uplinks;

/// `qiao ctl`
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The admin door
    #[arg(long, value_name = "URL", env = "QIAO_URL", default_value = "http://127.0.0.1:9090")]
    pub url: String,
    /// File that holds the admin token; on the gateway's own machine DATA_DIR/admin.token is found by itself
    #[arg(long, value_name = "FILE", env = "QIAO_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// How long the gateway may take to answer; default 5s, for an order 35s once it has answered at all
    #[arg(long, value_name = "TIME", global = true, value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Print the answer as JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// What to ask.
    #[command(subcommand)]
    pub command: Ctl,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let period = crate::config::period(text).filter(|period| !period.is_zero());
    period.ok_or("write a number and ms, s, m or h, as in 30s")
}

/// What an operator can ask.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Ctl {
    /// Whether the gateway lives and is ready, and what is out of service
    #[command(after_help = "Example: qiao ctl status\n\nExits with 1 where the gateway is not ready.")]
    Status,
    /// Channels: state, window, pace, links; who holds one, until when, and why
    #[command(after_help = "Example: qiao ctl channels pccw-1")]
    Channels {
        /// One channel only
        name: Option<String>,
    },
    /// Hold a channel: it takes nothing new; its links stay, receipts keep coming
    #[command(after_help = "Example: qiao ctl hold pccw-1 --for 10m --reason 'carrier maintenance'")]
    Hold {
        /// The channel
        name: String,
        /// For how long, and why.
        #[command(flatten)]
        terms: Terms,
    },
    /// Drain a channel: it takes nothing new, finishes what is open, and unbinds
    #[command(after_help = "Example: qiao ctl drain pccw-1 --reason 'moved to another account'")]
    Drain {
        /// The channel
        name: String,
        /// For how long, and why.
        #[command(flatten)]
        terms: Terms,
    },
    /// Release a channel that is held or drained: back in service, its links dialled again
    #[command(after_help = "Example: qiao ctl release pccw-1")]
    Release {
        /// The channel
        name: String,
        /// Why, for the log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// What would happen to a message, and why: policy, route, and every channel with what speaks for and against it
    #[command(after_help = "Example: qiao ctl explain --app shop --to +8613800138000 --tier otp --parts 2\n\n\
                            Nothing is sent, and nothing is taken from the app's rate, which is not asked. A message that\n\
                            waits: qiao ctl explain --message 0qk3m8z5r1xa")]
    Explain(Explain),
    /// Test a channel: one message to a handset of yours, as `[channel.test]` says
    #[command(after_help = "Example: qiao ctl test pccw-1")]
    Test {
        /// The channel
        name: String,
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
    /// What waits, by group and tier, and how long a new message would wait; end or move it
    #[command(after_help = "Example: qiao ctl queues --json")]
    Queues {
        /// What to do; absent: show how they stand.
        #[command(subcommand)]
        order: Option<Queues>,
    },
    /// Messages from handsets, newest first; text and handsets are not shown
    #[command(after_help = "Example: qiao ctl uplinks --unmatched", args_conflicts_with_subcommands = true)]
    Uplinks {
        /// Only those that no app owns
        #[arg(long)]
        unmatched: bool,
        /// Most of them
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// What to do with them
        #[command(subcommand)]
        order: Option<Uplinks>,
    },
    /// Read the configuration anew: prints what changed, or every problem and nothing changed
    #[command(after_help = "Example: qiao ctl reload\n\nExits with 1 where the configuration has problems.")]
    Reload,
    /// Apps: rate, messages not finished, where events go; hold and release one
    #[command(after_help = "Example: qiao ctl apps")]
    Apps {
        /// Hold or release one; without it, all are shown.
        #[command(subcommand)]
        command: Option<Apps>,
    },
}

/// Asks the admin door and prints its answer.
///
/// # Errors
/// The door cannot be reached, or what it says is not JSON. With `--json` that is printed as `{"error"}` instead.
pub async fn run(args: &CtlArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let (url, token_file) = (args.url.clone(), args.token_file.clone());
    let mut ask = Ask { url, token_file, timeout: args.timeout, json: args.json, out };
    match topic(&args.command, &mut ask).await {
        Err(error) if args.json && error.kind() != io::ErrorKind::BrokenPipe => {
            writeln!(ask.out, "{:#}", json!({ "error": error.to_string() }))?;
            Ok(Exit::CouldNotRun)
        }
        done => done,
    }
}

async fn topic(command: &Ctl, ask: &mut Ask<'_>) -> io::Result<Exit> {
    match command {
        Ctl::Status => status::run(ask).await,
        Ctl::Channels { name } => channels::run(ask, name.as_deref()).await,
        Ctl::Hold { name, terms } => orders::channel(ask, name, "hold", terms).await,
        Ctl::Drain { name, terms } => orders::channel(ask, name, "drain", terms).await,
        Ctl::Release { name, reason } => {
            let terms = Terms { reason: reason.clone(), ..Terms::default() };
            orders::channel(ask, name, "release", &terms).await
        }
        Ctl::Explain(asked) => explain::run(ask, asked).await,
        Ctl::Test { name } => channels::test(ask, name).await,
        Ctl::Message { id } => message::run(ask, id).await,
        Ctl::Callbacks { what } => callbacks::run(ask, what.as_ref()).await,
        Ctl::Queues { order } => queues::run(ask, order.as_ref()).await,
        Ctl::Reload => reload::run(ask).await,
        Ctl::Apps { command } => orders::apps(ask, command.as_ref()).await,
        Ctl::Uplinks { order: None, unmatched, limit } => uplinks::run(ask, *unmatched, *limit).await,
        Ctl::Uplinks { order: Some(Uplinks::Deliver { id: Some(id), .. }), .. } => uplinks::deliver(ask, id).await,
        Ctl::Uplinks { order: Some(Uplinks::Deliver { id: None, .. }), .. } => uplinks::deliver_all(ask).await,
    }
}
