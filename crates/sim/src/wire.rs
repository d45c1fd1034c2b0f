//! The connections: on each the node's machine for an upstream, the server's for a client, and bytes between.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::UpstreamId;
use node::upstream::Command;
use ouroboros::handshake::{self, Version, VersionData};
use ouroboros::server::{self, Client};
use ouroboros::upstream;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::config::Behaviour;
use crate::host::Happening;
use crate::pipe::Pipe;
use crate::world::{Event, World};

/// What a machine may send at once.
const BUDGET: usize = 64 << 10;

/// A machine waits with more when what it sent takes longer than this to arrive: a socket's buffer.
const BACKLOG: Duration = Duration::from_millis(200);

/// What goes through a slow server's line: some blocks of 2 KB in a few slots.
const SLOW_BYTES_PER_S: u64 = 3_000;

/// Names a connection for ever.
pub(crate) type ConnectionId = u64;

/// One connection.
pub(crate) struct Connection {
    id: UpstreamId,
    ours: upstream::State,
    theirs: Client,
    to_server: Pipe,
    to_node: Pipe,
    /// The soonest tick that is scheduled.
    wake: Option<Duration>,
}

impl World {
    /// The node dials a server.
    pub(crate) fn dial(&mut self, id: UpstreamId) {
        let delay = self.config.link.latency * 2;
        self.schedule.after(delay, Event::Dialed { id, life: self.life });
    }

    pub(crate) fn on_dialed(&mut self, id: UpstreamId) {
        if !self.servers[id.0 as usize].is_up {
            let error = "connection refused".to_owned();
            self.happen(Happening::Input(node::Input::ConnectFailed { id, error }));
            return;
        }
        let (now, mut link) = (self.schedule.now(), self.config.link);
        if self.servers[id.0 as usize].behaviour == Behaviour::Slow {
            link.bytes_per_s = SLOW_BYTES_PER_S;
        }
        let magic = self.forge.format.magic();
        let ours =
            upstream::State::new(&upstream::Config::new(magic), now, ChaCha8Rng::from_rng(&mut self.rng));
        let theirs = Client::new(Arc::new(server::Config { offer: offer(magic) }), now);
        let (to_server, to_node) = (Pipe::new(link), Pipe::new(link));
        let connection = self.next_connection;
        self.next_connection += 1;
        self.current.insert(id, connection);
        self.connections.insert(connection, Connection { id, ours, theirs, to_server, to_node, wake: None });
        self.send_ours(connection);
    }

    /// The node gives its machine a command.
    pub(crate) fn command(&mut self, id: UpstreamId, command: Command) {
        let Some(&connection) = self.current.get(&id) else { return };
        self.handle_ours(connection, upstream::Input::Command(command));
    }

    /// A connection ends, and nothing comes of it any more.
    pub(crate) fn hang_up(&mut self, id: UpstreamId) {
        if let Some(connection) = self.current.remove(&id) {
            self.connections.remove(&connection);
        }
    }

    /// A connection breaks, and the node hears of it.
    pub(crate) fn break_off(&mut self, id: UpstreamId) {
        if self.current.contains_key(&id) {
            self.hang_up(id);
            let error = "connection reset".to_owned();
            self.happen(Happening::Input(node::Input::ConnectFailed { id, error }));
        }
    }

    pub(crate) fn on_wire_tick(&mut self, connection: ConnectionId) {
        let Some(wire) = self.connections.get_mut(&connection) else { return };
        wire.wake = None;
        let now = self.schedule.now().mono;
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        let (ours, theirs) = (due(wire.ours.next_deadline()), due(wire.theirs.next_deadline()));
        if ours {
            self.handle_ours(connection, upstream::Input::Tick);
        }
        if theirs {
            self.handle_theirs(connection, server::Input::Tick);
        }
        self.send_ours(connection);
        self.send_theirs(connection);
    }

    /// A server has a new view.
    pub(crate) fn on_server_view(&mut self, server: usize) {
        let of_it = |(_, wire): &(&ConnectionId, &Connection)| wire.id.0 as usize == server;
        let connections: Vec<_> =
            self.connections.iter().filter(of_it).map(|(connection, _)| *connection).collect();
        for connection in connections {
            self.send_theirs(connection);
        }
    }

    pub(crate) fn handle_ours(&mut self, connection: ConnectionId, input: upstream::Input<'_>) {
        let now = self.schedule.now();
        let Some(wire) = self.connections.get_mut(&connection) else { return };
        let mut events = Vec::new();
        wire.ours.handle(now, input, &mut events);
        let (id, is_closed) = (wire.id, wire.ours.is_closed());
        if is_closed {
            self.hang_up(id);
        } else {
            self.send_ours(connection);
        }
        for event in events {
            self.happen(Happening::Input(node::Input::Upstream { id, event }));
        }
    }

    pub(crate) fn handle_theirs(&mut self, connection: ConnectionId, input: server::Input<'_>) {
        let now = self.schedule.now();
        let Some(wire) = self.connections.get_mut(&connection) else { return };
        let server = &self.servers[wire.id.0 as usize];
        if server.is_silent {
            return;
        }
        let mut outputs = Vec::new();
        wire.theirs.handle(now, input, &server.view, &mut outputs);
        self.answer(connection, outputs);
        self.send_theirs(connection);
    }

    /// What a server's machine asks of its log: it has none, all its blocks are in its view.
    fn answer(&mut self, connection: ConnectionId, outputs: Vec<server::Output>) {
        for output in outputs {
            let input = match output {
                server::Output::Opened { .. } | server::Output::InboxRoom => continue,
                server::Output::FirstInLog(_) => server::Input::FirstInLog(None),
                server::Output::Check(..) => server::Input::Checked(false),
                server::Output::Range(..) => server::Input::Range(None, None),
                server::Output::Chunk(_) | server::Output::Blocks(..) => server::Input::LogFailed,
                server::Output::Peers(_) => server::Input::Peers(Vec::new()),
                server::Output::Offered(offered) => server::Input::Wanted(vec![false; offered.len()]),
                server::Output::Transactions(_) => continue,
                server::Output::Closed(reason) => {
                    let Some(wire) = self.connections.get(&connection) else { return };
                    let id = wire.id;
                    self.note(&format!("server {} closes: {reason}", id.0));
                    self.break_off(id);
                    return;
                }
            };
            self.handle_theirs(connection, input);
        }
    }

    fn send_ours(&mut self, connection: ConnectionId) {
        let now = self.schedule.now();
        while let Some(wire) = self.connections.get_mut(&connection) {
            if let Some(room) = wire.to_server.full_until(now.mono, BACKLOG) {
                self.wake_wire(connection, Some(room));
                return;
            }
            let mut buffer = Vec::new();
            let more = wire.ours.transmit(now, BUDGET, &mut buffer);
            let deadline = wire.ours.next_deadline();
            if !buffer.is_empty() {
                let arrival = wire.to_server.arrival(now.mono, buffer.len(), &mut self.rng);
                self.schedule.at(arrival, Event::ForServer(connection, Bytes::from(buffer)));
            }
            if !more {
                self.wake_wire(connection, deadline);
                return;
            }
        }
    }

    fn send_theirs(&mut self, connection: ConnectionId) {
        let now = self.schedule.now();
        while let Some(wire) = self.connections.get_mut(&connection) {
            let server = &self.servers[wire.id.0 as usize];
            if server.is_silent {
                return;
            }
            if let Some(room) = wire.to_node.full_until(now.mono, BACKLOG) {
                self.wake_wire(connection, Some(room));
                return;
            }
            let (mut buffer, mut outputs) = (Vec::new(), Vec::new());
            let more = wire.theirs.transmit(now, &server.view, BUDGET, &mut buffer, &mut outputs);
            let deadline = wire.theirs.next_deadline();
            if !buffer.is_empty() {
                let arrival = wire.to_node.arrival(now.mono, buffer.len(), &mut self.rng);
                self.schedule.at(arrival, Event::ForNode(connection, Bytes::from(buffer)));
            }
            self.answer(connection, outputs);
            if !more {
                self.wake_wire(connection, deadline);
                return;
            }
        }
    }

    fn wake_wire(&mut self, connection: ConnectionId, deadline: Option<Duration>) {
        let Some(wire) = self.connections.get_mut(&connection) else { return };
        let Some(deadline) = deadline.filter(|deadline| wire.wake.is_none_or(|wake| *deadline < wake)) else {
            return;
        };
        wire.wake = Some(deadline);
        self.schedule.at(deadline, Event::WireTick(connection));
    }
}

/// What the servers of the world propose.
fn offer(magic: u32) -> handshake::Offer {
    let data = VersionData { magic, initiator_only: false, peer_sharing: false, query: false, peras: false };
    handshake::Offer { oldest: Version::V14, newest: Version::V15, data }
}
