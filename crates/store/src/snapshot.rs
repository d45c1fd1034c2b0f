//! Snapshots of the header state, so that a start replays few headers.
//!
//! Layout: `docs/store-format.md`. A snapshot that is damaged, of another version or of another chain is
//! passed over: the state can always be made again from the headers.

use chain::{Hash, Position, State};

use crate::error::{Context as _, Error};
use crate::files::{self, Files};

const DIR: &str = "state";
const MAGIC: &[u8; 8] = b"ANBRSTA1";
const FIXED_BYTES: usize = 56;
const CRC_BYTES: usize = 4;
/// How many snapshots are kept: one more than needed, should the newest be damaged.
const KEPT: usize = 2;
/// Larger than any state: mainnet's is below 1 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Makes the directory.
pub(crate) fn create_dir<F: Files>(files: &F) -> Result<(), Error> {
    files.create_dir(DIR).context("create", || files.show(DIR))
}

/// Writes a snapshot, and removes those that are too old.
pub(crate) fn write<F: Files>(files: &F, state: &State) -> Result<(), Error> {
    let bytes = encode(state);
    let name = format!("{:012}.state", state.next.0);
    files::replace(files, DIR, &name, &bytes).context("write", || files.show(DIR))?;
    let positions = list(files)?;
    for position in positions.iter().rev().filter(|position| **position <= state.next).skip(KEPT) {
        let path = path_of(*position);
        files.remove(&path).context("remove", || files.show(&path))?;
    }
    Ok(())
}

/// The newest snapshot at which `on_chain` finds the block that it names on the chain.
pub(crate) fn newest<F: Files>(
    files: &F,
    mut on_chain: impl FnMut(Position, Option<Hash>) -> Result<bool, Error>,
) -> Result<Option<State>, Error> {
    for position in list(files)?.into_iter().rev() {
        let path = path_of(position);
        let bytes = files::read_all(files, &path, MAX_BYTES).context("read", || files.show(&path))?;
        let state = decode(&bytes).filter(|state| state.next == position);
        if let Some(state) = state
            && on_chain(position, state.tip.point.hash())?
        {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

/// Removes snapshots of blocks that are no longer in the log.
pub(crate) fn remove_after<F: Files>(files: &F, settled: Position) -> Result<(), Error> {
    for position in list(files)?.into_iter().filter(|position| *position > settled) {
        let path = path_of(position);
        files.remove(&path).context("remove", || files.show(&path))?;
    }
    Ok(())
}

fn list<F: Files>(files: &F) -> Result<Vec<Position>, Error> {
    let names = files.list(DIR).context("list", || files.show(DIR))?;
    let position = |name: &String| name.strip_suffix(".state")?.parse().ok().map(Position);
    let mut positions: Vec<Position> = names.iter().filter_map(position).collect();
    positions.sort_unstable();
    Ok(positions)
}

fn path_of(position: Position) -> String {
    format!("{DIR}/{:012}.state", position.0)
}

fn encode(state: &State) -> Vec<u8> {
    let body = state.encode();
    let mut bytes = Vec::with_capacity(FIXED_BYTES + body.len() + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&state.next.0.to_le_bytes());
    bytes.extend_from_slice(&state.tip.point.hash().unwrap_or_default().0);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&body);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a snapshot file; `None` if it is not whole, or of a version that is made again instead.
pub fn decode(bytes: &[u8]) -> Option<State> {
    let (bytes, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc) || bytes.get(..8)? != MAGIC {
        return None;
    }
    let fixed = bytes.get(8..FIXED_BYTES)?;
    let position = u64::from_le_bytes(fixed[..8].try_into().ok()?);
    let id = Hash::from_slice(&fixed[8..40])?;
    let len = u64::from_le_bytes(fixed[40..].try_into().ok()?);
    let body = &bytes[FIXED_BYTES..];
    let state = State::decode(body).ok().filter(|_| len == body.len() as u64)?;
    let same = state.next.0 == position && state.tip.point.hash().unwrap_or_default() == id;
    same.then_some(state)
}
