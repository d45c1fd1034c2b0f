//! `[upstream]`: the servers that are followed.

use std::num::{NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Serialize};

use super::{Error, is_host_port, nonzero};

/// The most upstreams that may be configured. A guess: each costs a connection and a window of headers.
pub const MAX_UPSTREAMS: usize = 64;

/// The servers that are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Node-to-node servers, as `HOST:PORT`; names are looked up afresh at each dial.
    pub addresses: Vec<String>,
    /// How many of them must serve a block before it is irreversible; more than half where it is not set.
    pub agree: Option<NonZeroUsize>,
    /// How long a dial may take.
    pub dial_timeout_ms: NonZeroU64,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            agree: None,
            // The handshake's own limit; a server slower than that is refused there anyway.
            dial_timeout_ms: nonzero(10_000),
        }
    }
}

impl Upstream {
    /// How many upstreams must serve a block before it is irreversible.
    pub fn quorum(&self) -> usize {
        self.agree.map_or(self.addresses.len() / 2 + 1, NonZeroUsize::get)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let count = self.addresses.len();
        if count > MAX_UPSTREAMS {
            return Err(Error::ManyUpstreams { count });
        }
        for (at, address) in self.addresses.iter().enumerate() {
            if !is_host_port(address) {
                return Err(Error::Upstream { address: address.clone() });
            }
            if self.addresses[..at].contains(address) {
                return Err(Error::TwiceUpstream { address: address.clone() });
            }
        }
        if let Some(agree) = self.agree
            && count > 0
            && agree.get() > count
        {
            return Err(Error::Agree { agree: agree.get(), count });
        }
        Ok(())
    }
}
