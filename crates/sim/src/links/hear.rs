//! What comes of the machines of an end: messages, credit, faults, and its own end.

use bytes::Bytes;
use link::budget::Charge;
use link::message::Kind;
use link::reason::Reason;
use link::{Protocol, Violation, control, inbound, outbound};
use rand::RngExt;

use super::check::{Broken, ConnectionId, Stream};
use super::config::{Behaviour, Sabotage};
use super::end::Stage;
use super::host::Held;
use super::talk::window;
use super::world::{Event, World};

/// How often sabotage strikes, where it should not every time.
const SOMETIMES: f64 = 0.02;

impl World {
    /// Tells the half that receives, if there is one.
    pub(super) fn tell_inbound(
        &mut self,
        connection: ConnectionId,
        side: usize,
        input: inbound::Input<'_>,
    ) -> Result<(), Broken> {
        let now = self.schedule.now();
        let Some(halves) = self.halves(connection, side) else { return Ok(()) };
        let mut out = Vec::new();
        halves.inbound.handle(now, input, &mut out);
        halves.inbound.check_invariants();
        for output in out {
            match output {
                inbound::Output::Message { channel, kind, body, charge } => {
                    self.on_message(connection, side, channel, kind, body, charge)?;
                }
                inbound::Output::Control(message) => self.on_control(connection, side, message)?,
                inbound::Output::Grant { .. } if self.config.sabotage == Some(Sabotage::LosesGrants) => {}
                inbound::Output::Grant { channel, bytes } => {
                    self.tell_outbound(connection, side, outbound::Input::Grant { channel, bytes })?;
                }
                inbound::Output::Rejected(fault) => self.on_rejected(connection, side, fault)?,
                inbound::Output::Closed(reason) => {
                    self.tell_outbound(connection, side, outbound::Input::Close(reason))?;
                }
            }
        }
        Ok(())
    }

    /// Tells the half that sends, if there is one.
    pub(super) fn tell_outbound(
        &mut self,
        connection: ConnectionId,
        side: usize,
        input: outbound::Input,
    ) -> Result<(), Broken> {
        let now = self.schedule.now();
        let Some(halves) = self.halves(connection, side) else { return Ok(()) };
        let mut out = Vec::new();
        halves.outbound.handle(now, input, &mut out);
        halves.outbound.check_invariants();
        for output in out {
            match output {
                outbound::Output::Fault(fault) => {
                    self.tell_inbound(connection, side, inbound::Input::Fault(fault))?;
                }
                // Nobody looks at room here.
                outbound::Output::Room => {}
                outbound::Output::Closed(reason) => self.on_gone(connection, side, Some(reason))?,
            }
        }
        Ok(())
    }

    fn on_control(
        &mut self,
        connection: ConnectionId,
        side: usize,
        message: control::Message,
    ) -> Result<(), Broken> {
        let is_pong = matches!(message, control::Message::Pong { .. });
        if is_pong && self.config.sabotage == Some(Sabotage::LosesPongs) {
            return Ok(());
        }
        self.tell_outbound(connection, side, outbound::Input::Control(message))
    }

    /// A message is delivered.
    fn on_message(
        &mut self,
        connection: ConnectionId,
        side: usize,
        channel: Protocol,
        kind: Kind,
        mut body: Bytes,
        charge: Charge,
    ) -> Result<(), Broken> {
        let host = self.connections[&connection].hosts[side];
        let strikes = self.rng.random_bool(SOMETIMES);
        let sabotage = self.config.sabotage.filter(|_| strikes);
        if sabotage == Some(Sabotage::CutsMessages) && !body.is_empty() {
            body.truncate(body.len() - 1);
        }
        self.note(&format!("connection {connection}: {host} hears {} B on {channel}", body.len()));
        let times = match sabotage {
            Some(Sabotage::LosesMessages) => 0,
            Some(Sabotage::Doubles) => 2,
            _ => 1,
        };
        if self.is_followed(connection, 1 - side) {
            let (stream, now) = (Stream { connection, from: 1 - side, channel }, self.schedule.now().mono);
            for _ in 0..times {
                self.checker.on_heard(stream, now, kind, &body)?;
            }
        }
        let charge = Some(charge).filter(|_| self.config.sabotage != Some(Sabotage::LeaksMemory));
        let held = Held { connection, channel, body, _charge: charge };
        let cost = held.cost();
        let number = self.hosts[host].hold(held);
        let untaken = self.hosts[host].untaken_bytes(connection, channel);
        self.checker.bound("bytes of a channel not taken", untaken, u64::from(window(channel)))?;
        if self.config.sabotage == Some(Sabotage::TakesEarly) {
            self.taken(connection, side, channel, cost)?;
        }
        let patience = self.patience(host, channel);
        self.schedule.after(patience, Event::Take { host, number });
        Ok(())
    }

    /// Something that came was rejected.
    fn on_rejected(&mut self, connection: ConnectionId, side: usize, fault: Violation) -> Result<(), Broken> {
        self.note(&format!("connection {connection}: rejected: {fault}"));
        if let Violation::OverBudget { channel, length } = fault {
            if self.is_followed(connection, 1 - side) {
                self.checker.on_over_budget(Stream { connection, from: 1 - side, channel }, length)?;
            }
            return Ok(());
        }
        if self.is_sound(connection) {
            return self.checker.on_blamed(connection, &fault);
        }
        self.report.faults += 1;
        Ok(())
    }

    /// An end is over.
    pub(super) fn on_gone(
        &mut self,
        connection: ConnectionId,
        side: usize,
        reason: Option<Reason>,
    ) -> Result<(), Broken> {
        let Some(reason) = reason else { return Err(Broken::NoReason { connection }) };
        let is_sound = self.is_sound(connection);
        let now = self.schedule.now().mono;
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        let host = it.hosts[side];
        it.ends[side].end();
        if let Some(at) = it.lines[side].end(now, &mut self.rng) {
            self.schedule.at(at, Event::Arrive { connection, side: 1 - side });
        }
        let is_over = it.ends.iter().all(|end| matches!(end.stage, Stage::Gone));
        self.note(&format!("connection {connection} ends at {host}: {reason}"));
        self.checker.on_gone(connection, 1 - side);
        if is_sound {
            self.checker.on_end_of_sound(connection, &reason)?;
        }
        if is_over {
            self.forget(connection);
        }
        Ok(())
    }

    /// What those checkers see that look at the clock.
    pub(super) fn check_life(&mut self, connection: ConnectionId) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        let (silence, trip) = (self.rules.config().silence, 2 * self.config.urgent_within(0));
        let every = link::ping::Config::default().every;
        let is_sound = self.is_sound(connection);
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        // Silence is noticed, told in a moment, and what was told is on its way; the sweep may come a moment late.
        let lasted = now.saturating_sub(it.cut.unwrap_or(now));
        if lasted > silence + trip + 3 * super::world::SWEEP {
            return Err(Broken::HalfOpen { connection, lasted });
        }
        for end in &mut it.ends {
            let Stage::Open(halves) = &end.stage else { continue };
            let pongs = halves.outbound.figures().map_or(0, |figures| figures.pongs);
            if pongs > end.pongs.0 {
                end.pongs = (pongs, now);
            }
            let waited = now.saturating_sub(end.pongs.1);
            if is_sound && waited > every + trip + 2 * super::world::SWEEP {
                return Err(Broken::NoPong { connection, waited });
            }
        }
        Ok(())
    }

    /// Whether what an end says can be told from what arrives: it says what it queued and nothing else.
    fn is_followed(&self, connection: ConnectionId, side: usize) -> bool {
        match self.behaviour(connection, side) {
            Behaviour::Honest | Behaviour::Slow | Behaviour::Tampered => true,
            Behaviour::Forger | Behaviour::Greedy => false,
        }
    }
}
