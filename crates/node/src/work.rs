//! What costs time and needs no state: run by a driver, off the core.

use std::sync::Arc;

use chain::Hash;
use chain::format::{Checks, Counts, Reason};
use chain::native::{Certificate, Faults, Validators, certificate};
use diffusion::routing::{Claim, Signature};

/// Something to verify.
#[derive(Debug, Clone)]
pub enum Work {
    /// A header's signatures and proofs.
    Header(Checks),
    /// The votes that show a block's finality.
    Certificate(Box<Finality>),
    /// A producer's claim about routes.
    Claim {
        /// Whose network.
        network: Hash,
        /// What was claimed.
        claim: Claim,
        /// The signature.
        signature: Signature,
    },
}

/// A certificate with what it is judged by.
#[derive(Debug, Clone)]
pub struct Finality {
    /// Of which chain.
    pub chain: Hash,
    /// What validators may do wrong there.
    pub faults: Faults,
    /// The validators in force at its height.
    pub validators: Arc<Validators>,
    /// The votes.
    pub certificate: Certificate,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A header fails a check.
    #[error(transparent)]
    Header(#[from] Reason),
    /// A certificate does not show what it says.
    #[error(transparent)]
    Certificate(#[from] certificate::Invalid),
    /// A claim was not signed by its producer.
    #[error("the signature is not the producer's")]
    Claim,
}

impl Work {
    /// Does it. What a header's checks counted is told; other work counts nothing.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn run(&self) -> Result<Counts, Fault> {
        match self {
            Self::Header(checks) => Ok(checks.run()?),
            Self::Certificate(finality) => {
                let Finality { chain, faults, validators, certificate } = &**finality;
                certificate.verify(chain, validators, *faults)?;
                Ok(Counts::default())
            }
            Self::Claim { network, claim, signature } => match claim.is_signed(network, signature) {
                true => Ok(Counts::default()),
                false => Err(Fault::Claim),
            },
        }
    }
}
