//! Lists inside messages: read one by one where they lie, or given to be written.

use std::fmt;
use std::marker::PhantomData;

use chain::Point;
use chain::codec::encode_point;
use minicbor::data::Type;

use super::{Error, Reader, put_array};

/// How a list may be encoded: what the reference decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With its length in front.
    Definite,
    /// With a break at the end.
    Indefinite,
    /// Both; written with its length in front.
    Either,
}

/// What a list in a message may hold.
pub trait Element<'a>: Copy + PartialEq + fmt::Debug {
    /// How the CDDL calls it.
    const WHAT: &'static str;
    /// Which encodings of the list are read, and so which is written.
    const FORM: Form;

    /// Reads one off the front of the bytes; what remains of them.
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error>;

    /// Appends one.
    fn write(&self, out: &mut Vec<u8>);
}

/// The elements of a list in a message: read one by one where they lie, or given to be written.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    source: Source<'a, T>,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    /// Elements one after the other, each of which was read once.
    Encoded(&'a [u8], PhantomData<T>),
    Given(&'a [T]),
}

impl<'a, T: Element<'a>> List<'a, T> {
    /// A list to be written.
    pub fn new(elements: &'a [T]) -> Self {
        Self { source: Source::Given(elements) }
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (mut encoded, given): (&'a [u8], &'a [T]) = match self.source {
            Source::Encoded(bytes, _) => (bytes, &[]),
            Source::Given(elements) => (&[], elements),
        };
        let read = std::iter::from_fn(move || {
            if encoded.is_empty() {
                return None;
            }
            let (element, rest) = T::read(encoded).expect("each element was read when the message was");
            encoded = rest;
            Some(element)
        });
        given.iter().copied().chain(read)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self.source {
            Source::Encoded(bytes, _) => bytes.is_empty(),
            Source::Given(elements) => elements.is_empty(),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let length = reader.take(T::WHAT, |decoder| {
            let length = decoder.array().ok()?;
            let accepted = match T::FORM {
                Form::Definite => length.is_some(),
                Form::Indefinite => length.is_none(),
                Form::Either => true,
            };
            accepted.then_some(length)
        })?;
        let input = reader.decoder.input();
        let start = reader.decoder.position();
        let mut end = start;
        let mut read = 0;
        while !Self::ends(reader, length, read)? {
            let at = reader.decoder.position();
            let (_, rest) = T::read(&input[at..]).map_err(|error| error.after(at))?;
            end = input.len() - rest.len();
            reader.decoder.set_position(end);
            read += 1;
        }
        Ok(Self { source: Source::Encoded(&input[start..end], PhantomData) })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let elements = self.iter();
        match T::FORM {
            Form::Definite | Form::Either => {
                put_array(out, self.iter().count() as u64);
                elements.for_each(|element| element.write(out));
            }
            Form::Indefinite => {
                out.push(0x9f);
                elements.for_each(|element| element.write(out));
                out.push(0xff);
            }
        }
    }

    /// Whether the list ends here; takes the break off if there is one.
    fn ends(reader: &mut Reader<'a>, length: Option<u64>, read: u64) -> Result<bool, Error> {
        match length {
            Some(length) => Ok(read == length),
            None => reader.take("end of a list", |decoder| {
                let ends = decoder.datatype().ok()? == Type::Break;
                if ends {
                    decoder.set_position(decoder.position() + 1);
                }
                Some(ends)
            }),
        }
    }
}

impl<'a, T: Element<'a>> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Element<'a>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Element<'a>> Eq for List<'a, T> {}

/// Reads an element through a reader.
pub(crate) fn element<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(T, &'a [u8]), Error> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    Ok((value, &bytes[reader.decoder.position()..]))
}

/// An item that the protocol carries without knowing it: a transaction, or its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> Element<'a> for Raw<'a> {
    const WHAT: &'static str = "indefinite list";
    const FORM: Form = Form::Indefinite;

    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        element(bytes, |reader| Ok(Raw(reader.item("item")?)))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

impl<'a> Element<'a> for Point {
    const WHAT: &'static str = "list of points";
    const FORM: Form = Form::Either;

    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        element(bytes, Reader::point)
    }

    fn write(&self, out: &mut Vec<u8>) {
        encode_point(self, out);
    }
}
