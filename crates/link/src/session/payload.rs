//! What the handshake's messages carry: what must be in common, and who is who.

use super::{Config, Violation};
use crate::{Identity, PeerId};

/// The version of all that comes before a hello: outer frames, handshake, segments.
pub const WIRE_VERSION: u16 = 1;

const MAGIC: &[u8; 9] = b"anabranch";

/// Keeps these signatures apart from all others of the same key.
const CONTEXT: &[u8; 25] = b"anabranch link static key";

/// The length of a [`preamble`].
pub(super) const PREAMBLE_BYTES: usize = MAGIC.len() + 2 + 32 + 1;

/// The length of a [`proof`].
pub(super) const PROOF_BYTES: usize = 32 + 64;

/// What must be in common: magic, `u16` version, network id, `u8` cipher.
pub(super) fn preamble(config: &Config) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest[..2].copy_from_slice(&WIRE_VERSION.to_be_bytes());
    rest[2..34].copy_from_slice(&config.network_id);
    rest[34] = config.security.code();
    bytes
}

/// Compares the peer's preamble with ours. What follows a foreign version has a form that we cannot know.
pub(super) fn check_preamble(config: &Config, theirs: &[u8]) -> Result<(), Violation> {
    let rest = theirs.strip_prefix(MAGIC).ok_or(Violation::NotAnabranch)?;
    let malformed = Violation::Malformed { length: theirs.len() };
    let (version, rest) = rest.split_first_chunk().ok_or(malformed)?;
    let version = u16::from_be_bytes(*version);
    if version != WIRE_VERSION {
        return Err(Violation::WrongVersion { ours: WIRE_VERSION, theirs: version });
    }
    let (network_id, rest) = rest.split_first_chunk::<32>().ok_or(malformed)?;
    if *network_id != config.network_id {
        return Err(Violation::WrongNetwork { theirs: *network_id });
    }
    let &[cipher] = rest else { return Err(malformed) };
    let ours = config.security.code();
    if cipher == ours { Ok(()) } else { Err(Violation::WrongCipher { ours, theirs: cipher }) }
}

/// Our key and its signature over our Noise key of this link.
pub(super) fn proof(identity: &Identity, noise_key: &[u8; 32]) -> [u8; PROOF_BYTES] {
    let mut bytes = [0; PROOF_BYTES];
    bytes[..32].copy_from_slice(&identity.peer_id().0);
    bytes[32..].copy_from_slice(&identity.sign(&signed(noise_key)));
    bytes
}

/// Whose proof this is, if it proves it.
pub(super) fn check_proof(proof: &[u8; PROOF_BYTES], noise_key: &[u8; 32]) -> Result<PeerId, Violation> {
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    key.copy_from_slice(&proof[..32]);
    signature.copy_from_slice(&proof[32..]);
    let claimed = PeerId(key);
    if claimed.verify(&signed(noise_key), &signature) {
        Ok(claimed)
    } else {
        Err(Violation::Unproven { claimed })
    }
}

fn signed(noise_key: &[u8; 32]) -> [u8; CONTEXT.len() + 32] {
    let mut bytes = [0; CONTEXT.len() + 32];
    bytes[..CONTEXT.len()].copy_from_slice(CONTEXT);
    bytes[CONTEXT.len()..].copy_from_slice(noise_key);
    bytes
}
