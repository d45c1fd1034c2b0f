//! The node's host: performs its outputs as production does, on a virtual clock and a disk that tears.
//!
//! Outputs are performed one by one, and the power may go between any two of them: then all that was not
//! synced is lost or torn, and the node starts again from what the store recovers.

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use chain::View;
use consensus::depth;
use node::work::{Fault, Work};
use node::{Load, Node, Output, Record, Role, Ticket};
use rand::RngExt;
use store::Store;
use store::files::memory;

use crate::check::Broken;
use crate::config::Sabotage;
use crate::storage;
use crate::world::{Event, World};

/// What a synced append takes at most.
const SYNC: Duration = Duration::from_millis(20);

/// What a header's checks take at most.
const CHECKS: Duration = Duration::from_millis(5);

/// What a read of the log takes.
const READ: Duration = Duration::from_millis(2);

/// A store of small segments: so that they roll.
fn store_config() -> store::Config {
    store::Config {
        log_segment_bytes: 16 << 10,
        fork_segment_bytes: 8 << 10,
        snapshot_every_blocks: 20,
        ..store::Config::default()
    }
}

/// A running node with its store.
pub(crate) struct Host {
    pub(crate) node: Node,
    store: Store<memory::Files>,
    /// The last append that was written and not synced.
    unsynced: Option<Ticket>,
    is_syncing: bool,
    wake: Option<Duration>,
}

/// What happens to the node.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It takes an input.
    Input(node::Input),
    /// One of its outputs is performed.
    Output(Output),
}

impl World {
    /// Starts the node from what is on its disk.
    pub(crate) fn start(&mut self) -> Result<(), Broken> {
        self.life += 1;
        let format = self.forge.format.clone();
        let opened = Store::open(self.files.clone(), &format, &store_config());
        let (store, recovered) =
            opened.map_err(|error| Broken::Lost { what: format!("the store: {error}") })?;
        self.note(&format!("starts with {} settled, {} above", recovered.settled, recovered.forks.len()));
        let reader = store.reader();
        self.checker.on_restart(&recovered, |at| reader.point_at(at).ok().flatten())?;
        let start = storage::start(recovered);
        let config = node::Config { format, role: self.role() };
        let node = Node::new(config, start, self.rng.random());
        self.host = Some(Host { node, store, unsynced: None, is_syncing: false, wake: None });
        self.happen(Happening::Input(node::Input::Tick));
        Ok(())
    }

    fn role(&self) -> Role {
        let upstreams = self.config.servers.len() as u32;
        let (depth, agree) = match self.config.sabotage {
            Some(Sabotage::TrustsAnyone) => (1, 1),
            Some(Sabotage::KeepsTooMuch) => (self.config.depth * 50, self.config.agree),
            Some(Sabotage::SettlesLate) => (self.config.depth * 2, self.config.agree),
            _ => (self.config.depth, self.config.agree),
        };
        let depth = NonZeroU64::new(depth).expect("k is not zero");
        let agree = NonZeroU32::new(agree).expect("m is not zero");
        Role::Follow(depth::Config { depth, agree, upstreams })
    }

    /// The power goes. It comes back after a while.
    pub(crate) fn cut_power(&mut self) {
        if self.host.take().is_none() {
            return;
        }
        self.life += 1;
        self.note("the power goes");
        self.files = match self.config.sabotage {
            Some(Sabotage::ForgetsTheLog) => memory::Files::new(0),
            _ => self.files.crash(),
        };
        self.happenings.clear();
        self.connections.clear();
        self.current.clear();
        let away = Duration::from_secs(self.rng.random_range(1..10));
        self.schedule.after(away, Event::PowerBack);
    }

    /// Something happens to the node, after all that has happened before.
    pub(crate) fn happen(&mut self, happening: Happening) {
        self.happenings.push_back(happening);
    }

    /// Lets everything happen that does at this moment.
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        while let Some(happening) = self.happenings.pop_front() {
            match happening {
                Happening::Input(input) => self.give(input)?,
                Happening::Output(output) => {
                    self.perform(output)?;
                    self.outputs += 1;
                    if self.config.crash_at_output == Some(self.outputs) {
                        self.cut_power();
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, input: node::Input) -> Result<(), Broken> {
        let now = self.schedule.now();
        let Some(host) = &mut self.host else { return Ok(()) };
        let mut out = Vec::new();
        host.node.handle(now, input, &mut out);
        host.node.check_invariants();
        self.checker.on_step(&host.node.status(now))?;
        let deadline = host.node.next_deadline().filter(|at| host.wake.is_none_or(|wake| *at < wake));
        if let Some(deadline) = deadline {
            host.wake = Some(deadline);
            self.schedule.at(deadline, Event::NodeTick { life: self.life });
        }
        // What follows from one input comes before the next.
        let rest = std::mem::take(&mut self.happenings);
        self.happenings = out.into_iter().map(Happening::Output).chain(rest).collect::<VecDeque<_>>();
        Ok(())
    }

    pub(crate) fn on_node_tick(&mut self) {
        let Some(host) = &mut self.host else { return };
        host.wake = None;
        self.happen(Happening::Input(node::Input::Tick));
    }

    fn perform(&mut self, output: Output) -> Result<(), Broken> {
        match output {
            Output::Connect { id } => self.dial(id),
            Output::Upstream { id, command } => self.command(id, command),
            Output::Disconnect { id, closing } => {
                self.note(&format!("{id} let go: {}", closing.cause));
                self.hang_up(id);
                // A node that trusts anyone takes honest servers for liars, which is not what is tested then.
                let trusts_anyone = self.config.sabotage == Some(Sabotage::TrustsAnyone);
                if self.servers[id.0 as usize].behaviour.is_honest() && !trusts_anyone {
                    self.checker.on_honest_let_go(id, &closing.cause)?;
                }
                let of_it =
                    |input: &node::Input| matches!(input, node::Input::Upstream { id: of, .. } if *of == id);
                self.happenings.retain(|next| !matches!(next, Happening::Input(input) if of_it(input)));
            }
            Output::Verify { ticket, work } => self.verify(ticket, &work),
            Output::Persist { ticket, record } => self.persist(ticket, record),
            Output::Load { ticket, load } => self.load(ticket, &load),
            Output::Publish(view) => self.publish(view)?,
            Output::Submitted { .. } => {}
            Output::Notice(notice) => self.note(&notice.to_string()),
            Output::Send { .. }
            | Output::Took { .. }
            | Output::Blame { .. }
            | Output::Part { .. }
            | Output::Ask { .. }
            | Output::Obeyed { .. } => unreachable!("a follower never says this"),
        }
        Ok(())
    }

    fn verify(&mut self, ticket: Ticket, work: &Work) {
        let result = match self.config.sabotage {
            Some(Sabotage::SkipsChecks) => Ok(chain::Counts::default()),
            Some(Sabotage::DistrustsAtRandom) if ticket.0.is_multiple_of(50) => {
                Err(Fault::Header(chain::Reason::Native(chain::native::Reason::Signature)))
            }
            Some(Sabotage::LosesAnswers) if ticket.0.is_multiple_of(50) => return,
            _ => work.run(),
        };
        let delay = CHECKS.mul_f64(self.rng.random());
        let input = node::Input::Verified { ticket, result };
        self.schedule.after(delay, Event::ForHost { life: self.life, input: Box::new(input) });
    }

    fn persist(&mut self, ticket: Ticket, record: Record) {
        let Some(host) = &mut self.host else { return };
        if let Err(error) = storage::append(&mut host.store, &record) {
            self.on_write_failed(ticket, error.to_string());
            return;
        }
        if self.config.sabotage == Some(Sabotage::AcknowledgesEarly) {
            self.happen(Happening::Input(node::Input::Persisted { ticket }));
            return;
        }
        host.unsynced = Some(ticket);
        if !std::mem::replace(&mut host.is_syncing, true) {
            let delay = SYNC.mul_f64(self.rng.random());
            self.schedule.after(delay, Event::Sync { life: self.life });
        }
    }

    pub(crate) fn on_sync(&mut self) {
        let Some(host) = &mut self.host else { return };
        host.is_syncing = false;
        let Some(ticket) = host.unsynced.take() else { return };
        match host.store.sync() {
            Ok(()) => self.happen(Happening::Input(node::Input::Persisted { ticket })),
            Err(error) => self.on_write_failed(ticket, error.to_string()),
        }
    }

    fn on_write_failed(&mut self, ticket: Ticket, error: String) {
        self.note(&format!("a write fails: {error}"));
        self.happen(Happening::Input(node::Input::PersistFailed { ticket, error }));
    }

    fn load(&mut self, ticket: Ticket, load: &Load) {
        let Some(host) = &self.host else { return };
        let input = match storage::load(&host.store.reader(), &self.forge.format, load) {
            Ok(found) => node::Input::Loaded { ticket, found },
            Err(error) => node::Input::LoadFailed { ticket, error: error.to_string() },
        };
        self.schedule.after(READ, Event::ForHost { life: self.life, input: Box::new(input) });
    }

    fn publish(&mut self, view: Arc<View>) -> Result<(), Broken> {
        self.note(&format!(
            "shows {} blocks to {:.8}, {} settled",
            view.len().0,
            view.head.point,
            view.settled
        ));
        let view = match self.config.sabotage {
            Some(Sabotage::ShowsLess) if view.epoch.is_multiple_of(20) && view.settled > 0 => {
                Arc::new(View {
                    settled: view.settled - 1,
                    volatile: Arc::new([]),
                    head: view.irreversible,
                    ..View::clone(&view)
                })
            }
            Some(Sabotage::LeavesOutABlock) if view.volatile.len() > 2 => {
                let mut entries = view.volatile.to_vec();
                entries.remove(1);
                Arc::new(View { volatile: entries.into(), ..View::clone(&view) })
            }
            _ => view,
        };
        let Some(host) = &self.host else { return Ok(()) };
        let reader = host.store.reader();
        let point_at = |at| reader.point_at(at).ok().flatten();
        self.checker.on_view(view, point_at, |id| self.forge.state(id))
    }
}
