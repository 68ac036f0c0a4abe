//! Forms: fields with what was typed, what is wrong beside each, and what somebody else made of it
//! meanwhile. Finished words for `form.html`, which a page includes with a field `form`.

use super::reply::Trouble;
use super::table::FieldOption;
use super::visit::Fields;
use crate::clock::Timestamp;
use crate::domain::{AddressList, Name};
use crate::management::fields::Problem;
use crate::management::{Error, Field as Subject, FieldErrors, Input, Object};

/// Fields whose values are never sent back: a page shows a secret once, or not at all.
const SECRETS: [&str; 7] =
    ["csrf", "current-password", "key", "new-password", "new-password-again", "password", "private_key"];

/// Whether a field of this name is one that is filled in with a secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// What one fills in.
#[derive(Default)]
pub(super) struct Form {
    pub(super) fields: Vec<Field>,
    /// Those that few need, folded away.
    pub(super) more: Option<More>,
    /// The summary on top; a link per fault.
    pub(super) faults: Vec<FaultLine>,
    /// In place of the summary: somebody else's change, which is compared beside the fields.
    pub(super) conflict: Option<String>,
}

pub(super) struct More {
    /// Names what is inside.
    pub(super) summary: &'static str,
    pub(super) fields: Vec<Field>,
    /// It holds a fault, or a value that is not the default.
    pub(super) is_open: bool,
}

pub(super) struct FaultLine {
    /// Of the field.
    pub(super) id: &'static str,
    pub(super) sentence: String,
}

pub(super) struct Field {
    /// In the form, and the element's id.
    pub(super) name: &'static str,
    pub(super) label: String,
    /// Empty for secrets, whatever was typed.
    pub(super) value: String,
    pub(super) control: Control,
    /// "optional", "optional, UTC"; required fields say nothing.
    pub(super) remark: &'static str,
    pub(super) hint: String,
    pub(super) fault: Option<String>,
    /// A note that stops nobody.
    pub(super) warning: Option<String>,
    /// What the field has now, since somebody else changed it.
    pub(super) other_version: Option<String>,
    /// It shows how things are, and cannot be changed.
    pub(super) is_disabled: bool,
    is_default: bool,
}

pub(super) enum Control {
    /// Several lines of what is pasted.
    Code {
        rows: u8,
    },
    /// What cannot be changed, as text.
    Fixed,
    /// Digits.
    Number,
    /// A password or a key: comes back empty.
    Secret {
        autocomplete: &'static str,
    },
    /// Several lines that come back empty.
    SecretArea,
    Select(Vec<FieldOption>),
    Text {
        autocomplete: &'static str,
    },
    /// On or off.
    Tick,
    /// An instant, in UTC.
    Time,
}

impl Control {
    /// `aria-describedby` and the like are the same for all; this says which element it is.
    pub(super) const fn is_tick(&self) -> bool {
        matches!(self, Self::Tick)
    }

    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed)
    }

    /// Whether it shows what was typed, which somebody else's version can differ from.
    const fn is_compared(&self) -> bool {
        !matches!(self, Self::Fixed | Self::Secret { .. } | Self::SecretArea)
    }
}

impl Field {
    fn new(name: &'static str, label: impl Into<String>, values: &Fields, control: Control) -> Self {
        let has_secret = matches!(control, Control::Secret { .. } | Control::SecretArea);
        debug_assert_eq!(has_secret, is_secret(name), "{name} is to be among SECRETS, or to be called otherwise");
        let value = if has_secret { String::new() } else { values.text(name).to_owned() };
        Self {
            name,
            label: label.into(),
            is_default: value.is_empty(),
            value,
            control,
            remark: "",
            hint: String::new(),
            fault: None,
            warning: None,
            other_version: None,
            is_disabled: false,
        }
    }

    /// What cannot be changed, among what can.
    pub(super) fn fixed(name: &'static str, label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { value: text.into(), ..Self::new(name, label, &Fields::default(), Control::Fixed) }
    }

    pub(super) fn text(name: &'static str, label: impl Into<String>, values: &Fields) -> Self {
        Self::new(name, label, values, Control::Text { autocomplete: "off" })
    }

    pub(super) fn number(name: &'static str, label: impl Into<String>, values: &Fields) -> Self {
        Self::new(name, label, values, Control::Number)
    }

    pub(super) fn time(name: &'static str, label: impl Into<String>, values: &Fields) -> Self {
        Self { remark: "optional, UTC", ..Self::new(name, label, values, Control::Time) }
    }

    /// `default`: how it stands when nobody chose.
    pub(super) fn tick(name: &'static str, label: impl Into<String>, values: &Fields, default: bool) -> Self {
        let field = Self::new(name, label, values, Control::Tick);
        Self { is_default: field.is_ticked() == default, ..field }
    }

    /// For what is pasted: PEM, lists of networks.
    pub(super) fn code(name: &'static str, label: impl Into<String>, values: &Fields, rows: u8) -> Self {
        Self::new(name, label, values, Control::Code { rows })
    }

    pub(super) fn secret(name: &'static str, label: impl Into<String>, autocomplete: &'static str) -> Self {
        Self::new(name, label, &Fields::default(), Control::Secret { autocomplete })
    }

    pub(super) fn secret_area(name: &'static str, label: impl Into<String>) -> Self {
        Self::new(name, label, &Fields::default(), Control::SecretArea)
    }

    /// One of `options`, values and labels; the first when nothing else was chosen.
    pub(super) fn select(
        name: &'static str,
        label: impl Into<String>,
        values: &Fields,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut field = Self::new(name, label, values, Control::Select(Vec::new()));
        let options: Vec<_> = options
            .into_iter()
            .map(|(value, label)| FieldOption { is_chosen: value == field.value, value, label })
            .collect();
        field.is_default = options.iter().position(|option| option.is_chosen).unwrap_or(0) == 0;
        field.control = Control::Select(options);
        field
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    pub(super) fn optional(self) -> Self {
        Self { remark: "optional", ..self }
    }

    pub(super) fn warn(self, warning: Option<String>) -> Self {
        Self { warning, ..self }
    }

    pub(super) fn disabled(self, is_disabled: bool) -> Self {
        Self { is_disabled, ..self }
    }

    pub(super) fn is_ticked(&self) -> bool {
        !self.value.is_empty()
    }

    /// Ids of what describes it, the fault first.
    pub(super) fn described_by(&self) -> String {
        let name = self.name;
        let parts = [
            (self.fault.is_some(), 'e'),
            (self.warning.is_some(), 'w'),
            (self.other_version.is_some(), 'o'),
            (!self.hint.is_empty(), 'h'),
        ];
        let ids: Vec<_> =
            parts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, part)| format!("{name}-{part}")).collect();
        ids.join(" ")
    }

    /// A value as people read it.
    fn shown(&self, value: &str) -> String {
        match &self.control {
            Control::Select(options) => {
                options.iter().find(|option| option.value == value).map_or(value, |option| &option.label).to_owned()
            }
            Control::Tick => if value.is_empty() { "Off" } else { "On" }.to_owned(),
            _ if value.is_empty() => "empty".to_owned(),
            _ => value.to_owned(),
        }
    }
}

impl Form {
    pub(super) fn new(fields: Vec<Field>) -> Self {
        Self { fields, ..Self::default() }
    }

    pub(super) fn with_more(self, summary: &'static str, fields: Vec<Field>) -> Self {
        let is_open = fields.iter().any(|field| !field.is_default);
        Self { more: Some(More { summary, fields, is_open }), ..self }
    }

    /// With all that is wrong, beside the fields and in a summary.
    pub(super) fn with_faults(mut self, faults: &Faults) -> Self {
        for field in Self::all(&mut self) {
            field.fault = faults.0.iter().find(|(name, _)| *name == field.name).map(|(_, sentence)| sentence.clone());
        }
        if let Some(more) = &mut self.more {
            more.is_open |= more.fields.iter().any(|field| field.fault.is_some());
        }
        self.faults = faults.0.iter().map(|(id, sentence)| FaultLine { id, sentence: sentence.clone() }).collect();
        self
    }

    /// With what somebody else made of it beside each field that differs, and who it was in a sentence.
    pub(super) fn compared_with(mut self, current: &Fields, sentence: impl Into<String>) -> Self {
        for field in Self::all(&mut self) {
            let now = current.text(field.name);
            field.other_version = (field.control.is_compared() && field.value != now).then(|| field.shown(now));
        }
        if let Some(more) = &mut self.more {
            more.is_open |= more.fields.iter().any(|field| field.other_version.is_some());
        }
        self.conflict = Some(sentence.into());
        self
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Field> {
        self.fields.iter_mut().chain(self.more.iter_mut().flat_map(|more| &mut more.fields))
    }
}

/// What is wrong with a form: names of fields, each with a sentence, in the order of the checks. One field may
/// have several; the first stands beside it, all in the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(pub(super) Vec<(&'static str, String)>);

/// Which field of a form a use case's field is, and what it is called: "name" for [`Subject::Name`], "Name".
pub(super) type Names = [(Subject, &'static str, &'static str)];

impl Faults {
    pub(super) fn of(name: &'static str, sentence: impl Into<String>) -> Self {
        Self(vec![(name, sentence.into())])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a use case has against what was typed. `object` says what a name is of: "App Connector key".
    ///
    /// # Errors
    /// [`Trouble::UseCase`], when it is nothing that other values would help.
    pub(super) fn of_error(error: Error, names: &Names, values: &Fields, object: &str) -> Result<Self, Trouble> {
        let of = |subject: Subject, sentence: &dyn Fn(&str) -> String| {
            let found = names.iter().find(|(known, _, _)| *known == subject);
            found.map(|(_, name, label)| Self::of(name, sentence(label)))
        };
        let faults = match &error {
            Error::Invalid(errors) => Some(Self::of_fields(errors, names, values)),
            Error::DuplicateName { object: Object::Administrator, .. } => of(Subject::Username, &|_| {
                "Another administrator has this user name; capitals do not count.".to_owned()
            }),
            Error::DuplicateName { name, .. } => of(Subject::Name, &|_| name_taken(object, name)),
            Error::DuplicateKeyPair => {
                of(Subject::PrivateKey, &|_| "Another signing certificate has this private key.".to_owned())
            }
            Error::DuplicateKeyString => of(Subject::KeyString, &|_| "This key string is known already.".to_owned()),
            Error::DuplicateFingerprint => {
                of(Subject::ProvisioningKey, &|_| "Another component of that key has the same fingerprint.".to_owned())
            }
            Error::InvalidCredentials => {
                of(Subject::CurrentPassword, &|label| format!("{label} is not right. Type it again."))
            }
            Error::Vanished { what } => {
                Some(Self::of("", format!("The {what} was deleted meanwhile. Choose another one.")))
            }
            _ => None,
        };
        faults.ok_or(Trouble::UseCase(error))
    }

    /// All faults of all fields.
    pub(super) fn of_fields(errors: &FieldErrors, names: &Names, values: &Fields) -> Self {
        let fault = |error: &crate::management::FieldError| {
            let (_, name, label) = names.iter().find(|(known, _, _)| *known == error.field).copied().unwrap_or((
                error.field,
                "",
                "A field",
            ));
            (name, sentence(error.field, label, values.text(name), &error.problem))
        };
        Self(errors.iter().map(fault).collect())
    }
}

pub(super) fn name_taken(object: &str, name: &str) -> String {
    format!("Another {object} is called {name}; capitals do not count. Choose another name.")
}

/// A fault in the portal's words: what is so, then what to do.
fn sentence(subject: Subject, label: &str, given: &str, problem: &Problem) -> String {
    use crate::domain::name::InvalidName;
    match (subject, problem) {
        (Subject::Maximum, Problem::Missing) => {
            "The maximum is missing. How many deployments shall it allow?".to_owned()
        }
        (_, Problem::Missing) => format!("{label} is missing."),
        (Subject::Name | Subject::Username, _) => match Name::new(given) {
            Err(InvalidName::Empty) => format!("{label} is missing."),
            Err(InvalidName::OuterSpace) => "A name cannot start or end with a space.".to_owned(),
            Err(InvalidName::TooLong { found }) => format!("A name has at most 255 characters; this one has {found}."),
            Err(InvalidName::Character { found }) => match suggestion(given) {
                Some(other) => format!("A name cannot contain “{found}”. Try {other}."),
                None => format!("A name cannot contain “{found}”."),
            },
            Ok(_) => format!("{label} {problem}."),
        },
        (Subject::Maximum, _) if given.trim().parse::<i128>().is_ok_and(|maximum| maximum < 1) => {
            "The maximum is at least 1. To stop a key, disable it.".to_owned()
        }
        (Subject::Maximum, _) => format!("“{given}” is no number from 1 to 2,147,483,647."),
        (Subject::ExpiresAt, _) => match instant(given) {
            Input::Given(at) => format!("{} has passed. Choose a later time or none.", super::words::minute(at)),
            _ => format!("“{given}” is no time. Write it like 2026-12-31T23:59."),
        },
        (Subject::Addresses, _) => {
            let wrong = given.lines().enumerate().find_map(|(index, line)| {
                let line = line.trim();
                (!line.is_empty() && AddressList::parse(&[line.to_owned()]).is_err()).then_some((index + 1, line))
            });
            match wrong {
                Some((number, line)) => {
                    format!("Line {number}: “{line}” is not a network. Write one like 203.0.113.0/24 or 2001:db8::/32.")
                }
                None => format!("{label} {problem}."),
            }
        }
        _ => format!("{label} {problem}."),
    }
}

/// The same name with what is not accepted replaced.
fn suggestion(name: &str) -> Option<String> {
    let text: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_') { c } else { '-' })
        .collect();
    let text = text.trim_matches([' ', '-']);
    (Name::new(text).is_ok() && text.chars().any(|c| c.is_ascii_alphanumeric())).then(|| text.to_owned())
}

/// A text that may be empty; empty is none.
pub(super) fn text(given: &str) -> Input<String> {
    if given.is_empty() { Input::Cleared } else { Input::Given(given.to_owned()) }
}

/// A number; empty is none. Commas between digits are fine.
pub(super) fn number(given: &str) -> Input<u64> {
    let given = given.trim();
    if given.is_empty() {
        return Input::Cleared;
    }
    given.replace(',', "").parse().map_or(Input::Malformed("must be a number"), Input::Given)
}

/// What a field for an instant sends, `2026-12-31T23:59` in UTC, with seconds or without; empty is none.
pub(super) fn instant(given: &str) -> Input<Timestamp> {
    let given = given.trim();
    if given.is_empty() {
        return Input::Cleared;
    }
    let candidates = [format!("{given}:00Z"), format!("{given}Z"), given.to_owned()];
    let found = candidates.iter().find_map(|text| Timestamp::from_rfc3339(text).ok());
    found.map_or(Input::Malformed("must be a time"), Input::Given)
}

/// What such a field shows.
pub(super) fn instant_value(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| at.to_string()[..16].to_owned())
}

/// One entry per line; blank lines do not count.
pub(super) fn lines(given: &str) -> Input<Vec<String>> {
    let lines: Vec<_> = given.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { Input::Cleared } else { Input::Given(lines) }
}

/// An id of a drop-down; empty is none chosen.
pub(super) fn chosen<T: std::str::FromStr>(given: &str) -> Input<T> {
    if given.is_empty() {
        return Input::Cleared;
    }
    given.parse().map_or(Input::Malformed("is none of those offered"), Input::Given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text).unwrap()
    }

    fn told(subject: Subject, given: &str, problem: &str) -> String {
        sentence(subject, "Name", given, &Problem::Invalid(problem.to_owned()))
    }

    #[test]
    fn faults_say_what_to_do() {
        for (given, expected) in [
            ("eu-warehouse/duisburg", "A name cannot contain “/”. Try eu-warehouse-duisburg."),
            ("Münster", "A name cannot contain “ü”. Try M-nster."),
            ("東京", "A name cannot contain “東”."),
            ("hq ", "A name cannot start or end with a space."),
            ("", "Name is missing."),
        ] {
            assert_eq!(told(Subject::Name, given, "-"), expected);
        }
        assert_eq!(told(Subject::Maximum, "0", "-"), "The maximum is at least 1. To stop a key, disable it.");
        assert_eq!(told(Subject::Maximum, "many", "-"), "“many” is no number from 1 to 2,147,483,647.");
        let passed = told(Subject::ExpiresAt, "2025-11-19T00:00", "-");
        assert_eq!(passed, "19 Nov 2025, 00:00 has passed. Choose a later time or none.");
        let networks = told(Subject::Addresses, "192.0.2.0/24\n203.0.113.0/33", "-");
        assert!(networks.starts_with("Line 2: “203.0.113.0/33” is not a network."), "{networks}");
    }

    #[test]
    fn values_are_read_as_browsers_send_them() {
        assert_eq!(number(" 5,000 "), Input::Given(5_000));
        assert_eq!(number(""), Input::Cleared);
        assert!(matches!(number("many"), Input::Malformed(_)));
        let at = Timestamp::from_rfc3339("2026-12-31T23:59:00Z").unwrap();
        for text in ["2026-12-31T23:59", "2026-12-31T23:59:00", "2026-12-31T23:59:00Z"] {
            assert_eq!(instant(text), Input::Given(at), "{text}");
        }
        assert_eq!(instant_value(Some(at)), "2026-12-31T23:59");
        assert_eq!(lines("a\r\n\r\n b \n"), Input::Given(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn faults_stand_beside_their_fields_and_open_what_is_folded() {
        let values = fields("name=a%2Fb&description=");
        let form = Form::new(vec![Field::text("name", "Name", &values)])
            .with_more("Description", vec![Field::text("description", "Description", &values)]);
        assert!(!form.more.as_ref().unwrap().is_open);
        let form = form.with_faults(&Faults(vec![("name", "one".into()), ("description", "two".into())]));
        assert_eq!(form.fields[0].fault.as_deref(), Some("one"));
        assert_eq!(form.fields[0].described_by(), "name-e");
        assert!(form.more.unwrap().is_open);
        assert_eq!(form.faults.len(), 2);
    }

    #[test]
    fn a_conflict_shows_both_versions() {
        let typed = fields("name=mine&enabled=on&maximum=5");
        let form = Form::new(vec![
            Field::text("name", "Name", &typed),
            Field::tick("enabled", "Status", &typed, true),
            Field::number("maximum", "Maximum", &typed),
        ]);
        let form = form.compared_with(&fields("name=theirs&maximum=5"), "Somebody changed this.");
        let versions: Vec<_> = form.fields.iter().map(|field| field.other_version.as_deref()).collect();
        assert_eq!(versions, [Some("theirs"), Some("Off"), None]);
    }

    #[test]
    fn secrets_do_not_come_back() {
        let field = Field::secret("password", "Password", "new-password");
        assert_eq!(field.value, "");
    }
}
