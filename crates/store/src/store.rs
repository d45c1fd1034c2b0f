//! The store as its one writer sees it.
//!
//! Put, settle, then sync: blocks are acknowledged, and shown to readers, by a sync alone. It decides
//! nothing: which blocks are kept and which are irreversible is the caller's to say.

use bytes::Bytes;
use chain::{Block, Format, Header, Height, Position, Slot, State, Tip};

use crate::certificates::{Certificates, Certified, MAX_CERTIFICATE_BYTES};
use crate::config::{Config, MAX_BLOCK_BYTES};
use crate::error::{Context as _, Error};
use crate::files::{Files, disk};
use crate::forks::{self, Forks};
use crate::journal;
use crate::log::{End, Log};
use crate::meta::{self, Identity};
use crate::reader::Reader;
use crate::recovery::{self, Recovered};
use crate::segment::Kind;
use crate::snapshot;

/// A data directory, open for writing. There is one at a time: it holds the directory's lock.
#[derive(Debug)]
pub struct Store<F: Files = disk::Files> {
    files: F,
    log: Log<F>,
    forks: Forks<F>,
    certificates: Certificates<F>,
    journal: journal::Writer<F>,
    reader: Reader<F>,
    snapshot_every_blocks: u64,
    /// The newest state noted that is not in a snapshot.
    noted: Option<State>,
    /// How many blocks were settled at the newest snapshot.
    snapshot_at: u64,
    /// A write or a sync failed: nothing more is written.
    failed: bool,
    _lock: F::Lock,
}

impl<F: Files> Store<F> {
    /// Opens a data directory, or makes a new one, and brings back what is whole in it.
    pub fn open(files: F, format: &Format, config: &Config) -> Result<(Self, Recovered), Error> {
        let lock = meta::lock(&files)?;
        let identity = Identity {
            format: format.name().to_owned(),
            network: format.network().to_owned(),
            magic: format.magic().into(),
        };
        meta::check(&files, &identity)?;
        for dir in [Kind::Log.dir(), Kind::Forks.dir(), Kind::Certificates.dir(), journal::DIR] {
            files.create_dir(dir).context("create", || files.show(dir))?;
        }
        snapshot::create_dir(&files)?;
        let mut cut = Vec::new();
        let bare = recovery::bare_end(&files)?;
        let log = recovery::recover_log(&files, config, format, bare, &mut cut)?;
        let settled = log.end().next.0;
        let (certificates, reader) = Reader::open(&files, config, (settled, bare), &mut cut)?;
        let state = recovery::recover_state(&files, format, &reader)?;
        let (forks, blocks) = Forks::recover(&files, config, format, &mut cut)?;
        let (journal, found) = journal::Writer::recover(&files)?;
        let irreversible = log.end().tip;
        let recovered = Recovered {
            settled,
            irreversible,
            state,
            certificate: reader.newest_certificate(),
            journal: found,
            forks: forks::descendants(irreversible.point.hash(), blocks),
            cut,
        };
        let store = Self {
            files,
            log,
            forks,
            certificates,
            journal,
            reader,
            snapshot_every_blocks: config.snapshot_every_blocks,
            noted: None,
            snapshot_at: recovered.settled,
            failed: false,
            _lock: lock,
        };
        Ok((store, recovered))
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader<F> {
        self.reader.clone()
    }

    /// How many blocks are settled, those that are not durable yet included.
    pub fn settled(&self) -> u64 {
        self.log.end().next.0
    }

    /// The last settled block, durable or not.
    pub fn tip(&self) -> Tip {
        self.log.end().tip
    }

    /// Keeps a block above the irreversible tip, of any fork. Durable after the next sync.
    pub fn put_fork(&mut self, block: &Block) -> Result<(), Error> {
        check_len(block);
        self.write(|store| store.forks.put(block))
    }

    /// Appends blocks to the settled chain, oldest first. Durable after the next sync.
    ///
    /// # Panics
    /// If the first does not follow the tip, or one of the others the one before it: what is irreversible is
    /// the caller's to know.
    pub fn settle(&mut self, blocks: &[Block]) -> Result<(), Error> {
        self.write(|store| blocks.iter().try_for_each(|block| store.append(block)))
    }

    /// Appends headers of blocks that are to be *bare*, oldest first, to a store in which nothing is settled: their
    /// bodies will not be held. Nobody is shown them, and a start forgets them, until [`Store::settle_bare`].
    ///
    /// # Panics
    /// If a block is settled, or one does not follow the one before it.
    pub fn put_bare(&mut self, headers: &[Header]) -> Result<(), Error> {
        assert_eq!(self.settled(), 0, "only the first blocks are bare");
        self.write(|store| {
            headers.iter().try_for_each(|header| {
                let tip = store.log.bare().tip.point;
                assert_eq!(header.prev, tip.hash(), "a bare block follows the last one, {tip}");
                store.log.append_bare(header)
            })
        })
    }

    /// Gives what shows that the last of the bare blocks is irreversible, with the state there, as
    /// [`certify`](Self::certify) does of the settled tip.
    ///
    /// # Panics
    /// If it is not the state there, or the certificate has no bytes or more than [`MAX_CERTIFICATE_BYTES`].
    pub fn certify_bare(&mut self, state: &State, certificate: &Bytes) -> Result<(), Error> {
        let (certified, waiting) = certified(self.log.bare(), state, certificate);
        self.write(|store| {
            store.certificates.put_bare(certified, waiting);
            Ok(())
        })
    }

    /// Settles the bare blocks, with the state after the last of them: durable, and shown to readers, when it returns.
    /// Until then a crash leaves none of them, from then on all. The log goes on above them.
    ///
    /// # Panics
    /// If it is not the state there, or there are none.
    pub fn settle_bare(&mut self, state: &State) -> Result<(), Error> {
        let bare = self.log.bare();
        assert_eq!((state.next, state.tip.point), (bare.next, bare.tip.point), "a state is noted at its tip");
        let id = bare.tip.point.hash().expect("the origin is no block");
        self.write(|store| {
            store.certificates.settle_bare()?;
            store.certificates.sync()?;
            store.log.sync_bare()?;
            meta::note_bare(&store.files, meta::Bare { blocks: bare.next.0, tip: id.to_string() })?;
            store.log.settle_bare()?;
            store.reader.set_bare(bare);
            store.noted = Some(state.clone());
            store.write_durably()?;
            store.write_snapshot(0)
        })
    }

    /// Drops the bare blocks that were put and not settled: the log begins with the first block after all.
    ///
    /// # Panics
    /// If a block is settled.
    pub fn forget_bare(&mut self) -> Result<(), Error> {
        assert_eq!(self.settled(), 0, "what is settled stays");
        self.write(|store| {
            store.log.forget_bare();
            store.certificates.forget_bare();
            Ok(())
        })
    }

    fn append(&mut self, block: &Block) -> Result<(), Error> {
        check_len(block);
        assert_eq!(self.log.bare().next.0, 0, "bare blocks are settled before others are");
        let tip = self.log.end().tip.point;
        assert_eq!(block.header.prev, tip.hash(), "a settled block follows the tip {tip}");
        self.log.append(block)
    }

    /// Tells the header state at the tip, for a snapshot when one is due. Keeps only the latest.
    ///
    /// # Panics
    /// If it is not the state at the tip.
    pub fn note_state(&mut self, state: &State) {
        let end = self.log.end();
        assert_eq!((state.next, state.tip.point), (end.next, end.tip.point), "a state is noted at its tip");
        self.noted = Some(state.clone());
    }

    /// Gives what shows that the tip is irreversible, as bytes that are returned as they are, with the state at the
    /// tip. Durable after the next sync, together with the blocks.
    ///
    /// # Panics
    /// If it is not the state at the tip, or the certificate has no bytes or more than [`MAX_CERTIFICATE_BYTES`].
    pub fn certify(&mut self, state: &State, certificate: &Bytes) -> Result<(), Error> {
        let (certified, waiting) = certified(self.log.end(), state, certificate);
        self.write(|store| store.certificates.put(certified, waiting))
    }

    /// Begins a new consensus journal with this record. With the next sync it takes the place of the one before, and
    /// only once all else that was given until then is durable.
    pub fn begin_journal(&mut self, record: &[u8]) -> Result<(), Error> {
        self.write(|store| {
            store.journal.begin(record);
            Ok(())
        })
    }

    /// Appends a record to the consensus journal. Durable after the next sync.
    ///
    /// # Panics
    /// If no journal was begun, or if the one that was found is damaged and no other was begun since.
    pub fn append_journal(&mut self, record: &[u8]) -> Result<(), Error> {
        self.write(|store| {
            store.journal.append(record);
            Ok(())
        })
    }

    /// Removes the consensus journal, whole or damaged: from then on there is none.
    pub fn forget_journal(&mut self) -> Result<(), Error> {
        self.write(|store| store.journal.forget())
    }

    /// Makes durable, and shows to readers, all that was put and settled. When it returns, it is kept.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.write(Self::write_durably)
    }

    /// Syncs, and takes a snapshot of the last state noted, so that the next start replays nothing.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.write(|store| {
            store.write_durably()?;
            store.journal.close()?;
            store.write_snapshot(0)
        })
    }

    fn write_durably(&mut self) -> Result<(), Error> {
        // A tip never stands without the certificate that it came with, and a journal never knows more than the rest.
        if self.log.bare().next.0 == 0 {
            self.certificates.sync()?;
        }
        self.log.sync()?;
        self.forks.sync()?;
        self.journal.sync()?;
        let end = self.log.end();
        if end.next.0 != self.reader.settled() {
            self.reader.set_settled(end.next.0);
            self.certificates.show();
            self.forks.release(end.tip.point.slot().unwrap_or(Slot(0)))?;
        }
        self.write_snapshot(self.snapshot_every_blocks)
    }

    fn write_snapshot(&mut self, every_blocks: u64) -> Result<(), Error> {
        let durable = self.reader.settled();
        let due = |state: &mut State| {
            state.next.0 <= durable && state.next.0.saturating_sub(self.snapshot_at) >= every_blocks.max(1)
        };
        if let Some(state) = self.noted.take_if(due) {
            snapshot::write(&self.files, &state)?;
            self.snapshot_at = state.next.0;
        }
        Ok(())
    }

    /// After a failure it is not known what the files hold: only a start, which reads them, may go on.
    fn write(&mut self, change: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        let result = change(self);
        self.failed = result.is_err();
        result
    }
}

/// The certificate of the last block before this end, and when a change of validators that is known there will be in
/// force.
fn certified(end: End, state: &State, certificate: &Bytes) -> (Certified, Option<Height>) {
    let point = end.tip.point;
    assert_eq!((end.next, point), (state.next, state.tip.point), "a certificate is of the tip");
    assert!((1..=MAX_CERTIFICATE_BYTES).contains(&certificate.len()), "a format makes no such certificate");
    let (Some(id), Some(last)) = (point.hash(), state.next.0.checked_sub(1)) else {
        panic!("the origin needs no certificate");
    };
    let waiting = state.native().and_then(|native| native.pending.as_ref()).map(|change| change.height);
    (Certified { position: Position(last), id, certificate: certificate.clone() }, waiting)
}

fn check_len(block: &Block) {
    let len = block.raw.len();
    assert!((1..=MAX_BLOCK_BYTES as usize).contains(&len), "a format lets no block of {len} bytes through");
}
