//! The side that proposes.

use std::time::Duration;

use link::Protocol;
use link::mux::Outbox;

use super::{Message, Refusal, State, Version, VersionData, Versions};
use crate::conversation::{Speaker, admit, in_time, undecodable};
use crate::framing::Item;
use crate::{Violation, limits};

/// Proposes versions and reads the answer.
#[derive(Debug, Clone)]
pub struct Initiator {
    proposed: Vec<(Version, VersionData)>,
    state: State,
    deadline: Option<Duration>,
    outbox: Outbox,
}

/// How the handshake ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides speak this version.
    Accepted {
        /// The version.
        version: Version,
        /// What they agree on.
        data: VersionData,
    },
    /// The responder speaks none of our versions.
    VersionMismatch {
        /// Those that it speaks.
        versions: Vec<Version>,
    },
    /// The responder does not want us, or could not read us.
    Refused {
        /// The version that it speaks of.
        version: Version,
        /// Its reason, in its own words.
        text: String,
    },
    /// What the responder speaks, in answer to a query.
    Versions(Vec<(Version, VersionData)>),
}

impl Initiator {
    /// Proposes these versions, which are in ascending order.
    pub fn new(now: Duration, proposed: Vec<(Version, VersionData)>) -> Self {
        let state = State::Confirm;
        let deadline = state.limits().time.choose(|_| 0).map(|time| now + time);
        let mut outbox = Outbox::default();
        Message::ProposeVersions { versions: Versions::new(&proposed) }.encode(outbox.buffer());
        Self { proposed, state, deadline, outbox }
    }

    fn on_accept(&self, version: Version, data: VersionData) -> Result<Outcome, Violation> {
        let proposed = self.proposed.iter().find(|(proposed, _)| *proposed == version);
        match proposed {
            Some((_, ours)) if ours.magic == data.magic => Ok(Outcome::Accepted { version, data }),
            _ => Err(Violation::NotProposed { version: version.0 }),
        }
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::HANDSHAKE;
    type Output = Outcome;

    fn limit(&self) -> usize {
        self.state.limits().bytes
    }

    fn on_message(&mut self, _: Duration, message: &Item<'_>) -> Result<Option<Outcome>, Violation> {
        let message = Message::decode(message.bytes()).map_err(undecodable(Self::PROTOCOL))?;
        let after = (self.state.after(&message), message.name());
        self.state = admit(Self::PROTOCOL, (self.state.agency(), self.state.name()), after)?;
        self.deadline = None;
        match message {
            // Not admitted in any state in which the responder has agency.
            Message::ProposeVersions { .. } => Ok(None),
            Message::AcceptVersion { version, data } => self.on_accept(version, data).map(Some),
            Message::Refuse(Refusal::VersionMismatch { versions }) => {
                Ok(Some(Outcome::VersionMismatch { versions: versions.iter().collect() }))
            }
            Message::Refuse(Refusal::DecodeError { version, text } | Refusal::Refused { version, text }) => {
                Ok(Some(Outcome::Refused { version, text: text.to_string() }))
            }
            Message::QueryReply { versions } => {
                let readable = versions.iter().filter_map(|(version, data)| Some((version, data.ok()?)));
                Ok(Some(Outcome::Versions(readable.collect())))
            }
        }
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), Violation> {
        in_time(Self::PROTOCOL, self.state.name(), self.deadline, now)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}
