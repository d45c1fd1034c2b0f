//! What a reader answers when it is asked for bodies: some are not held, and that is no error.

/// What there is of a body, or of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held<T> {
    /// It is here.
    Here(T),
    /// The block is settled and bare: its header is here, its body is not, because the log begins above it.
    NotHeld,
    /// There is no such settled block, or none was asked for.
    Absent,
}

impl<T> Held<T> {
    /// What is here, if it is.
    pub fn here(self) -> Option<T> {
        match self {
            Self::Here(held) => Some(held),
            Self::NotHeld | Self::Absent => None,
        }
    }

    /// The same of something that is made of it.
    pub(crate) fn and_then<U>(self, make: impl FnOnce(T) -> Option<U>) -> Held<U> {
        match self {
            Self::Here(held) => make(held).map_or(Held::Absent, Held::Here),
            Self::NotHeld => Held::NotHeld,
            Self::Absent => Held::Absent,
        }
    }
}
