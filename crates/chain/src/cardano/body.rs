//! A block's body against what its header says of it.
//!
//! From Shelley on the header names the body's size and a hash over the hashes of its parts (three parts,
//! four from Alonzo on). A Byron header has a proof: of the transactions a Merkle root, of the rest plain
//! hashes; a boundary header the hash of its body.

use pallas_crypto::hash::Hasher;

use super::block::{hash, open};
use super::era::Era;
use super::params::Params;
use super::state::Reason;
use super::{byron, header};
use crate::codec::{DecodeError, Reader};
use crate::{Block, Hash};

/// The largest body from Shelley on: the networks' own limit is 90,112 B, and is raised now and then. Anyone can
/// forge headers; what bounds a node's memory is that they cannot announce bodies of any size.
pub const MAX_BODY_BYTES: u64 = 128 << 10;

/// In front of a leaf's bytes in Byron's Merkle tree.
const LEAF: u8 = 0;
/// In front of two hashes.
const BRANCH: u8 = 1;

/// How many parts follow the header in a block.
pub(crate) fn parts(era: Era) -> u64 {
    match era {
        Era::Byron => 2,
        Era::Shelley | Era::Allegra | Era::Mary => 3,
        Era::Alonzo | Era::Babbage | Era::Conway => 4,
    }
}

/// Judges the body.
pub(crate) fn check(params: &Params, block: &Block) -> Result<(), Reason> {
    let mut reader = Reader::new(&block.raw);
    let (era, boundary) = open(&mut reader)?;
    let slot = block.header.slot;
    if !params.allows(era, slot) {
        return Err(Reason::EraSlot { found: era, slot });
    }
    if era == Era::Byron {
        let header = byron::Parts::read(boundary, &mut reader)?;
        if boundary { check_boundary(&header, &mut reader) } else { check_byron(&header, &mut reader) }
    } else {
        let header = header::Parts::read(era, &mut reader)?;
        check_body(era, &header, &mut reader)
    }
}

fn check_body(era: Era, header: &header::Parts<'_>, reader: &mut Reader<'_>) -> Result<(), Reason> {
    let start = reader.position();
    let mut hashes = Hasher::<256>::new();
    for _ in 0..parts(era) {
        hashes.input(&hash(reader.item("block part")?));
    }
    reader.finish("block")?;
    let size = reader.since(start).len() as u64;
    if size != header.block_size {
        return Err(Reason::BodySize { stated: header.block_size, found: size });
    }
    let found = Hash(*hashes.finalize());
    if found != header.block_hash {
        return Err(Reason::BodyHash { stated: header.block_hash, found });
    }
    Ok(())
}

fn check_boundary(header: &byron::Parts<'_>, reader: &mut Reader<'_>) -> Result<(), Reason> {
    let body = reader.item("boundary body")?;
    reader.item("boundary extra data")?;
    reader.finish("block")?;
    let mut proof = Reader::new(header.proof);
    let stated = proof.hash("boundary body hash")?;
    same(stated, Hash(hash(body)))
}

/// `[[count, root, witnesses], ssc, delegations, updates]`. The proof of the shared-seed payload is not
/// judged: the ledger itself ignores it.
fn check_byron(header: &byron::Parts<'_>, reader: &mut Reader<'_>) -> Result<(), Reason> {
    let mut proof = Reader::new(header.proof);
    let _ = proof.list(4, "body proof")?;
    let _ = proof.list(3, "transactions' proof")?;
    let count = proof.uint("transactions' count")?;
    let root = proof.hash("transactions' root")?;
    let witnesses = proof.hash("witnesses' hash")?;
    proof.item("shared-seed proof")?;
    let delegations = proof.hash("delegations' hash")?;
    let updates = proof.hash("updates' hash")?;

    let _ = reader.list(4, "body")?;
    let transactions = read_transactions(reader)?;
    reader.item("shared-seed payload")?;
    same(delegations, Hash(hash(reader.item("delegations")?)))?;
    same(updates, Hash(hash(reader.item("updates")?)))?;
    reader.item("extra body data")?;
    reader.finish("block")?;
    if transactions.leaves.len() as u64 != count {
        return Err(Reason::BodyCount { stated: count, found: transactions.leaves.len() as u64 });
    }
    same(root, Hash(merkle_root(&transactions.leaves)))?;
    same(witnesses, transactions.witnesses)
}

fn same(stated: Hash, found: Hash) -> Result<(), Reason> {
    if stated == found { Ok(()) } else { Err(Reason::BodyHash { stated, found }) }
}

struct Transactions {
    leaves: Vec<[u8; 32]>,
    witnesses: Hash,
}

/// `[* [tx, witnesses]]`. The witnesses' hash is over all of them as one list without a stated length.
fn read_transactions(reader: &mut Reader<'_>) -> Result<Transactions, DecodeError> {
    let mut left = reader.open("transactions")?;
    let mut leaves = Vec::new();
    let mut witnesses = Hasher::<256>::new();
    witnesses.input(&[0x9f]);
    loop {
        match &mut left {
            Some(0) => break,
            Some(count) => *count -= 1,
            None if reader.at_break("transactions")? => break,
            None => {}
        }
        let pair = reader.list(2, "transaction")?;
        leaves.push(leaf(reader.item("transaction")?));
        witnesses.input(reader.item("witnesses")?);
        reader.close(pair, "transaction")?;
    }
    witnesses.input(&[0xff]);
    Ok(Transactions { leaves, witnesses: Hash(*witnesses.finalize()) })
}

pub(super) fn leaf(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::<256>::new();
    hasher.input(&[LEAF]);
    hasher.input(bytes);
    *hasher.finalize()
}

/// The tree is split at the largest power of two below the number of leaves; no leaves hash as nothing.
pub(super) fn merkle_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => hash(&[]),
        [only] => *only,
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            let mut hasher = Hasher::<256>::new();
            hasher.input(&[BRANCH]);
            hasher.input(&merkle_root(&leaves[..half]));
            hasher.input(&merkle_root(&leaves[half..]));
            *hasher.finalize()
        }
    }
}
