//! `key generate` and `key show`: who a node is to its peers.

use std::path::{Path, PathBuf};

use anabranch::config::Config;
use anabranch::link;
use anabranch::peers::key_file;
use serde_json::json;

use crate::args::Key;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::settings;

pub(super) fn run(command: &Key, config: &Config, output: Output) -> Result<(), Failure> {
    let (Key::Generate { validator, .. } | Key::Show { validator, .. }) = command;
    let (path, named) = match validator {
        true => (settings::validator(config)?, &config.consensus.key),
        false => (settings::identity(config)?, &config.peers.identity),
    };
    let identity = match command {
        Key::Generate { .. } => generate(config, &path, named.is_some())?,
        Key::Show { .. } => read(&path)?,
    };
    let key = identity.peer_id().to_string();
    output.line(&json!({ "key": key, "file": path }), || key.clone())?;
    Ok(())
}

fn generate(config: &Config, path: &Path, is_named: bool) -> Result<link::Identity, Failure> {
    if !is_named {
        // Before the node's first start there may be no data directory yet.
        let dir: PathBuf = settings::data_dir(config)?;
        std::fs::create_dir_all(&dir).map_err(|error| {
            Failure::new(Kind::DataDir, format!("cannot create {}: {error}", dir.display()))
        })?;
    }
    key_file::generate(path).map_err(in_the_way)
}

/// Reads the key of a file.
///
/// # Errors
/// When there is none, or others may read it.
pub(super) fn read(path: &Path) -> Result<link::Identity, Failure> {
    key_file::read(path).map_err(in_the_way)
}

/// What is wrong with a key's file, and what to do.
pub(super) fn in_the_way(error: key_file::Error) -> Failure {
    use key_file::Error;
    match error {
        Error::Open { .. } => Failure::new(Kind::Security, error)
            .hint("whoever read it can pretend to be this node: if somebody may have, make a new key"),
        Error::Read { .. } | Error::NoFile { .. } => Failure::new(Kind::Config, error)
            .hint("make one with `anabranch key generate`, or say which with --identity or --data-dir"),
        Error::NoKey { .. } | Error::Exists { .. } => Failure::new(Kind::Config, error),
        Error::Write { .. } | Error::Random { .. } => Failure::new(Kind::Failed, error),
    }
}
