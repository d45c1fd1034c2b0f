//! The state as a newcomer takes it from others: in pieces, each of which the root shows by itself.
//!
//! A piece is named by a node of the Merkle tree and says what is below it: all entries where they are few, else the
//! nodes some levels deeper, whose pieces are asked for next. The first piece is the root's. Whoever takes one knows the
//! hash of its node, from a certified header or out of a piece before; so each is checked when it comes, whoever gave
//! it, in any order, and none is larger than [`MAX_PIECE_BYTES`] whatever the state is.
//!
//! Pieces go into tables beside the real ones. When no node is without its entries, one transaction puts them in place.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use anabranch::chain::native::{StateRoot, blake2b};
use anabranch::chain::{Hash, Tip};
use anabranch::logic::Taken;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::database::{self, ABOUT, ENTRIES, Fault, NEW_ENTRIES, NEW_TREE, Snapshot, TREE};
use super::proof::{EMPTY, Malformed, inner, leaf};
use super::tree::{Reader, Way, Writer};
use super::{Kv, root};

/// How many bytes a piece of entries has at most, unless it is a single one. A guess: a few hundred entries,
/// in a message that no link minds.
pub const MAX_PIECE_BYTES: usize = 256 << 10;

/// What an entry takes in a piece beside its key and its value, at most.
const ENTRY_HEAD_BYTES: usize = 7;

/// How many levels below its node a piece of nodes reaches: 256 nodes, some 10 KB.
pub(super) const LEVELS: usize = 8;

/// The states after every so many blocks are kept for newcomers unless another number is set: the default of `[application]
/// snapshot_every`.
pub(super) const SNAPSHOT_EVERY: NonZeroU64 = NonZeroU64::new(1_000).expect("it is not 0");

/// How many of them, that from which the process went on included. What is kept costs what was changed since.
pub(super) const MAX_SNAPSHOTS: usize = 2;

/// What is below a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// All entries, ordered by the hash of their keys.
    Entries(Vec<(Vec<u8>, Vec<u8>)>),
    /// The nodes below it; a [`Part::Parted`], or nothing would be said.
    Nodes(Part),
}

/// A part of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Empty,
    /// A node whose piece is yet to come.
    Whole(Hash),
    /// Two nodes below this one.
    Parted(Box<(Part, Part)>),
}

impl Part {
    /// The hash of its node.
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY,
            Self::Whole(hash) => *hash,
            Self::Parted(below) => inner(&below.0.hash(), &below.1.hash()),
        }
    }

    fn write(&self, out: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Infallible>> {
        match self {
            Self::Empty => out.null()?.ok(),
            Self::Whole(hash) => out.bytes(&hash.0)?.ok(),
            Self::Parted(below) => {
                out.array(2)?;
                below.0.write(out)?;
                below.1.write(out)
            }
        }
    }

    /// Reads a part of at most so many levels.
    fn read(from: &mut Decoder<'_>, levels: usize) -> Option<Self> {
        match from.datatype().ok()? {
            Type::Null => {
                from.null().ok()?;
                Some(Self::Empty)
            }
            Type::Bytes => Some(Self::Whole(Hash::from_slice(from.bytes().ok()?)?)),
            Type::Array if levels > 0 && from.array().ok()?? == 2 => {
                let left = Self::read(from, levels - 1)?;
                Some(Self::Parted(Box::new((left, Self::read(from, levels - 1)?))))
            }
            _ => None,
        }
    }
}

type Infallible = std::convert::Infallible;

impl Piece {
    /// As CBOR: `[0, [[key, value], …]]`, or `[1, node]` where a node is null, its hash, or `[node, node]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        let written: Result<(), minicbor::encode::Error<Infallible>> = (|| {
            out.array(2)?;
            match self {
                Self::Entries(entries) => {
                    out.u8(0)?.array(entries.len() as u64)?;
                    entries.iter().try_for_each(|(key, value)| out.array(2)?.bytes(key)?.bytes(value)?.ok())
                }
                Self::Nodes(part) => part.write(out.u8(1)?),
            }
        })();
        let Ok(()) = written else { unreachable!("memory takes what it is given") };
        bytes
    }

    /// Reads one piece, in its one encoding, and nothing else.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let piece = Self::read(&mut Decoder::new(bytes)).ok_or(Malformed)?;
        if piece.encode() == bytes { Ok(piece) } else { Err(Malformed) }
    }

    fn read(from: &mut Decoder<'_>) -> Option<Self> {
        if from.array().ok()?? != 2 {
            return None;
        }
        match from.u8().ok()? {
            0 => {
                let count = from.array().ok()??;
                let mut entries = Vec::new();
                for _ in 0..count {
                    if from.array().ok()?? != 2 {
                        return None;
                    }
                    let (key, value) = (from.bytes().ok()?, from.bytes().ok()?);
                    entries.push((key.to_vec(), value.to_vec()));
                }
                Some(Self::Entries(entries))
            }
            1 => {
                let part = Part::read(from, LEVELS)?;
                matches!(part, Part::Parted(_)).then_some(Self::Nodes(part))
            }
            _ => None,
        }
    }

    /// The hash of the node at the end of a way that this is below; `None` where it cannot be.
    fn hash(&self, way: &Way) -> Option<Hash> {
        match self {
            Self::Entries(entries) => Some(root(&leaves(entries, way)?, way.depth())),
            Self::Nodes(part) => Some(part.hash()),
        }
    }
}

/// The leaves of entries, in their order; `None` where they are not in order, or do not belong there.
fn leaves(entries: &[(Vec<u8>, Vec<u8>)], way: &Way) -> Option<Vec<(Hash, Hash)>> {
    let leaves: Vec<_> = entries
        .iter()
        .map(|(key, value)| {
            let key = blake2b(key);
            (key, leaf(&key, &blake2b(value)))
        })
        .collect();
    let belongs = leaves.iter().all(|(key, _)| way.leads_to(key));
    (belongs && leaves.is_sorted_by(|one, next| one.0 < next.0)).then_some(leaves)
}

/// A state that is being put together.
#[derive(Debug)]
pub(super) struct Restoring {
    /// Which.
    pub(super) to: StateRoot,
    /// The nodes whose pieces are to come, by their names.
    wanted: BTreeMap<Vec<u8>, (Way, Hash)>,
}

impl Snapshot {
    /// What is below a node, in a piece of so many bytes at most; `None` where there is none of this name.
    pub(super) fn piece(&self, name: &[u8], max_bytes: usize) -> Result<Option<Piece>, Fault> {
        let Some(way) = Way::of_name(name) else { return Ok(None) };
        let part = self.tree()?.part(way, LEVELS)?;
        if part == Part::Empty {
            return Ok(None);
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in self.entries()?.range::<&[u8; 32]>(&way.first()..)? {
            let (hash, entry) = entry?;
            if !way.leads_to(&Hash(*hash.value())) {
                break;
            }
            let (key, value) = entry.value();
            bytes += key.len() + value.len() + ENTRY_HEAD_BYTES;
            if bytes > max_bytes && matches!(part, Part::Parted(_)) {
                return Ok(Some(Piece::Nodes(part)));
            }
            entries.push((key.to_vec(), value.to_vec()));
        }
        Ok(Some(Piece::Entries(entries)))
    }
}

impl Kv {
    /// Begins to put the state with this root together, dropping what was begun before; the pieces wanted first.
    pub(super) fn begin_restoring(&self, to: StateRoot) -> Result<Vec<Vec<u8>>, database::Error> {
        self.guarded(|| {
            let writing = self.database.begin_write()?;
            writing.delete_table(NEW_ENTRIES)?;
            writing.delete_table(NEW_TREE)?;
            writing.open_table(NEW_ENTRIES)?;
            writing.open_table(NEW_TREE)?;
            Ok(writing.commit()?)
        })?;
        let mut wanted = BTreeMap::new();
        if to.root != EMPTY {
            wanted.insert(Way::ROOT.name(), (Way::ROOT, to.root));
        }
        let names = wanted.keys().cloned().collect();
        *self.restoring() = Some(Restoring { to, wanted });
        Ok(names)
    }

    /// Takes a piece, if it is one that is wanted and right.
    pub(super) fn take_piece(&self, name: &[u8], bytes: &[u8]) -> Result<Taken, database::Error> {
        let mut restoring = self.restoring();
        let wanted =
            restoring.as_mut().and_then(|it| it.wanted.get(name).copied().map(|wanted| (it, wanted)));
        let Some((restoring, (way, hash))) = wanted else { return Ok(Taken::Unasked) };
        let wrong = |reason: &str| Ok(Taken::Wrong { reason: reason.to_owned() });
        let Ok(piece) = Piece::decode(bytes) else { return wrong("it is no piece") };
        if piece.hash(&way) != Some(hash) {
            return wrong("it is not what is below its node");
        }
        let more = self.guarded(|| self.write_piece(way, &piece))?;
        restoring.wanted.remove(name);
        let names = more.iter().map(|(way, _)| way.name().into()).collect();
        restoring.wanted.extend(more.into_iter().map(|(way, hash)| (way.name(), (way, hash))));
        Ok(Taken::Right { more: names })
    }

    fn write_piece(&self, way: Way, piece: &Piece) -> Result<Vec<(Way, Hash)>, Fault> {
        let writing = self.database.begin_write()?;
        let mut more = Vec::new();
        {
            let mut tree = writing.open_table(NEW_TREE)?;
            let mut entries = writing.open_table(NEW_ENTRIES)?;
            match piece {
                Piece::Nodes(part) => more = Writer::new(&mut tree, &entries).put_part(way, part)?,
                Piece::Entries(all) => {
                    let leaves = leaves(all, &way).ok_or(Fault::Damaged("a piece that was checked"))?;
                    Writer::new(&mut tree, &entries).put_leaves(way, &leaves)?;
                    for (key, value) in all {
                        entries.insert(&blake2b(key).0, (key.as_slice(), value.as_slice()))?;
                    }
                }
            }
        }
        writing.commit()?;
        Ok(more)
    }

    /// Puts the state that was put together in the place of the present one: it is that after this block. False, and
    /// nothing is changed, where pieces are missing or it is another block's.
    pub(super) fn end_restoring(&self, tip: Tip) -> Result<bool, database::Error> {
        let mut restoring = self.restoring();
        let is_whole = |it: &Restoring| it.wanted.is_empty() && it.to.height == tip.height;
        let Some(to) = restoring.as_ref().filter(|it| is_whole(it)).map(|it| it.to) else { return Ok(false) };
        self.guarded(|| {
            let writing = self.database.begin_write()?;
            let whole =
                Reader::new(writing.open_table(NEW_TREE)?, writing.open_table(NEW_ENTRIES)?).root()?;
            if whole != to.root {
                return Err(Fault::Damaged("the state that was put together"));
            }
            writing.delete_table(ENTRIES)?;
            writing.delete_table(TREE)?;
            writing.rename_table(NEW_ENTRIES, ENTRIES)?;
            writing.rename_table(NEW_TREE, TREE)?;
            writing.open_table(ABOUT)?.insert("tip", database::stored(&tip).as_slice())?;
            writing.commit()?;
            self.keep_alone(Snapshot::take(&self.database, &self.params)?);
            Ok(())
        })?;
        *restoring = None;
        Ok(true)
    }

    /// Drops what was begun.
    pub(super) fn drop_restoring(&self) -> Result<(), database::Error> {
        *self.restoring() = None;
        self.guarded(|| database::forget_new(&self.database))
    }
}
