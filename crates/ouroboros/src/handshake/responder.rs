//! The handshake, the side that answers: one proposal, one answer.
//!
//! Spec: "Handshake" of the node-to-node page. The data of both sides are *combined*, never compared for
//! equality: only the magic must be the same.

use super::{Message, Refusal, Version, VersionData, Versions};
use crate::Violation;
use crate::codec::List;
use crate::limits::HANDSHAKE;

/// What we offer: the versions, each with the same data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The oldest version that we accept; older clients speak the same protocols with less data.
    pub oldest: Version,
    /// The newest.
    pub newest: Version,
    /// Our side of the data.
    pub data: VersionData,
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The connection is open.
    Accepted {
        /// The version chosen.
        version: Version,
        /// What both sides agree on.
        data: VersionData,
    },
    /// No version in common.
    Mismatch,
    /// The data of the chosen version make no sense.
    Malformed {
        /// The version chosen.
        version: Version,
    },
    /// The client is of another network.
    OtherNetwork {
        /// The magic that it stated.
        magic: u32,
    },
    /// It only wanted to know our versions.
    Queried,
}

impl Offer {
    /// All the versions that we can read, for this network. We never start a protocol on a connection that we
    /// did not open.
    pub fn new(magic: u32, peer_sharing: bool) -> Self {
        let data = VersionData { magic, initiator_only: true, peer_sharing, query: false, peras: false };
        Self { oldest: Version::OLDEST, newest: Version::NEWEST, data }
    }

    fn versions(&self) -> impl Iterator<Item = Version> {
        (self.oldest.0..=self.newest.0).map(Version).filter(|version| version.is_known())
    }
}

/// Answers a proposal: appends the message and says what came of it.
pub fn answer(offer: &Offer, message: &Message<'_>, out: &mut Vec<u8>) -> Result<Answer, Violation> {
    let Message::ProposeVersions { versions } = message else {
        return Err(Violation::Agency { protocol: HANDSHAKE, state: "Propose", message: message.name() });
    };
    let common = versions.iter().filter(|(version, _)| offer.versions().any(|ours| ours == *version)).last();
    let Some((version, theirs)) = common else {
        let ours = offer.versions().collect::<Vec<_>>();
        Message::Refuse(Refusal::VersionMismatch { versions: List::new(&ours) }).encode(out);
        return Ok(Answer::Mismatch);
    };
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(error) => {
            let text = error.to_string();
            Message::Refuse(Refusal::DecodeError { version, text: &text }).encode(out);
            return Ok(Answer::Malformed { version });
        }
    };
    let Some(data) = offer.data.agree(&theirs) else {
        let text = format!("this is the network with magic {}, not {}", offer.data.magic, theirs.magic);
        Message::Refuse(Refusal::Refused { version, text: &text }).encode(out);
        return Ok(Answer::OtherNetwork { magic: theirs.magic });
    };
    if data.query {
        let table = offer.versions().map(|version| (version, offer.data)).collect::<Vec<_>>();
        Message::QueryReply { versions: Versions::new(&table) }.encode(out);
        return Ok(Answer::Queried);
    }
    Message::AcceptVersion { version, data }.encode(out);
    Ok(Answer::Accepted { version, data })
}
