//! Sessions from outside: what each promises (`promises`), and long random dialogues (`pair`), with a small far side per
//! protocol (`far`).

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod far;
mod pair;
mod promises;
