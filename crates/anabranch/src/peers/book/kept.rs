//! What a member keeps beside its chain: orders about blocks and bodies, and the lies of validators that it saw.
//!
//! | table | from | to |
//! |---|---|---|
//! | `modes` | a peer's key | how bodies go between it and this node |
//! | `blacklist` | a block's id | nothing |
//! | `evidence` | height, round, kind and validator | the two messages that it signed |
//!
//! A row that an earlier program did not write as this one reads it is damage, as everywhere in the file.

use chain::Hash;
use consensus::quorum::{Evidence, MAX_EVIDENCE, Message};
use diffusion::sync::bodies::Mode;
use link::PeerId;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::{Book, Error, guarded};

/// The most blocks that are given up, and the most peers with a mode. A guess: an operator types them one by one.
pub(super) const MAX_ORDERS: u64 = 1_024;

pub(super) const MODES: TableDefinition<'_, &[u8; 32], &str> = TableDefinition::new("modes");
pub(super) const BLACKLIST: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("blacklist");
pub(super) const EVIDENCE: TableDefinition<'_, &[u8], (&[u8], &[u8])> = TableDefinition::new("evidence");

/// Makes those that are not there.
pub(super) fn make_tables(writing: &WriteTransaction) -> Result<(), redb::Error> {
    writing.open_table(MODES)?;
    writing.open_table(BLACKLIST)?;
    writing.open_table(EVIDENCE)?;
    Ok(())
}

impl Book {
    /// Sets how bodies go between this node and a peer; [`Mode::Auto`] is not kept.
    ///
    /// # Errors
    /// When it is full or cannot be written.
    pub fn set_mode(&self, peer: &PeerId, mode: Mode) -> Result<(), Error> {
        self.write(|writing| {
            let mut modes = writing.open_table(MODES)?;
            match mode {
                Mode::Auto => drop(modes.remove(&peer.0)?),
                Mode::Active | Mode::Backup | Mode::Off => drop(modes.insert(&peer.0, name(mode))?),
            }
            Ok(modes.len()? <= MAX_ORDERS)
        })
    }

    /// Gives a block up.
    ///
    /// # Errors
    /// When it is full or cannot be written.
    pub fn blacklist(&self, block: &Hash) -> Result<(), Error> {
        self.blacklist_all([*block])
    }

    /// Gives blocks up, all or none.
    ///
    /// # Errors
    /// As [`blacklist`](Self::blacklist).
    pub(super) fn blacklist_all(&self, blocks: impl IntoIterator<Item = Hash>) -> Result<(), Error> {
        self.write(|writing| {
            let mut blacklist = writing.open_table(BLACKLIST)?;
            for block in blocks {
                blacklist.insert(&block.0, ())?;
            }
            Ok(blacklist.len()? <= MAX_ORDERS)
        })
    }

    /// Takes that back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn allow(&self, block: &Hash) -> Result<(), Error> {
        self.write(|writing| {
            writing.open_table(BLACKLIST)?.remove(&block.0)?;
            Ok(true)
        })
    }

    /// Keeps a lie of a validator: of one kind in one round one is enough. The oldest makes room.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_evidence(&self, evidence: &Evidence) -> Result<(), Error> {
        let [first, second] = evidence.messages().map(|message| message.encode());
        self.write(|writing| {
            let mut table = writing.open_table(EVIDENCE)?;
            table.insert(place(evidence).as_slice(), (&*first, &*second))?;
            while table.len()? > MAX_EVIDENCE as u64 {
                table.pop_first()?;
            }
            Ok(true)
        })
    }

    /// All of it.
    pub(super) fn kept(&self) -> Result<node::Kept, Error> {
        let read = guarded(&self.path, || {
            let reading = self.database.begin_read()?;
            let mut kept = node::Kept::default();
            for row in reading.open_table(BLACKLIST)?.iter()? {
                kept.blacklist.push(Hash(*row?.0.value()));
            }
            for row in reading.open_table(MODES)?.iter()? {
                let (peer, mode) = row?;
                let Some(mode) = mode_of(mode.value()) else { return Ok(Err("a mode")) };
                kept.modes.push((PeerId(*peer.value()), mode));
            }
            for row in reading.open_table(EVIDENCE)?.iter()? {
                let (_, pair) = row?;
                let Some(evidence) = evidence_of(pair.value()) else { return Ok(Err("evidence")) };
                kept.evidence.push(evidence);
            }
            Ok(Ok(kept))
        })?;
        read.map_err(|what| Error::Damaged {
            path: self.path.clone(),
            reason: format!("{what} cannot be read"),
        })
    }
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Active => "active",
        Mode::Backup => "backup",
        Mode::Off => "off",
    }
}

fn mode_of(text: &str) -> Option<Mode> {
    [Mode::Active, Mode::Backup, Mode::Off].into_iter().find(|mode| name(*mode) == text)
}

/// What it is kept under: the oldest height first.
fn place(evidence: &Evidence) -> Vec<u8> {
    let kind = match evidence {
        Evidence::Votes(_) => 0,
        Evidence::Proposals(_) => 1,
    };
    let (height, round) = (evidence.height().0.to_be_bytes(), evidence.round().to_be_bytes());
    [&height[..], &round, &[kind], &evidence.validator()].concat()
}

fn evidence_of((first, second): (&[u8], &[u8])) -> Option<Evidence> {
    Evidence::from_messages([Message::decode(first).ok()?, Message::decode(second).ok()?])
}
