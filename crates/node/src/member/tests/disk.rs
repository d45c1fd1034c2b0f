//! A disk that loses what is not synced.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use chain::native::{self, transaction_id, transactions};
use chain::{Block, Format, Hash, Header, Point, Position, State};
use consensus::quorum;

use crate::{Found, Load, Record, Ticket};

/// The disk and what is on it.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) log: Vec<(Block, Option<Bytes>)>,
    pub(super) txs: BTreeSet<Hash>,
    pub(super) states: Vec<State>,
    /// How many of the log's first blocks have no body.
    pub(super) bare: usize,
    /// Headers that are to be bare, with their certificates: a crash forgets them.
    pub(super) unmarked: Vec<(Header, Option<Bytes>)>,
    pub(super) forks: Vec<Block>,
    pub(super) journal: Vec<quorum::Record>,
    pub(super) is_journal_damaged: bool,
    pub(super) unsynced: VecDeque<(Ticket, Record)>,
    pub(super) durable: Ticket,
    pub(super) fails: bool,
}

impl Disk {
    /// An empty one.
    pub(super) fn new(format: &Format) -> Self {
        Self {
            log: Vec::new(),
            txs: BTreeSet::new(),
            states: vec![format.genesis()],
            bare: 0,
            unmarked: Vec::new(),
            forks: Vec::new(),
            journal: Vec::new(),
            is_journal_damaged: false,
            unsynced: VecDeque::new(),
            durable: Ticket(0),
            fails: false,
        }
    }

    /// A record is durable now.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Fork(block) => self.forks.push(block),
            Record::Settle { blocks, state, certificate } => {
                let last = blocks.len() - 1;
                for (at, block) in blocks.into_iter().enumerate() {
                    let prev = self.log.last().map(|(block, _)| block.header.id);
                    assert_eq!(block.header.prev, prev, "the log has no gaps");
                    native::check_body(&block).expect("what is settled was checked");
                    self.txs
                        .extend(transactions(&block).expect("a block").iter().map(|tx| transaction_id(tx)));
                    self.log.push((block, certificate.clone().filter(|_| at == last)));
                }
                let settled = self.log.len() as u64;
                self.forks.retain(|block| block.header.height.0 >= settled);
                self.states.push(state);
            }
            Record::Bare { headers, state, certificate } => {
                assert!(self.log.is_empty(), "only the first blocks are bare");
                let last = headers.last().expect("some become bare").id;
                assert_eq!(state.tip.point.hash(), Some(last), "the state is that after the last");
                for header in headers {
                    let prev = self.unmarked.last().map(|(header, _)| header.id);
                    assert_eq!(header.prev, prev, "bare blocks have no gaps");
                    let certificate = certificate.clone().filter(|_| header.id == last);
                    self.unmarked.push((header, certificate));
                }
            }
            Record::ForgetBare => {
                assert!(self.log.is_empty(), "what is settled stays");
                self.unmarked.clear();
            }
            Record::SettleBare { state } => {
                let bare = std::mem::take(&mut self.unmarked);
                let block = |header| Block { header, raw: Bytes::new() };
                self.log.extend(bare.into_iter().map(|(header, certificate)| (block(header), certificate)));
                assert_eq!(self.log.last().map(|(block, _)| block.header.tip()), Some(state.tip));
                self.bare = self.log.len();
                self.states.push(state);
            }
            Record::Journal(record) => {
                if matches!(record, quorum::Record::Height { .. }) {
                    self.journal.clear();
                }
                self.journal.push(record);
            }
        }
    }

    fn find(&self, point: &Point) -> Option<usize> {
        self.log.iter().position(|(block, _)| block.header.point() == *point)
    }

    /// Whether a block is durable.
    pub(super) fn holds(&self, id: &Hash) -> bool {
        let settled = self.log.iter().rev().map(|(block, _)| block);
        settled.chain(&self.forks).any(|block| block.header.id == *id)
    }

    /// Reads the log.
    pub(super) fn load(&self, load: &Load) -> Found {
        let in_row = |from: usize, to: usize, max: u32, max_bytes: u64| {
            let mut bytes = 0;
            let blocks = self.log.get(from..to.min(self.log.len())).unwrap_or_default().iter();
            let held = blocks.take(max as usize).take_while(|(block, _)| !block.raw.is_empty());
            let within = held.take_while(|(block, _)| {
                let fits = bytes == 0 || bytes + block.raw.len() as u64 <= max_bytes;
                bytes += block.raw.len() as u64;
                fits
            });
            Found::Blocks(within.map(|(block, _)| block.clone()).collect())
        };
        match load {
            Load::Points(positions) => {
                let at = |at: &Position| self.log.get(at.0 as usize).map(|(block, _)| block.header.point());
                Found::Points(positions.iter().filter_map(at).collect())
            }
            Load::Find(points) => {
                let at = points.iter().find_map(|point| self.find(point));
                Found::Place(at.map(|at| (Position(at as u64), self.log[at].0.header.tip())))
            }
            Load::Headers { from, max } => {
                let headers = self.log.iter().skip(from.0 as usize).take(*max as usize);
                Found::Headers(
                    headers.map(|(block, certificate)| (block.header.clone(), certificate.clone())).collect(),
                )
            }
            Load::Blocks { from, to, max, max_bytes } => match self.find(from) {
                Some(from) => in_row(from, self.find(to).map_or(usize::MAX, |to| to + 1), *max, *max_bytes),
                None => Found::Blocks(Vec::new()),
            },
            Load::BlocksAt { from, max, max_bytes } => in_row(from.0 as usize, usize::MAX, *max, *max_bytes),
        }
    }
}
