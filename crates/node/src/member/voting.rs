//! Consensus: what it is told, and what it wants done.
//!
//! It is told one thing after another: what follows from its own words waits until all of them are performed, so that
//! its records go to the disk in the order in which it counts them.

use consensus::quorum;
use link::PeerId;

use super::Member;
use super::storing::Append;
use crate::{Notice, Output, Record};

impl Member {
    /// Tells consensus, and does what it says.
    pub(super) fn tell_quorum(&mut self, input: quorum::Input, out: &mut Vec<Output>) {
        self.untold.push_back(input);
        if std::mem::replace(&mut self.is_telling, true) {
            return;
        }
        while let Some(input) = self.untold.pop_front() {
            let mut said = Vec::new();
            self.quorum.handle(self.now.mono, input, &mut said);
            for output in said {
                self.perform_quorum(output, out);
            }
        }
        self.is_telling = false;
    }

    /// Shows consensus a message, and says what it refuses it for.
    pub(super) fn show(
        &mut self,
        from: PeerId,
        message: quorum::Message,
        out: &mut Vec<Output>,
    ) -> Option<quorum::Violation> {
        assert!(!self.is_telling, "messages come from outside");
        self.refused = None;
        self.speaking.heard_from = Some(from);
        self.tell_quorum(quorum::Input::Message(message), out);
        self.speaking.heard_from = None;
        self.refused.take()
    }

    fn perform_quorum(&mut self, output: quorum::Output, out: &mut Vec<Output>) {
        match output {
            quorum::Output::Persist { ticket: counted, record } => {
                let ticket = self.next_ticket();
                self.storing.push(ticket, Append::Journal(counted));
                out.push(Output::Persist { ticket, record: Record::Journal(record) });
            }
            quorum::Output::Send { message, after } => {
                let after = self.storing.after(after);
                self.speak(&message, after, out);
            }
            quorum::Output::Want { header } => self.on_proposed(header, out),
            quorum::Output::Produce { parent, round, until } => self.on_produce(&parent, round, until, out),
            // Its records are before what is written of the block, in the order of tickets.
            quorum::Output::Commit { block, certificate, after: _ } => {
                if let Some(tip) = self.decided_tip(&block, out) {
                    self.certify(tip, certificate.encode(), None, out);
                }
            }
            quorum::Output::Evidence(evidence) => out.push(Output::Notice(Notice::Evidence(evidence))),
            quorum::Output::Refused(violation) => self.refused = Some(violation),
            quorum::Output::Halted(halt) => out.push(Output::Notice(Notice::Halted { halt })),
        }
    }

    /// A message on the consensus channel: from a neighbour, of a validator.
    pub(super) fn on_consensus_message(&mut self, id: PeerId, body: &[u8], out: &mut Vec<Output>) {
        if let Some(greeting) = super::speech::Greeting::decode(body) {
            return self.on_greeting(id, &greeting, out);
        }
        match quorum::Message::decode(body) {
            Ok(message) => {
                if let Some(violation) = self.show(id, message, out) {
                    self.blame(id, super::Violation::Consensus(violation), out);
                }
            }
            Err(reason) => {
                let channel = link::channel::CONSENSUS;
                self.blame(id, super::Violation::Undecodable { channel, reason }, out);
            }
        }
    }
}
