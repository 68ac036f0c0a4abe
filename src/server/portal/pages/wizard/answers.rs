//! The steps of the wizard, and what was answered in them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::domain::{KeyVersion, Kind};
use crate::id::CustomerId;
use crate::management::groups::GroupInput;
use crate::management::keys::KeyInput;
use crate::management::{Field as Subject, Input};
use crate::server::http::form::encode_into;
use crate::server::portal::form::{self, Names};
use crate::server::portal::visit::Fields;

/// Value of the field [`FOR`] for somebody who adds a component.
pub(in crate::server::portal::pages) const COMPONENT: &str = "component";
pub(super) const FOR: &str = "for";

pub(super) const NONCE: &str = "nonce";
pub(super) const CERTIFICATE: &str = "signing-certificate";
pub(super) const GROUP: &str = "group";
pub(super) const GROUP_NAME: &str = "group-name";
pub(super) const NAME: &str = "name";
const WAY: &str = "way";
const CREATE: &str = "create";
pub(super) const ON: &str = "on";

#[rustfmt::skip]
pub(super) const KEY_NAMES: &Names = &[
    (Subject::SigningCertificate, CERTIFICATE, "Signing Certificate"),
    (Subject::Group, GROUP, "Group"),
    (Subject::Name, NAME, "Name"),
    (Subject::Maximum, "maximum", "Maximum"),
    (Subject::Exportable, "view", "View or Export"),
    (Subject::Enabled, "enabled", "Status"),
    (Subject::AllowReEnrollment, "allow-re-enrollment", "Re-enrollment"),
    (Subject::ExpiresAt, "expires", "Expires"),
    (Subject::Addresses, "addresses", "Addresses"),
    (Subject::Description, "description", "Description"),
    (Subject::Version, "version", "Key version"),
];

pub(super) const GROUP_NAMES: &Names = &[
    (Subject::Name, GROUP_NAME, "Name"),
    (Subject::Description, "group-description", "Description"),
    (Subject::Enabled, "group-enabled", "Status"),
];

/// In their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Certificate,
    Group,
    Key,
    Review,
    Details,
}

impl Step {
    pub(super) const ALL: [Self; 5] = [Self::Certificate, Self::Group, Self::Key, Self::Review, Self::Details];

    /// From 1.
    pub(super) const fn number(self) -> usize {
        self as usize + 1
    }

    /// In the form: the field `step`, and `go` towards it.
    pub(super) const fn value(self) -> &'static str {
        match self {
            Self::Certificate => "1",
            Self::Group => "2",
            Self::Key => "3",
            Self::Review => "4",
            Self::Details => "save",
        }
    }

    pub(super) fn of_value(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.value() == value)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Certificate => "Signing Certificate",
            Self::Group => "Group",
            Self::Key => "Create Provisioning Key",
            Self::Review => "Review",
            Self::Details => "Provisioning Key Details",
        }
    }

    /// What is asked in it.
    pub(super) const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &[CERTIFICATE],
            Self::Group => &[WAY, GROUP, GROUP_NAME, "group-description", "group-enabled"],
            Self::Key => &[
                "view",
                NAME,
                "maximum",
                "enabled",
                "allow-re-enrollment",
                "expires",
                "addresses",
                "description",
                "version",
            ],
            Self::Review | Self::Details => &[],
        }
    }

    /// Where a field is asked for; what belongs to none is told in the review.
    pub(super) fn of_field(name: &str) -> Self {
        Self::ALL.into_iter().find(|step| step.fields().contains(&name)).unwrap_or(Self::Review)
    }

    pub(super) fn next(self) -> Self {
        Self::ALL[self.number().min(Self::ALL.len() - 1)]
    }

    pub(super) fn before(self) -> Option<Self> {
        Some(Self::ALL[(self as usize).checked_sub(1)?])
    }
}

/// What was answered so far, whatever step it belongs to.
pub(super) struct Answers(pub(super) Fields);

impl Answers {
    fn names() -> impl Iterator<Item = &'static str> {
        [FOR, NONCE].into_iter().chain(Step::ALL.into_iter().flat_map(Step::fields).copied())
    }

    pub(super) fn of_pairs(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(Fields::new(pairs.map(|(name, value)| (name.to_owned(), Zeroizing::new(value))).collect()))
    }

    pub(super) fn of_form(form: &Fields) -> Self {
        Self::of_pairs(Self::names().map(|name| (name, form.text(name).to_owned())))
    }

    pub(super) fn without(&self, cleared: &str) -> Self {
        Self::of_pairs(self.pairs().filter(|(name, _)| *name != cleared).map(|(name, value)| (name, value.to_owned())))
    }

    /// Those that are there, in the order of [`Self::names`].
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        Self::names().filter_map(|name| Some((name, self.0.find(name)?)))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.text(name)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    pub(super) fn creates_group(&self) -> bool {
        self.text(WAY) == CREATE
    }

    pub(super) fn is_for_component(&self) -> bool {
        self.text(FOR) == COMPONENT
    }

    pub(super) fn key(&self) -> KeyInput {
        KeyInput {
            name: form::text(self.text(NAME)),
            description: form::text(self.text("description")),
            group: if self.creates_group() { Input::Absent } else { form::chosen(self.text(GROUP)) },
            signing_certificate: form::chosen(self.text(CERTIFICATE)),
            maximum: form::number(self.text("maximum")),
            enabled: Input::Given(self.is_on("enabled")),
            allow_re_enrollment: Input::Given(self.is_on("allow-re-enrollment")),
            expires_at: form::instant(self.text("expires")),
            addresses: form::lines(self.text("addresses")),
            version: match self.version() {
                Some(version) => Input::Given(version),
                None => Input::Malformed("is none of those offered"),
            },
            exportable: Input::Given(self.is_on("view")),
            ui_config: Input::Absent,
        }
    }

    /// `None`: none of those that are offered. The default, where nothing was chosen.
    pub(super) fn version(&self) -> Option<KeyVersion> {
        match self.text("version") {
            "" | "3" => Some(KeyVersion::Bootstrap),
            "1" => Some(KeyVersion::Bare),
            _ => None,
        }
    }

    /// With the key's certificate as its default, for the keys to come.
    pub(super) fn group(&self) -> GroupInput {
        GroupInput {
            name: form::text(self.text(GROUP_NAME)),
            description: form::text(self.text("group-description")),
            enabled: Input::Given(self.is_on("group-enabled")),
            signing_certificate: form::chosen(self.text(CERTIFICATE)),
            ..GroupInput::default()
        }
    }

    /// As one request: sent again it is the same one, and with any other answer it is another.
    pub(super) fn as_request(&self, customer: CustomerId, kind: Kind) -> String {
        let mut text = format!("{customer}/{kind}");
        for (name, value) in self.pairs() {
            write!(text, "&{name}=").expect("a String takes everything");
            encode_into(&mut text, value);
        }
        format!("wizard-{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Answers {
        Answers::of_form(&Fields::parse(text).unwrap())
    }

    #[test]
    fn steps_lead_on_and_back() {
        assert_eq!(Step::Certificate.before(), None);
        assert_eq!(Step::Review.before(), Some(Step::Key));
        assert_eq!(Step::Review.next(), Step::Details);
        assert_eq!(Step::Details.next(), Step::Details);
        for step in Step::ALL {
            assert_eq!(Step::of_value(step.value()), Some(step));
            assert!(step.fields().iter().all(|field| Step::of_field(field) == step));
        }
        assert_eq!(Step::of_value("5"), None);
        assert_eq!(Step::of_field(""), Step::Review);
    }

    #[test]
    fn a_save_is_the_same_request_as_long_as_every_answer_is_the_same() {
        let kind = Kind::Machine;
        let customer: CustomerId = "7".parse().unwrap();
        let request = |text: &str| answers(text).as_request(customer, kind);
        assert_eq!(request("nonce=a&name=x&step=4&go=save"), request("go=save&name=x&nonce=a"));
        for other in ["nonce=b&name=x", "nonce=a&name=y", "nonce=a", "nonce=a&name=x&enabled=on"] {
            assert_ne!(request("nonce=a&name=x"), request(other), "{other}");
        }
        assert_ne!(request("name=x%26description%3Dy"), request("name=x&description=y"));
        assert_ne!(request("name=x"), answers("name=x").as_request(customer, Kind::AppConnector));
    }
}
