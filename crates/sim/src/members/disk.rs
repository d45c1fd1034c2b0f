//! A node's disk: what it appends and reads, and what a crash leaves of it.

use std::sync::Arc;
use std::time::Duration;

use chain::{Entry, Position};
use consensus::quorum::Journal;
use node::{Input, Load, Record, Start, Ticket};
use rand::RngExt;
use store::Store;
use store::files::memory;

use super::check::Broken;
use super::config::Sabotage;
use super::world::{Event, World};
use crate::storage;

/// What a read of the log takes at most.
const READ: Duration = Duration::from_millis(3);

/// The newest blocks of the log that a start is given, as production does.
const RECENT: u64 = chain::view::MAX_RECENT as u64;

/// A store of small segments: so that they roll.
fn store_config() -> store::Config {
    store::Config {
        log_segment_bytes: 128 << 10,
        fork_segment_bytes: 64 << 10,
        snapshot_every_blocks: 20,
        cache_bytes: 256 << 10,
        ..store::Config::default()
    }
}

impl World {
    /// Opens a node's store: where it goes on.
    pub(super) fn open(&mut self, node: u32) -> Result<Start, Broken> {
        let host = &mut self.hosts[node as usize];
        let opened = Store::open(host.files.clone(), &self.format, &store_config());
        let (store, recovered) =
            opened.map_err(|error| Broken::Lost { node, what: format!("the store: {error}") })?;
        let reader = store.reader();
        host.store = Some(store);
        if self.config.is_honest(node) {
            // What was written and survived counts from now on, though nobody was told.
            let (known, settled) = (self.checker.settled().min(recovered.settled), recovered.settled);
            let point = |at| reader.point_at(Position(at)).ok().flatten().and_then(|point| point.hash());
            self.checker.on_settled(node, known, (known..settled).map_while(point))?;
            self.checker.on_restart(node, &recovered)?;
        }
        let host = &self.hosts[node as usize];
        let applied = host.app.applied(self.change.as_ref());
        let recent = match self.config.sabotage {
            Some(Sabotage::ForgetsTransactions) => Vec::new(),
            _ => self.recent(node, recovered.settled)?,
        };
        let mut start = storage::start(recovered);
        if self.config.sabotage == Some(Sabotage::ForgetsTheJournal) {
            start.journal = Journal::Read(Vec::new());
        }
        Ok(Start { recent, applied: Some(applied), ..start })
    }

    /// The newest blocks of a node's log.
    fn recent(&self, node: u32, settled: u64) -> Result<Vec<Arc<Entry>>, Broken> {
        let lost = |error: store::Error| Broken::Lost { node, what: format!("the newest blocks: {error}") };
        let Some(store) = &self.hosts[node as usize].store else { return Ok(Vec::new()) };
        let reader = store.reader();
        let first = Position(settled.saturating_sub(RECENT).max(reader.bare()));
        let blocks = reader.decoded(&self.format, first, Position(u64::MAX), RECENT as usize, u64::MAX);
        let entries =
            (first.0..).zip(blocks.map_err(lost)?.here().unwrap_or_default()).map(|(position, block)| {
                Arc::new(Entry { position: Position(position), header: block.header, block: block.raw })
            });
        Ok(entries.collect())
    }

    /// The power is gone: what of the last writes is left, is drawn.
    pub(super) fn tear(&mut self, node: u32) {
        let host = &mut self.hosts[node as usize];
        host.files = match self.config.sabotage {
            Some(Sabotage::ForgetsTheLog) => memory::Files::new(0),
            _ => host.files.crash(),
        };
    }

    pub(super) fn persist(&mut self, node: u32, ticket: Ticket, record: Record) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        match &record {
            Record::Fork(block) => {
                self.figures.on_block(now, node, block);
                self.plot_against(node, &block.header);
            }
            Record::Settle { blocks, state, certificate } if self.config.is_honest(node) => {
                self.on_settle(node, blocks, state, certificate.as_deref())?;
            }
            Record::Bare { headers, state, certificate } if self.config.is_honest(node) => {
                self.on_bare(node, headers, state, certificate.as_deref())?;
            }
            Record::Settle { .. }
            | Record::Bare { .. }
            | Record::SettleBare { .. }
            | Record::ForgetBare
            | Record::Journal(_) => {}
        }
        let host = &mut self.hosts[node as usize];
        let Some(store) = &mut host.store else { return Ok(()) };
        if let Record::Settle { state, .. } | Record::SettleBare { state } = &record {
            host.state = state.clone();
        }
        let written = storage::append(store, &record);
        if let Err(error) = written {
            self.on_write_failed(node, ticket, error.to_string());
            return Ok(());
        }
        if matches!(record, Record::SettleBare { .. }) && self.config.is_honest(node) {
            self.on_bare_settled(node)?;
        }
        let host = &mut self.hosts[node as usize];
        if self.config.sabotage == Some(Sabotage::AcknowledgesEarly) {
            self.later(node, Duration::ZERO, Input::Persisted { ticket });
            return Ok(());
        }
        host.unsynced = Some(ticket);
        if !std::mem::replace(&mut host.is_syncing, true) {
            let (delay, life) = (host.sync.mul_f64(self.rng.random_range(0.3..1.0)), host.life);
            self.schedule.after(delay, Event::Synced { node, life });
        }
        Ok(())
    }

    pub(super) fn on_synced(&mut self, node: u32, life: u32) -> Result<(), Broken> {
        let host = &mut self.hosts[node as usize];
        if host.life != life {
            return Ok(());
        }
        host.is_syncing = false;
        let (Some(ticket), Some(store)) = (host.unsynced.take(), &mut host.store) else { return Ok(()) };
        match store.sync() {
            Ok(()) => {
                self.on_settled(node)?;
                self.release(node, ticket)?;
                self.give(node, Input::Persisted { ticket })
            }
            Err(error) => {
                self.on_write_failed(node, ticket, error.to_string());
                Ok(())
            }
        }
    }

    fn on_write_failed(&mut self, node: u32, ticket: Ticket, error: String) {
        self.note(node, "cannot write:", || error.clone());
        self.later(node, Duration::ZERO, Input::PersistFailed { ticket, error });
    }

    pub(super) fn load(&mut self, node: u32, ticket: Ticket, load: &Load) -> Result<(), Broken> {
        let Some(store) = &self.hosts[node as usize].store else { return Ok(()) };
        let input = match storage::load(&store.reader(), &self.format, load) {
            Ok(found) => Input::Loaded { ticket, found },
            Err(error) => Input::LoadFailed { ticket, error: error.to_string() },
        };
        let delay = READ.mul_f64(self.rng.random());
        self.later(node, delay, input);
        Ok(())
    }
}
