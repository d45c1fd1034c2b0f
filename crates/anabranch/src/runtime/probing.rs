//! A link with one peer outside of any node: what `ping` does.

use link::Identity;

use super::{Error, settings};
use crate::config::Config;
use crate::network::probe::Probe;
use crate::network::{self, PeerAddress};
use crate::network_id::NetworkId;
use link::reason::Reason;

/// A key for the occasion, kept nowhere.
///
/// # Errors
/// When the system gives no random bytes.
pub fn passing_identity() -> std::io::Result<Identity> {
    Ok(Identity::generate(&mut settings::generator()?))
}

/// Links with a peer, with the settings of a node of this configuration.
///
/// # Errors
/// When the settings cannot be used, or there is no link.
pub async fn probe(
    config: &Config,
    network: &NetworkId,
    identity: &Identity,
    peer: &PeerAddress,
) -> Result<Result<Probe, Reason>, Error> {
    let settings = settings::network(config, network).map_err(network::Error::from)?;
    Ok(Probe::start(&settings, identity, peer, &mut settings::generator()?).await)
}
