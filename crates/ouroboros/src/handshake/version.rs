//! Versions of the node-to-node protocols, and what the two sides tell each other with them.

use crate::codec::{self, Element, Error, Form, Reader};

/// The number of a version of the node-to-node protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The oldest version whose data we can read.
    pub const OLDEST: Self = Self(7);
    /// The versions in use.
    pub const V14: Self = Self(14);
    /// Adds service records to the topology; nothing on the wire.
    pub const V15: Self = Self(15);
    /// Adds the field for Peras. Experimental.
    pub const V16: Self = Self(16);
    /// The newest version whose data we can read.
    pub const NEWEST: Self = Self::V16;

    /// How many fields the version's data has; none for a version that we do not know.
    fn fields(self) -> Option<u64> {
        match self.0 {
            7..=10 => Some(2),
            11..=15 => Some(4),
            16 => Some(5),
            _ => None,
        }
    }

    /// Whether we can read the version's data.
    pub fn is_known(self) -> bool {
        self.fields().is_some()
    }
}

/// What one side says with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionData {
    /// Which network.
    pub magic: u32,
    /// The side that opens the connection does not answer on it.
    pub initiator_only: bool,
    /// The side answers peer-sharing's requests.
    pub peer_sharing: bool,
    /// The side only wants to know the versions.
    pub query: bool,
    /// The side speaks Peras' protocols (16 and later).
    pub peras: bool,
}

impl VersionData {
    /// Reads the data as this version lays them out. Versions 7 to 10 lack the later fields; 11 and 12 could not
    /// share peers correctly, and so count as not doing it.
    pub fn decode(version: Version, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let data = Self::read(version, &mut reader)?;
        reader.end()?;
        Ok(data)
    }

    pub(super) fn read(version: Version, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let at = reader.position();
        let fields = version.fields().ok_or(Error::Expected { what: "known version", at })?;
        reader.array_of(fields, "version data")?;
        let mut data = Self {
            magic: reader.u32("network magic")?,
            initiator_only: reader.bool("diffusion mode")?,
            peer_sharing: false,
            query: false,
            peras: false,
        };
        if fields >= 4 {
            let at = reader.position();
            let sharing = reader.u8("peer sharing")?;
            let most = if version < Version(13) { 2 } else { 1 };
            if sharing > most {
                return Err(Error::Expected { what: "peer sharing", at });
            }
            data.peer_sharing = sharing == 1 && version >= Version(13);
            data.query = reader.bool("query")?;
        }
        if fields >= 5 {
            data.peras = reader.bool("Peras support")?;
        }
        Ok(data)
    }

    /// Appends the data as this version lays them out, which must be one that we know.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let fields = version.fields().expect("only known versions are proposed or accepted");
        codec::put_array(out, fields);
        codec::put_uint(out, u64::from(self.magic));
        codec::put_bool(out, self.initiator_only);
        if fields >= 4 {
            codec::put_uint(out, u64::from(self.peer_sharing));
            codec::put_bool(out, self.query);
        }
        if fields >= 5 {
            codec::put_bool(out, self.peras);
        }
    }

    /// What two sides agree on; nothing when they are of different networks.
    pub fn agree(&self, other: &Self) -> Option<Self> {
        (self.magic == other.magic).then_some(Self {
            magic: self.magic,
            initiator_only: self.initiator_only || other.initiator_only,
            peer_sharing: self.peer_sharing && other.peer_sharing,
            query: self.query || other.query,
            peras: self.peras && other.peras,
        })
    }
}

impl<'a> Element<'a> for Version {
    const WHAT: &'static str = "list of versions";
    const FORM: Form = Form::Definite;

    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        codec::element(bytes, |reader| Ok(Self(reader.uint("version")?)))
    }

    fn write(&self, out: &mut Vec<u8>) {
        codec::put_uint(out, self.0);
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
