//! Certificates: what shows that blocks are irreversible, for those which were settled with one.
//!
//! Layout: `docs/store-format.md`. They are opaque bytes. The newest is in one of two small files that take turns,
//! so that while one is written the other is whole. Those that are kept for good are appended to segments: the
//! first of each [`KEEP_EVERY`] blocks, and one while a change of validators waits.
//!
//! **Invariant:** a certificate is durable before the block that it is of.

mod recovery;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use chain::{Hash, Height, Position};

pub(crate) use recovery::check;
pub(crate) use shared::Shared;

use self::recovery::{read_slot, recover_kept, repair};
use self::shared::Place;
use crate::config;
use crate::error::{Context as _, Error};
use crate::files::{File as _, Files};
use crate::recovery::Cut;
use crate::segment::{self, Header, Kind, Writer};

/// The longest certificate: that which peers may send.
pub const MAX_CERTIFICATE_BYTES: usize = 256 << 10;

/// Of so many blocks one certificate is kept. A peer that joins gets finality in steps of about so many headers,
/// some hundred KB; of a chain with a block a second, four validators and 300 B a certificate, 37 MB stay a year.
pub const KEEP_EVERY: u64 = 256;

/// Positions whose certificates share a segment: one is read when it is asked for. At one of [`KEEP_EVERY`] it holds
/// 256 certificates, some 100 KB.
const SPAN: u64 = 1 << 16;
/// What is reserved for a segment at first.
const SEGMENT_BYTES: u32 = 64 << 10;
/// Bytes of a payload before the certificate: position and hash.
const FIXED_BYTES: usize = 40;

/// A certificate, and which block it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The block's position.
    pub position: Position,
    /// The block's hash.
    pub id: Hash,
    /// The certificate, as it was given.
    pub certificate: Bytes,
}

impl Certified {
    /// Appends the record: [`segment::encode_record`] of position, hash and certificate.
    pub fn encode(&self, to: &mut Vec<u8>) {
        segment::encode_record(&self.payload(), to);
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(FIXED_BYTES + self.certificate.len());
        payload.extend_from_slice(&self.position.0.to_le_bytes());
        payload.extend_from_slice(&self.id.0);
        payload.extend_from_slice(&self.certificate);
        payload
    }

    /// Reads what a record holds; `None` if it is no certificate's.
    pub fn decode(payload: &Bytes) -> Option<Self> {
        let position = Position(u64::from_le_bytes(*payload.first_chunk()?));
        let id = Hash::from_slice(payload.get(8..FIXED_BYTES)?)?;
        let is_possible = (1..=MAX_CERTIFICATE_BYTES).contains(&(payload.len() - FIXED_BYTES));
        is_possible.then(|| Self { position, id, certificate: payload.slice(FIXED_BYTES..) })
    }
}

/// The certificates, open for writing.
#[derive(Debug)]
pub(crate) struct Certificates<F: Files> {
    files: F,
    kept: Option<Writer<F>>,
    last_kept: Option<Position>,
    /// When the change of validators is in force for which one is kept.
    change: Option<Height>,
    /// The places of those that are kept since readers were shown the last.
    new_places: Vec<Place>,
    slots: [Option<F::File>; 2],
    /// The slot that holds the newest durable one.
    current: usize,
    /// The newest, until readers are shown it.
    pending: Option<Certified>,
    /// Of bare blocks that are not settled yet: those that will be kept, and the newest.
    bare: Vec<Certified>,
    shared: Arc<Shared>,
}

impl<F: Files> Certificates<F> {
    /// Reads what is there. What the log does not know is removed: `is_settled` says what it knows.
    pub(crate) fn recover(
        files: &F,
        scan: config::Scan,
        settled: u64,
        is_settled: impl Fn(Position, Hash) -> Result<bool, Error>,
        cuts: &mut Vec<Cut>,
    ) -> Result<Self, Error> {
        if scan == config::Scan::Whole {
            repair(files, cuts)?;
        }
        let (kept, last, tail) = recover_kept(files, settled, &is_settled, cuts)?;
        let (mut slots, mut found) = ([None, None], [None, None]);
        for number in [0, 1] {
            let Some((file, certified)) = read_slot(files, number)? else { continue };
            slots[number] = Some(file);
            found[number] = match certified {
                Some(certified) if is_settled(certified.position, certified.id)? => Some(certified),
                Some(_) | None => None,
            };
        }
        let position = |of: &Option<Certified>| of.as_ref().map(|certified| certified.position);
        let current = usize::from(position(&found[1]) > position(&found[0]));
        let last_kept = position(&last);
        let newest = found.into_iter().flatten().chain(last).max_by_key(|certified| certified.position);
        Ok(Self {
            files: files.clone(),
            kept,
            last_kept,
            change: None,
            new_places: Vec::new(),
            slots,
            current,
            pending: None,
            bare: Vec::new(),
            shared: Arc::new(Shared::new(tail, newest)),
        })
    }

    /// What readers see.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes the certificate of a block that is being settled; `waiting` says when a change of validators that is
    /// known at this block will be in force.
    pub(crate) fn put(&mut self, certified: Certified, waiting: Option<Height>) -> Result<(), Error> {
        if self.is_to_keep(&certified, waiting) {
            self.keep(&certified)?;
            self.change = waiting.or(self.change);
        }
        self.pending = Some(certified);
        Ok(())
    }

    fn is_to_keep(&self, certified: &Certified, waiting: Option<Height>) -> bool {
        let span = |position: Position| position.0 / KEEP_EVERY;
        let is_due = self.last_kept.is_none_or(|last| span(last) < span(certified.position));
        is_due || (waiting.is_some() && waiting != self.change)
    }

    /// The same of a bare block, in memory until [`settle_bare`](Self::settle_bare). What grows is what will be kept.
    pub(crate) fn put_bare(&mut self, certified: Certified, waiting: Option<Height>) {
        if self.is_to_keep(&certified, waiting) {
            self.last_kept = Some(certified.position);
            self.change = waiting.or(self.change);
            self.bare.push(certified.clone());
        }
        self.pending = Some(certified);
    }

    /// Writes what is to be kept of bare blocks. The next sync makes it durable.
    pub(crate) fn settle_bare(&mut self) -> Result<(), Error> {
        std::mem::take(&mut self.bare).iter().try_for_each(|certified| self.keep(certified))
    }

    /// Drops what was put of bare blocks: nothing is settled, so that nothing else was kept.
    pub(crate) fn forget_bare(&mut self) {
        self.bare.clear();
        (self.last_kept, self.change, self.pending) = (None, None, None);
    }

    fn keep(&mut self, certified: &Certified) -> Result<(), Error> {
        let number = number_of(certified.position);
        if self.kept.as_ref().is_none_or(|kept| kept.header().number != number) {
            if let Some(mut full) = self.kept.take() {
                full.seal()?;
            }
            let header = Header { kind: Kind::Certificates, number, first: u64::from(number) * SPAN };
            self.kept = Some(Writer::create(&self.files, header, SEGMENT_BYTES)?);
        }
        let kept = self.kept.as_mut().expect("a segment was just begun");
        let payload = certified.payload();
        let len = u32::try_from(payload.len()).expect("checked when it was given");
        let offset = kept.append(&payload)?;
        self.new_places.push(Place { position: certified.position, offset, len });
        self.last_kept = Some(certified.position);
        Ok(())
    }

    /// Makes what was put durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if let Some(kept) = &mut self.kept {
            kept.sync()?;
        }
        match &self.pending {
            // One that is kept need not be written twice.
            Some(certified) if self.last_kept != Some(certified.position) => {
                let mut record = Vec::new();
                certified.encode(&mut record);
                self.write_slot(&record)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Shows readers what was synced, now that its block is durable, too.
    pub(crate) fn show(&mut self) {
        let Some(certified) = self.pending.take() else { return };
        self.shared.show(self.new_places.drain(..), certified);
    }

    /// Overwrites the older of the two slots.
    fn write_slot(&mut self, record: &[u8]) -> Result<(), Error> {
        let number = 1 - self.current;
        let path = slot_path(number);
        let show = || self.files.show(&path);
        if self.slots[number].is_none() {
            let file = self.files.create(&path).context("create", show)?;
            let dir = Kind::Certificates.dir();
            self.files.sync_dir(dir).context("sync", || self.files.show(dir))?;
            self.slots[number] = Some(file);
        }
        let file = self.slots[number].as_ref().expect("it was just created");
        file.write_at(0, record).context("write", show)?;
        file.sync_data().context("sync", show)?;
        self.current = number;
        Ok(())
    }
}

fn number_of(position: Position) -> u32 {
    // More blocks than this has room for are never made.
    u32::try_from(position.0 / SPAN).unwrap_or(u32::MAX)
}

fn slot_path(number: usize) -> String {
    format!("{}/newest.{number}", Kind::Certificates.dir())
}
