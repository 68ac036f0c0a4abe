//! Checking input as a whole: every fault of every field is found before anything is refused.

use std::fmt;

use super::Error;

/// What a caller gave for one field.
///
/// The doors make it from their own form (JSON, HTML) and leave the rules to the use case. A value
/// whose form was wrong comes as [`Input::Malformed`], so that it is reported beside all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input<T> {
    /// Not mentioned: the default when making, unchanged when editing.
    #[default]
    Absent,
    /// Expressly none (`null`).
    Cleared,
    Given(T),
    /// Not of the field's form; says what was expected.
    Malformed(&'static str),
}

impl<T> Input<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Input<U> {
        self.and_then(|value| Input::Given(f(value)))
    }

    /// What `f` makes of a value that was given.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Input<U>) -> Input<U> {
        match self {
            Self::Absent => Input::Absent,
            Self::Cleared => Input::Cleared,
            Self::Given(value) => f(value),
            Self::Malformed(expected) => Input::Malformed(expected),
        }
    }

    /// The value, if one was given.
    pub fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Cleared | Self::Malformed(_) => None,
        }
    }
}

/// The fields that can be at fault. The doors give them the names that their callers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Addresses,
    AllowReEnrollment,
    AllowSigning,
    /// A kept member of the public API, by its wire name.
    Attribute(&'static str),
    Certificate,
    Chain,
    /// After how many days a clean-up takes a component.
    CleanUpDays,
    CommonName,
    ComponentLifetimeDays,
    /// The components that a bulk request is about.
    Components,
    Country,
    CurrentPassword,
    DeleteDisabled,
    Description,
    Enabled,
    /// What a webhook is told of.
    Events,
    ExpiresAt,
    Exportable,
    Group,
    Ids,
    KeyAlgorithm,
    KeyString,
    Label,
    LifetimeDays,
    Managing,
    Maximum,
    Name,
    NewPassword,
    Operation,
    Organization,
    OrganizationalUnit,
    /// Of the portal.
    Page,
    Parent,
    Password,
    PrivateKey,
    /// The key that a component is attached to.
    ProvisioningKey,
    /// What is kept of an address, behind its `?`.
    Query,
    RevocationReason,
    Revoke,
    Role,
    SigningCertificate,
    UiConfig,
    Url,
    Username,
    Version,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub field: Field,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Required and not there.
    Missing,
    /// A sentence without its subject: "is empty; 1 to 255 characters were expected".
    Invalid(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is required"),
            Self::Invalid(sentence) => f.write_str(sentence),
        }
    }
}

/// All faults of one input, at least one, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.0.iter()
    }

    /// Whether nothing is wrong but that fields are missing.
    pub fn only_missing(&self) -> bool {
        self.0.iter().all(|error| error.problem == Problem::Missing)
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{:?} {}", error.field, error.problem)?;
        }
        Ok(())
    }
}

/// Gathers faults while a use case walks over its input.
#[derive(Default)]
pub(super) struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    pub(super) fn fault(&mut self, field: Field, problem: impl fmt::Display) {
        self.errors.push(FieldError { field, problem: Problem::Invalid(problem.to_string()) });
    }

    pub(super) fn missing(&mut self, field: Field) {
        self.errors.push(FieldError { field, problem: Problem::Missing });
    }

    /// Notes a malformed value or one that `parse` refuses, and gives [`Input::Absent`] for it.
    pub(super) fn check<T, U, E: fmt::Display>(
        &mut self,
        field: Field,
        input: Input<T>,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Input<U> {
        match input {
            Input::Absent => Input::Absent,
            Input::Cleared => Input::Cleared,
            Input::Malformed(expected) => {
                self.fault(field, expected);
                Input::Absent
            }
            Input::Given(value) => match parse(value) {
                Ok(value) => Input::Given(value),
                Err(error) => {
                    self.fault(field, error);
                    Input::Absent
                }
            },
        }
    }

    /// Notes a malformed value; every other is good.
    pub(super) fn take<T>(&mut self, field: Field, input: Input<T>) -> Input<T> {
        self.check(field, input, Ok::<T, std::convert::Infallible>)
    }

    /// Like [`Self::check`], and notes a value that is not there.
    pub(super) fn required<T, U, E: fmt::Display>(
        &mut self,
        field: Field,
        input: Input<T>,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match input {
            Input::Absent | Input::Cleared => {
                self.missing(field);
                None
            }
            input => self.check(field, input, parse).given(),
        }
    }

    /// Refuses another value than `current` for a field that does not change.
    pub(super) fn fixed<T: PartialEq>(&mut self, field: Field, input: Input<T>, current: Option<&T>) {
        if let Some(value) = self.take(field, input).given()
            && current != Some(&value)
        {
            self.fault(field, "cannot be changed");
        }
    }

    /// # Errors
    /// [`Error::Invalid`] with everything that was noted.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.errors().map_or(Ok(()), |errors| Err(Error::Invalid(errors)))
    }

    /// Everything that was noted; `None`: nothing was.
    pub(super) fn errors(self) -> Option<FieldErrors> {
        (!self.errors.is_empty()).then_some(FieldErrors(self.errors))
    }

    /// For where a required value turned out not to be there: the fault was noted then.
    pub(super) fn into_error(self) -> Error {
        debug_assert!(!self.errors.is_empty(), "a required value is missing without a noted fault");
        Error::Invalid(FieldErrors(self.errors))
    }
}

/// The fault of one more than there may be.
pub(super) fn full(field: Field, limit: u32) -> Error {
    let mut checker = Checker::default();
    checker.fault(field, format_args!("would be one more than the {limit} that are kept; delete another first"));
    checker.into_error()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Name;

    #[test]
    fn all_faults_are_told_at_once_and_in_order() {
        let mut checker = Checker::default();
        let name = checker.required(Field::Name, Input::Given("a/b".to_owned()), |text| Name::new(&text));
        let group = checker.required(Field::Group, Input::<u8>::Cleared, Ok::<_, String>);
        let enabled = checker.take(Field::Enabled, Input::<bool>::Malformed("must be true or false"));
        assert_eq!((name, group, enabled), (None, None, Input::Absent));
        let Err(Error::Invalid(errors)) = checker.finish() else { panic!("nothing refused") };
        let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
        assert_eq!(fields, [Field::Name, Field::Group, Field::Enabled]);
        assert!(!errors.only_missing());
    }

    #[test]
    fn a_fixed_field_takes_its_own_value_only() {
        let mut checker = Checker::default();
        checker.fixed(Field::Group, Input::Given(1), Some(&1));
        checker.fixed(Field::Group, Input::Absent, Some(&1));
        assert!(checker.errors.is_empty());
        checker.fixed(Field::Group, Input::Given(2), Some(&1));
        assert_eq!(checker.errors.len(), 1);
    }
}
