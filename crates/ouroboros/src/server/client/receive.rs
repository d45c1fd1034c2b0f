//! What a client says: cut into messages, and each taken when its protocol has room for it.

use chain::View;
use link::{Protocol, Time};

use super::{Client, Phase};
use crate::framing::Item;
use crate::handshake::{Answer, VersionData};
use crate::limits::{BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, KEEP_ALIVE, PEER_SHARING, TX_SUBMISSION};
use crate::server::ingress::Ingress;
use crate::server::{LIMITS, LIMITS_WITHOUT_SHARING, Output, Reason, slot};
use crate::{Violation, block_fetch, chain_sync, handshake, keep_alive, peer_sharing, tx_submission};

impl Client {
    pub(super) fn on_received(
        &mut self,
        now: Time,
        bytes: &[u8],
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<(), Reason> {
        let mut rest = bytes;
        while let Some(part) = self.demux.next(&mut rest).map_err(Violation::Mux)? {
            // The proposal has one limit as a whole, from the first moment on.
            if self.is_open() && !self.demux.is_inside_segment() {
                self.since = None;
            }
            self.on_part(now, part.protocol, part.bytes, view, out)?;
        }
        if self.is_open() && self.demux.is_inside_segment() {
            self.since.get_or_insert(now.mono);
        }
        Ok(())
    }

    /// Takes the messages that a part of a segment completes, as far as the protocol takes them now.
    fn on_part(
        &mut self,
        now: Time,
        protocol: Protocol,
        fresh: &[u8],
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<(), Reason> {
        let slot = slot(protocol);
        if self.ingress[slot].has_held() {
            self.ingress[slot].keep(fresh);
            return self.take_held(now, protocol, view, out).map(drop);
        }
        let mut rest = fresh;
        self.take(now, protocol, &mut rest, view, out)?;
        if protocol == HANDSHAKE && self.phase != Phase::Handshake {
            // The handshake is over in the middle of its own segment: what follows belongs to nobody.
            let left_over = self.is_open() && !rest.is_empty();
            let fault = link::mux::Violation::UnknownProtocol { protocol };
            return if left_over { Err(Violation::Mux(fault).into()) } else { Ok(()) };
        }
        self.ingress[slot].keep(rest);
        Ok(())
    }

    /// Goes on with messages that had to wait; says whether any could.
    fn take_held(
        &mut self,
        now: Time,
        protocol: Protocol,
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<bool, Reason> {
        let slot = slot(protocol);
        if !self.ingress[slot].has_held() || !self.has_room(protocol) {
            return Ok(false);
        }
        let taken = self.ingress[slot].take();
        let mut rest = taken.bytes();
        let before = rest.len();
        self.take(now, protocol, &mut rest, view, out)?;
        let used = before - rest.len();
        self.ingress[slot].put_back(taken, used);
        Ok(used > 0)
    }

    fn take(
        &mut self,
        now: Time,
        protocol: Protocol,
        rest: &mut &[u8],
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<(), Reason> {
        while self.has_room(protocol) {
            let limit = self.limit(protocol);
            let framer = &mut self.ingress[slot(protocol)].framer;
            let item = framer.next(rest, limit);
            let Some(item) = item.map_err(|error| Violation::Framing { protocol, error })? else { break };
            self.demux.release(protocol, item.bytes().len());
            self.on_message(now, protocol, &item, view, out)?;
        }
        Ok(())
    }

    /// Goes on with all protocols whose messages had to wait.
    pub(super) fn resume(&mut self, now: Time, view: &View) -> Result<bool, Reason> {
        if !self.ingress.iter().any(Ingress::has_held) {
            return Ok(false);
        }
        let mut resumed = false;
        for limit in LIMITS {
            // Only a handshake makes outputs of its own, and it is over.
            resumed |= self.take_held(now, limit.protocol, view, &mut Vec::new())?;
        }
        Ok(resumed)
    }

    /// Whether the protocol takes another message now.
    fn has_room(&self, protocol: Protocol) -> bool {
        let rare = self.rare.as_deref();
        match (self.phase, protocol) {
            (Phase::Handshake, protocol) => protocol == HANDSHAKE,
            (Phase::Closing(_) | Phase::Closed, _) => false,
            (Phase::Open { .. }, _) if self.draining => false,
            (Phase::Open { .. }, CHAIN_SYNC) => self.chain_sync.has_room(),
            (Phase::Open { .. }, KEEP_ALIVE) => self.keep_alive.has_room(),
            (Phase::Open { .. }, BLOCK_FETCH) => self.block_fetch.as_ref().is_none_or(|b| b.has_room()),
            (Phase::Open { .. }, TX_SUBMISSION) => {
                rare.is_none_or(|r| r.txs.has_room() && r.txs_out.is_empty())
            }
            (Phase::Open { .. }, PEER_SHARING) => {
                rare.is_none_or(|r| r.sharing.has_room() && r.sharing_out.is_empty())
            }
            (Phase::Open { .. }, _) => false,
        }
    }

    /// How long the protocol's next message may be.
    fn limit(&self, protocol: Protocol) -> usize {
        let rare = self.rare.as_deref();
        match protocol {
            HANDSHAKE => handshake::State::Propose.limits(),
            CHAIN_SYNC => chain_sync::State::Idle.limits(),
            KEEP_ALIVE => keep_alive::State::Client.limits(),
            BLOCK_FETCH => block_fetch::State::Idle.limits(),
            PEER_SHARING => peer_sharing::State::Idle.limits(),
            _ => rare.map_or(tx_submission::State::Init, |rare| rare.txs.state()).limits(),
        }
        .bytes
    }

    fn on_message(
        &mut self,
        now: Time,
        protocol: Protocol,
        item: &Item<'_>,
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<(), Reason> {
        let malformed = |error| Violation::Message { protocol, error };
        let bytes = item.bytes();
        match protocol {
            CHAIN_SYNC => {
                let message = chain_sync::Message::decode(bytes).map_err(malformed)?;
                self.chain_sync.on_message(now.mono, &message, view)?;
            }
            KEEP_ALIVE => {
                self.keep_alive.on_message(&keep_alive::Message::decode(bytes).map_err(malformed)?)?;
            }
            BLOCK_FETCH => {
                self.blocks().on_message(&block_fetch::Message::decode(bytes).map_err(malformed)?)?;
            }
            TX_SUBMISSION => {
                let message = tx_submission::Message::decode(bytes).map_err(malformed)?;
                self.rare().txs.on_message(&message)?;
            }
            PEER_SHARING => {
                let message = peer_sharing::Message::decode(bytes).map_err(malformed)?;
                self.rare().sharing.on_message(&message)?;
            }
            _ => {
                let message = handshake::Message::decode(bytes).map_err(malformed)?;
                self.on_proposal(&message, out)?;
            }
        }
        Ok(())
    }

    fn on_proposal(&mut self, message: &handshake::Message<'_>, out: &mut Vec<Output>) -> Result<(), Reason> {
        let config = self.config.clone();
        let answer = handshake::answer(&config.offer, message, self.rare().handshake.buffer())?;
        self.since = None;
        self.phase = match answer {
            Answer::Accepted { version, data } => {
                let VersionData { peer_sharing: sharing, .. } = data;
                self.demux.enter(if sharing { LIMITS } else { LIMITS_WITHOUT_SHARING });
                out.push(Output::Opened { version, data });
                Phase::Open { version, sharing }
            }
            Answer::Mismatch => Phase::Closing(Reason::Mismatch),
            Answer::Malformed { version } => Phase::Closing(Reason::Malformed { version }),
            Answer::OtherNetwork { magic } => Phase::Closing(Reason::OtherNetwork { magic }),
            Answer::Queried => Phase::Closing(Reason::Queried),
        };
        Ok(())
    }
}
