//! What a start finds of the certificates, and what it cuts off.

use bytes::Bytes;
use chain::{Hash, Position};

use super::shared::{Place, Tail};
use super::{Certified, FIXED_BYTES, MAX_CERTIFICATE_BYTES, SEGMENT_BYTES, number_of, slot_path};
use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files};
use crate::recovery::Cut;
use crate::segment::{self, HEADER_BYTES, Kind, RECORD_HEADER_BYTES, Record, Scan, Writer};

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
pub(super) fn repair<F: Files>(files: &F, cuts: &mut Vec<Cut>) -> Result<(), Error> {
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

/// Opens a slot, if it is there, and reads the certificate in it, if it is whole.
#[expect(clippy::type_complexity, reason = "a pair, where there is one")]
pub(super) fn read_slot<F: Files>(
    files: &F,
    number: usize,
) -> Result<Option<(F::File, Option<Certified>)>, Error> {
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

/// Reads the last segment and opens it for writing; what is behind the settled blocks is cut off.
#[expect(clippy::type_complexity, reason = "three things that one pass over the files gives")]
pub(super) fn recover_kept<F: Files>(
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
