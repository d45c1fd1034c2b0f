//! Where tests and benchmarks find the real blocks, which the repository does not carry.
//!
//! `ANABRANCH_DATA` names the folder, else `../shared/data` beside the workspace is looked at. There, either
//! the chunk files themselves or `cardano-preview/immutable-*.tar.xz` are found; the archive is unpacked once,
//! below the build folder, by the system's `tar`. Where there is nothing, [`preview`] says so on standard
//! error and returns `None`: the caller's test is then skipped, and its log tells.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many blocks the preview data holds.
pub const PREVIEW_BLOCKS: u64 = 40_357;

/// The folder with the `NNNNN.chunk`, `.primary` and `.secondary` files of the preview network, from genesis.
pub fn preview() -> Option<PathBuf> {
    let root = folder();
    match find(&root) {
        Ok(found) => Some(found),
        Err(error) => {
            eprintln!("SKIPPED: no real blocks in {} ({error}); set ANABRANCH_DATA", root.display());
            None
        }
    }
}

fn folder() -> PathBuf {
    env::var_os("ANABRANCH_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from)
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

fn find(root: &Path) -> io::Result<PathBuf> {
    let below = root.join("cardano-preview");
    for folder in [root, &below] {
        if folder.join("00000.chunk").exists() {
            return Ok(folder.into());
        }
    }
    let archive = fs::read_dir(&below)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".tar.xz"))
        .ok_or_else(|| io::Error::other("neither chunk files nor an archive"))?;
    unpacked(&archive)
}

/// Unpacks into a folder of this process's own and moves it into place: several test processes may race.
fn unpacked(archive: &Path) -> io::Result<PathBuf> {
    let build = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let place = build.join("testdata").join("cardano-preview");
    if !place.exists() {
        let mine = build.join("testdata").join(format!("unpacking-{}", std::process::id()));
        fs::create_dir_all(&mine)?;
        let status = Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(&mine).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("tar could not unpack {}", archive.display())));
        }
        let whole =
            chunks_below(&mine).ok_or_else(|| io::Error::other("the archive holds no chunk files"))?;
        if fs::rename(&whole, &place).is_err() && !place.exists() {
            return Err(io::Error::other(format!("{} could not be moved into place", whole.display())));
        }
        let _ = fs::remove_dir_all(&mine);
    }
    Ok(place)
}

fn chunks_below(folder: &Path) -> Option<PathBuf> {
    if folder.join("00000.chunk").exists() {
        return Some(folder.into());
    }
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find_map(|path| chunks_below(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_whole_or_said_to_be_missing() {
        if let Some(folder) = preview() {
            let chunks = fs::read_dir(folder).unwrap();
            let count =
                chunks.filter(|e| e.as_ref().unwrap().path().extension() == Some("chunk".as_ref())).count();
            assert_eq!(count, 200);
        }
    }
}
