//! Nodes that lie: a correct node inside, whose outputs are edited. It has the node's key.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use chain::native::{Key, Produced, ballot, decode_header, merkle, read_fields};
use chain::{Hash, Header, Height, Point, Slot, Tip};
use consensus::quorum::{self, Proposal, Vote};
use diffusion::sync::{Fin, Hello, Message};
use link::Protocol;
use link::channel::{BODIES, CONSENSUS, ROUTING, SYNC};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::app::WRONG;
use super::check::Broken;
use super::show;
use super::world::World;

/// How a node lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It tells one half of its peers something else than the other half: proposals and votes.
    Twice,
    /// It takes part in no decision and passes nothing on.
    Silent,
    /// It proposes blocks that nobody may vote for.
    WrongBlocks,
    /// It says that its chain is longer than it is, and shows finality that nobody decided.
    FalseTips,
    /// It tells of blocks and never hands them out.
    NoBodies,
    /// It signs with bytes of its own.
    Forgeries,
}

/// All of them.
pub const LIES: [Lie; 6] =
    [Lie::Twice, Lie::Silent, Lie::WrongBlocks, Lie::FalseTips, Lie::NoBodies, Lie::Forgeries];

/// A text that names no lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give `twice`, `silent`, `wrong-blocks`, `false-tips`, `no-bodies` or `forgeries`")]
pub struct ParseError;

impl FromStr for Lie {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        LIES.into_iter().find(|lie| lie.to_string() == text).ok_or(ParseError)
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice => "twice",
            Self::Silent => "silent",
            Self::WrongBlocks => "wrong-blocks",
            Self::FalseTips => "false-tips",
            Self::NoBodies => "no-bodies",
            Self::Forgeries => "forgeries",
        })
    }
}

/// What all liars know: the blocks that no node of theirs knows of, by what they are told in place of.
pub(super) type Plot = BTreeMap<Hash, Header>;

/// What the other block of a liar holds, which is as right as the first.
const OTHER: &[u8] = b"something else than the others were told";

/// What stands between a node that lies and its peers.
#[derive(Debug)]
pub(super) struct Liar {
    lie: Lie,
    key: Key,
    /// The bodies of blocks of its own that its node does not know of.
    bodies: BTreeMap<Hash, Bytes>,
    /// Blocks that it heard of, the last of each height.
    heard: BTreeMap<Height, Hash>,
}

impl Liar {
    pub(super) fn new(lie: Lie, key: Key) -> Self {
        Self { lie, key, bodies: BTreeMap::new(), heard: BTreeMap::new() }
    }

    /// What a peer is told in place of a message; nothing where it is told nothing.
    fn edit(
        &mut self,
        plot: &mut Plot,
        chain: &Hash,
        peer: u32,
        channel: Protocol,
        body: &Bytes,
        rng: &mut ChaCha12Rng,
    ) -> Option<Bytes> {
        match (self.lie, channel) {
            (Lie::Silent, CONSENSUS | ROUTING) | (Lie::NoBodies, BODIES) => None,
            (Lie::FalseTips, SYNC) => Some(false_tip(body, rng)),
            (Lie::Twice, CONSENSUS | ROUTING) if peer.is_multiple_of(2) => {
                Some(self.said_otherwise(plot, chain, channel, body))
            }
            (Lie::WrongBlocks | Lie::Forgeries, CONSENSUS | ROUTING) => {
                Some(self.said_otherwise(plot, chain, channel, body))
            }
            _ => Some(body.clone()),
        }
    }

    fn said_otherwise(&mut self, plot: &mut Plot, chain: &Hash, channel: Protocol, body: &Bytes) -> Bytes {
        let Some(message) = show::of_consensus(channel, body) else { return body.clone() };
        let Some(other) = self.otherwise(plot, chain, message.clone()) else { return body.clone() };
        // What a parcel carries ends it: all before stays as it is.
        let (old, new) = (message.encode(), other.encode());
        let carrier = body.len() - old.len();
        let mut bytes = match channel {
            CONSENSUS => Vec::new(),
            _ => body[..carrier - string_head(old.len()).len()].to_vec(),
        };
        if channel != CONSENSUS {
            bytes.extend_from_slice(&string_head(new.len()));
        }
        bytes.extend_from_slice(&new);
        bytes.into()
    }

    /// Something else than a message of its own.
    fn otherwise(
        &mut self,
        plot: &mut Plot,
        chain: &Hash,
        message: quorum::Message,
    ) -> Option<quorum::Message> {
        let me = self.key.public();
        match message {
            quorum::Message::Vote(vote) if vote.validator == me => match self.lie {
                Lie::Forgeries => Some(quorum::Message::Vote(Vote { signature: [7; 64], ..vote })),
                Lie::Twice => Some(quorum::Message::Vote(self.vote_otherwise(plot, chain, &vote))),
                _ => None,
            },
            quorum::Message::Proposal(proposal) if proposal.validator == me => {
                let mut other = *proposal;
                if self.lie == Lie::Forgeries {
                    other.signature = [7; 64];
                } else {
                    let header = self.other_block(plot, &other.header)?;
                    other = Proposal { header, valid: None, ..other };
                    other.signature = self.key.sign(&other.ballot().signed_bytes(chain));
                }
                Some(quorum::Message::Proposal(Box::new(other)))
            }
            _ => None,
        }
    }

    fn vote_otherwise(&self, plot: &Plot, chain: &Hash, vote: &Vote) -> Vote {
        let block = match vote.vote.block {
            None => self.heard.get(&vote.vote.height).copied(),
            Some(block) => plot.get(&block).map(|header| header.id),
        };
        let other = ballot::Vote { block, ..vote.vote };
        Vote { vote: other, signature: self.key.sign(&other.signed_bytes(chain)), ..*vote }
    }

    /// A block of its own in place of another of its own.
    fn other_block(&mut self, plot: &mut Plot, header: &Header) -> Option<Header> {
        if let Some(other) = plot.get(&header.id) {
            return Some(other.clone());
        }
        let transaction = if self.lie == Lie::WrongBlocks { WRONG } else { OTHER };
        let (other, raw) = rebuilt(header, &[transaction], &self.key)?;
        self.bodies.insert(other.id, raw);
        plot.insert(header.id, other.clone());
        while self.bodies.len() > 64 {
            self.bodies.pop_first();
        }
        Some(other)
    }
}

impl World {
    /// A liar's node has a block of its own: what others are told in its place must be there before the first vote.
    pub(super) fn plot_against(&mut self, node: u32, header: &Header) {
        if let Some(liar) = &mut self.hosts[node as usize].liar
            && liar.lie == Lie::Twice
            && read_fields(header).is_ok_and(|fields| fields.producer == liar.key.public())
        {
            liar.other_block(&mut self.plot, header);
        }
    }

    /// A liar's node says something.
    pub(super) fn lie(&mut self, node: u32, peer: u32, channel: Protocol, body: Bytes) -> Result<(), Broken> {
        let chain = self.params.chain();
        // Those who lie know of each other, and say the same to the others.
        let is_in_the_plot = self.hosts[peer as usize].liar.is_some();
        let told = match &mut self.hosts[node as usize].liar {
            Some(liar) if !is_in_the_plot => {
                liar.edit(&mut self.plot, &chain, peer, channel, &body, &mut self.rng)
            }
            Some(_) | None => Some(body.clone()),
        };
        if told.as_ref() != Some(&body) {
            self.figures.lies += 1;
            self.note(node, "lies", || {
                let told = told.as_ref().map(|told| show::letter(node, channel, told));
                format!(
                    "to {peer}: {} in place of {}",
                    told.unwrap_or_default(),
                    show::letter(node, channel, &body)
                )
            });
        }
        match told {
            Some(told) => self.send(node, peer, channel, told),
            None => Ok(()),
        }
    }

    /// A message for a node; a liar keeps what its node must not see, and answers it.
    pub(super) fn heard(
        &mut self,
        from: u32,
        to: u32,
        channel: Protocol,
        body: Bytes,
    ) -> Result<Option<Bytes>, Broken> {
        let Some(liar) = &mut self.hosts[to as usize].liar else { return Ok(Some(body)) };
        if let Some(quorum::Message::Proposal(proposal)) = show::of_consensus(channel, &body) {
            liar.heard.insert(proposal.header.height, proposal.header.id);
        }
        if channel == SYNC
            && let Ok(Message::Want { id, .. }) = Message::decode(&body)
            && let Some(raw) = liar.bodies.get(&id).cloned()
        {
            self.took(to, from, channel, 1)?;
            self.send(to, from, BODIES, raw)?;
            return Ok(None);
        }
        Ok(Some(body))
    }
}

/// A block like another, with other transactions.
fn rebuilt(header: &Header, transactions: &[&[u8]], key: &Key) -> Option<(Header, Bytes)> {
    let mut fields = read_fields(header).ok()?;
    let mut list = list_head(transactions.len());
    for transaction in transactions {
        list.extend_from_slice(&string_head(transaction.len()));
        list.extend_from_slice(transaction);
    }
    (fields.root, fields.count) = (merkle::root(transactions), transactions.len() as u64);
    fields.size = list.len() as u64;
    let body = fields.encode();
    let signature = key.sign(&body);
    let bytes = Produced { fields, body, signature }.encode();
    // A list of the era and, in the wire form, a tagged string; in the block, a list of header and transactions.
    let mut wire = vec![0x82, 0x18, 100, 0xd8, 24];
    wire.extend_from_slice(&string_head(bytes.len()));
    wire.extend_from_slice(&bytes);
    let mut raw = vec![0x82, 0x18, 100, 0x82];
    raw.extend_from_slice(&bytes);
    raw.extend_from_slice(&list);
    Some((decode_header(&wire.into()).ok()?, raw.into()))
}

/// Another hello, or another finality.
fn false_tip(body: &Bytes, rng: &mut ChaCha12Rng) -> Bytes {
    let ahead = |tip: &Tip, by: u64| Tip {
        point: Point::Block(Slot(tip.point.slot().map_or(0, |slot| slot.0) + by), Hash([by as u8; 32])),
        height: Height(tip.height.0 + by),
    };
    match Message::decode(body) {
        Ok(Message::Hello(mut hello)) => {
            let by = rng.random_range(1..2_000);
            let fake = ahead(&hello.lib, by);
            match rng.random_range(0..3) {
                0 => hello.locator.insert(0, ahead(&Tip { point: hello.locator[0], ..hello.lib }, by).point),
                1 => hello = Hello { locator: vec![fake.point], lib: fake, oldest: hello.oldest },
                _ => hello.oldest = fake,
            }
            Message::Hello(hello).to_bytes()
        }
        Ok(Message::Fin(fin)) if rng.random_bool(0.3) => {
            let tip = if rng.random_bool(0.5) { ahead(&fin.tip, 1) } else { fin.tip };
            let mut certificate = fin.certificate.to_vec();
            if let Some(last) = certificate.last_mut() {
                *last ^= 1;
            }
            Message::Fin(Fin { tip, certificate: certificate.into() }).to_bytes()
        }
        Ok(_) | Err(_) => body.clone(),
    }
}

/// The head of a byte string in CBOR.
fn string_head(length: usize) -> Vec<u8> {
    head(0x40, length)
}

fn list_head(length: usize) -> Vec<u8> {
    head(0x80, length)
}

fn head(kind: u8, length: usize) -> Vec<u8> {
    match length {
        0..24 => vec![kind | length as u8],
        24..0x100 => vec![kind | 24, length as u8],
        0x100..0x1_0000 => [&[kind | 25], &(length as u16).to_be_bytes()[..]].concat(),
        _ => [&[kind | 26], &(length as u32).to_be_bytes()[..]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chain::Format;
    use chain::native::{Builder, Params, State, check_body};

    use super::*;

    #[test]
    fn lies_are_read_as_they_are_shown() {
        for lie in LIES {
            assert_eq!(lie.to_string().parse(), Ok(lie));
        }
    }

    #[test]
    fn a_block_in_place_of_another_is_a_block() {
        let key = Key::from_seed(&[1; 32]);
        let params = Params::solo("sim", 1, 0, key.public());
        let state = State::genesis(&params);
        let block = Builder::start(&params, &Tip::default(), &state, Slot(7)).finish(&key);
        let format = Format::Native(Arc::new(params));
        let (header, raw) = rebuilt(&block.header, &[WRONG, &[5; 300]], &key).expect("a block");
        let other = format.block(&raw).expect("it can be read");
        assert_eq!(other.header, header);
        assert_ne!(header.id, block.header.id);
        assert_eq!(check_body(&other), Ok(()));
        format.checks(&format.genesis(), &header).run().expect("it is signed");
    }
}
