//! Certificates: what shows that blocks are irreversible, for those which were settled with one.
//!
//! Layout: `docs/store-format.md`. They are opaque bytes. The newest is in one of two small files that take turns,
//! so that while one is written the other is whole. Those that are kept for good are appended to segments: the
//! first of each [`KEEP_EVERY`] blocks, and one while a change of validators waits.
//!
//! **Invariant:** a certificate is durable before the block that it is of.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use chain::{Hash, Height, Position};

use crate::cache::Cache;
use crate::config;
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files};
use crate::recovery::Cut;
use crate::segment::{self, HEADER_BYTES, Header, Kind, RECORD_HEADER_BYTES, Record, Scan, Writer};

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
/// How many places of certificates are remembered for readers, of all segments together.
const MAX_PLACES: usize = 64 << 10;

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

/// What readers see.
#[derive(Debug)]
pub(crate) struct Shared {
    tail: RwLock<Tail>,
    /// The places in segments that are full.
    places: Cache<Vec<Place>>,
}

/// The end of the chain of certificates.
#[derive(Debug, Default)]
struct Tail {
    newest: Option<Certified>,
    /// The segment that is written to, and the places in it.
    number: u32,
    places: Vec<Place>,
}

/// Where a certificate is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    position: Position,
    offset: u32,
    len: u32,
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
        let (kept, last, mut tail) = recover_kept(files, settled, &is_settled, cuts)?;
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
        tail.newest = found.into_iter().flatten().chain(last).max_by_key(|certified| certified.position);
        let shared = Shared { tail: RwLock::new(tail), places: Cache::new(MAX_PLACES) };
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
            shared: Arc::new(shared),
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
        let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
        for place in self.new_places.drain(..) {
            let number = number_of(place.position);
            if number != tail.number {
                (tail.number, tail.places) = (number, Vec::new());
            }
            tail.places.push(place);
        }
        tail.newest = Some(certified);
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

impl Shared {
    /// The newest of all.
    pub(crate) fn newest(&self) -> Option<Certified> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// The certificate of a block, if there is one.
    pub(crate) fn at<F: Files>(&self, files: &F, position: Position) -> Result<Option<Certified>, Error> {
        let number = number_of(position);
        let find = |places: &[Place]| {
            let found = places.binary_search_by_key(&position, |place| place.position).ok();
            found.map(|found| places[found])
        };
        let place = {
            let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(newest) = tail.newest.as_ref().filter(|newest| newest.position == position) {
                return Ok(Some(newest.clone()));
            }
            (number == tail.number).then(|| find(&tail.places))
        };
        let place = match place {
            Some(place) => place,
            None => find(&self.places(files, number)?),
        };
        place.map(|place| read_kept(files, number, place)).transpose()
    }

    /// The places in a segment that is full; none if it is not there.
    fn places<F: Files>(&self, files: &F, number: u32) -> Result<Arc<Vec<Place>>, Error> {
        if let Some(places) = self.places.get(number.into()) {
            return Ok(places);
        }
        let mut places = Vec::new();
        if Kind::Certificates.list(files)?.contains(&number) {
            let (_, mut scan) = Scan::open(files, Kind::Certificates, number)?;
            // What is behind a damage is not found: a verification says so.
            while let Some((offset, payload)) = scan.next()? {
                let Some(certified) = Certified::decode(&payload) else { break };
                let len = u32::try_from(payload.len()).expect("a record's length is a u32");
                places.push(Place { position: certified.position, offset, len });
            }
        }
        let (weight, places) = (1 + places.len(), Arc::new(places));
        self.places.put(number.into(), Arc::clone(&places), weight);
        Ok(places)
    }
}

fn number_of(position: Position) -> u32 {
    // More blocks than this has room for are never made.
    u32::try_from(position.0 / SPAN).unwrap_or(u32::MAX)
}

fn slot_path(number: usize) -> String {
    format!("{}/newest.{number}", Kind::Certificates.dir())
}

/// Opens a slot, if it is there, and reads the certificate in it, if it is whole.
#[expect(clippy::type_complexity, reason = "a pair, where there is one")]
fn read_slot<F: Files>(files: &F, number: usize) -> Result<Option<(F::File, Option<Certified>)>, Error> {
    let path = slot_path(number);
    let show = || files.show(&path);
    let file = match files.open(&path, Access::Write) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.context("open", show)?,
    };
    let max = (RECORD_HEADER_BYTES as usize + FIXED_BYTES + MAX_CERTIFICATE_BYTES) as u64;
    let len = file.len().context("read", show)?.min(max);
    let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
    file.read_at(0, &mut bytes).context("read", show)?;
    let certified = match segment::decode_record(&bytes) {
        Record::Whole(payload) => Certified::decode(&Bytes::copy_from_slice(payload)),
        Record::End | Record::Short(_) | Record::Damaged(_) => None,
    };
    Ok(Some((file, certified)))
}

/// Reads all segments; an error if one is damaged. The last may be being written, and is read by every start.
pub(crate) fn check<F: Files>(files: &F) -> Result<(), Error> {
    let numbers = Kind::Certificates.list(files)?;
    for number in numbers.iter().rev().skip(1).rev() {
        let (header, scan) = Scan::open(files, Kind::Certificates, *number)?;
        let (offset, damage) = end_of(scan)?;
        let damage = if header.is_none() { Some(Damage::SegmentHeader) } else { damage };
        if let Some(damage) = damage {
            let path = files.show(&Kind::Certificates.path(*number));
            return Err(Error::Damaged { path, offset: offset.into(), damage });
        }
    }
    Ok(())
}

/// Cuts full segments before the first damage in each.
fn repair<F: Files>(files: &F, cuts: &mut Vec<Cut>) -> Result<(), Error> {
    let numbers = Kind::Certificates.list(files)?;
    for number in numbers.iter().rev().skip(1) {
        let open = || Scan::open(files, Kind::Certificates, *number);
        let (header, scan) = open()?;
        let (offset, damage) = match header {
            Some(_) => end_of(scan)?,
            None => (0, Some(Damage::SegmentHeader)),
        };
        if damage.is_some() {
            Cut::note(cuts, &open()?.1, offset, damage)?;
            match header {
                Some(_) => segment::cut(files, Kind::Certificates, *number, offset)?,
                None => remove(files, *number)?,
            }
        }
    }
    Ok(())
}

/// Where the certificates of a segment end, and what is wrong there.
fn end_of<F: Files>(mut scan: Scan<F>) -> Result<(u32, Option<Damage>), Error> {
    while let Some((offset, payload)) = scan.next()? {
        if Certified::decode(&payload).is_none() {
            return Ok((offset, Some(Damage::Differs)));
        }
    }
    let end = scan.end();
    Ok((end.offset, end.damage))
}

/// Reads a certificate that is kept.
fn read_kept<F: Files>(files: &F, number: u32, place: Place) -> Result<Certified, Error> {
    let path = Kind::Certificates.path(number);
    let file = files.open(&path, Access::Read).context("open", || files.show(&path))?;
    let mut bytes = vec![0; RECORD_HEADER_BYTES as usize + place.len as usize];
    file.read_at(place.offset.into(), &mut bytes).context("read", || files.show(&path))?;
    let certified = match segment::decode_record(&bytes) {
        Record::Whole(payload) => Certified::decode(&Bytes::copy_from_slice(payload)),
        Record::End | Record::Short(_) | Record::Damaged(_) => None,
    };
    certified.filter(|certified| certified.position == place.position).ok_or_else(|| Error::Damaged {
        path: files.show(&path),
        offset: place.offset.into(),
        damage: Damage::Checksum,
    })
}

/// Reads the last segment and opens it for writing; what is behind the settled blocks is cut off.
#[expect(clippy::type_complexity, reason = "three things that one pass over the files gives")]
fn recover_kept<F: Files>(
    files: &F,
    settled: u64,
    is_settled: &impl Fn(Position, Hash) -> Result<bool, Error>,
    cuts: &mut Vec<Cut>,
) -> Result<(Option<Writer<F>>, Option<Certified>, Tail), Error> {
    let last_number = settled.checked_sub(1).map(|last| number_of(Position(last)));
    for number in Kind::Certificates.list(files)?.into_iter().rev() {
        let (header, mut scan) = Scan::open(files, Kind::Certificates, number)?;
        let Some(header) = header.filter(|_| last_number.is_some_and(|last| number <= last)) else {
            let damage = if header.is_none() { Damage::SegmentHeader } else { Damage::Differs };
            Cut::note(cuts, &scan, HEADER_BYTES, Some(damage))?;
            remove(files, number)?;
            continue;
        };
        let mut tail = Tail { number, ..Tail::default() };
        let mut last = None;
        let mut unknown = None;
        while let Some((offset, payload)) = scan.next()? {
            match Certified::decode(&payload) {
                Some(certified) if is_settled(certified.position, certified.id)? => {
                    let len = u32::try_from(payload.len()).expect("a record's length is a u32");
                    tail.places.push(Place { position: certified.position, offset, len });
                    last = Some(certified);
                }
                Some(_) | None => {
                    unknown = Some((offset, Damage::Differs));
                    break;
                }
            }
        }
        let end = scan.end();
        let (offset, damage) = match unknown {
            Some((offset, damage)) => (offset, Some(damage)),
            None => (end.offset, end.damage),
        };
        Cut::note(cuts, &scan, offset, damage)?;
        if last.is_none() {
            remove(files, number)?;
            continue;
        }
        let writer = Writer::resume(files, header, offset, SEGMENT_BYTES)?;
        return Ok((Some(writer), last, tail));
    }
    Ok((None, None, Tail::default()))
}

fn remove<F: Files>(files: &F, number: u32) -> Result<(), Error> {
    let path = Kind::Certificates.path(number);
    files.remove(&path).context("remove", || files.show(&path))?;
    let dir = Kind::Certificates.dir();
    files.sync_dir(dir).context("sync", || files.show(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::memory;

    fn certified(position: u64) -> Certified {
        let certificate = Bytes::from(format!("the certificate of {position}"));
        Certified { position: Position(position), id: Hash([position as u8; 32]), certificate }
    }

    fn recover(files: &memory::Files, scan: config::Scan) -> (Certificates<memory::Files>, Vec<Cut>) {
        files.create_dir(Kind::Certificates.dir()).expect("creates");
        let mut cuts = Vec::new();
        let found = Certificates::recover(files, scan, u64::MAX, |_, _| Ok(true), &mut cuts);
        (found.expect("recovers"), cuts)
    }

    /// Blocks of three segments.
    fn positions() -> impl Iterator<Item = u64> {
        (0..150_000).step_by(700)
    }

    fn stored() -> memory::Files {
        let files = memory::Files::new(1);
        let (mut certificates, _) = recover(&files, config::Scan::Tail);
        for position in positions() {
            certificates.put(certified(position), None).expect("puts");
            certificates.sync().expect("syncs");
            certificates.show();
        }
        assert_eq!(Kind::Certificates.list(&files).expect("lists"), [0, 1, 2]);
        files
    }

    #[test]
    fn segments_follow_one_another() {
        let files = stored();
        let (certificates, cuts) = recover(&files, config::Scan::Tail);
        assert!(cuts.is_empty() && check(&files).is_ok());
        let shared = certificates.shared();
        for position in positions() {
            assert_eq!(shared.at(&files, Position(position)).expect("reads"), Some(certified(position)));
            assert_eq!(shared.at(&files, Position(position + 1)).expect("reads"), None);
        }
        assert_eq!(shared.newest().map(|newest| newest.position.0), positions().last());
    }

    #[test]
    fn a_damaged_segment_is_told_and_a_repair_keeps_what_comes_before() {
        for (at, kept) in [(5, 0), (60, 0), (2_000, 10)] {
            let files = stored();
            files.edit("certificates/000000.seg", |bytes| bytes[at] ^= 1);
            assert!(matches!(check(&files), Err(Error::Damaged { .. })), "byte {at}");
            let (_, cuts) = recover(&files, config::Scan::Tail);
            assert!(cuts.is_empty() && check(&files).is_err(), "only a repair touches it");
            let (certificates, cuts) = recover(&files, config::Scan::Whole);
            assert_eq!(cuts.len(), 1);
            check(&files).expect("it is repaired");
            let has = |position: &u64| {
                certificates.shared().at(&files, Position(*position)).expect("reads").is_some()
            };
            let found = positions().take_while(|position| *position < SPAN).filter(has).count();
            assert!(found >= kept && found < 94, "{found}");
            assert!(has(&positions().last().expect("some")));
        }
    }

    #[test]
    fn a_change_keeps_one_certificate_however_long_it_waits() {
        let files = memory::Files::new(1);
        let (mut certificates, _) = recover(&files, config::Scan::Tail);
        for position in 0..40 {
            // One change waits from 5 to 9 for 10, another from 20 on for 30.
            let waiting = match position {
                5..10 => Some(Height(10)),
                20..30 => Some(Height(30)),
                _ => None,
            };
            certificates.put(certified(position), waiting).expect("puts");
            certificates.sync().expect("syncs");
            certificates.show();
        }
        let shared = certificates.shared();
        let has = |position: &u64| shared.at(&files, Position(*position)).expect("reads").is_some();
        assert_eq!((0..40).filter(has).collect::<Vec<_>>(), [0, 5, 20, 39]);
    }
}
