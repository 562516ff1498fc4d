//! Sessions on sockets.

/// One connection slot of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// The channel's index.
    pub channel: u16,
    /// The link's index in its channel, over all legs.
    pub link: u16,
}
