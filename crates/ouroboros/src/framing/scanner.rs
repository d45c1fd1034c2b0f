//! Where a CBOR item ends.

/// How many containers may lie inside one another. The messages need 5; versions that we do not know may bring
/// data of any shape, so this is a guess with room.
pub const MAX_NESTING: usize = 32;

/// The byte that ends an item of indefinite length.
const BREAK: u8 = 0xff;

/// Why bytes are not, and will never be, an acceptable message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not CBOR.
    #[error("malformed CBOR at byte {at}")]
    Malformed {
        /// Where, counted from the start of the message.
        at: usize,
    },
    /// Too many containers inside one another.
    #[error("CBOR nested deeper than {MAX_NESTING} at byte {at}")]
    TooDeep {
        /// Where, counted from the start of the message.
        at: usize,
    },
    /// The message is longer than allowed, or says that it will be.
    #[error("a message longer than {limit} bytes")]
    TooLong {
        /// What is allowed.
        limit: usize,
    },
}

/// A container that is open.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// So many items are to come.
    Items(u32),
    /// Items until a break.
    Array,
    /// Keys and values until a break, which may not come between a key and its value.
    Map { value_next: bool },
    /// Strings of this major type until a break.
    Chunks(u8),
}

/// An item's head of which some bytes are still to come.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    initial: u8,
    left: u8,
    argument: u64,
}

/// Follows one CBOR item through the chunks in which it arrives.
#[derive(Debug, Clone)]
pub struct Scanner {
    frames: [Frame; MAX_NESTING],
    depth: u8,
    /// The item to come was announced by a tag: a break cannot take its place.
    tagged: bool,
    head: Head,
    /// Bytes of a string that are still to come.
    skip: u32,
    scanned: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            frames: [Frame::Items(1); MAX_NESTING],
            depth: 1,
            tagged: false,
            head: Head::default(),
            skip: 0,
            scanned: 0,
        }
    }
}

/// The length of the item at the front of these bytes; nothing when it is incomplete.
pub fn item_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, Error> {
    Scanner::default().scan(bytes, limit)
}

impl Scanner {
    /// Goes on with the next bytes of an item that may be at most `limit` bytes long (and no longer than 4 GiB).
    ///
    /// Says how many of the bytes belong to the item once it is complete; until then it consumed them all.
    pub fn scan(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, Error> {
        let limit = limit.min(u32::MAX as usize);
        let before = self.scanned;
        let mut rest = bytes;
        loop {
            if self.skip > 0 {
                let take = rest.len().min(self.skip as usize);
                self.skip -= take as u32;
                self.scanned += take;
                rest = &rest[take..];
                if self.skip == 0 && self.end_item() {
                    return Ok(Some(self.scanned - before));
                }
            }
            let Some((byte, tail)) = rest.split_first() else {
                return Ok(None);
            };
            rest = tail;
            if self.scanned >= limit {
                return Err(Error::TooLong { limit });
            }
            self.scanned += 1;
            if self.on_byte(*byte, limit)? {
                return Ok(Some(self.scanned - before));
            }
        }
    }

    /// How many bytes must still come, at least.
    pub fn needed(&self) -> usize {
        (self.skip as usize + usize::from(self.head.left)).max(1)
    }

    /// One byte of a head; true when the item that it belongs to is the last.
    fn on_byte(&mut self, byte: u8, limit: usize) -> Result<bool, Error> {
        if self.head.left > 0 {
            self.head.argument = self.head.argument << 8 | u64::from(byte);
            self.head.left -= 1;
            return if self.head.left > 0 { Ok(false) } else { self.on_head(limit) };
        }
        if let Frame::Chunks(major) = self.frames[self.top()]
            && byte != BREAK
            && (byte >> 5 != major || byte & 31 == 31)
        {
            return Err(self.malformed());
        }
        self.head = Head { initial: byte, left: 0, argument: u64::from(byte & 31) };
        match byte & 31 {
            0..=23 => self.on_head(limit),
            info @ 24..=27 => {
                self.head.argument = 0;
                self.head.left = 1 << (info - 24);
                Ok(false)
            }
            31 => self.on_indefinite(byte >> 5),
            _ => Err(self.malformed()),
        }
    }

    /// A head with its argument.
    fn on_head(&mut self, limit: usize) -> Result<bool, Error> {
        let argument = self.head.argument;
        match self.head.initial >> 5 {
            0 | 1 => Ok(self.end_item()),
            2 | 3 => {
                self.skip = self.announced(argument, limit)?;
                self.tagged = false;
                Ok(self.skip == 0 && self.end_item())
            }
            4 => self.open_definite(self.announced(argument, limit)?),
            5 => self.open_definite(self.announced(argument.saturating_mul(2), limit)?),
            6 => {
                self.tagged = true;
                Ok(false)
            }
            // A simple value below 32 has one encoding, of one byte.
            _ if self.head.initial & 31 == 24 && argument < 32 => Err(self.malformed()),
            _ => Ok(self.end_item()),
        }
    }

    /// A head of indefinite length, or a break.
    fn on_indefinite(&mut self, major: u8) -> Result<bool, Error> {
        if major == 7 {
            return self.on_break();
        }
        self.tagged = false;
        let frame = match major {
            2 | 3 => Frame::Chunks(major),
            4 => Frame::Array,
            5 => Frame::Map { value_next: false },
            _ => return Err(self.malformed()),
        };
        self.push(frame)
    }

    fn on_break(&mut self) -> Result<bool, Error> {
        match self.frames[self.top()] {
            Frame::Array | Frame::Map { value_next: false } | Frame::Chunks(_) if !self.tagged => {
                self.depth -= 1;
                Ok(self.end_item())
            }
            _ => Err(self.malformed()),
        }
    }

    fn open_definite(&mut self, items: u32) -> Result<bool, Error> {
        self.tagged = false;
        if items == 0 { Ok(self.end_item()) } else { self.push(Frame::Items(items)) }
    }

    fn push(&mut self, frame: Frame) -> Result<bool, Error> {
        // The lowest frame is the item itself, not a container.
        if usize::from(self.depth) == MAX_NESTING {
            return Err(Error::TooDeep { at: self.scanned - 1 });
        }
        self.frames[usize::from(self.depth)] = frame;
        self.depth += 1;
        Ok(false)
    }

    /// An item ended, and with it perhaps the containers around it; true when that was the outermost one.
    fn end_item(&mut self) -> bool {
        self.tagged = false;
        loop {
            let top = self.top();
            match &mut self.frames[top] {
                Frame::Items(1) => self.depth -= 1,
                Frame::Items(left) => {
                    *left -= 1;
                    return false;
                }
                Frame::Map { value_next } => {
                    *value_next = !*value_next;
                    return false;
                }
                Frame::Array | Frame::Chunks(_) => return false,
            }
            if self.depth == 0 {
                return true;
            }
        }
    }

    /// Every announced item takes a byte at least: what cannot fit the limit is refused at once.
    fn announced(&self, count: u64, limit: usize) -> Result<u32, Error> {
        let room = limit - self.scanned;
        if count > room as u64 { Err(Error::TooLong { limit }) } else { Ok(count as u32) }
    }

    fn top(&self) -> usize {
        usize::from(self.depth) - 1
    }

    fn malformed(&self) -> Error {
        Error::Malformed { at: self.scanned - 1 }
    }
}
