//! The operator's orders.

use chain::Hash;
use diffusion::sync::bodies::{self, Mode};
use link::PeerId;

use super::Member;
use crate::{Command, Output, Ticket};

impl Member {
    pub(super) fn on_command(&mut self, ticket: Ticket, command: Command, out: &mut Vec<Output>) {
        let result = match command {
            Command::Blacklist(id) => self.give_up(id, out),
            Command::Allow(id) => self.allow(id),
            Command::Mode(peer, mode) => Ok(self.set_mode(peer, mode, out)),
        };
        out.push(Output::Obeyed { ticket, result });
    }

    fn set_mode(&mut self, peer: PeerId, mode: Mode, out: &mut Vec<Output>) -> String {
        match mode {
            Mode::Auto => self.modes.remove(&peer),
            Mode::Active | Mode::Backup | Mode::Off => self.modes.insert(peer, mode),
        };
        self.tell_bodies(bodies::Input::Mode { peer, mode }, out);
        self.is_lacking = true;
        let name = format!("{mode:?}").to_lowercase();
        match self.peers.contains_key(&peer) {
            true => format!("bodies to and from {} are {name} now", Hash(peer.0)),
            false => format!("bodies to and from {} will be {name} when it is connected", Hash(peer.0)),
        }
    }
}
