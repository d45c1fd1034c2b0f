//! Messages as a person reads them in a trace and in a table.

use bytes::Bytes;
use consensus::quorum;
use diffusion::{routing, sync};
use link::Protocol;
use link::channel::{BODIES, CONSENSUS, ROUTING, SNAPSHOTS, SYNC, TRANSACTIONS};

/// The number at the head of a message, as far as it has one.
pub(super) fn number(channel: Protocol, body: &[u8]) -> u8 {
    match channel {
        BODIES => 0,
        _ => body.get(1).copied().unwrap_or(0),
    }
}

/// What kind of message that is.
pub(super) fn kind(channel: Protocol, number: u8) -> String {
    let (channel, names): (_, &[&str]) = match channel {
        CONSENSUS => ("consensus", &["vote", "proposal", "polka", "entry", "greeting"]),
        ROUTING => ("routing", &["routes", "ask", "parcel", "flood", "receipt"]),
        SYNC => ("sync", &["hello", "header", "fin", "want", "no", "stop", "pushes", "range"]),
        TRANSACTIONS => ("transactions", &["offer", "want", "data", "no", "more"]),
        SNAPSHOTS => ("snapshots", &["offer", "ask", "piece", "wish"]),
        BODIES => return "body".to_owned(),
        _ => ("other", &[]),
    };
    match names.get(usize::from(number)) {
        Some(name) => format!("{channel} {name}"),
        None => format!("{channel} {number}"),
    }
}

/// What a validator says, where a message says something of that sort.
pub(super) fn of_consensus(channel: Protocol, body: &Bytes) -> Option<quorum::Message> {
    match channel {
        CONSENSUS => quorum::Message::decode(body).ok(),
        ROUTING => match routing::Message::decode(body).ok()? {
            routing::Message::Parcel { packet, .. } => quorum::Message::decode(packet.body()).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// A message that came from a node.
pub(super) fn letter(from: u32, channel: Protocol, body: &Bytes) -> String {
    let mut text = format!("{} of {} B from {from}", kind(channel, number(channel, body)), body.len());
    if let Some(message) = of_consensus(channel, body) {
        text += &format!(" ({})", consensus(&message));
    }
    if channel == SYNC
        && let Ok(message) = sync::Message::decode(body)
    {
        text += &format!(" ({})", of_sync(&message));
    }
    text
}

/// A validator's word.
pub(super) fn consensus(message: &quorum::Message) -> String {
    let place = format!("{} {}/{}", message.name(), message.height(), message.round());
    match message {
        quorum::Message::Vote(vote) => match vote.vote.block {
            Some(block) => format!("{place} for {block:.8}"),
            None => format!("{place} for none"),
        },
        quorum::Message::Proposal(proposal) => format!("{place} of {:.8}", proposal.header.id),
        quorum::Message::Polka(polka) => format!("{place} for {:.8}", polka.block),
        quorum::Message::Entry(_) => place,
    }
}

fn of_sync(message: &sync::Message) -> String {
    match message {
        sync::Message::Hello(hello) => format!("lib {}, {} points", hello.lib.height, hello.locator.len()),
        sync::Message::Header(wire) => match chain::native::decode_header(wire) {
            Ok(header) => format!("{:.8} at {}", header.id, header.height),
            Err(error) => error.to_string(),
        },
        sync::Message::Fin(fin) => format!("{}", fin.tip.height),
        sync::Message::Want { id, follow } => format!("{id:.8}, follow: {follow}"),
        sync::Message::No { id } => format!("{id:.8}"),
        sync::Message::Stop { producer } | sync::Message::Pushes { producer } => {
            format!("{:.8}", chain::Hash(producer.0))
        }
        sync::Message::Range { from, to } => format!("{from:.8} to {to:.8}"),
    }
}
