//! Where a devnet keeps its nodes.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::exit::{Failure, Kind};

/// The directory.
#[derive(Debug)]
pub(super) enum DataDir {
    Kept(PathBuf),
    /// Removed at the end.
    Temporary(PathBuf),
}

impl DataDir {
    /// A new one that goes away with the process.
    pub(super) fn temporary() -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("anabranch-devnet-{}", std::process::id()));
        // Nobody else may read the keys; a directory that is there already is somebody else's.
        std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| {
            Failure::new(Kind::DataDir, format!("cannot create {}: {error}", dir.display()))
                .hint("give --data-dir DIR")
        })?;
        Ok(Self::Temporary(dir))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) | Self::Temporary(dir) => dir,
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Self::Temporary(dir) = self {
            // What is left behind is in the system's directory for such things.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
