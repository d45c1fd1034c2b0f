//! Where results go: text for a person or JSON for a program, on standard output.

use std::io::{self, Write};

use serde::Serialize;

/// How a command prints its results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints one result: `text` is only made where it is wanted.
    ///
    /// # Errors
    /// When standard output is gone, such as a closed pipe.
    pub(crate) fn line<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, value)?;
        } else {
            out.write_all(text().as_bytes())?;
        }
        out.write_all(b"\n")?;
        out.flush()
    }
}
