//! Sessions on sockets.
