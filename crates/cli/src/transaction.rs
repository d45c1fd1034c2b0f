//! The transactions that `tx put` makes and `devnet` makes up: a value under a key.
//!
//! On the wire `[0, key, value]` in CBOR with two texts. To the chain a transaction is bytes without meaning.

/// The first item of a put.
const PUT: u8 = 0;

/// The longest key or value, in bytes: a transaction stays far below what a block takes.
pub(crate) const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The bytes of a transaction that puts `value` under `key`.
pub(crate) fn put(key: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x83, PUT];
    text(&mut bytes, key);
    text(&mut bytes, value);
    bytes
}

/// Key and value of a transaction, if it is one of these puts.
pub(crate) fn read(transaction: &[u8]) -> Option<(String, String)> {
    let rest = transaction.strip_prefix(&[0x83, PUT])?;
    let (key, rest) = take_text(rest)?;
    let (value, rest) = take_text(rest)?;
    rest.is_empty().then_some((key, value))
}

/// Reads a CBOR text and gives what follows it.
fn take_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let extra = match first {
        0x60..=0x77 => 0,
        0x78 => 1,
        0x79 => 2,
        0x7a => 4,
        _ => return None,
    };
    let (length, rest) = rest.split_at_checked(extra)?;
    let length = match extra {
        0 => usize::from(first - 0x60),
        _ => length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    let (text, rest) = rest.split_at_checked(length)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

/// Writes a CBOR text.
fn text(out: &mut Vec<u8>, text: &str) {
    const TEXT: u8 = 0x60;
    let length = text.len();
    match length {
        0..=23 => out.push(TEXT | length as u8),
        24..=0xff => out.extend([TEXT | 24, length as u8]),
        0x100..=0xffff => {
            out.push(TEXT | 25);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(TEXT | 26);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_at_every_length_form() {
        for length in [0, 1, 23, 24, 255, 256, 8_192, 65_535, 65_536] {
            let (key, value) = ("k".repeat(length), "v".repeat(length / 2));
            assert_eq!(read(&put(&key, &value)), Some((key, value)));
        }
    }

    #[test]
    fn takes_no_other_bytes_for_a_put() {
        let whole = put("key", "value");
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read(&[whole.as_slice(), &[0]].concat()), None, "left-over bytes");
        assert_eq!(read(b"anything else"), None);
    }
}
