//! The certificates as readers see them.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use chain::Position;

use super::{Certified, number_of};
use crate::cache::Cache;
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files};
use crate::segment::{self, Kind, RECORD_HEADER_BYTES, Record, Scan};

/// How many places of certificates are remembered for readers, of all segments together.
const MAX_PLACES: usize = 64 << 10;

/// What readers see.
#[derive(Debug)]
pub(crate) struct Shared {
    tail: RwLock<Tail>,
    /// The places in segments that are full.
    places: Cache<Vec<Place>>,
}

/// The end of the chain of certificates.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) newest: Option<Certified>,
    /// The segment that is written to, and the places in it.
    pub(super) number: u32,
    pub(super) places: Vec<Place>,
}

/// Where a certificate is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Shared {
    /// What is there at a start.
    pub(super) fn new(tail: Tail, newest: Option<Certified>) -> Self {
        Self { tail: RwLock::new(Tail { newest, ..tail }), places: Cache::new(MAX_PLACES) }
    }

    /// Shows the newest of all, and those that are kept since the last time.
    pub(super) fn show(&self, new: impl Iterator<Item = Place>, newest: Certified) {
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        for place in new {
            let number = number_of(place.position);
            if number != tail.number {
                (tail.number, tail.places) = (number, Vec::new());
            }
            tail.places.push(place);
        }
        tail.newest = Some(newest);
    }

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
