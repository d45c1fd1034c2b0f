//! The command line of `init`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::devnet::Faults;
use super::duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Where to lay the network out: a directory that is empty or not there yet.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A machine with a validator: where its peers reach it. Once for each.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub(crate) machine: Vec<Machine>,
    /// A machine with a node that follows, serves and relays. Once for each.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) follower: Vec<Machine>,
    /// What people call the chain.
    #[arg(long, default_value = "mine")]
    pub(crate) name: String,
    /// The network magic that clients greet it with.
    #[arg(long, default_value_t = anabranch::network_id::DEVNET_MAGIC)]
    pub(crate) magic: u32,
    /// What the validators may do wrong without harm.
    #[arg(long, value_enum, default_value = "byzantine")]
    pub(crate) faults: Faults,
    /// How long a slot lasts: no two blocks are in the same.
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = duration)]
    pub(crate) slot: Duration,
}

/// Where a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    host: String,
    pub(crate) port: u16,
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("`{text}` is no machine: give HOST:PORT, such as 10.0.0.1:4001");
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || host.contains(['@', '/', ' ', '"']) || host.contains(':') && !bracketed {
            return Err(refused());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_machines_and_says_what_is_wrong_with_others() {
        for right in ["10.0.0.1:4001", "one.example:1", "[::1]:9"] {
            assert_eq!(right.parse::<Machine>().map(|machine| machine.to_string()), Ok(right.to_owned()));
        }
        for wrong in ["", "host", ":1", "host:0", "host:99999", "a b:1", "key@host:1", "::1:9", "h\"ost:2"] {
            assert!(wrong.parse::<Machine>().is_err(), "{wrong}");
        }
    }
}
