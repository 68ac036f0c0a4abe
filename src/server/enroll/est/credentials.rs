//! HTTP Basic (RFC 7617): the key string is the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use crate::domain::key_string::KEY_STRING_BYTES_MAX;
use crate::server::http::only;

/// Longest user that is taken; names of devices are shorter.
const USER_BYTES_MAX: usize = 1_024;

const BYTES_MAX: usize = USER_BYTES_MAX + ":".len() + KEY_STRING_BYTES_MAX;

/// `user:password`, in a buffer of one size for all that is wiped on drop.
pub struct Credentials {
    buffer: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Credentials {
    /// Those of the one `Authorization` header. Anything else is an empty user with an empty password: no key
    /// string, which takes the same way as every other.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut buffer = Zeroizing::new(vec![0; BYTES_MAX]);
        let token = only(headers, AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let length = token.and_then(|(_, token)| STANDARD.decode_slice(token.trim_ascii(), &mut buffer).ok());
        Self { length: length.unwrap_or(0), buffer }
    }

    /// In front of the first colon, of any bytes.
    pub fn user(&self) -> &[u8] {
        self.parts().0
    }

    /// Hands the presented key string to `present`.
    pub fn present_key<T>(&self, present: impl FnOnce(&str) -> T) -> T {
        present(std::str::from_utf8(self.parts().1).unwrap_or(""))
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let all = &self.buffer[..self.length];
        all.iter().position(|byte| *byte == b':').map_or((b"", b""), |colon| (&all[..colon], &all[colon + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn parts_of(values: &[&str]) -> (Vec<u8>, String) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let credentials = Credentials::of(&headers);
        (credentials.user().to_vec(), credentials.present_key(str::to_owned))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_user_ends_at_the_first_colon() {
        for (text, user, password) in
            [("u:1|cloud:8443|s", "u", "1|cloud:8443|s"), (":p", "", "p"), ("u:", "u", ""), ("Büro 7:p", "Büro 7", "p")]
        {
            assert_eq!(parts_of(&[&basic(text.as_bytes())]), (user.as_bytes().to_vec(), password.to_owned()), "{text}");
        }
        let (user, password) = parts_of(&[&basic(b"\xff:\xff")]);
        assert_eq!((&user[..], &*password), (&b"\xff"[..], ""), "a key string is text");
        assert_eq!(parts_of(&[&basic(b"u:p").replace("Basic ", "bASIC  ")]), (b"u".to_vec(), "p".to_owned()));
    }

    #[test]
    fn what_is_not_basic_is_nothing() {
        let good = basic(b"u:p");
        let no_base64 = format!("{good}*");
        assert_eq!(parts_of(&[]), (vec![], String::new()));
        assert_eq!(parts_of(&[&good, &good]), (vec![], String::new()));
        for value in ["", "Basic", "Basic ", &no_base64, &good.replace("Basic", "Bearer"), &basic(b"3|cloud|secret")] {
            assert_eq!(parts_of(&[value]), (vec![], String::new()), "{value:?}");
        }
    }

    #[test]
    fn length_at_its_bound() {
        let password = "p".repeat(KEY_STRING_BYTES_MAX);
        let found = |user: usize| parts_of(&[&basic(format!("{}:{password}", "u".repeat(user)).as_bytes())]);
        assert_eq!(found(USER_BYTES_MAX).1, password);
        assert_eq!(found(USER_BYTES_MAX + 1).1, "");
    }
}
