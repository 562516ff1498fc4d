//! Whether a channel can carry a message, and as what.

use super::dialect::Dialect;
use super::number;
use super::options::{self, Rules};
use super::text::Texts;
use crate::message::{Mt, Parts, Quote, Unsendable};

/// What of an account decides what becomes of a message.
#[derive(Clone, Copy, Debug)]
pub struct Fit<'a> {
    /// The access number.
    pub access: &'a str,
    /// How numbers are written.
    pub dialect: &'a Dialect,
    /// How texts are.
    pub texts: &'a Texts,
    /// What a message may have otherwise.
    pub rules: Rules,
}

impl Fit<'_> {
    fn check(&self, mt: &Mt<'_>) -> Result<(), Unsendable> {
        number::check(mt.to)?;
        number::sender(self.access, mt.sender, self.dialect.sender_digits)?;
        self.rules.check(mt.options)?;
        options::in_time(mt.options, mt.until)
    }

    /// What [`Fit::split`] would make of it; nothing is encoded.
    pub fn quote(&self, mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        self.check(mt)?;
        self.texts.quote(mt)
    }

    /// The parts.
    pub fn split(&self, mt: &Mt<'_>) -> Result<Parts, Unsendable> {
        self.check(mt)?;
        self.texts.split(mt)
    }
}
