//! `application/x-www-form-urlencoded`, in bodies and in queries.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// The pairs in their order, decoded: `+` is a space, `%41` a byte. Values may be secrets and are
/// wiped on drop. `None` when a `%` is not followed by two hex digits or the bytes are no UTF-8.
pub fn parse(text: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?.to_string(), decode(value)?))
        })
        .collect()
}

/// Appends `text` as a value, every byte escaped that is not unreserved (RFC 3986 §2.3).
pub fn encode_into(address: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => address.push(char::from(byte)),
            _ => write!(address, "%{byte:02X}").expect("a String takes everything"),
        }
    }
}

fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'+', after @ ..] => {
                bytes.push(b' ');
                after
            }
            [b'%', high, low, after @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(high)? << 4 | digit(low)?);
                after
            }
            [b'%', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Option<Vec<(String, String)>> {
        Some(parse(text)?.into_iter().map(|(name, value)| (name, value.to_string())).collect())
    }

    #[test]
    fn plus_is_a_space_and_an_escaped_plus_is_a_plus() {
        let expected = vec![("search".to_owned(), "name+EQ+Service Edge".to_owned())];
        assert_eq!(pairs("search=name%2BEQ%2BService+Edge"), Some(expected));
        assert_eq!(pairs("a&b=&&c=d=e").unwrap().len(), 3);
        assert_eq!(pairs(""), Some(vec![]));
    }

    #[test]
    fn broken_escapes_and_bytes_are_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff", "%+1=a"] {
            assert_eq!(pairs(text), None, "{text:?}");
        }
    }
}
