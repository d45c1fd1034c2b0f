//! Finality of a native chain, walked from genesis: what a newcomer who knows nothing but the genesis can be shown.
//!
//! A certificate counts by the validators that the last counted block leads to: those in force there, or those of a
//! change that was announced by then. So a set that no certificate of the one before introduces shows nothing, whatever
//! it signs. This is the rule by which members take certificates from peers.

use bytes::Bytes;
use chain::native::{self, Certificate, Faults, Validators};
use chain::{Format, Hash, State, Tip};

/// How far certificates show that blocks are irreversible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finality {
    /// Certificates that hold: by the validators that the chain names, whether a newcomer can know them or not.
    pub certificates: u64,
    /// The last block that is shown to be irreversible; none before the first certificate.
    pub shown: Option<Tip>,
    /// The first certified block by validators that no certificate introduces: from there on nothing is shown.
    pub gap: Option<Tip>,
}

/// Walks the certificates of a chain.
#[derive(Debug)]
pub(crate) struct Walk {
    chain: Hash,
    faults: Faults,
    /// The state after the last block that is shown.
    last: native::State,
    found: Finality,
}

impl Walk {
    /// A walk from genesis; `None` where headers alone show finality.
    pub(crate) fn new(format: &Format) -> Option<Self> {
        let Format::Native(params) = format else { return None };
        Some(Self {
            chain: params.chain(),
            faults: params.faults,
            last: native::State::genesis(params),
            found: Finality { certificates: 0, shown: None, gap: None },
        })
    }

    /// Takes the certificate of a block, whose state this is. They come in the order of the chain.
    ///
    /// # Errors
    /// Why it shows nothing.
    pub(crate) fn next(&mut self, state: &State, certificate: &Bytes) -> Result<(), String> {
        let native = state.native().expect("the walk is along a native chain");
        self.check(&native.validators, &state.tip, certificate)?;
        self.found.certificates += 1;
        let (known, _) = self.last.validators_at(state.tip.height);
        if self.found.gap.is_none() && known.hash() == native.validators.hash() {
            (self.last, self.found.shown) = (native.clone(), Some(state.tip));
        } else {
            self.found.gap = self.found.gap.or(Some(state.tip));
        }
        Ok(())
    }

    fn check(&self, validators: &Validators, tip: &Tip, certificate: &Bytes) -> Result<(), String> {
        let certificate = Certificate::decode(certificate).map_err(|error| error.to_string())?;
        if (certificate.height(), Some(certificate.block())) != (tip.height, tip.point.hash()) {
            return Err(format!("it is of block {:.16} at {}", certificate.block(), certificate.height()));
        }
        certificate.verify(&self.chain, validators, self.faults).map_err(|error| error.to_string())
    }

    /// What was found.
    pub(crate) fn end(self) -> Finality {
        self.found
    }
}
