//! What went wrong, for a person and for a script: a message, a hint, an exit code.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

/// The exit codes of the program. They are part of its interface: add, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Something failed that has no code of its own, such as a full disk.
    Failed = 1,
    /// The configuration is wrong: a key, a value, a network that is not known. (The command line itself
    /// is refused with 2, by its parser.)
    Config = 3,
    /// The data directory cannot be used: in use, of another network, of another version, not readable.
    DataDir = 4,
    /// The network refused: a port in use, nobody listening, another network magic.
    Network = 5,
    /// Data is damaged: an import stopped early, a verification found something wrong.
    Damaged = 6,
    /// No running node answers at the admin address.
    NotRunning = 7,
    /// Long work was stopped by a signal before its end; run it again to go on.
    Interrupted = 8,
    /// Somebody is not who they should be, or a secret is open to others. Never a mere fault of the network.
    Security = 9,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Config => "config",
            Self::DataDir => "data_dir",
            Self::Network => "network",
            Self::Damaged => "damaged",
            Self::NotRunning => "not_running",
            Self::Interrupted => "interrupted",
            Self::Security => "security",
        }
    }
}

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
    /// Whoever read our output has had enough, as `head` has: that is no failure.
    is_closed_pipe: bool,
}

impl Failure {
    /// A failure with what happened.
    pub(crate) fn new(kind: Kind, message: impl Display) -> Self {
        Self { kind, message: format!("{message:#}"), hint: None, is_closed_pipe: false }
    }

    /// What happened, without the hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it to standard error and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if self.is_closed_pipe {
            return ExitCode::SUCCESS;
        }
        if json {
            let error = json!({
                "error": self.message,
                "kind": self.kind.name(),
                "code": self.kind as u8,
                "hint": self.hint,
            });
            eprintln!("{error}");
        } else {
            eprintln!("error: {}", self.message);
            if let Some(hint) = self.hint {
                eprintln!(" hint: {hint}");
            }
        }
        ExitCode::from(self.kind as u8)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Failed, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let is_closed_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { is_closed_pipe, ..Self::new(Kind::Failed, error) }
    }
}
