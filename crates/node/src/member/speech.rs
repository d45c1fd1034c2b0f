//! What neighbours say on the consensus channel: who they are, and what validators tell each other.
//!
//! A validator that has a link to another one greets it: "this link ends at me", signed for the very peer that it goes
//! to, so that whoever is in between cannot pass the greeting on as its own. From then on the other's votes go over
//! this link, in one hop.
//!
//! ```text
//! greeting = [4, key, signature]        ; beside the messages of validators, which are 0 to 3
//! ```

use bytes::Bytes;
use chain::Hash;
use chain::native::{Key, is_signed};
use consensus::quorum;
use link::PeerId;

/// What a greeting begins with: an array of three, its number, a string of 32 bytes.
const HEAD: [u8; 4] = [0x83, 0x04, 0x58, 0x20];

/// What comes before its signature: a string of 64 bytes.
const SIGNATURE: [u8; 2] = [0x58, 0x40];

/// How long a greeting is.
const BYTES: usize = HEAD.len() + 32 + SIGNATURE.len() + 64;

/// "The link on which you get this ends at this validator."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The validator's key.
    pub key: quorum::Key,
    /// Its signature over the chain and the peer that is greeted.
    pub signature: [u8; 64],
}

impl Greeting {
    /// A greeting of the holder of this key to a peer.
    pub fn new(chain: &Hash, key: &Key, to: &PeerId) -> Self {
        Self { key: key.public(), signature: key.sign(&signed(chain, to)) }
    }

    /// Whether it was made for this peer by the holder of its key.
    pub fn is_genuine(&self, chain: &Hash, to: &PeerId) -> bool {
        is_signed(&signed(chain, to), &self.key, &self.signature)
    }

    /// Its one encoding.
    pub fn encode(&self) -> Bytes {
        [&HEAD[..], &self.key, &SIGNATURE, &self.signature].concat().into()
    }

    /// Reads a greeting and nothing else; `None` where these bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&HEAD).filter(|_| bytes.len() == BYTES)?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let signature = rest.strip_prefix(&SIGNATURE)?.try_into().ok()?;
        Some(Self { key: *key, signature })
    }
}

fn signed(chain: &Hash, to: &PeerId) -> Vec<u8> {
    [b"anabranch greeting 1 ".as_slice(), &chain.0, &to.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Hash = Hash([3; 32]);

    #[test]
    fn a_greeting_is_read_as_it_was_written_and_in_no_other_form() {
        let greeting = Greeting::new(&CHAIN, &Key::from_seed(&[1; 32]), &PeerId([2; 32]));
        let bytes = greeting.encode();
        assert_eq!(Greeting::decode(&bytes), Some(greeting));
        assert_eq!(Greeting::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Greeting::decode(&[&bytes[..], &[0]].concat()), None);
        assert!(quorum::Message::decode(&bytes).is_err(), "it is none of the validators' messages");
    }

    #[test]
    fn a_greeting_is_worth_something_to_one_peer_alone() {
        let greeting = Greeting::new(&CHAIN, &Key::from_seed(&[1; 32]), &PeerId([2; 32]));
        assert!(greeting.is_genuine(&CHAIN, &PeerId([2; 32])));
        assert!(!greeting.is_genuine(&CHAIN, &PeerId([4; 32])), "passed on");
        assert!(!greeting.is_genuine(&Hash([4; 32]), &PeerId([2; 32])), "of another chain");
        let other = Greeting { key: Key::from_seed(&[5; 32]).public(), ..greeting };
        assert!(!other.is_genuine(&CHAIN, &PeerId([2; 32])), "of another validator");
    }
}
