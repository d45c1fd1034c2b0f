//! What goes in and what comes out, and the reasons that they name.

use std::sync::Arc;
use std::time::Duration;

use chain::native::{Certificate, Validators};
use chain::{Hash, Header, Height, Tip};

use super::engine::Fault;
use super::evidence::Evidence;
use super::message::Message;
use super::record::{Journal, Record};

/// Counts what is to be written, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The block before is durable with its certificate: the next height may begin.
#[derive(Debug, Clone)]
pub struct Start {
    /// The last irreversible block; the origin before the first.
    pub parent: Tip,
    /// The validators in force at the height after it.
    pub validators: Arc<Validators>,
    /// Whether there is something to put into a block.
    pub has_work: bool,
    /// What the journal holds: at the start of the program what was found there, later nothing.
    pub journal: Journal,
}

/// What the machine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// A height begins. May overtake the one that is voted on: then its block came from others.
    Start(Box<Start>),
    /// A message of a validator came, from whomever.
    Message(Message),
    /// A block is durable, body and header. Asked for by [`Output::Want`] or made after [`Output::Produce`]; a block
    /// that was durable before is told of again.
    Stored(Hash),
    /// A wanted block was judged: by its format, and by the application. A block that never gets a verdict can be
    /// given up by hand with a wrong one.
    Judged {
        /// The block.
        block: Hash,
        /// Whether it may be voted for.
        is_right: bool,
    },
    /// The block that [`Output::Produce`] asked for; it is proposed once it is stored, too.
    Built(Header),
    /// All up to this ticket is durable.
    Persisted(Ticket),
    /// A record could not be written: this validator does not vote any more.
    PersistFailed,
    /// There is something to put into a block.
    Work,
    /// Time has passed.
    Tick,
}

/// What the machine wants done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Append to the journal, in this order. A [`Record::Height`] replaces all before it.
    Persist {
        /// Names the write in [`Input::Persisted`] and in what waits for it.
        ticket: Ticket,
        /// What to append.
        record: Record,
    },
    /// Send to all other validators, not before the ticket is durable.
    Send {
        /// The message.
        message: Message,
        /// What must be durable before.
        after: Ticket,
    },
    /// Get this block, body and header, and judge it: it was proposed. One that is there already is answered for
    /// at once.
    Want {
        /// Its header, which follows the last irreversible block by our validators' rules; its own signature was not
        /// verified.
        header: Header,
    },
    /// Make a block and answer with [`Input::Built`].
    Produce {
        /// The block before.
        parent: Tip,
        /// The round that its header names.
        round: u32,
        /// When the others stop waiting for it.
        until: Duration,
    },
    /// The block is irreversible: make it durable with its certificate, then start the next height.
    Commit {
        /// The block.
        block: Hash,
        /// The proof.
        certificate: Certificate,
        /// What must be durable before.
        after: Ticket,
    },
    /// A validator lied.
    Evidence(Evidence),
    /// The message that was just given is refused: no peer that checks what it passes on sends such a one.
    Refused(Violation),
    /// This validator does not vote any more.
    Halted(Halt),
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Its sender is no validator.
    #[error("its sender is no validator at this height")]
    Stranger,
    /// A proposal of one whose turn it is not.
    #[error("its sender is not the proposer of that round")]
    Turn,
    /// A signature is not its signer's, or too few signed.
    #[error("a signature is wrong, or too few signed")]
    Signature,
    /// A proposal that names no earlier round.
    #[error("the block was not valid in an earlier round")]
    ValidRound,
}

/// Why this validator does not vote at any height.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The journal cannot be written.
    #[error(
        "the journal could not be written: mend the disk and start again; nothing was sent that it does not hold"
    )]
    Disk,
    /// The journal belongs to another chain, or to another past of this one.
    #[error(
        "the journal belongs to another chain: use the data directory of this one, or remove the journal if this key never voted on this chain"
    )]
    OtherChain,
    /// Our own fault.
    #[error("{0}: this is a fault of the program; report it with the journal")]
    Fault(#[from] Fault),
}

/// Why this node only watches a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Watch {
    /// It has no key, or its key is no validator's.
    #[error("this node is no validator at this height")]
    NoValidator,
    /// What it voted at this height is lost: it might vote twice.
    #[error(
        "the journal is damaged: this node does not vote until the other validators have decided this height; if they cannot without it, restore the journal from a backup"
    )]
    Damaged,
    /// It voted at a greater height before: its chain was lost, its journal was not.
    #[error(
        "the journal is of height {voted}: this node does not vote until the chain has caught up with it"
    )]
    Behind {
        /// Where it voted last.
        voted: Height,
    },
}
