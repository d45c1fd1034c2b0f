//! The consensus journal: what a validator must remember of the height that it votes on.
//!
//! Layout: `docs/store-format.md`. Records are opaque bytes. They are written in batches, one for each sync, into
//! two files that take turns: a new journal is written over the one before the last, so that until it is durable
//! the last is still whole. No file is created, renamed or cut for it, and a sync costs what it must.
//!
//! **Invariants:** what had been acknowledged comes back, or the journal is told as damaged; what was not comes
//! back as a whole batch or not at all. A journal becomes durable after all else that was stored before it. The one
//! limit: the last batch of all is taken for torn when it is damaged, unless the node was stopped in good order.

pub mod page;
mod read;

use bytes::Bytes;

use crate::error::{Context as _, Damage, Error};
use crate::files::{Access, File as _, Files};
use crate::meta;
use page::{Kind, PAGE_BYTES, Page};

pub use read::{Read, newest, read};

/// The directory of the journal's files.
pub const DIR: &str = "journal";
/// The longest record: a message of all validators is below 64 KiB.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The largest journal. A height of 128 validators that vote in vain for a thousand rounds takes half of it; a
/// validator that comes so far votes no more. A guess.
const MAX_BYTES: u64 = 256 << 20;
/// Files grow in such steps, made durable before they are written to, so that a file of another length was cut.
const STEP_BYTES: u64 = 64 << 10;
/// A file that grew over this is cut back to it when its next journal begins. A guess.
const KEPT_BYTES: u64 = 1 << 20;

/// What a start found of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journal {
    /// The records since the journal was begun, that one included; none if there never was one.
    Read(Vec<Bytes>),
    /// Records that had been acknowledged are gone or damaged. It stays so until a journal is begun.
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// The journal, open for writing.
#[derive(Debug)]
pub(crate) struct Writer<F: Files> {
    files: F,
    standing: Standing<F>,
    /// The records of the next batch.
    pending: Vec<u8>,
    /// Whether they begin a journal.
    begins: bool,
}

#[derive(Debug)]
enum Standing<F: Files> {
    /// There is no journal, or none that can be trusted.
    None,
    Open(Open<F>),
}

#[derive(Debug)]
struct Open<F: Files> {
    slots: [Slot<F>; 2],
    /// The number of the journal: its file is the slot of its parity.
    journal: u64,
    /// The page for the next batch.
    end: u32,
    /// Whether the last batch has no records.
    is_closed: bool,
}

#[derive(Debug)]
struct Slot<F: Files> {
    file: F::File,
    path: String,
    len: u64,
}

impl<F: Files> Writer<F> {
    /// Reads what is there, and cleans away what a torn batch left.
    pub(crate) fn recover(files: &F) -> Result<(Self, Journal), Error> {
        let is_noted = meta::has_journal(files)?;
        // A journal that was put here from a backup counts, too.
        let (standing, journal) = match is_noted || is_begun(files)? {
            false => (Standing::None, Journal::Read(Vec::new())),
            true => match open(files)? {
                Ok((open, records)) => (Standing::Open(open), Journal::Read(records)),
                Err(damaged) => (Standing::None, damaged),
            },
        };
        if let (false, Standing::Open(_)) = (is_noted, &standing) {
            meta::note_journal(files, true)?;
        }
        Ok((Self { files: files.clone(), standing, pending: Vec::new(), begins: false }, journal))
    }

    /// Begins a journal with this record; it takes the place of the one before with the next sync.
    pub(crate) fn begin(&mut self, record: &[u8]) {
        self.pending.clear();
        self.begins = true;
        page::encode_record(record, &mut self.pending);
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, record: &[u8]) {
        let is_begun = self.begins || matches!(self.standing, Standing::Open(_));
        assert!(is_begun, "a journal is begun before it is appended to");
        page::encode_record(record, &mut self.pending);
    }

    /// Makes what was appended durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.begins {
            self.begin_next()?;
        } else if let Standing::Open(open) = &mut self.standing {
            open.write(&self.files, &self.pending)?;
        }
        self.pending.clear();
        self.begins = false;
        Ok(())
    }

    /// Says durably that nothing is torn: whatever is not whole at the next start was damaged.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        assert!(self.pending.is_empty(), "closed after a sync");
        if let Standing::Open(open) = &mut self.standing
            && !open.is_closed
        {
            open.write(&self.files, &[])?;
        }
        Ok(())
    }

    /// Removes the journal.
    pub(crate) fn forget(&mut self) -> Result<(), Error> {
        self.pending.clear();
        self.begins = false;
        self.standing = Standing::None;
        for path in paths() {
            match self.files.remove(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.context("remove", || self.files.show(&path))?,
            }
        }
        self.files.sync_dir(DIR).context("sync", || self.files.show(DIR))?;
        meta::note_journal(&self.files, false)
    }

    fn begin_next(&mut self) -> Result<(), Error> {
        let Standing::Open(open) = &mut self.standing else {
            let mut open = Open { slots: create(&self.files)?, journal: 1, end: 0, is_closed: false };
            open.write(&self.files, &self.pending)?;
            // From here on files that are gone are missing; before, nothing in them was acknowledged.
            meta::note_journal(&self.files, true)?;
            self.standing = Standing::Open(open);
            return Ok(());
        };
        let (before, page) = (open.journal, open.end);
        (open.journal, open.end) = (before + 1, 0);
        let slot = open.slot(open.journal);
        if slot.len > KEPT_BYTES {
            slot.resize(&self.files, KEPT_BYTES)?;
        }
        open.write(&self.files, &self.pending)?;
        // Not synced: it need not be there, but where it is, it tells a journal that is gone from one never begun.
        let old = open.slot(before);
        if (u64::from(page) + 1) * PAGE_BYTES as u64 <= old.len {
            let mut mark = Vec::with_capacity(PAGE_BYTES);
            Page { number: page, journal: before, first: page, kind: Kind::Over }.encode(&[], &mut mark);
            let show = || self.files.show(&old.path);
            old.file.write_at(u64::from(page) * PAGE_BYTES as u64, &mark).context("write", show)?;
        }
        Ok(())
    }
}

impl<F: Files> Open<F> {
    fn slot(&mut self, journal: u64) -> &mut Slot<F> {
        &mut self.slots[parity(journal)]
    }

    /// Writes a batch and makes it durable.
    fn write(&mut self, files: &F, records: &[u8]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity((records.len() / page::ROOM_BYTES + 1) * PAGE_BYTES);
        let at = u64::from(self.end) * PAGE_BYTES as u64;
        self.end = page::encode_batch(self.journal, self.end, records, &mut bytes);
        self.is_closed = records.is_empty();
        let slot = self.slot(self.journal);
        let end = at + bytes.len() as u64;
        if end > MAX_BYTES {
            return Err(Error::JournalFull { path: files.show(&slot.path), max_mib: MAX_BYTES >> 20 });
        }
        if end > slot.len {
            slot.resize(files, end.next_multiple_of(STEP_BYTES))?;
        }
        let show = || files.show(&slot.path);
        slot.file.write_at(at, &bytes).context("write", show)?;
        slot.file.sync_data().context("sync", show)
    }
}

impl<F: Files> Slot<F> {
    /// Changes the length, durably before anything is written to the file.
    fn resize(&mut self, files: &F, len: u64) -> Result<(), Error> {
        let show = || files.show(&self.path);
        match len < self.len {
            true => self.file.truncate(len).context("cut", show)?,
            false => self.file.allocate(len).context("reserve space for", show)?,
        }
        self.file.sync_data().context("sync", show)?;
        self.len = len;
        Ok(())
    }

    /// Overwrites pages with zeros, durably.
    fn wipe(&self, files: &F, from: u32, to: u32) -> Result<(), Error> {
        if from < to {
            let show = || files.show(&self.path);
            let zeros = vec![0; (to - from) as usize * PAGE_BYTES];
            self.file.write_at(u64::from(from) * PAGE_BYTES as u64, &zeros).context("write", show)?;
            self.file.sync_data().context("sync", show)?;
        }
        Ok(())
    }
}

/// Which of the two files is a journal's.
fn parity(journal: u64) -> usize {
    usize::from(journal % 2 == 1)
}

fn paths() -> [String; 2] {
    [0, 1].map(|slot| format!("{DIR}/{slot}"))
}

/// Creates both files, empty of pages and durable.
fn create<F: Files>(files: &F) -> Result<[Slot<F>; 2], Error> {
    let create = |path: String| -> Result<_, Error> {
        let file = files.create(&path).context("create", || files.show(&path))?;
        let mut slot = Slot { file, path, len: 0 };
        slot.resize(files, STEP_BYTES)?;
        Ok(slot)
    };
    let [even, odd] = paths();
    let slots = [create(even)?, create(odd)?];
    files.sync_dir(DIR).context("sync", || files.show(DIR))?;
    Ok(slots)
}

/// Whether there is more than what the first journal leaves that was cut short when it began.
fn is_begun<F: Files>(files: &F) -> Result<bool, Error> {
    let mut held = [Vec::new(), Vec::new()];
    for (held, path) in held.iter_mut().zip(paths()) {
        match load(files, &path)? {
            Ok((_, bytes)) => *held = bytes,
            Err(Damage::Missing | Damage::Lost) => {}
            Err(_) => return Ok(true),
        }
    }
    Ok(!matches!(current(&held.each_ref().map(|bytes| &bytes[..])), Err((1, 0, Damage::Lost))))
}

/// A journal and its records, or how it is damaged.
type Found<F> = Result<(Open<F>, Vec<Bytes>), Journal>;
/// A slot and what its file holds.
type Loaded<F> = (Slot<F>, Vec<u8>);

/// Opens the files of a journal that was begun, and reads it.
fn open<F: Files>(files: &F) -> Result<Found<F>, Error> {
    let mut loaded = Vec::with_capacity(2);
    for path in paths() {
        match load(files, &path)? {
            Ok(slot) => loaded.push(slot),
            Err(damage) => return Ok(Err(Journal::Damaged { path: files.show(&path), offset: 0, damage })),
        }
    }
    let loaded: [Loaded<F>; 2] = loaded.try_into().expect("there are two paths");
    let (journal, read) = match current(&loaded.each_ref().map(|(_, bytes)| &bytes[..])) {
        Ok(found) => found,
        Err((journal, page, damage)) => {
            let (slot, _) = &loaded[parity(journal)];
            let offset = u64::from(page) * PAGE_BYTES as u64;
            return Ok(Err(Journal::Damaged { path: files.show(&slot.path), offset, damage }));
        }
    };
    let newer = read::newer_to(&loaded[parity(journal + 1)].1, journal);
    let slots = loaded.map(|(slot, _)| slot);
    slots[parity(journal)].wipe(files, read.end, read.torn_to)?;
    slots[parity(journal + 1)].wipe(files, 0, newer)?;
    let open = Open { slots, journal, end: read.end, is_closed: read.is_closed };
    Ok(Ok((open, read.records)))
}

/// The journal that these files hold, and its number; or where which journal is damaged.
fn current(files: &[&[u8]; 2]) -> Result<(u64, Read), (u64, u32, Damage)> {
    let newest = files.iter().filter_map(|bytes| newest(bytes)).max().ok_or((1, 0, Damage::Lost))?;
    // The newest may have been torn when it began: then the one before was not replaced yet.
    for journal in [newest, newest - 1] {
        let read = read(files[parity(journal)], journal).map_err(|page| (journal, page, Damage::Checksum))?;
        if read.is_over {
            return Err((journal + 1, 0, Damage::Lost));
        }
        if read.end > 0 {
            return Ok((journal, read));
        }
    }
    Err((newest, 0, Damage::Lost))
}

/// Opens a file of the journal and reads it all.
fn load<F: Files>(files: &F, path: &str) -> Result<Result<Loaded<F>, Damage>, Error> {
    let show = || files.show(path);
    let file = match files.open(path, Access::Write) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Err(Damage::Missing)),
        other => other.context("open", show)?,
    };
    let len = file.len().context("read", show)?;
    if len == 0 {
        return Ok(Err(Damage::Lost));
    }
    if !len.is_multiple_of(STEP_BYTES) {
        return Ok(Err(Damage::Torn));
    }
    if len > MAX_BYTES {
        return Ok(Err(Damage::Length { len }));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
    file.read_at(0, &mut bytes).context("read", show)?;
    Ok(Ok((Slot { file, path: path.to_owned(), len }, bytes)))
}
