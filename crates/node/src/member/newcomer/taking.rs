//! The pieces of a state, from the first question to the mark behind which a newcomer is none any more.

use bytes::Bytes;
use chain::native::StateRoot;
use diffusion::pieces::{self, Verdict};
use link::PeerId;

use super::super::Member;
use super::super::applying::Applying;
use super::super::state::Ask;
use super::super::storing::Append;
use super::Phase;
use crate::application::{Applied, Snapshot, Taken};
use crate::{Output, Record};

impl Member {
    pub(super) fn begin_taking(&mut self, to: StateRoot, out: &mut Vec<Output>) {
        let own = self.newcomer.as_ref().and_then(|newcomer| newcomer.own);
        if own == Some(to) {
            // An earlier life came that far.
            let applied = self.applying.as_ref().and_then(|applying| applying.last()).cloned();
            return self.mark(applied.expect("it stands there"), out);
        }
        self.set_phase(Phase::Taking { to });
        self.ask_snapshot(Ask::Restore(to), Snapshot::Restore { to }, out);
    }

    /// Tells the machine of pieces, and does what it says.
    pub(in crate::member) fn tell_pieces(&mut self, input: pieces::Input<PeerId>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.pieces.handle(self.now.mono, input, &mut said);
        for output in said {
            match output {
                pieces::Output::Send { peer, message } => self.send_pieces(peer, &message, out),
                pieces::Output::Judge { of, name, piece } => {
                    let about = Snapshot::Take { name: name.clone(), piece };
                    self.ask_snapshot(Ask::Take(of, name), about, out);
                }
                pieces::Output::Done { of } => self.on_all_pieces(of, out),
                pieces::Output::Gone { of } => self.on_gone(of, out),
                pieces::Output::Violation { peer, violation } => self.blame(peer, violation.into(), out),
            }
        }
    }

    /// The application has said whether it takes a snapshot, and what it wants of it first.
    pub(in crate::member) fn on_restoring(
        &mut self,
        to: StateRoot,
        names: Option<Vec<Bytes>>,
        out: &mut Vec<Output>,
    ) {
        let phase = self.newcomer.as_ref().map(|newcomer| newcomer.phase.clone());
        match (phase, names) {
            (Some(Phase::Asking { to: asked }), Some(_)) if asked == to => {
                self.set_phase(Phase::Following { to: Some(to) });
            }
            (Some(Phase::Asking { .. }), _) => self.take_all(),
            (Some(Phase::Taking { to: asked }), Some(names)) if asked == to => {
                self.tell_pieces(pieces::Input::Begin { of: to, names }, out);
            }
            (Some(Phase::Taking { .. }), _) => self.stop_restoring("it takes no snapshot any more", out),
            _ => {}
        }
    }

    /// The application has looked at a piece.
    pub(in crate::member) fn on_taken(
        &mut self,
        of: StateRoot,
        name: Bytes,
        taken: Taken,
        out: &mut Vec<Output>,
    ) {
        let verdict = match taken {
            Taken::Right { more } => {
                self.progress.moved(self.now.mono);
                Verdict::Right { more }
            }
            Taken::Wrong { reason } => Verdict::Wrong { reason },
            // It has it already.
            Taken::Unasked => Verdict::Right { more: Vec::new() },
        };
        self.tell_pieces(pieces::Input::Judged { of, name, verdict }, out);
    }

    fn on_all_pieces(&mut self, of: StateRoot, out: &mut Vec<Output>) {
        self.set_phase(Phase::Placing { to: of });
        let tip = self.tree.root().tip;
        self.ask_snapshot(Ask::Restored, Snapshot::Restored { tip }, out);
    }

    /// The application stands at the state.
    pub(in crate::member) fn on_restored(&mut self, applied: Applied, out: &mut Vec<Output>) {
        let Some(Phase::Placing { to }) = self.newcomer.as_ref().map(|newcomer| newcomer.phase.clone())
        else {
            return;
        };
        if applied.tip != self.tree.root().tip || applied.state_root() != Some(to) {
            return self.stop_restoring("it stands elsewhere than at the snapshot that it took", out);
        }
        self.mark(applied, out);
    }

    fn mark(&mut self, applied: Applied, out: &mut Vec<Output>) {
        let state = self.tree.root().state.clone();
        self.set_phase(Phase::Marking { applied });
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Begun);
        out.push(Output::Persist { ticket, record: Record::SettleBare { state } });
    }

    /// The bare blocks are settled: from here on it is a node like any other.
    pub(in crate::member) fn on_begun(&mut self, out: &mut Vec<Output>) {
        // Where they were forgotten, it is none any more.
        let Some(newcomer) = self.newcomer.take() else { return };
        let Phase::Marking { applied } = newcomer.phase else { unreachable!("the mark is made last") };
        self.applying = Some(Applying::at_the_tip(applied));
        self.drop_all_transactions(out);
        for (id, load, has_origin) in newcomer.later {
            self.load_for(id, load, has_origin, out);
        }
        (self.is_news, self.is_lacking, self.is_unblocked) = (true, true, true);
        self.moved(out);
        self.tell_producers(out);
        self.start_height(out);
    }

    /// Something that the application cannot do: an operator has to look.
    pub(in crate::member) fn stop_restoring(&mut self, reason: &str, out: &mut Vec<Output>) {
        self.tell_pieces(pieces::Input::Stop, out);
        self.stop_applying(reason.to_owned(), out);
    }
}
