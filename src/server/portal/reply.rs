//! What goes back: pages, redirections, files; and what is said when something is wrong.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_DISPOSITION, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use hyper::{Response, StatusCode};
use zeroize::Zeroizing;

use super::frame::Frame;
use super::visit::Visit;
use super::{Portal, guard, pages, routes};
use crate::domain::Reference;
use crate::management::{Error, Object};
use crate::server::http::{BodyError, answer};

/// An answer without the headers that all answers carry.
pub(super) struct Reply {
    status: StatusCode,
    body: Body,
    cookies: Vec<(&'static str, Option<Zeroizing<String>>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

enum Body {
    Page(Zeroizing<String>),
    /// 303: what was posted is done, the address of what to look at now.
    SeeOther(String),
    /// Text to be kept under a name. May be a secret.
    File {
        name: String,
        content_type: &'static str,
        text: Zeroizing<String>,
    },
    /// A secret for our script.
    Text(Zeroizing<String>),
}

/// One sentence for the next page: what happened, and the new value. Shown once. It travels in a
/// cookie, which no other host can set, so every node of the service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// What it is about, in bold; may be empty.
    pub(super) subject: String,
    /// Goes on after the subject.
    pub(super) sentence: String,
}

/// Why somebody does not see what was asked for. Each has a page that says what to do.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No form, or no UTF-8.
    Malformed,
    /// A form that did not come from a page of ours, or from one that was open too long.
    ForeignForm,
    NoSuchPage,
    WrongMethod,
    /// Leads to the sign-in, and from there back.
    SignedOut,
    Body(BodyError),
    UseCase(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::UseCase(error)
    }
}

impl Reply {
    /// # Panics
    /// When the template fails, which only writing to a `String` could make it do.
    pub(super) fn page(status: StatusCode, template: &impl Template) -> Self {
        // Sized above what nearly all pages take, so that it does not grow and leave copies behind.
        let mut html = Zeroizing::new(String::with_capacity(64 * 1024));
        template.render_into(&mut *html).expect("templates render into memory");
        Self::new(status, Body::Page(html)).with_cookie(guard::NOTICE, None)
    }

    pub(super) fn ok(template: &impl Template) -> Self {
        Self::page(StatusCode::OK, template)
    }

    /// A form whose fields need other values.
    pub(super) fn unprocessable(template: &impl Template) -> Self {
        Self::page(StatusCode::UNPROCESSABLE_ENTITY, template)
    }

    pub(super) fn see_other(address: impl Into<String>) -> Self {
        Self::new(StatusCode::SEE_OTHER, Body::SeeOther(address.into()))
    }

    /// `name` is plain ASCII without quotes, as names of ours are.
    pub(super) fn file(name: String, content_type: &'static str, text: Zeroizing<String>) -> Self {
        Self::new(StatusCode::OK, Body::File { name, content_type, text })
    }

    pub(super) fn text(text: Zeroizing<String>) -> Self {
        Self::new(StatusCode::OK, Body::Text(text))
    }

    /// Leaves a sentence for the page that comes next: "**subject** sentence".
    pub(super) fn with_notice(self, subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        let notice = Notice { subject: subject.into(), sentence: sentence.into() };
        self.with_cookie(guard::NOTICE, Some(Zeroizing::new(notice.encode())))
    }

    /// `None`: the cookie goes away.
    pub(super) fn with_cookie(mut self, name: &'static str, value: Option<Zeroizing<String>>) -> Self {
        self.cookies.retain(|(found, _)| *found != name);
        self.cookies.push((name, value));
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
        let mut response = match self.body {
            Body::Page(html) => answer(self.status, "text/html; charset=utf-8", wiped(html)),
            Body::Text(text) => answer(self.status, PLAIN_TEXT, wiped(text)),
            Body::SeeOther(address) => {
                let mut response = answer(self.status, PLAIN_TEXT, Bytes::new());
                let location = HeaderValue::try_from(address).expect("addresses of ours are ASCII");
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Body::File { name, content_type, text } => {
                let mut response = answer(self.status, content_type, wiped(text));
                let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
                response.headers_mut().insert(CONTENT_DISPOSITION, disposition.expect("names are plain ASCII"));
                response
            }
        };
        let headers = response.headers_mut();
        for (name, value) in &self.cookies {
            headers.append(SET_COOKIE, guard::set_cookie(name, value.as_deref().map(String::as_str)));
        }
        headers.extend(self.headers);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }

    fn new(status: StatusCode, body: Body) -> Self {
        Self { status, body, cookies: Vec::new(), headers: Vec::new() }
    }
}

/// Bytes that are wiped when they were sent.
fn wiped(text: Zeroizing<String>) -> Bytes {
    struct Wiped(Zeroizing<String>);

    impl AsRef<[u8]> for Wiped {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Wiped(text))
}

impl Notice {
    /// Longest that it may be, subject and sentence together, in bytes: browsers take 4 KiB, encoded.
    const BYTES_MAX: usize = 2_048;

    fn encode(&self) -> String {
        let mut text = format!("{}\n{}", self.subject, self.sentence);
        while text.len() > Self::BYTES_MAX {
            text.pop();
        }
        URL_SAFE_NO_PAD.encode(text)
    }

    /// `None` for what is none of ours. Whoever writes their own cookies can make one up, and then reads it: it is
    /// text and nothing else.
    pub(super) fn decode(value: &str) -> Option<Self> {
        if value.len() > Self::BYTES_MAX.div_ceil(3) * 4 {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
        let (subject, sentence) = text.split_once('\n')?;
        let is_plain = !subject.chars().chain(sentence.chars()).any(char::is_control);
        is_plain.then(|| Self { subject: subject.to_owned(), sentence: sentence.to_owned() })
    }
}

/// A page that says what is wrong and what to do.
#[derive(Template)]
#[template(path = "trouble.html", config = "src/server/portal/askama.toml")]
struct TroublePage {
    frame: Frame,
    title: &'static str,
    sentences: String,
    /// Leads to the log.
    reference: Option<String>,
}

/// What is said of something that went wrong.
struct Explanation {
    status: StatusCode,
    title: &'static str,
    sentences: String,
}

impl Explanation {
    fn new(status: StatusCode, title: &'static str, sentences: impl Into<String>) -> Self {
        Self { status, title, sentences: sentences.into() }
    }

    fn no_such_page() -> Self {
        let sentence = "It was deleted, or never was, or belongs to a customer that you do not see.";
        Self::new(StatusCode::NOT_FOUND, "There is no such page", sentence)
    }
}

impl Portal {
    /// The answer to a trouble. Logs what is not the visitor's fault, once.
    pub(super) fn explain(
        &self,
        trouble: &Trouble,
        visit: Option<&Visit>,
        address: &str,
        reference: &Reference,
    ) -> Reply {
        let Explanation { status, title, sentences } = match trouble {
            Trouble::SignedOut => match visit {
                Some(visit) => return pages::sign_in::ask(self, visit, address),
                None => return Reply::see_other("/sign-in"),
            },
            Trouble::Malformed => Explanation::new(
                StatusCode::BAD_REQUEST,
                "The form could not be read",
                "What was sent is no form of this portal. Go back, load the page again and repeat it.",
            ),
            Trouble::ForeignForm => Explanation::new(
                StatusCode::FORBIDDEN,
                "The form was not accepted",
                "It did not come from a page of this session. Go back, load the page again and repeat it.",
            ),
            Trouble::NoSuchPage => Explanation::no_such_page(),
            Trouble::WrongMethod => Explanation::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This page takes no such request",
                "Go back to the page that you came from.",
            ),
            Trouble::Body(BodyError::TooLarge { maximum_bytes }) => Explanation::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The form is too large",
                format!("What was sent is larger than {} KiB. Send less of it.", maximum_bytes / 1024),
            ),
            Trouble::Body(BodyError::Broken | BodyError::TimedOut) => Explanation::new(
                StatusCode::REQUEST_TIMEOUT,
                "The form did not arrive",
                "What was sent broke off, or took too long. Send it again.",
            ),
            Trouble::UseCase(error) => of_use_case(error, reference),
        };
        let reference = status.is_server_error().then(|| reference.to_string());
        let mut frame = Frame::bare(self, String::new(), title);
        frame.theme = visit.and_then(|visit| visit.preferences.theme()).map(str::to_owned);
        let reply = Reply::page(status, &TroublePage { frame, title, sentences, reference });
        match trouble {
            Trouble::WrongMethod => {
                let allowed = routes::allowed(address.split('?').next().unwrap_or_default());
                let allowed = if allowed.is_empty() { "GET, HEAD".to_owned() } else { allowed };
                reply.with_header(ALLOW, HeaderValue::try_from(allowed).expect("names of methods are ASCII"))
            }
            Trouble::UseCase(Error::TooManySignIns { retry_after }) => {
                reply.with_header(RETRY_AFTER, retry_after.as_secs().max(1))
            }
            _ => reply,
        }
    }
}

/// For whatever a page does not say beside its fields.
fn of_use_case(error: &Error, reference: &Reference) -> Explanation {
    let refused = |sentence: String| Explanation::new(StatusCode::CONFLICT, "This was not done", sentence);
    match error {
        Error::NotFound { object: Object::Customer, .. } | Error::NotFound { .. } => Explanation::no_such_page(),
        Error::Forbidden { role, needed } => Explanation::new(
            StatusCode::FORBIDDEN,
            "Your role does not allow this",
            format!("It takes the role {needed}, and yours is {role}. Ask somebody who has it."),
        ),
        Error::NobodyMay { what } => {
            Explanation::new(StatusCode::FORBIDDEN, "Nobody may do this", format!("Nobody may {what}."))
        }
        Error::ReadOnly { label } => Explanation::new(
            StatusCode::FORBIDDEN,
            "This key is managed elsewhere",
            format!("This key is managed by {label}. Change it there."),
        ),
        Error::Contended { .. }
        | Error::PasswordsOverloaded { .. }
        | Error::StoreOverloaded { .. }
        | Error::StoreUnavailable { .. } => {
            tracing::error!(request.id = %reference, %error, "a page could not be answered for a while");
            Explanation::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "This could not be done now",
                "The store did not answer. Nothing was changed; try again.",
            )
        }
        Error::OutcomeUnknown { .. } => {
            tracing::error!(request.id = %reference, %error, "whether a change took place is not known");
            Explanation::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "It is not known whether this was done",
                "The store broke off while it was saving. Look at the list before you try again.",
            )
        }
        Error::Internal { .. } => {
            tracing::error!(request.id = %reference, %error, "a page failed");
            Explanation::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something is wrong with this service",
                "Tell whoever runs it the reference below; it leads to the log.",
            )
        }
        Error::Outdated { object, .. } => {
            refused(format!("Somebody changed this {object} meanwhile. Look at it again."))
        }
        Error::Referenced { name, by, .. } => refused(format!("{name} is in use by {by}. Move or delete them first.")),
        Error::KeyExhausted => refused("All uses of the key are taken. To copy it, raise its maximum.".to_owned()),
        Error::NotExportable => refused("The key string is not kept: view and export are off.".to_owned()),
        Error::LastOwner => refused("No enabled owner would be left. Make another owner first.".to_owned()),
        Error::AlreadyRotated { .. } => {
            refused("The key has a successor already. Rotate that one, or delete it first.".to_owned())
        }
        Error::TooManySignIns { retry_after } => Explanation::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many passwords were wrong",
            format!("Try again in {} s.", retry_after.as_secs().max(1)),
        ),
        Error::Invalid(_)
        | Error::InvalidWithGroup { .. }
        | Error::IdempotencyKeyReused
        | Error::InvalidCredentials
        | Error::InvalidToken(_)
        | Error::DuplicateFingerprint
        | Error::DuplicateKeyPair
        | Error::DuplicateKeyString
        | Error::AlreadyExists { .. }
        | Error::AnchorRoll { .. }
        | Error::PepperRotation(_)
        | Error::DuplicateName { .. }
        | Error::Vanished { .. } => {
            let mut sentence = error.to_string();
            sentence[..1].make_ascii_uppercase();
            refused(sentence + ".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(subject: &str, sentence: &str) -> Notice {
        Notice { subject: subject.to_owned(), sentence: sentence.to_owned() }
    }

    #[test]
    fn a_notice_arrives_as_it_was_left() {
        for left in [notice("eu-lab", "is deleted."), notice("", "You are signed out."), notice("<b>", "Zürich “1”")]
        {
            assert_eq!(Notice::decode(&left.encode()), Some(left));
        }
        let long = notice("ä", &"ü".repeat(Notice::BYTES_MAX));
        let encoded = long.encode();
        assert!(encoded.len() < 4_000);
        assert!(long.sentence.starts_with(&Notice::decode(&encoded).unwrap().sentence));
    }

    #[test]
    fn a_notice_that_is_made_up_is_none_or_text() {
        let encoded = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
        let too_long = encoded(format!("a\n{}", "b".repeat(Notice::BYTES_MAX + 2)).as_bytes());
        for value in ["", "x", "%", "====", &encoded(b"no line"), &encoded(b"a\n\xff"), &encoded(b"a\nb\0"), &too_long]
        {
            assert_eq!(Notice::decode(value), None, "{value}");
        }
    }
}
