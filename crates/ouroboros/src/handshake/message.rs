//! The messages of the handshake (`handshake-node-to-node-v14.cddl`).

use std::fmt;

use super::{Version, VersionData};
use crate::codec::{self, Error, List, Reader};

/// A message of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator speaks these versions.
    ProposeVersions {
        /// The versions.
        versions: Versions<'a>,
    },
    /// The responder chose one of them.
    AcceptVersion {
        /// The version.
        version: Version,
        /// What both sides agree on.
        data: VersionData,
    },
    /// The responder does not want the connection.
    Refuse(Refusal<'a>),
    /// The versions that the responder speaks, to an initiator that only wanted to know.
    QueryReply {
        /// The versions.
        versions: Versions<'a>,
    },
}

/// Why a responder refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// No version in common.
    VersionMismatch {
        /// The versions that the responder speaks.
        versions: List<'a, Version>,
    },
    /// The data of the version to be chosen make no sense.
    DecodeError {
        /// The version.
        version: Version,
        /// What is wrong.
        text: &'a str,
    },
    /// Another reason: mostly, another network.
    Refused {
        /// The version.
        version: Version,
        /// The reason.
        text: &'a str,
    },
}

/// A table of versions. What it says of versions that we do not know is skipped, whatever its shape.
#[derive(Clone, Copy)]
pub struct Versions<'a> {
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Pairs one after the other.
    Encoded(&'a [u8]),
    Given(&'a [(Version, VersionData)]),
}

impl<'a> Message<'a> {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (2, 0) => Self::ProposeVersions { versions: Versions::read(&mut reader)? },
            (3, 1) => {
                let version = Version(reader.uint("version")?);
                Self::AcceptVersion { version, data: VersionData::read(version, &mut reader)? }
            }
            (2, 2) => Self::Refuse(Refusal::read(&mut reader)?),
            (2, 3) => Self::QueryReply { versions: Versions::read(&mut reader)? },
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::ProposeVersions { versions } => {
                codec::put_message(out, 2, 0);
                versions.write(out);
            }
            Self::AcceptVersion { version, data } => {
                codec::put_message(out, 3, 1);
                codec::put_uint(out, version.0);
                data.encode(*version, out);
            }
            Self::Refuse(refusal) => {
                codec::put_message(out, 2, 2);
                refusal.write(out);
            }
            Self::QueryReply { versions } => {
                codec::put_message(out, 2, 3);
                versions.write(out);
            }
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProposeVersions { .. } => "ProposeVersions",
            Self::AcceptVersion { .. } => "AcceptVersion",
            Self::Refuse(_) => "Refuse",
            Self::QueryReply { .. } => "QueryReply",
        }
    }
}

impl<'a> Refusal<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        match reader.message()? {
            (2, 0) => Ok(Self::VersionMismatch { versions: List::read(reader)? }),
            (3, 1) => Ok(Self::DecodeError {
                version: Version(reader.uint("version")?),
                text: reader.text("text")?,
            }),
            (3, 2) => {
                Ok(Self::Refused { version: Version(reader.uint("version")?), text: reader.text("text")? })
            }
            (fields, number) => Err(Error::Unknown { number, fields }),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (number, version, text) = match self {
            Self::VersionMismatch { versions } => {
                codec::put_message(out, 2, 0);
                return versions.write(out);
            }
            Self::DecodeError { version, text } => (1, version, text),
            Self::Refused { version, text } => (2, version, text),
        };
        codec::put_message(out, 3, number);
        codec::put_uint(out, version.0);
        codec::put_text(out, text);
    }
}

impl<'a> Versions<'a> {
    /// A table to be written: known versions in ascending order.
    pub fn new(versions: &'a [(Version, VersionData)]) -> Self {
        debug_assert!(versions.is_sorted_by(|a, b| a.0 < b.0), "the table is an ascending map");
        Self { source: Source::Given(versions) }
    }

    /// The known versions, in ascending order, with what their data turn out to be. Data that make no sense matter
    /// only when their version is the one to be chosen.
    pub fn iter(&self) -> impl Iterator<Item = (Version, Result<VersionData, Error>)> + use<'a> {
        let (encoded, given): (&'a [u8], &'a [(Version, VersionData)]) = match self.source {
            Source::Encoded(bytes) => (bytes, &[]),
            Source::Given(versions) => (&[], versions),
        };
        let mut reader = Reader::new(encoded);
        let read = std::iter::from_fn(move || {
            while reader.end().is_err() {
                let version = known_version(reader.item("version").ok()?);
                let data = reader.item("version data").ok()?;
                if let Some(version) = version {
                    return Some((version, VersionData::decode(version, data)));
                }
            }
            None
        });
        given.iter().map(|(version, data)| (*version, Ok(*data))).chain(read)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let pairs = reader.map("definite map of versions")?;
        let start = reader.position();
        let mut last = None;
        for _ in 0..pairs {
            let at = reader.position();
            let version = known_version(reader.item("version")?);
            reader.item("version data")?;
            if version.is_some() && version <= last {
                return Err(Error::Expected { what: "version in ascending order", at });
            }
            last = version.or(last);
        }
        Ok(Self { source: Source::Encoded(reader.since(start)) })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let readable = || self.iter().filter_map(|(version, data)| Some((version, data.ok()?)));
        codec::put_map(out, readable().count() as u64);
        for (version, data) in readable() {
            codec::put_uint(out, version.0);
            data.encode(version, out);
        }
    }
}

/// The version that this key is, if it is one that we know.
fn known_version(key: &[u8]) -> Option<Version> {
    let mut reader = Reader::new(key);
    let version = Version(reader.uint("version").ok()?);
    version.is_known().then_some(version)
}

impl fmt::Debug for Versions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Versions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Versions<'_> {}
