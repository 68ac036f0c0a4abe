//! What makes a page safe to click on: the headers of every answer, the cookies, and the proof that a
//! form was ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{CACHE_CONTROL, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use ring::digest::{Context, SHA256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::secret::random_bytes;

/// The session's signed token.
pub(super) const SESSION: &str = "__Host-muster-session";

/// Random, for the forms that stand before a session: signing in.
pub(super) const VISIT: &str = "__Host-muster-visit";

/// One sentence for the next page.
pub(super) const NOTICE: &str = "__Host-muster-notice";

/// Starts from nothing. `'self'`: our hashed files, our forms, and the fetches of our own script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// On every answer of the portal, files and redirections too.
pub(super) fn protect(headers: &mut HeaderMap) {
    let fixed = [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A cookie's value, which is never empty.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<Zeroizing<String>> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(found, _)| *found == name);
    found.next().map(|(_, value)| value).filter(|value| !value.is_empty()).map(|value| Zeroizing::new(value.to_owned()))
}

/// A `Set-Cookie` that only this host sends back, over TLS, and no script reads. `None`: it goes away.
/// Ends with the browser, unless the token in it ends before.
///
/// Lax, not Strict: with Strict, whoever follows a link from a mail or a chat to a view that was shared seems to be
/// signed out. What changes something is a POST, with which no page elsewhere sends it either.
pub(super) fn set_cookie(name: &str, value: Option<&str>) -> HeaderValue {
    let text = match value {
        Some(value) => format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"),
        None => format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
    };
    let mut header = HeaderValue::try_from(text).expect("tokens and base64url are visible ASCII");
    header.set_sensitive(true);
    header
}

/// A value for [`VISIT`].
pub(super) fn new_visit() -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*random_bytes::<24>()))
}

/// What every form carries: known to whoever was shown the page, and not to a page elsewhere, which
/// cannot read the cookie it is made from. Nothing is stored for it.
pub(super) fn form_token(cookie: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"muster form token\0");
    context.update(cookie.as_bytes());
    URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..24])
}

/// Whether a form was sent from a page of this host (RFC 6454 §7).
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://").is_some_and(|origin| origin == host),
        _ => false,
    }
}

/// Whether a form carries the token that the page was shown with; without one nothing is.
pub(super) fn is_token(expected: &str, sent: &str) -> bool {
    !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(sent.as_bytes()))
}

/// An address on this host, and no other: it begins with one slash, and has nothing that a browser
/// would read as the begin of a host.
pub(super) fn local(address: &str) -> &str {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if address.starts_with('/') && !address.starts_with("//") && is_plain { address } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_form_is_ours_only_from_here_and_with_its_token() {
        let (cookie, other) = (new_visit(), new_visit());
        let token = form_token(&cookie);
        let from = |origin: &'static str| headers(&[("host", "muster.example:8444"), ("origin", origin)]);
        assert!(is_token(&token, &token) && is_from_here(&from("https://muster.example:8444")));
        for sent in [String::new(), form_token(&other), token[1..].to_owned(), format!("{token}A")] {
            assert!(!is_token(&token, &sent), "{sent:?}");
        }
        assert!(!is_token("", ""));
        for origin in ["https://muster.example", "http://muster.example:8444", "https://evil.example", "null", ""] {
            assert!(!is_from_here(&from(origin)), "{origin:?}");
        }
        assert!(!is_from_here(&headers(&[("host", "muster.example:8444")])));
        assert!(!is_from_here(&headers(&[("origin", "https://muster.example:8444")])));
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let sent = headers(&[("cookie", "a=1; x__Host-muster-session=2"), ("cookie", "__Host-muster-session=3; b=4")]);
        assert_eq!(cookie(&sent, SESSION).as_deref().map(String::as_str), Some("3"));
        assert!(cookie(&sent, VISIT).is_none());
        assert!(cookie(&headers(&[("cookie", "__Host-muster-visit=")]), VISIT).is_none());
    }

    #[test]
    fn a_cookie_stays_on_this_host_and_away_from_scripts() {
        let set = set_cookie(SESSION, Some("abc"));
        assert_eq!(set.to_str().unwrap(), "__Host-muster-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax");
        assert!(set.is_sensitive());
        assert!(set_cookie(SESSION, None).to_str().unwrap().ends_with("; Max-Age=0"));
    }

    #[test]
    fn one_is_never_led_to_another_host() {
        for address in ["/", "/c/7?page=2&name=a%20b"] {
            assert_eq!(local(address), address);
        }
        for address in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/\tx", "evil", "/ä"] {
            assert_eq!(local(address), "/", "{address:?}");
        }
    }
}
