//! Bringing a derived file in line with the log: what differs is rewritten, what does not is left alone.

use crate::error::{Context as _, Error};
use crate::files::{Access, File as _, Files};

/// How much is compared at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A derived file (index or headers) that is being compared from some offset on.
#[derive(Debug)]
pub(crate) struct Mirror<F: Files> {
    files: F,
    path: &'static str,
    file: F::File,
    /// Where `buffer` belongs.
    at: u64,
    buffer: Vec<u8>,
    changed: bool,
}

impl<F: Files> Mirror<F> {
    /// Opens the file, or creates it, to be compared from `at` on.
    pub(crate) fn open(files: &F, path: &'static str, at: u64) -> Result<Self, Error> {
        let file = match files.open(path, Access::Write) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => files.create(path),
            other => other,
        };
        let file = file.context("open", || files.show(path))?;
        Ok(Self { files: files.clone(), path, file, at, buffer: Vec::new(), changed: false })
    }

    /// What the file must hold next.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Cuts the file here, and makes it durable if anything had to change.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let show = || self.files.show(self.path);
        if self.file.len().context("read", show)? != self.at {
            self.file.truncate(self.at).context("cut", show)?;
            self.changed = true;
        }
        if self.changed { self.file.sync_data().context("sync", show) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let show = || self.files.show(self.path);
        let mut found = vec![0; self.buffer.len()];
        let have = self.file.len().context("read", show)?;
        let same = have >= self.at + self.buffer.len() as u64 && {
            self.file.read_at(self.at, &mut found).context("read", show)?;
            found == self.buffer
        };
        if !same {
            self.file.write_at(self.at, &self.buffer).context("write", show)?;
            self.changed = true;
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
