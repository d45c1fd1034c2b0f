//! What a network's name stands for: a format, its parameters, its magic.

use std::path::PathBuf;
use std::sync::Arc;

use chain::Format;
use chain::{cardano, native};

/// The name of the chain that `devnet` makes, and its magic where nothing else says it.
pub const DEVNET: &str = "devnet";

/// The magic of [`DEVNET`]: `anab` as digits of a telephone, far from Cardano's small numbers.
pub const DEVNET_MAGIC: u32 = 2622;

/// One network.
#[derive(Debug, Clone)]
pub struct NetworkId {
    /// What people call it.
    pub name: String,
    /// What its handshakes carry.
    pub magic: u32,
    /// How its blocks are read and judged.
    pub format: Format,
}

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a name that is built in nor a file.
    #[error(
        "`{name}` is no network: give mainnet, preprod, preview, or the path of a network file (a devnet \
         writes one: network.toml in its data directory)"
    )]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The file cannot be read.
    #[error("the network file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a network file.
    #[error("the network file {} is not sound: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

impl NetworkId {
    /// Finds a network by its name, or reads its file.
    ///
    /// # Errors
    /// When there is no such name and no such file, or the file is not sound.
    pub fn find(name: &str) -> Result<Self, Error> {
        if let Some(params) = cardano::Params::built_in(name) {
            return Ok(Self::cardano(params));
        }
        let path = PathBuf::from(name);
        if !path.is_file() {
            return Err(Error::Unknown { name: name.into() });
        }
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Self::parse(&text).map_err(|reason| Error::Parse { path, reason })
    }

    /// A network of Cardano's kind.
    pub fn cardano(params: cardano::Params) -> Self {
        let (name, magic) = (params.name.clone(), params.magic);
        Self { name, magic, format: Format::Cardano(Arc::new(params)) }
    }

    /// A network of our own kind.
    pub fn native(params: native::Params) -> Self {
        let (name, magic) = (params.name.clone(), params.magic);
        Self { name, magic, format: Format::Native(Arc::new(params)) }
    }

    /// Reads a network file: the key `format` says of which kind it is, the rest are that kind's parameters.
    fn parse(text: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let format = table.remove("format");
        let rest = toml::to_string(&table).map_err(|error| error.to_string())?;
        match format.as_ref().and_then(toml::Value::as_str) {
            Some("cardano") => {
                cardano::Params::from_toml(&rest).map(Self::cardano).map_err(|error| error.to_string())
            }
            Some("native") => {
                let params: native::Params = toml::from_str(&rest).map_err(|error| error.to_string())?;
                params.validate().map_err(|error| error.to_string())?;
                Ok(Self::native(params))
            }
            _ => Err("its key `format` must be \"cardano\" or \"native\"".into()),
        }
    }

    /// The network as a network file.
    pub fn to_toml(&self) -> String {
        match &self.format {
            Format::Cardano(params) => format!("format = \"cardano\"\n{}", params.to_toml()),
            Format::Native(params) => {
                let text = toml::to_string(&**params).expect("parameters are plain numbers and texts");
                format!("format = \"native\"\n{text}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_public_networks_by_name() {
        let magic = |name| NetworkId::find(name).expect("built in").magic;
        assert_eq!(["mainnet", "preprod", "preview"].map(magic), [764_824_073, 1, 2]);
        assert!(matches!(NetworkId::find("nowhere"), Err(Error::Unknown { .. })));
    }

    #[test]
    fn a_network_file_of_either_kind_survives_a_round_trip() {
        let native = NetworkId::native(native::Params::solo("mine", 77, 5, [3; 32]));
        for network in [NetworkId::find("mainnet").expect("built in"), native] {
            let again = NetworkId::parse(&network.to_toml()).expect("reads");
            assert_eq!((again.to_toml(), again.magic), (network.to_toml(), network.magic));
        }
    }

    #[test]
    fn refuses_a_file_without_a_format_or_with_unknown_keys() {
        let text = NetworkId::find("preview").expect("built in").to_toml();
        assert!(NetworkId::parse(&text.replace("format = \"cardano\"", "")).is_err());
        assert!(NetworkId::parse(&text.replace("format = \"cardano\"", "format = \"native\"")).is_err());
        assert!(NetworkId::parse(&text.replace("epoch_length", "epoch_lenght")).is_err());
    }
}
