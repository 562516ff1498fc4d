//! An accepted record's octets, of which not everything is to be read: a channel is told the content and nothing else,
//! and what the store keeps of a finished message is the record as it is, without its text.

use super::fields::Take;
use super::kind;
use crate::clock::Wall;

/// Octets before an accepted record's first string: two times and three octets.
const FIXED: usize = 8 + 8 + 3;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline<'a> {
    /// All before the text's length.
    before: &'a [u8],
    /// All after the text.
    after: &'a [u8],
    /// App id.
    pub app: &'a [u8],
    /// The app's own reference.
    pub client_ref: Option<&'a [u8]>,
    /// Its idempotency key, if it has one.
    pub keyed: Option<Keyed<'a>>,
}

/// An idempotency key, and what was answered under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<'a> {
    /// The key.
    pub key: &'a [u8],
    /// First 16 octets of the SHA-256 of the request body.
    pub body_hash: [u8; 16],
    /// When.
    pub at: Wall,
    /// Quoted parts.
    pub parts: u8,
    /// Quoted encoding.
    pub encoding: &'a [u8],
}

impl<'a> Outline<'a> {
    /// Of an [`Accepted`](super::Accepted) record's body. That its strings are text is not looked at: whoever reads the
    /// record finds out.
    pub fn of(body: &'a [u8]) -> Option<Outline<'a>> {
        let mut take = Take::from(kind::ACCEPTED, body);
        let at = take.wall().ok()?;
        take.bytes(8).ok()?;
        let [_, parts, _] = take.array().ok()?;
        let app = take.octets().ok()?;
        for _tier_group_kind_to in 0..4 {
            take.octets().ok()?;
        }
        let before = body.get(..take.at())?;
        take.octets().ok()?;
        let after = take.rest;
        let encoding = take.octets().ok()?;
        // The sender.
        take.bytes(1).ok()?;
        take.octets().ok()?;
        let present = take.flag().ok()?;
        let client_ref = Some(take.octets().ok()?).filter(|_| present);
        let present = take.flag().ok()?;
        let (key, body_hash) = (take.octets().ok()?, take.array().ok()?);
        let keyed = present.then_some(Keyed { key, body_hash, at, parts, encoding });
        Some(Outline { before, after, app, client_ref, keyed })
    }

    /// Appends the record with an empty text.
    pub fn write_without_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(self.after);
    }
}

/// What of a message goes to the carrier, and the app's reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// E.164 with plus.
    pub to: &'a str,
    /// Sender asked for.
    pub sender: Option<&'a str>,
    /// Text with signature.
    pub text: &'a str,
    /// The app's own reference.
    pub client_ref: Option<&'a str>,
    /// What it asks of its carrier, as [`carriers::Options`] are kept.
    pub options: &'a str,
}

impl<'a> Content<'a> {
    /// Of an [`Accepted`](super::Accepted) record's body. What it passes over is not looked at.
    pub fn of(body: &'a [u8]) -> Option<Content<'a>> {
        let mut take = Take::from(kind::ACCEPTED, body);
        take.bytes(FIXED - 3).ok()?;
        let [flags, ..] = take.array::<3>().ok()?;
        for _app_tier_group_kind in 0..4 {
            take.octets().ok()?;
        }
        let (to, text) = (take.str().ok()?, take.str().ok()?);
        take.octets().ok()?;
        let (sender, client_ref) = (take.option().ok()?, take.option().ok()?);
        // The idempotency key and the body's hash.
        take.bytes(1).ok()?;
        take.octets().ok()?;
        take.bytes(16).ok()?;
        let options = take.last(flags).ok()?;
        take.is_empty().then_some(Content { to, sender, text, client_ref, options })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Accepted, Record};
    use super::*;

    #[test]
    fn it_is_the_record_without_its_text() {
        let full = Accepted {
            app: "shop",
            tier: "otp",
            group: "mobile",
            kind: "sms",
            to: "+8613800138000",
            sender: Some("1069"),
            text: "码 1234",
            client_ref: Some("order 7"),
            idempotency_key: Some("k"),
            at: Wall(7),
            body_hash: [9; 16],
            parts: 3,
            encoding: "ucs2",
            options: "link_id=7\n",
            ..Accepted::default()
        };
        for accepted in
            [full.clone(), Accepted { client_ref: None, sender: None, idempotency_key: None, options: "", ..full }]
        {
            let (mut body, mut bare, mut without) = (Vec::new(), Vec::new(), Vec::new());
            Record::Accepted(accepted.clone()).write(&mut body);
            Record::Accepted(Accepted { text: "", ..accepted.clone() }).write(&mut bare);
            let outline = Outline::of(&body).unwrap();
            outline.write_without_text(&mut without);
            assert_eq!(without, bare);
            let client_ref = accepted.client_ref.map(str::as_bytes);
            assert_eq!((outline.app, outline.client_ref), (accepted.app.as_bytes(), client_ref));
            let Accepted { body_hash, at, parts, .. } = accepted;
            let encoding = accepted.encoding.as_bytes();
            let keyed = |key: &'static str| Keyed { key: key.as_bytes(), body_hash, at, parts, encoding };
            assert_eq!(outline.keyed, accepted.idempotency_key.map(keyed));
            let Accepted { to, sender, text, client_ref, options, .. } = accepted;
            assert_eq!(Content::of(&body), Some(Content { to, sender, text, client_ref, options }));
            for end in 0..body.len() {
                // What is cut short behind the reference shows when it is read.
                let _ = Outline::of(&body[..end]);
                assert_eq!(Content::of(&body[..end]), None);
            }
            assert_eq!(Outline::of(&body[..40]), None);
        }
    }
}
