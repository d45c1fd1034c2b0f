//! What becomes irreversible at a node: proven, right and durable before anybody sees it.

use std::sync::Arc;

use chain::native::{read_fields, transaction_id, transactions};
use chain::{Block, Header, Position, State, View};

use super::app;
use super::check::Broken;
use super::world::{World, key};

impl World {
    /// Blocks are about to become irreversible at a node that keeps to the rules: before anybody is told, they must be
    /// durable, but they must be right and proven now.
    pub(super) fn on_settle(
        &mut self,
        node: u32,
        blocks: &[Block],
        state: &State,
        certificate: Option<&[u8]>,
    ) -> Result<(), Broken> {
        let Some(last) = blocks.last() else { return Ok(()) };
        if let Some(wrong) = blocks.iter().find(|block| !app::is_right(block)) {
            return Err(Broken::Wrong { node, id: wrong.header.id });
        }
        self.check_proof(node, &last.header, state, certificate)?;
        let position = state.next.0 - blocks.len() as u64;
        let unsettled = &mut self.hosts[node as usize].unsettled;
        unsettled.extend((position..).zip(blocks).map(|(position, block)| (position, block.clone())));
        Ok(())
    }

    fn check_proof(
        &mut self,
        node: u32,
        last: &Header,
        state: &State,
        certificate: Option<&[u8]>,
    ) -> Result<(), Broken> {
        let (chain, verify, faults) = (self.params.chain(), self.config.verify, self.params.faults);
        let memo = &mut self.memo;
        self.checker.on_proof(node, last, state, certificate, faults, |certificate| {
            let validators = state.native().expect("the chain is native").validators.clone();
            let finality = node::work::Finality { chain, faults, validators, certificate };
            let work = node::work::Work::Certificate(Box::new(finality));
            memo.verdict(&work, verify).map(|_| ()).map_err(|fault| fault.to_string())
        })
    }

    /// Headers at a node that keeps to the rules are about to be irreversible without their bodies.
    pub(super) fn on_bare(
        &mut self,
        node: u32,
        headers: &[Header],
        state: &State,
        certificate: Option<&[u8]>,
    ) -> Result<(), Broken> {
        // Where it went no further than its state's block, the certificate is of one above.
        match (headers.last(), certificate) {
            (Some(last), Some(_)) => self.check_proof(node, last, state, certificate),
            _ => Ok(()),
        }
    }

    /// Bare blocks are durable at a node that keeps to the rules.
    pub(super) fn on_bare_settled(&mut self, node: u32) -> Result<(), Broken> {
        let Some(store) = &self.hosts[node as usize].store else { return Ok(()) };
        let reader = store.reader();
        let point = |at| reader.point_at(Position(at)).ok().flatten().and_then(|point| point.hash());
        let bare: Vec<_> = (0..reader.bare()).map_while(point).collect();
        self.note(node, "begins above", || format!("{} bare blocks", bare.len()));
        self.checker.on_settled(node, 0, bare)
    }

    /// What a node settled is durable.
    pub(super) fn on_settled(&mut self, node: u32) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        for (position, block) in std::mem::take(&mut self.hosts[node as usize].unsettled) {
            let is_first = position == self.checker.settled();
            self.checker.on_settled(node, position, [block.header.id])?;
            if is_first {
                self.settled_at = now;
                if now >= self.config.chaos && position > self.over_at {
                    self.recovered_at.get_or_insert(now);
                }
                self.note(node, "settles first", || format!("{:.8} at {position}", block.header.id));
                let is_liars = self.is_liars(&block);
                for tx in transactions(&block).unwrap_or_default() {
                    let tx = transaction_id(&tx);
                    self.checker.on_included(node, block.header.id, tx, is_liars)?;
                    self.figures.on_transaction(now, &tx);
                }
            }
        }
        Ok(())
    }

    /// Whether one that does not keep to the rules made a block.
    fn is_liars(&self, block: &Block) -> bool {
        let made_by =
            |node: &u32| read_fields(&block.header).is_ok_and(|it| it.producer == key(*node).public());
        self.config.liars.keys().any(made_by)
    }

    pub(super) fn on_view(&mut self, node: u32, view: &Arc<View>) -> Result<(), Broken> {
        if !self.config.is_honest(node) {
            return Ok(());
        }
        let now = self.schedule.now().mono;
        let durable = self.hosts[node as usize].settled();
        let shown = self.checker.on_view(node, view, durable)?;
        self.note(node, "shows", || format!("{} settled", view.settled));
        for position in shown..view.settled {
            if let Some(id) = self.checker.block(position) {
                self.figures.on_final(now, node, &id);
            }
        }
        Ok(())
    }
}
